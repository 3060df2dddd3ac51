//! One test: its series are loaded, its rules evaluated step by step, and what comes of it is compared.
//!
//! The series are in a database of their own, as they would be in a server, so that staleness, lookback and histograms are
//! what they are there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use alertmanager::rule::engine::EngineQuery;
use alertmanager::rule::file::RuleFile;
use alertmanager::rule::group::{EvaluationContext, Group, GroupSettings};
use alertmanager::rule::query::RuleQuery as _;
use alertmanager::rule::status::AlertState;
use metrics::Registry;
use model::histogram::indexed;
use model::storage::{Appendable as _, Appender, FloatSample, HistogramSample, SeriesRef};
use model::{Duration, FloatHistogram, Labels, SampleValue};
use promql::script::{SeriesLine, read_series};
use promql::{Engine, EngineOptions, Features};
use tsdb::files::Disk;
use tsdb::{Db, DbOptions, ReplayProgress};

use super::file::{AlertTest, EvalTime, ExpectedAlert, ExprTest, TestGroup, Text};
use crate::tool::go;

/// Samples that a query may hold at once.
const SAMPLES_MAX: usize = 50_000_000;
/// How long a query may take.
const TIMEOUT: StdDuration = StdDuration::from_secs(100);
/// Evaluations of a test at most: a year of minutes.
const EVALUATIONS_MAX: i64 = 366 * 24 * 60;

/// What the tests of a file share.
pub(super) struct Shared {
    /// How often rules are evaluated.
    pub(super) evaluation_interval: Duration,
    /// The places of groups by name.
    pub(super) order: HashMap<String, usize>,
    pub(super) rule_files: Vec<PathBuf>,
    /// What the rule files say, in the same order.
    pub(super) rule_texts: Vec<String>,
    pub(super) is_fuzzy: bool,
    pub(super) features: Features,
}

/// Runs a test and returns what is wrong, in promtool's words; nothing if it passes.
pub(super) fn run(test: &TestGroup, shared: &Shared) -> Vec<String> {
    match Running::new(test, shared) {
        Ok(running) => running.run().unwrap_or_else(|errors| errors),
        Err(error) => vec![error],
    }
}

struct Running<'a> {
    test: &'a TestGroup,
    shared: &'a Shared,
    start_ms: i64,
    engine: Arc<Engine>,
    query: EngineQuery,
    db: Arc<Db>,
    groups: Vec<Group>,
    input: Input,
    _dir: tempfile::TempDir,
}

/// Series that are loaded up to a time.
struct Input {
    series: Vec<SeriesLine>,
    start_ms: i64,
    interval_ms: i64,
    /// The position of the next value of each.
    next: usize,
}

impl<'a> Running<'a> {
    fn new(test: &'a TestGroup, shared: &'a Shared) -> Result<Self, String> {
        let start_ms = match &test.start_timestamp {
            Some(Text(text)) => start_of(text)?,
            None => 0,
        };
        let interval = test.interval.filter(|interval| !interval.is_zero());
        let interval = interval.unwrap_or(shared.evaluation_interval);
        let mut series: BTreeMap<Labels, SeriesLine> = BTreeMap::new();
        for input in &test.input_series {
            let line = format!("{} {}", input.series.0, input.values.0);
            let read = read_series(line.trim())?;
            series.insert(read.labels.clone(), read);
        }
        let text = |error: &dyn std::error::Error| error.to_string();
        let dir = tempfile::tempdir().map_err(|error| text(&error))?;
        let (db, _) = Db::open_in(
            Arc::new(Disk),
            dir.path(),
            &DbOptions::default(),
            &Registry::new(),
            &ReplayProgress::default(),
        )
        .map_err(|error| text(&error))?;
        let db = Arc::new(db);
        let options = EngineOptions {
            lookback_ms: 300_000,
            max_samples: SAMPLES_MAX,
            bytes_max: 0,
            bytes_total_max: 0,
            timeout: TIMEOUT,
            default_subquery_step_ms: shared.evaluation_interval.as_ms(),
        };
        let engine = Engine::new(options, &Registry::new()).with_features(shared.features);
        let engine = Arc::new(engine);
        let external = test.external_labels.iter();
        let settings = GroupSettings {
            interval,
            query_offset: Duration::from_ms(0),
            external_labels: Labels::from_pairs(
                external.map(|(name, Text(value))| (&**name, &**value)),
            ),
            external_url: test.external_url.0.trim_end_matches('/').to_owned(),
        };
        Ok(Running {
            test,
            shared,
            start_ms,
            query: EngineQuery::new(Arc::clone(&engine), Arc::clone(&db) as Arc<_>),
            engine,
            groups: groups(shared, &settings)?,
            input: Input {
                series: series.into_values().collect(),
                start_ms,
                interval_ms: interval.as_ms(),
                next: 0,
            },
            db,
            _dir: dir,
        })
    }

