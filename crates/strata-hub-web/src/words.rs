//! Numbers, sizes and times as people write them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// 950, 1.3K, 58.3M, 11.9B.
pub(crate) fn count(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K")];
    for (unit, letter) in UNITS {
        let tenths = number.saturating_add(unit / 20) / (unit / 10);
        // What would be written as 1000 of the smaller unit is one of this.
        if number.saturating_add(unit / 2000) >= unit {
            return match (tenths / 10, tenths % 10) {
                (100.., _) => format!("{}{letter}", number.saturating_add(unit / 2) / unit),
                (whole, 0) => format!("{whole}{letter}"),
                (whole, tenth) => format!("{whole}.{tenth}{letter}"),
            };
        }
    }
    number.to_string()
}

/// 1 star, 58.3M stars.
pub(crate) fn counted(number: u64, unit: &str) -> String {
    format!("{} {unit}{}", count(number), if number == 1 { "" } else { "s" })
}

/// 12,304.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1 file, 12,304 files, 2 entries.
pub(crate) fn exactly(number: u64, unit: &str) -> String {
    let unit = match (number, unit.strip_suffix('y')) {
        (1, _) => unit.to_owned(),
        (_, Some(stem)) => format!("{stem}ies"),
        (_, None) => format!("{unit}s"),
    };
    format!("{} {unit}", thousands(number))
}

/// 912 B, 4.1 kB, 72.9 MB.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value >= 99.95 => format!("{value:.0} {}", UNITS[unit]),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// 3 days ago; of times in nanoseconds since 1970.
pub(crate) fn ago(time: i64, now: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let seconds = now.saturating_sub(time).max(0) / SECOND;
    let (number, unit) = match seconds {
        0..45 => return "just now".to_owned(),
        45..5_400 => ((seconds + 30) / 60, "minute"),
        5_400..129_600 => ((seconds + 1_800) / 3_600, "hour"),
        129_600..3_888_000 => ((seconds + 43_200) / 86_400, "day"),
        3_888_000..47_304_000 => ((seconds + 1_296_000) / 2_592_000, "month"),
        _ => ((seconds + 15_768_000) / 31_536_000, "year"),
    };
    let number = number.max(1);
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

/// 2026-11-23 16:22 UTC; of a time in nanoseconds since 1970.
pub(crate) fn exact(time: i64) -> String {
    match Timestamp::from_nanosecond(i128::from(time)) {
        Ok(time) => utc(time),
        Err(_) => String::new(),
    }
}

/// A time as a document states it (RFC 3339), written as [`exact`] does; what is none stays as it is, made visible.
pub(crate) fn stated(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => utc(time),
        Err(_) => strata_hub::printable(text.as_bytes()),
    }
}

/// The value of a setting of an image as it is read.
pub(crate) fn setting(name: &str, value: &str) -> String {
    if name == "Created" { stated(value) } else { value.to_owned() }
}

fn utc(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// 2026-11-23; of a number of days since 1970.
pub(crate) fn day(days: i64) -> String {
    exact(days.saturating_mul(86_400_000_000_000)).chars().take(10).collect()
}

/// For the attribute `datetime`; of a time in nanoseconds since 1970.
pub(crate) fn machine(time: i64) -> String {
    Timestamp::from_second(time / 1_000_000_000).map(|time| time.to_string()).unwrap_or_default()
}

/// The first twelve digits of a digest.
pub(crate) fn short(digest: &str) -> &str {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1K"),
            (1_249, "1.2K"),
            (1_250, "1.3K"),
            (99_960, "100K"),
            (999_499, "999K"),
            (58_349_000, "58.3M"),
            (999_500, "1M"),
            (999_999, "1M"),
            (11_882_301_384, "11.9B"),
            (u64::MAX, "18446744073B"),
        ];
        for (number, expected) in cases {
            assert_eq!(count(number), expected);
        }
        for (number, expected) in [(0, "0 files"), (1, "1 file"), (999, "999 files"), (1_234_567, "1,234,567 files")] {
            assert_eq!(exactly(number, "file"), expected);
        }
        assert_eq!((exactly(1, "entry"), exactly(1_000, "entry")), ("1 entry".into(), "1,000 entries".into()));
        let sizes = [
            (0, "0 B"),
            (999, "999 B"),
            (4_096, "4.1 kB"),
            (72_950_530, "73.0 MB"),
            (999_950_000, "1.0 GB"),
            (254_500_000, "254 MB"),
        ];
        for (bytes, expected) in sizes {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn times_are_relative() {
        let now = 1_800_000_000_000_000_000;
        let second = 1_000_000_000;
        let cases = [
            (10, "just now"),
            (60, "1 minute ago"),
            (3_600, "60 minutes ago"),
            (7_200, "2 hours ago"),
            (86_400, "24 hours ago"),
            (259_200, "3 days ago"),
            (5_184_000, "2 months ago"),
            (63_072_000, "2 years ago"),
            (-5, "just now"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(ago(now - seconds * second, now), expected);
        }
        assert_eq!(exact(0), "1970-01-01 00:00 UTC");
        assert_eq!(day(20_000), "2024-10-04");
        for (text, expected) in [
            ("2026-11-20T23:04:05.123456789Z", "2026-11-20 23:04 UTC"),
            ("2026-11-21T01:04:05+02:00", "2026-11-20 23:04 UTC"),
            ("0001-01-01T00:00:00Z", "0001-01-01 00:00 UTC"),
            ("yesterday\u{202e}", "yesterday\\u{202e}"),
        ] {
            assert_eq!(stated(text), expected);
        }
        assert_eq!(machine(1_000_000_000), "1970-01-01T00:00:01Z");
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
    }
}
