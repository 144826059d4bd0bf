//! A JSON text that can be edited. Whatever is not edited stays the same, byte for byte, including its formatting.
//!
//! Objects are taken apart, because members are edited; every other value is kept as its text. If an object has a name twice, the last one
//! counts, as in Python: reading and setting use the last, removing removes all.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use super::escapes::decoded;
use super::read::parse;
use super::scan::{Result, Scanner};
use super::write::{pretty, text};
use crate::order::sort_numbers;

/// Most members of all objects together. The configuration of a model with 22,000 labels has 44,000.
const MEMBERS: usize = 200_000;
/// Indentation if the text shows none.
const INDENT: &str = "  ";

/// A text that consists of one object.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// A byte order mark and white space.
    before: String,
    root: Object,
    after: String,
}

/// A value in a document.
#[derive(Debug, Clone)]
pub enum Node {
    /// An object.
    Object(Object),
    /// The text of any other value.
    Text(String),
}

/// An object in a document.
#[derive(Debug, Clone, Default)]
pub struct Object {
    members: Vec<Member>,
    /// The white space of an object without members.
    inside: String,
}

#[derive(Debug, Clone)]
struct Member {
    /// White space before the key.
    before: String,
    /// The key with its quotes.
    key: String,
    /// The colon and the white space around it.
    colon: String,
    value: Node,
    /// White space after the value.
    after: String,
    /// Whether a later member has the same name, so that this one means nothing.
    is_repeated: bool,
}

impl Document {
    /// Parses a text.
    ///
    /// # Errors
    /// Why it is not valid, or not an object, and where; more than 128 lists and objects within each other, or too many members.
    pub fn parse(text: &str) -> std::result::Result<Document, String> {
        let mut scanner = Scanner::new(text);
        let before = scanner.mark().to_string() + scanner.whitespace();
        if scanner.peek() != Some(b'{') {
            scanner.value(0)?;
            return Err("not an object".into());
        }
        let mut left = MEMBERS;
        let root = Object::scan(&mut scanner, 0, &mut left)?;
        let after = scanner.whitespace().into();
        scanner.end()?;
        Ok(Document { before, root, after })
    }

    /// The object that the text consists of.
    pub fn root(&self) -> &Object {
        &self.root
    }

    /// The object that the text consists of, to be edited.
    pub fn root_mut(&mut self) -> &mut Object {
        &mut self.root
    }
}

impl Node {
    /// This value, if it is an object.
    pub fn object(&self) -> Option<&Object> {
        match self {
            Node::Object(object) => Some(object),
            Node::Text(_) => None,
        }
    }

    /// The value. `None` if it is or contains something that [`Value`] cannot hold: one of Python's floats, or half a surrogate pair.
    pub fn value(&self) -> Option<Value> {
        match self {
            Node::Object(_) => parse(self.to_string().as_bytes()).ok(),
            Node::Text(text) => parse(text.as_bytes()).ok(),
        }
    }

    /// `value` as it is written between the white space of `before` and `after`.
    fn write(value: &Value, before: &str, after: &str) -> Node {
        let text = match line(before) {
            "" => text(value),
            start => pretty(value, start.strip_prefix(line(after)).unwrap_or(INDENT), start),
        };
        let mut left = MEMBERS;
        // A value that nests too deeply to be taken apart stays text.
        Node::scan(&mut Scanner::new(&text), 0, &mut left).unwrap_or(Node::Text(text))
    }

    fn scan(scanner: &mut Scanner, depth: usize, left: &mut usize) -> Result<Node> {
        Ok(match scanner.peek() {
            Some(b'{') => Node::Object(Object::scan(scanner, depth, left)?),
            _ => Node::Text(scanner.value(depth)?.into()),
        })
    }
}

impl Object {
    /// Names and values in the order of the text.
    pub fn members(&self) -> impl Iterator<Item = (Cow<'_, str>, &Node)> {
        self.members.iter().filter(|member| !member.is_repeated).map(|member| (member.name(), &member.value))
    }

    /// The objects among the values, with their names, to be edited.
    pub fn objects_mut(&mut self) -> impl Iterator<Item = (Cow<'_, str>, &mut Object)> {
        self.members.iter_mut().filter(|member| !member.is_repeated).filter_map(|member| match &mut member.value {
            Node::Object(object) => Some((name(&member.key), object)),
            Node::Text(_) => None,
        })
    }

    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// The object at the end of a path of names; for an empty path, this one.
    pub fn at_mut(&mut self, path: &[&str]) -> Option<&mut Object> {
        let [first, rest @ ..] = path else { return Some(self) };
        self.objects_mut().find(|(name, _)| name == first)?.1.at_mut(rest)
    }

