//! Native histograms, and classic ones that become native.

use super::*;
use crate::exposition::protobuf::testing::{Message, classic, delimited, family, message, native};

const H: &str = r#"h{instance="i", job="j"}"#;
const COUNT: &str = r#"h_count{instance="i", job="j"}"#;
const BUCKETS: &str = r#"h_bucket{instance="i", job="j", le="1.0"}"#;

impl Fixture {
    /// Scrapes families in protobuf.
    fn scrape_families(&mut self, families: &[Message]) -> String {
        self.scratch.raw = families.iter().flat_map(delimited).collect();
        self.ingest(Ok(Fetched::plain(BodyFormat::Protobuf)))
    }

    /// Scrapes one histogram `h` with the value `histogram`.
    fn scrape_histogram(&mut self, histogram: Message) -> String {
        self.scrape_families(&[family("h", 4, [message().message(7, histogram)])])
    }

    #[track_caller]
    fn check_histograms(&self, expected: &[&str]) {
        assert_eq!(self.storage.histograms(H), expected);
    }
}

const NATIVE: &str =
    "{count:4, sum:7.5, [-0.001,0.001]:1, (1,1.414213562373095]:1, (1.414213562373095,2]:2}";
const CUSTOM: &str = "{count:4, sum:7.5, [-Inf,1]:3, (1,+Inf]:1}";

#[test]
fn native_ones_are_stored_and_end() {
    let mut fixture = Fixture::new("scrape_native_histograms: true");
    assert_eq!(fixture.scrape_histogram(native()), "");
    fixture.check_reports([1.0, 1.0, 1.0, 1.0]);
    assert_eq!(fixture.scrape_histogram(native()), "");
    fixture.check_reports([1.0, 1.0, 1.0, 0.0]);
    fixture.check_histograms(&[&format!("{NATIVE}@1000"), &format!("{NATIVE}@2000")]);
    fixture.check(H, &[]);
    fixture.scrape_families(&[]);
    fixture.check(H, &["stale@3000"]);
    fixture.scrape_families(&[]);
    fixture.check(H, &["stale@3000"]);
}

/// Source: the table of cases in Prometheus' documentation of native histograms.
#[test]
fn which_kind_is_taken() {
    let both = || native().message(3, classic(3, 1.0));
    let only_classic = || {
        message()
            .number(1, 4)
            .double(2, 7.5)
            .message(3, classic(3, 1.0))
    };
    let kinds = |config: &str, histogram: Message| {
        let mut fixture = Fixture::new(config);
        assert_eq!(fixture.scrape_histogram(histogram), "");
        let histograms = fixture.storage.histograms(H);
        let custom = histograms.iter().any(|text| text.contains("-Inf"));
        let classic = !fixture.storage.samples(COUNT).is_empty();
        (!custom && !histograms.is_empty(), custom, classic)
    };
    let (native_on, convert_on) = (
        "scrape_native_histograms: true",
        "convert_classic_histograms_to_nhcb: true",
    );
    let always = "always_scrape_classic_histograms: true";
    assert_eq!(kinds("", only_classic()), (false, false, true));
    assert_eq!(kinds("", both()), (false, false, true));
    assert_eq!(kinds("", native()), (false, false, true));
    assert_eq!(kinds(native_on, only_classic()), (false, false, true));
    assert_eq!(kinds(native_on, both()), (true, false, false));
    assert_eq!(kinds(native_on, native()), (true, false, false));
    assert_eq!(
        kinds(&format!("{native_on}, {always}"), both()),
        (true, false, true)
    );
    assert_eq!(
        kinds(&format!("{native_on}, {always}"), native()),
        (true, false, false)
    );
    assert_eq!(kinds(convert_on, only_classic()), (false, true, false));
    assert_eq!(kinds(convert_on, both()), (false, true, false));
    assert_eq!(
        kinds(&format!("{convert_on}, {always}"), both()),
        (false, true, true)
    );
    assert_eq!(
        kinds(&format!("{convert_on}, {native_on}"), both()),
        (true, false, false)
    );
    let all = format!("{convert_on}, {native_on}, {always}");
    assert_eq!(kinds(&all, both()), (true, false, true));
    assert_eq!(kinds(&all, only_classic()), (false, true, true));
}

const TEXT: &str = "# TYPE g gauge\ng 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 7.5\nh_count 4\n# TYPE i gauge\ni 1\n";

