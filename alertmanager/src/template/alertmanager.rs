//! The data and functions of notification templates, and the shipped default templates.
//!
//! Source: Alertmanager's notification template reference. Date functions come with their own issue.

use std::sync::{Arc, LazyLock};

use model::Labels;

use net::escape::form as query_escape;

use super::functions::{Function, FunctionSet, Param, regex, text};
use super::prometheus::humanize_duration;
use super::value::{Object, Value};
use super::{Template, layout, time};
use crate::alert::{NotifiedAlert, ZERO_TIME_MS};
use crate::dispatch::GroupSnapshot;

/// The functions of notification templates.
pub static NOTIFICATION_FUNCTIONS: FunctionSet = FunctionSet(&[
    Function::new("toUpper", &[Param::String], |_, a| {
        Ok(model::case::upper(text(&a[0])).into())
    }),
    Function::new("toLower", &[Param::String], |_, a| {
        Ok(model::case::lower(text(&a[0])).into())
    }),
    Function::new("title", &[Param::String], |_, a| {
        Ok(title(text(&a[0])).into())
    }),
    Function::new("trimSpace", &[Param::String], |_, a| {
        Ok(text(&a[0]).trim().into())
    }),
    Function::new("join", &[Param::String, Param::List], |_, a| {
        let items = a[1].elements().unwrap_or_default();
        let texts: Vec<_> = items.iter().map(|(_, item)| item.to_string()).collect();
        Ok(texts.join(text(&a[0])).into())
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
    Function::variadic("stringSlice", &[], Param::String, |_, a| {
        Ok(Value::list("[]string", a.to_vec()))
    }),
    Function::variadic("list", &[], Param::Any, |_, a| {
        Ok(Value::list("[]interface {}", a.to_vec()))
    }),
    Function::variadic("dict", &[], Param::Any, |_, a| dict(a)),
    Function::new("safeHtml", &[Param::String], |_, a| {
        Ok(Value::Html(text(&a[0]).into()))
    }),
    Function::new("safeUrl", &[Param::String], |_, a| {
        Ok(Value::Url(text(&a[0]).into()))
    }),
    Function::new("urlQueryEscape", &[Param::String], |_, a| {
        Ok(query_escape(text(&a[0])).into())
    }),
    Function::new("humanizeDuration", &[Param::Any], |_, a| {
        let seconds = match &a[0] {
            Value::Float(value) => *value,
            Value::Int(value) => *value as f64,
            Value::Duration(ns) => *ns as f64 / 1e9,
            value => {
                let text = value.to_string();
                text.parse().map_err(|_| {
                    format!(
                        "strconv.ParseFloat: parsing {}: invalid syntax",
                        model::name::Quoted(&text)
                    )
                })?
            }
        };
        Ok(humanize_duration(seconds).into())
    }),
    Function::new("toJson", &[Param::Any], |_, a| {
        Ok(super::json::to_json(&a[0])?.into())
    }),
    Function::new("now", &[], |env, _| {
        Ok(Value::Time(Arc::new(time::from_ms(env.now_ms()))))
    }),
    Function::new("date", &[Param::String, Param::Time], |_, a| {
        Ok(layout::format(moment(&a[1]), text(&a[0])).into())
    }),
    Function::new("tz", &[Param::String, Param::Time], |_, a| {
        let zone = match text(&a[0]) {
            "" | "Local" => jiff::tz::TimeZone::UTC,
            name => {
                jiff::tz::TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))?
            }
        };
        Ok(Value::Time(Arc::new(moment(&a[1]).with_time_zone(zone))))
    }),
    Function::new("since", &[Param::Time], |env, a| {
        let ns = time::from_ms(env.now_ms()).timestamp().as_nanosecond()
            - moment(&a[0]).timestamp().as_nanosecond();
        let clamped = ns.clamp(i64::MIN.into(), i64::MAX.into());
        Ok(Value::Duration(i64::try_from(clamped).unwrap_or(i64::MAX)))
    }),
    Function::new("routeLabels", &[Param::String], |env, a| {
        Ok(env.route_label(text(&a[0]))?.into())
    }),
    Function::new("urlUnescape", &[Param::String], |_, a| {
        Ok(url_unescape(text(&a[0]))?.into())
    }),
    Function::variadic("append", &[Param::AnyList], Param::Any, |_, a| {
        let list = a[0].elements().unwrap_or_default().into_iter();
        let items = list.map(|(_, item)| item).chain(a[1..].iter().cloned());
        Ok(Value::list("[]interface {}", items.collect()))
    }),
]);

