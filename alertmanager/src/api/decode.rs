//! Bodies: JSON as Go's decoder reads it, with its words where a body is wrong, because clients show them.
//!
//! One value is read; what follows it does not count. Names of fields are found in any case, and the last of equal ones
//! counts.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// How deep a body may nest; serde_json stops there.
const DEPTH_MAX: usize = 127;

/// Reads the first value of `body`; nothing if there is none.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn value(body: &[u8]) -> Result<Option<Value>, String> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    match values.next() {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => {
            let mut scanner = Scanner { rest: body };
            let outcome = scanner.value(0);
            Err(outcome
                .err()
                .unwrap_or_else(|| "invalid UTF-8 or number out of range".to_owned()))
        }
    }
}

/// Walks over a text that is not JSON until it is clear why not.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Returns the character that comes next.
    fn peek(&self) -> Result<char, String> {
        let end = || "unexpected EOF".to_owned();
        let bytes = &self.rest[..self.rest.len().min(4)];
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        match text.chars().next() {
            Some(c) => Ok(c),
            None if self.rest.is_empty() => Err(end()),
            None => Ok(char::REPLACEMENT_CHARACTER),
        }
    }

    fn invalid(&self, place: &str) -> Result<(), String> {
        let c = match self.peek()? {
            '\'' => r"'\''".to_owned(),
            '"' => "'\"'".to_owned(),
            c if c.is_control() => format!("'{}'", c.escape_default()),
            c => format!("'{c}'"),
        };
        Err(format!("invalid character {c} {place}"))
    }

    fn skip(&mut self, wanted: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == wanted => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        if DEPTH_MAX < depth {
            return Err("exceeded max depth".to_owned());
        }
        self.space();
        match self.peek()? {
            '{' => self.object(depth),
            '[' => self.array(depth),
            '"' => self.string(),
            '-' | '0'..='9' => self.number(),
            't' => self.literal("true"),
            'f' => self.literal("false"),
            'n' => self.literal("null"),
            _ => self.invalid("looking for beginning of value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), String> {
        self.skip(b'{');
        self.space();
        if self.skip(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            if self.peek()? != '"' {
                return self.invalid("looking for beginning of object key string");
            }
            self.string()?;
            self.space();
            if !self.skip(b':') {
                return self.invalid("after object key");
            }
            self.value(depth + 1)?;
            self.space();
            if self.skip(b'}') {
                return Ok(());
            }
            if !self.skip(b',') {
                return self.invalid("after object key:value pair");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), String> {
        self.skip(b'[');
        self.space();
        if self.skip(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            if self.skip(b']') {
                return Ok(());
            }
            if !self.skip(b',') {
                return self.invalid("after array element");
            }
        }
    }

    fn string(&mut self) -> Result<(), String> {
        self.skip(b'"');
        loop {
            match self.rest {
                [] => return self.invalid(""),
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return Ok(());
                }
                [
                    b'\\',
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't',
                    rest @ ..,
                ] => {
                    self.rest = rest;
                }
                [b'\\', b'u', a, b, c, d, rest @ ..]
                    if [a, b, c, d].iter().all(|c| c.is_ascii_hexdigit()) =>
                {
                    self.rest = rest;
                }
                [b'\\', rest @ ..] => {
                    self.rest = rest;
                    let c = self.peek()?;
                    return Err(format!("invalid escape sequence `\\{c}` in string"));
                }
                [0..0x20, ..] => return self.invalid("in string literal"),
                [_, rest @ ..] => self.rest = rest,
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits("in numeric literal")?;
        }
        if self.skip(b'.') {
            self.digits("after decimal point in numeric literal")?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _ = self.skip(b'+') || self.skip(b'-');
            self.digits("in exponent of numeric literal")?;
        }
        Ok(())
    }

    fn digits(&mut self, place: &str) -> Result<(), String> {
        if !self.peek()?.is_ascii_digit() {
            return self.invalid(place);
        }
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), String> {
        for expected in word.bytes() {
            if !self.skip(expected) {
                let expected = char::from(expected);
                return self.invalid(&format!("in literal {word} (expecting '{expected}')"));
            }
        }
        Ok(())
    }
}

/// An object with the name that errors have for its fields: `Alert.`.
#[derive(Clone)]
pub(super) struct Object<'a> {
    map: Option<&'a Map<String, Value>>,
    path: String,
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the error of a value that is none of `wanted`.
pub(super) fn mismatch(value: &Value, wanted: &str) -> String {
    let kind = kind(value);
    format!("json: cannot unmarshal {kind} into Go {wanted}")
}

impl<'a> Object<'a> {
    /// Returns `value` as an object of the type `go_type`, whose fields are `path` and their name. `null` has no fields.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn of(value: &'a Value, go_type: &str, path: &str) -> Result<Self, String> {
        let map = match value {
            Value::Object(map) => Some(map),
            Value::Null => None,
            other => return Err(mismatch(other, go_type)),
        };
        Ok(Object {
            map,
            path: path.to_owned(),
        })
    }

    /// Returns the same object under another name for errors.
    pub(super) fn called(&self, path: &str) -> Self {
        Object {
            map: self.map,
            path: path.to_owned(),
        }
    }

    /// Returns the value of a field; `null` is none.
    pub(super) fn field(&self, name: &str) -> Option<&'a Value> {
        let fields = self.map?.iter();
        let mut named = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let last = named.next_back()?;
        Some(last.1).filter(|value| !value.is_null())
    }

    fn wrong<T>(&self, value: &Value, name: &str, go_type: &str) -> Result<T, String> {
        let path = &self.path;
        let wanted = format!("struct field {path}{name} of type {go_type}");
        Err(mismatch(value, &wanted))
    }

    /// Returns a string.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => self.wrong(other, name, "string"),
        }
    }

    /// Returns a string whose type reads itself, so that errors do not name the field.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn formatted(&self, name: &str) -> Result<Option<&'a str>, String> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(mismatch(other, "value of type string")),
        }
    }

    /// Returns a moment in milliseconds since the epoch; Go's zero time is none.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.formatted(name)? else {
            return Ok(None);
        };
        let ms = super::time::parse(text)?;
        Ok(Some(ms).filter(|&ms| ms != crate::alert::ZERO_TIME_MS))
    }

    /// Returns a boolean.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, String> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => self.wrong(other, name, "bool"),
        }
    }

    /// Returns a map of strings; `null` in it is an empty string.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn strings(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, String> {
        let map = match self.field(name) {
            None => return Ok(None),
            Some(Value::Object(map)) => map,
            Some(other) => return self.wrong(other, name, "models.LabelSet"),
        };
        let pairs = map.iter().map(|(key, value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            Value::Null => Ok((key.clone(), String::new())),
            other => self.wrong(other, &format!("{name}.{key}"), "string"),
        });
        pairs.collect::<Result<_, _>>().map(Some)
    }

    /// Returns a list.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub(super) fn list(&self, name: &str, go_type: &str) -> Result<Option<&'a [Value]>, String> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => self.wrong(other, name, go_type),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        assert_eq!(value(body.as_bytes()), Err(expected.to_owned()), "{body}");
    }

    #[test]
    fn what_is_no_json() {
        check("[{}", "unexpected EOF");
        check("\"x", "unexpected EOF");
        check("tru", "unexpected EOF");
        check(
            "{l:1}",
            "invalid character 'l' looking for beginning of object key string",
        );
        check("[1 2]", "invalid character '2' after array element");
        check("[01]", "invalid character '1' after array element");
        check("{\"a\" 1}", "invalid character '1' after object key");
        check(
            "{\"a\":1 \"b\"}",
            "invalid character '\"' after object key:value pair",
        );
        check(r#"["\q"]"#, r"invalid escape sequence `\q` in string");
        check(
            "[tru]",
            "invalid character ']' in literal true (expecting 'e')",
        );
        check(
            "[1.]",
            "invalid character ']' after decimal point in numeric literal",
        );
        check("é", "invalid character 'é' looking for beginning of value");
        check(&"[".repeat(10_000), "exceeded max depth");
    }

    #[test]
    fn one_value_counts() {
        assert_eq!(value(b" [1] x"), Ok(Some(serde_json::json!([1]))));
        assert_eq!(value(b"  "), Ok(None));
        assert!(value(b"\"\xff\"").is_err());
    }
}
