//! From names and labels to a series as a line would have it: what the cache knows series of other formats by.

use model::name::{is_legacy_label_name, is_legacy_metric_name};

/// Appends `,name="value"` to `out`, without the comma at its start; both may be any text.
pub(crate) fn push_label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    if is_legacy_label_name(name) {
        out.push_str(name);
    } else {
        push_quoted(out, name);
    }
    out.push('=');
    push_quoted(out, value);
}

/// A metric name, looked at once for all its series.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Name<'a> {
    text: &'a str,
    is_bare: bool,
}

impl<'a> Name<'a> {
    /// Returns `text` as a name; it may be any.
    pub(crate) fn of(text: &'a str) -> Self {
        let is_bare = is_legacy_metric_name(text);
        Name { text, is_bare }
    }
}

/// Replaces `out` by the series of that name and those labels.
///
/// * `suffix`: goes on from the name.
/// * `labels`: as [`push_label`] makes them.
/// * `bound`: one more label, whose value needs no escaping.
pub(crate) fn write(
    out: &mut String,
    name: Name<'_>,
    suffix: &str,
    labels: &str,
    bound: Option<(&str, f64)>,
) {
    out.clear();
    if name.is_bare {
        out.push_str(name.text);
        out.push_str(suffix);
        if labels.is_empty() && bound.is_none() {
            return;
        }
        out.push('{');
    } else {
        out.push_str("{\"");
        push_escaped(out, name.text);
        out.push_str(suffix);
        out.push('"');
        if !labels.is_empty() || bound.is_some() {
            out.push(',');
        }
    }
    out.push_str(labels);
    if let Some((name, value)) = bound {
        if !labels.is_empty() {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        push_bound(out, value);
        out.push('"');
    }
    out.push('}');
}

/// Replaces `out` by `labels` in braces.
pub(crate) fn write_braces(out: &mut String, labels: &str) {
    out.clear();
    out.push('{');
    out.push_str(labels);
    out.push('}');
}

/// Appends a float as OpenMetrics writes the bounds of buckets: with a point or an exponent.
pub(crate) fn push_bound(out: &mut String, value: f64) {
    let start = out.len();
    out.push_str(&model::float::format_general(value));
    if value.is_finite() && !out[start..].contains(['e', '.']) {
        out.push_str(".0");
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

fn push_escaped(out: &mut String, text: &str) {
    if !text.contains(['\\', '"', '\n']) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::metadata::MetricType;
    use proptest::prelude::*;

    use super::super::labels;
    use super::*;

    #[track_caller]
    fn check(name: &str, pairs: &[(&str, &str)], bound: Option<f64>, expected: &str) {
        let mut text = String::new();
        pairs
            .iter()
            .for_each(|(name, value)| push_label(&mut text, name, value));
        let mut out = "before".to_owned();
        write(
            &mut out,
            Name::of(name),
            "_x",
            &text,
            bound.map(|bound| ("le", bound)),
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn as_a_line_has_it() {
        check("m", &[], None, "m_x");
        check("m", &[("a", "b\"c\n")], None, r#"m_x{a="b\"c\n"}"#);
        check("m", &[], Some(1.0), r#"m_x{le="1.0"}"#);
        check(
            "m",
            &[("a", "b")],
            Some(f64::INFINITY),
            r#"m_x{a="b",le="+Inf"}"#,
        );
        check(
            "m.n",
            &[("a.b", "c")],
            Some(1e21),
            r#"{"m.n_x","a.b"="c",le="1e+21"}"#,
        );
        check("", &[], None, r#"{"_x"}"#);
    }

    proptest! {
        /// What was written is read back.
        #[test]
        fn decodes_to_the_same(name in "\\PC{1,5}", pairs in prop::collection::vec(("\\PC{1,5}", "[\\PC\n]{0,8}"), 0..4)) {
            let mut text = String::new();
            for (name, value) in &pairs {
                push_label(&mut text, name, value);
            }
            let mut series = String::new();
            write(&mut series, Name::of(&name), "", &text, None);
            let mut out = Vec::new();
            labels::decode(&series, MetricType::Unknown, &mut out);
            let found: Vec<_> = out.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let named = [("__name__".to_owned(), name)];
            let expected: Vec<_> = named.into_iter().chain(pairs).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
