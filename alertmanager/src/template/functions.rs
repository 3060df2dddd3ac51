//! The functions of the language itself, and what a set of functions is.

use net::escape::form as query_escape;
use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Zoned;

use super::format;
use super::value::{Map, Value};

/// What functions may ask the world for. The whole of it is here, so that running a template is otherwise pure.
pub trait Environment: Send + Sync {
    /// Runs a PromQL query; a vector of [`Sample`](super::prometheus::Sample) values, in storage order.
    ///
    /// # Errors
    ///
    /// With the engine's message.
    fn query(&self, query: &str) -> Result<Value, String> {
        let _ = query;
        Err("there are no queries here".to_owned())
    }

    /// Returns a label of the route that a notification took; empty, if there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    fn route_label(&self, name: &str) -> Result<String, String> {
        let _ = name;
        Ok(String::new())
    }

    /// Returns the time of the evaluation, milliseconds since the epoch.
    fn now_ms(&self) -> i64;

    /// Returns the URL under which this program is reached from outside, without a slash at the end.
    fn external_url(&self) -> &str;
}

/// What kind of argument a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// Anything.
    Any,
    /// Text.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A list of texts.
    List,
    /// A list of anything; nothing is an empty one.
    AnyList,
    /// A moment.
    Time,
}

impl Param {
    pub(super) fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::String => "string",
            Param::Int => "int",
            Param::Float => "float64",
            Param::List => "[]string",
            Param::AnyList => "[]interface {}",
            Param::Time => "time.Time",
        }
    }
}

/// One function: its parameters and what it does. The arguments fit the parameters when it is called.
pub struct Function {
    /// Its name in templates.
    pub name: &'static str,
    /// The fixed parameters.
    pub params: &'static [Param],
    /// The kind of any number of further arguments, if it takes them.
    pub variadic: Option<Param>,
    /// What it does.
    pub call: fn(&dyn Environment, &[Value]) -> Result<Value, String>,
}

impl Function {
    /// Returns a function with exactly these parameters.
    pub const fn new(
        name: &'static str,
        params: &'static [Param],
        call: fn(&dyn Environment, &[Value]) -> Result<Value, String>,
    ) -> Self {
        Function {
            name,
            params,
            variadic: None,
            call,
        }
    }

    /// Returns a function that takes any number of arguments after these parameters.
    pub const fn variadic(
        name: &'static str,
        params: &'static [Param],
        rest: Param,
        call: fn(&dyn Environment, &[Value]) -> Result<Value, String>,
    ) -> Self {
        Function {
            name,
            params,
            variadic: Some(rest),
            call,
        }
    }
}

/// The functions of one kind of template, besides those of the language.
#[derive(Clone, Copy)]
pub struct FunctionSet(pub &'static [Function]);

impl FunctionSet {
    /// Returns the function `name`, of this set or of the language.
    pub(super) fn find(self, name: &str) -> Option<&'static Function> {
        self.0
            .iter()
            .chain(BUILTINS)
            .find(|function| function.name == name)
    }
}

/// Go's predefined functions.
static BUILTINS: &[Function] = &[
    // `and` and `or` are evaluated by the executor; these entries give their shape.
    Function::variadic("and", &[Param::Any], Param::Any, |_, _| Ok(Value::Nil)),
    Function::variadic("or", &[Param::Any], Param::Any, |_, _| Ok(Value::Nil)),
    Function::new("not", &[Param::Any], |_, a| {
        Ok(Value::Bool(!a[0].is_true()))
    }),
    Function::variadic("eq", &[Param::Any], Param::Any, |_, a| equal(a)),
    Function::new("ne", &[Param::Any, Param::Any], |_, a| {
        Ok(Value::Bool(!is_equal(&a[0], &a[1])?))
    }),
    Function::new("lt", &[Param::Any, Param::Any], |_, a| {
        order(a, Ordering::is_lt)
    }),
    Function::new("le", &[Param::Any, Param::Any], |_, a| {
        order(a, Ordering::is_le)
    }),
    Function::new("gt", &[Param::Any, Param::Any], |_, a| {
        order(a, Ordering::is_gt)
    }),
    Function::new("ge", &[Param::Any, Param::Any], |_, a| {
        order(a, Ordering::is_ge)
    }),
    Function::new("len", &[Param::Any], |_, a| len(&a[0])),
    Function::variadic("index", &[Param::Any], Param::Any, |_, a| index(a)),
    Function::variadic("slice", &[Param::Any], Param::Any, |_, a| slice(a)),
    Function::variadic("print", &[], Param::Any, |_, a| Ok(format::print(a).into())),
    Function::variadic("printf", &[Param::String], Param::Any, |_, a| {
        Ok(format::printf(text(&a[0]), &a[1..]).into())
    }),
    Function::variadic("println", &[], Param::Any, |_, a| {
        Ok(format::println(a).into())
    }),
    Function::variadic("html", &[], Param::Any, |_, a| {
        Ok(html_escape(&joined(a)).into())
    }),
    Function::variadic("js", &[], Param::Any, |_, a| {
        Ok(js_escape(&joined(a)).into())
    }),
    Function::variadic("urlquery", &[], Param::Any, |_, a| {
        Ok(query_escape(&joined(a)).into())
    }),
    Function::variadic("call", &[Param::Any], Param::Any, |_, a| {
        Err(match &a[0] {
            Value::Nil => "call of nil".to_owned(),
            value => format!("non-function {value} of type {}", value.type_name()),
        })
    }),
];

