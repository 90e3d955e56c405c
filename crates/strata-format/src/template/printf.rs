//! Printing values as Go's `fmt` does: print, println and printf.

use super::{Struct, Value};
use crate::{
    go_number::format_float,
    go_quote::{quote, quote_character},
};

/// The widest field and the largest precision; Go has the same limit.
const WIDTH_LIMIT: i128 = 1_000_000;

/// Prints values after each other, with a space between two that are no strings.
pub(super) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    let mut after_string = true;
    for (index, value) in values.iter().enumerate() {
        let is_string = matches!(value, Value::String(_));
        if index > 0 && !is_string && !after_string {
            out.push(' ');
        }
        Verb::plain('v').write(&mut out, value, 0);
        after_string = is_string;
    }
    out
}

/// Prints values with spaces between them and a final line break.
pub(super) fn sprintln(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        Verb::plain('v').write(&mut out, value, 0);
    }
    out.push('\n');
    out
}

/// Prints values as a format says. Mistakes show in the output as in Go: `%!d(string=x)`, `%!s(MISSING)`.
pub(super) fn sprintf(format: &str, values: &[Value]) -> String {
    let mut formatter =
        Sprintf { rest: format, values, next: 0, reordered: false, good_index: true, out: String::new() };
    while let Some(percent) = formatter.rest.find('%') {
        formatter.out.push_str(&formatter.rest[..percent]);
        formatter.rest = &formatter.rest[percent + 1..];
        formatter.directive();
    }
    formatter.out.push_str(formatter.rest);
    formatter.report_extra();
    formatter.out
}

struct Sprintf<'a> {
    rest: &'a str,
    values: &'a [Value],
    /// Index of the next value to print.
    next: usize,
    /// A `[n]` was seen, so unused values are no mistake.
    reordered: bool,
    good_index: bool,
    out: String,
}

impl Sprintf<'_> {
    /// Prints what a `%` and the text after it ask for.
    fn directive(&mut self) {
        let mut verb = Verb::plain('v');
        self.good_index = true;
        while let Some(flag) = self.take_if(|c| "+-# 0".contains(c)) {
            match flag {
                '+' => verb.plus = true,
                '-' => verb.minus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                _ => verb.zero = true,
            }
        }
        self.index();
        match self.number() {
            Some(Ok(width)) => {
                verb.minus |= width < 0;
                verb.width = Some(width.unsigned_abs() as usize);
            }
            Some(Err(())) => self.out.push_str("%!(BADWIDTH)"),
            None => {}
        }
        if self.take_if(|c| c == '.').is_some() {
            self.index();
            match self.number() {
                Some(Ok(precision)) => verb.precision = usize::try_from(precision).ok(),
                Some(Err(())) => self.out.push_str("%!(BADPREC)"),
                None => verb.precision = Some(0),
            }
        }
        self.index();
        verb.zero &= !verb.minus;
        match self.take_if(|_| true) {
            None => self.out.push_str("%!(NOVERB)"),
            Some('%') => self.out.push('%'),
            Some(letter) if !self.good_index => self.out.push_str(&format!("%!{letter}(BADINDEX)")),
            Some(letter) => match self.values.get(self.next) {
                None => self.out.push_str(&format!("%!{letter}(MISSING)")),
                Some(value) => {
                    self.next += 1;
                    verb.letter = letter;
                    verb.write(&mut self.out, value, 0);
                }
            },
        }
    }

    fn take_if(&mut self, accept: impl Fn(char) -> bool) -> Option<char> {
        let first = self.rest.chars().next().filter(|c| accept(*c))?;
        self.rest = &self.rest[first.len_utf8()..];
        Some(first)
    }

    /// An explicit index of a value: `[2]`.
    fn index(&mut self) {
        let Some(after) = self.rest.strip_prefix('[') else { return };
        self.reordered = true;
        let Some((number, after)) = after.split_once(']') else {
            self.good_index = false;
            self.rest = after;
            return;
        };
        self.rest = after;
        match number.parse::<usize>() {
            Ok(number) if (1..=self.values.len()).contains(&number) => self.next = number - 1,
            _ => self.good_index = false,
        }
    }

    /// A width or precision, from the format or, for `*`, from the values.
    fn number(&mut self) -> Option<Result<i128, ()>> {
        if self.take_if(|c| c == '*').is_some() {
            let value = self.values.get(self.next);
            self.next += 1;
            return Some(match value {
                Some(Value::Int(number)) if number.abs() <= WIDTH_LIMIT => Ok(*number),
                _ => Err(()),
            });
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, after) = self.rest.split_at(end);
        if digits.is_empty() {
            return None;
        }
        self.rest = after;
        digits.parse().ok().filter(|number| *number <= WIDTH_LIMIT).map(Ok)
    }

    fn report_extra(&mut self) {
        if self.reordered || self.next >= self.values.len() {
            return;
        }
        let extra: Vec<String> = self.values[self.next..].iter().map(with_type).collect();
        self.out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
}

