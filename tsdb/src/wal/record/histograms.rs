//! Records of native histograms.
//!
//! ```text
//! u8 hint │ varint schema │ f64 zero threshold │ zero count │ count │ f64 sum │ positive spans │ negative spans
//!         │ positive buckets │ negative buckets │ uvarint n │ f64 bound * n, for schema -53 only
//! spans: uvarint n │ (varint offset │ uvarint length) * n        buckets: uvarint n │ bucket * n
//! ```
//!
//! Counts are uvarints and buckets varints with integer counts, and both are f64 with float counts. What has custom
//! buckets is in a record of another kind than what has exponential ones, so that builds that do not know them are not
//! confused.

use model::histogram::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, ResetHint, SCHEMA_MAX, SCHEMA_MIN, Span,
};

use super::samples::{Base, Item, ItemsV2, decode_items};
use super::{Fields, RecordError, RecordKind};
use crate::varint::{encode_uvarint, encode_varint};

/// The hints by the byte that stands for them.
const HINTS: [ResetHint; 4] = [
    ResetHint::Unknown,
    ResetHint::CounterReset,
    ResetHint::NotCounterReset,
    ResetHint::Gauge,
];

/// A native histogram in a record.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordHistogram<H> {
    /// The series' id in the log.
    pub id: u64,
    /// Milliseconds since the epoch.
    pub t: i64,
    /// Since when it counts: milliseconds since the epoch, 0 if that is unknown.
    pub start: i64,
    /// The value, a [`Histogram`] or a [`FloatHistogram`] or a reference to one.
    pub histogram: H,
}

impl<H> RecordHistogram<H> {
    /// Returns the same with the value borrowed.
    pub fn by_ref(&self) -> RecordHistogram<&H> {
        RecordHistogram {
            id: self.id,
            t: self.t,
            start: self.start,
            histogram: &self.histogram,
        }
    }
}

/// Which buckets the histograms of a record have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordBuckets {
    /// Exponential ones.
    Exponential,
    /// Those with explicit bounds.
    Custom,
}

impl RecordBuckets {
    /// Returns the buckets of a schema.
    pub fn of(schema: i32) -> Self {
        match schema {
            CUSTOM_BUCKETS_SCHEMA => RecordBuckets::Custom,
            _ => RecordBuckets::Exponential,
        }
    }
}

/// Appends a record of those histograms with integer counts that have such buckets; nothing if there is none.
pub fn encode_histograms<'a>(
    out: &mut Vec<u8>,
    buckets: RecordBuckets,
    histograms: impl IntoIterator<Item = RecordHistogram<&'a Histogram>>,
) {
    let kind = match buckets {
        RecordBuckets::Exponential => RecordKind::Histograms,
        RecordBuckets::Custom => RecordKind::CustomHistograms,
    };
    let histograms = histograms.into_iter();
    let of_kind = histograms.filter(|item| RecordBuckets::of(item.histogram.schema) == buckets);
    encode_items(out, kind, of_kind, encode_histogram);
}

/// Appends a record of those histograms with float counts that have such buckets; nothing if there is none.
pub fn encode_float_histograms<'a>(
    out: &mut Vec<u8>,
    buckets: RecordBuckets,
    histograms: impl IntoIterator<Item = RecordHistogram<&'a FloatHistogram>>,
) {
    let kind = match buckets {
        RecordBuckets::Exponential => RecordKind::FloatHistograms,
        RecordBuckets::Custom => RecordKind::CustomFloatHistograms,
    };
    let histograms = histograms.into_iter();
    let of_kind = histograms.filter(|item| RecordBuckets::of(item.histogram.schema) == buckets);
    encode_items(out, kind, of_kind, encode_float_histogram);
}

/// Appends a record of all those histograms with integer counts, of the second version, which has start timestamps and
/// buckets of any kind; nothing if there is none.
pub fn encode_histograms_since<'a>(
    out: &mut Vec<u8>,
    histograms: impl IntoIterator<Item = RecordHistogram<&'a Histogram>>,
) {
    let kind = RecordKind::HistogramsV2;
    encode_items_since(out, kind, histograms, encode_histogram);
}

