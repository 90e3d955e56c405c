//! PAX extended headers: records `length key=value\n`.

use super::number::{decimal, signed_decimal};
use crate::entry::{Timestamp, Xattrs};
use crate::error::TarProblem;

/// What one extended header (`x`) says about the entry after it. Absent keys are `None`; keys that layers have no use
/// for (`atime`, `comment`, vendors' keys) are passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<i64>,
    pub(crate) gid: Option<i64>,
    pub(crate) mtime: Option<Timestamp>,
    pub(crate) xattrs: Xattrs,
    pub(crate) sparse: SparseKeys,
}

/// The `GNU.sparse.*` keys of the formats 0.0, 0.1 and 1.0.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SparseKeys {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    /// Logical size: `size` in 0.x, `realsize` in 1.0.
    pub(crate) size: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    /// Offsets and lengths in turn: `map` in 0.1, pairs of `offset` and `numbytes` in 0.0.
    pub(crate) map: Option<Vec<u64>>,
}

/// Parses the data of an extended header. Of a repeated key the last value counts, an empty value stands for the
/// header's own field (as in Go).
pub(crate) fn parse(mut data: &[u8]) -> Result<Pax, TarProblem> {
    let mut pax = Pax::default();
    let mut from_libarchive = Xattrs::new();
    while !data.is_empty() {
        let Record { key, value } = record(&mut data)?;
        match key {
            b"path" => pax.path = name(value)?,
            b"linkpath" => pax.link = name(value)?,
            b"size" => pax.size = unless_empty(value, decimal, "size")?,
            b"uid" => pax.uid = unless_empty(value, signed_decimal, "uid")?,
            b"gid" => pax.gid = unless_empty(value, signed_decimal, "gid")?,
            b"mtime" => pax.mtime = unless_empty(value, timestamp, "mtime")?,
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    pax.sparse.set(key, value)?;
                } else if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    set(&mut pax.xattrs, name.to_vec(), value.to_vec());
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let value = base64(value).ok_or(TarProblem::Pax("LIBARCHIVE.xattr is not base64"))?;
                    set(&mut from_libarchive, percent_decoded(name), value);
                }
            }
        }
    }
    // libarchive writes both forms; the plain one is what others read, so it decides.
    for (name, value) in from_libarchive {
        if !pax.xattrs.iter().any(|(known, _)| *known == name) {
            pax.xattrs.push((name, value));
        }
    }
    pax.xattrs.sort_unstable();
    Ok(pax)
}

struct Record<'a> {
    key: &'a [u8],
    /// Any bytes, also NUL and newline.
    value: &'a [u8],
}

/// Splits off the first record.
fn record<'a>(data: &mut &'a [u8]) -> Result<Record<'a>, TarProblem> {
    const MALFORMED: TarProblem = TarProblem::Pax("malformed record");
    let space = data.iter().take(20).position(|&byte| byte == b' ').ok_or(MALFORMED)?;
    let length = decimal(&data[..space]).and_then(|length| usize::try_from(length).ok()).ok_or(MALFORMED)?;
    if length <= space + 1 || length > data.len() || data[length - 1] != b'\n' {
        return Err(MALFORMED);
    }
    let record = &data[space + 1..length - 1];
    let equals = record.iter().position(|&byte| byte == b'=').ok_or(MALFORMED)?;
    if equals == 0 || record[..equals].contains(&0) {
        return Err(MALFORMED);
    }
    *data = &data[length..];
    Ok(Record { key: &record[..equals], value: &record[equals + 1..] })
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, TarProblem> {
    if value.contains(&0) {
        return Err(TarProblem::Pax("NUL in a path"));
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

fn unless_empty<T>(
    value: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
    key: &'static str,
) -> Result<Option<T>, TarProblem> {
    match value {
        [] => Ok(None),
        _ => parse(value).map(Some).ok_or(TarProblem::Number(key)),
    }
}

fn set(xattrs: &mut Xattrs, name: Vec<u8>, value: Vec<u8>) {
    match xattrs.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => xattrs.push((name, value)),
    }
}

/// `[-]seconds[.fraction]`; digits beyond nanoseconds are dropped, and `-1.25` is 1.25 seconds before 1970.
fn timestamp(value: &[u8]) -> Option<Timestamp> {
    let (whole, fraction) = match value.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&value[..dot], &value[dot + 1..]),
        None => (value, &[][..]),
    };
    let seconds = signed_decimal(whole)?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanoseconds =
        (0..9).fold(0, |value, place| value * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0')));
    if whole.first() == Some(&b'-') && nanoseconds > 0 {
        return Some(Timestamp { seconds: seconds.checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds });
    }
    Some(Timestamp { seconds, nanoseconds })
}

