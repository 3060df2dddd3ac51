//! The Alertmanager's configuration file.
//!
//! ```text
//! text ── serde ──► text::File ── global filled in ──► Route, Receiver: what is obeyed
//!                                       └────────────► printed back, secrets hidden
//! ```
//!
//! Every key that Alertmanager knows has a type, a default and a check; others are refused. What is not built yet loads with
//! a warning that says so.

#[macro_use]
mod section;

mod built;
pub mod duration;
pub mod global;
mod matchers;
pub mod receiver;
mod route;
mod text;
pub mod tracing;
pub mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use model::Duration;
use net::trace::TraceOptions;

use crate::inhibit::InhibitRule;
use crate::template::Template;
use crate::template::files::{self, LoadTemplatesError};
use crate::timeinterval::{TimeInterval, any_contains};
use crate::{http, yaml};
pub use built::{EmailConfig, Receiver, Threading, WebhookConfig};
pub use matchers::{
    MatcherMode, parse_matcher, parse_matchers, parse_matchers_in, print_matcher, print_matchers,
    sort_matchers,
};
pub use route::{GroupBy, Route};

/// Why a configuration file was refused: what is wrong, and where if that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", self.place())]
pub struct ConfigError {
    /// The line, from 1; 0 when it is not known.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

impl ConfigError {
    /// Returns what is wrong with a file `text` whose YAML is not what a configuration is made of.
    fn of_yaml(error: &serde_saphyr::Error, text: &str) -> Self {
        let line = yaml::place(error).0;
        let message = yaml::message(error);
        // What does not fit at all has a form of its own in Alertmanager and amtool, which names the line.
        let misfit = match (yaml::not_a_mapping(text), message.split_once(" not found")) {
            (Some(what), _) => format!("cannot unmarshal {what} into config.plain"),
            (None, Some((field, rest))) if field.starts_with("field ") => {
                format!("{field} not found in type config.plain{rest}")
            }
            _ => return ConfigError { line, message },
        };
        format!("yaml: unmarshal errors:\n  line {line}: {misfit}").into()
    }

    fn place(&self) -> String {
        match self.line {
            0 => String::new(),
            line => format!("line {line}: "),
        }
    }
}

impl From<String> for ConfigError {
    fn from(message: String) -> Self {
        ConfigError { line: 0, message }
    }
}

/// A configuration, all defaults filled in.
#[derive(Clone, Debug)]
pub struct AlertmanagerConfig {
    /// The language of matchers, in the file and in calls of the API.
    pub matcher_mode: MatcherMode,
    /// How long an alert without an end counts as firing after it was last heard of.
    pub resolve_timeout: Duration,
    /// The root of the routing tree.
    pub route: Route,
    /// The receivers, by position of the file.
    pub receivers: Vec<Receiver>,
    /// The inhibition rules, in order.
    pub inhibit_rules: Vec<InhibitRule>,
    /// The time intervals of routes, by name.
    pub time_intervals: BTreeMap<String, Vec<TimeInterval>>,
    /// What relative names of files in `http_config` and `tls_config` start from. Empty after parsing, which is the
    /// directory of the process; whoever has read the file sets it to the file's.
    pub base_dir: PathBuf,
    /// Globs of files of templates, as they are written.
    pub templates: Vec<String>,
    /// Where spans are sent.
    tracing: Option<tracing::Tracing>,
    /// The file printed back, defaults filled in and secrets hidden, as the API's status shows it.
    pub original: String,
    /// What loads but is not done yet.
    pub warnings: Vec<String>,
}

impl AlertmanagerConfig {
    /// Parses a configuration file.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in Alertmanager's words where it has any.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::parse_in(text, MatcherMode::Fallback)
    }

