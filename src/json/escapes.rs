//! Decodes the escapes of a JSON string.

use std::borrow::Cow;
use std::str::Chars;

/// The text of a string with quotes. `None` if an escape stands for no character, such as half a surrogate pair.
pub(super) fn decoded(quoted: &str) -> Option<Cow<'_, str>> {
    let plain = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if !plain.contains('\\') {
        return Some(Cow::Borrowed(plain));
    }
    let (mut text, mut rest) = (String::with_capacity(plain.len()), plain.chars());
    while !rest.as_str().is_empty() {
        text.push(if rest.as_str().starts_with('\\') { unescaped(&mut rest)? } else { rest.next()? });
    }
    Some(Cow::Owned(text))
}

/// The character of the escape that `chars` begins with, or nothing if it is not valid.
pub(crate) fn unescaped(chars: &mut Chars) -> Option<char> {
    chars.next().filter(|&first| first == '\\')?;
    Some(match chars.next()? {
        plain @ ('"' | '\\' | '/') => plain,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let unit = code_unit(chars)?;
            if !(0xD800..0xDC00).contains(&unit) {
                return char::from_u32(unit);
            }
            (chars.next()? == '\\' && chars.next()? == 'u').then_some(())?;
            let low = code_unit(chars).filter(|low| (0xDC00..0xE000).contains(low))?;
            char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))?
        }
        _ => return None,
    })
}

/// The four hexadecimal digits of one UTF-16 unit.
fn code_unit(chars: &mut Chars) -> Option<u32> {
    (0..4).try_fold(0, |unit, _| Some(unit * 16 + chars.next()?.to_digit(16)?))
}