impl SparseKeys {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarProblem> {
        const MALFORMED: TarProblem = TarProblem::Pax("malformed GNU.sparse value");
        let number = || decimal(value).ok_or(MALFORMED);
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"size" | b"realsize" => self.size = Some(number()?),
            b"name" => self.name = name(value)?,
            b"map" => {
                let numbers = match value {
                    [] => Some(Vec::new()),
                    _ => value.split(|&byte| byte == b',').map(decimal).collect(),
                };
                self.map = Some(numbers.ok_or(MALFORMED)?);
            }
            b"offset" | b"numbytes" => {
                let map = self.map.get_or_insert_default();
                if map.len() % 2 != usize::from(key == b"numbytes") {
                    return Err(MALFORMED);
                }
                map.push(number()?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Decodes base64 (RFC 4648, section 4), with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(out)
}

/// libarchive writes attribute names with `%xx` for bytes that are not printable; anything else stays as it is.
fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let hex = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if let (b'%', [high, low, tail @ ..]) = (first, tail)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            out.push(high << 4 | low);
            rest = tail;
        } else {
            out.push(first);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record_of(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let length = (1..20).map(|digits| body + digits).find(|length| body + length.to_string().len() == *length);
        let mut record = format!("{} {key}=", length.unwrap()).into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        record
    }

    #[test]
    fn records_are_read_and_weird_keys_passed_over() {
        let data = [
            record_of("path", b"first"),
            record_of("path", b"caf\xc3\xa9/x=y"),
            record_of("size", b"8589934592"),
            record_of("uid", b"4294967294"),
            record_of("gid", b""),
            record_of("mtime", b"-1.25"),
            record_of("atime", b"not a time"),
            record_of("some.vendor key", b"\0\n\0"),
            record_of("SCHILY.xattr.security.capability", b"\x01\0\0\x02\n\0="),
            record_of("SCHILY.xattr.user.empty", b""),
            record_of("LIBARCHIVE.xattr.user.a%3db", b"aGVsbG8"),
            record_of("LIBARCHIVE.xattr.user.empty", b"eA=="),
        ]
        .concat();
        let pax = parse(&data).unwrap();
        assert_eq!(pax.path.as_deref(), Some("café/x=y".as_bytes()));
        assert_eq!((pax.size, pax.uid, pax.gid), (Some(8 << 30), Some(4294967294), None));
        assert_eq!(pax.mtime, Some(Timestamp { seconds: -2, nanoseconds: 750_000_000 }));
        let expected: [(&[u8], &[u8]); 3] =
            [(b"security.capability", b"\x01\0\0\x02\n\0="), (b"user.a=b", b"hello"), (b"user.empty", b"")];
        assert_eq!(pax.xattrs, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
    }

    #[test]
    fn malformed_records_are_refused() {
        for data in [
            &b"5 a=b"[..],
            b"6 a=bX",
            b"99 a=b\n",
            b"3 \n",
            b"5 ab\n",
            b"5 =b\n",
            b"0 a=b\n",
            b" a=b\n",
            b"-6 a=b\n",
            b"99999999999999999999 a=b\n",
            b"\0\0\0\0",
        ] {
            assert!(parse(data).is_err(), "{:?}", String::from_utf8_lossy(data));
        }
        for (key, value) in [
            ("path", &b"a\0b"[..]),
            ("size", b"-1"),
            ("uid", b"0x10"),
            ("mtime", b"1.2.3"),
            ("mtime", b"."),
            ("GNU.sparse.map", b"1,2,x"),
            ("GNU.sparse.numbytes", b"1"),
            ("LIBARCHIVE.xattr.user.x", b"a!"),
        ] {
            assert!(parse(&record_of(key, value)).is_err(), "{key}");
        }
    }

    #[test]
    fn times_are_floored() {
        let table: &[(&[u8], i64, u32)] = &[
            (b"1350244992.023960108", 1350244992, 23_960_108),
            (b"1350244992.0239601081", 1350244992, 23_960_108),
            (b"12.5", 12, 500_000_000),
            (b"12.", 12, 0),
            (b"-1", -1, 0),
            (b"-0.5", -1, 500_000_000),
            (b"-1.000000001", -2, 999_999_999),
        ];
        for (text, seconds, nanoseconds) in table {
            assert_eq!(timestamp(text), Some(Timestamp { seconds: *seconds, nanoseconds: *nanoseconds }), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&data);
        }
    }
}