/// `type=value`, as mistakes are shown.
fn with_type(value: &Value) -> String {
    match value {
        Value::Nil | Value::Missing => "<nil>".to_owned(),
        _ => format!("{}={}", value.type_name(), sprint(std::slice::from_ref(value))),
    }
}

/// The digits, with zeros before them up to this length. (`{:0>width$}` panics at a width beyond 65535.)
fn zero_filled(digits: &str, least: usize) -> String {
    format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())))
}

/// One printing directive.
#[derive(Clone, Copy)]
struct Verb {
    letter: char,
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Verb {
    fn plain(letter: char) -> Self {
        Self {
            letter,
            plus: false,
            minus: false,
            sharp: false,
            space: false,
            zero: false,
            width: None,
            precision: None,
        }
    }

    /// `%#v`: Go syntax.
    fn is_go_syntax(&self) -> bool {
        self.letter == 'v' && self.sharp
    }

    fn write(&self, out: &mut String, value: &Value, depth: usize) {
        match value {
            _ if self.letter == 'T' => self.pad(out, &value.type_name()),
            Value::Missing | Value::Nil if self.letter == 'v' => self.pad(out, "<nil>"),
            Value::Missing | Value::Nil => out.push_str(&format!("%!{}(<nil>)", self.letter)),
            Value::NilPointer(_) if self.letter == 'v' => self.pad(out, "<nil>"),
            Value::Bool(truth) if "tv".contains(self.letter) => self.pad(out, if *truth { "true" } else { "false" }),
            Value::Int(number) => self.write_integer(out, *number),
            Value::Float(number) => self.write_float(out, *number),
            Value::String(text) => self.write_string(out, text),
            Value::List(list) => self.write_list(out, value, list.items(), depth),
            Value::Map(map) => {
                out.push_str(if self.is_go_syntax() { value.type_name() } else { "map".into() }.as_ref());
                let (open, close, separator) = if self.is_go_syntax() { ("{", "}", ", ") } else { ("[", "]", " ") };
                out.push_str(open);
                // A method is no entry, though it is kept as one.
                let entries = map.iter().filter(|(_, item)| !matches!(item, Value::Function(_)));
                for (index, (key, item)) in entries.enumerate() {
                    if index > 0 {
                        out.push_str(separator);
                    }
                    self.write_string(out, key);
                    out.push(':');
                    self.write(out, item, depth + 1);
                }
                out.push_str(close);
            }
            Value::Struct(value) => self.write_struct(out, value, depth),
            Value::Function(_) => self.pad(out, "0x0"), // Go prints the address
            Value::NilPointer(_) | Value::Bool(_) => self.write_bad(out, value),
        }
    }

    fn write_bad(&self, out: &mut String, value: &Value) {
        out.push_str(&format!("%!{}({})", self.letter, with_type(value)));
    }

    fn write_list(&self, out: &mut String, list: &Value, items: &[Value], depth: usize) {
        let (open, close, separator) = if self.is_go_syntax() { ("{", "}", ", ") } else { ("[", "]", " ") };
        if self.is_go_syntax() {
            out.push_str(&list.type_name());
        }
        out.push_str(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push_str(separator);
            }
            self.write(out, item, depth + 1);
        }
        out.push_str(close);
    }

    fn write_struct(&self, out: &mut String, value: &Struct, depth: usize) {
        if let Some(text) = value.display_text()
            && "vsqxX".contains(self.letter)
            && !self.is_go_syntax()
        {
            return self.write_string(out, text);
        }
        let type_name = value.type_name();
        if type_name.starts_with('*') && depth == 0 {
            out.push('&');
        }
        if self.is_go_syntax() {
            out.push_str(type_name.trim_start_matches('*'));
        }
        out.push('{');
        for (index, (name, field)) in value.data_fields().enumerate() {
            if index > 0 {
                out.push_str(if self.is_go_syntax() { ", " } else { " " });
            }
            if self.letter == 'v' && (self.plus || self.sharp) {
                out.push_str(name);
                out.push(':');
            }
            self.write(out, field, depth + 1);
        }
        out.push('}');
    }

