//! What templates compute with.
//!
//! Go's templates look at any Go value by reflection. Here a value is one of a few kinds, and whatever has fields or
//! methods of its own is an [`Object`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Zoned;

/// A value in a template. Clones share what is large.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing: Go's nil, or a field of nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// A whole number, Go's `int`.
    Int(i64),
    /// A number, Go's `float64`.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// Text that is markup already and is not escaped in HTML.
    Html(Arc<str>),
    /// Text that is a URL whose scheme is known to be harmless.
    Url(Arc<str>),
    /// A moment with its time zone.
    Time(Arc<Zoned>),
    /// A span of time in nanoseconds.
    Duration(i64),
    /// An ordered list.
    List(Arc<List>),
    /// A map with string keys.
    Map(Arc<Map>),
    /// A thing with fields and methods.
    Object(Arc<dyn Object>),
}

/// A list and how Go calls its type.
#[derive(Clone, Debug)]
pub struct List {
    /// Go's name of the type, which error messages show.
    pub type_name: &'static str,
    /// The elements.
    pub items: Vec<Value>,
}

/// A map; its keys iterate in order, as in Go's templates.
#[derive(Clone, Debug)]
pub struct Map {
    /// Go's name of the type, which error messages show.
    pub type_name: &'static str,
    /// The entries.
    pub entries: BTreeMap<String, Value>,
    /// What an absent key gives: the element type's zero value.
    pub zero: Value,
}

/// A thing with fields and methods, such as the data of a notification.
///
/// Names are Go's: exported, so they begin with a capital. All methods are pure: templates may call them any number of
/// times and in any order.
pub trait Object: fmt::Debug + Send + Sync {
    /// Returns Go's name of the type, which error messages show.
    fn type_name(&self) -> &str;

    /// Returns the field `name`, or `None` when there is no such field.
    fn field(&self, name: &str) -> Option<Value>;

    /// Calls the method `name`, or returns `None` when there is no such method.
    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let _ = (name, arguments);
        None
    }

    /// Returns what `range`, `index` and `len` see, as pairs of key and element; `None` when it is no collection.
    fn elements(&self) -> Option<Vec<(Value, Value)>> {
        None
    }

    /// Returns its fields as JSON has them, each with the key it gets there; without any, the elements are what JSON has.
    fn json_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Returns whether a script gets what it prints, rather than its JSON.
    fn is_printed_in_scripts(&self) -> bool {
        false
    }

    /// Returns how it prints.
    fn print(&self) -> String;
}

impl Value {
    /// Returns a string value.
    pub fn string(text: impl AsRef<str>) -> Value {
        Value::String(Arc::from(text.as_ref()))
    }

    /// Returns Go's `[]string` of `items`.
    pub fn strings<'a>(items: impl IntoIterator<Item = &'a str>) -> Value {
        Value::List(Arc::new(List {
            type_name: "[]string",
            items: items.into_iter().map(Value::string).collect(),
        }))
    }

    /// Returns a list of any values, called `type_name` in Go.
    pub fn list(type_name: &'static str, items: Vec<Value>) -> Value {
        Value::List(Arc::new(List { type_name, items }))
    }

    /// Returns Go's `map[string]string` of `pairs`; an absent key gives the empty string.
    pub fn string_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Value {
        Value::Map(Arc::new(Map {
            type_name: "map[string]string",
            entries: pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), Value::string(v)))
                .collect(),
            zero: Value::string(""),
        }))
    }

    /// Returns Go's `map[string]interface {}` of `entries`; an absent key gives nothing.
    pub fn any_map(entries: BTreeMap<String, Value>) -> Value {
        Value::Map(Arc::new(Map {
            type_name: "map[string]interface {}",
            entries,
            zero: Value::Nil,
        }))
    }

    /// Returns the object as a value.
    pub fn object(object: impl Object + 'static) -> Value {
        Value::Object(Arc::new(object))
    }

    /// Returns what Go's `%T` says, and error messages.
    pub fn type_name(&self) -> &str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::Html(_) => "template.HTML",
            Value::Url(_) => "template.URL",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::List(list) => list.type_name,
            Value::Map(map) => map.type_name,
            Value::Object(object) => object.type_name(),
        }
    }

    /// Returns whether `if` takes the value for true: everything but zero, nothing, and what is empty.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Duration(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::String(text) | Value::Html(text) | Value::Url(text) => !text.is_empty(),
            Value::Time(_) => true,
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Object(object) => object
                .elements()
                .is_none_or(|elements| !elements.is_empty()),
        }
    }

    /// Returns the text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Html(text) | Value::Url(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the elements that `range` goes through, as pairs of key and element, if it is a collection.
    pub fn elements(&self) -> Option<Vec<(Value, Value)>> {
        match self {
            Value::List(list) => Some(
                (0..)
                    .map(Value::Int)
                    .zip(list.items.iter().cloned())
                    .collect(),
            ),
            Value::Map(map) => Some(
                map.entries
                    .iter()
                    .map(|(k, v)| (Value::string(k), v.clone()))
                    .collect(),
            ),
            Value::Object(object) => object.elements(),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::string(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text.into())
    }
}

/// Prints as Go's `%v` does.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nil => f.write_str("<nil>"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => f.write_str(&model::float::format_general(*value)),
            Value::String(text) | Value::Html(text) | Value::Url(text) => f.write_str(text),
            Value::Time(time) => f.write_str(&super::time::print(time)),
            Value::Duration(ns) => f.write_str(&super::time::print_duration(*ns)),
            Value::List(list) => {
                f.write_str("[")?;
                for (i, item) in list.items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            Value::Map(map) => {
                f.write_str("map[")?;
                for (i, (key, value)) in map.entries.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if i == 0 { "" } else { " " })?;
                }
                f.write_str("]")
            }
            Value::Object(object) => f.write_str(&object.print()),
        }
    }
}
