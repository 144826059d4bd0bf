# What zsh offers for the last word of a line, one match a line: zsh -f offered.zsh FOLDER sourced|loaded LINE
# FOLDER has the script as `_lorafold`. A second zsh runs behind a pseudo-terminal, with the completion system of a user, and the tab key is pressed there.
zmodload zsh/zpty
setup=$(mktemp)
trap 'rm -f $setup' EXIT
cat > $setup <<X
PROMPT= RPROMPT=
[[ $2 == loaded ]] && fpath=(${(q)1} \$fpath)
autoload -Uz compinit && compinit -u -D
[[ $2 == sourced ]] && source ${(q)1}/_lorafold
bindkey '^I' complete-word
zstyle ':completion:*' list-grouped false
zstyle ':completion:*' insert-tab false
begin () { print -r -- 'BEG''IN' }
finish () { print -r -- 'E''ND'; exit }
compprefuncs=(begin) comppostfuncs=(finish)
compadd () {
  # With these it fills arrays, and offers nothing.
  if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "\$@"; return \$?; fi
  local -a hits
  builtin compadd -A hits "\$@"
  print -rl -- \$hits
  builtin compadd "\$@"
}
print REA''DY
X
zpty shell zsh -f -i
zpty -w shell "source $setup"
while zpty -r shell line; do [[ $line == *READY* ]] && break; done
zpty -w -n shell "$3"$'\t'
offered=
while zpty -r shell line; do
  [[ $line == *END* ]] && break
  [[ -n $offered ]] && print -r -- "${line%$'\r\n'}"
  [[ $line == *BEGIN* ]] && offered=yes
done
exit 0