    /// Gives `name` a value: in its place if the object has it, else at the end, formatted like its neighbours.
    /// A value that is already there stays as it is written.
    pub fn set(&mut self, name: &str, value: &Value) {
        if self.get(name).and_then(Node::value).as_ref() == Some(value) {
            return;
        }
        let [before, after] = self.space_around_last();
        let value = Node::write(value, &before, &after);
        if let Some(member) = self.members.iter_mut().rev().find(|member| member.name() == name) {
            member.value = value;
            return;
        }
        let colon = self.members.last().map_or(": ", |last| &last.colon).into();
        if let Some(last) = self.members.last_mut() {
            last.after.clear();
        }
        let key = text(&name);
        self.members.push(Member { before, key, colon, value, after, is_repeated: false });
    }

    /// Removes `name`, if it is there.
    pub fn remove(&mut self, name: &str) {
        let (Some(first), Some(last)) = (self.members.first(), self.members.last()) else { return };
        let [before, after] = [first.before.clone(), last.after.clone()];
        self.members.retain(|member| member.name() != name);
        // The space inside the braces stays, whichever member is now next to it.
        if let Some(first) = self.members.first_mut() {
            first.before = before;
        }
        if let Some(last) = self.members.last_mut() {
            last.after = after;
        }
    }

    /// The white space before and after a member that is added at the end.
    fn space_around_last(&self) -> [String; 2] {
        match self.members.as_slice() {
            [] if line(&self.inside).is_empty() => [self.inside.clone(), self.inside.clone()],
            [] => [line(&self.inside).to_string() + INDENT, line(&self.inside).into()],
            // {"a": 1} has no comma that shows whether a space follows it.
            [only] if only.before.is_empty() && only.colon.ends_with(' ') => [" ".into(), only.after.clone()],
            [.., last] if line(&last.before).is_empty() => [last.before.clone(), last.after.clone()],
            [.., last] => [line(&last.before).into(), last.after.clone()],
        }
    }

    /// At most `left` more members may follow in the whole document.
    fn scan(scanner: &mut Scanner, depth: usize, left: &mut usize) -> Result<Object> {
        scanner.open(b'{', depth)?;
        let mut before = scanner.whitespace().to_string();
        if scanner.accept(b'}') {
            return Ok(Object { members: Vec::new(), inside: before });
        }
        let mut members = Vec::new();
        loop {
            *left = left.checked_sub(1).ok_or_else(|| scanner.fault(&format!("more than {MEMBERS} members")))?;
            members.push(Member {
                before,
                key: scanner.string()?.into(),
                colon: scanner.colon()?.into(),
                value: Node::scan(scanner, depth + 1, left)?,
                after: scanner.whitespace().into(),
                is_repeated: false,
            });
            if scanner.closes(b'}')? {
                break;
            }
            before = scanner.whitespace().into();
        }
        let names: Vec<Cow<str>> = members.iter().map(Member::name).collect();
        let mut order: Vec<u32> = (0..names.len() as u32).collect();
        sort_numbers(&mut order, &|one, other| names[one as usize].cmp(&names[other as usize]));
        let same = |pair: &&[u32]| names[pair[0] as usize] == names[pair[1] as usize];
        let repeated: Vec<usize> = order.windows(2).filter(same).map(|pair| pair[0] as usize).collect();
        repeated.into_iter().for_each(|earlier| members[earlier].is_repeated = true);
        Ok(Object { members, inside: String::new() })
    }
}

impl Member {
    fn name(&self) -> Cow<'_, str> {
        name(&self.key)
    }
}

/// The name that a key, a string with quotes, stands for. Half a surrogate pair stays an escape.
fn name(key: &str) -> Cow<'_, str> {
    decoded(key).unwrap_or(Cow::Borrowed(&key[1..key.len() - 1]))
}

/// The last line break in white space and what follows it.
fn line(space: &str) -> &str {
    let Some(at) = space.rfind('\n') else { return "" };
    &space[at - usize::from(space[..at].ends_with('\r'))..]
}

impl fmt::Display for Document {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}{}{}", self.before, self.root, self.after)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Node::Object(object) => object.fmt(formatter),
            Node::Text(text) => formatter.write_str(text),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("{")?;
        if self.members.is_empty() {
            formatter.write_str(&self.inside)?;
        }
        for (number, Member { before, key, colon, value, after, .. }) in self.members.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(formatter, "{comma}{before}{key}{colon}{value}{after}")?;
        }
        formatter.write_str("}")
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
