//! Bodies into storage: what is stored under which labels, and what ends.

mod histograms;
mod starts;

use metrics::Registry;
use model::LabelsBuilder;
use model::metadata::MetricType;
use std::path::Path;

use super::*;
use crate::config::{GlobalConfig, ScrapeConfig, yaml};
use crate::exposition::Format;
use crate::job::StartOptions;
use crate::target::Populated;
use crate::testing::MemoryStorage;

/// A target that says what it is told to.
struct Fixture {
    job: Job,
    target: Target,
    storage: MemoryStorage,
    metrics: ScrapeMetrics,
    interner: Interner,
    state: SeriesState,
    scratch: Scratch,
    t: i64,
}

impl Fixture {
    fn new(config: &str) -> Self {
        Self::with_labels(config, &[])
    }

    fn with_labels(config: &str, labels: &[(&str, &str)]) -> Self {
        let mut config: ScrapeConfig = yaml::parse(&format!("{{job_name: j, {config}}}")).unwrap();
        config.finish(&GlobalConfig::default()).unwrap();
        let mut discovered = LabelsBuilder::new();
        for (name, value) in [("__address__", "h:1"), ("instance", "i")]
            .iter()
            .chain(labels)
        {
            discovered.set(name, value);
        }
        let Populated::Active(target) = Target::populate(&config, discovered).unwrap() else {
            panic!("dropped")
        };
        Fixture {
            job: Job::new(config, Path::new("."), "test", 0, StartOptions::default()).unwrap(),
            target,
            storage: MemoryStorage::default(),
            metrics: ScrapeMetrics::new(&Registry::new()),
            interner: Interner::default(),
            state: SeriesState::default(),
            scratch: Scratch::default(),
            t: 0,
        }
    }

    /// Scrapes `body` one second after the scrape before; returns the error, or nothing.
    fn scrape(&mut self, body: &str) -> String {
        self.scratch.raw = body.as_bytes().to_vec();
        self.ingest(Ok(Fetched::plain(BodyFormat::Lines(Format::Text))))
    }

    fn fail(&mut self) -> String {
        self.ingest(Err(ScrapeError::Status(
            "500 Internal Server Error".to_owned(),
        )))
    }

    fn ingest(&mut self, fetched: Result<Fetched, ScrapeError>) -> String {
        let storage = self.storage.clone();
        self.ingest_into(&storage, fetched)
    }

    fn ingest_into(
        &mut self,
        storage: &dyn Appendable,
        fetched: Result<Fetched, ScrapeError>,
    ) -> String {
        self.t += 1_000;
        let scrape = scrape(
            &self.job,
            &self.target,
            storage,
            &self.metrics,
            &self.interner,
            self.t,
        );
        let outcome = scrape.ingest_unwinding(&mut self.state, &mut self.scratch, fetched);
        outcome
            .error
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[track_caller]
    fn check(&self, series: &str, samples: &[&str]) {
        assert_eq!(self.storage.samples(series), samples, "{series}");
    }

    /// Checks the last value of each report: up, scraped, after relabelling, added.
    #[track_caller]
    fn check_reports(&self, expected: [f64; 4]) {
        let names = [
            "up",
            "scrape_samples_scraped",
            "scrape_samples_post_metric_relabeling",
            "scrape_series_added",
        ];
        let last = names.map(|name| self.storage.values(name).last().copied().unwrap_or(-1.0));
        assert_eq!(last, expected);
    }
}

fn scrape<'a>(
    job: &'a Job,
    target: &'a Target,
    storage: &'a dyn Appendable,
    metrics: &'a ScrapeMetrics,
    interner: &'a Interner,
    t: i64,
) -> Scrape<'a> {
    Scrape {
        job,
        target,
        storage,
        metrics,
        interner,
        t,
        started: Instant::now(),
    }
}

const I_J: &str = r#"instance="i", job="j""#;

#[test]
fn a_scrape_is_one_commit_with_its_reports() {
    let mut fixture = Fixture::new("");
    assert_eq!(fixture.scrape("a 1\nb{x=\"y\"} 2 5\n"), "");
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000"]);
    fixture.check(&format!("b{{{I_J}, x=\"y\"}}"), &["2@5"]);
    fixture.check(&format!("up{{{I_J}}}"), &["1@1000"]);
    fixture.check_reports([1.0, 2.0, 2.0, 2.0]);
    assert_eq!(fixture.storage.commits(), 1);
    fixture.scrape("a 1\nb{x=\"y\"} 2 6\n");
    fixture.check_reports([1.0, 2.0, 2.0, 0.0]);
}

