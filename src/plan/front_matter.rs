//! The front matter of a model card: YAML between two lines `---` at the beginning of a text, edited line by line. What is not edited stays byte for byte,
//! unknown keys, formatting and comments included.
//!
//! It reads what cards have, not all of YAML: a block of keys at the left edge, whose values are texts or lists of texts where they are edited, and anything where
//! they are not. What it does not understand it refuses, so that nothing is edited which means something else.

use std::borrow::Cow;
use std::fmt;

/// A text with front matter, to be edited.
#[derive(Debug, Clone)]
pub(super) struct FrontMatter<'a> {
    /// A byte order mark and empty lines, and the line that opens the block.
    open: Cow<'a, str>,
    /// Comments and empty lines before the first key.
    lead: Cow<'a, str>,
    entries: Vec<Entry<'a>>,
    /// The line that closes the block.
    close: Cow<'a, str>,
    /// What follows the block.
    pub(super) rest: &'a str,
    /// How its lines end.
    pub(super) line_end: &'static str,
}

/// A key with its value.
#[derive(Debug, Clone)]
struct Entry<'a> {
    key: Cow<'a, str>,
    /// Its lines.
    text: Cow<'a, str>,
    /// Empty lines and comments at the left edge that follow.
    after: &'a str,
}

/// A value, as far as it is understood.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Text(String),
    /// The items; `indent` is what stands before each dash, `None` where they stand in brackets.
    List {
        items: Vec<String>,
        indent: Option<String>,
    },
}