    /// Parses a configuration file whose matchers are in the language of `matcher_mode`.
    ///
    /// # Errors
    ///
    /// As [`parse`](AlertmanagerConfig::parse).
    pub fn parse_in(text: &str, matcher_mode: MatcherMode) -> Result<Self, ConfigError> {
        let read = || yaml::from_str(text);
        let file = text::with_matchers_in(matcher_mode, read);
        let mut file: text::File = file.map_err(|error| ConfigError::of_yaml(&error, text))?;
        let mut warnings = file.unbuilt();
        let mut global = file.global.take().unwrap_or_default();
        global.check()?;
        if let Some(tracing) = &file.tracing {
            tracing.check()?;
        }
        receiver::show_http_defaults(&mut global.http_config);
        receiver::show_tls_defaults(&mut global.smtp_tls_config);
        http::check(&global.http_config)?;
        let mut receivers: Vec<Receiver> = Vec::new();
        for text::ReceiverItem(text) in file.receivers.iter_mut().flatten() {
            if receivers.iter().any(|receiver| receiver.name == text.name) {
                let name = &text.name;
                return Err(format!("notification config name {name:?} is not unique").into());
            }
            text.fill(&global)?;
            receivers.push(built::receiver(text, &global, &mut warnings)?);
        }
        let Some(text::RouteText(root)) = &file.route else {
            return Err("no routes provided".to_owned().into());
        };
        let names: BTreeSet<&str> = receivers
            .iter()
            .map(|receiver| receiver.name.as_str())
            .collect();
        let mut intervals = BTreeMap::new();
        let old = file.mute_time_intervals.iter();
        for item in old.chain(&file.time_intervals).flatten() {
            let name = &item.0.name;
            let specs = item.0.time_intervals.clone();
            if intervals.insert(name.clone(), specs).is_some() {
                return Err(format!("time interval {name:?} is not unique").into());
            }
        }
        let inhibit_rules = file.inhibit_rules.iter().flatten();
        let inhibit_rules = inhibit_rules.map(|rule| {
            let warned = [&rule.source_matchers, &rule.target_matchers];
            warnings.extend(warned.iter().flat_map(|side| side.warnings.iter().cloned()));
            if rule.equal.iter().any(String::is_empty) {
                return Err("invalid label name \"\" in equal list".to_owned());
            }
            rule.rule()
        });
        let inhibit_rules = inhibit_rules.collect::<Result<Vec<_>, _>>()?;
        let route = route::root(root, &names, &intervals, &mut warnings)?;
        warnings.dedup();
        let resolve_timeout = global.resolve_timeout;
        file.global = Some(global);
        Ok(AlertmanagerConfig {
            matcher_mode,
            resolve_timeout,
            route,
            receivers,
            inhibit_rules,
            time_intervals: intervals,
            base_dir: PathBuf::new(),
            templates: file.templates.clone(),
            tracing: file.tracing.clone(),
            original: yaml::print(&file)?,
            warnings,
        })
    }

    /// Returns where spans are sent, if they are.
    pub fn traces(&self) -> Option<TraceOptions> {
        let tracing = self.tracing.as_ref();
        tracing.map(|tracing| tracing.options(&self.base_dir))
    }

    /// Returns those of the time intervals `names` that `at_ms` (milliseconds since the epoch) is in.
    pub fn muting<'a>(&self, names: &'a [String], at_ms: i64) -> Vec<&'a str> {
        let is_inside = |name: &&str| {
            let intervals = self.time_intervals.get(*name);
            intervals.is_some_and(|intervals| any_contains(intervals, at_ms))
        };
        names.iter().map(String::as_str).filter(is_inside).collect()
    }

    /// Returns whether a route with the active time intervals `names` tells something at `at_ms`: in one of them, or always
    /// if there are none.
    pub fn is_active(&self, names: &[String], at_ms: i64) -> bool {
        names.is_empty() || !self.muting(names, at_ms).is_empty()
    }

    /// Returns the shipped templates and those of the files that the configuration names. Reads files.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is no template.
    pub fn load_templates(&self) -> Result<Template, LoadTemplatesError> {
        files::load(&self.base_dir, &self.templates)
    }

    /// Returns the receiver `name`.
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.name == name)
    }
}

