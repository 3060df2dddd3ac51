//! The two servers, and what they are asked.

use std::collections::BTreeSet;
use std::path::Path;

use promql::Expr;
use promql::functions::FUNCTIONS;
use serde_json::{Value, json};

use super::compare::{self, Rules};
use super::data::START;
use super::generate::{Generator, Language};
use super::rules;
use super::say;
use super::support::http::{self, Connection};
use super::support::monitor::{Monitor, free_address};
use super::support::wait::as_seconds;
use super::texts;

/// What the answers were.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) answers: usize,
    /// With at least one sample.
    pub(crate) full: usize,
    pub(crate) errors: usize,
    annotated: usize,
    pub(crate) parse_errors: usize,
    /// Parse errors that are told in other words.
    pub(crate) other_words: usize,
    /// In which Prometheus does not agree with itself.
    contradictions: usize,
}

/// The two servers.
pub(crate) struct Pair {
    pub(crate) hearth: Monitor,
    pub(crate) real: Monitor,
    connections: [Connection; 2],
    /// Of the [`Language`], once it is known.
    is_modern: bool,
    missing: BTreeSet<&'static str>,
}

impl Pair {
    pub(crate) fn start(dir: &Path, prometheus: &Path) -> Self {
        std::fs::write(dir.join("quiet.yml"), "global: {scrape_interval: 1h}\n")
            .expect("a writable directory");
        let features =
            "--enable-feature=native-histograms,promql-experimental-functions,promql-duration-expr";
        let flags = |data| {
            let always = [
                "--config.file=quiet.yml",
                "--web.enable-remote-write-receiver",
            ];
            [always[0], always[1], features, data]
        };
        let hearth = Monitor::hearth(dir, &flags("--storage.tsdb.path=hearth-data"));
        let real = Monitor::program(
            "prometheus",
            prometheus,
            &free_address(),
            dir,
            &flags("--storage.tsdb.path=prometheus-data"),
        );
        let connections = [&hearth, &real]
            .map(|monitor| Connection::open(&monitor.address).expect("the server listens"));
        Self {
            hearth,
            real,
            connections,
            is_modern: false,
            missing: BTreeSet::new(),
        }
    }

    /// Asks Prometheus what it has.
    pub(crate) fn language(&mut self) -> Language {
        let build = self
            .real
            .data("/api/v1/status/buildinfo")
            .expect("an answer");
        let version = build["version"].as_str().expect("a version").to_owned();
        let is_modern = !version.starts_with("2.");
        let mut missing = BTreeSet::new();
        if !is_modern {
            missing.extend(DEFINED_OTHERWISE);
        }
        for function in &FUNCTIONS {
            let answer = self.ask_real(&format!("{}()", function.name));
            let error = answer["error"].as_str().unwrap_or_default();
            if error.contains("unknown function") || error.contains("unexpected") {
                missing.insert(function.name);
            }
        }
        if self.ask_real("limitk(1, target)")["status"] != "success" {
            missing.insert("limitk");
        }
        say(&format!(
            "differential: Prometheus {version}, without {missing:?}"
        ));
        self.is_modern = is_modern;
        self.missing.clone_from(&missing);
        Language { missing, is_modern }
    }

    fn ask_real(&mut self, text: &str) -> Value {
        let ask = Ask {
            times: [START; 3],
            is_range: false,
        };
        self.answers(&ask, text)[1].take()
    }

    /// Returns the answers of Hearth and of Prometheus.
    pub(crate) fn answers(&mut self, ask: &Ask, text: &str) -> [Value; 2] {
        let (path, form) = ask.request(text);
        for connection in &mut self.connections {
            connection
                .post(path, FORM, form.as_bytes())
                .expect("the server listens");
        }
        self.connections.each_mut().map(|connection| {
            let reply = connection
                .receive()
                .unwrap_or_else(|error| panic!("{text}: {error}"));
            serde_json::from_slice(&reply.body)
                .unwrap_or_else(|error| panic!("{text}: {error} in {}", reply.text()))
        })
    }

    /// Whether Prometheus has no such function.
    fn lacks(&self, expr: &Expr) -> bool {
        rules::any(expr, &|expr| match expr {
            Expr::Call(call) => self.missing.contains(call.function.name),
            _ => false,
        })
    }