/// Returns the moment that a parameter of this type is.
fn moment(value: &Value) -> &jiff::Zoned {
    match value {
        Value::Time(time) => time,
        other => unreachable!("{other} was checked to be a time"),
    }
}

/// Undoes the escaping of a query's parameter.
fn url_unescape(escaped: &str) -> Result<String, String> {
    let decoded = net::form::decode(escaped.as_bytes(), true);
    let decoded = decoded.ok_or_else(|| {
        let bytes = escaped.as_bytes();
        let is_escape = |at: &usize| {
            let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
            bytes[*at] == b'%' && !(digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit))
        };
        let at = (0..bytes.len()).find(is_escape).unwrap_or_default();
        let shown = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]);
        format!("invalid URL escape {}", model::name::Quoted(&shown))
    })?;
    Ok(String::from_utf8_lossy(&decoded).into_owned())
}

/// Returns a map of keys and values that follow each other.
fn dict(arguments: &[Value]) -> Result<Value, String> {
    if !arguments.len().is_multiple_of(2) {
        return Err("dict expects an even number of arguments".to_owned());
    }
    let entry = |pair: &[Value]| match pair[0].as_str() {
        Some(key) => Ok((key.to_owned(), pair[1].clone())),
        None => Err("dict keys must be strings".to_owned()),
    };
    let entries = arguments.chunks(2).map(entry).collect::<Result<_, _>>()?;
    Ok(Value::any_map(entries))
}

/// Each word's first letter in upper case and its others in lower case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}

/// A set of labels or annotations, with the methods that templates know.
#[derive(Clone, Debug)]
pub(crate) struct Pairs(pub(crate) Labels);

impl Pairs {
    /// Returns the pairs by name, the alert's name first.
    fn sorted(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_by_key(|(name, _)| *name != "alertname");
        pairs
    }
}

impl Object for Pairs {
    fn type_name(&self) -> &str {
        "template.KV"
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(Value::string(self.0.value(name)))
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        match (name, arguments) {
            ("SortedPairs", []) => Some(Ok(Value::object(PairList(self.0.clone())))),
            ("Names", []) => Some(Ok(Value::strings(
                self.sorted().into_iter().map(|(name, _)| name),
            ))),
            ("Values", []) => Some(Ok(Value::strings(
                self.sorted().into_iter().map(|(_, value)| value),
            ))),
            ("Remove", [names]) => Some(match names.elements() {
                Some(names) => {
                    let names: Vec<_> = names
                        .into_iter()
                        .map(|(_, name)| name.to_string())
                        .collect();
                    Ok(Value::object(Pairs(
                        self.0.without(|name| names.iter().any(|n| n == name)),
                    )))
                }
                None => Err(format!(
                    "wrong type for value; expected []string; got {}",
                    names.type_name()
                )),
            }),
            _ => None,
        }
    }

    fn elements(&self) -> Option<Vec<(Value, Value)>> {
        Some(
            self.0
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }

    fn is_printed_in_scripts(&self) -> bool {
        true
    }

    fn print(&self) -> String {
        let pairs: Vec<_> = self
            .sorted()
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(", ")
    }
}

/// The pairs in their order.
#[derive(Clone, Debug)]
struct PairList(Labels);

impl Object for PairList {
    fn type_name(&self) -> &str {
        "template.Pairs"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        matches!(name, "Names" | "Values").then(|| Pairs(self.0.clone()).method(name, arguments))?
    }

    fn elements(&self) -> Option<Vec<(Value, Value)>> {
        let pairs = Pairs(self.0.clone());
        let items = pairs.sorted().into_iter().map(|(name, value)| {
            Value::object(Pair {
                name: name.to_owned(),
                value: value.to_owned(),
            })
        });
        Some((0..).map(Value::Int).zip(items).collect())
    }

    fn is_printed_in_scripts(&self) -> bool {
        true
    }

    fn print(&self) -> String {
        Pairs(self.0.clone()).print()
    }
}

#[derive(Clone, Debug)]
struct Pair {
    name: String,
    value: String,
}

impl Object for Pair {
    fn type_name(&self) -> &str {
        "template.Pair"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(Value::string(&self.name)),
            "Value" => Some(Value::string(&self.value)),
            _ => None,
        }
    }

