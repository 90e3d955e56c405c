//! Sizes in bytes for people: `8.32MB`, `31.05GiB`, and reading them back (docker's go-units).

use crate::{Error, go_number};

const DECIMAL_UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY_UNITS: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// A size of `bytes` in decimal units with four significant digits: progress, reclaimed space, `system df`.
pub fn human_size(bytes: f64) -> String {
    human_size_with_precision(bytes, 4)
}

/// A size of `bytes` in decimal units with `digits` significant digits; image lists and history use three.
///
/// The number is printed like C's `%.Ng`, so with three digits 999.5 kB to 999.99 kB print as `1e+03kB`.
pub fn human_size_with_precision(bytes: f64, digits: usize) -> String {
    with_unit(bytes, 1000.0, &DECIMAL_UNITS, digits)
}

/// A size of `bytes` in units of 1024 with four significant digits: memory totals.
pub fn bytes_size(bytes: f64) -> String {
    with_unit(bytes, 1024.0, &BINARY_UNITS, 4)
}

fn with_unit(mut size: f64, base: f64, units: &[&str; 9], digits: usize) -> String {
    let mut unit = 0;
    while size >= base && unit < units.len() - 1 {
        size /= base;
        unit += 1;
    }
    format!("{}{}", go_number::format_float(size, 'g', Some(digits)), units[unit])
}

/// Reads a size in decimal units: `10MB`, `1.5 g` and `10000000` give bytes.
///
/// # Errors
/// [`Error::Size`] for anything that is not a non-negative number with one of the suffixes b, k, m, g, t, p, each
/// alone or followed by `b` or `ib`, in any case.
pub fn parse_decimal(text: &str) -> Result<u64, Error> {
    parse(text, 1000.0)
}

/// Reads a size in units of 1024, as memory and shared memory limits are written: `1g` is 1073741824 bytes.
///
/// # Errors
/// As [`parse_decimal`].
pub fn parse_binary(text: &str) -> Result<u64, Error> {
    parse(text, 1024.0)
}

fn parse(text: &str, base: f64) -> Result<u64, Error> {
    let invalid = || Error::Size(format!("invalid size: '{text}'"));
    let separator = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = text.split_at(separator + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let size: f64 = Some(number)
        .filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)))
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Error::Size(format!("strconv.ParseFloat: parsing {number:?}: invalid syntax")))?;
    if size < 0.0 {
        return Err(invalid());
    }
    let suffix = suffix.to_lowercase();
    let multiplier = multiplier(&suffix, base).ok_or_else(|| Error::Size(format!("invalid suffix: '{suffix}'")))?;
    Ok((size * multiplier) as u64)
}

fn multiplier(suffix: &str, base: f64) -> Option<f64> {
    let mut characters = suffix.chars();
    let Some(unit) = characters.next() else { return Some(1.0) };
    let rest = characters.as_str();
    if unit == 'b' {
        return rest.is_empty().then_some(1.0);
    }
    let power = "kmgtp".find(unit)?;
    ["", "b", "ib"].contains(&rest).then(|| base.powi(power as i32 + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_digits() {
        for (bytes, expected) in [
            (0.0, "0B"),
            (999.0, "999B"),
            (1000.0, "1kB"),
            (8_320_000.0, "8.32MB"),
            (1_234_567_890.0, "1.23GB"),
            (100_400_000.0, "100MB"),
            (999_499.0, "999kB"),
            (999_500.0, "1e+03kB"),
            (999_990.0, "1e+03kB"),
            (1_000_000.0, "1MB"),
            (1_005.0, "1kB"),
            (1_015.0, "1.01kB"),
        ] {
            assert_eq!(human_size_with_precision(bytes, 3), expected, "{bytes}");
        }
    }

    #[test]
    fn four_digits() {
        for (bytes, expected) in [
            (999_600.0, "999.6kB"),
            (999_990.0, "1000kB"),
            (1_234_567.0, "1.235MB"),
            (8_316_000.0, "8.316MB"),
            (1e27, "1000YB"),
            (1e30, "1e+06YB"),
        ] {
            assert_eq!(human_size(bytes), expected, "{bytes}");
        }
        assert_eq!(bytes_size(1024.0), "1KiB");
        assert_eq!(bytes_size(33_339_682_816.0), "31.05GiB");
    }

    #[test]
    fn reads_sizes() {
        for (text, decimal, binary) in [
            ("0", 0, 0),
            ("32", 32, 32),
            ("32b", 32, 32),
            ("32B", 32, 32),
            ("32k", 32_000, 32_768),
            ("32KB", 32_000, 32_768),
            ("32kib", 32_000, 32_768),
            ("10MB", 10_000_000, 10_485_760),
            ("1g", 1_000_000_000, 1 << 30),
            ("1.5 Gb", 1_500_000_000, 1_610_612_736),
            ("32 p", 32_000_000_000_000_000, 36_028_797_018_963_968),
        ] {
            assert_eq!(parse_decimal(text), Ok(decimal), "{text}");
            assert_eq!(parse_binary(text), Ok(binary), "{text}");
        }
    }

    #[test]
    fn refuses_other_texts() {
        for (text, message) in [
            ("", "invalid size: ''"),
            ("hello", "invalid size: 'hello'"),
            ("-32", "invalid size: '-32'"),
            ("32bb", "invalid suffix: 'bb'"),
            ("32kbb", "invalid suffix: 'kbb'"),
            ("32 mm", "invalid suffix: 'mm'"),
            ("32q", "invalid suffix: 'q'"),
            ("32m b", "strconv.ParseFloat: parsing \"32m\": invalid syntax"),
            (" 32", "strconv.ParseFloat: parsing \" 32\": invalid syntax"),
        ] {
            assert_eq!(parse_decimal(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_printed_size_reads_back_nearly(bytes in 0u64..(1 << 50)) {
            let printed = human_size(bytes as f64);
            let read = parse_decimal(&printed).unwrap();
            prop_assert!(read.abs_diff(bytes) <= bytes / 1000 + 1, "{} -> {}", bytes, printed);
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,12}") {
            let _ = parse_decimal(&text);
        }
    }
}