impl<'a> FrontMatter<'a> {
    /// Take a text apart. One without front matter gets an empty block.
    ///
    /// # Errors
    /// What of it is not understood.
    pub(super) fn parse(text: &'a str) -> Result<FrontMatter<'a>, String> {
        let mark = if text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
        let start = text.len() - text[mark..].trim_start_matches(['\n', '\r', ' ', '\t']).len();
        let line_end =
            if text.lines().next().is_some_and(|line| text[line.len()..].starts_with("\r\n")) { "\r\n" } else { "\n" };
        let mut lines = text[start..].split_inclusive('\n');
        let first = lines.next().unwrap_or_default();
        if first.trim_end() != FENCE {
            let [open, close] = [format!("{}{FENCE}{line_end}", &text[..mark]), format!("{FENCE}{line_end}")];
            let [open, close] = [open.into(), close.into()];
            return Ok(FrontMatter {
                open,
                lead: "".into(),
                entries: Vec::new(),
                close,
                rest: &text[mark..],
                line_end,
            });
        }
        let mut at = start + first.len();
        let mut front = FrontMatter {
            open: text[..at].into(),
            lead: "".into(),
            entries: Vec::new(),
            close: "".into(),
            rest: "",
            line_end,
        };
        // Where the lines begin that belong to the entry, and those that nothing has claimed yet.
        let (mut entry, mut pending) = (at, at);
        for line in lines {
            let next = at + line.len();
            let bare = line.trim_end();
            if bare == FENCE && line.starts_with(FENCE) {
                front.end_entry(text, entry..pending, pending..at);
                front.close = line.into();
                front.rest = &text[next..];
                return front.checked();
            }
            let is_inside = line.starts_with([' ', '\t', ']', '}']) || bare == "-" || line.starts_with("- ");
            if bare.is_empty() || line.starts_with('#') {
                // It belongs to the value only if more of that follows.
                at = next;
                continue;
            }
            if is_inside {
                if front.entries.is_empty() {
                    return Err(not_understood(line));
                }
            } else {
                let key = key(line).ok_or_else(|| not_understood(line))?;
                front.end_entry(text, entry..pending, pending..at);
                front.entries.push(Entry { key: key.into(), text: "".into(), after: "" });
                entry = at;
            }
            (at, pending) = (next, next);
        }
        Err(format!("its first line is {FENCE}, and no line closes that"))
    }

    /// Give the latest entry its lines, or those before the first one to the block.
    fn end_entry(&mut self, whole: &'a str, text: std::ops::Range<usize>, after: std::ops::Range<usize>) {
        match self.entries.last_mut() {
            Some(entry) => (entry.text, entry.after) = (whole[text].into(), &whole[after]),
            None => self.lead = whole[after].into(),
        }
    }

    /// No key is given twice, and none is inside of quotes.
    fn checked(self) -> Result<FrontMatter<'a>, String> {
        let open = |entry: &&Entry| {
            let value = entry.text.split_once(':').map_or("", |(_, value)| value.trim());
            let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''));
            let last = entry.text.lines().last().map(uncommented).unwrap_or_default();
            quote.is_some_and(|quote| value.len() == 1 || !last.ends_with(quote))
        };
        if let Some(entry) = self.entries.iter().find(open) {
            return Err(format!("the quotes of its {} are not closed", entry.key));
        }
        match self
            .entries
            .iter()
            .enumerate()
            .find(|(at, entry)| self.entries[..*at].iter().any(|one| one.key == entry.key))
        {
            Some((_, entry)) => Err(format!("it has {} twice", entry.key)),
            None => Ok(self),
        }
    }

    /// Give `key` a text.
    ///
    /// # Errors
    /// Why its value is not understood.
    pub(super) fn set_text(&mut self, key: &str, value: &str) -> Result<(), String> {
        if self.value(key)? != Some(Value::Text(value.into())) {
            self.put(key, format!("{key}: {}{}", quoted(value), self.line_end));
        }
        Ok(())
    }

    /// Give `key` a list of texts.
    ///
    /// # Errors
    /// Why its value is not understood.
    pub(super) fn set_list(&mut self, key: &str, items: &[String]) -> Result<(), String> {
        let is_same = match self.value(key)? {
            Some(Value::List { items: there, .. }) => there == items,
            Some(Value::Text(there)) => *items == [there],
            _ => false,
        };
        if !is_same {
            self.put(key, list(key, items.iter().map(String::as_str), self.line_end));
        }
        Ok(())
    }

    /// Add to a list of texts what it does not have, in the way in which it is written.
    ///
    /// # Errors
    /// Why its value is not understood.
    pub(super) fn add_to_list(&mut self, key: &str, items: &[String]) -> Result<(), String> {
        let end = self.line_end;
        let (there, indent) = match self.value(key)? {
            Some(Value::List { items, indent }) => (items, Some(indent)),
            Some(Value::Text(text)) => (vec![text], None),
            Some(Value::Null) | None => (Vec::new(), None),
        };
        let new: Vec<&str> =
            items.iter().map(String::as_str).filter(|item| !there.iter().any(|one| one == item)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let entry = self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.text.as_ref());
        let text = match (indent, entry) {
            (Some(Some(indent)), Some(text)) => {
                let lines: String = new.iter().map(|item| format!("{indent}- {}{end}", quoted(item))).collect();
                format!("{text}{lines}")
            }
            (Some(None), Some(text)) if !there.is_empty() => {
                let (before, bracket) = text.split_at(text.rfind(']').unwrap_or(text.len()));
                let kept = before.trim_end();
                let (kept, space) = (kept.trim_end_matches(','), &before[kept.len()..]);
                let more: String = new.iter().map(|item| format!(", {}", quoted(item))).collect();
                format!("{kept}{more}{space}{bracket}")
            }
            _ => list(key, there.iter().map(String::as_str).chain(new), end),
        };
        self.put(key, text);
        Ok(())
    }

    /// Replace the lines of `key`, or add them at the end.
    fn put(&mut self, key: &str, text: String) {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.text = text.into(),
            None => self.entries.push(Entry { key: key.to_string().into(), text: text.into(), after: "" }),
        }
    }

    /// The value of `key`, as far as the block has it.
    fn value(&self, key: &str) -> Result<Option<Value>, String> {
        let Some(entry) = self.entries.iter().find(|entry| entry.key == key) else { return Ok(None) };
        let value =
            Value::parse(&entry.text).ok_or_else(|| format!("its {key} is neither a text nor a list of texts"))?;
        Ok(Some(value))
    }
}