/// Appends a record of all those histograms with float counts: as [`encode_histograms_since`].
pub fn encode_float_histograms_since<'a>(
    out: &mut Vec<u8>,
    histograms: impl IntoIterator<Item = RecordHistogram<&'a FloatHistogram>>,
) {
    let kind = RecordKind::FloatHistogramsV2;
    encode_items_since(out, kind, histograms, encode_float_histogram);
}

/// Calls `visit` with each histogram of a record with integer counts, of either version and with any buckets.
/// Histograms of a schema that is not known here are passed over.
///
/// Spans and buckets may contradict each other: that is for [`Histogram::validate`] to find.
///
/// # Errors
///
/// When the bytes are no such record.
pub fn decode_histograms(
    record: &[u8],
    mut visit: impl FnMut(RecordHistogram<Histogram>),
) -> Result<(), RecordError> {
    decode_items(Fields::new("histograms", record), record, |fields, item| {
        let histogram = decode_histogram(fields)?;
        if is_known(histogram.schema) {
            visit(of_item(item, histogram));
        }
        Ok(())
    })
}

/// Calls `visit` with each histogram of a record with float counts: as [`decode_histograms`].
///
/// # Errors
///
/// When the bytes are no such record.
pub fn decode_float_histograms(
    record: &[u8],
    mut visit: impl FnMut(RecordHistogram<FloatHistogram>),
) -> Result<(), RecordError> {
    let fields = Fields::new("float histograms", record);
    decode_items(fields, record, |fields, item| {
        let histogram = decode_float_histogram(fields)?;
        if is_known(histogram.schema) {
            visit(of_item(item, histogram));
        }
        Ok(())
    })
}

fn of_item<H>(item: Item, histogram: H) -> RecordHistogram<H> {
    RecordHistogram {
        id: item.id,
        t: item.t,
        start: item.start,
        histogram,
    }
}

fn is_known(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA || (SCHEMA_MIN..=SCHEMA_MAX).contains(&schema)
}

fn encode_items<'a, H: 'a>(
    out: &mut Vec<u8>,
    kind: RecordKind,
    items: impl Iterator<Item = RecordHistogram<&'a H>>,
    encode: impl Fn(&mut Vec<u8>, &H),
) {
    let mut base = None;
    for item in items {
        let base = *base.get_or_insert_with(|| {
            let base = Base::of(item.id, item.t);
            base.encode(out, kind);
            base
        });
        base.encode_item(out, item.id, item.t);
        encode(out, item.histogram);
    }
}

fn encode_items_since<'a, H: 'a>(
    out: &mut Vec<u8>,
    kind: RecordKind,
    histograms: impl IntoIterator<Item = RecordHistogram<&'a H>>,
    encode: impl Fn(&mut Vec<u8>, &H),
) {
    let mut items = ItemsV2::new(kind);
    for histogram in histograms {
        let item = Item {
            id: histogram.id,
            t: histogram.t,
            start: histogram.start,
        };
        items.encode_item(out, item);
        encode(out, histogram.histogram);
    }
}

fn encode_histogram(out: &mut Vec<u8>, h: &Histogram) {
    encode_head(out, h.reset_hint, h.schema, h.zero_threshold);
    encode_uvarint(out, h.zero_count);
    encode_uvarint(out, h.count);
    encode_f64(out, h.sum);
    encode_spans(out, &h.positive_spans);
    encode_spans(out, &h.negative_spans);
    for deltas in [&h.positive_deltas, &h.negative_deltas] {
        encode_uvarint(out, deltas.len() as u64);
        deltas.iter().for_each(|&delta| encode_varint(out, delta));
    }
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        encode_floats(out, &h.custom_bounds);
    }
}

fn encode_float_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    encode_head(out, h.reset_hint, h.schema, h.zero_threshold);
    encode_f64(out, h.zero_count);
    encode_f64(out, h.count);
    encode_f64(out, h.sum);
    encode_spans(out, &h.positive_spans);
    encode_spans(out, &h.negative_spans);
    encode_floats(out, &h.positive_buckets);
    encode_floats(out, &h.negative_buckets);
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        encode_floats(out, &h.custom_bounds);
    }
}

fn encode_head(out: &mut Vec<u8>, hint: ResetHint, schema: i32, zero_threshold: f64) {
    out.push(match hint {
        ResetHint::Unknown => 0,
        ResetHint::CounterReset => 1,
        ResetHint::NotCounterReset => 2,
        ResetHint::Gauge => 3,
    });
    encode_varint(out, i64::from(schema));
    encode_f64(out, zero_threshold);
}

