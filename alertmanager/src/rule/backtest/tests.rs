//! A backtest beside the plain truth: groups evaluated step by step, writing into the storage that they read.

use promql::{Engine, EngineOptions};

use super::super::engine::EngineQuery;
use super::super::file::RuleFile;
use super::super::query::{QueriedSample, QueriedSeries, RuleExpr};
use super::super::testing::VecStorage;
use super::*;

const START_MS: i64 = 1_000_000_000;
const MINUTE_MS: i64 = 60_000;

/// Rules that feed each other over groups, and others that nothing feeds.
const RULES: &str = r#"
groups:
- name: fed
  interval: 30s
  rules:
  - {record: 'job:errors:rate', expr: 'sum by (job) (rate(errors_total[5m]))'}
  - {record: 'job:errors:rate_max', expr: 'max_over_time(job:errors:rate[10m])'}
  - alert: Errors
    expr: job:errors:rate > 0.5
    for: 2m
    keep_firing_for: 3m
    labels: {severity: '{{ if gt $value 0.9 }}page{{ else }}ticket{{ end }}'}
    annotations: {summary: '{{ $labels.job }} has {{ $value }}'}
  - {alert: ErrorsForLong, expr: 'count_over_time(ALERTS{alertname="Errors",alertstate="firing"}[10m]) > 5'}
- name: other
  interval: 1m
  query_offset: 30s
  limit: 2
  rules:
  - {alert: Seldom, expr: 'load > 0.8', for: 1m}
  - {alert: AtOnce, expr: 'avg by (job) (load) > 0.7 or absent(load)'}
  - {alert: Faulty, expr: 'load * on () group_left load'}
  - {alert: Later, expr: 'job:errors:rate_max > 0.8'}
  - {alert: Always, expr: 'vector(scalar(load{instance="1"}))'}
"#;

fn engine() -> Arc<Engine> {
    let options = EngineOptions {
        lookback_ms: 300_000,
        max_samples: 1_000_000,
        bytes_max: 0,
        bytes_total_max: 0,
        timeout: std::time::Duration::from_secs(60),
        default_subquery_step_ms: MINUTE_MS,
    };
    Arc::new(Engine::new(options, &Registry::new()))
}

/// Two hours of waves, with a hole in one series.
fn storage() -> VecStorage {
    let storage = VecStorage::default();
    let mut columns = storage.0.lock().unwrap();
    for (instance, job) in [("1", "a"), ("2", "a"), ("3", "b")] {
        let labels =
            |name| Labels::from_pairs([("__name__", name), ("instance", instance), ("job", job)]);
        let phase: f64 = instance.parse().unwrap();
        let (mut errors, mut load) = (Vec::new(), Vec::new());
        let mut total = 0.0;
        for step in 0..480_i32 {
            let t = START_MS - 10 * MINUTE_MS + i64::from(step) * 15_000;
            let wave = (f64::from(step) / 40.0 + phase).sin();
            total += (wave * 8.0).max(0.0);
            if !(instance == "3" && (200..260).contains(&step)) {
                errors.push((t, total));
                load.push((t, wave.abs()));
            }
        }
        columns.insert(labels("errors_total"), errors);
        columns.insert(labels("load"), load);
    }
    drop(columns);
    storage
}

fn options(minutes: i64) -> BacktestOptions {
    BacktestOptions {
        start_ms: START_MS,
        end_ms: START_MS + minutes * MINUTE_MS,
        settings: GroupSettings {
            interval: Duration::from_secs(60),
            query_offset: Duration::ZERO,
            external_labels: Labels::empty(),
            external_url: "http://prom.example".to_owned(),
        },
        intervals_max: INTERVALS_MAX,
    }
}

fn groups(text: &str) -> Vec<GroupConfig> {
    RuleFile::parse("f.yml", text).unwrap().groups
}

fn backtest(text: &str, minutes: i64, storage: VecStorage) -> BacktestReport {
    let query_of =
        |storage| -> Box<dyn RuleQuery> { Box::new(EngineQuery::new(engine(), storage)) };
    let (groups, options) = (groups(text), options(minutes));
    run(groups, &options, Arc::new(storage), &query_of, &|| true).unwrap()
}

/// Which alerts live at a time, by group and labels, with state and value.
type Moment = std::collections::BTreeMap<(String, String), (AlertState, u64)>;

