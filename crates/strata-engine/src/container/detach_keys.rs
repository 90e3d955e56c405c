//! The keys that end a client's part in a container with a terminal, while the container goes on.

use crate::{EngineError, Result};

const DEFAULT: &str = "ctrl-p,ctrl-q";

/// A sequence of bytes that is looked for in what the user types. What may become the sequence is held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them have come.
    matched: usize,
}

impl DetachKeys {
    /// Keys by their names, like `ctrl-p,ctrl-q`, which is also what nothing means.
    ///
    /// # Errors
    /// `Invalid` for keys that do not exist.
    pub fn parse(text: &str) -> Result<DetachKeys> {
        let text = if text.is_empty() { DEFAULT } else { text };
        let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
        let keys = keys.ok_or_else(|| EngineError::invalid(format!("Invalid detach keys ({text}) provided")))?;
        Ok(DetachKeys { keys, matched: 0 })
    }

    /// What of these bytes goes to the container, and whether the sequence is complete.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys[self.matched] != *byte {
                passed.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if self.keys[self.matched] != *byte {
                passed.push(*byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                return (passed, true);
            }
        }
        (passed, false)
    }
}

/// A character, `DEL`, or one with `ctrl-`.
fn key(name: &str) -> Option<u8> {
    match (name.strip_prefix("ctrl-").map(str::as_bytes), name.as_bytes()) {
        (Some([letter @ b'a'..=b'z']), _) => Some(letter - b'a' + 1),
        (Some([sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')]), _) => Some(sign - b'@'),
        (None, [byte]) => Some(*byte),
        (None, b"DEL") => Some(127),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keys() {
        for (name, byte) in [("ctrl-p", 16), ("ctrl-@", 0), ("ctrl-\\", 28), ("ctrl-_", 31), ("a", b'a'), ("DEL", 127)]
        {
            assert_eq!(key(name), Some(byte), "{name}");
        }
        for name in ["", "foo", "ctrl-", "ctrl-A", "ctrl-pq"] {
            assert_eq!(key(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_typed_passes_but_for_the_keys() {
        let of = |keys: &[u8], typed: &[&[u8]]| {
            let mut keys = DetachKeys { keys: keys.to_vec(), matched: 0 };
            let mut passed = Vec::new();
            for part in typed {
                let (bytes, is_complete) = keys.filter(part);
                passed.extend(bytes);
                if is_complete {
                    return (String::from_utf8(passed).unwrap(), true);
                }
            }
            (String::from_utf8(passed).unwrap(), false)
        };
        assert_eq!(of(b"ab", &[b"xyab", b"z"]), ("xy".into(), true));
        assert_eq!(of(b"ab", &[b"xa", b"bz"]), ("x".into(), true));
        assert_eq!(of(b"ab", &[b"a", b"a", b"x"]), ("aax".into(), false));
        assert_eq!(of(b"ab", &[b"aab"]), ("a".into(), true));
        assert_eq!(of(b"a", &[b"xa"]), ("x".into(), true));
        assert_eq!(of(b"ab", &[b"xa"]), ("x".into(), false), "it is held back");
    }
}