fn encode_spans(out: &mut Vec<u8>, spans: &[Span]) {
    encode_uvarint(out, spans.len() as u64);
    for span in spans {
        encode_varint(out, i64::from(span.offset));
        encode_uvarint(out, u64::from(span.length));
    }
}

fn encode_floats(out: &mut Vec<u8>, floats: &[f64]) {
    encode_uvarint(out, floats.len() as u64);
    floats.iter().for_each(|&float| encode_f64(out, float));
}

fn encode_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

// Fields of a literal are evaluated in the order in which they are written, which is their order in the record.

fn decode_histogram(fields: &mut Fields<'_>) -> Result<Histogram, RecordError> {
    let mut histogram = Histogram {
        reset_hint: decode_hint(fields)?,
        schema: decode_schema(fields)?,
        zero_threshold: fields.f64("cut-off zero threshold")?,
        zero_count: fields.uvarint("bad zero count")?,
        count: fields.uvarint("bad count")?,
        sum: fields.f64("cut-off sum")?,
        positive_spans: decode_spans(fields)?,
        negative_spans: decode_spans(fields)?,
        positive_deltas: decode_deltas(fields)?,
        negative_deltas: decode_deltas(fields)?,
        custom_bounds: Vec::new(),
    };
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        histogram.custom_bounds = decode_floats(fields)?;
    }
    Ok(histogram)
}

fn decode_float_histogram(fields: &mut Fields<'_>) -> Result<FloatHistogram, RecordError> {
    let mut histogram = FloatHistogram {
        reset_hint: decode_hint(fields)?,
        schema: decode_schema(fields)?,
        zero_threshold: fields.f64("cut-off zero threshold")?,
        zero_count: fields.f64("cut-off zero count")?,
        count: fields.f64("cut-off count")?,
        sum: fields.f64("cut-off sum")?,
        positive_spans: decode_spans(fields)?,
        negative_spans: decode_spans(fields)?,
        positive_buckets: decode_floats(fields)?,
        negative_buckets: decode_floats(fields)?,
        custom_bounds: Vec::new(),
    };
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        histogram.custom_bounds = decode_floats(fields)?;
    }
    Ok(histogram)
}

/// A hint that is not known here is none.
fn decode_hint(fields: &mut Fields<'_>) -> Result<ResetHint, RecordError> {
    let byte = fields.byte("cut-off hint")?;
    Ok(HINTS.get(usize::from(byte)).copied().unwrap_or_default())
}

fn decode_schema(fields: &mut Fields<'_>) -> Result<i32, RecordError> {
    let schema = fields.varint("bad schema")?;
    i32::try_from(schema).map_err(|_| fields.error("impossible schema"))
}

fn decode_spans(fields: &mut Fields<'_>) -> Result<Vec<Span>, RecordError> {
    let count = fields.count("bad span count", 2)?;
    (0..count)
        .map(|_| {
            let offset = fields.varint("bad span offset")?.try_into();
            let length = fields.uvarint("bad span length")?.try_into();
            match (offset, length) {
                (Ok(offset), Ok(length)) => Ok(Span { offset, length }),
                _ => Err(fields.error("impossible span")),
            }
        })
        .collect()
}

fn decode_deltas(fields: &mut Fields<'_>) -> Result<Vec<i64>, RecordError> {
    let count = fields.count("bad bucket count", 1)?;
    (0..count).map(|_| fields.varint("bad bucket")).collect()
}

