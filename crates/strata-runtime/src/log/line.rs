//! One line of a log file.

use jiff::Timestamp;
use serde::Deserialize;

use super::Stream;

/// The longest line that a reader takes. What this crate writes is far shorter; what is longer is no log.
pub(super) const LONGEST: usize = 1 << 20;

/// A piece of output: a line, or a part of one that is longer than 16 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Nanoseconds since 1970.
    pub time: i64,
    /// Where it was written.
    pub stream: Stream,
    /// What was written, with its newline if it has one. Bytes that are no UTF-8 were replaced when it was logged.
    pub bytes: Vec<u8>,
}

/// Appends the line for `output` to `buffer`.
pub(super) fn encode(buffer: &mut Vec<u8>, time: i64, stream: Stream, output: &[u8]) {
    buffer.extend_from_slice(b"{\"log\":\"");
    for chunk in output.utf8_chunks() {
        escape(buffer, chunk.valid());
        if !chunk.invalid().is_empty() {
            buffer.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    buffer.extend_from_slice(match stream {
        Stream::Stdout => b"\",\"stream\":\"stdout\",\"time\":\"",
        Stream::Stderr => b"\",\"stream\":\"stderr\",\"time\":\"",
    });
    let time = Timestamp::from_nanosecond(time.into()).unwrap_or_default();
    let printer = jiff::fmt::temporal::DateTimePrinter::new();
    // Writing to a vector does not fail.
    let _ = printer.print_timestamp(&time, &mut *buffer);
    buffer.extend_from_slice(b"\"}\n");
}

/// Text inside of a JSON string; `<`, `>`, `&` and the two separators of JavaScript as docker writes them.
fn escape(buffer: &mut Vec<u8>, text: &str) {
    const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        let replaced: &[u8] = match character {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            '\u{2028}' => b"\\u2028",
            '\u{2029}' => b"\\u2029",
            '\0'..'\u{20}' | '<' | '>' | '&' => {
                let code = character as usize;
                &[b'\\', b'u', b'0', b'0', HEXADECIMAL[code >> 4], HEXADECIMAL[code & 15]]
            }
            _ => continue,
        };
        buffer.extend_from_slice(&text.as_bytes()[plain..at]);
        buffer.extend_from_slice(replaced);
        plain = at + character.len_utf8();
    }
    buffer.extend_from_slice(&text.as_bytes()[plain..]);
}

/// What a line of a log file says, without its last newline; `None` for what is no line of a log.
pub fn decode_log_line(line: &[u8]) -> Option<LogLine> {
    #[derive(Deserialize)]
    struct Line {
        #[serde(default)]
        log: String,
        stream: Stream,
        time: String,
    }
    if line.len() > LONGEST {
        return None;
    }
    let line: Line = serde_json::from_slice(line).ok()?;
    let time = i64::try_from(line.time.parse::<Timestamp>().ok()?.as_nanosecond()).ok()?;
    Some(LogLine { time, stream: line.stream, bytes: line.log.into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_line_is_read_as_written(output in prop::collection::vec(any::<u8>(), 0..200), time in any::<i64>(), error: bool) {
            let stream = if error { Stream::Stderr } else { Stream::Stdout };
            let mut buffer = Vec::new();
            encode(&mut buffer, time, stream, &output);
            prop_assert_eq!(buffer.iter().filter(|byte| **byte == b'\n').count(), 1);
            let bytes = String::from_utf8_lossy(&output).into_owned().into_bytes();
            prop_assert_eq!(decode_log_line(buffer.strip_suffix(b"\n").unwrap()), Some(LogLine { time, stream, bytes }));
        }

        #[test]
        fn any_bytes_are_a_line_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_log_line(&bytes);
        }
    }

    #[test]
    fn lines_look_as_dockers() {
        let mut buffer = Vec::new();
        encode(&mut buffer, 1_000_000_006, Stream::Stdout, b"a <b> \"c\"\x1b\xff\n");
        let expected = "{\"log\":\"a \\u003cb\\u003e \\\"c\\\"\\u001b\u{fffd}\\n\",\"stream\":\"stdout\",\
                        \"time\":\"1970-01-01T00:00:01.000000006Z\"}\n";
        assert_eq!(String::from_utf8(buffer).unwrap(), expected);
    }
}