#[cfg(test)]
mod conformance;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::conformance;

    #[track_caller]
    fn check_error(yaml: &str, expected: &str) {
        assert_eq!(
            AlertmanagerConfig::parse(yaml).unwrap_err().message,
            expected
        );
    }

    const SMALL: &str = "route: {receiver: a, group_by: [alertname], group_wait: 1s, group_interval: 4s, repeat_interval: 1h}\n\
        global: {smtp_smarthost: 'mail:25', smtp_from: a@b, smtp_require_tls: false}\n\
        receivers:\n- name: a\n  webhook_configs: [{url: 'http://x/'}]\n  email_configs: [{to: c@d}]\n";

    #[test]
    fn defaults_are_filled_in() {
        let config = AlertmanagerConfig::parse(SMALL).unwrap();
        let receiver = config.receiver("a").unwrap();
        assert!(receiver.webhooks[0].send_resolved && !receiver.emails[0].send_resolved);
        let email = &receiver.emails[0];
        assert_eq!(
            (
                email.from.as_str(),
                email.host.as_str(),
                email.port,
                email.require_tls
            ),
            ("a@b", "mail", 25, false)
        );
        assert_eq!(config.resolve_timeout, Duration::from_secs(300));
        assert_eq!(config.warnings, Vec::<String>::new());
    }

    #[test]
    fn matchers_are_read_in_the_language_of_the_mode() {
        let loads = |line: &str| {
            let text =
                format!("route: {{receiver: a, routes: [{{{line}}}]}}\nreceivers: [{{name: a}}]\n");
            use MatcherMode::{Classic, Fallback, Utf8Strict};
            [Fallback, Classic, Utf8Strict]
                .map(|mode| AlertmanagerConfig::parse_in(&text, mode).is_ok())
        };
        assert_eq!(loads("matchers: ['é=x']"), [true, false, true]);
        assert_eq!(loads("matchers: ['a=x y']"), [true, true, false]);
        assert_eq!(loads("group_by: ['é']"), [true, false, true]);
        // Files with an error leave nothing behind for the next one.
        assert_eq!(loads("matchers: ['a=x y']"), [true, true, false]);
    }

    #[test]
    fn unknown_fields_are_told_with_their_line() {
        for text in [
            "global:\n  nonsense: 1\n",
            "global: {http_config:\n  {nonsense: 1}}\n",
            "receivers:\n- nonsense: 1\n",
            "time_intervals:\n- nonsense: 1\n",
        ] {
            let error = AlertmanagerConfig::parse(text).unwrap_err();
            let expected =
                "yaml: unmarshal errors:\n  line 2: field nonsense not found in type config.plain";
            assert!(error.message.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_no_mapping_is_told_by_its_tag() {
        for (text, expected) in [
            ("BAD", "line 1: cannot unmarshal !!str `BAD`"),
            (
                "# x\n'eleven lett'",
                "line 2: cannot unmarshal !!str `eleven ...`",
            ),
            ("eééééé", "line 1: cannot unmarshal !!str `eééé...`"),
            ("-3", "line 1: cannot unmarshal !!int `-3`"),
            ("1.5", "line 1: cannot unmarshal !!float `1.5`"),
            ("true", "line 1: cannot unmarshal !!bool `true`"),
            ("- a: b", "line 1: cannot unmarshal !!seq"),
        ] {
            let expected = format!("yaml: unmarshal errors:\n  {expected} into config.plain");
            check_error(text, &expected);
        }
        check_error("", "no routes provided");
        check_error("~", "no routes provided");
    }

    #[test]
    fn the_secret_of_a_receiver_is_used_before_the_global_one() {
        let of = |global: &str, own: &str| {
            let text = format!(
                "global: {{smtp_smarthost: 'x:25', smtp_from: a@b, {global}}}\nroute: {{receiver: a}}\n\
                 receivers: [{{name: a, email_configs: [{{to: c@d, {own}}}]}}]\n"
            );
            let config = AlertmanagerConfig::parse(&text).unwrap();
            let email = &config.receivers[0].emails[0];
            let secret = email.auth_secret.as_ref();
            (
                secret.map_or("", |secret| secret.reveal()).to_owned(),
                email.auth_secret_file.clone().unwrap_or_default(),
            )
        };
        let pair = |secret: &str, file: &str| (secret.to_owned(), file.to_owned());
        let (secret, file) = ("smtp_auth_secret: g", "smtp_auth_secret_file: /g");
        assert_eq!(of("", "auth_secret: o"), pair("o", ""));
        assert_eq!(of(secret, ""), pair("g", ""));
        assert_eq!(of(file, ""), pair("", "/g"));
        assert_eq!(of(secret, "auth_secret: o"), pair("o", ""));
        assert_eq!(of(file, "auth_secret: o"), pair("o", ""));
        assert_eq!(of(secret, "auth_secret_file: /o"), pair("", "/o"));
        assert_eq!(of(file, "auth_secret_file: /o"), pair("", "/o"));
    }

    #[test]
    fn faults() {
        check_error("receivers: [{name: a}]", "no routes provided");
        check_error(
            "route: {receiver: b}\nreceivers: [{name: a}]",
            "undefined receiver \"b\" used in route",
        );
        check_error(
            "route: {group_wait: 1s}\nreceivers: [{name: a}]",
            "root route must specify a default receiver",
        );
        check_error(
            "route: {receiver: a}\nreceivers: [{name: a}, {name: a}]",
            "notification config name \"a\" is not unique",
        );
        check_error(
            "route: {receiver: a, group_by: [x, x]}\nreceivers: [{name: a}]",
            "duplicated label \"x\" in group_by",
        );
        check_error(
            "route: {receiver: a}\nreceivers: [{name: a, email_configs: [{from: x@y}]}]",
            "missing to address in email config",
        );
        assert!(
            AlertmanagerConfig::parse(
                "route: {receiver: a}\nreceivers:\n- name: a\n  nonsense: 1\n"
            )
            .unwrap_err()
            .message
            .contains("field nonsense not found")
        );
    }

    #[test]
    fn conformance_routing() {
        let Some(directory) = conformance("alertmanager") else {
            return;
        };
        let cases = std::fs::read_to_string(directory.join("routing.tsv")).unwrap();
        let mut surprises = Vec::new();
        for line in cases.lines().skip(1) {
            let columns: Vec<_> = line.split('\t').collect();
            let text = std::fs::read_to_string(directory.join(columns[0])).unwrap();
            let Ok(config) = AlertmanagerConfig::parse(&text) else {
                continue;
            };
            let pairs: std::collections::BTreeMap<String, String> =
                serde_json::from_str(columns[1]).unwrap();
            let labels =
                model::Labels::from_pairs(pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())));
            let receivers: Vec<_> = config
                .route
                .matching(&labels)
                .into_iter()
                .map(|route| route.receiver.as_str())
                .collect();
            if receivers.join(",") != columns[2] {
                surprises.push(format!("{line}: got {}", receivers.join(",")));
            }
        }
        assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    }
}