/// Returns the text of an argument that was checked to be a string.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn joined(values: &[Value]) -> String {
    match values {
        [Value::String(text)] => text.to_string(),
        values => format::print(values),
    }
}

fn equal(arguments: &[Value]) -> Result<Value, String> {
    if arguments.len() < 2 {
        return Err("missing argument for comparison".to_owned());
    }
    for other in &arguments[1..] {
        if is_equal(&arguments[0], other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn incompatible<T>(a: &Value, b: &Value) -> Result<T, String> {
    Err(format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    ))
}

fn is_equal(a: &Value, b: &Value) -> Result<bool, String> {
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Nil, _) | (_, Value::Nil) => false,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a == b,
        (a, b) => match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => a == b,
            _ => return incompatible(a, b),
        },
    })
}

fn order(arguments: &[Value], accept: fn(Ordering) -> bool) -> Result<Value, String> {
    let (a, b) = (&arguments[0], &arguments[1]);
    let ordering = match (a, b) {
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Bool(_), Value::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        (a, b) => match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => Some(a.cmp(b)),
            _ => return incompatible(a, b),
        },
    };
    Ok(Value::Bool(ordering.is_some_and(accept)))
}

fn len(value: &Value) -> Result<Value, String> {
    let len = match value {
        Value::Nil => return Err("len of nil pointer".to_owned()),
        Value::String(text) | Value::Html(text) | Value::Url(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        value => match value.elements() {
            Some(elements) => elements.len(),
            None => return Err(format!("len of type {}", value.type_name())),
        },
    };
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let mut value = arguments[0].clone();
    for key in &arguments[1..] {
        value = index_once(&value, key)?;
    }
    Ok(value)
}

fn index_once(value: &Value, key: &Value) -> Result<Value, String> {
    let position = |len: usize| match key {
        Value::Int(i) => match usize::try_from(*i) {
            Ok(i) if i < len => Ok(i),
            _ => Err(format!("error calling index: index out of range: {i}")
                .replace("error calling index: ", "")),
        },
        Value::Nil => Err("cannot index slice/array with nil".to_owned()),
        key => Err(format!(
            "cannot index slice/array with type {}",
            key.type_name()
        )),
    };
    match value {
        Value::Nil => Err("index of untyped nil".to_owned()),
        Value::List(list) => Ok(list.items[position(list.items.len())?].clone()),
        Value::String(text) => Ok(Value::Int(i64::from(
            text.as_bytes()[position(text.len())?],
        ))),
        Value::Map(map) => match key.as_str() {
            Some(key) => Ok(map.entries.get(key).unwrap_or(&map.zero).clone()),
            None => Err(format!(
                "value has type {}; should be string",
                key.type_name()
            )),
        },
        Value::Object(object) => match object.elements() {
            Some(elements) => match key.as_str() {
                Some(key) => {
                    let found = elements.into_iter().find(|(k, _)| k.as_str() == Some(key));
                    Ok(found.map_or_else(|| Value::string(""), |(_, value)| value))
                }
                None => Ok(elements[position(elements.len())?].1.clone()),
            },
            None => Err(format!("can't index item of type {}", object.type_name())),
        },
        value => Err(format!("can't index item of type {}", value.type_name())),
    }
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let bounds = |len: usize| -> Result<(usize, usize), String> {
        let mut bounds = [0, len];
        if 3 < arguments.len() {
            return Err(format!("too many slice indexes: {}", arguments.len() - 1));
        }
        for (bound, value) in bounds.iter_mut().zip(&arguments[1..]) {
            *bound = match value {
                Value::Int(i) => match usize::try_from(*i) {
                    Ok(i) if i <= len => i,
                    _ => return Err(format!("index out of range: {i}")),
                },
                value => {
                    return Err(format!(
                        "cannot index slice/array with type {}",
                        value.type_name()
                    ));
                }
            };
        }
        if bounds[1] < bounds[0] {
            return Err(format!(
                "invalid slice index: {} > {}",
                bounds[0], bounds[1]
            ));
        }
        Ok((bounds[0], bounds[1]))
    };
    match &arguments[0] {
        Value::String(text) => {
            let (from, to) = bounds(text.len())?;
            Ok(String::from_utf8_lossy(&text.as_bytes()[from..to])
                .into_owned()
                .into())
        }
        Value::List(list) => {
            let (from, to) = bounds(list.items.len())?;
            Ok(Value::list(list.type_name, list.items[from..to].to_vec()))
        }
        value => Err(format!("can't slice item of type {}", value.type_name())),
    }
}

/// Escapes what is markup in HTML's text and quoted attributes.
pub(super) fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn js_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Compiles a regular expression, or says what is wrong with it in Go's words where those are known.
pub(super) fn regex(pattern: &str) -> Result<regex::Regex, String> {
    // Patterns come from rule files; the bound keeps one from taking all memory.
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| go_words(pattern, &error.to_string()))
}

