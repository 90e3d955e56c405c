//! The functions of templates: Go's built-in ones and docker's.

use std::cmp::Ordering;

use super::{FunctionSet, List, Value, printf};
use crate::{
    go_json::{self, Escape},
    go_quote::is_printable,
};

/// The type of a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    Any,
    String,
    Integer,
    /// `[]string`
    Strings,
}

impl Parameter {
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::String => "string",
            Self::Integer => "int",
            Self::Strings => "[]string",
        }
    }
}

/// A function with its parameters. Arguments have been checked when the body is called.
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) fixed: &'static [Parameter],
    /// Any number of arguments of any type may follow the fixed ones.
    pub(super) variadic: bool,
    pub(super) body: fn(&[Value]) -> Result<Value, String>,
}

impl Signature {
    pub(super) fn parameter(&self, index: usize) -> Parameter {
        self.fixed.get(index).copied().unwrap_or(Parameter::Any)
    }
}

pub(super) fn is_defined(name: &str) -> bool {
    find(name, FunctionSet::Data).is_some()
}

pub(super) fn find(name: &str, set: FunctionSet) -> Option<&'static Signature> {
    let find_in = |functions: &'static [Signature]| functions.iter().find(|function| function.name == name);
    match set {
        FunctionSet::Data => find_in(FUNCTIONS),
        FunctionSet::Header => find_in(HEADER_FUNCTIONS).or_else(|| find_in(FUNCTIONS)),
    }
}

const fn fixed(
    name: &'static str,
    parameters: &'static [Parameter],
    body: fn(&[Value]) -> Result<Value, String>,
) -> Signature {
    Signature { name, fixed: parameters, variadic: false, body }
}

const fn variadic(
    name: &'static str,
    parameters: &'static [Parameter],
    body: fn(&[Value]) -> Result<Value, String>,
) -> Signature {
    Signature { name, fixed: parameters, variadic: true, body }
}

use Parameter::{Any, Integer, String as Text, Strings};

const FUNCTIONS: &[Signature] = &[
    fixed("json", &[Any], json),
    fixed("split", &[Text, Text], split),
    fixed("join", &[Strings, Text], join),
    fixed("title", &[Text], |arguments| Ok(title(text(arguments, 0)).into())),
    fixed("lower", &[Text], |arguments| Ok(text(arguments, 0).to_lowercase().into())),
    fixed("upper", &[Text], |arguments| Ok(text(arguments, 0).to_uppercase().into())),
    fixed("pad", &[Text, Integer, Integer], pad),
    fixed("truncate", &[Text, Integer], truncate),
    // Evaluated by the caller, which leaves out the arguments not needed.
    variadic("and", &[Any], last),
    variadic("or", &[Any], last),
    fixed("not", &[Any], |arguments| Ok((!arguments[0].is_true()).into())),
    fixed("len", &[Any], length),
    variadic("index", &[Any], index),
    variadic("slice", &[Any], slice),
    variadic("call", &[Any], call),
    variadic("print", &[], |arguments| Ok(printf::sprint(arguments).into())),
    variadic("println", &[], |arguments| Ok(printf::sprintln(arguments).into())),
    variadic("printf", &[Text], |arguments| Ok(printf::sprintf(text(arguments, 0), &arguments[1..]).into())),
    variadic("html", &[], |arguments| Ok(html(&joined(arguments)).into())),
    variadic("js", &[], |arguments| Ok(javascript(&joined(arguments)).into())),
    variadic("urlquery", &[], |arguments| Ok(url_query(&joined(arguments)).into())),
    variadic("eq", &[Any], |arguments| equal(arguments).map(Value::from)),
    fixed("ne", &[Any, Any], |arguments| equal(arguments).map(|equal| (!equal).into())),
    fixed("lt", &[Any, Any], |arguments| compare(arguments, Ordering::is_lt)),
    fixed("le", &[Any, Any], |arguments| compare(arguments, Ordering::is_le)),
    fixed("gt", &[Any, Any], |arguments| compare(arguments, Ordering::is_gt)),
    fixed("ge", &[Any, Any], |arguments| compare(arguments, Ordering::is_ge)),
];

/// In the header pass of a table these leave the header text as it is.
const HEADER_FUNCTIONS: &[Signature] = &[
    fixed("json", &[Text], first),
    fixed("split", &[Text, Text], first),
    fixed("join", &[Text, Text], first),
    fixed("title", &[Text], first),
    fixed("lower", &[Text], first),
    fixed("upper", &[Text], first),
    fixed("truncate", &[Text, Integer], first),
];

