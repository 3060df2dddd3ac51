//! Both text formats line by line, real bodies, and bodies that are none.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

mod parse_crate;
mod twin;

/// Returns every event as one line: `series => labels = value @ timestamp`, or what a metadata line says.
fn events(body: &[u8], format: Format) -> Result<Vec<String>, ParseError> {
    let mut parser = Parser::new(body, format)?;
    let mut lines = Vec::new();
    while let Some(event) = parser.next(Expected::NOTHING)? {
        lines.push(match event {
            Event::Series(line) => {
                let mut pairs = Vec::new();
                labels::decode(line.series, parser.kind(), &mut pairs);
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(name, value)| format!("{name}={value:?}"))
                    .collect();
                let timestamp = line
                    .timestamp_ms
                    .map(|t| format!(" @{t}"))
                    .unwrap_or_default();
                format!("{} {}{timestamp}", pairs.join(","), line.value)
            }
            Event::Metadata(line) => format!("{} {:?}", line.name(), line.what),
            Event::Comment(line) => line.to_owned(),
        });
    }
    Ok(lines)
}

#[track_caller]
fn check(format: Format, body: &str, expected: &[&str]) {
    assert_eq!(events(body.as_bytes(), format).unwrap(), expected);
}

#[track_caller]
fn text(body: &str, expected: &[&str]) {
    check(Format::Text, body, expected);
}

#[track_caller]
fn open_metrics(body: &str, expected: &[&str]) {
    check(Format::OpenMetrics, &format!("{body}# EOF\n"), expected);
}