    fn json_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[("Name", "Name"), ("Value", "Value")]
    }

    fn print(&self) -> String {
        format!("{}={}", self.name, self.value)
    }
}

/// Prints a thing as Go does: the fields in their order, without names.
fn print_fields(object: &dyn Object) -> String {
    let fields = object.json_fields().iter();
    let values = fields.map(|(name, _)| object.field(name).unwrap_or(Value::Nil).to_string());
    format!("{{{}}}", values.collect::<Vec<_>>().join(" "))
}

/// The alerts of a notification.
#[derive(Clone, Debug)]
struct AlertList(Vec<NotifiedAlert>);

impl Object for AlertList {
    fn type_name(&self) -> &str {
        "template.Alerts"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let status = match (name, arguments) {
            ("Firing", []) => "firing",
            ("Resolved", []) => "resolved",
            _ => return None,
        };
        let kept = self
            .0
            .iter()
            .filter(|alert| alert.status() == status)
            .cloned()
            .collect();
        Some(Ok(Value::object(AlertList(kept))))
    }

    fn elements(&self) -> Option<Vec<(Value, Value)>> {
        Some(
            (0..)
                .map(Value::Int)
                .zip(self.0.iter().cloned().map(Value::object))
                .collect(),
        )
    }

    fn print(&self) -> String {
        let alerts: Vec<_> = self.0.iter().map(Object::print).collect();
        format!("[{}]", alerts.join(" "))
    }
}

impl Object for NotifiedAlert {
    fn type_name(&self) -> &str {
        "template.Alert"
    }

    fn field(&self, name: &str) -> Option<Value> {
        let moment = |ms: i64| Value::Time(Arc::new(time::from_ms(ms)));
        Some(match name {
            "Status" => self.status().into(),
            "Labels" => Value::object(Pairs(self.labels.clone())),
            "Annotations" => Value::object(Pairs(self.annotations.clone())),
            "StartsAt" => moment(self.starts_at_ms),
            "EndsAt" => moment(self.ended_at_ms.unwrap_or(ZERO_TIME_MS)),
            "GeneratorURL" => Value::string(&self.generator_url),
            "Fingerprint" => format!("{:016x}", self.fingerprint).into(),
            _ => return None,
        })
    }

    fn json_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("Status", "status"),
            ("Labels", "labels"),
            ("Annotations", "annotations"),
            ("StartsAt", "startsAt"),
            ("EndsAt", "endsAt"),
            ("GeneratorURL", "generatorURL"),
            ("Fingerprint", "fingerprint"),
        ]
    }

    fn print(&self) -> String {
        print_fields(self)
    }
}

/// What a notification template sees as `.`.
#[derive(Clone, Debug)]
pub struct NotificationData {
    /// The receiver's name, quoted as a regular expression would need it.
    pub receiver: String,
    /// Why the notification is sent.
    pub reason: String,
    /// The alerts, in order.
    pub alerts: Vec<NotifiedAlert>,
    /// The labels that all alerts of the group share by definition.
    pub group_labels: Labels,
    /// The labels that all alerts happen to share.
    pub common_labels: Labels,
    /// The annotations that all alerts happen to share.
    pub common_annotations: Labels,
    /// The labels of the route, expanded.
    pub route_labels: Labels,
    /// Where Alertmanager is reached.
    pub external_url: String,
}

