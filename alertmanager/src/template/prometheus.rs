//! The functions of rule templates, and the samples that `query` gives them.
//!
//! Source: Prometheus' template reference. `tmpl` belongs to console templates only: in rules it is not defined there
//! either.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::labels::{Labels, METRIC_NAME};
use model::{Duration, SampleValue};

use super::format::general;
use net::escape::form as query_escape;

use super::functions::{Function, FunctionSet, Param, as_map, regex, text};
use super::time;
use super::value::{Object, Value};

/// The functions of rule templates.
pub static RULE_FUNCTIONS: FunctionSet = FunctionSet(&[
    Function::new("query", &[Param::String], |env, a| env.query(text(&a[0]))),
    Function::new("first", &[Param::Any], |_, a| first(&a[0])),
    Function::new("label", &[Param::String, Param::Any], |_, a| {
        let labels = a[1].field_of_sample("Labels")?;
        Ok(as_map(&labels)
            .and_then(|map| map.entries.get(text(&a[0])))
            .cloned()
            .unwrap_or_else(|| Value::string("")))
    }),
    Function::new("value", &[Param::Any], |_, a| a[0].field_of_sample("Value")),
    Function::new("strvalue", &[Param::Any], |_, a| {
        let labels = a[0].field_of_sample("Labels")?;
        Ok(as_map(&labels)
            .and_then(|map| map.entries.get("__value__"))
            .cloned()
            .unwrap_or_else(|| Value::string("")))
    }),
    Function::new("sortByLabel", &[Param::String, Param::Any], |_, a| {
        sort_by_label(text(&a[0]), &a[1])
    }),
    Function::new("humanize", &[Param::Any], |_, a| {
        Ok(humanize(to_float(&a[0])?).into())
    }),
    Function::new("humanize1024", &[Param::Any], |_, a| {
        Ok(humanize1024(to_float(&a[0])?).into())
    }),
    Function::new("humanizeDuration", &[Param::Any], |_, a| {
        Ok(humanize_duration(to_float(&a[0])?).into())
    }),
    Function::new("humanizePercentage", &[Param::Any], |_, a| {
        Ok(format!("{}%", general(to_float(&a[0])? * 100.0, 4)).into())
    }),
    Function::new("humanizeTimestamp", &[Param::Any], |_, a| {
        let seconds = to_float(&a[0])?;
        if !seconds.is_finite() {
            return Ok(general(seconds, 4).into());
        }
        Ok(time::print(&time::from_ms(to_ms(seconds)?)).into())
    }),
    Function::new("toTime", &[Param::Any], |_, a| {
        let seconds = to_float(&a[0])?;
        if !seconds.is_finite() {
            return Err("value is NaN or Inf".to_owned());
        }
        Ok(Value::Time(Arc::new(time::from_ms(to_ms(seconds)?))))
    }),
    Function::new("toDuration", &[Param::Any], |_, a| {
        to_duration(to_float(&a[0])?)
    }),
    Function::new("now", &[], |env, _| {
        Ok(Value::Float(env.now_ms() as f64 / 1_000.0))
    }),
    Function::new("title", &[Param::String], |_, a| {
        Ok(title(text(&a[0])).into())
    }),
    Function::new("toUpper", &[Param::String], |_, a| {
        Ok(model::case::upper(text(&a[0])).into())
    }),
    Function::new("toLower", &[Param::String], |_, a| {
        Ok(model::case::lower(text(&a[0])).into())
    }),
    Function::new("stripPort", &[Param::String], |_, a| {
        let text = text(&a[0]);
        Ok(split_host_port(text).map_or(text, |(host, _)| host).into())
    }),
    Function::new("stripDomain", &[Param::String], |_, a| {
        Ok(strip_domain(text(&a[0])).into())
    }),
    Function::new("match", &[Param::String, Param::String], |_, a| {
        Ok(Value::Bool(regex(text(&a[0]))?.is_match(text(&a[1]))))
    }),
    Function::new(
        "reReplaceAll",
        &[Param::String, Param::String, Param::String],
        |_, a| {
            Ok(regex(text(&a[0]))?
                .replace_all(text(&a[2]), text(&a[1]))
                .into_owned()
                .into())
        },
    ),
    Function::new("graphLink", &[Param::String], |_, a| {
        Ok(graph_path(text(&a[0]), 0).into())
    }),
    Function::new("tableLink", &[Param::String], |_, a| {
        Ok(graph_path(text(&a[0]), 1).into())
    }),
    Function::new("parseDuration", &[Param::String], |_, a| {
        let text = text(&a[0]);
        let duration: Duration = text
            .parse()
            .map_err(|_| format!("not a valid duration string: \"{text}\""))?;
        Ok(Value::Float(duration.as_secs_f64()))
    }),
    Function::new("urlQueryEscape", &[Param::String], |_, a| {
        Ok(query_escape(text(&a[0])).into())
    }),
    Function::variadic("args", &[], Param::Any, |_, a| {
        let entries: BTreeMap<_, _> = a
            .iter()
            .enumerate()
            .map(|(i, v)| (format!("arg{i}"), v.clone()))
            .collect();
        Ok(Value::any_map(entries))
    }),
    Function::new("safeHtml", &[Param::String], |_, a| {
        Ok(Value::Html(text(&a[0]).into()))
    }),
    Function::new("externalURL", &[], |env, _| Ok(env.external_url().into())),
    Function::new("pathPrefix", &[], |env, _| {
        Ok(path_of_url(env.external_url()).into())
    }),
]);

