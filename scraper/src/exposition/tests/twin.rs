//! The text format read in the plainest way, and real bodies.

use super::*;

/// Labels with the name among them, ascending; the bits of the value; the timestamp.
type Sample = (Vec<(String, String)>, u64, Option<i64>);

/// Reads a body whose lines are as real exporters write them: no braces, commas or quotes where they are not meant.
fn plainly(body: &str) -> Vec<Sample> {
    let lines = body.lines().map(str::trim);
    let samples = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    samples.map(plain_line).collect()
}

fn plain_line(line: &str) -> Sample {
    // Blanks within quotes are not the ones that end a series.
    let series_end = match (line.find('{'), line.find([' ', '\t'])) {
        (Some(open), blank) if blank.is_none_or(|blank| open < blank) => closing_brace(line) + 1,
        (_, blank) => blank.unwrap(),
    };
    let (series, rest) = line.split_at(series_end);
    let mut words = rest.split_whitespace();
    let value = match words.next().unwrap() {
        "NaN" => f64::from_bits(model::sample::NORMAL_NAN_BITS),
        "+Inf" => f64::INFINITY,
        word => word.parse().unwrap(),
    };
    let timestamp = words.next().map(|word| word.parse().unwrap());
    assert_eq!(words.next(), None, "{line}");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
    let mut rest = labels.strip_suffix('}').unwrap().trim_end_matches(',');
    while let Some((label, after)) = rest.split_once("=\"") {
        let (value, after) = quoted(after);
        pairs.push((label.to_owned(), value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    pairs.sort();
    (pairs, value.to_bits(), timestamp)
}

/// Returns where the brace is that no quotes are around.
fn closing_brace(line: &str) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let mut places = line.char_indices();
    let found = places.find(|&(_, c)| {
        let is_end = c == '}' && !is_quoted;
        if c == '"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    found.unwrap().0
}

/// Returns the text up to the closing quote, unescaped, and what is behind that.
fn quoted(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (out, &text[at + 1..]),
            '\\' => match characters.next().unwrap().1 {
                'n' => out.push('\n'),
                escaped @ ('"' | '\\') => out.push(escaped),
                other => out.extend(['\\', other]),
            },
            other => out.push(other),
        }
    }
    panic!("{text:?} has no closing quote")
}

fn parsed(body: &[u8]) -> Vec<Sample> {
    let mut parser = Parser::new(body, Format::Text).unwrap();
    let mut samples = Vec::new();
    while let Some(event) = parser.next(Expected::NOTHING).unwrap() {
        if let Event::Series(line) = event {
            samples.push(sample(&line));
        }
    }
    samples
}

fn sample(line: &SeriesLine<'_>) -> Sample {
    let mut pairs = Vec::new();
    labels::decode(line.series, MetricType::Unknown, &mut pairs);
    let owned = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string()));
    let mut pairs: Vec<_> = owned.collect();
    pairs.sort();
    (pairs, line.value.to_bits(), line.timestamp_ms)
}

/// Real bodies say the same to the parser and to its plain twin.
#[test]
fn real_bodies_are_read_plainly() {
    let bodies = [
        "node_exporter/live-1.11.1.txt",
        "node_exporter/e2e-output-1.11.1.txt",
        "node_exporter/e2e-output-1.12.1.txt",
        "cadvisor/prometheus_metrics.txt",
        "cadvisor/prometheus_metrics_perf_aggregated.txt",
        "kubernetes-1.35/kube-state-metrics.txt",
        "alertmanager/metrics-0.33.1.txt",
        "alltypes.237mfs.prom.txt",
    ];
    for name in bodies {
        let Some(body) = conformance_file(name) else {
            continue;
        };
        let found = parsed(&body);
        assert!(found.len() > 10, "{name}");
        assert_eq!(
            found,
            plainly(std::str::from_utf8(&body).unwrap()),
            "{name}"
        );
    }
}

/// A real body in protobuf has the series that the same exporter's text has, of the same types.
#[test]
fn a_real_body_in_protobuf() {
    let (Some(messages), Some(text)) = (
        conformance_file("node_exporter/live-1.11.1.protobuf-delimited.bin"),
        conformance_file("node_exporter/live-1.11.1.txt"),
    ) else {
        return;
    };
    let mut reader = protobuf::Reader::new(&messages, protobuf::HistogramOptions::default());
    let (mut series, mut kinds) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next(Expected::NOTHING).unwrap() {
        match item {
            protobuf::Item::Family(family) => {
                kinds.push((family.name.to_owned(), family.kind, family.help.to_owned()));
            }
            protobuf::Item::Series(line, _) => series.push(sample(&line).0),
            other => panic!("{other:?}"),
        }
    }
    let mut parser = Parser::new(&text, Format::Text).unwrap();
    let (mut expected, mut expected_kinds, mut help) = (Vec::new(), Vec::new(), String::new());
    while let Some(event) = parser.next(Expected::NOTHING).unwrap() {
        match event {
            Event::Series(line) => {
                let mut pairs = Vec::new();
                labels::decode(line.series, parser.kind(), &mut pairs);
                let owned = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string()));
                let mut pairs: Vec<_> = owned.collect();
                pairs.sort();
                expected.push(pairs);
            }
            Event::Metadata(line) => match line.what {
                MetadataKind::Help(text) => help = labels::unescape(text).into_owned(),
                MetadataKind::Type(kind) => {
                    expected_kinds.push((line.name().into_owned(), kind, help.clone()));
                }
                MetadataKind::Unit(_) => (),
            },
            Event::Comment(_) => (),
        }
    }
    assert_eq!(kinds, expected_kinds);
    // The order within a family is another, and the two scrapes were not at one time.
    let sorted = |mut series: Vec<_>| {
        series.sort();
        series
    };
    assert_eq!(sorted(series), sorted(expected));
}

proptest! {
    /// Lines as exporters write them say the same to the parser and to its plain twin.
    #[test]
    fn generated_lines_are_read_plainly(
        lines in prop::collection::vec((
            "[a-z_:][a-z0-9_:]{0,5}",
            prop::option::of(prop::collection::btree_map("[a-z_][a-z0-9_]{0,3}", "([ -~&&[^\"\\\\]]|\\\\[n\"\\\\x]|é|[{}=,# ])*", 0..4)),
            "[ \t]{1,2}", any::<f64>(), prop::option::of(0i64..i64::MAX), "[ \t]?", any::<bool>(),
        ), 0..6)
    ) {
        let mut body = String::new();
        for (name, labels, blank, value, timestamp, end, has_comma) in &lines {
            body += name;
            if let Some(labels) = labels {
                let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
                let comma = if *has_comma && !labels.is_empty() { "," } else { "" };
                body += &format!("{{{}{comma}}}", labels.join(","));
            }
            let value = if value.is_nan() { "NaN".to_owned() } else if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
            body += &format!("{blank}{value}");
            if let Some(timestamp) = timestamp {
                body += &format!("{blank}{timestamp}");
            }
            body += &format!("{end}\n");
        }
        prop_assert_eq!(parsed(body.as_bytes()), plainly(&body));
    }
}