impl Value {
    /// The value of an entry with these lines.
    fn parse(text: &str) -> Option<Value> {
        let mut lines = text.split_inclusive('\n');
        let first = lines.next()?;
        let value = uncommented(&first[first.find(':')? + 1..]);
        let rest = || lines.clone().filter(|line| !uncommented(line).is_empty());
        if value.starts_with('[') {
            // What is added goes before the last bracket, which must not be one of a comment.
            if text.contains('#') {
                return None;
            }
            let whole: String = std::iter::once(value).chain(rest().map(uncommented)).collect::<Vec<_>>().join(" ");
            let inside = whole.strip_prefix('[')?.strip_suffix(']')?;
            let inside = inside.trim().strip_suffix(',').unwrap_or(inside).trim();
            let items =
                if inside.is_empty() { Some(Vec::new()) } else { split(inside)?.into_iter().map(scalar).collect() };
            return Some(Value::List { items: items?, indent: None });
        }
        if !matches!(value, "" | "~" | "null") {
            return (rest().next().is_none()).then(|| scalar(value)).flatten().map(Value::Text);
        }
        let Some(first) = rest().next() else { return Some(Value::Null) };
        let indent = &first[..first.len() - first.trim_start().len()];
        let item = |line: &str| scalar(uncommented(line.strip_prefix(indent)?.strip_prefix("- ")?));
        let items: Option<Vec<String>> = rest().map(item).collect();
        Some(Value::List { items: items?, indent: Some(indent.into()) })
    }
}

impl fmt::Display for FrontMatter<'_> {
    /// The block, without what follows it.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}{}", self.open, self.lead)?;
        self.entries.iter().try_for_each(|entry| write!(formatter, "{}{}", entry.text, entry.after))?;
        formatter.write_str(&self.close)
    }
}

/// The line that opens and closes the block.
const FENCE: &str = "---";

/// The key of a line that begins with one.
fn key(line: &str) -> Option<&str> {
    let (key, value) = line.split_once(':')?;
    let plain = key
        .strip_prefix('"')
        .and_then(|key| key.strip_suffix('"'))
        .or_else(|| key.strip_prefix('\'')?.strip_suffix('\''));
    let plain = plain.unwrap_or(key);
    let is_plain = plain
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b' ' | 0x80..));
    (is_plain && !plain.is_empty() && plain.trim() == plain && value.starts_with([' ', '\t', '\r', '\n']))
        .then_some(plain)
}

/// What of a line is no comment and no white space around it.
fn uncommented(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, char) in line.char_indices() {
        match (quote, char) {
            (None, '#') if matches!(before, ' ' | '\t') => return line[..at].trim(),
            (None, '"' | '\'') if matches!(before, ' ' | '\t' | '[' | ',') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
        before = char;
    }
    line.trim()
}

/// The items between the commas of a list in brackets; none where there are lists and objects in it.
fn split(inside: &str) -> Option<Vec<&str>> {
    let (mut items, mut start, mut quote) = (Vec::new(), 0, None);
    for (at, char) in inside.char_indices() {
        match (quote, char) {
            (None, '[' | ']' | '{' | '}') => return None,
            (None, ',') => {
                items.push(inside[start..at].trim());
                start = at + 1;
            }
            (None, '"' | '\'') if inside[start..at].trim().is_empty() => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
    }
    items.push(inside[start..].trim());
    quote.is_none().then_some(items)
}

/// A text, quoted or not.
fn scalar(text: &str) -> Option<String> {
    match text.chars().next()? {
        '\'' => {
            let inside = text[1..].strip_suffix('\'')?;
            let whole = inside.replace("''", "'");
            (whole.matches('\'').count() * 2 == inside.matches('\'').count()).then_some(whole)
        }
        '"' => text[1..].strip_suffix('"').filter(|inside| !inside.contains(['"', '\\'])).map(Into::into),
        // What begins so is no plain text.
        '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' | '#' | ',' => None,
        _ if text.contains(": ") || text.ends_with(':') || text.starts_with("- ") || text.starts_with("? ") => None,
        _ => Some(text.into()),
    }
}

/// A text as YAML, in quotes where it would be read as something else without.
fn quoted(text: &str) -> Cow<'_, str> {
    let is_word =
        |text: &str| text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.' | '/'));
    let is_text = text.starts_with(|char: char| char.is_ascii_alphabetic()) && is_word(text);
    let means_other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    if is_text && !means_other { text.into() } else { format!("'{}'", text.replace('\'', "''")).into() }
}

/// A list of texts as the hub writes it.
fn list<'i>(key: &str, items: impl Iterator<Item = &'i str>, end: &str) -> String {
    let lines: String = items.map(|item| format!("- {}{end}", quoted(item))).collect();
    format!("{key}:{end}{lines}")
}

fn not_understood(line: &str) -> String {
    let line: String = line.trim_end().chars().take(60).collect();
    format!("this line is not understood: {line}")
}

#[cfg(test)]
mod tests;
