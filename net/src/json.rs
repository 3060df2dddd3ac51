//! JSON with Go's habits: `<`, `>` and `&` in strings become `\u003c`, `\u003e` and `\u0026`, floats are printed as Go prints
//! them.

use std::io;

use model::{Labels, float};
use serde::{Serialize, Serializer};

/// Appends `data`.
///
/// # Errors
///
/// When a map has keys other than strings, and when `out` fails.
pub fn append(out: &mut impl io::Write, data: &impl Serialize) -> Result<(), serde_json::Error> {
    let mut serializer = serde_json::Serializer::with_formatter(out, GoFormatter);
    data.serialize(&mut serializer)
}

/// Returns `data` as a text.
///
/// # Errors
///
/// As [`append`].
pub fn to_string(data: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    append(&mut out, data)?;
    // The serializer writes whole characters only.
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// Serializes labels as an object.
pub struct LabelsJson<'a>(pub &'a Labels);

impl Serialize for LabelsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

/// Go's habits, where they differ from `serde_json`'s.
struct GoFormatter;

impl serde_json::ser::Formatter for GoFormatter {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        float::append_json(&mut text, value);
        writer.write_all(&text)
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain_from = 0;
        for (at, c) in fragment.char_indices() {
            let escaped: &[u8] = match c {
                '<' => b"\\u003c",
                '>' => b"\\u003e",
                '&' => b"\\u0026",
                '\u{2028}' => b"\\u2028",
                '\u{2029}' => b"\\u2029",
                _ => continue,
            };
            writer.write_all(&fragment.as_bytes()[plain_from..at])?;
            writer.write_all(escaped)?;
            plain_from = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain_from..])
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes() {
        let data = ("<a&b>\u{2028}\u{2029}\"\n", 1.5);
        let expected = r#"["\u003ca\u0026b\u003e\u2028\u2029\"\n",1.5]"#;
        assert_eq!(super::to_string(&data).unwrap(), expected);
    }
}