    fn write_string(&self, out: &mut String, text: &str) {
        let text: &str = match self.precision {
            Some(precision) => text.char_indices().nth(precision).map_or(text, |(end, _)| &text[..end]),
            None => text,
        };
        match self.letter {
            'v' if self.sharp => self.pad(out, &quote(text)),
            'v' | 's' => self.pad(out, text),
            'q' if self.sharp && !text.contains('`') => self.pad(out, &format!("`{text}`")),
            'q' => self.pad(out, &quote(text)),
            'x' => self.pad(out, &text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>()),
            'X' => self.pad(out, &text.bytes().map(|byte| format!("{byte:02X}")).collect::<String>()),
            _ => self.write_bad(out, &Value::String(text.to_owned())),
        }
    }

    fn write_integer(&self, out: &mut String, number: i128) {
        let size = number.unsigned_abs();
        let character = || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
        let (prefix, digits) = match self.letter {
            'v' | 'd' => ("", size.to_string()),
            'b' => ("0b", format!("{size:b}")),
            'o' => ("0", format!("{size:o}")),
            'O' => ("", format!("0o{size:o}")),
            'x' => ("0x", format!("{size:x}")),
            'X' => ("0X", format!("{size:X}")),
            'c' => return self.pad(out, character().encode_utf8(&mut [0; 4])),
            'q' => return self.pad(out, &quote_character(character())),
            'U' => return self.pad(out, &format!("U+{size:04X}")),
            _ => return self.write_bad(out, &Value::Int(number)),
        };
        let sign = self.sign(number < 0);
        let prefix = if self.sharp && self.letter != 'v' { prefix } else { "" };
        let least = match (self.precision, self.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if self.zero => width.saturating_sub(sign.len()),
            _ => 0,
        };
        if self.precision == Some(0) && number == 0 {
            return self.pad_spaces(out, "");
        }
        self.pad_spaces(out, &format!("{sign}{prefix}{}", zero_filled(&digits, least)));
    }

    fn write_float(&self, out: &mut String, number: f64) {
        let digits = match self.letter {
            'v' => format_float(number.abs(), 'g', self.precision),
            'g' | 'G' => format_float(number.abs(), self.letter, self.precision),
            'e' | 'E' | 'f' => format_float(number.abs(), self.letter, Some(self.precision.unwrap_or(6))),
            'F' => format_float(number.abs(), 'f', Some(self.precision.unwrap_or(6))),
            _ => return self.write_bad(out, &Value::Float(number)),
        };
        let infinite = number.is_infinite();
        let sign =
            if infinite && number > 0.0 { "+" } else { self.sign(number.is_sign_negative() && !number.is_nan()) };
        let digits = digits.trim_start_matches('+');
        match self.width.filter(|_| self.zero && number.is_finite()) {
            Some(width) => {
                let least = width.saturating_sub(sign.len());
                out.push_str(&format!("{sign}{}", zero_filled(digits, least)));
            }
            None => self.pad_spaces(out, &format!("{sign}{digits}")),
        }
    }

    fn sign(&self, negative: bool) -> &'static str {
        match () {
            () if negative => "-",
            () if self.plus && self.letter != 'v' => "+",
            () if self.space => " ",
            () => "",
        }
    }

    /// Fills up to the width on the side that the flags choose.
    fn pad(&self, out: &mut String, text: &str) {
        let fill = if self.zero { '0' } else { ' ' };
        self.pad_with(out, text, fill);
    }

    fn pad_spaces(&self, out: &mut String, text: &str) {
        self.pad_with(out, text, ' ');
    }

    fn pad_with(&self, out: &mut String, text: &str, fill: char) {
        let missing = self.width.map_or(0, |width| width.saturating_sub(text.chars().count()));
        let padding = std::iter::repeat_n(fill, missing);
        if self.minus {
            out.push_str(text);
            out.extend(padding);
        } else {
            out.extend(padding);
            out.push_str(text);
        }
    }
}
