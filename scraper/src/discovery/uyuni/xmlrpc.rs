//! XML-RPC: calls and answers.
//!
//! Source: [XML-RPC specification](http://xmlrpc.com/spec.md).

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde::Deserialize;

/// How deep elements may be within one another; values are read by recursion.
const DEPTH_MAX: usize = 128;
/// How much of a fault is shown, in characters.
const FAULT_CHARS_MAX: usize = 256;

/// An argument, or an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
    Array(Vec<Value>),
    Struct(BTreeMap<String, Value>),
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Value::Text(text.to_owned())
    }

    /// Returns the items of an array; those of everything else are none.
    pub(super) fn items(&self) -> &[Value] {
        match self {
            Value::Array(items) => items,
            _ => &[],
        }
    }

    /// Returns a field of a struct.
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Struct(fields) => fields.get(name),
            _ => None,
        }
    }

    /// Returns a field that is text; empty if it is not.
    pub(super) fn text_of(&self, name: &str) -> &str {
        match self.field(name) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// Returns a field that is a number; 0 if it is not.
    pub(super) fn int_of(&self, name: &str) -> i64 {
        match self.field(name) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    fn append(&self, out: &mut String) {
        out.push_str("<value>");
        match self {
            Value::Text(text) => {
                let text = quick_xml::escape::escape(text.as_str());
                *out += &format!("<string>{text}</string>");
            }
            Value::Int(number) => *out += &format!("<int>{number}</int>"),
            Value::Bool(is_so) => *out += &format!("<boolean>{}</boolean>", i32::from(*is_so)),
            Value::Array(items) => {
                out.push_str("<array><data>");
                items.iter().for_each(|item| item.append(out));
                out.push_str("</data></array>");
            }
            Value::Struct(fields) => {
                out.push_str("<struct>");
                for (name, value) in fields {
                    let name = quick_xml::escape::escape(name.as_str());
                    *out += &format!("<member><name>{name}</name>");
                    value.append(out);
                    out.push_str("</member>");
                }
                out.push_str("</struct>");
            }
        }
        out.push_str("</value>");
    }
}

/// Returns the body of a call.
pub(super) fn call(method: &str, arguments: &[Value]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><methodCall><methodName>{method}</methodName><params>"
    );
    for argument in arguments {
        out.push_str("<param>");
        argument.append(&mut out);
        out.push_str("</param>");
    }
    out + "</params></methodCall>"
}

#[derive(Deserialize)]
struct Response {
    params: Option<Params>,
    fault: Option<Holder>,
}

#[derive(Deserialize)]
struct Params {
    param: Holder,
}

#[derive(Deserialize)]
struct Holder {
    value: Written,
}

/// A value as it is written; without a type it is text.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "$value")]
    kind: Option<Kind>,
}

#[derive(Deserialize)]
enum Kind {
    #[serde(rename = "array")]
    Array(WrittenArray),
    #[serde(rename = "struct")]
    Struct(WrittenStruct),
    #[serde(rename = "int", alias = "i4", alias = "i8")]
    Int(i64),
    #[serde(rename = "boolean")]
    Bool(String),
    #[serde(
        rename = "string",
        alias = "double",
        alias = "dateTime.iso8601",
        alias = "base64"
    )]
    Typed(String),
    #[serde(rename = "$text")]
    Text(String),
}

#[derive(Deserialize)]
struct WrittenArray {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    value: Vec<Written>,
}

#[derive(Deserialize)]
struct WrittenStruct {
    #[serde(default)]
    member: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    value: Written,
}

impl From<Written> for Value {
    fn from(written: Written) -> Self {
        match written.kind {
            None => Value::Text(String::new()),
            Some(Kind::Text(text) | Kind::Typed(text)) => Value::Text(text),
            Some(Kind::Int(number)) => Value::Int(number),
            Some(Kind::Bool(text)) => Value::Bool(matches!(text.trim(), "1" | "true")),
            Some(Kind::Array(array)) => {
                let items = array.data.map(|data| data.value).unwrap_or_default();
                Value::Array(items.into_iter().map(Value::from).collect())
            }
            Some(Kind::Struct(fields)) => {
                let fields = fields.member.into_iter();
                Value::Struct(fields.map(|m| (m.name, m.value.into())).collect())
            }
        }
    }
}

/// Reads an answer.
///
/// # Errors
///
/// When it is a fault, or no answer of XML-RPC.
pub(super) fn answer(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the answer is not UTF-8".to_owned())?;
    check_depth(text)?;
    let response: Response =
        quick_xml::de::from_str(text).map_err(|error| format!("unexpected answer: {error}"))?;
    if let Some(fault) = response.fault {
        let fault = Value::from(fault.value);
        let said = fault
            .text_of("faultString")
            .lines()
            .next()
            .unwrap_or_default();
        let said: String = said.chars().take(FAULT_CHARS_MAX).collect();
        return Err(format!("fault {}: {said}", fault.int_of("faultCode")));
    }
    let params = response.params.ok_or("the answer holds nothing")?;
    Ok(params.param.value.into())
}

/// Checks that elements are not too deep within one another.
fn check_depth(text: &str) -> Result<(), String> {
    let mut reader = Reader::from_str(text);
    let mut depth = 0_usize;
    loop {
        match reader.read_event() {
            Ok(Event::Start(_)) => depth += 1,
            Ok(Event::End(_)) => depth = depth.saturating_sub(1),
            Ok(Event::Eof) => return Ok(()),
            Ok(_) => (),
            Err(error) => return Err(format!("the answer is no XML: {error}")),
        }
        if DEPTH_MAX < depth {
            return Err(format!(
                "elements of the answer are more than {DEPTH_MAX} deep"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_answers_are_refused() {
        let nested = "<value><array><data>".repeat(100_000);
        let body = format!("<methodResponse><params><param>{nested}");
        assert_eq!(
            answer(body.as_bytes()),
            Err("elements of the answer are more than 128 deep".to_owned())
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let value = Value::Struct(BTreeMap::from([
            (
                "a".to_owned(),
                Value::Array(vec![Value::Int(-1), Value::Bool(true)]),
            ),
            ("b<".to_owned(), Value::text("x & y")),
            ("c".to_owned(), Value::Array(Vec::new())),
        ]));
        let written = call("m", std::slice::from_ref(&value));
        let answered = written
            .replace("<methodCall><methodName>m</methodName>", "<methodResponse>")
            .replace("</methodCall>", "</methodResponse>");
        assert_eq!(answer(answered.as_bytes()), Ok(value));
    }

    #[test]
    fn what_is_no_answer() {
        for body in ["", "hello", "<html></html>", "<methodResponse/>", "<a></b>"] {
            assert!(answer(body.as_bytes()).is_err(), "{body}");
        }
    }
}