#[test]
fn series_that_go_end() {
    let mut fixture = Fixture::new("");
    fixture.scrape("a 1\nb 1\nc 1 1000\n");
    fixture.scrape("a 2\n");
    fixture.check(&format!("b{{{I_J}}}"), &["1@1000", "stale@2000"]);
    // It has its own timestamps, so nobody knows when it ended.
    fixture.check(&format!("c{{{I_J}}}"), &["1@1000"]);
    fixture.scrape("b 3\na 3\n");
    fixture.check(&format!("b{{{I_J}}}"), &["1@1000", "stale@2000", "3@3000"]);
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000", "2@2000", "3@3000"]);
}

#[test]
fn a_series_that_goes_over_to_its_own_timestamps_ends() {
    let mut fixture = Fixture::new("");
    fixture.scrape("c 1\n");
    fixture.scrape("c 2 1500\n");
    let c = format!("c{{{I_J}}}");
    fixture.check(&c, &["1@1000", "2@1500", "stale@2000"]);
    // It ended once; there is no more to say of it.
    fixture.scrape("c 3 2500\n");
    fixture.check(&c, &["1@1000", "2@1500", "stale@2000", "3@2500"]);
    // It comes back and goes.
    fixture.scrape("c 4\n");
    fixture.scrape("\n");
    fixture.check(
        &c,
        &[
            "1@1000",
            "2@1500",
            "stale@2000",
            "3@2500",
            "4@4000",
            "stale@5000",
        ],
    );
    // Two lines that are one series, of which one still has the scrape's time.
    let one = "metric_relabel_configs: [{regex: x, action: labeldrop}]";
    let mut fixture = Fixture::new(one);
    fixture.scrape("c{x=\"1\"} 1\nc{x=\"2\"} 1\n");
    fixture.scrape("c{x=\"1\"} 2 1500\nc{x=\"2\"} 2\n");
    let samples = fixture.storage.samples(&c);
    assert!(
        samples.iter().all(|sample| !sample.starts_with("stale")),
        "{samples:?}"
    );
    // Where they are tracked all the same, nothing ends.
    let mut fixture = Fixture::new("track_timestamps_staleness: true");
    fixture.scrape("c 1\n");
    fixture.scrape("c 2 1500\n");
    fixture.check(&c, &["1@1000", "2@1500"]);
}

#[test]
fn timestamps_may_be_tracked_or_ignored() {
    let mut fixture = Fixture::new("track_timestamps_staleness: true");
    fixture.scrape("c 1 500\n");
    fixture.scrape("\n");
    fixture.check(&format!("c{{{I_J}}}"), &["1@500", "stale@2000"]);
    let mut fixture = Fixture::new("honor_timestamps: false");
    fixture.scrape("c 1 500\n");
    fixture.scrape("\n");
    fixture.check(&format!("c{{{I_J}}}"), &["1@1000", "stale@2000"]);
}

#[test]
fn a_failed_scrape_ends_everything() {
    let mut fixture = Fixture::new("");
    fixture.scrape("a 1\nb 1\n");
    assert_eq!(
        fixture.fail(),
        "server returned HTTP status 500 Internal Server Error"
    );
    assert_eq!(
        fixture.scrape("a 3\ngarbage {\nb 3\n"),
        "line 2: expected label name, got the end of the line"
    );
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000", "stale@2000"]);
    fixture.check_reports([0.0, 1.0, 1.0, 0.0]);
    fixture.scrape("a 4\nb 4\n");
    assert_eq!(
        fixture.scrape("a 5\nnonsense\n"),
        "line 2: expected value after metric, got the end of the line"
    );
    fixture.check(
        &format!("a{{{I_J}}}"),
        &["1@1000", "stale@2000", "4@4000", "stale@5000"],
    );
    fixture.check(
        &format!("b{{{I_J}}}"),
        &["1@1000", "stale@2000", "4@4000", "stale@5000"],
    );
    fixture.check(
        &format!("up{{{I_J}}}"),
        &["1@1000", "0@2000", "0@3000", "1@4000", "0@5000"],
    );
}

