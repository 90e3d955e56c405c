//! Floating point numbers as Go's `strconv.FormatFloat` writes them.

/// Digits after which an `f64` has only zeros: none has more than 1074 after its point. Rust's own formatting panics at
/// a precision beyond 65535, Go's takes any.
const EXACT_DIGITS: usize = 1100;

/// Writes `value` with a verb of `e`, `E`, `f`, `F`, `g` or `G`. Without a precision the shortest digits that read back
/// as the same number are used. Exact ties round to even, as in C.
pub(crate) fn format_float(value: f64, verb: char, precision: Option<usize>) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let text = match verb.to_ascii_lowercase() {
        'f' => fixed(value, precision),
        'e' => scientific(value, precision),
        _ => general(value, precision),
    };
    if verb.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

/// Writes `value` as Go's `encoding/json` does: without exponent between 1e-6 and 1e21.
pub(crate) fn format_json(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        scientific(value, None).replace("e-0", "e-").replace("e+0", "e+")
    } else {
        fixed(value, None)
    }
}

fn fixed(value: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else { return format!("{value}") };
    let exact = precision.min(EXACT_DIGITS);
    format!("{value:.exact$}{}", "0".repeat(precision - exact))
}

fn scientific(value: f64, precision: Option<usize>) -> String {
    let exact = precision.map(|precision| precision.min(EXACT_DIGITS));
    let text = match exact {
        Some(exact) => format!("{value:.exact$e}"),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = split(&text);
    let zeros = "0".repeat(precision.unwrap_or(0) - exact.unwrap_or(0));
    format!("{mantissa}{zeros}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn general(value: f64, precision: Option<usize>) -> String {
    let significant = precision.map(|precision| precision.clamp(1, EXACT_DIGITS));
    let text = match significant {
        Some(digits) => format!("{value:.*e}", digits - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = split(&text);
    let limit = significant.map_or(6, |digits| digits as i32);
    if exponent < -4 || exponent >= limit {
        return format!("{}e{}{:02}", trim_zeros(mantissa), if exponent < 0 { '-' } else { '+' }, exponent.abs());
    }
    match significant {
        // The exponent is that of the rounded number, so this rounds at the same digit.
        Some(digits) => trim_zeros(&fixed(value, Some((digits as i32 - 1 - exponent) as usize))).to_owned(),
        None => fixed(value, None),
    }
}

fn split(text: &str) -> (&str, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_strconv() {
        for (value, verb, precision, expected) in [
            (1.0, 'g', Some(3), "1"),
            (0.0, 'g', Some(3), "0"),
            (100.4, 'g', Some(3), "100"),
            (999.5, 'g', Some(3), "1e+03"),
            (998.5, 'g', Some(3), "998"),
            (0.0001, 'g', Some(3), "0.0001"),
            (0.00001, 'g', Some(3), "1e-05"),
            (1234.5678, 'f', Some(2), "1234.57"),
            (1234.5678, 'e', Some(2), "1.23e+03"),
            (1234.5678, 'E', None, "1.2345678E+03"),
            (100_000.0, 'g', None, "100000"),
            (1_000_000.0, 'g', None, "1e+06"),
            (123_456_789.0, 'g', None, "1.23456789e+08"),
            (0.1, 'g', None, "0.1"),
            (-2.5, 'f', Some(0), "-2"),
            (f64::INFINITY, 'g', None, "+Inf"),
        ] {
            assert_eq!(format_float(value, verb, precision), expected, "{value} %{verb}");
        }
    }

    #[test]
    fn as_json() {
        for (value, expected) in
            [(0.0, "0"), (1.0, "1"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1e-7, "1e-7"), (1e-9, "1e-9")]
        {
            assert_eq!(format_json(value), expected);
        }
    }
}