impl NotificationData {
    /// Reads the data of a notification from JSON as `toJson` writes it. What is missing is empty; what alerts are is told by
    /// their `status`, and a fingerprint that is no number is 0.
    ///
    /// # Errors
    ///
    /// When a time is none.
    pub fn from_json(json: &serde_json::Value) -> Result<Self, String> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = |value: &serde_json::Value| {
            let pairs = value.as_object().into_iter().flatten();
            let pairs = pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or("")));
            Labels::from_pairs(pairs)
        };
        let time = |value: &serde_json::Value| match value.as_str() {
            None => Ok(ZERO_TIME_MS),
            Some(text) => match text.parse::<jiff::Timestamp>() {
                Ok(time) => Ok(time.as_millisecond()),
                Err(error) => Err(format!("{text}: {error}")),
            },
        };
        let alerts = json["alerts"].as_array().into_iter().flatten();
        let alerts = alerts.map(|alert| {
            let ended_at_ms = time(&alert["endsAt"])?;
            let fingerprint = text(&alert["fingerprint"]);
            Ok(NotifiedAlert {
                labels: pairs(&alert["labels"]),
                annotations: pairs(&alert["annotations"]),
                starts_at_ms: time(&alert["startsAt"])?,
                ended_at_ms: (alert["status"] == "resolved").then_some(ended_at_ms),
                generator_url: text(&alert["generatorURL"]),
                fingerprint: u64::from_str_radix(&fingerprint, 16).unwrap_or(0),
            })
        });
        Ok(NotificationData {
            receiver: text(&json["receiver"]),
            reason: text(&json["notification_reason"]),
            alerts: alerts.collect::<Result<_, String>>()?,
            group_labels: pairs(&json["groupLabels"]),
            common_labels: pairs(&json["commonLabels"]),
            common_annotations: pairs(&json["commonAnnotations"]),
            route_labels: pairs(&json["routeLabels"]),
            external_url: text(&json["externalURL"]),
        })
    }

    /// Returns the data of a group that is not told now.
    pub(crate) fn of_group(group: &GroupSnapshot, external_url: &str) -> Self {
        let data = NotificationData {
            receiver: group.receiver.clone(),
            reason: String::new(),
            alerts: Vec::new(),
            group_labels: group.labels.clone(),
            common_labels: Labels::empty(),
            common_annotations: Labels::empty(),
            route_labels: Labels::empty(),
            external_url: external_url.to_owned(),
        };
        let alerts = group.alerts.iter().map(|shown| shown.alert.clone());
        data.with_alerts(alerts.collect())
    }

    /// Returns the data with these alerts in place of its own.
    pub(crate) fn with_alerts(&self, alerts: Vec<NotifiedAlert>) -> Self {
        NotificationData {
            common_labels: common(&alerts, |alert| &alert.labels),
            common_annotations: common(&alerts, |alert| &alert.annotations),
            alerts,
            ..self.clone()
        }
    }

    /// Returns `firing` while any alert does.
    pub fn status(&self) -> &'static str {
        if self.alerts.iter().any(|alert| alert.ended_at_ms.is_none()) {
            "firing"
        } else {
            "resolved"
        }
    }
}

/// Returns the pairs that all alerts share.
fn common(alerts: &[NotifiedAlert], of: impl Fn(&NotifiedAlert) -> &Labels) -> Labels {
    let Some((first, others)) = alerts.split_first() else {
        return Labels::empty();
    };
    let first = of(first);
    first.without(|name| {
        others
            .iter()
            .any(|alert| of(alert).get(name) != first.get(name))
    })
}

impl Object for NotificationData {
    fn type_name(&self) -> &str {
        "template.Data"
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Receiver" => Value::string(&self.receiver),
            "Status" => self.status().into(),
            "NotificationReason" => Value::string(&self.reason),
            "Alerts" => Value::object(AlertList(self.alerts.clone())),
            "GroupLabels" => Value::object(Pairs(self.group_labels.clone())),
            "CommonLabels" => Value::object(Pairs(self.common_labels.clone())),
            "CommonAnnotations" => Value::object(Pairs(self.common_annotations.clone())),
            "RouteLabels" => Value::object(Pairs(self.route_labels.clone())),
            "ExternalURL" => Value::string(&self.external_url),
            _ => return None,
        })
    }

    fn json_fields(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("Receiver", "receiver"),
            ("Status", "status"),
            ("Alerts", "alerts"),
            ("NotificationReason", "notification_reason"),
            ("GroupLabels", "groupLabels"),
            ("CommonLabels", "commonLabels"),
            ("CommonAnnotations", "commonAnnotations"),
            ("ExternalURL", "externalURL"),
        ]
    }

    fn print(&self) -> String {
        print_fields(self)
    }
}

/// The templates that are there without a template file: the texts are Hearth's, the names are Alertmanager's, so that users'
/// templates find them.
const DEFAULT_TEMPLATES: &str = include_str!("default.tmpl");

