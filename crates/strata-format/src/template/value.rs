//! The values that templates work on: what Go sees through reflection, reduced to what docker's data need.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use serde_json::Number;

/// A value of a template. Cloning is cheap: lists, maps and structs are shared.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing at all: a missing map key or a nil interface taken out of its container. Prints as `<no value>`.
    Missing,
    /// A nil interface inside a list, map or argument list. Prints as `<nil>`.
    Nil,
    /// A nil pointer to a struct, with its Go type: an absent `Config`. Prints as `<nil>`, and its fields are errors.
    NilPointer(Cow<'static, str>),
    /// `true` or `false`.
    Bool(bool),
    /// Any Go integer.
    Int(i128),
    /// A Go `float64`.
    Float(f64),
    /// A Go string.
    String(String),
    /// A slice.
    List(List),
    /// A map from strings, in sorted order.
    Map(Map),
    /// A struct or a pointer to one.
    Struct(Arc<Struct>),
    /// A method of a struct.
    Function(Function),
}

/// A Go slice; `nil` and empty are told apart in JSON only.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    element: Cow<'static, str>,
    items: Option<Arc<[Value]>>,
}

impl List {
    /// A slice of the Go element type `element`, for instance `string`.
    pub fn new(element: impl Into<Cow<'static, str>>, items: impl IntoIterator<Item = Value>) -> Self {
        Self { element: element.into(), items: Some(items.into_iter().collect()) }
    }

    /// A nil slice.
    pub fn nil(element: impl Into<Cow<'static, str>>) -> Self {
        Self { element: element.into(), items: None }
    }

    /// A `[]string`.
    pub fn strings<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Self {
        Self::new("string", items.into_iter().map(|item| Value::String(item.into())))
    }

    /// The items; none for a nil slice.
    pub fn items(&self) -> &[Value] {
        self.items.as_deref().unwrap_or_default()
    }

    pub(super) fn is_nil(&self) -> bool {
        self.items.is_none()
    }

    pub(super) fn slice(&self, from: usize, to: usize) -> Self {
        Self { element: self.element.clone(), items: self.items.as_ref().map(|items| items[from..to].into()) }
    }
}

/// A Go map with string keys; `nil` and empty are told apart in JSON only.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    element: Cow<'static, str>,
    entries: Option<Arc<BTreeMap<String, Value>>>,
}

impl Map {
    /// A map to the Go type `element`, for instance `string` or `struct {}`.
    pub fn new<K: Into<String>>(
        element: impl Into<Cow<'static, str>>,
        entries: impl IntoIterator<Item = (K, Value)>,
    ) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value)).collect();
        Self { element: element.into(), entries: Some(Arc::new(entries)) }
    }

    /// A nil map.
    pub fn nil(element: impl Into<Cow<'static, str>>) -> Self {
        Self { element: element.into(), entries: None }
    }

    /// A `map[string]string`.
    pub fn strings<K: Into<String>, V: Into<String>>(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::new("string", entries.into_iter().map(|(key, value)| (key, Value::String(value.into()))))
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.entries.iter().flat_map(|entries| entries.iter())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.as_ref()?.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, |entries| entries.len())
    }

    pub(super) fn is_nil(&self) -> bool {
        self.entries.is_none()
    }

    /// What `index` gives for an absent key: the zero value of the element type.
    pub(super) fn zero(&self) -> Value {
        match self.element.as_ref() {
            "string" => Value::String(String::new()),
            "int" | "int64" | "uint64" => Value::Int(0),
            "bool" => Value::Bool(false),
            "struct {}" => Struct::new("struct {}").into(),
            element => match element.strip_prefix("[]") {
                Some(item) => Value::List(List::nil(item.to_owned())),
                None => Value::Nil,
            },
        }
    }
}

/// A Go struct. Fields keep the order in which they were added.
#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    type_name: Cow<'static, str>,
    fields: Vec<(Cow<'static, str>, Value)>,
    display: Option<String>,
    json: JsonForm,
}

/// How a struct becomes JSON.
#[derive(Clone, Debug, PartialEq)]
enum JsonForm {
    /// Its fields, by their Go names.
    Fields,
    /// A document of its own, whose keys may differ from the Go names.
    Document(serde_json::Value),
    /// A row of a formatter: its fields by name in sorted order, with HTML escapes.
    Row,
}

impl Struct {
    /// A struct without fields. `type_name` is used in errors; a leading `*` makes it a pointer.
    pub fn new(type_name: impl Into<Cow<'static, str>>) -> Self {
        Self { type_name: type_name.into(), fields: Vec::new(), display: None, json: JsonForm::Fields }
    }

    /// A row of a formatter such as `*formatter.imageContext`: as JSON its keys are sorted and `<`, `>`, `&` escaped.
    pub fn row(type_name: impl Into<Cow<'static, str>>) -> Self {
        Self { json: JsonForm::Row, ..Self::new(type_name) }
    }

