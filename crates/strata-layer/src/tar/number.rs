//! Numbers and texts in header fields.

/// The field up to its first NUL.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A number in octal digits, padded with spaces and NULs on either side, or in base-256 (first bit set, two's
/// complement, most significant byte first). An empty field is 0. `None` when it is neither or exceeds 64 bits.
pub(crate) fn parse(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

/// A number in octal digits only, see [`parse`].
pub(crate) fn octal(field: &[u8]) -> Option<i64> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(start) = field.iter().position(|byte| !is_padding(byte)) else {
        return Some(0);
    };
    let end = field.iter().rposition(|byte| !is_padding(byte)).map_or(start, |last| last + 1);
    text(&field[start..end]).iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' if value < 1 << 60 => Some(value << 3 | i64::from(digit - b'0')),
        _ => None,
    })
}

fn base_256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (position, byte) in field.iter().enumerate() {
        // The first bit is only the mark; in a negative number it is a sign bit like the next one.
        let byte = match (position, negative) {
            (0, true) => byte | 0x80,
            (0, false) => byte & 0x7f,
            _ => *byte,
        };
        value = value << 8 | i128::from(byte);
        i64::try_from(value).ok()?;
    }
    i64::try_from(value).ok()
}

/// A decimal number without sign; `None` when it is empty, not decimal, or exceeds 63 bits.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => {
            let value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            (value <= i64::MAX as u64).then_some(value)
        }
        _ => None,
    })
}

/// A decimal number with an optional `-` or `+`.
pub(crate) fn signed_decimal(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => decimal(digits).map(|value| -(value as i64)),
        [b'+', digits @ ..] | digits => decimal(digits).map(|value| value as i64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_notation() {
        let table: &[(&[u8], Option<i64>)] = &[
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644\0junk", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"", Some(0)),
            (b"77777777777", Some(0o77777777777)),
            (b"8", None),
            (b"-1", None),
            (b"0x1", None),
            (b"\x80\0\0\0\0\0\0\x01", Some(1)),
            (b"\x80\0\0\0\x02\0\0\0\0", Some(8 << 30)),
            (b"\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"777777777777777777777777", None),
        ];
        for (field, expected) in table {
            assert_eq!(parse(field), *expected, "{field:?}");
        }
        assert_eq!(octal(b"12 \0"), Some(10));
        assert_eq!(signed_decimal(b"-12"), Some(-12));
        assert_eq!(signed_decimal(b"9223372036854775808"), None);
        assert_eq!(signed_decimal(b"-"), None);
    }
}
