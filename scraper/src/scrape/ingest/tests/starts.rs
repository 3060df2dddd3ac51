//! Start timestamps of either format.

use super::*;
use crate::exposition::protobuf::testing::{
    Message, classic, delimited, family, label, message, native,
};

const READS: StartOptions = StartOptions {
    reads: true,
    synthesizes: false,
};
const SYNTHESIZES: StartOptions = StartOptions {
    reads: true,
    synthesizes: true,
};

impl Fixture {
    fn with_starts(config: &str, starts: StartOptions) -> Self {
        let mut fixture = Fixture::new(config);
        fixture.job.starts = starts;
        fixture
    }

    fn scrape_openmetrics(&mut self, body: &str) -> String {
        self.scratch.raw = format!("{body}# EOF\n").into_bytes();
        self.ingest(Ok(Fetched::plain(BodyFormat::Lines(Format::OpenMetrics))))
    }

    fn scrape_messages(&mut self, families: &[Message]) -> String {
        self.scratch.raw = families.iter().flat_map(delimited).collect();
        self.ingest(Ok(Fetched::plain(BodyFormat::Protobuf)))
    }

    /// Checks the start timestamps of a series with these labels before `instance` and `job`.
    #[track_caller]
    fn check_starts(&self, name: &str, labels: &str, expected: &[&str]) {
        let mut all: Vec<&str> = vec![I_J];
        all.extend(labels.split(',').filter(|label| !label.is_empty()));
        all.sort_unstable();
        let series = format!("{name}{{{}}}", all.join(", "));
        assert_eq!(self.storage.starts(&series), expected, "{series}");
    }
}

const COUNTERS: &str = "# TYPE c counter\n\
    c_total{a=\"x\"} 1\nc_created{a=\"x\"} 0.25\nc_total{a=\"y\"} 2\nc_total{a=\"z\"} 3\n\
    c_created{a=\"z\"} 0.5\nc_created{a=\"y\"} 1.5\n";

#[test]
fn lines_say_it_of_other_lines() {
    let mut fixture = Fixture::with_starts("", READS);
    assert_eq!(fixture.scrape_openmetrics(COUNTERS), "");
    assert_eq!(fixture.scrape_openmetrics(COUNTERS), "");
    fixture.check_starts("c_total", "a=\"x\"", &["250@1000", "250@2000"]);
    fixture.check_starts("c_total", "a=\"y\"", &["1500@1000", "1500@2000"]);
    fixture.check_starts("c_total", "a=\"z\"", &["500@1000", "500@2000"]);
    // The lines themselves are no series.
    assert_eq!(fixture.storage.series().len(), 3);
    fixture.check_reports([1.0, 3.0, 3.0, 0.0]);
}

#[test]
fn nobody_asks() {
    let mut fixture = Fixture::with_starts("", StartOptions::default());
    assert_eq!(fixture.scrape_openmetrics(COUNTERS), "");
    fixture.check_starts("c_total", "a=\"x\"", &[]);
    assert_eq!(fixture.storage.series().len(), 6);
}

#[test]
fn only_what_counts_has_one() {
    let mut fixture = Fixture::with_starts("", READS);
    let body = "# TYPE g gauge\ng 1\n# TYPE g_created gauge\ng_created 7\n\
        # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\nh_created 0.5\n\
        # TYPE s summary\ns{quantile=\"0.5\"} 4\ns_count 2\ns_sum 3\ns_created 0.125\n\
        # TYPE n counter\nn_total 1\nn_created NaN\n# TYPE u unknown\nu_created 1\n";
    assert_eq!(fixture.scrape_openmetrics(body), "");
    fixture.check_starts("h_bucket", "le=\"1.0\"", &["500@1000"]);
    fixture.check_starts("h_bucket", "le=\"+Inf\"", &["500@1000"]);
    fixture.check_starts("h_count", "", &["500@1000"]);
    fixture.check_starts("s", "quantile=\"0.5\"", &["125@1000"]);
    fixture.check_starts("s_sum", "", &["125@1000"]);
    for name in ["g", "g_created", "n_total", "u_created"] {
        fixture.check_starts(name, "", &[]);
        fixture.check(
            &format!("{name}{{{I_J}}}"),
            &[match name {
                "g_created" => "7@1000",
                _ => "1@1000",
            }],
        );
    }
}

