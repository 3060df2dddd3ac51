use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;

/// Reads `text` as serde does, and through the pointer.
fn both<T: DeserializeOwned>(text: &str) -> [Result<T, String>; 2] {
    let plain = serde_json::from_str(text);
    let mut reader = serde_json::Deserializer::from_str(text);
    let erased = read(|seed| seed.deserialize(&mut reader));
    [plain, erased].map(|outcome| outcome.map_err(|error: serde_json::Error| error.to_string()))
}

#[track_caller]
fn same<T: DeserializeOwned + Debug + PartialEq>(text: &str) -> Result<T, String> {
    let [plain, erased] = both::<T>(text);
    assert_eq!(plain, erased, "{text}");
    erased
}

#[derive(Debug, PartialEq, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Deserialize)]
struct Wrapped(u8);

#[derive(Debug, PartialEq, Deserialize)]
struct Pair(String, i64);

#[derive(Debug, PartialEq, Deserialize)]
enum Kind {
    Unit,
    Newtype(f64),
    Tuple(bool, char),
    Struct { a: Option<u32> },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(i64),
    Text(String),
    List(Vec<Loose>),
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner {
    #[serde(default)]
    size: u16,
    kind: Option<Kind>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    name: String,
    #[serde(default)]
    pairs: Vec<Pair>,
    #[serde(default)]
    by_name: BTreeMap<String, Wrapped>,
    unit: Option<Unit>,
    loose: Option<Loose>,
    #[serde(default, deserialize_with = "said_again")]
    even: u64,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Flat {
    id: i32,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// As configuration types do: puts the reader's error into words of its own.
fn said_again<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)
        .map_err(|error| D::Error::custom(format!("even: {error}")))?;
    if number % 2 == 1 {
        return Err(D::Error::invalid_value(
            Unexpected::Unsigned(number),
            &"an even number",
        ));
    }
    Ok(number)
}

#[test]
fn values() {
    let strict = same::<Strict>(
        r#"{"name": "n\n", "pairs": [["a", -1], ["b", 2]], "by_name": {"x": 3}, "unit": null, "loose": [1, "a", []], "even": 4}"#,
    );
    assert_eq!(strict.unwrap().pairs[1], Pair("b".to_owned(), 2));
    for kind in [
        r#""Unit""#,
        r#"{"Newtype": 1.5}"#,
        r#"{"Tuple": [true, "c"]}"#,
        r#"{"Struct": {"a": null}}"#,
    ] {
        same::<Kind>(kind).unwrap();
        let flat = format!(r#"{{"id": 1, "kind": {kind}, "size": 7, "more": [{{}}]}}"#);
        assert_eq!(same::<Flat>(&flat).unwrap().rest.len(), 1);
    }
    same::<Value>(r#"[1, -2, 3.5, null, true, {"a": "b"}, 18446744073709551615]"#).unwrap();
    same::<(u8, Option<String>, [i16; 2])>(r#"[1, null, [2, 3]]"#).unwrap();
    let ignored: [Result<de::IgnoredAny, _>; 2] = both(r#"{"a": [1, {}]}"#);
    assert!(ignored.iter().all(Result::is_ok));
}

#[test]
fn borrowed_texts() {
    let text = r#"["as it is"]"#;
    let mut reader = serde_json::Deserializer::from_str(text);
    let read: Vec<&str> = read(|seed| seed.deserialize(&mut reader)).unwrap();
    assert!(text.as_bytes().as_ptr_range().contains(&read[0].as_ptr()));
}

/// The texts have the place where the reader was, so it is the reader's error and no copy of its text.
#[test]
fn errors() {
    for (text, said) in [
        ("{\"name\": 1}", "invalid type: integer `1`"),
        ("{\"name\": \"a\", \"nmae\": 1}", "unknown field `nmae`"),
        ("{}", "missing field `name`"),
        (
            "{\"name\": \"a\", \"name\": \"b\"}",
            "duplicate field `name`",
        ),
        (
            "{\"name\": \"a\", \"by_name\": {\"x\": 256}}",
            "invalid value",
        ),
        (
            "{\"name\": \"a\", \"pairs\": [[\"x\"]]}",
            "invalid length 1",
        ),
        (
            "{\"name\": \"a\", \"pairs\": [[\"x\", 1, 2]]}",
            "trailing characters",
        ),
        (
            "{\"name\": \"a\", \"loose\": {}}",
            "did not match any variant",
        ),
        ("{\"name\": \"a\", \"even\": 3}", "expected an even number"),
        ("{\"name\": \"a\", \"even\": \"x\"}", "even: invalid type"),
        ("{\"name\": \"a\", \n\"even\": 1e", "line 2"),
        ("[", "EOF while parsing"),
    ] {
        let error = same::<Strict>(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
        assert!(error.contains("at line"), "{text}: {error}");
    }
    for text in [
        "\"Other\"",
        "{\"Newtype\": {}}",
        "{\"Struct\": {\"a\": -1}}",
        "{\"Tuple\": [true]}",
    ] {
        same::<Kind>(text).unwrap_err();
    }
    for text in [
        "{\"id\": 1, \"size\": -1}",
        "{\"id\": 1, \"kind\": 0}",
        "{\"id\": null}",
    ] {
        same::<Flat>(text).unwrap_err();
    }
}