/// One sample of a query's result: `.Labels` and `.Value`.
#[derive(Clone, Debug)]
pub struct Sample {
    labels: Labels,
    value: Value,
}

impl Sample {
    /// Returns a sample for templates.
    pub fn new(labels: Labels, value: &SampleValue) -> Self {
        Sample {
            labels,
            value: sample_value(value),
        }
    }
}

/// Returns a sample's value as templates see it: a number, or a histogram that prints.
pub fn sample_value(value: &SampleValue) -> Value {
    match value {
        SampleValue::Float(value) => Value::Float(*value),
        SampleValue::Histogram(histogram) => Value::string(histogram.to_string()),
    }
}

impl Object for Sample {
    fn type_name(&self) -> &str {
        "*template.sample"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Labels" => Some(Value::string_map(self.labels.iter())),
            "Value" => Some(self.value.clone()),
            _ => None,
        }
    }

    fn print(&self) -> String {
        format!(
            "&{{{} {}}}",
            Value::string_map(self.labels.iter()),
            self.value
        )
    }
}

impl Value {
    /// Returns a field of what must be a sample.
    fn field_of_sample(&self, name: &str) -> Result<Value, String> {
        match self {
            Value::Object(object) => object.field(name),
            _ => None,
        }
        .ok_or_else(|| {
            format!(
                "wrong type for value; expected *template.sample; got {}",
                self.type_name()
            )
        })
    }
}

fn samples(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::List(list) => Ok(&list.items),
        value => Err(format!(
            "wrong type for value; expected template.queryResult; got {}",
            value.type_name()
        )),
    }
}

fn first(value: &Value) -> Result<Value, String> {
    samples(value)?
        .first()
        .cloned()
        .ok_or_else(|| "first() called on vector with no elements".to_owned())
}

fn sort_by_label(name: &str, value: &Value) -> Result<Value, String> {
    let label = |sample: &Value| -> String {
        let labels = sample.field_of_sample("Labels").unwrap_or(Value::Nil);
        let found = as_map(&labels).and_then(|map| map.entries.get(name).map(Value::to_string));
        found.unwrap_or_default()
    };
    let mut sorted = samples(value)?.to_vec();
    sorted.sort_by_cached_key(label);
    Ok(Value::list("template.queryResult", sorted))
}

