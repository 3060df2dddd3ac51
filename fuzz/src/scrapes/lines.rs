//! The text format and OpenMetrics.

use scraper::exposition::{Event, Expected, Format, ParseError, Parser, SeriesLine, labels};

/// A body in the text format.
pub fn check_text(data: &[u8]) {
    check(data, Format::Text);
}

/// A body in OpenMetrics.
pub fn check_openmetrics(data: &[u8]) {
    check(data, Format::OpenMetrics);
}

/// What is taken is taken by who trusts, and by who expects the right series; each line says the same when it stands alone.
fn check(data: &[u8], format: Format) {
    let Ok(strict) = Parser::new(data, format) else {
        return;
    };
    let Ok(samples) = samples(strict) else {
        return;
    };
    assert!(samples.len() <= data.len());
    let trusting = Parser::trusting(data, format).expect("it is UTF-8");
    assert_eq!(samples_of(trusting, &samples), samples);
    for sample in &samples {
        check_alone(sample, format);
    }
}

/// A sample as the parser says it.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    series: String,
    bits: u64,
    timestamp_ms: Option<i64>,
    exemplar: Option<(String, u64, Option<i64>)>,
}

impl Sample {
    fn of(line: &SeriesLine<'_>) -> Self {
        Sample {
            series: line.series.to_owned(),
            bits: line.value.to_bits(),
            timestamp_ms: line.timestamp_ms,
            exemplar: line.exemplar.as_ref().map(|exemplar| {
                let labels = exemplar.labels.to_owned();
                (labels, exemplar.value.to_bits(), exemplar.timestamp_ms)
            }),
        }
    }
}

fn samples(mut parser: Parser<'_>) -> Result<Vec<Sample>, ParseError> {
    let mut samples = Vec::new();
    while let Some(event) = parser.next(Expected::NOTHING)? {
        if let Event::Series(line) = event {
            samples.push(Sample::of(&line));
        }
    }
    Ok(samples)
}

/// Reads a body whose samples are known, and expects them.
fn samples_of(mut parser: Parser<'_>, known: &[Sample]) -> Vec<Sample> {
    let mut samples = Vec::new();
    loop {
        let expected = known.get(samples.len());
        let expected = expected.map_or(Expected::NOTHING, |sample| Expected::of(&sample.series));
        let event = parser.next(expected).expect("the strict parser took it");
        match event {
            Some(Event::Series(line)) => samples.push(Sample::of(&line)),
            Some(_) => (),
            None => return samples,
        }
    }
}

/// Writes the sample as a line of its own and reads that.
fn check_alone(sample: &Sample, format: Format) {
    let mut pairs = Vec::new();
    labels::decode(
        &sample.series,
        model::metadata::MetricType::Unknown,
        &mut pairs,
    );
    assert!(pairs.len() <= sample.series.len());
    let mut line = format!("{} {}", sample.series, f64::from_bits(sample.bits));
    // OpenMetrics has seconds, which not every time survives.
    let with_time = format == Format::Text && sample.timestamp_ms.is_some();
    if let Some(t) = sample.timestamp_ms.filter(|_| with_time) {
        line += &format!(" {t}");
    }
    line.push('\n');
    if format == Format::OpenMetrics {
        line += "# EOF\n";
    }
    let parser = Parser::new(line.as_bytes(), format).expect("it is UTF-8");
    let again = samples(parser).expect("it was taken before");
    let timestamp_ms = sample.timestamp_ms.filter(|_| with_time);
    let expected = Sample {
        timestamp_ms,
        exemplar: None,
        ..sample.clone()
    };
    assert_eq!(again, [expected]);
}

/// Bodies in the text format with all that it has.
pub fn text_seeds() -> Vec<Vec<u8>> {
    let bodies = [
        "# HELP a some \\n text\n# TYPE a counter\na{b=\"c\\\"\\\\\",d=\"\"} 1.5 -1234\na 2\n\n# plain\n",
        "# TYPE h histogram\nh_bucket { le = \"1\" , } 3\nh_bucket{le=\"+Inf\"} 4e3\nh_sum NaN\nh_count\t4 \t 5 \n",
        "# TYPE \"a.b\" gauge\n{\"a.b\",\"c d\"=\"\u{e9}\"} -Inf\n{x=\"y\",\"m\"} 7\nmetric_without_end 1",
    ];
    bodies.map(|body| body.as_bytes().to_vec()).to_vec()
}

/// Bodies in OpenMetrics with all that it has.
pub fn openmetrics_seeds() -> Vec<Vec<u8>> {
    let bodies = [
        "# HELP a text\n# TYPE a counter\na_total{b=\"c\"} 1.5 12.5 # {t=\"x\",u=\"\"} 0.5 7\na_created 5\n# EOF\n",
        "# TYPE s_seconds gauge\n# UNIT s_seconds seconds\ns_seconds 1 # {} 3\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF",
        "# TYPE \"a.b\" gaugehistogram\n{\"a.b_bucket\",le=\"1\"} 2\n{\"a.b_gsum\"} +Inf\n# EOF\n",
    ];
    bodies.map(|body| body.as_bytes().to_vec()).to_vec()
}
