//! Results as JSON, a piece at a time.
//!
//! A result that fits in one piece is an answer with a length, which is quicker to read. A larger one is encoded while it is
//! sent: the next piece is written when the socket takes it, so that the text of an answer is never in memory as a whole.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use model::{Labels, SampleValue, float};
use promql::Value;
use serde::Serialize;
use tsdb::exemplars::StoredExemplar;

use super::json::{self, Notes};

/// A piece ends with the sample that reaches this many bytes.
const PIECE_BYTES: usize = 256 << 10;
/// Room for what is around samples.
const SLACK_BYTES: usize = 1024;
/// What is usual for the text of one sample, and of a series' labels.
const SAMPLE_BYTES: usize = 40;
const LABELS_BYTES: usize = 256;

/// What a query took.
#[derive(Clone, Debug)]
pub(crate) struct QueryTime {
    /// Waiting for a permit.
    pub(super) queued: Duration,
    /// In the engine, all in all.
    pub(super) evaluation: Duration,
    /// What the engine says.
    pub(super) query: promql::QueryStats,
    /// The first step of the query and the distance of its steps, both in milliseconds.
    pub(super) steps: (i64, i64),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatsJson {
    timings: TimingsJson,
    samples: SamplesJson,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TimingsJson {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SamplesJson {
    /// Seconds since the epoch, and how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_queryable_samples_per_step: Option<Vec<(f64, u64)>>,
    total_queryable_samples: u64,
    peak_samples: u64,
}

impl QueryTime {
    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"stats\":");
        json::append_serialized(out, &self.json());
    }

    /// Returns what an instant query took that waited for nothing.
    pub(crate) fn of_rule(evaluation: Duration, query: promql::QueryStats) -> Self {
        QueryTime {
            queued: Duration::ZERO,
            evaluation,
            query,
            steps: (0, 1),
        }
    }

    /// Returns what is serialized.
    pub(crate) fn json(&self) -> impl Serialize {
        let timings = TimingsJson {
            eval_total_time: self.evaluation.as_secs_f64(),
            result_sort_time: self.query.sorting.as_secs_f64(),
            query_preparation_time: self.query.preparation.as_secs_f64(),
            inner_eval_time: self.query.inner.as_secs_f64(),
            exec_queue_time: self.queued.as_secs_f64(),
            exec_total_time: (self.queued + self.evaluation).as_secs_f64(),
        };
        let samples = SamplesJson {
            total_queryable_samples_per_step: self.per_step(),
            total_queryable_samples: self.query.samples_total,
            peak_samples: self.query.samples_peak,
        };
        StatsJson { timings, samples }
    }

    fn per_step(&self) -> Option<Vec<(f64, u64)>> {
        let (start, step) = self.steps;
        let times = (0..).map(|index| start.saturating_add(step.saturating_mul(index)));
        #[expect(
            clippy::cast_precision_loss,
            reason = "times are bounded far below 2^53"
        )]
        let seconds = times.map(|ms| ms as f64 / 1000.0);
        let counts = self.query.samples_per_step.as_ref()?;
        Some(seconds.zip(counts.iter().copied()).collect())
    }
}

/// Returns the body of the answer with `value`.
pub(super) fn body(value: Value, stats: Option<&QueryTime>, notes: &Notes) -> Body {
    let mut pieces = Pieces::new(value, stats, notes, PIECE_BYTES);
    let first = pieces.next().unwrap_or_default();
    if pieces.is_done {
        return Body::from(first);
    }
    let pieces = std::iter::once(first)
        .chain(pieces)
        .map(Ok::<_, std::convert::Infallible>);
    Body::from_stream(futures_util::stream::iter(pieces))
}

/// The pieces of an answer; the place is always between two samples.
struct Pieces {
    value: Value,
    /// What comes after the value.
    tail: Vec<u8>,
    times: json::Times,
    piece_bytes: usize,
    series: usize,
    sample: usize,
    is_begun: bool,
    is_done: bool,
}

