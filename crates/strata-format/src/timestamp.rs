//! Points in time: the values of `--filter until=`, and times as Go prints them.

use jiff::{
    SignedDuration, Timestamp, Zoned,
    civil::{Date, DateTime, Time},
    tz::{Offset, TimeZone},
};

use crate::{Error, duration};

/// Reads the value of an `until` or `since` filter.
///
/// It is a Go duration before `now` (`24h`), seconds since the epoch with an optional fraction (`1136073600.5`), or
/// `2006-01-02[T15[:04[:05[.999]]]][Z|+hh:mm]`; without a zone the offset of `now` is used.
///
/// # Errors
/// [`Error::Timestamp`] for any other text and for times that cannot be represented.
pub fn parse(text: &str, now: &Zoned) -> Result<Timestamp, Error> {
    let invalid = || Error::Timestamp(format!("{text:?}"));
    if text != "0"
        && let Ok(span) = duration::parse(text)
    {
        return now.timestamp().checked_sub(SignedDuration::from_nanos(span)).map_err(|_| invalid());
    }
    let date_or_seconds = parse_date(text, now.offset()).or_else(|| parse_seconds(text));
    date_or_seconds.ok_or_else(invalid)
}

fn parse_date(text: &str, local: Offset) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-', &[4, 2, 2])?;
    let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    let (time, zone) = match rest.strip_prefix('T') {
        Some(rest) => rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len())),
        None => ("00", rest),
    };
    let offset = if zone.is_empty() { local } else { parse_offset(zone)? };
    offset.to_timestamp(DateTime::from_parts(date, parse_time(time)?)).ok()
}

/// `15`, `15:04`, `15:04:05` or `15:04:05.999`.
fn parse_time(text: &str) -> Option<Time> {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let parts = clock.split(':').count();
    if fraction.is_some() && parts != 3 {
        return None;
    }
    let padded = format!("{clock}{}", ":00".repeat(3usize.checked_sub(parts)?));
    let [hour, minute, second] = numbers(&padded, ':', &[2, 2, 2])?;
    let nanosecond = fraction.map_or(Some(0), parse_fraction)?;
    Time::new(hour as i8, minute as i8, second as i8, nanosecond).ok()
}

/// Digits after a decimal point as billionths; more than nine digits are cut.
fn parse_fraction(digits: &str) -> Option<i32> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{:0<9.9}", digits).parse().ok()
}

/// `Z` or `+hh:mm`.
fn parse_offset(text: &str) -> Option<Offset> {
    if text == "Z" {
        return Some(Offset::UTC);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = numbers(text.strip_prefix(['+', '-'])?, ':', &[2, 2])?;
    if minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (i32::from(hours) * 60 + i32::from(minutes)) * 60).ok()
}

