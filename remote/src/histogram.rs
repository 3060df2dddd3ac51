//! The message of a native histogram, which is the same in both versions of the protocol.

use std::sync::Arc;

use model::histogram::{FloatHistogram, Histogram, ResetHint, SCHEMA_MAX};
use model::storage::HistogramSample;

use model::protobuf::{Fields, Value, WireError, int32, span, zigzag};

/// The finest schema that senders may use; it is taken in at [`SCHEMA_MAX`].
const SCHEMA_RESERVED_MAX: i32 = 52;

/// The fields of the message, integer and float side by side.
#[derive(Default)]
struct Message {
    t: i64,
    start: i64,
    is_float: bool,
    count: u64,
    zero_count: u64,
    float: FloatHistogram,
    positive_deltas: Vec<i64>,
    negative_deltas: Vec<i64>,
}

/// A message that was read.
pub(crate) struct Decoded {
    /// Milliseconds since the epoch.
    pub(crate) t: i64,
    /// Since when it counts: milliseconds since the epoch, 0 if that is unknown. Only the second version of the protocol
    /// has it.
    pub(crate) start: i64,
    /// The histogram.
    pub(crate) value: HistogramSample,
}

/// Returns what a histogram message says. What contradicts itself is found out by the storage.
///
/// Memory: at most eight bytes for each byte of the message.
///
/// # Errors
///
/// When the bytes are no such message.
pub(crate) fn decode(message: &[u8]) -> Result<Decoded, WireError> {
    let mut fields = Fields::of(message);
    let mut found = Message::default();
    while let Some((number, value)) = fields.read()? {
        found.take(number, value)?;
    }
    Ok(Decoded {
        t: found.t,
        start: found.start,
        value: found.into_sample(),
    })
}

impl Message {
    fn take(&mut self, number: u32, value: Value<'_>) -> Result<(), WireError> {
        let float = &mut self.float;
        match number {
            1 => (self.count, self.is_float) = (value.varint("CountInt")?, false),
            2 => (float.count, self.is_float) = (value.double("CountFloat")?, true),
            3 => float.sum = value.double("Sum")?,
            4 => float.schema = int32(zigzag(value.varint("Schema")?)),
            5 => float.zero_threshold = value.double("ZeroThreshold")?,
            6 => self.zero_count = value.varint("ZeroCountInt")?,
            7 => float.zero_count = value.double("ZeroCountFloat")?,
            8 => float.negative_spans.push(span(value, "Spans")?),
            9 => value.varints_into("NegativeDeltas", &mut self.negative_deltas, zigzag)?,
            10 => value.doubles_into("NegativeCounts", &mut float.negative_buckets)?,
            11 => float.positive_spans.push(span(value, "Spans")?),
            12 => value.varints_into("PositiveDeltas", &mut self.positive_deltas, zigzag)?,
            13 => value.doubles_into("PositiveCounts", &mut float.positive_buckets)?,
            14 => float.reset_hint = reset_hint(value.varint("ResetHint")?),
            15 => self.t = value.int64("Timestamp")?,
            16 => value.doubles_into("CustomValues", &mut float.custom_bounds)?,
            17 => self.start = value.int64("StartTimestamp")?,
            _ => (),
        }
        Ok(())
    }

    fn into_sample(self) -> HistogramSample {
        let mut float = self.float;
        let is_too_fine = SCHEMA_MAX < float.schema && float.schema <= SCHEMA_RESERVED_MAX;
        if self.is_float {
            if is_too_fine {
                float.reduce_resolution(SCHEMA_MAX);
            }
            return HistogramSample::Float(Arc::new(float));
        }
        let mut histogram = Histogram {
            reset_hint: float.reset_hint,
            schema: float.schema,
            zero_threshold: float.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: float.sum,
            positive_spans: float.positive_spans,
            positive_deltas: self.positive_deltas,
            negative_spans: float.negative_spans,
            negative_deltas: self.negative_deltas,
            custom_bounds: float.custom_bounds,
        };
        if is_too_fine {
            histogram.reduce_resolution(SCHEMA_MAX);
        }
        HistogramSample::Integer(Arc::new(histogram))
    }
}

fn reset_hint(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::CounterReset,
        2 => ResetHint::NotCounterReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}
