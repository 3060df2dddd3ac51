//! Metric and label names: which are valid bare, which need quotes, and how strings are quoted.
//!
//! Since Prometheus 3 any non-empty UTF-8 string is a valid name; the *legacy* character set decides only whether a
//! name can stand bare in text.
//!
//! Source: Prometheus data model documentation.

use std::fmt;

/// Returns whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_legacy_metric_name(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().enumerate().all(|(i, b)| {
            b.is_ascii_alphabetic() || b == b'_' || b == b':' || (0 < i && b.is_ascii_digit())
        })
}

/// Returns whether `name` matches `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_legacy_metric_name(name) && !name.contains(':')
}

/// Displays a string in double quotes with Go's escapes, as PromQL and the exposition format read it back.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        let mut plain_from = 0;
        for (at, c) in self.0.char_indices() {
            let escaped: &str = match c {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\u{7}' => "\\a",
                '\u{8}' => "\\b",
                '\u{b}' => "\\v",
                '\u{c}' => "\\f",
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => "",
                _ => continue,
            };
            f.write_str(&self.0[plain_from..at])?;
            plain_from = at + c.len_utf8();
            match u32::from(c) {
                code if escaped.is_empty() && code < 0x80 => write!(f, "\\x{code:02x}")?,
                code if escaped.is_empty() => write!(f, "\\u{code:04x}")?,
                _ => f.write_str(escaped)?,
            }
        }
        f.write_str(&self.0[plain_from..])?;
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_names() {
        for good in ["up", "_x", "a:b", "A9"] {
            assert!(is_legacy_metric_name(good), "{good}");
        }
        for bad in ["", "9a", "a.b", "a-b", "é"] {
            assert!(!is_legacy_metric_name(bad), "{bad}");
        }
        assert!(!is_legacy_label_name("a:b"));
    }

    #[test]
    fn quotes_like_go() {
        assert_eq!(
            Quoted("a\"b\\c\nd\u{1}é").to_string(),
            r#""a\"b\\c\nd\x01é""#
        );
        assert_eq!(Quoted("\u{85}\u{2028}").to_string(), r#""\u0085\u2028""#);
    }
}
