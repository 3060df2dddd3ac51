//! Attributes of OTLP: names with values of several types, which become text.

use std::fmt::Write as _;

use base64::Engine as _;
use model::protobuf::Fields;

use super::OtlpError;

/// How deep lists and maps may be in one another.
const DEPTH_MAX: usize = 16;

/// An attribute, borrowed from the request where it is text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) value: String,
}

/// Returns the attribute of a `KeyValue` message.
pub(super) fn attribute(message: &[u8]) -> Result<Attribute<'_>, OtlpError> {
    let (name, value) = key_value(message)?;
    let mut text = String::new();
    if let Some(value) = value {
        push_value(&mut text, value, 0)?;
    }
    Ok(Attribute { name, value: text })
}

fn key_value(message: &[u8]) -> Result<(&str, Option<&[u8]>), OtlpError> {
    let mut fields = Fields::of(message);
    let (mut name, mut found) = ("", None);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => name = text(value.bytes("Key")?)?,
            2 => found = Some(value.bytes("Value")?),
            _ => (),
        }
    }
    Ok((name, found))
}

/// Returns `bytes` as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, OtlpError> {
    std::str::from_utf8(bytes).map_err(|_| OtlpError::Text)
}

/// Appends an `AnyValue` message: text as it is, and within lists and maps as JSON.
fn push_value(out: &mut String, message: &[u8], depth: usize) -> Result<(), OtlpError> {
    if DEPTH_MAX < depth {
        return Err(OtlpError::Depth(DEPTH_MAX));
    }
    let mut last = None;
    let mut fields = Fields::of(message);
    while let Some(field) = fields.read()? {
        last = Some(field);
    }
    let Some((number, value)) = last else {
        if 0 < depth {
            out.push_str("null");
        }
        return Ok(());
    };
    match number {
        1 => push_text(out, text(value.bytes("StringValue")?)?, depth),
        2 => out.push_str(if value.varint("BoolValue")? == 0 {
            "false"
        } else {
            "true"
        }),
        // Writing to a string cannot fail.
        3 => drop(write!(out, "{}", value.int64("IntValue")?)),
        4 => {
            let number = value.double("DoubleValue")?;
            let mut bytes = Vec::new();
            model::float::append_json(&mut bytes, number);
            out.push_str(&String::from_utf8_lossy(&bytes));
        }
        5 => {
            out.push('[');
            each(value.bytes("ArrayValue")?, |index, element| {
                if 0 < index {
                    out.push(',');
                }
                push_value(out, element, depth + 1)
            })?;
            out.push(']');
        }
        6 => {
            out.push('{');
            each(value.bytes("KvlistValue")?, |index, element| {
                if 0 < index {
                    out.push(',');
                }
                let (name, value) = key_value(element)?;
                push_text(out, name, depth + 1);
                out.push(':');
                push_value(out, value.unwrap_or_default(), depth + 1)
            })?;
            out.push('}');
        }
        7 => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(value.bytes("Bytes")?);
            push_text(out, &encoded, depth);
        }
        _ => (),
    }
    Ok(())
}

/// Calls `take` with each element of a list or map.
fn each(
    message: &[u8],
    mut take: impl FnMut(usize, &[u8]) -> Result<(), OtlpError>,
) -> Result<(), OtlpError> {
    let mut fields = Fields::of(message);
    let mut index = 0;
    while let Some((number, value)) = fields.read()? {
        if number == 1 {
            take(index, value.bytes("Values")?)?;
            index += 1;
        }
    }
    Ok(())
}

fn push_text(out: &mut String, text: &str, depth: usize) {
    if depth == 0 {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, message};

    #[track_caller]
    fn check(value: Message, expected: &str) {
        let message = message().bytes(1, b"k").message(2, value);
        let expected = Attribute {
            name: "k",
            value: expected.to_owned(),
        };
        assert_eq!(attribute(&message.0).unwrap(), expected);
    }

    #[test]
    fn values_become_text() {
        check(message().bytes(1, b"a\"b"), "a\"b");
        check(message().number(2, 1), "true");
        check(message().signed(3, -5), "-5");
        check(message().double(4, 1.5), "1.5");
        check(message().bytes(7, b"\x00\xff"), "AP8=");
        check(message(), "");
        let list = message()
            .message(1, message().bytes(1, b"a\"\n"))
            .message(1, message().number(3, 2))
            .message(1, message());
        check(message().message(5, list), r#"["a\"\u000a",2,null]"#);
        let pair = message().bytes(1, b"x").message(2, message().number(2, 0));
        check(
            message().message(6, message().message(1, pair)),
            r#"{"x":false}"#,
        );
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = |depth: usize| {
            let value = (0..depth).fold(message().number(3, 1), |value, _| {
                message().message(5, message().message(1, value))
            });
            attribute(&message().message(2, value).0).map(|attribute| attribute.value.len())
        };
        assert_eq!(deep(DEPTH_MAX), Ok(2 * DEPTH_MAX + 1));
        assert_eq!(deep(DEPTH_MAX + 1), Err(OtlpError::Depth(DEPTH_MAX)));
        assert!(deep(1_000).is_err());
    }
}
