//! JSON as Prometheus writes it: the envelope, strings, numbers, labels, samples.
//!
//! There are two dialects in its answers and so in ours. Label sets and samples of query results are written by hand, with
//! nothing escaped that need not be. Everything else comes from a serializer with Go's habits: `<`, `>` and `&` in
//! strings become `\u003c`, `\u003e` and `\u0026`, floats are printed as Go prints them.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header;
use model::labels::Labels;
use model::{FloatHistogram, float};
use serde::Serialize;

/// The content type of every answer in JSON.
pub(super) const CONTENT_TYPE: &str = "application/json";

/// How many warnings, and how many infos, an answer carries; the rest is only counted.
const ANNOTATIONS_MAX: usize = 10;

/// What a successful answer says besides its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// What the user should look at.
    pub(super) warnings: Vec<String>,
    /// What the user may want to know.
    pub(super) infos: Vec<String>,
}

impl Notes {
    /// Returns the notes of an answer that may have been cut to its limit.
    pub(super) fn truncated(is_truncated: bool) -> Self {
        let mut notes = Notes::default();
        if is_truncated {
            notes.warnings.push(TRUNCATED.to_owned());
        }
        notes
    }

    /// Appends what follows the data, to the end of the answer.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        append_annotations(out, "warnings", "warning", &self.warnings);
        append_annotations(out, "infos", "info", &self.infos);
        out.push(b'}');
    }
}

/// The warning of an answer that was cut to its limit.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

fn append_annotations(out: &mut Vec<u8>, key: &str, kind: &str, texts: &[String]) {
    if texts.is_empty() {
        return;
    }
    out.extend_from_slice(format!(",\"{key}\":[").as_bytes());
    for (i, text) in texts.iter().take(ANNOTATIONS_MAX).enumerate() {
        separate(out, i);
        append_go_string(out, text);
    }
    if ANNOTATIONS_MAX < texts.len() {
        let omitted = texts.len() - ANNOTATIONS_MAX;
        out.push(b',');
        append_go_string(out, &format!("{omitted} more {kind} annotations omitted"));
    }
    out.push(b']');
}

/// What stands before the data of a successful answer.
pub(super) const ENVELOPE: &[u8] = br#"{"status":"success","data":"#;

/// Returns the answer whose data is what `append` appends.
pub(super) fn success(notes: &Notes, append: impl FnOnce(&mut Vec<u8>)) -> Response {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(ENVELOPE);
    append(&mut out);
    notes.append_to(&mut out);
    respond(Body::from(out))
}

/// Returns the answer whose data is `data`.
pub(super) fn success_of(data: &impl Serialize) -> Response {
    success(&Notes::default(), |out| append_serialized(out, data))
}

/// Returns the successful answer with the body `body`.
pub(super) fn respond(body: Body) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}

/// Appends `data` in the serializer's dialect.
pub(super) fn append_serialized(out: &mut Vec<u8>, data: &impl Serialize) {
    net::json::append(out, data)
        .expect("writing to a Vec cannot fail, and no map of ours has keys other than strings");
}

/// Appends `text` as a string in the serializer's dialect.
pub(super) fn append_go_string(out: &mut Vec<u8>, text: &str) {
    append_serialized(out, &text);
}

/// Appends a comma, unless `index` is 0.
pub(super) fn separate(out: &mut Vec<u8>, index: usize) {
    if 0 < index {
        out.push(b',');
    }
}

/// Appends `text` as a string with the fewest escapes.
pub(super) fn append_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let is_plain = |byte: u8| 0x20 <= byte && byte != b'"' && byte != b'\\';
    // Nearly all are, and without a way out the loop takes many bytes at once.
    if bytes.iter().fold(true, |all, &byte| all & is_plain(byte)) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut plain_from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if is_plain(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

/// Appends a list of strings.
pub(super) fn append_strings<'a>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = &'a str>) {
    out.push(b'[');
    for (i, text) in texts.into_iter().enumerate() {
        separate(out, i);
        append_go_string(out, text);
    }
    out.push(b']');
}

/// Appends labels as an object.
pub(super) fn append_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        separate(out, i);
        append_string(out, name);
        out.push(b':');
        append_string(out, value);
    }
    out.push(b'}');
}

/// Appends milliseconds as seconds: whole seconds bare, others with all three decimals.
pub(super) fn append_timestamp(out: &mut Vec<u8>, ms: i64) {
    timestamp(ms, |text| out.extend_from_slice(text));
}

