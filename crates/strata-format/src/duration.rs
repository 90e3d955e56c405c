//! Spans of time: Go's `1h30m` notation and docker's `6 weeks`.
//!
//! A Go duration is a signed count of nanoseconds in 64 bits, about 292 years at most.

use crate::Error;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span of `nanoseconds` for people, as in the CREATED column before ` ago`: `About an hour`, `6 weeks`.
pub fn human(nanoseconds: i64) -> String {
    let seconds = nanoseconds / SECOND as i64;
    let minutes = nanoseconds / MINUTE as i64;
    let whole_hours = nanoseconds / HOUR as i64;
    let hours = (nanoseconds as f64 / HOUR as f64 + 0.5) as i64;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", whole_hours / 24 / 365),
    }
}

/// Reads a Go duration (`1h30m`, `1.5h`, `-100ms`, `0`) as nanoseconds.
///
/// # Errors
/// [`Error::Duration`] with Go's text for a malformed or too long duration.
pub fn parse(text: &str) -> Result<i64, Error> {
    parse_units(text, go_unit)
}

/// Reads a duration that may also use days and weeks of 24 and 168 hours: `30d`, `1w12h`. Docker has no such units.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_days(text: &str) -> Result<i64, Error> {
    parse_units(text, |unit| match unit {
        "d" => Some(DAY),
        "w" => Some(7 * DAY),
        _ => go_unit(unit),
    })
}

fn go_unit(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

fn parse_units(text: &str, unit_size: impl Fn(&str) -> Option<u64>) -> Result<i64, Error> {
    let invalid = || Error::Duration(format!("time: invalid duration {text:?}"));
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let number = Number::take(&mut rest).ok_or_else(invalid)?;
        let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, after) = rest.split_at(unit_end);
        if unit.is_empty() {
            return Err(Error::Duration(format!("time: missing unit in duration {text:?}")));
        }
        let size = unit_size(unit)
            .ok_or_else(|| Error::Duration(format!("time: unknown unit {unit:?} in duration {text:?}")))?;
        rest = after;
        total = number.times(size).and_then(|span| total.checked_add(span)).ok_or_else(invalid)?;
        if total > 1 << 63 {
            return Err(invalid());
        }
    }
    let total = i128::from(total);
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// A decimal number without sign or exponent.
struct Number {
    whole: u64,
    fraction: u64,
    /// The value of one in the last digit of `fraction`, as a divisor.
    scale: f64,
}

impl Number {
    fn take(rest: &mut &str) -> Option<Self> {
        let whole_text = take_digits(rest);
        let mut number = Self { whole: 0, fraction: 0, scale: 1.0 };
        if !whole_text.is_empty() {
            number.whole = whole_text.parse().ok().filter(|whole| *whole <= 1 << 63)?;
        }
        let mut fraction_text = "";
        if let Some(after) = rest.strip_prefix('.') {
            *rest = after;
            fraction_text = take_digits(rest);
            for digit in fraction_text.bytes() {
                let longer = number.fraction.checked_mul(10).and_then(|f| f.checked_add(u64::from(digit - b'0')));
                // Digits beyond the range are dropped, not an error.
                let Some(longer) = longer.filter(|f| *f <= 1 << 63) else { break };
                number.fraction = longer;
                number.scale *= 10.0;
            }
        }
        (!whole_text.is_empty() || !fraction_text.is_empty()).then_some(number)
    }

    fn times(&self, unit: u64) -> Option<u64> {
        let fraction = (self.fraction as f64 * (unit as f64 / self.scale)) as u64;
        self.whole.checked_mul(unit)?.checked_add(fraction)
    }
}

fn take_digits<'t>(rest: &mut &'t str) -> &'t str {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    digits
}

/// Writes `nanoseconds` as Go does: `72h3m0.5s`, `1.5ms`, `0s`.
pub fn to_go_string(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let text = match size {
        0 => "0s".to_owned(),
        _ if size < MICROSECOND => format!("{size}ns"),
        _ if size < MILLISECOND => format!("{}µs", with_fraction(size, MICROSECOND)),
        _ if size < SECOND => format!("{}ms", with_fraction(size, MILLISECOND)),
        _ => {
            let seconds = with_fraction(size % MINUTE, SECOND);
            match (size / HOUR, size / MINUTE % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// `size / unit` as an exact decimal without trailing zeros; `unit` is a power of ten.
fn with_fraction(size: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", size / unit, size % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn human_durations() {
        const S: i64 = SECOND as i64;
        const H: i64 = HOUR as i64;
        const D: i64 = DAY as i64;
        for (span, expected) in [
            (-5 * S, "Less than a second"),
            (450 * MILLISECOND as i64, "Less than a second"),
            (S, "1 second"),
            (45 * S, "45 seconds"),
            (60 * S, "About a minute"),
            (90 * S, "About a minute"),
            (119 * S, "About a minute"),
            (180 * S, "3 minutes"),
            (59 * 60 * S + 59 * S, "59 minutes"),
            (H, "About an hour"),
            (75 * 60 * S, "About an hour"),
            (90 * 60 * S, "2 hours"),
            (47 * H, "47 hours"),
            (48 * H, "2 days"),
            (13 * D, "13 days"),
            (14 * D, "2 weeks"),
            (48 * D, "6 weeks"),
            (59 * D, "8 weeks"),
            (60 * D, "2 months"),
            (729 * D, "24 months"),
            (730 * D, "2 years"),
            (20_600 * D, "56 years"),
        ] {
            assert_eq!(human(span), expected, "{span}");
        }
    }

    #[test]
    fn go_durations() {
        for (text, seconds) in [
            ("0", 0.0),
            ("0s", 0.0),
            ("24h", 86400.0),
            ("1h30m", 5400.0),
            ("1.5h", 5400.0),
            ("100ms", 0.1),
            ("+5s", 5.0),
            ("-1m", -60.0),
            (".5s", 0.5),
            ("1.s", 1.0),
            ("3us", 3e-6),
            ("3µs", 3e-6),
            ("2h45m30.25s", 9930.25),
        ] {
            assert_eq!(parse(text), Ok((seconds * 1e9f64).round() as i64), "{text}");
        }
        assert_eq!(parse("-9223372036854775808ns"), Ok(i64::MIN));
        assert_eq!(parse_with_days("30d"), Ok(30 * DAY as i64));
        assert_eq!(parse_with_days("1w12h"), Ok((7 * DAY + 12 * HOUR) as i64));
    }

    #[test]
    fn go_errors() {
        for (text, message) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            ("abc", "time: invalid duration \"abc\""),
            (".s", "time: invalid duration \".s\""),
            ("3", "time: missing unit in duration \"3\""),
            ("1h3", "time: missing unit in duration \"1h3\""),
            ("3x", "time: unknown unit \"x\" in duration \"3x\""),
            ("30d", "time: unknown unit \"d\" in duration \"30d\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            ("3000000h", "time: invalid duration \"3000000h\""),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn prints_as_go() {
        for (span, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (480_000_000_001, "8m0.000000001s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(to_go_string(span), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_printed_duration_reads_back(span in any::<i64>()) {
            let read = parse(&to_go_string(span)).unwrap();
            // Fractions are read through floating point, as in Go.
            prop_assert!(read.abs_diff(span) <= 1);
        }

        #[test]
        fn any_text_is_answered(text in "[-+]?[0-9.hmsuµd]{0,16}\\PC{0,2}") {
            let _ = (parse(&text), parse_with_days(&text));
        }

        #[test]
        fn human_duration_is_total(span in any::<i64>()) {
            prop_assert!(!human(span).is_empty());
        }
    }
}