type Outcome = Result<Value, String>;

/// The string argument at `index`; its type has been checked.
fn text(arguments: &[Value], index: usize) -> &str {
    match arguments.get(index) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn integer(arguments: &[Value], index: usize) -> i128 {
    match arguments.get(index) {
        Some(Value::Int(value)) => *value,
        _ => 0,
    }
}

fn first(arguments: &[Value]) -> Outcome {
    Ok(arguments[0].clone())
}

fn last(arguments: &[Value]) -> Outcome {
    Ok(arguments[arguments.len() - 1].clone())
}

fn json(arguments: &[Value]) -> Outcome {
    let value = &arguments[0];
    let escape = match value {
        Value::Struct(value) if value.escapes_html() => Escape::Html,
        _ => Escape::Minimal,
    };
    Ok(go_json::to_string(&value.to_json(), escape).into())
}

fn split(arguments: &[Value]) -> Outcome {
    let (source, separator) = (text(arguments, 0), text(arguments, 1));
    let parts: Vec<String> = match separator {
        "" => source.chars().map(String::from).collect(),
        _ => source.split(separator).map(str::to_owned).collect(),
    };
    Ok(List::strings(parts).into())
}

fn join(arguments: &[Value]) -> Outcome {
    let Value::List(list) = &arguments[0] else { return Ok("".into()) };
    let items: Vec<&str> = (0..list.items().len()).map(|index| text(list.items(), index)).collect();
    Ok(items.join(text(arguments, 1)).into())
}

/// Upper case for the first letter of each word.
fn title(source: &str) -> String {
    let mut in_word = false;
    let mut out = String::with_capacity(source.len());
    for character in source.chars() {
        if in_word {
            out.push(character);
        } else {
            out.extend(character.to_uppercase());
        }
        in_word = match character {
            '\0'..='\x7f' => character.is_ascii_alphanumeric() || character == '_',
            _ => character.is_alphanumeric() || !character.is_whitespace(),
        };
    }
    out
}

/// Longer paddings than this are refused instead of exhausting the memory.
const PADDING_LIMIT: i128 = 1 << 20;

fn pad(arguments: &[Value]) -> Outcome {
    let source = text(arguments, 0);
    if source.is_empty() {
        return Ok("".into());
    }
    let spaces = |count: i128| match usize::try_from(count) {
        Err(_) => Err("strings: negative Repeat count".to_owned()),
        Ok(_) if count > PADDING_LIMIT => Err("strings: Repeat output length overflow".to_owned()),
        Ok(count) => Ok(" ".repeat(count)),
    };
    Ok(format!("{}{source}{}", spaces(integer(arguments, 1))?, spaces(integer(arguments, 2))?).into())
}

/// Cuts to a number of bytes; a character cut in two becomes U+FFFD.
fn truncate(arguments: &[Value]) -> Outcome {
    let source = text(arguments, 0);
    let length = integer(arguments, 1);
    match usize::try_from(length) {
        Err(_) => Err(format!("runtime error: slice bounds out of range [:{length}]")),
        Ok(length) if source.len() <= length => Ok(source.into()),
        Ok(length) => Ok(bytes_to_text(&source.as_bytes()[..length])),
    }
}

fn bytes_to_text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

fn length(arguments: &[Value]) -> Outcome {
    let length = match &arguments[0] {
        Value::String(text) => text.len(),
        Value::List(list) => list.items().len(),
        Value::Map(map) => map.len(),
        Value::Missing | Value::Nil | Value::NilPointer(_) => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(length as i128))
}

fn index(arguments: &[Value]) -> Outcome {
    let (start, indexes) = arguments.split_first().ok_or("index of untyped nil")?;
    if matches!(start, Value::Nil | Value::Missing) {
        return Err("index of untyped nil".to_owned());
    }
    indexes.iter().try_fold(start.clone(), |item, index| index_once(&item, index))
}

fn index_once(item: &Value, index: &Value) -> Outcome {
    match item {
        Value::Nil | Value::Missing | Value::NilPointer(_) => Err("index of nil pointer".to_owned()),
        Value::List(list) => {
            let position = position(index, list.items().len())?;
            let item = list.items().get(position).cloned();
            item.ok_or_else(|| "reflect: slice index out of range".to_owned())
        }
        Value::String(text) => {
            let position = position(index, text.len())?;
            let byte = text.as_bytes().get(position).ok_or("reflect: string index out of range")?;
            Ok(Value::Int((*byte).into()))
        }
        Value::Map(map) => match index {
            Value::String(key) => Ok(map.get(key).cloned().unwrap_or_else(|| map.zero())),
            Value::Nil | Value::Missing => Err("value is nil; should be of type string".to_owned()),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        },
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

/// An index into something of `length` items; the length itself is allowed, as in Go.
fn position(index: &Value, length: usize) -> Result<usize, String> {
    match index {
        Value::Int(value) => usize::try_from(*value)
            .ok()
            .filter(|position| *position <= length)
            .ok_or_else(|| format!("index out of range: {value}")),
        Value::Nil | Value::Missing => Err("cannot index slice/array with nil".to_owned()),
        other => Err(format!("cannot index slice/array with type {}", other.type_name())),
    }
}

fn slice(arguments: &[Value]) -> Outcome {
    let (item, indexes) = arguments.split_first().ok_or("slice of untyped nil")?;
    let length = match item {
        Value::Nil | Value::Missing => return Err("slice of untyped nil".to_owned()),
        Value::String(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Value::String(text) => text.len(),
        Value::List(list) => list.items().len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, capacity] = bounds;
    for (low, high) in [(from, to), (to, capacity)] {
        if low > high {
            return Err(format!("invalid slice index: {low} > {high}"));
        }
    }
    Ok(match item {
        Value::List(list) => list.slice(from, to).into(),
        _ => bytes_to_text(&text(arguments, 0).as_bytes()[from..to]),
    })
}

fn call(arguments: &[Value]) -> Outcome {
    let (function, arguments) = arguments.split_first().ok_or("call of nil")?;
    match function {
        Value::Function(function) if function.parameters == arguments.len() => function.call(arguments),
        Value::Function(function) => {
            Err(format!("wrong number of args: got {} want {}", arguments.len(), function.parameters))
        }
        Value::Nil | Value::Missing => Err("call of nil".to_owned()),
        other => {
            Err(format!("non-function {} of type {}", printf::sprint(std::slice::from_ref(other)), other.type_name()))
        }
    }
}

/// Whether the first argument equals any of the others.
fn equal(arguments: &[Value]) -> Result<bool, String> {
    let (first, others) = arguments.split_first().ok_or("missing argument for comparison")?;
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal_pair(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_pair(left: &Value, right: &Value) -> Result<bool, String> {
    use Value::{Bool, Float, Int, Nil, String, Struct};
    match (left, right) {
        (Bool(_), Bool(_)) | (Int(_), Int(_)) | (Float(_), Float(_)) | (String(_), String(_)) => Ok(left == right),
        (Struct(_), Struct(_)) => Ok(left == right),
        (Nil, other) | (other, Nil) => Ok(is_nil(other)),
        _ if is_basic(left) || is_basic(right) => Err("incompatible types for comparison".to_owned()),
        _ if is_nil(left) || is_nil(right) => Ok(is_nil(left) == is_nil(right)),
        _ => Err(format!("non-comparable type {}: {}", printf::sprint(std::slice::from_ref(left)), left.type_name())),
    }
}

fn is_basic(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_))
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Nil | Value::Missing | Value::NilPointer(_) => true,
        Value::List(list) => list.is_nil(),
        Value::Map(map) => map.is_nil(),
        _ => false,
    }
}

fn compare(arguments: &[Value], accept: fn(Ordering) -> bool) -> Outcome {
    let [left, right] = arguments else { return Err("missing argument for comparison".to_owned()) };
    let ordering = match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(_), Value::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        _ if is_basic(left) && is_basic(right) => return Err("incompatible types for comparison".to_owned()),
        _ => return Err("invalid type for comparison".to_owned()),
    };
    Ok(ordering.is_some_and(accept).into())
}

/// The arguments of an escaping function as one text.
fn joined(arguments: &[Value]) -> String {
    let shown: Vec<Value> = arguments
        .iter()
        .map(|argument| if *argument == Value::Nil { "<no value>".into() } else { argument.clone() })
        .collect();
    printf::sprint(&shown)
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            _ => out.push(character),
        }
    }
    out
}

fn javascript(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' | '\0'..='\x1f' => out.push_str(&format!("\\u{:04X}", u32::from(character))),
            _ if is_printable(character) || character == '\x7f' => out.push(character),
            _ => out.push_str(&format!("\\u{:04X}", u32::from(character))),
        }
    }
    out
}

fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