/// Gives the pieces of a time to `push`, 24 bytes at most.
fn timestamp(ms: i64, mut push: impl FnMut(&[u8])) {
    if ms < 0 {
        push(b"-");
    }
    let ms = ms.unsigned_abs();
    let mut digits = itoa::Buffer::new();
    push(digits.format(ms / 1000).as_bytes());
    let millis = ms % 1000;
    if millis != 0 {
        let digit = |n: u64| b'0' + u8::try_from(n % 10).expect("a digit");
        push(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis)]);
    }
}

/// Appends a float in quotes.
pub(super) fn append_quoted_float(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    float::append_json(out, value);
    out.push(b'"');
}

/// How samples at the times of a query begin: series after series has the same ones, which are printed once.
#[derive(Default)]
pub(super) struct Times(Vec<Printed>);

/// What comes before a value at one time, `[1.500,"`.
struct Printed {
    ms: i64,
    len: usize,
    text: [u8; Printed::LEN_MAX],
}

impl Printed {
    /// Room for any time.
    const LEN_MAX: usize = 32;

    fn of(ms: i64) -> Printed {
        let mut printed = Printed {
            ms,
            len: 0,
            text: [0; Printed::LEN_MAX],
        };
        printed.push(b"[");
        timestamp(ms, |text| printed.push(text));
        printed.push(b",\"");
        printed
    }

