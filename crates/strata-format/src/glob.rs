//! Patterns of `--filter reference=`: Go's `path.Match`.
//!
//! `*` matches any run of bytes without `/`, `?` one character except `/`, `[a-z]` and `[^a-z]` one character of a
//! class, `\c` the character `c`. The whole name must match.

use crate::Error;

/// Says whether `name` matches `pattern` as a whole.
///
/// # Errors
/// [`Error::Pattern`] when the pattern is malformed. Like Go's, a malformed part may go unnoticed when the name has
/// matched without it.
pub fn matches(pattern: &str, name: &str) -> Result<bool, Error> {
    let mut pattern = pattern.as_bytes();
    let mut name = name.as_bytes();
    while !pattern.is_empty() {
        let chunk = Chunk::take(&mut pattern);
        if chunk.star && chunk.text.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        match match_after_star(&chunk, name, pattern.is_empty())? {
            Some(rest) => name = rest,
            None => return check_syntax(pattern).map(|()| false),
        }
    }
    Ok(name.is_empty())
}

/// A run of `*` (or none) and the text up to the next one.
struct Chunk<'p> {
    star: bool,
    text: &'p [u8],
}

impl<'p> Chunk<'p> {
    fn take(pattern: &mut &'p [u8]) -> Self {
        let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
        let rest = &pattern[stars..];
        let mut in_class = false;
        let mut end = 0;
        while end < rest.len() {
            match rest[end] {
                b'\\' if end + 1 < rest.len() => end += 1,
                b'[' => in_class = true,
                b']' => in_class = false,
                b'*' if !in_class => break,
                _ => {}
            }
            end += 1;
        }
        *pattern = &rest[end..];
        Self { star: stars > 0, text: &rest[..end] }
    }
}

/// Matches one chunk at the start of `name` or, after a star, at any later place not beyond a `/`. Returns what is
/// left of the name; the last chunk must leave nothing.
fn match_after_star<'n>(chunk: &Chunk<'_>, name: &'n [u8], last: bool) -> Result<Option<&'n [u8]>, Error> {
    let skippable = if chunk.star { name.iter().take_while(|byte| **byte != b'/').count() } else { 0 };
    for skipped in 0..=skippable {
        if let Some(rest) = match_chunk(chunk.text, &name[skipped..])?
            && (rest.is_empty() || !last)
        {
            return Ok(Some(rest));
        }
    }
    Ok(None)
}

fn check_syntax(mut pattern: &[u8]) -> Result<(), Error> {
    while !pattern.is_empty() {
        match_chunk(Chunk::take(&mut pattern).text, b"")?;
    }
    Ok(())
}

/// Matches a chunk without stars at the start of `name`. After a mismatch the rest of the chunk is still read, so that
/// its syntax is checked.
fn match_chunk<'n>(mut chunk: &[u8], mut name: &'n [u8]) -> Result<Option<&'n [u8]>, Error> {
    let mut failed = false;
    while let Some(&first) = chunk.first() {
        failed |= name.is_empty();
        match first {
            b'[' => {
                let (character, width) = if failed { (0, 0) } else { decode_character(name) };
                name = &name[width..];
                let (rest, matched) = match_class(&chunk[1..], character)?;
                chunk = rest;
                failed |= !matched;
            }
            b'?' => {
                if !failed {
                    failed = name[0] == b'/';
                    name = &name[decode_character(name).1..];
                }
                chunk = &chunk[1..];
            }
            _ => {
                if first == b'\\' {
                    chunk = &chunk[1..];
                }
                let literal = chunk.first().ok_or(Error::Pattern)?;
                if !failed {
                    failed = *literal != name[0];
                    name = &name[1..];
                }
                chunk = &chunk[1..];
            }
        }
    }
    Ok((!failed).then_some(name))
}

/// Reads a class after its `[`; returns what follows the `]` and whether `character` belongs to the class.
fn match_class(mut class: &[u8], character: u32) -> Result<(&[u8], bool), Error> {
    let negated = class.first() == Some(&b'^');
    if negated {
        class = &class[1..];
    }
    let mut matched = false;
    let mut ranges = 0;
    loop {
        if class.first() == Some(&b']') && ranges > 0 {
            return Ok((&class[1..], matched != negated));
        }
        let low;
        (low, class) = class_character(class)?;
        let mut high = low;
        if class.first() == Some(&b'-') {
            (high, class) = class_character(&class[1..])?;
        }
        matched |= (low..=high).contains(&character);
        ranges += 1;
    }
}

/// One possibly escaped character of a class. A class never ends with it: a `]` must follow somewhere.
fn class_character(mut class: &[u8]) -> Result<(u32, &[u8]), Error> {
    if matches!(class.first(), None | Some(b'-' | b']')) {
        return Err(Error::Pattern);
    }
    if class[0] == b'\\' {
        class = &class[1..];
        if class.is_empty() {
            return Err(Error::Pattern);
        }
    }
    let (character, width) = decode_character(class);
    let rest = &class[width..];
    if rest.is_empty() || (character == INVALID && width == 1) { Err(Error::Pattern) } else { Ok((character, rest)) }
}

const INVALID: u32 = 0xfffd;

/// The first character of `text` and its length in bytes. A star may have stopped in the middle of a character; such a
/// byte counts as U+FFFD of length 1. `text` is not empty.
fn decode_character(text: &[u8]) -> (u32, usize) {
    let width = match text[0] {
        0x00..=0x7f => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 0,
    };
    text.get(..width)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| text.chars().next())
        .map_or((INVALID, 1), |character| (u32::from(character), width))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_cases() {
        // The table of Go's path/match_test.go; None stands for ErrBadPattern.
        let cases: &[(&str, &str, Option<bool>)] = &[
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "abc", Some(true)),
            ("a*", "ab/c", Some(false)),
            ("a*/b", "abc/b", Some(true)),
            ("a*/b", "a/c/b", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Some(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Some(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^b-d]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("a[^a][^a][^a]b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("a?b", "a/b", Some(false)),
            ("a*b", "a/b", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "x", Some(true)),
            ("[x\\-]", "-", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[\\-x]", "x", Some(true)),
            ("[\\-x]", "-", Some(true)),
            ("[\\-x]", "a", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[x-]", "-", None),
            ("[x-]", "z", None),
            ("[-x]", "x", None),
            ("[-x]", "-", None),
            ("[-x]", "a", None),
            ("\\", "a", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^", "a", None),
            ("[^bc", "a", None),
            ("a[", "a", None),
            ("a[", "ab", None),
            ("a[", "x", None),
            ("a/b[", "x", None),
            ("*x", "xxx", Some(true)),
            ("alpine:3.*", "alpine:3.22", Some(true)),
            ("*:latest", "ghcr.io/a/b:latest", Some(false)),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name).ok(), *expected, "{pattern:?} on {name:?}");
        }
        assert_eq!(matches("[", "a").unwrap_err().to_string(), "syntax error in pattern");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_pattern_is_answered(pattern in r"[\[\]\\*?^a-c/é-]{0,12}", name in "[a-c/é*-]{0,12}") {
            let _ = matches(&pattern, &name);
        }

        #[test]
        fn an_escaped_name_matches_itself(name in "\\PC{0,16}") {
            let pattern: String = name
                .chars()
                .flat_map(|c| r"[]\*?".contains(c).then_some('\\').into_iter().chain([c]))
                .collect();
            prop_assert_eq!(matches(&pattern, &name), Ok(true));
        }
    }
}