#[test]
fn labels_of_the_target_and_ours() {
    let mut fixture = Fixture::with_labels("", &[("x", "ours")]);
    fixture.scrape("a{x=\"theirs\",exported_x=\"e\",y=\"\"} 1\n");
    assert_eq!(
        fixture.storage.series(),
        [r#"a{exported_exported_x="theirs", exported_x="e", instance="i", job="j", x="ours"}"#]
    );
    let mut fixture = Fixture::with_labels("honor_labels: true", &[("x", "ours")]);
    fixture.scrape("a{x=\"theirs\"} 1\nb{x=\"\"} 1\nc 1\n");
    assert_eq!(
        fixture.storage.series(),
        [
            r#"a{instance="i", job="j", x="theirs"}"#,
            r#"b{instance="i", job="j"}"#,
            r#"c{instance="i", job="j", x="ours"}"#
        ]
    );
}

#[test]
fn metric_relabelling() {
    let mut fixture = Fixture::new(
        "metric_relabel_configs: [{source_labels: [__name__], regex: 'drop.*', action: drop}, {regex: x, action: labeldrop}]",
    );
    for _ in 0..2 {
        assert_eq!(fixture.scrape("dropped 1\na{x=\"1\"} 1\nb 1\n"), "");
    }
    assert_eq!(
        fixture.storage.series(),
        [format!("a{{{I_J}}}"), format!("b{{{I_J}}}")]
    );
    fixture.check_reports([1.0, 3.0, 2.0, 0.0]);
    // Two lines that are one series now: the second is refused, and the first going does not end the series.
    fixture.scrape("a{x=\"1\"} 1\na{x=\"2\"} 1\n");
    fixture.scrape("a{x=\"2\"} 4\n");
    assert_eq!(
        fixture
            .storage
            .samples(&format!("a{{{I_J}}}"))
            .last()
            .map(String::as_str),
        Some("4@4000")
    );
}

#[test]
fn renaming_may_make_a_nameless_series() {
    let mut fixture =
        Fixture::new("metric_relabel_configs: [{regex: __name__, action: labeldrop}]");
    assert_eq!(
        fixture.scrape("a 1\n"),
        "missing metric name (__name__ label)"
    );
}

#[test]
fn duplicates_are_counted() {
    let mut fixture = Fixture::new("");
    fixture.scrape("a 1\na 2\nb 1\n");
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000"]);
    fixture.check_reports([1.0, 3.0, 3.0, 2.0]);
    assert_eq!(fixture.metrics.duplicate_timestamp.value(), 1.0);
    fixture.scrape("a 1 10\nb 1\n");
    assert_eq!(fixture.metrics.out_of_order.value(), 1.0);
}

#[test]
fn a_series_may_come_more_than_once_with_timestamps() {
    let mut fixture = Fixture::new(
        "metric_relabel_configs: [{source_labels: [__name__], regex: 'drop.*', action: drop}]",
    );
    for round in 0..2 {
        let (one, two) = (round * 1_000 + 100, round * 1_000 + 200);
        fixture.scrape(&format!(
            "m 1 {one}\nm 2 {two}\ndropped 1\ndropped 2\nm 9\n"
        ));
    }
    fixture.check(
        &format!("m{{{I_J}}}"),
        &["1@100", "2@200", "1@1100", "2@1200"],
    );
    fixture.check_reports([1.0, 5.0, 3.0, 0.0]);
    assert_eq!(fixture.metrics.duplicate_timestamp.value(), 2.0);
}

#[test]
fn timestamps_far_ahead_are_out_of_bounds() {
    let mut fixture = Fixture::new("");
    fixture.scrape("a 1 601001\nb 1 601000\nc 1\na 2 9223372036854775807\n");
    fixture.check(&format!("a{{{I_J}}}"), &[]);
    fixture.check(&format!("b{{{I_J}}}"), &["1@601000"]);
    fixture.check(&format!("c{{{I_J}}}"), &["1@1000"]);
    fixture.check_reports([1.0, 4.0, 4.0, 3.0]);
    assert_eq!(fixture.metrics.out_of_bounds.value(), 2.0);
}

#[test]
fn limits_refuse_the_whole_scrape() {
    let mut fixture = Fixture::new("sample_limit: 2");
    assert_eq!(fixture.scrape("a 1\nb 1\n"), "");
    assert_eq!(
        fixture.scrape("a 1\nb 1\nc 1\nd 1\n"),
        "sample limit exceeded"
    );
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000", "stale@2000"]);
    fixture.check_reports([0.0, 4.0, 4.0, 0.0]);
    assert_eq!(fixture.metrics.exceeded_sample_limit.value(), 1.0);

    let refused = |config: &str, body: &str, expected: &str| {
        let mut fixture = Fixture::new(config);
        assert_eq!(fixture.scrape(body), expected);
        assert!(fixture.storage.series().is_empty());
        assert_eq!(fixture.metrics.exceeded_label_limits.value(), 1.0);
    };
    refused(
        "label_limit: 3",
        "a{x=\"y\"} 1\n",
        "label_limit exceeded (metric: a, number of labels: 4, limit: 3)",
    );
    refused(
        "label_name_length_limit: 8",
        "a{long_name=\"y\"} 1\n",
        "label_name_length_limit exceeded (metric: a, label name: long_name, length: 9, limit: 8)",
    );
    refused(
        "label_value_length_limit: 2",
        "a{x=\"yyy\"} 1\n",
        "label_value_length_limit exceeded (metric: a, label name: x, value: \"yyy\", length: 3, limit: 2)",
    );
}

#[test]
fn very_many_labels_are_refused() {
    let labels: Vec<String> = (0..300_000).map(|i| format!("l{i}=\"v\"")).collect();
    let mut fixture = Fixture::new("");
    assert_eq!(
        fixture.scrape(&format!("m{{{}}} 1\n", labels.join(","))),
        "too many labels (metric: m, number of labels: 300001, limit: 10000)"
    );
    assert_eq!(fixture.metrics.exceeded_label_limits.value(), 1.0);
}

#[test]
fn the_label_limit_is_on_what_rules_leave() {
    let mut fixture =
        Fixture::new("label_limit: 3, metric_relabel_configs: [{regex: 'x.', action: labeldrop}]");
    assert_eq!(
        fixture.scrape("a{x1=\"\",x2=\"2\",x3=\"3\",x4=\"4\"} 1\n"),
        ""
    );
    let mut fixture = Fixture::new("label_limit: 3, honor_labels: true");
    assert_eq!(fixture.scrape("a{job=\"theirs\",x=\"\"} 1\n"), "");
}

/// Storage that panics as often as it is told to.
struct Panicking<'a>(&'a MemoryStorage, std::sync::atomic::AtomicUsize);

