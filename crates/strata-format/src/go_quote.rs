//! Go string literals: `strconv.Quote`, `strconv.Unquote` and the names of single characters.

/// Says whether Go prints a character as itself: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(crate) fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        // The debug form escapes what has no visible form.
        _ => character > '\u{a0}' && character.escape_debug().count() == 1,
    }
}

/// A double quoted Go string literal of `text`.
pub(crate) fn quote(text: &str) -> String {
    quote_with(text, '"')
}

/// A Go character literal.
pub(crate) fn quote_character(character: char) -> String {
    quote_with(character.encode_utf8(&mut [0; 4]), '\'')
}

fn quote_with(text: &str, mark: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(mark);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            _ if character == mark => out.extend(['\\', mark]),
            _ if is_printable(character) => out.push(character),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ => match u32::from(character) {
                code @ (0..=0x1f | 0x7f) => out.push_str(&format!("\\x{code:02x}")),
                code @ 0..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
        }
    }
    out.push(mark);
    out
}

/// A character as `%#U` prints it: `U+0040 '@'`.
pub(crate) fn character_name(character: char) -> String {
    let code = u32::from(character);
    if is_printable(character) { format!("U+{code:04X} '{character}'") } else { format!("U+{code:04X}") }
}

/// The text of a string literal in double quotes or backquotes; `None` when it is malformed. Bytes that are not UTF-8
/// become U+FFFD.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`') {
        return raw.strip_suffix('`').map(|raw| raw.replace('\r', ""));
    }
    let mut rest = literal.strip_prefix('"')?.strip_suffix('"').filter(|_| literal.len() >= 2)?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        match unquote_character(&mut rest, '"')? {
            Unquoted::Character(character) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Unquoted::Byte(byte) => bytes.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number that a character literal such as `'a'` stands for; `None` when it is malformed.
pub(crate) fn unquote_character_literal(literal: &str) -> Option<i64> {
    let mut rest = literal.strip_prefix('\'')?;
    let value = match unquote_character(&mut rest, '\'')? {
        Unquoted::Character(character) => i64::from(u32::from(character)),
        Unquoted::Byte(byte) => i64::from(byte),
    };
    (rest == "'").then_some(value)
}

enum Unquoted {
    Character(char),
    Byte(u8),
}

fn unquote_character(rest: &mut &str, mark: char) -> Option<Unquoted> {
    let first = take_character(rest)?;
    if first == mark || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some(Unquoted::Character(first));
    }
    let escape = take_character(rest)?;
    let character = match escape {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        '\'' | '"' if escape == mark => mark,
        'x' => return take_digits(rest, 2, 16).and_then(|code| u8::try_from(code).ok()).map(Unquoted::Byte),
        'u' => char::from_u32(take_digits(rest, 4, 16)?)?,
        'U' => char::from_u32(take_digits(rest, 8, 16)?)?,
        '0'..='7' => {
            let code = escape.to_digit(8)? * 64 + take_digits(rest, 2, 8)?;
            return u8::try_from(code).ok().map(Unquoted::Byte);
        }
        _ => return None,
    };
    Some(Unquoted::Character(character))
}

fn take_character(rest: &mut &str) -> Option<char> {
    let mut characters = rest.chars();
    let first = characters.next()?;
    *rest = characters.as_str();
    Some(first)
}

fn take_digits(rest: &mut &str, count: usize, radix: u32) -> Option<u32> {
    let digits = rest.get(..count)?;
    let code =
        digits.chars().try_fold(0u32, |code, digit| code.checked_mul(radix)?.checked_add(digit.to_digit(radix)?))?;
    *rest = &rest[count..];
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_unquotes() {
        for (text, quoted) in [
            ("", r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("tab\tline\nbell\x07", r#""tab\tline\nbell\a""#),
            ("\x01\x7f\u{2028}", r#""\x01\x7f\u2028""#),
            ("h…", r#""h…""#),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted).as_deref(), Some(text));
        }
        assert_eq!(unquote("`a\\n`").as_deref(), Some("a\\n"));
        assert_eq!(unquote(r#""\101\x42\u0043""#).as_deref(), Some("ABC"));
        for malformed in ["", "\"", r#""\q""#, r#""\'""#, r#""\x4""#, r#""\ud800""#, r#""a"b""#] {
            assert_eq!(unquote(malformed), None, "{malformed}");
        }
        assert_eq!(unquote_character_literal("'a'"), Some(97));
        assert_eq!(unquote_character_literal(r"'\n'"), Some(10));
        assert_eq!(unquote_character_literal("'ab'"), None);
        assert_eq!(character_name('@'), "U+0040 '@'");
    }
}