    /// Returns what is wrong: what was expected and is not (as success), or what kept the test from being run.
    fn run(mut self) -> Result<Vec<String>, Vec<String>> {
        let mut wrong = Vec::new();
        let alert_times = self.test.alert_rule_test.iter().map(|test| test.eval_time);
        let alert_times: BTreeSet<EvalTime> = alert_times.collect();
        let expr_times = self.test.promql_expr_test.iter().map(|test| test.eval_time);
        let last = alert_times.iter().copied().chain(expr_times).max();
        let last_ms = last.unwrap_or_default().0.as_ms();
        let step_ms = self.shared.evaluation_interval.as_ms();
        if EVALUATIONS_MAX < last_ms / step_ms {
            return Err(vec![format!(
                "    {} evaluations are too many, at most {EVALUATIONS_MAX} are made; choose a longer evaluation_interval or an \
                 earlier eval_time",
                last_ms / step_ms
            )]);
        }
        let mut after_ms = 0;
        while after_ms <= last_ms {
            let now_ms = self.start_ms + after_ms;
            self.input
                .load(&self.db, now_ms)
                .map_err(|error| vec![error])?;
            self.evaluate(now_ms)?;
            for time in &alert_times {
                let at_ms = time.0.as_ms();
                if after_ms <= at_ms && at_ms < after_ms + step_ms {
                    wrong.extend(self.wrong_alerts(*time));
                }
            }
            after_ms += step_ms;
        }
        for test in &self.test.promql_expr_test {
            wrong.extend(self.wrong_result(test));
        }
        Ok(wrong)
    }