#[track_caller]
fn refused(format: Format, body: &[u8], expected: &str) {
    let error = events(body, format).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn plain_lines() {
    text("up 1\n", &["__name__=\"up\" 1"]);
    text("up 1", &["__name__=\"up\" 1"]);
    text(
        "up 1.5e3 1700000000123\n",
        &["__name__=\"up\" 1500 @1700000000123"],
    );
    text("up 1 -5\n", &["__name__=\"up\" 1 @-5"]);
    text("\n\n  \t up\t1 \t\n", &["__name__=\"up\" 1"]);
    text(
        "a:b NaN\n_c +Inf\n",
        &["__name__=\"a:b\" NaN", "__name__=\"_c\" inf"],
    );
    text("", &[]);
}

#[test]
fn labels_in_every_shape() {
    text("m{} 1\n", &["__name__=\"m\" 1"]);
    text("m{a=\"b\"}1\n", &["__name__=\"m\",a=\"b\" 1"]);
    text("m {a=\"b\"} 1\n", &["__name__=\"m\",a=\"b\" 1"]);
    text(
        "m{ a = \"b\" , c=\"d\",} 1\n",
        &["__name__=\"m\",a=\"b\",c=\"d\" 1"],
    );
    text(
        "m{a=\"b\" c=\"d\"} 1\n",
        &["__name__=\"m\",a=\"b\",c=\"d\" 1"],
    );
    text("m{a=\"x{y},=z\"} 1\n", &["__name__=\"m\",a=\"x{y},=z\" 1"]);
    text(
        r#"m{a="\"q\" \\ \n \t"} 1"#,
        &[r#"__name__="m",a="\"q\" \\ \n \\t" 1"#],
    );
    text(
        "m{a=\"two\nlines\"} 1\n",
        &["__name__=\"m\",a=\"two\\nlines\" 1"],
    );
    text("m{a=\"\"} 1\n", &["__name__=\"m\",a=\"\" 1"]);
}

#[test]
fn quoted_names() {
    text("{\"my.metric\"} 1\n", &["__name__=\"my.metric\" 1"]);
    text(
        "{\"my.metric\",\"l.x\"=\"y\",z=\"w\"} 1\n",
        &["__name__=\"my.metric\",l.x=\"y\",z=\"w\" 1"],
    );
    text("{a=\"b\",\"m\"} 1\n", &["a=\"b\",__name__=\"m\" 1"]);
    open_metrics(
        "{\"my.metric\",a=\"b\"} 1\n",
        &["__name__=\"my.metric\",a=\"b\" 1"],
    );
    refused(
        Format::Text,
        b"{a=\"b\"} 1\n",
        "line 1: metric name not set while parsing",
    );
    refused(
        Format::Text,
        b"m{\"n\"} 1\n",
        "line 1: metric name already set while parsing",
    );
}

#[test]
fn bounds_are_floats() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_bucket{le=\"1e6\"} 1\n";
    text(
        body,
        &[
            "h Type(Histogram)",
            "__name__=\"h_bucket\",le=\"1.0\" 1",
            "__name__=\"h_bucket\",le=\"+Inf\" 1",
            "__name__=\"h_bucket\",le=\"1e+06\" 1",
        ],
    );
    text(
        "# TYPE s summary\ns{quantile=\"0\",le=\"1\"} 1\n",
        &[
            "s Type(Summary)",
            "__name__=\"s\",quantile=\"0.0\",le=\"1\" 1",
        ],
    );
}

#[test]
fn comments_and_metadata() {
    text("# a comment\n#another\n# HELPer x\n#HELP x y\n# EOF\n", &[]);
    text("# HELP m  two  spaces \n", &["m Help(\" two  spaces \")"]);
    text(
        "#   TYPE  m counter\n# TYPE \"a.b\" gauge\n",
        &["m Type(Counter)", "a.b Type(Gauge)"],
    );
}

#[test]
fn text_refuses() {
    refused(
        Format::Text,
        b"up 1\r\n",
        "line 1: expected value after metric",
    );
    refused(
        Format::Text,
        b"ok 1\nup\n",
        "line 2: expected value after metric",
    );
    refused(
        Format::Text,
        b"9up 1\n",
        "line 1: expected a valid start token",
    );
    refused(
        Format::Text,
        b"up 1 2 3\n",
        "line 1: expected next entry after timestamp",
    );
    refused(
        Format::Text,
        b"up 1 2.5\n",
        "line 1: expected next entry after timestamp",
    );
    refused(
        Format::Text,
        b"up 1 x\n",
        "line 1: expected timestamp or new record",
    );
    refused(
        Format::Text,
        b"up 0x10\n",
        "line 1: expected value after metric",
    );
    refused(
        Format::Text,
        b"m{a=\"b\n",
        "line 1: expected a closed string",
    );
    refused(Format::Text, b"m{a=b} 1\n", "line 1: expected label value");
    refused(Format::Text, b"m{a} 1\n", "line 1: expected equal");
    refused(
        Format::Text,
        b"m{=\"b\"} 1\n",
        "line 1: expected label name",
    );
    refused(
        Format::Text,
        b"# TYPE m counterr\n",
        "line 1: invalid metric type",
    );
    refused(
        Format::Text,
        b"# TYPE m unknown\n",
        "line 1: invalid metric type",
    );
    refused(
        Format::Text,
        b"# HELP {} x\n",
        "line 1: expected metric name",
    );
    refused(
        Format::Text,
        b"ok 1\nm{a=\"\xff\"} 1\n",
        "line 2: invalid UTF-8",
    );
    refused(
        Format::Text,
        b"<html>\n",
        "line 1: expected a valid start token",
    );
    refused(
        Format::Text,
        b"\0\n",
        "line 1: expected a valid start token",
    );
}

#[test]
fn open_metrics_lines() {
    open_metrics(
        "# TYPE m counter\n# UNIT m_seconds seconds\n# HELP m x \\n y\nm_total{a=\"b\"} 1 1700000000.5\n",
        &[
            "m Type(Counter)",
            "m_seconds Unit(\"seconds\")",
            "m Help(\"x \\\\n y\")",
            "__name__=\"m_total\",a=\"b\" 1 @1700000000500",
        ],
    );
    open_metrics(
        "m 1 # {id=\"7\"} 0.5\nn 1 2 # {} 0.5 3.25\n",
        &["__name__=\"m\" 1", "__name__=\"n\" 1 @2000"],
    );
    check(Format::OpenMetrics, "m 1\n# EOF", &["__name__=\"m\" 1"]);
}

#[test]
fn open_metrics_refuses() {
    refused(
        Format::OpenMetrics,
        b"m 1\n",
        "line 2: data does not end with # EOF",
    );
    refused(
        Format::OpenMetrics,
        b"",
        "line 1: data does not end with # EOF",
    );
    refused(
        Format::OpenMetrics,
        b"# EOF\nm 1\n",
        "line 2: unexpected data after # EOF",
    );
    refused(
        Format::OpenMetrics,
        b"\n# EOF\n",
        "line 1: expected a valid start token",
    );
    refused(
        Format::OpenMetrics,
        b"m  1\n# EOF\n",
        "line 1: expected value after metric",
    );
    refused(
        Format::OpenMetrics,
        b"m {a=\"b\"} 1\n# EOF\n",
        "line 1: expected value after metric",
    );
    refused(
        Format::OpenMetrics,
        b"m 1 NaN\n# EOF\n",
        "line 1: invalid timestamp",
    );
    refused(
        Format::OpenMetrics,
        b"# comment\n# EOF\n",
        "line 1: expected # HELP",
    );
    refused(
        Format::OpenMetrics,
        b"# UNIT m seconds\n# EOF\n",
        "line 1: the unit is not a suffix",
    );
    refused(
        Format::OpenMetrics,
        b"# TYPE m untyped\n# EOF\n",
        "line 1: invalid metric type",
    );
    refused(
        Format::OpenMetrics,
        b"m 1 # {a=\"b\"}\n# EOF\n",
        "line 1: expected value after exemplar labels",
    );
    refused(
        Format::OpenMetrics,
        b"m{a=\"b\" c=\"d\"} 1\n# EOF\n",
        "line 1: expected comma or brace close",
    );
}

#[test]
fn an_expected_series_is_recognised_whole() {
    let is_expected = |body: &str, expected: &str| {
        let mut parser = Parser::new(body.as_bytes(), Format::Text).unwrap();
        match parser.next(Expected::of(expected)).unwrap() {
            Some(Event::Series(line)) => line.is_expected,
            other => panic!("{other:?}"),
        }
    };
    assert!(is_expected("up 1\n", "up"));
    assert!(is_expected("up{a=\"b\"} 1\n", "up{a=\"b\"}"));
    assert!(!is_expected("up_total 1\n", "up"));
    assert!(!is_expected("up{a=\"b\"} 1\n", "up"));
    assert!(!is_expected("up {a=\"b\"} 1\n", "up"));
    assert!(!is_expected("up 1\n", "up{a=\"b\"}"));
}

fn conformance_file(name: &str) -> Option<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = match std::env::var_os("HEARTH_CONFORMANCE_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("../shared/conformance"),
    };
    let path = dir.join("exposition").join(name);
    std::fs::read(&path)
        .inspect_err(|_| println!("skipped: no {}", path.display()))
        .ok()
}

#[track_caller]
fn check_samples(name: &str, format: Format, samples: usize) {
    let Some(body) = conformance_file(name) else {
        return;
    };
    let events = events(&body, format).unwrap();
    assert_eq!(
        events
            .iter()
            .filter(|line| line.contains("__name__="))
            .count(),
        samples
    );
}

#[test]
fn real_bodies() {
    check_samples("alltypes.237mfs.prom.txt", Format::Text, 1857);
    check_samples("alltypes.237mfs.nometa.prom.txt", Format::Text, 1857);
    check_samples("alltypes.5mfs.om.txt", Format::OpenMetrics, 53);
    check_samples("1histogram.om.txt", Format::OpenMetrics, 42);
}

/// Returns what a parser that trusts says about the series of `body`, types included.
fn trusted_series(body: &[u8], format: Format) -> Result<Vec<(String, MetricType)>, ParseError> {
    let mut parser = Parser::trusting(body, format)?;
    let mut series = Vec::new();
    while let Some(event) = parser.next(Expected::NOTHING)? {
        if let Event::Series(line) = event {
            series.push((line.series.to_owned(), parser.kind()));
        }
    }
    Ok(series)
}

fn strict_series(body: &[u8], format: Format) -> Result<Vec<(String, MetricType)>, ParseError> {
    let mut parser = Parser::new(body, format)?;
    let mut series = Vec::new();
    while let Some(event) = parser.next(Expected::NOTHING)? {
        if let Event::Series(line) = event {
            series.push((line.series.to_owned(), parser.kind()));
        }
    }
    Ok(series)
}

#[test]
fn trust_changes_no_type() {
    let body =
        b"a 1\n#\tTYPE h histogram\nh 1\n# plain\n# HELP s x\n# TYPE s summary\n# HELP t x\ns 1\n";
    let series = trusted_series(body, Format::Text).unwrap();
    let kinds: Vec<_> = series.iter().map(|(_, kind)| *kind).collect();
    assert_eq!(
        kinds,
        [
            MetricType::Unknown,
            MetricType::Histogram,
            MetricType::Summary
        ]
    );
}

fn either() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Text), Just(Format::OpenMetrics)]
}

