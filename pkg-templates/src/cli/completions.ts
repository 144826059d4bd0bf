import { COMMANDS, SHELLS } from "./commands.js";
import type { Command, Flag } from "./flag.js";
import { parse, UsageError } from "./usage.js";

/** `lorafold completions SHELL`: what a shell reads to complete the words of every command. It is made of the same list as the help. */
export function completionsCommand(argv: string[]): number {
  const { words } = parse(argv, {}, true);
  const [shell, more] = words;
  if (more !== undefined) throw new UsageError(`${more} is one word too many`);
  const script = shell !== undefined && Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell as keyof typeof SCRIPTS] : undefined;
  if (!script) throw new UsageError(shell === undefined ? "no shell is given" : `there are no completions for ${shell}`, `the shells are ${SHELLS.join(", ")}`);
  console.log(script());
  return 0;
}

const SCRIPTS: Record<(typeof SHELLS)[number], () => string> = { bash, zsh, fish };

/** What an option does, without its details. */
const short = (says: string): string => says.split(/[:;(] /)[0]!.split(" (")[0]!;

const flagsOf = ({ flags }: Command): [string, Flag][] => [...Object.entries<Flag>(flags), ["help", { type: "boolean", short: "h", says: "print the help of this command" }]];

/** The ways to write a flag. */
const spellings = ([name, { short }]: [string, Flag]): string[] => [`--${name}`, ...(short === undefined ? [] : [`-${short}`])];

/** Where nothing is offered, bash goes on with names of files (`-o default`). */
function bash(): string {
  const valued = COMMANDS.flatMap((command) =>
    flagsOf(command).flatMap(([name, flag]) => (flag.choices ? [`    ${spellings([name, flag]).map((flag) => `"${command.name} ${flag}"`).join("|")}) words="${flag.choices.join(" ")}" ;;`] : [])));
  const others = COMMANDS.flatMap((command) => {
    const taking = flagsOf(command).filter(([, { type, choices }]) => type === "string" && !choices).flatMap(spellings);
    return taking.length > 0 ? [`    ${taking.map((flag) => `"${command.name} ${flag}"`).join("|")}) return ;;`] : [];
  });
  const flags = COMMANDS.map((command) => `        ${command.name}) words="${[...(command.words?.choices ?? []), ...flagsOf(command).flatMap(spellings)].join(" ")}" ;;`);
  return `# lorafold in bash: the output of \`lorafold completions bash\`
_lorafold() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}" words=""
  # bash takes --flag=value for three words.
  if [[ "$current" == "=" ]]; then current=""
  elif [[ "$before" == "=" ]]; then before="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "${[...COMMANDS.map(({ name }) => name), "help", "--help", "--version"].join(" ")}" -- "$current"))
    return
  fi
  case "$command $before" in
${[...valued, ...others].join("\n")}
    *)
      case "$command" in
${flags.join("\n")}
        help) words="${COMMANDS.map(({ name }) => name).join(" ")}" ;;
      esac
      # A word that is no flag yet may be a path.
      if [[ "$current" != -* && "$command" == inspect ]]; then return; fi ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F _lorafold lorafold`;
}

/** A text inside single quotes of zsh's \`_arguments\`. */
const zshText = (text: string): string => text.replace(/[[\]:\\]/g, "\\$&").replaceAll("'", "'\\''");

function zsh(): string {
  const value = ({ type, value = "VALUE", choices, completes }: Flag) => {
    if (type === "boolean") return "";
    const action = choices ? `(${choices.join(" ")})` : completes === "folder" ? "_files -/" : completes === "path" ? "_files" : " ";
    return `:${zshText(value)}:${action}`;
  };
  const spec = ([name, flag]: [string, Flag]) => {
    const takes = flag.type === "string";
    const forms = [...(flag.short === undefined ? [] : [`-${flag.short}${takes ? "+" : ""}`]), `--${name}${takes ? "=" : ""}`];
    const alone = flag.multiple ? "*" : `(${spellings([name, flag]).join(" ")})`;
    return `      '${alone}'${forms.length > 1 ? `{${forms.join(",")}}` : forms[0]}'[${zshText(short(flag.says))}]${value(flag)}'`;
  };
  const cases = COMMANDS.map((command) => {
    const { name, words } = command;
    const rest = words && (words.choices ? `      '1:${words.name}:(${words.choices.join(" ")})'` : `      '*:${words.name}:_files'`);
    return `    ${name}) _arguments -s -S \\\n${[...flagsOf(command).map(spec), ...(rest ? [rest] : [])].join(" \\\n")} ;;`;
  });
  return `#compdef lorafold
# lorafold in zsh: the output of \`lorafold completions zsh\`
_lorafold() {
  if (( CURRENT == 2 )); then
    if [[ $PREFIX == -* ]]; then
      compadd -- --help -h --version -V
      return
    fi
    local -a commands
    commands=(
${[...COMMANDS, { name: "help", purpose: "print the help of a command" }].map(({ name, purpose }) => `      '${name}:${zshText(short(purpose))}'`).join("\n")}
    )
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join("\n")}
    help) _arguments '1:COMMAND:(${COMMANDS.map(({ name }) => name).join(" ")})' ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _lorafold "$@"
else
  compdef _lorafold lorafold
fi`;
}

/** A text inside single quotes of fish. */
const fishText = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;

function fish(): string {
  const of = (command: string) => `complete -c lorafold -n '__lorafold_command_is ${command}'`;
  const commands = [...COMMANDS, { name: "help", purpose: "print the help of a command" }].map(({ name, purpose }) => `complete -c lorafold -n __fish_use_subcommand -a ${name} -d ${fishText(short(purpose))}`);
  const flags = COMMANDS.flatMap((command) => {
    const here = of(command.name);
    const own = flagsOf(command).map(([name, { type, short: letter, choices, completes, says }]) => {
      const value = type === "boolean" ? "" : choices ? ` -x -a '${choices.join(" ")}'` : completes ? " -r -F" : " -x";
      return `${here} -l ${name}${letter === undefined ? "" : ` -s ${letter}`}${value} -d ${fishText(short(says))}`;
    });
    const { words } = command;
    const rest = words && (words.choices ? `${here} -a '${words.choices.join(" ")}'` : `${here} -F`);
    return [...own, ...(rest ? [rest] : [])];
  });
  return [
    "# lorafold in fish: the output of `lorafold completions fish`",
    // The first word alone: fish's own function would take a folder of that name for the command, too.
    "function __lorafold_command_is",
    "  set -l words (commandline -opc)",
    '  test (count $words) -gt 1; and test "$words[2]" = $argv[1]',
    "end",
    "complete -c lorafold -f",
    ...commands,
    ...flags,
    `${of("help")} -a '${COMMANDS.map(({ name }) => name).join(" ")}'`,
    "complete -c lorafold -n __fish_use_subcommand -l version -s V -d 'print the version'",
    "complete -c lorafold -n __fish_use_subcommand -l help -s h -d 'print the help'",
  ].join("\n");
}