/// Evaluates the groups in order of time with all they record written to the storage; returns what lives after each
/// evaluation, and how many alerts were told.
fn plain_truth(text: &str, minutes: i64) -> (Vec<(i64, String, Moment)>, usize) {
    let (storage, options) = (storage(), options(minutes));
    let query = EngineQuery::new(engine(), Arc::new(storage.clone()));
    let registry = Registry::new();
    let alone = |config| Group::alone(config, options.settings.clone(), &registry);
    let mut all: Vec<Group> = groups(text).into_iter().map(alone).collect();
    let context = EvaluationContext {
        tracer: &model::trace::Tracer::default(),
        query: &query,
        storage: &storage,
        resend_delay: NEVER,
    };
    let (mut moments, mut told) = (Vec::new(), 0);
    for second in 0..=minutes * 60 {
        let at_ms = START_MS + second * 1_000;
        for group in &mut all {
            if second * 1_000 % group.interval().as_ms() != 0 {
                continue;
            }
            told += group.evaluate(at_ms, &context).len();
            let status = group.status();
            let alerting = status.rules.into_iter().filter_map(|rule| rule.alerting);
            let live = alerting.flat_map(|rule| rule.alerts);
            let live = live.filter(|alert| AlertState::Inactive < alert.state);
            let key = |labels: &Labels| (status.name.clone(), labels.to_string());
            let moment: Moment = live
                .map(|alert| (key(&alert.labels), (alert.state, alert.value.to_bits())))
                .collect();
            moments.push((at_ms, status.name, moment));
        }
    }
    (moments, told)
}

#[test]
fn a_backtest_is_what_an_evaluation_step_by_step_gives() {
    let report = backtest(RULES, 100, storage());
    let (moments, told) = plain_truth(RULES, 100);
    let mut changes = 0;
    for (at_ms, name, moment) in moments {
        let group = report.groups.iter().find(|group| group.name == name);
        let mut found = Moment::new();
        let rules = group.unwrap().rules.iter();
        for alert in rules
            .filter_map(|rule| rule.alerting.as_ref())
            .flat_map(|rule| &rule.alerts)
        {
            for interval in &alert.intervals {
                if interval.from_ms <= at_ms && interval.to_ms.is_none_or(|to_ms| at_ms < to_ms) {
                    let key = (name.clone(), alert.labels.to_string());
                    let value = moment.get(&key).map_or(u64::MAX, |&(_, value)| value);
                    if interval.from_ms == at_ms {
                        changes += 1;
                        assert_eq!(interval.value.to_bits(), value, "{key:?} at {at_ms}");
                    }
                    assert!((interval.min..=interval.max).contains(&f64::from_bits(value)));
                    found.insert(key, (interval.state, value));
                }
            }
        }
        assert_eq!(found, moment, "group {name} at {at_ms}");
    }
    assert!(20 < changes, "only {changes} changes, the data is too dull");
    let alerts = report.groups.iter().flat_map(|group| &group.rules);
    let alerts = alerts
        .filter_map(|rule| rule.alerting.as_ref())
        .flat_map(|rule| &rule.alerts);
    let (mut notified, mut names) = (0, std::collections::BTreeSet::new());
    for alert in alerts {
        let (firing, resolved) = alert.notifications();
        notified += firing + resolved;
        names.insert(alert.labels.value("alertname").to_owned());
    }
    assert_eq!(notified, told);
    assert_eq!(names.len(), 6, "{names:?}");
    let faulty = &report.groups[1].rules[2];
    assert_eq!((faulty.failures, faulty.samples), (101, 0));
    assert_eq!(report.groups[0].evaluations, 201);
}

/// Answers only single steps.
struct OneByOne(EngineQuery);

impl RuleQuery for OneByOne {
    fn vector(&self, expr: &RuleExpr, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        self.0.vector(expr, at_ms)
    }
}

/// Counts the queries.
struct Counted(EngineQuery, Arc<std::sync::atomic::AtomicUsize>);

impl RuleQuery for Counted {
    fn vector(&self, expr: &RuleExpr, at_ms: i64) -> Result<Vec<QueriedSample>, String> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.vector(expr, at_ms)
    }

    fn range(
        &self,
        expr: &RuleExpr,
        steps: QuerySteps,
    ) -> Option<Result<Vec<QueriedSeries>, String>> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.range(expr, steps)
    }
}

