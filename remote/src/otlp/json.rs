//! Requests in OTLP's JSON, written as the protobuf message that they stand for.
//!
//! A table per message says which names stand for which fields; the text is read once, from front to back, and each value is
//! written as it comes. So there is one reader of requests, which knows protobuf only.
//!
//! Source: [OTLP/HTTP, JSON](https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): the ids of traces and spans are
//! hexadecimal, enums are numbers (names are taken too), other names are ignored; and for the rest
//! [ProtoJSON](https://protobuf.dev/programming-guides/json/): numbers may be text, null is nothing.

mod number;
mod schema;

use std::cell::Cell;
use std::fmt;

use base64::Engine as _;
use model::protobuf::{Writer, put_varint};
use serde::Deserializer;

use number::{Element, Token};
use schema::Kind::{Bool, Bytes, Id, Messages, Numbers, Text};
use schema::{Field, Kind, Message, REQUEST};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Returns the `ExportMetricsServiceRequest` that `text` is.
///
/// Memory: at most twice `bytes_max`, besides the text.
///
/// # Errors
///
/// What is wrong with the text, with line and column; or that the message has more than `bytes_max` bytes.
pub(super) fn message(text: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut out = Writer::default();
    let left = Cell::new(bytes_max);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let request = IntoMessage {
        message: &REQUEST,
        out: &mut out,
        left: &left,
    };
    let read = request.deserialize(&mut reader).and_then(|()| reader.end());
    read.map_err(|error| error.to_string())?;
    Ok(out.into_bytes())
}