impl Pieces {
    fn new(value: Value, stats: Option<&QueryTime>, notes: &Notes, piece_bytes: usize) -> Self {
        let mut tail = Vec::new();
        if let Some(stats) = stats {
            stats.append_to(&mut tail);
        }
        tail.push(b'}');
        notes.append_to(&mut tail);
        Pieces {
            value,
            tail,
            times: json::Times::default(),
            piece_bytes,
            series: 0,
            sample: 0,
            is_begun: false,
            is_done: false,
        }
    }

    /// Appends samples until the piece is full; returns whether these were the last.
    fn append_samples(&mut self, out: &mut Vec<u8>) -> bool {
        match &self.value {
            Value::Scalar { t, value } => {
                append_scalar(out, *t, |out| json::append_quoted_float(out, *value))
            }
            Value::String { t, value } => {
                append_scalar(out, *t, |out| json::append_go_string(out, value))
            }
            Value::Vector(samples) => {
                while let Some(sample) = samples.get(self.series) {
                    if self.piece_bytes <= out.len() {
                        return false;
                    }
                    out.push(if self.series == 0 { b'[' } else { b',' });
                    append_vector_sample(out, &mut self.times, sample);
                    self.series += 1;
                }
                out.extend_from_slice(if samples.is_empty() { b"[]" } else { b"]" });
            }
            Value::Matrix(matrix) => {
                while let Some(series) = matrix.get(self.series) {
                    if self.sample == 0 {
                        out.push(if self.series == 0 { b'[' } else { b',' });
                        out.extend_from_slice(b"{\"metric\":");
                        json::append_labels(out, &series.labels);
                    }
                    while self.sample < series.floats.len() + series.histograms.len() {
                        if self.piece_bytes <= out.len() && 0 < self.sample {
                            return false;
                        }
                        append_matrix_sample(out, &mut self.times, series, self.sample);
                        self.sample += 1;
                    }
                    out.push(b'}');
                    (self.series, self.sample) = (self.series + 1, 0);
                    if self.piece_bytes <= out.len() {
                        return false;
                    }
                }
                out.extend_from_slice(if matrix.is_empty() { b"[]" } else { b"]" });
            }
        }
        true
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.is_done {
            return None;
        }
        let room = self.piece_bytes.min(usual_bytes(&self.value));
        let mut out = Vec::with_capacity(room + SLACK_BYTES);
        if !self.is_begun {
            self.is_begun = true;
            out.extend_from_slice(json::ENVELOPE);
            out.extend_from_slice(b"{\"resultType\":\"");
            out.extend_from_slice(kind(&self.value).as_bytes());
            out.extend_from_slice(b"\",\"result\":");
        }
        if self.append_samples(&mut out) {
            out.append(&mut self.tail);
            self.is_done = true;
        }
        Some(Bytes::from(out))
    }
}

/// Returns how many bytes an answer has as a rule.
fn usual_bytes(value: &Value) -> usize {
    match value {
        Value::Scalar { .. } | Value::String { .. } => 0,
        Value::Vector(samples) => samples.len() * (LABELS_BYTES + SAMPLE_BYTES),
        Value::Matrix(matrix) => {
            let samples = matrix.iter().map(|series| series.floats.len());
            matrix.len() * LABELS_BYTES + samples.sum::<usize>() * SAMPLE_BYTES
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Scalar { .. } => "scalar",
        Value::String { .. } => "string",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
    }
}

/// Appends `[1.5,…]`; the time of scalars and strings is printed as a plain float.
fn append_scalar(out: &mut Vec<u8>, t: i64, append: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'[');
    #[expect(
        clippy::cast_precision_loss,
        reason = "times are bounded far below 2^53"
    )]
    float::append_json(out, t as f64 / 1000.0);
    out.push(b',');
    append(out);
    out.push(b']');
}