/// Reads numbers of fixed widths with a separator between them.
fn numbers<const N: usize>(text: &str, separator: char, widths: &[usize; N]) -> Option<[i16; N]> {
    let mut values = [0; N];
    let mut parts = text.split(separator);
    for (value, width) in values.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != *width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

fn parse_seconds(text: &str) -> Option<Timestamp> {
    // A text with a dash is a date; docker does not accept times before the epoch here.
    let (seconds, fraction) = text.split_once('.').map_or((text, "0"), |parts| parts);
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Timestamp::new(seconds.parse().ok()?, parse_fraction(fraction)?).ok()
}

/// A time in UTC as Go's RFC 3339 format with nanoseconds, without trailing zeros: `2025-10-08T11:04:56.5Z`.
pub fn to_rfc3339(time: Timestamp) -> String {
    let civil = TimeZone::UTC.to_datetime(time);
    format!("{}T{}Z", civil.date(), clock(civil))
}

/// A time in a zone as Go's RFC 3339 format with nanoseconds: `2017-01-01T12:00:03+01:00`, `Z` for offset zero.
pub fn to_rfc3339_in(time: Timestamp, zone: &TimeZone) -> String {
    let offset = zone.to_offset(time);
    let civil = offset.to_datetime(time);
    let zone = if offset.seconds() == 0 { "Z".to_owned() } else { offset_text(offset, ":") };
    format!("{}T{}{zone}", civil.date(), clock(civil))
}

/// A time as Go prints it, `2006-01-02 15:04:05.5 -0700 MST`: the CREATED AT column, `time.Time` values in templates.
pub fn to_go_string(time: Timestamp, zone: &TimeZone) -> String {
    let info = zone.to_offset_info(time);
    let civil = info.offset().to_datetime(time);
    format!("{} {} {} {}", civil.date(), clock(civil), offset_text(info.offset(), ""), info.abbreviation())
}

fn clock(civil: DateTime) -> String {
    let mut text = format!("{:02}:{:02}:{:02}", civil.hour(), civil.minute(), civil.second());
    let nanosecond = civil.subsec_nanosecond();
    if nanosecond != 0 {
        text.push_str(format!(".{nanosecond:09}").trim_end_matches('0'));
    }
    text
}

fn offset_text(offset: Offset, separator: &str) -> String {
    let minutes = offset.seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{separator}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> Zoned {
        let zone = TimeZone::fixed(Offset::from_seconds(3600).unwrap());
        Timestamp::from_second(1_760_000_000).unwrap().to_zoned(zone)
    }

    #[test]
    fn until_values() {
        for (text, seconds, nanoseconds) in [
            ("24h", 1_760_000_000 - 86_400, 0),
            ("1h30m", 1_760_000_000 - 5_400, 0),
            ("-1m", 1_760_000_060, 0),
            ("0", 0, 0),
            ("1136073600", 1_136_073_600, 0),
            ("1136073600.000000001", 1_136_073_600, 1),
            ("1136073600.5", 1_136_073_600, 500_000_000),
            ("2006-01-02", 1_136_156_400, 0),
            ("2006-01-02Z", 1_136_160_000, 0),
            ("2006-01-02T15", 1_136_210_400, 0),
            ("2006-01-02T15:04", 1_136_210_640, 0),
            ("2006-01-02T15:04:05", 1_136_210_645, 0),
            ("2006-01-02T15:04:05.999", 1_136_210_645, 999_000_000),
            ("2006-01-02T15:04:05Z", 1_136_214_245, 0),
            ("2006-01-02T15:04:05.5-07:00", 1_136_239_445, 500_000_000),
            ("2006-01-02T15:04+02:00", 1_136_207_040, 0),
            ("2006-01-02-07:00", 1_136_185_200, 0),
        ] {
            assert_eq!(parse(text, &now()), Ok(Timestamp::new(seconds, nanoseconds).unwrap()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "abc", "2006-13-01", "2006-01-02T25:00", "2006-01-02 15:04", "30d", "1.x", "12:00", "é234567890"]
        {
            assert!(parse(text, &now()).is_err(), "{text}");
        }
        assert_eq!(parse("abc", &now()).unwrap_err().to_string(), "failed to parse value as time or duration: \"abc\"");
    }

    #[test]
    fn prints_as_go() {
        let whole = Timestamp::from_second(1_759_921_496).unwrap();
        let parts = Timestamp::new(1_759_921_496, 120_000_000).unwrap();
        let new_york = TimeZone::get("America/New_York").unwrap();
        assert_eq!(to_rfc3339(whole), "2025-10-08T11:04:56Z");
        assert_eq!(to_rfc3339(parts), "2025-10-08T11:04:56.12Z");
        assert_eq!(to_rfc3339(Timestamp::from_second(-62_135_596_800).unwrap()), "0001-01-01T00:00:00Z");
        assert_eq!(to_rfc3339_in(whole, &new_york), "2025-10-08T07:04:56-04:00");
        assert_eq!(to_rfc3339_in(whole, &TimeZone::UTC), "2025-10-08T11:04:56Z");
        assert_eq!(to_go_string(whole, &TimeZone::UTC), "2025-10-08 11:04:56 +0000 UTC");
        assert_eq!(to_go_string(parts, &new_york), "2025-10-08 07:04:56.12 -0400 EDT");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_text_is_answered(text in "[0-9T:.Z+-]{0,30}|\\PC{0,16}") {
            let _ = parse(&text, &now());
        }

        #[test]
        fn a_printed_time_reads_back(seconds in -62_135_596_800i64..253_402_207_200, nanoseconds in 0i32..1_000_000_000) {
            let time = Timestamp::new(seconds, nanoseconds).unwrap();
            prop_assert_eq!(parse(&to_rfc3339(time), &now()), Ok(time));
        }
    }
}