impl Appendable for Panicking<'_> {
    fn appender(&self) -> Box<dyn Appender + '_> {
        use std::sync::atomic::Ordering::Relaxed;
        let left = self.1.load(Relaxed);
        self.1.store(left.saturating_sub(1), Relaxed);
        assert!(left == 0, "told to");
        self.0.appender()
    }
}

#[test]
fn a_panic_costs_one_scrape() {
    let mut fixture = Fixture::new("");
    let memory = fixture.storage.clone();
    fixture.scrape("# TYPE a counter\na 1\n");
    for panics in [1, 2] {
        let storage = Panicking(&memory, panics.into());
        let error = fixture.ingest_into(
            &storage,
            Ok(Fetched::plain(BodyFormat::Lines(Format::Text))),
        );
        assert_eq!(error, "the scrape panicked, see the log");
        assert_eq!(fixture.metrics.metadata_entries.with(&["j"]).value(), 0.0);
    }
    assert_eq!(fixture.scrape("a 4\n"), "");
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000", "4@4000"]);
    // The second time, storage could not take the report either.
    fixture.check(&format!("up{{{I_J}}}"), &["1@1000", "0@2000", "1@4000"]);
}

#[test]
fn extra_reports() {
    let mut fixture =
        Fixture::new("extra_scrape_metrics: true, sample_limit: 9, scrape_timeout: 3s");
    fixture.scrape("a 1\n");
    fixture.ingest(Err(ScrapeError::BodyTooLong));
    assert_eq!(fixture.storage.values("scrape_timeout_seconds"), [3.0, 3.0]);
    assert_eq!(fixture.storage.values("scrape_sample_limit"), [9.0, 9.0]);
    assert_eq!(
        fixture.storage.values("scrape_body_size_bytes"),
        [4.0, -1.0]
    );
    assert_eq!(fixture.metrics.exceeded_body_size_limit.value(), 1.0);
}