    /// Evaluates every group; returns the errors of the rules.
    fn evaluate(&mut self, now_ms: i64) -> Result<(), Vec<String>> {
        let context = EvaluationContext {
            tracer: &model::trace::Tracer::default(),
            query: &self.query,
            storage: &*self.db,
            resend_delay: Duration::from_ms(0),
        };
        let mut errors = Vec::new();
        for group in &mut self.groups {
            group.evaluate(now_ms, &context);
            let time = go::duration(now_ms);
            errors.extend(
                group
                    .failures()
                    .map(|(name, error)| format!("    rule: {name}, time: {time}, err: {error}")),
            );
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Compares the firing alerts with those that are expected at `time`.
    fn wrong_alerts(&self, time: EvalTime) -> Vec<String> {
        let mut firing: BTreeMap<String, Vec<(Labels, Labels)>> = BTreeMap::new();
        for rule in self.groups.iter().flat_map(|group| group.status().rules) {
            let Some(alerting) = rule.alerting else {
                continue;
            };
            let alerts = alerting.alerts.into_iter();
            let alerts = alerts.filter(|alert| alert.state == AlertState::Firing);
            let alerts = alerts.map(|alert| (alert.labels, alert.annotations));
            firing.entry(rule.name).or_default().extend(alerts);
        }
        let tests = self.test.alert_rule_test.iter();
        let tests = tests.filter(|test| test.eval_time == time);
        tests
            .filter_map(|test| self.wrong_alert(test, firing.get(&test.alertname.0)))
            .collect()
    }

    fn wrong_alert(
        &self,
        test: &AlertTest,
        firing: Option<&Vec<(Labels, Labels)>>,
    ) -> Option<String> {
        let name = &test.alertname.0;
        let mut got = firing.cloned().unwrap_or_default();
        let expected = test.exp_alerts.iter();
        let mut expected: Vec<_> = expected.map(|alert| expected_alert(alert, name)).collect();
        got.sort();
        expected.sort();
        if got == expected {
            return None;
        }
        let group = match &*self.test.name.0 {
            "" => String::new(),
            group => format!("    name: {group},\n"),
        };
        Some(format!(
            "{group}    alertname: {name}, time: {}, \n        exp:{}, \n        got:{}",
            test.eval_time.0,
            print_alerts(&expected),
            print_alerts(&got)
        ))
    }

    /// Compares what an expression gives with what is expected.
    fn wrong_result(&self, test: &ExprTest) -> Option<String> {
        let place = format!("    expr: {:?}, time: {},", test.expr.0, test.eval_time.0);
        let at_ms = self.start_ms + test.eval_time.0.as_ms();
        let samples = self
            .engine
            .parse(&test.expr.0)
            .map_err(|error| error.to_string())
            .and_then(|expr| self.query.vector(&expr.into(), at_ms));
        let mut got: Vec<Sample> = match samples {
            Ok(samples) => samples
                .into_iter()
                .map(|sample| Sample::new(sample.labels, &sample.value))
                .collect(),
            Err(error) => return Some(format!("{place} err: {error}")),
        };
        let mut expected = Vec::new();
        for sample in &test.exp_samples {
            match Sample::expected(&sample.labels.0, sample.value.0, &sample.histogram.0) {
                Ok(sample) => expected.push(sample),
                Err(error) => {
                    return Some(format!(
                        "{place} err: labels {:?}: {error}",
                        sample.labels.0
                    ));
                }
            }
        }
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        let is_fuzzy = self.shared.is_fuzzy;
        let is_same = got.len() == expected.len()
            && got
                .iter()
                .zip(&expected)
                .all(|(got, expected)| got.is(expected, is_fuzzy));
        (!is_same).then(|| {
            format!(
                "{place}\n        exp: {}\n        got: {}",
                print_samples(&expected),
                print_samples(&got)
            )
        })
    }
}

impl Input {
    /// Loads what is there up to and including `until_ms`.
    fn load(&mut self, db: &Db, until_ms: i64) -> Result<(), String> {
        let longest = self.series.iter().map(|series| series.values.len()).max();
        let longest = longest.unwrap_or(0);
        let mut appender = db.appender();
        let mut handles = vec![None; self.series.len()];
        while self.next < longest {
            let after_ms = i64::try_from(self.next).unwrap_or(i64::MAX);
            let t = self.start_ms + self.interval_ms.saturating_mul(after_ms);
            if until_ms < t {
                break;
            }
            for (series, handle) in self.series.iter().zip(&mut handles) {
                if let Some(Some(value)) = series.values.get(self.next) {
                    append(&mut *appender, &series.labels, handle, t, &value.value)?;
                }
            }
            self.next += 1;
        }
        appender.commit().map_err(|error| error.to_string())
    }
}

fn append(
    appender: &mut dyn Appender,
    labels: &Labels,
    handle: &mut Option<SeriesRef>,
    t: i64,
    value: &SampleValue,
) -> Result<(), String> {
    let series = match *handle {
        Some(series) => series,
        None => {
            let pairs: Vec<(&str, &str)> = labels.iter().collect();
            let series = appender.series(&pairs).map_err(|error| error.to_string())?;
            *handle = Some(series);
            series
        }
    };
    match value {
        &SampleValue::Float(value) => {
            let mut rejected = Vec::new();
            appender.append_floats(&[FloatSample { series, t, value }], &mut rejected);
            match rejected.first() {
                Some(rejected) => Err(rejected.error.to_string()),
                None => Ok(()),
            }
        }
        SampleValue::Histogram(histogram) => appender
            .append_histogram(series, t, HistogramSample::Float(Arc::clone(histogram)))
            .map_err(|error| error.to_string()),
    }
}

/// Returns the time that a text says: seconds since the epoch, or RFC 3339.
fn start_of(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.abs() < 1e11
    {
        #[expect(clippy::cast_possible_truncation, reason = "it is far from the limits")]
        return Ok((seconds * 1e3).round() as i64);
    }
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_millisecond)
        .map_err(|error| {
            format!(
                "start_timestamp {text:?} is neither seconds since the epoch nor RFC 3339: {error}"
            )
        })
}

/// Returns the groups of all rule files, in the order of evaluation.
fn groups(shared: &Shared, settings: &GroupSettings) -> Result<Vec<Group>, String> {
    let registry = Registry::new();
    let mut all = Vec::new();
    for (path, text) in shared.rule_files.iter().zip(&shared.rule_texts) {
        let name = path.display().to_string();
        let file = RuleFile::parse_with(&name, text, &shared.features.syntax)
            .map_err(|error| error.to_string())?;
        let groups = file.groups.into_iter();
        all.extend(groups.map(|group| Group::alone(group, settings.clone(), &registry)));
    }
    all.sort_by_key(|group| {
        let place = shared.order.get(group.name());
        place.copied().unwrap_or(0)
    });
    Ok(all)
}

/// An alert's labels and annotations.
fn expected_alert(alert: &ExpectedAlert, name: &str) -> (Labels, Labels) {
    fn pairs(texts: &BTreeMap<String, Text>) -> impl Iterator<Item = (&str, &str)> {
        let pairs = texts.iter().map(|(name, Text(text))| (&**name, &**text));
        pairs.filter(|(_, text)| !text.is_empty())
    }
    let labels = pairs(&alert.exp_labels).filter(|(name, _)| *name != "alertname");
    (
        Labels::from_pairs(labels.chain([("alertname", name)])),
        Labels::from_pairs(pairs(&alert.exp_annotations)),
    )
}

fn print_alerts(alerts: &[(Labels, Labels)]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let alerts = alerts.iter().enumerate().map(|(i, (labels, annotations))| {
        format!(
            "            {i}:\n              Labels:{}\n              Annotations:{}",
            go::label_set(labels),
            go::label_set(annotations)
        )
    });
    format!(
        "[\n{}\n            ]",
        alerts.collect::<Vec<_>>().join(",\n")
    )
}

/// A sample as it is compared and printed.
struct Sample {
    labels: Labels,
    value: f64,
    /// In the notation of the tests; empty for a float.
    histogram: String,
}

impl Sample {
    fn new(labels: Labels, value: &SampleValue) -> Self {
        let (value, histogram) = match value {
            SampleValue::Float(value) => (*value, String::new()),
            SampleValue::Histogram(histogram) => (0.0, notation(histogram)),
        };
        Sample {
            labels,
            value,
            histogram,
        }
    }