/// Appends the series with their exemplars, `[{"seriesLabels":…,"exemplars":[…]},…]`.
pub(super) fn append_exemplars(out: &mut Vec<u8>, found: &[(Labels, Vec<StoredExemplar>)]) {
    out.push(b'[');
    for (index, (labels, exemplars)) in found.iter().enumerate() {
        json::separate(out, index);
        out.extend_from_slice(b"{\"seriesLabels\":");
        json::append_labels(out, labels);
        out.extend_from_slice(b",\"exemplars\":[");
        for (index, exemplar) in exemplars.iter().enumerate() {
            json::separate(out, index);
            out.extend_from_slice(b"{\"labels\":");
            json::append_labels(out, &exemplar.labels);
            out.extend_from_slice(b",\"value\":");
            json::append_quoted_float(out, exemplar.value);
            out.extend_from_slice(b",\"timestamp\":");
            json::append_timestamp(out, exemplar.t);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
}

fn append_vector_sample(out: &mut Vec<u8>, times: &mut json::Times, sample: &promql::VectorSample) {
    out.extend_from_slice(b"{\"metric\":");
    json::append_labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(value) => {
            out.extend_from_slice(b",\"value\":");
            times.append_sample(out, 0, sample.t, *value);
        }
        SampleValue::Histogram(histogram) => {
            out.extend_from_slice(b",\"histogram\":");
            json::append_histogram_sample(out, sample.t, histogram);
        }
    }
    out.push(b'}');
}

/// Appends sample `index` of `series`, floats first, with what opens and closes its list.
fn append_matrix_sample(
    out: &mut Vec<u8>,
    times: &mut json::Times,
    series: &promql::MatrixSeries,
    index: usize,
) {
    let floats = series.floats.len();
    if let Some(&(t, value)) = series.floats.get(index) {
        out.extend_from_slice(if index == 0 {
            b",\"values\":[".as_slice()
        } else {
            b","
        });
        times.append_sample(out, index, t, value);
    } else if let Some((t, histogram)) = series.histograms.get(index - floats) {
        out.extend_from_slice(if index == floats {
            b",\"histograms\":[".as_slice()
        } else {
            b","
        });
        json::append_histogram_sample(out, *t, histogram);
    }
    if index + 1 == floats || index + 1 == floats + series.histograms.len() {
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{FloatHistogram, Labels};
    use promql::{MatrixSeries, VectorSample};
    use std::sync::Arc;

    /// Encodes `value` in pieces of at least `piece_bytes`; returns text and number of pieces.
    fn encoded(value: &Value, piece_bytes: usize) -> (String, usize) {
        let pieces: Vec<_> =
            Pieces::new(value.clone(), None, &Notes::default(), piece_bytes).collect();
        (String::from_utf8(pieces.concat()).unwrap(), pieces.len())
    }

    /// Checks the result of one piece, and that pieces of any size are the same text.
    #[track_caller]
    fn check(value: &Value, kind: &str, result: &str) {
        let expected =
            format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#);
        assert_eq!(encoded(value, PIECE_BYTES), (expected.clone(), 1));
        for piece_bytes in 1..expected.len() + 2 {
            assert_eq!(
                encoded(value, piece_bytes).0,
                expected,
                "pieces of {piece_bytes}"
            );
        }
    }

    fn histogram() -> Arc<FloatHistogram> {
        Arc::new(FloatHistogram {
            zero_count: 2.0,
            zero_threshold: 0.5,
            count: 2.0,
            sum: 0.5,
            ..FloatHistogram::default()
        })
    }

    #[test]
    fn scalars_and_strings() {
        check(
            &Value::Scalar {
                t: -5_500,
                value: f64::NAN,
            },
            "scalar",
            r#"[-5.5,"NaN"]"#,
        );
        check(
            &Value::String {
                t: 1_000,
                value: "a<\"b\"".into(),
            },
            "string",
            r#"[1,"a\u003c\"b\""]"#,
        );
    }

    #[test]
    fn vectors() {
        check(&Value::Vector(Vec::new()), "vector", "[]");
        let sample = |labels: &[(&str, &str)], value| VectorSample {
            labels: Labels::from_pairs(labels.iter().copied()),
            t: 1_250,
            value,
        };
        let value = Value::Vector(vec![
            sample(&[("a", "<")], SampleValue::Float(f64::INFINITY)),
            sample(&[], SampleValue::Histogram(histogram())),
        ]);
        check(
            &value,
            "vector",
            r#"[{"metric":{"a":"<"},"value":[1.250,"+Inf"]},{"metric":{},"histogram":[1.250,{"count":"2","sum":"0.5","buckets":[[3,"-0.5","0.5","2"]]}]}]"#,
        );
    }

    #[test]
    fn matrices() {
        check(&Value::Matrix(Vec::new()), "matrix", "[]");
        let empty = FloatHistogram {
            count: 1.0,
            ..FloatHistogram::default()
        };
        let series =
            |name: &str, floats: &[(i64, f64)], histograms: &[(i64, Arc<FloatHistogram>)]| {
                MatrixSeries {
                    labels: Labels::from_pairs([("n", name)]),
                    floats: floats.to_vec(),
                    histograms: histograms.to_vec(),
                }
            };
        let value = Value::Matrix(vec![
            series("a", &[(1_000, 1.0), (2_000, 0.5)], &[]),
            series("b", &[(1_000, 1.0)], &[(2_000, Arc::new(empty.clone()))]),
            series(
                "c",
                &[],
                &[(1_000, Arc::new(empty.clone())), (2_000, Arc::new(empty))],
            ),
        ]);
        check(
            &value,
            "matrix",
            concat!(
                r#"[{"metric":{"n":"a"},"values":[[1,"1"],[2,"0.5"]]},"#,
                r#"{"metric":{"n":"b"},"values":[[1,"1"]],"histograms":[[2,{"count":"1","sum":"0"}]]},"#,
                r#"{"metric":{"n":"c"},"histograms":[[1,{"count":"1","sum":"0"}],[2,{"count":"1","sum":"0"}]]}]"#,
            ),
        );
    }

    #[test]
    fn large_results_come_in_pieces() {
        let floats: Vec<_> = (0..100_000).map(|i| (i * 1_000, 0.25)).collect();
        let value = Value::Matrix(vec![MatrixSeries {
            labels: Labels::empty(),
            floats,
            histograms: Vec::new(),
        }]);
        let (text, pieces) = encoded(&value, PIECE_BYTES);
        assert!(2 < pieces);
        assert_eq!(pieces, text.len().div_ceil(PIECE_BYTES));
    }

    #[test]
    fn stats_and_notes_follow() {
        let stats = QueryTime {
            queued: Duration::from_millis(250),
            evaluation: Duration::from_millis(500),
            query: promql::QueryStats {
                samples_total: 7,
                samples_per_step: Some(vec![3, 4]),
                samples_peak: 3,
                preparation: Duration::from_millis(125),
                ..promql::QueryStats::default()
            },
            steps: (1_500, 500),
        };
        let notes = Notes {
            warnings: vec!["w".into()],
            infos: vec!["i".into()],
        };
        let pieces = Pieces::new(Value::Vector(Vec::new()), Some(&stats), &notes, PIECE_BYTES);
        let text = String::from_utf8(pieces.collect::<Vec<_>>().concat()).unwrap();
        let expected = concat!(
            r#"{"status":"success","data":{"resultType":"vector","result":[],"stats":{"timings":{"evalTotalTime":0.5,"#,
            r#""resultSortTime":0,"queryPreparationTime":0.125,"innerEvalTime":0,"execQueueTime":0.25,"execTotalTime":0.75},"#,
            r#""samples":{"totalQueryableSamplesPerStep":[[1.5,3],[2,4]],"totalQueryableSamples":7,"peakSamples":3}}},"warnings":["w"],"infos":["i"]}"#,
        );
        assert_eq!(text, expected);
    }
}