/// Writes a JSON object as the fields of a message.
struct IntoMessage<'w> {
    message: &'static Message,
    out: &'w mut Writer,
    /// How many bytes of values may still be written.
    left: &'w Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for IntoMessage<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IntoMessage<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.message.0.iter().map(|(name, ..)| *name);
        write!(f, "an object with {}", names.collect::<Vec<_>>().join(", "))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.message))? {
            match field {
                Some(field) => map.next_value_seed(IntoField {
                    field,
                    out: self.out,
                    left: self.left,
                })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads the name of a field.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

/// Writes the value of a field.
struct IntoField<'w> {
    field: &'static Field,
    out: &'w mut Writer,
    left: &'w Cell<usize>,
}

impl IntoField<'_> {
    /// Takes `bytes` from what may still be written.
    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        /// Tag and length, which empty values have too.
        const HEAD_BYTES: usize = 2;
        match self.left.get().checked_sub(bytes + HEAD_BYTES) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom(
                "the request has more bytes as protobuf than are taken",
            )),
        }
    }

    fn wrong<E: Error>(&self, found: &str) -> E {
        let (name, _, kind) = self.field;
        E::custom(format_args!("{name} is {found}, expected {}", kind.text()))
    }

    fn bytes<E: Error>(self, bytes: &[u8]) -> Result<(), E> {
        self.spend(bytes.len())?;
        self.out.bytes(self.field.1, bytes);
        Ok(())
    }

    fn number<E: Error>(self, token: Token<'_>) -> Result<(), E> {
        let &(_, number, kind) = self.field;
        self.spend(size_of::<u64>())?;
        match kind {
            Kind::Number(how) => match how.bits(token) {
                Some(bits) if how.is_fixed() => self.out.fixed64(number, bits),
                Some(bits) => self.out.varint(number, bits),
                None => return Err(self.wrong(&token.to_string())),
            },
            _ => return Err(self.wrong(&token.to_string())),
        };
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for IntoField<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IntoField<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _, kind) = self.field;
        write!(f, "{} as {name}", kind.text())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.2 {
            Bool => {
                self.spend(1)?;
                self.out.varint(self.field.1, u64::from(value));
                Ok(())
            }
            _ => Err(self.wrong("a boolean")),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(Token::Integer(i128::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(Token::Integer(i128::from(value)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(Token::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.2 {
            Text => self.bytes(text.as_bytes()),
            Bytes => match base64::engine::general_purpose::STANDARD.decode(text) {
                Ok(bytes) => self.bytes(&bytes),
                Err(why) => Err(self.wrong(&format!("{text:?} ({why})"))),
            },
            Id => match unhex(text) {
                Some(bytes) => self.bytes(&bytes),
                None => Err(self.wrong(&format!("{text:?}"))),
            },
            Kind::Number(_) => self.number(Token::Text(text)),
            _ => Err(self.wrong("text")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let &(_, number, kind) = self.field;
        let Kind::Message(message) = kind else {
            return Err(self.wrong("an object"));
        };
        let mut inner = Writer::default();
        let reader = IntoMessage {
            message,
            out: &mut inner,
            left: self.left,
        };
        reader.visit_map(map)?;
        self.spend(0)?;
        self.out.message(number, inner);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        match self.field.2 {
            Messages(message) => loop {
                let mut inner = Writer::default();
                let element = IntoMessage {
                    message,
                    out: &mut inner,
                    left: self.left,
                };
                if list.next_element_seed(element)?.is_none() {
                    return Ok(());
                }
                self.spend(0)?;
                self.out.message(self.field.1, inner);
            },
            Numbers(how) => {
                let mut packed = Vec::new();
                while let Some(element) = list.next_element()? {
                    let element: Element = element;
                    let Some(bits) = how.bits(element.token()) else {
                        return Err(self.wrong(&format!("a list with {}", element.token())));
                    };
                    self.spend(size_of::<u64>())?;
                    match how.is_fixed() {
                        true => packed.extend_from_slice(&bits.to_le_bytes()),
                        false => put_varint(&mut packed, bits),
                    }
                }
                self.out.bytes(self.field.1, &packed);
                Ok(())
            }
            _ => Err(self.wrong("a list")),
        }
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16));
    let digits: Vec<u32> = digits.collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let bytes = pairs
        .iter()
        .map(|[high, low]| u8::try_from(high << 4 | low));
    bytes.collect::<Result<_, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message as Expected, message as expected};

    const BYTES_MAX: usize = 1 << 20;

    #[track_caller]
    fn check(text: &str, wanted: Expected) {
        assert_eq!(message(text.as_bytes(), BYTES_MAX), Ok(wanted.0), "{text}");
    }

    /// A request of a sum with that point.
    fn sum(point: &str) -> String {
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"sum":{{"dataPoints":[{point}]}}}}]}}]}}]}}"#
        )
    }

    fn in_request(path: &[u64], inner: Expected) -> Expected {
        let wrap = |inner, field: &u64| expected().message(*field, inner);
        path.iter().rev().fold(inner, wrap)
    }

    #[track_caller]
    fn check_point(text: &str, wanted: Expected) {
        check(&sum(text), in_request(&[1, 2, 2, 7, 1], wanted));
    }

    #[track_caller]
    fn check_fault(text: &str, why: &str) {
        let found = message(text.as_bytes(), BYTES_MAX).expect_err(text);
        assert!(found.contains(why), "{text}: {found}");
    }

    #[test]
    fn numbers_are_numbers_or_text() {
        let time = f64::from_bits(1_544_712_660_300_000_000);
        for point in [
            r#"{"timeUnixNano":"1544712660300000000","asInt":-7}"#,
            r#"{"time_unix_nano":1544712660300000000,"as_int":"-7"}"#,
            r#"{"timeUnixNano":1544712660300000000,"startTimeUnixNano":null,"more":{"a":[1]},"asInt":-7.0}"#,
        ] {
            let integer = f64::from_bits((-7i64).cast_unsigned());
            check_point(point, expected().double(3, time).double(6, integer));
        }
        check_point(r#"{"asDouble":2}"#, expected().double(4, 2.0));
        // What a quick reader of doubles has one bit wrong.
        let close = 2.0370359763344865e-10;
        check_point(
            &format!(r#"{{"asDouble":{close:e}}}"#),
            expected().double(4, close),
        );
        check_point(
            r#"{"asDouble":"-Infinity"}"#,
            expected().double(4, f64::NEG_INFINITY),
        );
        check_point(
            r#"{"asDouble":"1.5e2","flags":1}"#,
            expected().double(4, 150.0).number(8, 1),
        );
        let all = u64::MAX.to_string();
        check_point(
            &format!(r#"{{"timeUnixNano":"{all}"}}"#),
            expected().double(3, f64::from_bits(u64::MAX)),
        );
    }

    #[test]
    fn lists_enums_and_objects() {
        let text = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"exponentialHistogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE",
            "dataPoints":[{"scale":-1,"positive":{"offset":3,"bucketCounts":["1",300]}}]}}]}]}]}"#;
        let buckets = expected().zigzag(1, 3).packed(2, [1, 300]);
        let point = expected().zigzag(6, -1).message(8, buckets);
        let histogram = expected().number(2, 2).message(1, point);
        check(text, in_request(&[1, 2, 2, 10], histogram));
        let text = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"aggregationTemporality":2,
            "dataPoints":[{"bucketCounts":[1,"2"],"explicitBounds":[0.5]}]}}]}]}]}"#;
        let counts = [1u64, 2].map(f64::from_bits);
        let point = expected()
            .packed_doubles(6, &counts)
            .packed_doubles(7, &[0.5]);
        let histogram = expected().number(2, 2).message(1, point);
        check(text, in_request(&[1, 2, 2, 9], histogram));
    }

    #[test]
    fn attributes_and_ids() {
        let pair = |value: Expected| expected().bytes(1, b"k").message(2, value);
        for (text, value) in [
            (
                r#"{"stringValue":"a\u00e9"}"#,
                expected().bytes(1, "aé".as_bytes()),
            ),
            (r#"{"boolValue":true}"#, expected().number(2, 1)),
            (r#"{"intValue":"-5"}"#, expected().signed(3, -5)),
            (r#"{"bytesValue":"AP8="}"#, expected().bytes(7, &[0, 255])),
            (
                r#"{"arrayValue":{"values":[{"intValue":1},{}]}}"#,
                expected().message(
                    5,
                    expected()
                        .message(1, expected().signed(3, 1))
                        .message(1, expected()),
                ),
            ),
        ] {
            check_point(
                &format!(r#"{{"attributes":[{{"key":"k","value":{text}}}]}}"#),
                expected().message(7, pair(value)),
            );
        }
        check_point(
            r#"{"exemplars":[{"traceId":"0aFF","spanId":""}]}"#,
            expected().message(5, expected().bytes(5, &[10, 255]).bytes(4, b"")),
        );
    }

    #[test]
    fn faults_say_where_and_what() {
        check_fault("", "EOF while parsing a value at line 1 column 0");
        check_fault("[]", "expected an object with resourceMetrics");
        check_fault("{} x", "trailing characters at line 1 column 4");
        let why = r#"asInt is "x", expected an integer of 64 bits at line 1 column"#;
        check_fault(&sum(r#"{"asInt":"x"}"#), why);
        check_fault(&sum(r#"{"timeUnixNano":-1}"#), "timeUnixNano is -1");
        check_fault(&sum(r#"{"timeUnixNano":1.5}"#), "timeUnixNano is 1.5");
        check_fault(&sum(r#"{"asDouble":"nan"}"#), r#"asDouble is "nan""#);
        check_fault(&sum(r#"{"exemplars":[{"traceId":"abc"}]}"#), "hexadecimal");
        check_fault(&sum(r#"{"flags":true}"#), "flags is a boolean");
        check_fault(
            &sum(r#"{"attributes":{}}"#),
            "attributes is an object, expected a list",
        );
        let (open, close) = (r#"{"arrayValue":{"values":["#, "]}}");
        let deep = |depth| {
            format!(
                r#"{{"attributes":[{{"value":{}{}}}]}}"#,
                open.repeat(depth),
                close.repeat(depth)
            )
        };
        assert!(message(sum(&deep(30)).as_bytes(), BYTES_MAX).is_ok());
        check_fault(&sum(&deep(100_000)), "recursion limit");
        // What is not looked at is read without going down into it.
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        check(&format!(r#"{{"other":{deep}}}"#), expected());
    }

    #[test]
    fn what_is_written_is_bounded() {
        let zeros = |count: usize| {
            let list = vec!["0"; count].join(",");
            let text = format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"histogram":{{"dataPoints":[{{"bucketCounts":[{list}]}}]}}}}]}}]}}]}}"#
            );
            message(text.as_bytes(), 1_000).map(|message| message.len())
        };
        assert!(zeros(90).is_ok_and(|bytes| 720 < bytes && bytes <= 1_000));
        assert!(zeros(101).unwrap_err().contains("more bytes as protobuf"));
        let many = format!(r#"{{"resourceMetrics":[{}{{}}]}}"#, "{},".repeat(501));
        assert!(message(many.as_bytes(), 1_000).is_err());
    }
}