#[test]
fn converted_histograms_keep_it() {
    let config = "convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true";
    let mut fixture = Fixture::with_starts(config, READS);
    let of = |label: &str, created: &str| {
        format!(
            "h_bucket{{a=\"{label}\",le=\"+Inf\"}} 2\nh_count{{a=\"{label}\"}} 2\n\
             h_sum{{a=\"{label}\"}} 3\nh_created{{a=\"{label}\"}} {created}\n"
        )
    };
    let body = format!("# TYPE h histogram\n{}{}", of("x", "0.5"), of("y", "0.75"));
    assert_eq!(fixture.scrape_openmetrics(&body), "");
    fixture.check_starts("h", "a=\"x\"", &["500@1000"]);
    fixture.check_starts("h", "a=\"y\"", &["750@1000"]);
    fixture.check_starts("h_sum", "a=\"y\"", &["750@1000"]);
    let mut without = Fixture::with_starts(config, StartOptions::default());
    assert_eq!(without.scrape_openmetrics(&body), "");
    without.check(&format!("h_created{{a=\"x\", {I_J}}}"), &["0.5@1000"]);
    without.check_starts("h", "a=\"x\"", &[]);
}

fn since(nanos: u64) -> Message {
    message().number(1, 0).number(2, nanos)
}

#[test]
fn messages_have_a_field_for_it() {
    let config = "scrape_native_histograms: true, always_scrape_classic_histograms: true";
    let families = || {
        let counter = message().double(1, 1.0).message(3, since(250_000_000));
        let summary = message()
            .number(1, 1)
            .double(2, 1.0)
            .message(4, since(500_000_000));
        let histogram = native()
            .message(3, classic(3, 1.0))
            .message(15, since(750_000_000));
        let of = |name, kind, field, value: Message| {
            family(
                name,
                kind,
                [message().message(1, label("a", "x")).message(field, value)],
            )
        };
        [
            of("c", 0, 3, counter),
            of("s", 2, 4, summary),
            of("h", 4, 7, histogram),
            family("g", 1, [message().message(2, message().double(1, 1.0))]),
        ]
    };
    let mut fixture = Fixture::with_starts(config, READS);
    assert_eq!(fixture.scrape_messages(&families()), "");
    fixture.check_starts("c", "a=\"x\"", &["250@1000"]);
    fixture.check_starts("s_count", "a=\"x\"", &["500@1000"]);
    fixture.check_starts("h", "a=\"x\"", &["750@1000"]);
    fixture.check_starts("h_bucket", "a=\"x\",le=\"1.0\"", &["750@1000"]);
    fixture.check_starts("g", "", &[]);
    // After a restart of the storage the samples are offered again, with what belongs to them.
    fixture.storage.collect_garbage();
    assert_eq!(fixture.scrape_messages(&families()), "");
    fixture.check_starts("c", "a=\"x\"", &["250@1000", "250@2000"]);
    fixture.check_starts("h", "a=\"x\"", &["750@1000", "750@2000"]);

    let mut without = Fixture::with_starts(config, StartOptions::default());
    assert_eq!(without.scrape_messages(&families()), "");
    without.check_starts("c", "a=\"x\"", &[]);
    without.check_starts("h", "a=\"x\"", &[]);
}

/// The first sample is what counting starts from; after a restart it starts from zero, a moment before.
#[test]
fn counters_may_count_from_their_first_sample() {
    let mut fixture = Fixture::with_starts("", SYNTHESIZES);
    for (c, g) in [(5, 1), (7, 2), (7, 1), (2, 3), (4, 3)] {
        let body = format!(
            "# TYPE c_total counter\nc_total {c}\n# TYPE g gauge\ng {g}\n\
             # TYPE h histogram\nh_bucket{{le=\"+Inf\"}} {c}\nh_count {c}\nh_sum {c}\n"
        );
        assert_eq!(fixture.scrape(&body), "");
    }
    let samples = ["2@2000", "2@3000", "2@4000", "4@5000"];
    let starts = ["1000@2000", "1000@3000", "3999@4000", "3999@5000"];
    for name in ["c_total", "h_count", "h_sum"] {
        fixture.check(&format!("{name}{{{I_J}}}"), &samples);
        fixture.check_starts(name, "", &starts);
    }
    let gauge = ["1@1000", "2@2000", "1@3000", "3@4000", "3@5000"];
    fixture.check(&format!("g{{{I_J}}}"), &gauge);
    fixture.check_starts("g", "", &[]);
    // All lines were scraped, the first of each series too.
    fixture.check_reports([1.0, 5.0, 5.0, 0.0]);
    // A series that was away starts again.
    assert_eq!(fixture.scrape("x 1\n"), "");
    assert_eq!(fixture.scrape("# TYPE c_total counter\nc_total 9\n"), "");
    assert_eq!(fixture.scrape("# TYPE c_total counter\nc_total 10\n"), "");
    let samples = [&samples[..], &["stale@6000", "1@8000"]].concat();
    fixture.check(&format!("c_total{{{I_J}}}"), &samples);
}