    fn push(&mut self, text: &[u8]) {
        self.text[self.len..][..text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    /// Writes a whole sample to the front of `room`; returns its length, or `None` where the value is none of the short ones.
    #[inline]
    fn put_before<const N: usize>(&self, value: f64, room: &mut [u8; N]) -> Option<usize> {
        *room.first_chunk_mut()? = self.text;
        let place = room.get_mut(self.len..)?;
        let end = self.len + float::put_short(place.first_chunk_mut()?, value)?;
        *room.get_mut(end..)?.first_chunk_mut()? = *b"\"]";
        Some(end + 2)
    }
}

impl Times {
    /// How many times are remembered: most queries have fewer.
    const KEPT_MAX: usize = 2048;

    /// Appends a float sample: `[1.500,"2"]`. `index` says which one of its series it is: likely the time is that of the
    /// series before.
    pub(super) fn append_sample(&mut self, out: &mut Vec<u8>, index: usize, ms: i64, value: f64) {
        let now;
        let printed = match self.0.get_mut(index) {
            Some(known) if known.ms == ms => &*known,
            Some(known) => {
                *known = Printed::of(ms);
                known
            }
            None => {
                now = Printed::of(ms);
                if index == self.0.len() && index < Self::KEPT_MAX {
                    self.0.push(now);
                    &self.0[index]
                } else {
                    &now
                }
            }
        };
        // All is copied in fixed lengths, which is quick, and what is too much is cut off.
        const ROOM: usize = Printed::LEN_MAX + float::SHORT_MAX + 2;
        let begin = out.len();
        out.extend_from_slice(&[0; ROOM]);
        let len = match out[begin..].first_chunk_mut::<ROOM>() {
            Some(room) => printed.put_before(value, room),
            None => None,
        };
        out.truncate(begin + len.unwrap_or(0));
        if len.is_none() {
            out.extend_from_slice(&printed.text[..printed.len]);
            float::append_json(out, value);
            out.extend_from_slice(b"\"]");
        }
    }
}

/// Appends a histogram sample: `[1.500,{"count":"3","sum":"2","buckets":[[0,"1","2","3"]]}]`.
pub(super) fn append_histogram_sample(out: &mut Vec<u8>, ms: i64, histogram: &FloatHistogram) {
    out.push(b'[');
    append_timestamp(out, ms);
    out.push(b',');
    append_histogram(out, histogram);
    out.push(b']');
}

/// Appends `{"count":…,"sum":…,"buckets":[…]}` with the populated buckets, each as `[bounds, lower, upper, count]`, where
/// bounds is 0 for open on the left, 1 open on the right, 2 open on both sides, 3 closed. No bucket, no `buckets`.
fn append_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    append_quoted_float(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    append_quoted_float(out, histogram.sum);
    let buckets = histogram.buckets();
    for (i, bucket) in buckets.iter().enumerate() {
        out.extend_from_slice(if i == 0 {
            b",\"buckets\":[[".as_slice()
        } else {
            b",["
        });
        out.push(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for value in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            append_quoted_float(out, value);
        }
        out.push(b']');
    }
    if !buckets.is_empty() {
        out.push(b']');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::body_of;
    use model::histogram::Span;

    fn written(append: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        append(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check_timestamp(ms: i64, expected: &str) {
        assert_eq!(written(|out| append_timestamp(out, ms)), expected);
    }

    #[test]
    fn samples_at_times_that_come_again_and_others() {
        let mut times = Times::default();
        let grid: Vec<i64> = vec![i64::MIN, -1_500, 0, 1_000, 1_234, i64::MAX];
        let shifted: Vec<i64> = grid.iter().map(|ms| ms.saturating_add(7)).collect();
        for series in [&grid, &grid, &shifted, &grid] {
            for (index, &ms) in series.iter().enumerate() {
                let mut out = b"x".to_vec();
                times.append_sample(&mut out, index, ms, 0.5);
                let mut expected = b"x[".to_vec();
                append_timestamp(&mut expected, ms);
                expected.extend_from_slice(b",\"0.5\"]");
                assert_eq!(out, expected);
            }
        }
        let mut out = Vec::new();
        times.append_sample(&mut out, 1 << 40, 2_000, 3.0);
        assert_eq!(out, b"[2,\"3\"]");
    }

    #[test]
    fn timestamps() {
        check_timestamp(0, "0");
        check_timestamp(1_000, "1");
        check_timestamp(1_795_186_621_250, "1795186621.250");
        check_timestamp(5_010, "5.010");
        check_timestamp(7, "0.007");
        check_timestamp(-5_500, "-5.500");
        check_timestamp(i64::MIN, "-9223372036854775.808");
    }

    #[track_caller]
    fn check_float(value: f64, expected: &str) {
        assert_eq!(
            written(|out| append_quoted_float(out, value)),
            format!("\"{expected}\"")
        );
    }

    #[test]
    fn floats() {
        check_float(0.0, "0");
        check_float(-0.0, "-0");
        check_float(1.0, "1");
        check_float(-17.0, "-17");
        check_float(0.1, "0.1");
        check_float(3e9, "3000000000");
        check_float(1e21, "1e+21");
        check_float(7.31e-7, "7.31e-07");
        check_float(f64::NAN, "NaN");
        check_float(f64::INFINITY, "+Inf");
        check_float(f64::NEG_INFINITY, "-Inf");
    }

    #[test]
    fn strings_in_both_dialects() {
        let text = "<&>\u{2028}\u{1}\u{7f}\u{8}\té\\\"/\n\r";
        assert_eq!(
            written(|out| append_string(out, text)),
            "\"<&>\u{2028}\\u0001\u{7f}\\u0008\\té\\\\\\\"/\\n\\r\""
        );
        assert_eq!(
            written(|out| append_go_string(out, text)),
            "\"\\u003c\\u0026\\u003e\\u2028\\u0001\u{7f}\\b\\té\\\\\\\"/\\n\\r\""
        );
    }

    #[test]
    fn histogram_sample() {
        let histogram = FloatHistogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 12.5,
            sum: -3.25,
            positive_spans: vec![Span {
                offset: 0,
                length: 3,
            }],
            positive_buckets: vec![1.5, 0.0, 4.0],
            negative_spans: vec![Span {
                offset: 0,
                length: 1,
            }],
            negative_buckets: vec![5.0],
            ..FloatHistogram::default()
        };
        assert_eq!(
            written(|out| append_histogram_sample(out, 1_500, &histogram)),
            r#"[1.500,{"count":"12.5","sum":"-3.25","buckets":[[1,"-1","-0.5","5"],[3,"-0.001","0.001","2"],[0,"0.5","1","1.5"],[0,"2","4","4"]]}]"#
        );
        assert_eq!(
            written(|out| append_histogram_sample(out, 0, &FloatHistogram::default())),
            r#"[0,{"count":"0","sum":"0"}]"#
        );
    }

    #[test]
    fn envelope_with_capped_annotations() {
        let warnings: Vec<_> = (0..12).map(|i| format!("w{i}")).collect();
        let notes = Notes {
            warnings,
            infos: vec!["<".to_owned()],
        };
        let response = success(&notes, |out| out.extend_from_slice(b"[]"));
        assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
        assert_eq!(
            body_of(response),
            r#"{"status":"success","data":[],"warnings":["w0","w1","w2","w3","w4","w5","w6","w7","w8","w9","2 more warning annotations omitted"],"infos":["\u003c"]}"#
        );
    }

    #[test]
    fn serialized_data_has_go_floats() {
        assert_eq!(
            written(|out| append_serialized(out, &(0.0, 1e-7, 1.5e30))),
            "[0,1e-07,1.5e+30]"
        );
        let labels = Labels::from_pairs([("b", "<"), ("a", "1")]);
        assert_eq!(
            written(|out| append_serialized(out, &net::json::LabelsJson(&labels))),
            r#"{"a":"1","b":"\u003c"}"#
        );
        assert_eq!(
            written(|out| append_labels(out, &labels)),
            r#"{"a":"1","b":"<"}"#
        );
    }
}