fn decode_floats(fields: &mut Fields<'_>) -> Result<Vec<f64>, RecordError> {
    let count = fields.count("bad float count", 8)?;
    (0..count).map(|_| fields.f64("cut-off float")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn histogram(schema: i32) -> Histogram {
        let spans = vec![Span {
            offset: -1,
            length: 2,
        }];
        Histogram {
            reset_hint: ResetHint::NotCounterReset,
            schema,
            zero_threshold: 1.0,
            zero_count: 1,
            count: 300,
            sum: 1.0,
            positive_spans: spans.clone(),
            positive_deltas: vec![1, -1],
            negative_spans: spans,
            negative_deltas: vec![2, 0],
            custom_bounds: match schema {
                CUSTOM_BUCKETS_SCHEMA => vec![1.0, 2.0],
                _ => vec![],
            },
        }
    }

    #[test]
    fn layout_is_as_documented() {
        let mut out = Vec::new();
        let histogram = histogram(3);
        let item = RecordHistogram {
            id: 1,
            t: 2,
            start: 0,
            histogram: &histogram,
        };
        encode_histograms(&mut out, RecordBuckets::Exponential, [item.clone()]);
        let one = 1f64.to_bits().to_be_bytes();
        let expected = [
            &[7][..],
            &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0],
            &[2, 6],
            &one,
            &[1, 0xac, 2],
            &one,
            &[1, 1, 2, 1, 1, 2, 2, 2, 1, 2, 4, 0],
        ]
        .concat();
        assert_eq!(out, expected);

        let before = out.len();
        encode_histograms(&mut out, RecordBuckets::Custom, [item]);
        assert_eq!(out.len(), before);
    }

    /// The same histograms in the second version: start timestamp 5, then none.
    #[test]
    fn the_second_version_is_as_documented() {
        let mut body = Vec::new();
        encode_histogram(&mut body, &histogram(3));
        let mut unknown = Vec::new();
        encode_histogram(&mut unknown, &histogram(40));
        let record = [
            &[12, 2, 4, 10][..],
            &body,
            &[2, 2, 0],
            &unknown,
            &[2, 4, 2, 2],
            &body,
        ]
        .concat();
        let mut seen = Vec::new();
        decode_histograms(&record, |item| seen.push(item)).unwrap();
        let item = |id, t, start| RecordHistogram {
            id,
            t,
            start,
            histogram: histogram(3),
        };
        // The one with schema 40 is passed over, and the next one's id still counts from it.
        assert_eq!(seen, [item(1, 2, 5), item(3, 4, 6)]);
        let unknown_histogram = RecordHistogram {
            histogram: histogram(40),
            ..item(2, 3, 0)
        };
        let [first, last] = &seen[..] else {
            unreachable!("there are two");
        };
        let mut written = Vec::new();
        let items = [first, &unknown_histogram, last].map(RecordHistogram::by_ref);
        encode_histograms_since(&mut written, items);
        assert_eq!(written, record);
    }

    proptest! {
        #[test]
        fn histograms_read_back(items in prop::collection::vec((any::<u64>(), any::<i64>(), any::<bool>(), any::<i64>()), 0..20)) {
            let start = 0;
            let histograms: Vec<_> = items.iter().map(|&(id, t, is_custom, bucket)| {
                let mut histogram = histogram(if is_custom { CUSTOM_BUCKETS_SCHEMA } else { 8 });
                histogram.negative_deltas[0] = bucket;
                RecordHistogram { id, t, start, histogram }
            }).collect();
            for buckets in [RecordBuckets::Exponential, RecordBuckets::Custom] {
                let of_kind: Vec<_> = histograms.iter()
                    .filter(|item| RecordBuckets::of(item.histogram.schema) == buckets).cloned().collect();
                let floats: Vec<_> = of_kind.iter().map(|item| RecordHistogram {
                    id: item.id, t: item.t, start, histogram: item.histogram.to_float(),
                }).collect();

                let mut out = Vec::new();
                encode_histograms(&mut out, buckets, histograms.iter().map(RecordHistogram::by_ref));
                let mut seen = Vec::new();
                decode_histograms(&out, |item| seen.push(item)).unwrap();
                prop_assert_eq!(&seen, &of_kind);

                out.clear();
                encode_float_histograms(&mut out, buckets, floats.iter().map(RecordHistogram::by_ref));
                let mut seen = Vec::new();
                decode_float_histograms(&out, |item| seen.push(item)).unwrap();
                prop_assert_eq!(&seen, &floats);
                let since = |item: &RecordHistogram<_>| RecordHistogram { start: item.t, ..item.clone() };
                let since: Vec<_> = floats.iter().map(since).collect();
                let mut v2 = Vec::new();
                encode_float_histograms_since(&mut v2, since.iter().map(RecordHistogram::by_ref));
                let mut seen = Vec::new();
                decode_float_histograms(&v2, |item| seen.push(item)).unwrap();
                prop_assert_eq!(&seen, &since);
                prop_assert!(out.is_empty() || decode_float_histograms(&out[..out.len() - 1], |_| ()).is_err());
            }
        }
    }
}