/// Returns the templates that are there without a template file, parsed once.
pub(crate) fn default_templates() -> Arc<Template> {
    static PARSED: LazyLock<Arc<Template>> = LazyLock::new(|| {
        // Errors name the file as there.
        let parsed = Template::parse("default.tmpl", DEFAULT_TEMPLATES, NOTIFICATION_FUNCTIONS);
        Arc::new(parsed.expect("the shipped templates are templates: tests run them"))
    });
    Arc::clone(&PARSED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Environment, Mode};

    struct World;

    impl Environment for World {
        fn now_ms(&self) -> i64 {
            0
        }

        fn external_url(&self) -> &str {
            "http://am.example"
        }
    }

    fn data() -> NotificationData {
        let alert = |instance: &str, ended_at_ms| NotifiedAlert {
            labels: Labels::from_pairs([
                ("alertname", "A"),
                ("instance", instance),
                ("job", "api"),
            ]),
            annotations: Labels::from_pairs([("summary", "it is <bad>")]),
            starts_at_ms: 1_772_359_200_123,
            ended_at_ms,
            generator_url: "http://p.example/graph?a=1&b=2".to_owned(),
            fingerprint: 7,
        };
        NotificationData {
            receiver: "team".to_owned(),
            reason: "first notification".to_owned(),
            alerts: vec![alert("a", None), alert("b", Some(1_772_359_300_000))],
            group_labels: Labels::from_pairs([("alertname", "A")]),
            common_labels: Labels::from_pairs([("alertname", "A"), ("job", "api")]),
            common_annotations: Labels::from_pairs([("summary", "it is <bad>")]),
            route_labels: Labels::from_pairs([("reason", "why")]),
            external_url: "http://am.example".to_owned(),
        }
    }

    fn render(text: &str, mode: Mode) -> String {
        let template = default_templates().with("t", text).unwrap();
        template
            .execute(&Value::object(data()), &World, mode)
            .unwrap()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(render(text, Mode::Text), expected);
    }

    #[test]
    fn data_has_fields_and_methods() {
        check(
            "{{ .Status }} {{ .Alerts.Firing | len }} {{ (index .Alerts 1).Status }}",
            "firing 1 resolved",
        );
        check(
            "{{ .CommonLabels.SortedPairs.Values | join \"+\" }}",
            "A+api",
        );
        check(
            "{{ (.CommonLabels.Remove .GroupLabels.Names).Values }}",
            "[api]",
        );
        check(
            "{{ .GroupLabels.nope }}|{{ .CommonLabels }}",
            "|alertname=A, job=api",
        );
        check(
            "{{ range .GroupLabels.SortedPairs }}{{ .Name }}:{{ .Value }}{{ end }}",
            "alertname:A",
        );
        check(
            "{{ (index .Alerts 0).StartsAt }} {{ (index .Alerts 0).EndsAt.IsZero }}",
            "2026-03-01 10:00:00.123 +0000 UTC true",
        );
        check("{{ .RouteLabels.reason }}{{ .RouteLabels.nope }}", "why");
        check("{{ title \"hello wORLD\" }}", "Hello World");
        check(
            "{{ index .Alerts 0 }}",
            "{firing alertname=A, instance=a, job=api summary=it is <bad> 2026-03-01 10:00:00.123 +0000 UTC 0001-01-01 00:00:00 +0000 UTC http://p.example/graph?a=1&b=2 0000000000000007}",
        );
        check(
            "{{ with .Alerts.Resolved }}{{ . }}{{ end }}",
            "[{resolved alertname=A, instance=b, job=api summary=it is <bad> 2026-03-01 10:00:00.123 +0000 UTC 2026-03-01 10:01:40 +0000 UTC http://p.example/graph?a=1&b=2 0000000000000007}]",
        );
    }

    #[test]
    fn default_templates_render() {
        check(
            "{{ template \"email.default.subject\" . }}",
            "[FIRING:1] A (api)",
        );
        assert!(
            render("{{ template \"__text_alert_list\" .Alerts }}", Mode::Text)
                .starts_with("Labels:\n - alertname = A\n")
        );
        let html = render("{{ template \"email.default.html\" . }}", Mode::Html);
        assert!(html.contains("summary = it is &lt;bad&gt;"), "{html}");
        assert!(
            html.contains("http://p.example/graph?a=1&amp;b=2"),
            "{html}"
        );
        assert!(html.contains("[1] Resolved"), "{html}");
    }
}