/// Returns what Go says of a pattern that is no regular expression.
pub(crate) fn go_regex_error(pattern: &str) -> String {
    let why = regex::Regex::new(pattern).err();
    go_words(pattern, &why.map(|why| why.to_string()).unwrap_or_default())
}

/// Returns Go's words for an error of ours.
fn go_words(pattern: &str, why: &str) -> String {
    let what = if why.contains("unclosed character class") {
        let from = pattern.rfind('[').unwrap_or(0);
        format!("missing closing ]: `{}`", &pattern[from..])
    } else if why.contains("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if why.contains("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if why.contains("repetition operator missing expression") {
        let is_bare = |at: &usize| {
            let before = &pattern[..*at];
            pattern[*at..].starts_with(['*', '+', '?'])
                && !(before.ends_with('(') && pattern[*at..].starts_with('?'))
                && (before.is_empty()
                    || before.ends_with(['(', '|', '^'])
                    || before.ends_with("(?:"))
        };
        let at = (0..pattern.len())
            .filter(|&at| pattern.is_char_boundary(at))
            .find(is_bare);
        let operator = at.map_or("", |at| &pattern[at..=at]);
        format!("missing argument to repetition operator: `{operator}`")
    } else {
        format!("invalid expression: `{pattern}`")
    };
    format!("error parsing regexp: {what}")
}

/// Calls a method of a moment.
pub(super) fn time_method(
    time: &Zoned,
    name: &str,
    arguments: &[Value],
) -> Option<Result<Value, String>> {
    let int = |value: i64| Some(Ok(Value::Int(value)));
    let named = |how: &str| Some(Ok(time.strftime(how).to_string().into()));
    match (name, arguments) {
        ("Unix", []) => int(time.timestamp().as_second()),
        ("UnixMilli", []) => int(time.timestamp().as_millisecond()),
        ("Year", []) => int(time.year().into()),
        ("Day", []) => int(time.day().into()),
        ("Hour", []) => int(time.hour().into()),
        ("Minute", []) => int(time.minute().into()),
        ("Second", []) => int(time.second().into()),
        ("YearDay", []) => int(time.day_of_year().into()),
        ("Nanosecond", []) => int(time.subsec_nanosecond().into()),
        ("IsZero", []) => Some(Ok(Value::Bool(
            time.timestamp().as_second() == crate::alert::ZERO_TIME_SECONDS,
        ))),
        ("UTC", []) => Some(Ok(Value::Time(Arc::new(
            time.with_time_zone(jiff::tz::TimeZone::UTC),
        )))),
        ("Sub", [Value::Time(other)]) => {
            let ns = time.timestamp().as_nanosecond() - other.timestamp().as_nanosecond();
            let clamped = ns.clamp(i64::MIN.into(), i64::MAX.into());
            Some(Ok(Value::Duration(
                i64::try_from(clamped).unwrap_or(i64::MAX),
            )))
        }
        ("Format", [Value::String(layout)]) => Some(Ok(super::layout::format(time, layout).into())),
        ("Month", []) => named("%B"),
        ("Weekday", []) => named("%A"),
        ("Before", [Value::Time(other)]) => {
            Some(Ok(Value::Bool(time.timestamp() < other.timestamp())))
        }
        ("After", [Value::Time(other)]) => {
            Some(Ok(Value::Bool(other.timestamp() < time.timestamp())))
        }
        _ => None,
    }
}

/// Calls a method of a span of time.
pub(super) fn duration_method(
    ns: i64,
    name: &str,
    arguments: &[Value],
) -> Option<Result<Value, String>> {
    let value = match (name, arguments) {
        ("Hours", []) => Value::Float(ns as f64 / 3.6e12),
        ("Minutes", []) => Value::Float(ns as f64 / 6e10),
        ("Seconds", []) => Value::Float(ns as f64 / 1e9),
        ("Milliseconds", []) => Value::Int(ns / 1_000_000),
        ("Microseconds", []) => Value::Int(ns / 1_000),
        ("Nanoseconds", []) => Value::Int(ns),
        ("String", []) => super::time::print_duration(ns).into(),
        _ => return None,
    };
    Some(Ok(value))
}

/// Returns the map of a value, if it is one.
pub(super) fn as_map(value: &Value) -> Option<&Map> {
    match value {
        Value::Map(map) => Some(map),
        _ => None,
    }
}