    fn expected(labels: &str, value: f64, histogram: &str) -> Result<Self, String> {
        let labels = match labels.trim() {
            "" => Labels::empty(),
            text => read_series(text)?.labels,
        };
        if histogram.is_empty() {
            return Ok(Sample::new(labels, &SampleValue::Float(value)));
        }
        let read = read_series(&format!("{{}} {histogram}"))?;
        match &read.values[..] {
            [Some(only)] if matches!(only.value, SampleValue::Histogram(_)) => {
                Ok(Sample::new(labels, &only.value))
            }
            [_] => Err("expected a histogram".to_owned()),
            several => Err(format!("expected 1 value, got {}", several.len())),
        }
    }

    #[expect(clippy::float_cmp, reason = "that is what the tests ask for")]
    fn is(&self, other: &Sample, is_fuzzy: bool) -> bool {
        let (a, b) = (self.value, other.value);
        let is_near = is_fuzzy && (a == b.next_up() || a == b.next_down());
        let is_same = a == b || is_near || a.is_nan() && b.is_nan();
        is_same && self.labels == other.labels && self.histogram == other.histogram
    }
}

fn print_samples(samples: &[Sample]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let samples = samples.iter().map(|sample| {
        let value = match &*sample.histogram {
            "" => exponent(sample.value),
            histogram => histogram.to_owned(),
        };
        format!("{} {value}", go::label_set(&sample.labels))
    });
    samples.collect::<Vec<_>>().join(", ")
}

/// Returns a value as Go's `%E` with as many digits as it needs.
fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return model::float::format_general(value);
    }
    let text = format!("{value:E}");
    let (digits, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}E{sign}{exponent:0>2}")
}