#[test]
fn handles_that_storage_dropped_are_asked_for_again() {
    let mut fixture = Fixture::new("");
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\na 1\n";
    fixture.scrape(body);
    fixture.storage.collect_garbage();
    fixture.scrape(body);
    fixture.scrape(body);
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000", "1@2000", "1@3000"]);
    fixture.check(
        &format!("h_bucket{{{I_J}, le=\"1.0\"}}"),
        &["1@1000", "1@2000", "1@3000"],
    );
    fixture.check(&format!("up{{{I_J}}}"), &["1@1000", "1@2000", "1@3000"]);
}

#[test]
fn a_target_that_is_gone_ends() {
    let mut fixture = Fixture::new("");
    fixture.scrape("a 1\n");
    scrape(
        &fixture.job,
        &fixture.target,
        &fixture.storage,
        &fixture.metrics,
        &fixture.interner,
        2_000,
    )
    .end(&mut fixture.state, &mut fixture.scratch);
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000", "stale@2000"]);
    fixture.check(&format!("up{{{I_J}}}"), &["1@1000", "stale@2000"]);
}

#[test]
fn other_settings_end_what_they_rename() {
    let mut fixture = Fixture::new("");
    fixture.scrape("a 1\nb 1\n");
    let renamed = Fixture::new(
        "metric_relabel_configs: [{source_labels: [__name__], regex: a, target_label: __name__, replacement: z}]",
    );
    assert!(!fixture.job.reads_like(&renamed.job));
    fixture.job = renamed.job;
    fixture.state.invalidate();
    fixture.scrape("a 2\nb 2\n");
    fixture.check(&format!("a{{{I_J}}}"), &["1@1000", "stale@2000"]);
    fixture.check(&format!("z{{{I_J}}}"), &["2@2000"]);
    fixture.check(&format!("b{{{I_J}}}"), &["1@1000", "2@2000"]);
}

#[test]
fn doubled_label_names_are_refused() {
    let mut fixture = Fixture::new("");
    assert_eq!(
        fixture.scrape("a{x=\"1\",x=\"2\"} 1\n"),
        "label name \"x\" is not unique: invalid sample"
    );
}

#[test]
fn legacy_names_may_be_asked_for() {
    let mut fixture = Fixture::new("metric_name_validation_scheme: legacy");
    assert_eq!(
        fixture.scrape("{\"a.b\"} 1\n"),
        "invalid metric name or label names: a.b"
    );
    assert_eq!(Fixture::new("").scrape("{\"a.b\"} 1\n"), "");
}

#[test]
fn metadata_is_remembered() {
    let mut fixture = Fixture::new("");
    fixture.scrape("# HELP a some text\n# TYPE a counter\na 1\n");
    let families = fixture.state.metadata().unwrap();
    assert_eq!((&*families[0].name, &*families[0].help), ("a", "some text"));
    assert_eq!(fixture.metrics.metadata_entries.with(&["j"]).value(), 1.0);
}

#[test]
fn lines_about_families_are_checked_too() {
    let mut fixture = Fixture::new("");
    fixture.scrape("# TYPE a counter\na 1\n");
    assert_eq!(
        fixture.scrape("a 1\n# TYPE a countess\na 1\n"),
        "line 2: invalid metric type, got \" countess\""
    );
    assert_eq!(fixture.scrape("# TYPE a counter\na 1\n"), "");
    assert_eq!(fixture.scrape("# TYPE a gauge\na 1\n"), "");
    assert_eq!(fixture.state.metadata().unwrap()[0].kind, MetricType::Gauge);
}

#[test]
fn what_is_right_in_one_format_is_not_in_another() {
    let mut fixture = Fixture::new("");
    assert_eq!(fixture.scrape("# HELP a\na 1\n"), "");
    let open = BodyFormat::Lines(Format::OpenMetrics);
    fixture.scratch.raw = b"# HELP a\n# EOF\n".to_vec();
    assert_eq!(
        fixture.ingest(Ok(Fetched::plain(open))),
        "line 1: expected text after the metric name, got the end of the line"
    );
    // Nothing at all is nothing wrong.
    fixture.scratch.raw.clear();
    assert_eq!(fixture.ingest(Ok(Fetched::plain(open))), "");
    fixture.check_reports([1.0, 0.0, 0.0, 0.0]);
}