#[test]
fn classic_lines_become_one_histogram() {
    let mut fixture = Fixture::new("convert_classic_histograms_to_nhcb: true");
    assert_eq!(fixture.scrape(TEXT), "");
    fixture.check_reports([1.0, 3.0, 3.0, 3.0]);
    assert_eq!(fixture.scrape(TEXT), "");
    fixture.check_reports([1.0, 3.0, 3.0, 0.0]);
    fixture.check_histograms(&[&format!("{CUSTOM}@1000"), &format!("{CUSTOM}@2000")]);
    fixture.check(COUNT, &[]);
    fixture.scrape("# TYPE g gauge\ng 1\n");
    fixture.check(H, &["stale@3000"]);
}

#[test]
fn times_of_creation_go_with_the_lines() {
    let mut fixture = Fixture::new("convert_classic_histograms_to_nhcb: true");
    assert_eq!(
        fixture.scrape(&TEXT.replace("h_sum", "h_created 5\nh_sum")),
        ""
    );
    fixture.check_histograms(&[&format!("{CUSTOM}@1000")]);
    fixture.check(r#"h_created{instance="i", job="j"}"#, &[]);
}

#[test]
fn classic_lines_may_be_kept() {
    let mut fixture = Fixture::new(
        "convert_classic_histograms_to_nhcb: true, always_scrape_classic_histograms: true",
    );
    assert_eq!(fixture.scrape(TEXT), "");
    fixture.check_reports([1.0, 7.0, 7.0, 7.0]);
    fixture.check_histograms(&[&format!("{CUSTOM}@1000")]);
    fixture.check(COUNT, &["4@1000"]);
    fixture.check(BUCKETS, &["3@1000"]);
}

#[test]
fn histograms_of_several_label_sets() {
    let mut fixture = Fixture::new("convert_classic_histograms_to_nhcb: true");
    let lines = |set: &str, count: u32| {
        format!(
            "h_count{{s=\"{set}\"}} {count} 5\nh_bucket{{s=\"{set}\",le=\"+Inf\"}} {count} 5\nh_sum{{s=\"{set}\"}} 1 5\n"
        )
    };
    let body = format!("# TYPE h histogram\n{}{}", lines("a", 1), lines("b", 2));
    assert_eq!(fixture.scrape(&body), "");
    for (set, count) in [("a", 1), ("b", 2)] {
        let series = format!(r#"h{{instance="i", job="j", s="{set}"}}"#);
        let expected = format!("{{count:{count}, sum:1, [-Inf,+Inf]:{count}}}@5");
        assert_eq!(fixture.storage.histograms(&series), [expected]);
    }
}

#[test]
fn what_looks_like_a_histogram_is_none() {
    let mut fixture = Fixture::new("convert_classic_histograms_to_nhcb: true");
    let body = "# TYPE h counter\nh_count 1\n# TYPE x histogram\nh_bucket{le=\"1\"} 2\nx_bucket{le=\"one\"} 3\nx_bucket 4\n";
    assert_eq!(fixture.scrape(body), "");
    fixture.check(COUNT, &["1@1000"]);
    fixture.check(r#"h_bucket{instance="i", job="j", le="1.0"}"#, &["2@1000"]);
    fixture.check(r#"x_bucket{instance="i", job="j", le="one"}"#, &["3@1000"]);
    fixture.check(r#"x_bucket{instance="i", job="j"}"#, &["4@1000"]);
}

#[test]
fn contradictory_histograms_are_counted() {
    let mut fixture = Fixture::new("convert_classic_histograms_to_nhcb: true");
    let body =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 4\n";
    assert_eq!(fixture.scrape(body), "");
    fixture.check_histograms(&[]);
    assert_eq!(fixture.metrics.unconvertible.value(), 1.0);
    fixture.scrape_histogram(message().number(1, 1).message(3, classic(3, 1.0)));
    assert_eq!(fixture.metrics.unconvertible.value(), 2.0);
}

#[test]
fn buckets_are_limited() {
    let mut fixture =
        Fixture::new("scrape_native_histograms: true, native_histogram_bucket_limit: 1");
    assert_eq!(fixture.scrape_histogram(native()), "");
    let reduced = "{count:4, sum:7.5, [-0.001,0.001]:1, (1,2]:3}@1000";
    fixture.check_histograms(&[reduced]);
    let spread = message()
        .number(1, 2)
        .message(12, message().number(2, 1))
        .message(12, message().zigzag(1, 1_000).number(2, 1))
        .packed(13, [2, 0]);
    assert_eq!(
        fixture.scrape_histogram(spread),
        "histogram bucket limit exceeded"
    );
    fixture.check_reports([0.0, 1.0, 1.0, 0.0]);
    fixture.check_histograms(&[reduced]);
    fixture.check(H, &["stale@2000"]);
    assert_eq!(fixture.metrics.exceeded_bucket_limit.value(), 1.0);
}

#[test]
fn bounds_may_have_to_grow_faster() {
    let mut fixture =
        Fixture::new("scrape_native_histograms: true, native_histogram_min_bucket_factor: 2");
    assert_eq!(fixture.scrape_histogram(native()), "");
    fixture.check_histograms(&["{count:4, sum:7.5, [-0.001,0.001]:1, (1,2]:3}@1000"]);
}

#[test]
fn contradictory_native_histograms_fail_the_scrape() {
    let mut fixture = Fixture::new("scrape_native_histograms: true");
    let error = fixture.scrape_histogram(native().number(1, 40));
    assert_eq!(
        error,
        "invalid native histogram: 4 observations found in buckets, but the count field is 40"
    );
    fixture.check_reports([0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn dropped_series_are_asked_for_again() {
    let mut fixture = Fixture::new("scrape_native_histograms: true");
    fixture.scrape_histogram(native());
    fixture.storage.collect_garbage();
    fixture.scrape_histogram(native());
    fixture.check_histograms(&[&format!("{NATIVE}@1000"), &format!("{NATIVE}@2000")]);
}

#[test]
fn exemplars_that_say_their_time() {
    let exemplar = |value: f64, seconds: Option<u64>| {
        let label = message().bytes(1, b"t").bytes(2, b"x");
        let exemplar = message().message(1, label).double(2, value);
        match seconds {
            Some(seconds) => exemplar.message(3, message().number(1, seconds).number(2, 5_000_000)),
            None => exemplar,
        }
    };
    let mut fixture = Fixture::new("scrape_native_histograms: true");
    let own = native()
        .message(16, exemplar(2.0, Some(2)))
        .message(16, exemplar(3.0, None))
        .message(16, exemplar(1.0, Some(1)))
        .message(3, classic(3, 1.0).message(3, exemplar(9.0, Some(1))));
    fixture.scrape_histogram(own);
    assert_eq!(
        fixture.storage.exemplars(H),
        [r#"{t="x"} 1@1005"#, r#"{t="x"} 2@2005"#]
    );

    let mut fixture = Fixture::new("");
    fixture.scrape_histogram(
        message()
            .number(1, 3)
            .message(3, classic(3, 1.0).message(3, exemplar(0.5, None))),
    );
    assert_eq!(fixture.storage.exemplars(BUCKETS), [r#"{t="x"} 0.5@now"#]);

    let mut fixture = Fixture::new("convert_classic_histograms_to_nhcb: true");
    let body = "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1 # {t=\"x\"} 0.5 0.25\nh_bucket{le=\"+Inf\"} 1 # {t=\"y\"} 7\n# EOF\n";
    fixture.scratch.raw = body.as_bytes().to_vec();
    fixture.ingest(Ok(Fetched::plain(BodyFormat::Lines(Format::OpenMetrics))));
    assert_eq!(fixture.storage.exemplars(H), [r#"{t="x"} 0.5@250"#]);
}

#[test]
fn the_same_series_in_another_format() {
    let mut fixture = Fixture::new("");
    fixture.scrape(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 4\nh_sum 7.5\nh_count 4\n",
    );
    fixture.scrape_histogram(
        message()
            .number(1, 4)
            .double(2, 7.5)
            .message(3, classic(3, 1.0)),
    );
    fixture.check(BUCKETS, &["3@1000", "3@2000"]);
    fixture.check(COUNT, &["4@1000", "4@2000"]);
}

#[test]
fn families_say_what_they_are() {
    let mut fixture = Fixture::new("");
    let described = family("a", 0, [message().message(3, message().double(1, 1.0))])
        .bytes(2, b"some text")
        .bytes(5, b"bytes");
    assert_eq!(fixture.scrape_families(&[described]), "");
    let families = fixture.state.metadata().unwrap();
    let found = (&*families[0].name, &*families[0].help, &*families[0].unit);
    assert_eq!(found, ("a", "some text", "bytes"));
    assert_eq!(families[0].kind, MetricType::Counter);
}

#[test]
fn a_target_may_have_its_histograms_otherwise_than_its_job() {
    let body =
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let native = format!("h{{{I_J}}}");
    let is_converted = |config: &str, labels: &[(&str, &str)]| {
        let mut fixture = Fixture::with_labels(config, labels);
        assert_eq!(fixture.scrape(body), "");
        !fixture.storage.histograms(&native).is_empty()
    };
    let converts = "convert_classic_histograms_to_nhcb: true";
    let label = "__convert_classic_histograms_to_nhcb__";
    assert!(is_converted(converts, &[]));
    assert!(!is_converted(converts, &[(label, "false")]));
    assert!(is_converted("", &[(label, "true")]));
}