fn to_float(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Duration(ns) => Ok(*ns as f64 / 1e9),
        Value::String(text) => match &**text {
            "Inf" | "+Inf" | "inf" | "+inf" => Ok(f64::INFINITY),
            "-Inf" | "-inf" => Ok(f64::NEG_INFINITY),
            text => text.parse().map_err(|_| {
                format!(
                    "strconv.ParseFloat: parsing {}: invalid syntax",
                    model::name::Quoted(text)
                )
            }),
        },
        value => Err(format!("can't convert {} to float", value.type_name())),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked just before"
)]
fn to_ns(seconds: f64) -> Option<i64> {
    let ns = seconds * 1e9;
    (-9.223_372_036_854_776e18..9.223_372_036_854_776e18)
        .contains(&ns)
        .then_some(ns as i64)
}

fn to_ms(seconds: f64) -> Result<i64, String> {
    let overflow = || {
        format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            model::float::format_general(seconds)
        )
    };
    to_ns(seconds).map(|ns| ns / 1_000_000).ok_or_else(overflow)
}

fn to_duration(seconds: f64) -> Result<Value, String> {
    if !seconds.is_finite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let overflow = || {
        format!(
            "{} cannot be represented as a nanoseconds duration since it overflows int64",
            model::float::format_general(seconds)
        )
    };
    to_ns(seconds).map(Value::Duration).ok_or_else(overflow)
}

fn humanize(mut value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return general(value, 4);
    }
    let mut prefix = "";
    if 1.0 <= value.abs() {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1_000.0 {
                break;
            }
            prefix = next;
            value /= 1_000.0;
        }
    } else {
        (value, prefix) = below_one(value);
    }
    format!("{}{prefix}", general(value, 4))
}

/// Scales a number below one up, and names the prefix.
fn below_one(mut value: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if 1.0 <= value.abs() {
            break;
        }
        prefix = next;
        value *= 1_000.0;
    }
    (value, prefix)
}

fn humanize1024(mut value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return general(value, 4);
    }
    let mut prefix = "";
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if value.abs() < 1_024.0 {
            break;
        }
        prefix = next;
        value /= 1_024.0;
    }
    format!("{}{prefix}", general(value, 4))
}

/// Returns a number of seconds in words, as `humanizeDuration` does.
pub(super) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return general(value, 4);
    }
    if value == 0.0 {
        return "0s".to_owned();
    }
    if value.abs() < 1.0 {
        let (value, prefix) = below_one(value);
        return format!("{}{prefix}s", general(value, 4));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "seconds beyond 2^63 become 2^63"
    )]
    let whole = value as i64;
    let (days, hours, minutes, seconds) = (
        whole / 86_400,
        whole / 3_600 % 24,
        whole / 60 % 60,
        whole % 60,
    );
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", general(value, 4))
    }
}

/// Returns the text with the first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut after_letter = false;
    text.chars()
        .flat_map(|c| {
            let upper = if after_letter {
                None
            } else {
                Some(c.to_uppercase())
            };
            after_letter = c.is_alphanumeric() || c == '_' || c == '\'';
            let (first, second) = match upper {
                Some(upper) => (Some(upper), None),
                None => (None, Some(c)),
            };
            first.into_iter().flatten().chain(second)
        })
        .collect()
}

/// Splits `host:port`, with the brackets of an IPv6 address taken off.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return Some((host, rest.strip_prefix(':')?));
    }
    let (host, port) = text.rsplit_once(':')?;
    (!host.contains(':')).then_some((host, port))
}

fn strip_domain(text: &str) -> String {
    let (host, port) =
        split_host_port(text).map_or((text, None), |(host, port)| (host, Some(port)));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Returns the path and query of the page that shows `expr`, as a graph (`tab` 0) or as a table (1).
pub fn graph_path(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(expr))
}

/// Returns the path of a URL, without scheme, host, query and fragment.
pub(crate) fn path_of_url(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after.find('/').map_or("", |at| &after[at..]);
    let end = path.find(['?', '#']).unwrap_or(path.len());
    &path[..end]
}

/// Returns the labels of a sample as rule templates see them: with the metric's name.
pub(crate) fn labels_value(labels: &Labels) -> Value {
    debug_assert!(
        labels
            .iter()
            .filter(|(name, _)| *name == METRIC_NAME)
            .count()
            < 2
    );
    Value::string_map(labels.iter())
}