#[test]
fn exemplars_come_with_their_samples() {
    let body = b"a_total 1 # {trace_id=\"x\"} 0.5 2.25\nb_total 1 5 # {} 3\nc 1\n# EOF\n";
    let mut parser = Parser::new(body, Format::OpenMetrics).unwrap();
    let mut found = Vec::new();
    while let Some(event) = parser.next(Expected::NOTHING).unwrap() {
        if let Event::Series(line) = event {
            found.push(line.exemplar);
        }
    }
    let exemplar = |labels, value, timestamp_ms| {
        Some(ExemplarText {
            labels,
            value,
            timestamp_ms,
        })
    };
    let first = exemplar("{trace_id=\"x\"}", 0.5, Some(2_250));
    assert_eq!(found, [first, exemplar("{}", 3.0, None), None]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(body in proptest::collection::vec(any::<u8>(), 0..200), format in either()) {
        let _ = events(&body, format);
    }

    /// Nearly right lines reach further into the parser.
    #[test]
    fn arbitrary_lines_do_no_harm(body in "[a{}=\",\\\\# \n\t1.eTYPEHLNIx]{0,60}", format in either()) {
        let _ = events(body.as_bytes(), format);
    }

    /// What the strict parser takes, the trusting one takes too, and says the same about it.
    #[test]
    fn trust_is_deserved(body in "((# (TYPE|HELP|x) m (counter|histogram|summary)|m 1|n\\{le=\"1\"\\} 2|#|)\n){0,8}(# EOF)?", format in either()) {
        if let Ok(series) = strict_series(body.as_bytes(), format) {
            prop_assert_eq!(trusted_series(body.as_bytes(), format), Ok(series));
        }
    }

    /// Expecting a series changes nothing but the flag.
    #[test]
    fn expectations_do_not_change_the_outcome(body in "(a|a\\{b=\"c\"\\}) ?1 ?[0-9]{0,2}\n", expected in "a|a\\{b=\"c\"\\}") {
        let first = |expected: &str| {
            let mut parser = Parser::new(body.as_bytes(), Format::Text).unwrap();
            parser.next(Expected::of(expected)).map(|event| match event {
                Some(Event::Series(line)) => (line.series.to_owned(), line.value.to_bits(), line.timestamp_ms),
                _ => Default::default(),
            })
        };
        prop_assert_eq!(first(&expected), first(""));
    }
}
