//! Ranges: of blobs that are read (RFC 9110, section 14) and of chunks that are written (OCI distribution-spec, "Pushing a
//! blob in chunks", which has a form of its own).

/// Which bytes of a blob to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of them.
    Whole,
    /// `length` bytes from `first` on.
    Part { first: u64, length: u64 },
    /// None can be: the range lies behind the end, or ends before it begins.
    Nothing,
}

/// Reads a `Range` header for a blob of `size` bytes. What is not understood, and several ranges, mean the whole blob.
pub(crate) fn parse_range(header: &str, size: u64) -> Wanted {
    let Some((unit, range)) = header.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let Some((first, last)) = range.trim().split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if last < first => Wanted::Nothing,
        (Some(first), _) if first >= size && (last.is_empty() || number(last).is_some()) => Wanted::Nothing,
        (Some(first), Some(last)) => Wanted::Part { first, length: last.min(size - 1) - first + 1 },
        (Some(first), None) if last.is_empty() => Wanted::Part { first, length: size - first },
        (None, Some(0)) if first.is_empty() => Wanted::Nothing,
        (None, Some(_)) if first.is_empty() && size == 0 => Wanted::Nothing,
        (None, Some(last)) if first.is_empty() => {
            let length = last.min(size);
            Wanted::Part { first: size - length, length }
        }
        _ => Wanted::Whole,
    }
}

/// Reads a `Content-Range` of a chunk, `<first>-<last>` with both included; returns the first byte and the length.
pub(crate) fn parse_chunk_range(header: &str) -> Option<(u64, u64)> {
    let (first, last) = header.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

/// Digits only, unlike `u64::from_str`.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        let part = |first, length| Wanted::Part { first, length };
        let cases = [
            ("bytes=0-4", part(0, 5)),
            ("bytes=3-", part(3, 7)),
            ("bytes=-4", part(6, 4)),
            ("bytes=-40", part(0, 10)),
            ("bytes=9-9", part(9, 1)),
            ("bytes=5-100", part(5, 5)),
            ("BYTES = 0-0", part(0, 1)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-12", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=4-3", Wanted::Nothing),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=+1-4", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("0-4", Wanted::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(parse_range(header, 10), expected, "{header}");
        }
        assert_eq!(parse_range("bytes=0-0", 0), Wanted::Nothing);
        assert_eq!(parse_range("bytes=-1", 0), Wanted::Nothing);
    }

    #[test]
    fn ranges_of_chunks() {
        let cases = [("0-9", Some((0, 10))), ("10-10", Some((10, 1)))];
        for (header, expected) in cases {
            assert_eq!(parse_chunk_range(header), expected, "{header}");
        }
        for bad in ["", "-", "5-4", "bytes 0-9/10", "0-9/10", "+0-9", "0-", "0-18446744073709551615"] {
            assert_eq!(parse_chunk_range(bad), None, "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_part_lies_within_the_blob(header in "bytes=[0-9]{0,3}-[0-9]{0,3}", size in 0u64..200) {
            if let Wanted::Part { first, length } = parse_range(&header, size) {
                prop_assert!(length > 0 && first + length <= size);
            }
        }
    }
}