    pub(crate) fn difference(
        &mut self,
        ask: &Ask,
        text: &str,
        counts: &mut Counts,
    ) -> Option<String> {
        let [own, real] = self.answers(ask, text);
        counts.answers += 1;
        counts.errors += usize::from(real["status"] != "success");
        counts.annotated += usize::from(real.get("infos").or(real.get("warnings")).is_some());
        let result = &real["data"]["result"];
        counts.full += usize::from(result.as_array().is_some_and(|all| !all.is_empty()));
        let expr = promql::parse(text).ok();
        if expr.as_ref().is_some_and(|expr| self.lacks(expr)) {
            return None;
        }
        if let Some(has_same_words) = texts::both_do_not_parse(&own, &real) {
            counts.parse_errors += 1;
            counts.other_words += usize::from(self.is_modern && !has_same_words);
            return None;
        }
        let error = real["error"].as_str().unwrap_or_default();
        // What 3.x takes and 2.x does not: numbers for durations and durations for numbers, any label names.
        if !self.is_modern && (error.contains("parse error") || error.contains("label name")) {
            return None;
        }
        let tolerance = expr.as_ref().map_or(0.0, rules::tolerance);
        let rules = Rules {
            tolerance,
            // Means were computed in another way.
            near_zero: if self.is_modern { 0.0 } else { 1e-12 },
            texts: self.is_modern,
            places: !expr.as_ref().is_some_and(rules::has_subquery),
            filters: expr.as_ref().is_some_and(rules::filters),
            order: !ask.is_range && tolerance == 0.0 && expr.as_ref().is_some_and(rules::is_sorted),
        };
        let difference = compare::difference(rules, &own, &real)?;
        if expr.as_ref().is_some_and(rules::reads_counts_only) && own.get("warnings").is_some() {
            return None;
        }
        // What is multiplied by less than nothing is a gauge since 3.6, which a subquery may hand to another function.
        let is_of_kind = difference.starts_with("warnings") && difference.contains(OTHER_KIND);
        if is_of_kind && expr.as_ref().is_some_and(rules::has_subquery) {
            return None;
        }
        let data = own["data"].to_string();
        let is_infinite = || data.contains("\"histogram") && data.contains("Inf\"");
        if expr.as_ref().is_some_and(rules::has_mean) && is_infinite() {
            return None;
        }
        let looks_ahead = |expr| rules::looks_ahead_at_fixed_times(expr, text);
        if expr.as_ref().is_some_and(looks_ahead) || rules::dates_samples_before_fixed_times(text) {
            return None;
        }
        let is_nan = || real["data"].to_string().contains("NaN");
        if expr.as_ref().is_some_and(rules::has_fraction) && is_nan() {
            return None;
        }
        if self.contradicts_itself(rules, ask, text, &own) {
            counts.contradictions += 1;
            return None;
        }
        Some(difference)
    }

    /// Whether Prometheus says what Hearth says when it is asked again, or for each time of a range on its own.
    ///
    /// It happens with native histograms: 3.5 sometimes adds to those that the next step, or query, takes for read.
    fn contradicts_itself(&mut self, rules: Rules, ask: &Ask, text: &str, own: &Value) -> bool {
        if self.agrees_when_asked_again(rules, ask, text, own) {
            return true;
        }
        let depends_on_range = text.contains("start()") || text.contains("end()");
        if !ask.is_range || depends_on_range || own["status"] != "success" {
            return false;
        }
        let [start, end, step] = ask.times;
        let rules = Rules {
            texts: false,
            order: false,
            ..rules
        };
        (0..=(end - start) / step).all(|index| {
            let time = start + index * step;
            let vector = compare::at(&own["data"]["result"], time);
            let data = json!({"resultType": "vector", "result": vector});
            let own = json!({"status": "success", "data": data});
            self.agrees_when_asked_again(rules, &Ask::at(time), text, &own)
        })
    }

    /// Whether Prometheus says the same as `own` in one of a few more answers.
    fn agrees_when_asked_again(
        &mut self,
        rules: Rules,
        ask: &Ask,
        text: &str,
        own: &Value,
    ) -> bool {
        (0..3).any(|_| {
            let [_, again] = self.answers(ask, text);
            compare::difference(rules, own, &again).is_none()
        })
    }
}

/// Functions that 2.x defines otherwise: for native histograms only, with NaN taken for nothing, not at the time of `@`, or
/// with the zero of a counter looked at first.
const DEFINED_OTHERWISE: [&str; 6] = [
    "histogram_fraction",
    "stddev_over_time",
    "stdvar_over_time",
    "predict_linear",
    "rate",
    "increase",
];

/// Said of a native histogram that a function for the other kind is applied to.
const OTHER_KIND: &str = "this native histogram metric is not a ";

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// When to evaluate.
pub(crate) struct Ask {
    /// Start, end and step; of an instant query, the first counts.
    pub(crate) times: [i64; 3],
    pub(crate) is_range: bool,
}

impl Ask {
    pub(crate) fn instant(generator: &mut Generator<'_>) -> Self {
        let shift = if generator.language.is_modern { 0 } else { 3 };
        Self::at(generator.time() + shift)
    }

    /// Returns an instant query.
    fn at(time: i64) -> Self {
        Self {
            times: [time; 3],
            is_range: false,
        }
    }

    /// Returns what a text asks for, `time` or `start,end,step` in seconds.
    pub(crate) fn given(text: &str) -> Self {
        let seconds = text.split(',').map(|part| part.parse::<i64>());
        let times: Vec<i64> = seconds
            .map(|seconds| 1_000 * seconds.unwrap_or_else(|error| panic!("{text}: {error}")))
            .collect();
        match times[..] {
            [time] => Self::at(time),
            [start, end, step] => Self {
                times: [start, end, step],
                is_range: true,
            },
            _ => panic!("{text}: neither one time nor start,end,step"),
        }
    }

    pub(crate) fn range(generator: &mut Generator<'_>) -> Self {
        let shift = if generator.language.is_modern { 0 } else { 3 };
        let [start, end, step] = generator.range();
        Self {
            times: [start + shift, end + shift, step],
            is_range: true,
        }
    }

    /// Returns path and form.
    fn request(&self, text: &str) -> (&'static str, String) {
        let query = http::escape(text);
        let [start, end, step] = self.times.map(as_seconds);
        if self.is_range {
            let form = format!("query={query}&start={start}&end={end}&step={step}");
            return ("/api/v1/query_range", form);
        }
        ("/api/v1/query", format!("query={query}&time={start}"))
    }

    pub(crate) fn describe(&self) -> String {
        let [start, end, step] = self.times.map(as_seconds);
        if self.is_range {
            return format!("from {start} to {end} by {step}");
        }
        format!("at {start}")
    }
}