#[test]
fn who_says_it_is_believed() {
    let mut fixture = Fixture::with_starts("", SYNTHESIZES);
    let body = |created: &str| format!("# TYPE c counter\nc_total 5\n{created}");
    assert_eq!(fixture.scrape_openmetrics(&body("c_created 0.5\n")), "");
    assert_eq!(fixture.scrape_openmetrics(&body("")), "");
    assert_eq!(fixture.scrape_openmetrics(&body("")), "");
    fixture.check(&format!("c_total{{{I_J}}}"), &["5@1000", "0@3000"]);
    fixture.check_starts("c_total", "", &["500@1000", "2000@3000"]);
    let families = [family(
        "m",
        0,
        [message().message(3, message().double(1, 3.0))],
    )];
    assert_eq!(fixture.scrape_messages(&families), "");
    assert_eq!(fixture.scrape_messages(&families), "");
    fixture.check(&format!("m{{{I_J}}}"), &["0@5000"]);
}

/// A native histogram of which each number is `by` times that of [`native`].
fn native_times(by: u64) -> Message {
    let by_zigzag = by.cast_signed();
    message()
        .number(1, 4 * by)
        .double(2, 7.5 * by as f64)
        .zigzag(5, 1)
        .double(6, 0.001)
        .number(7, by)
        .message(12, message().zigzag(1, 1).number(2, 2))
        .zigzag(13, by_zigzag)
        .zigzag(13, by_zigzag)
}

#[test]
fn native_histograms_may_count_from_their_first_sample() {
    let mut fixture = Fixture::with_starts("scrape_native_histograms: true", SYNTHESIZES);
    let of = |by: u64, kind: u64| [family("h", kind, [message().message(7, native_times(by))])];
    for by in [5, 7, 7, 2, 4] {
        assert_eq!(fixture.scrape_messages(&of(by, 4)), "");
    }
    let counts = |fixture: &Fixture| -> Vec<String> {
        let histograms = fixture.storage.histograms(&format!("h{{{I_J}}}"));
        let count = |text: &String| {
            let (count, rest) = text.split_once(", ").unwrap();
            format!("{count}@{}", rest.rsplit('@').next().unwrap())
        };
        histograms.iter().map(count).collect()
    };
    // All of each is less what the first had; after a restart nothing is taken away.
    let all = fixture.storage.histograms(&format!("h{{{I_J}}}"));
    assert_eq!(
        all[0],
        "{count:8, sum:15, [-0.001,0.001]:2, (1,1.414213562373095]:2, (1.414213562373095,2]:4}@2000"
    );
    let expected = [
        "{count:8@2000",
        "{count:8@3000",
        "{count:8@4000",
        "{count:16@5000",
    ];
    assert_eq!(counts(&fixture), expected);
    fixture.check_starts(
        "h",
        "",
        &["1000@2000", "1000@3000", "3999@4000", "3999@5000"],
    );

    // Storage that forgets the series gives it another handle, under which it goes on.
    fixture.storage.collect_garbage();
    assert_eq!(fixture.scrape_messages(&of(5, 4)), "");
    assert_eq!(fixture.scrape_messages(&of(6, 4)), "");
    assert_eq!(counts(&fixture)[4..], ["{count:20@6000", "{count:24@7000"]);

    // A gauge goes up and down as it likes.
    let mut gauge = Fixture::with_starts("scrape_native_histograms: true", SYNTHESIZES);
    assert_eq!(gauge.scrape_messages(&of(2, 5)), "");
    assert_eq!(gauge.scrape_messages(&of(1, 5)), "");
    assert_eq!(counts(&gauge), ["{count:8@1000", "{count:4@2000"]);
    gauge.check_starts("h", "", &[]);
}