#[test]
fn many_steps_at_once_give_what_single_steps_give() {
    let exprs = [
        "load > 0.5",
        "rate(errors_total[2m]) > 0.1",
        "sum by (job) (load) > 1",
        "topk(1, load)",
        "absent(load{instance=\"3\"})",
        "load unless on (instance) (load > 0.3)",
        "max_over_time(load[5m:1m]) > 0.9",
        "quantile by (job) (0.9, load)",
        "load offset 3m > bool 0.5",
        "avg_over_time(load[7m]) - stddev_over_time(load[7m])",
        "{__name__=~\"load|errors_total\", instance=\"1\"} > 0.9",
        "rate({__name__=~\"load|errors_total\"}[2m])",
        "vector(time() % 600) > 300",
        "load @ end() > 0.5",
        "hour() + scalar(count(load))",
    ];
    let rules: String = (0..)
        .zip(exprs)
        .map(|(index, expr)| format!("  - alert: A{index}\n    expr: {expr:?}\n    for: 1m\n"))
        .collect();
    let text = format!("groups:\n- name: g\n  interval: 20s\n  rules:\n{rules}");
    let one_by_one =
        |storage| -> Box<dyn RuleQuery> { Box::new(OneByOne(EngineQuery::new(engine(), storage))) };
    let storage = storage();
    let options = options(100);
    let expected = run(
        groups(&text),
        &options,
        Arc::new(storage.clone()),
        &one_by_one,
        &|| true,
    );
    let queries = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = |storage| -> Box<dyn RuleQuery> {
        Box::new(Counted(
            EngineQuery::new(engine(), storage),
            Arc::clone(&queries),
        ))
    };
    let found = run(
        groups(&text),
        &options,
        Arc::new(storage),
        &counted,
        &|| true,
    );
    assert_eq!(found, expected);
    // 301 steps of 15 rules; two of them must be asked for step by step.
    let queries = queries.load(std::sync::atomic::Ordering::Relaxed);
    assert!(queries < 301 * 3, "{queries} queries");
}

#[test]
fn the_range_the_alerts_and_the_patience_are_bounded() {
    let query_of =
        |storage| -> Box<dyn RuleQuery> { Box::new(EngineQuery::new(engine(), storage)) };
    let check = |text: &str, options: &BacktestOptions, is_wanted: &dyn Fn() -> bool| {
        run(
            groups(text),
            options,
            Arc::new(storage()),
            &query_of,
            is_wanted,
        )
        .unwrap_err()
    };
    let backwards = check(RULES, &options(-1), &|| true);
    assert!(
        matches!(backwards, BacktestError::EndBeforeStart { .. }),
        "{backwards}"
    );
    let long = check(RULES, &options(EVALUATIONS_MAX), &|| true).to_string();
    assert!(
        long.contains("group \"fed\" would be evaluated 1054081 times"),
        "{long}"
    );
    let stopped = check(RULES, &options(5), &|| false);
    assert_eq!(stopped, BacktestError::Stopped { at_ms: START_MS });
    // A label of the time makes a new alert at every evaluation.
    let many = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'vector(time())', labels: {at: '{{ $value }}'}}\n";
    let few = BacktestOptions {
        intervals_max: 3,
        ..options(20)
    };
    let at_ms = START_MS + 3 * MINUTE_MS;
    let expected = BacktestError::TooManyIntervals { limit: 3, at_ms };
    assert_eq!(check(many, &few, &|| true), expected);
}

#[test]
fn what_the_storage_has_of_the_files_own_series_ends_at_the_start() {
    let storage = storage();
    let labels = Labels::from_pairs([("__name__", "job:old"), ("job", "a")]);
    let old = (-10..10).map(|minute| (START_MS + minute * MINUTE_MS, 7.0));
    storage.0.lock().unwrap().insert(labels, old.collect());
    let text = "groups:\n- name: g\n  rules:\n  - {alert: Before, expr: 'job:old offset 2m == 7'}\n  \
        - {alert: Now, expr: 'job:old == 7'}\n  - {record: 'job:old', expr: 'vector(3)'}\n  - {alert: New, expr: 'job:old == 3'}\n";
    let report = backtest(text, 5, storage);
    let times = |rule: usize| -> Vec<(i64, Option<i64>)> {
        let rule = report.groups[0].rules[rule].alerting.as_ref().unwrap();
        let intervals = rule.alerts.iter().flat_map(|alert| &alert.intervals);
        let minutes = |ms: i64| (ms - START_MS) / MINUTE_MS;
        intervals
            .map(|interval| (minutes(interval.from_ms), interval.to_ms.map(minutes)))
            .collect()
    };
    assert_eq!(times(0), [(0, Some(2))]);
    assert_eq!(times(1), []);
    assert_eq!(times(3), [(0, None)]);
}