/// Returns a histogram in the notation of PromQL's tests.
///
/// Source: the description of that notation in Prometheus' unit testing documentation.
fn notation(histogram: &FloatHistogram) -> String {
    use model::histogram::ResetHint;

    let number = model::float::format_general;
    let mut parts = Vec::new();
    if histogram.schema != 0 {
        parts.push(format!("schema:{}", histogram.schema));
    }
    for (key, value) in [
        ("count", histogram.count),
        ("sum", histogram.sum),
        ("z_bucket", histogram.zero_count),
        ("z_bucket_w", histogram.zero_threshold),
    ] {
        if value != 0.0 {
            parts.push(format!("{key}:{}", number(value)));
        }
    }
    let list = |values: &[f64]| {
        let values: Vec<String> = values.iter().map(|&value| number(value)).collect();
        values.join(" ")
    };
    if histogram.has_custom_buckets() {
        parts.push(format!(
            "custom_values:[{}]",
            list(&histogram.custom_bounds)
        ));
    }
    match histogram.reset_hint {
        ResetHint::Unknown => (),
        ResetHint::CounterReset => parts.push("counter_reset_hint:reset".to_owned()),
        ResetHint::NotCounterReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    for (prefix, spans, buckets) in [
        ("", &histogram.positive_spans, &histogram.positive_buckets),
        ("n_", &histogram.negative_spans, &histogram.negative_buckets),
    ] {
        let filled = || indexed(spans, buckets).filter(|(_, count)| *count != 0.0);
        let (Some((first, _)), Some((last, _))) = (filled().next(), filled().last()) else {
            continue;
        };
        if first != 0 {
            parts.push(format!("{prefix}offset:{first}"));
        }
        let counts: BTreeMap<i32, f64> = filled().collect();
        let all: Vec<f64> = (first..=last)
            .map(|index| counts.get(&index).copied().unwrap_or(0.0))
            .collect();
        parts.push(format!("{prefix}buckets:[{}]", list(&all)));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_printed_as_by_go() {
        for (value, text) in [
            (1.0, "1E+00"),
            (0.0, "0E+00"),
            (-12.5, "-1.25E+01"),
            (1e-7, "1E-07"),
            (1e200, "1E+200"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(exponent(value), text);
        }
    }

    #[test]
    fn histograms_are_printed_as_they_are_written() {
        for text in [
            "{{}}",
            "{{schema:1 count:32.1 sum:-0.3 z_bucket:7.1 z_bucket_w:0.05 offset:-3 buckets:[5.1 10 7] n_offset:-5 n_buckets:[4.1 5]}}",
            "{{schema:-53 count:3 sum:1 custom_values:[5 10] counter_reset_hint:gauge buckets:[1 0 2]}}",
        ] {
            let sample = Sample::expected("", 0.0, text).unwrap();
            assert_eq!(sample.histogram, text);
        }
    }

    #[test]
    fn starts_are_seconds_or_rfc_3339() {
        assert_eq!(start_of("1.5"), Ok(1_500));
        assert_eq!(start_of("1970-01-01T00:01:00Z"), Ok(60_000));
        assert!(start_of("yesterday").is_err());
    }
}