    /// Adds a field under its Go name.
    #[must_use]
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds a method that takes `parameters` arguments, such as `.Label "name"`. It is no part of the JSON form.
    #[must_use]
    pub fn method(
        self,
        name: impl Into<Cow<'static, str>>,
        parameters: usize,
        body: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.field(name, Value::Function(Function { parameters, body: Arc::new(body) }))
    }

    /// Gives the text that the struct prints as, like a Go `String` method: times print so.
    #[must_use]
    pub fn display(mut self, text: impl Into<String>) -> Self {
        self.display = Some(text.into());
        self
    }

    /// Gives the JSON form.
    #[must_use]
    pub fn json(mut self, document: serde_json::Value) -> Self {
        self.json = JsonForm::Document(document);
        self
    }

    /// The field or method of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    pub(super) fn type_name(&self) -> &str {
        &self.type_name
    }

    pub(super) fn display_text(&self) -> Option<&str> {
        self.display.as_deref()
    }

    /// The fields without the methods.
    pub(super) fn data_fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.fields
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Function(_)))
            .map(|(name, value)| (name.as_ref(), value))
    }

    /// Whether the JSON form has `<`, `>` and `&` escaped.
    pub(super) fn escapes_html(&self) -> bool {
        self.json == JsonForm::Row
    }

    fn to_json(&self) -> serde_json::Value {
        if let JsonForm::Document(document) = &self.json {
            return document.clone();
        }
        let mut members: Vec<(&str, &Value)> = self.data_fields().collect();
        if self.json == JsonForm::Row {
            members.sort_by_key(|(name, _)| *name);
        }
        members.into_iter().map(|(name, value)| (name.to_owned(), value.to_json())).collect()
    }
}

/// A method bound to its struct. A failure becomes `error calling Name: ...`.
#[derive(Clone)]
pub struct Function {
    pub(super) parameters: usize,
    body: Arc<FunctionBody>,
}

type FunctionBody = dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync;

impl Function {
    pub(super) fn call(&self, arguments: &[Value]) -> Result<Value, String> {
        (self.body)(arguments)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.body, &other.body)
    }
}

impl Value {
    /// The Go name of the type, for error messages.
    pub(super) fn type_name(&self) -> Cow<'_, str> {
        match self {
            Value::Missing | Value::Nil => "<nil>".into(),
            Value::NilPointer(name) => name.as_ref().into(),
            Value::Bool(_) => "bool".into(),
            Value::Int(_) => "int".into(),
            Value::Float(_) => "float64".into(),
            Value::String(_) => "string".into(),
            Value::List(list) => format!("[]{}", list.element).into(),
            Value::Map(map) => format!("map[string]{}", map.element).into(),
            Value::Struct(value) => value.type_name().into(),
            Value::Function(_) => "func".into(),
        }
    }

    /// What `if` and `with` go by: false for nil, zero and empty values, always true for structs.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Missing | Value::Nil | Value::NilPointer(_) => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::String(text) => !text.is_empty(),
            Value::List(list) => !list.items().is_empty(),
            Value::Map(map) => map.len() > 0,
            Value::Struct(_) | Value::Function(_) => true,
        }
    }

    /// The JSON form, as `{{json .}}` prints it.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Missing | Value::Nil | Value::NilPointer(_) | Value::Function(_) => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => Number::from_i128(*value).map_or(serde_json::Value::Null, serde_json::Value::Number),
            Value::Float(value) => (*value).into(),
            Value::String(text) => text.clone().into(),
            Value::List(list) if list.is_nil() => serde_json::Value::Null,
            Value::List(list) => list.items().iter().map(Value::to_json).collect(),
            Value::Map(map) if map.is_nil() => serde_json::Value::Null,
            Value::Map(map) => map.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
            Value::Struct(value) => value.to_json(),
        }
    }
}

/// Untyped data as Go decodes them into `interface{}`: objects become maps, arrays slices.
impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(value), _) => Value::Int(value),
                (None, value) => Value::Float(value.unwrap_or(0.0)),
            },
            serde_json::Value::String(text) => Value::String(text),
            serde_json::Value::Array(items) => {
                Value::List(List::new("interface {}", items.into_iter().map(Value::from)))
            }
            serde_json::Value::Object(members) => {
                let members = members.into_iter().map(|(key, value)| (key, Value::from(value)));
                Value::Map(Map::new("interface {}", members))
            }
        }
    }
}

macro_rules! value_from {
    ($($source:ty => $variant:expr),* $(,)?) => {
        $(impl From<$source> for Value {
            fn from(value: $source) -> Self {
                $variant(value.into())
            }
        })*
    };
}

value_from!(
    bool => Value::Bool, i32 => Value::Int, i64 => Value::Int, u32 => Value::Int, u64 => Value::Int,
    f64 => Value::Float, &str => Value::String, String => Value::String, List => Value::List, Map => Value::Map,
    Struct => Value::Struct,
);
