//! Histograms of both kinds as native ones.

mod merge;

use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, Histogram, ResetHint, SCHEMA_MAX, SCHEMA_MIN, Span};
use model::protobuf::{Fields, Value, WireError, int32, zigzag};
use model::storage::HistogramSample;

/// The width of the zero bucket of senders that do not say theirs.
///
/// Source: Prometheus' `defaultZeroThreshold`.
const ZERO_THRESHOLD: f64 = 1e-128;

/// How many empty buckets in a row are written out rather than skipped by a span.
const EMPTY_MAX: usize = 2;

/// A histogram with explicit bounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Explicit {
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    /// Observations in each bucket, one more than there are bounds.
    pub(super) counts: Vec<u64>,
    pub(super) bounds: Vec<f64>,
}

impl Explicit {
    /// Returns each bound with the observations up to it, the infinite one last.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let finite = self.bounds.iter().zip(&self.counts);
        let finite = finite.scan(0u64, |below, (&bound, &count)| {
            *below = below.saturating_add(count);
            Some((bound, *below))
        });
        finite.chain([(f64::INFINITY, self.count)])
    }

    /// Returns the histogram with custom buckets.
    pub(super) fn custom(&self, reset_hint: ResetHint) -> Result<HistogramSample, String> {
        let (positive_spans, positive_deltas) = spans(0, &self.counts);
        let histogram = Histogram {
            reset_hint,
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: self.count,
            sum: self.sum.unwrap_or(0.0),
            positive_spans,
            positive_deltas,
            custom_bounds: self.bounds.clone(),
            ..Histogram::default()
        };
        Ok(HistogramSample::Integer(Arc::new(histogram)))
    }
}

/// An exponential histogram.
#[derive(Clone, Debug, Default)]
pub(super) struct Exponential {
    scale: i32,
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) zero_count: u64,
    pub(super) zero_threshold: f64,
    pub(super) positive: Buckets,
    pub(super) negative: Buckets,
}

/// Consecutive exponential buckets.
#[derive(Clone, Debug, Default)]
pub(super) struct Buckets {
    offset: i32,
    counts: Vec<u64>,
}

impl Buckets {
    pub(super) fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut buckets = Buckets::default();
        let mut fields = Fields::of(message);
        while let Some((field, value)) = fields.read()? {
            match field {
                1 => buckets.offset = int32(zigzag(value.varint("Offset")?)),
                2 => value.varints_into("BucketCounts", &mut buckets.counts, |count| count)?,
                _ => (),
            }
        }
        Ok(buckets)
    }

    /// Bucket `i` of OTLP ends where ours of the number after it does.
    fn spans(&self) -> Result<(Vec<Span>, Vec<i64>), String> {
        let first = self.offset.checked_add(1);
        let end = first.and_then(|first| first.checked_add(i32::try_from(self.counts.len()).ok()?));
        match (first, end) {
            (Some(first), Some(_)) => Ok(spans(first, &self.counts)),
            _ => Err(format!("bucket offset {} is out of range", self.offset)),
        }
    }
}

impl Exponential {
    pub(super) fn take_scale(&mut self, value: Value<'_>) -> Result<(), WireError> {
        self.scale = int32(zigzag(value.varint("Scale")?));
        Ok(())
    }

    /// Returns the native histogram; finer ones than there are here are made coarser.
    pub(super) fn native(&self, reset_hint: ResetHint) -> Result<HistogramSample, String> {
        if self.scale < SCHEMA_MIN {
            return Err(format!(
                "cannot convert exponential to native histogram, scale must be >= {SCHEMA_MIN}, was {}",
                self.scale
            ));
        }
        let (positive_spans, positive_deltas) = self.positive.spans()?;
        let (negative_spans, negative_deltas) = self.negative.spans()?;
        let mut histogram = Histogram {
            reset_hint,
            schema: self.scale,
            zero_threshold: match 0.0 < self.zero_threshold {
                true => self.zero_threshold,
                false => ZERO_THRESHOLD,
            },
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans,
            positive_deltas,
            negative_spans,
            negative_deltas,
            ..Histogram::default()
        };
        if SCHEMA_MAX < histogram.schema {
            histogram.reduce_resolution(SCHEMA_MAX);
        }
        Ok(HistogramSample::Integer(Arc::new(histogram)))
    }
}

/// Returns spans and deltas of consecutive buckets from the index `first` on, without the empty ones that no others are near.
fn spans(first: i32, counts: &[u64]) -> (Vec<Span>, Vec<i64>) {
    let (mut spans, mut deltas): (Vec<Span>, Vec<i64>) = Default::default();
    let mut empty = 0usize;
    let mut before = 0i64;
    let mut push = |deltas: &mut Vec<i64>, count: u64| {
        // What is more than that makes the histogram contradict itself, which the storage finds.
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        deltas.push(count.wrapping_sub(before));
        before = count;
    };
    for &count in counts {
        if count == 0 {
            empty += 1;
            continue;
        }
        let skipped = u32::try_from(empty).unwrap_or(u32::MAX);
        match spans.last_mut() {
            Some(span) if empty <= EMPTY_MAX => {
                (0..empty).for_each(|_| push(&mut deltas, 0));
                span.length += skipped + 1;
            }
            last => {
                let gap = i32::try_from(skipped).unwrap_or(i32::MAX);
                let offset = if last.is_none() {
                    first.saturating_add(gap)
                } else {
                    gap
                };
                spans.push(Span { offset, length: 1 });
            }
        }
        push(&mut deltas, count);
        empty = 0;
    }
    (spans, deltas)
}
