//! The `Histogram` message: classic buckets, native ones, or both side by side.

use std::sync::Arc;

use model::exemplar::Exemplar;
use model::histogram::{FloatHistogram, Histogram, ResetHint, SCHEMA_MAX};
use model::protobuf::{Fields, WireError, int32, span, zigzag};
use model::storage::HistogramSample;

use super::{Problem, normal, read_exemplar};
use crate::exposition::classic::ClassicHistogram;

/// The finest schema that targets may use; it is taken in at [`SCHEMA_MAX`].
const SCHEMA_RESERVED_MAX: i32 = 52;

/// What says whether a message has a native histogram, and the numbers both kinds share.
#[derive(Clone, Copy)]
pub(super) struct HistogramMessage<'a> {
    message: &'a [u8],
    count: u64,
    count_float: f64,
    pub(super) sum: f64,
    zero_count_float: f64,
    is_native: bool,
    has_classic: bool,
    is_gauge: bool,
}

/// One classic bucket.
#[derive(Clone, Copy)]
pub(super) struct Bucket<'a> {
    pub(super) bound: f64,
    /// Observations up to the bound.
    pub(super) count: f64,
    pub(super) exemplar: Option<&'a [u8]>,
}

impl<'a> HistogramMessage<'a> {
    pub(super) fn read(message: &'a [u8], is_gauge: bool) -> Result<Self, Problem> {
        let mut found = HistogramMessage {
            message,
            count: 0,
            count_float: 0.0,
            sum: 0.0,
            zero_count_float: 0.0,
            is_native: false,
            has_classic: false,
            is_gauge,
        };
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.read()? {
            match number {
                1 => found.count = value.varint("SampleCount")?,
                2 => found.sum = normal(value.double("SampleSum")?),
                3 => found.has_classic = true,
                4 => found.count_float = value.double("SampleCountFloat")?,
                6 => found.is_native |= 0.0 < value.double("ZeroThreshold")?,
                7 => found.is_native |= 0 < value.varint("ZeroCount")?,
                8 => {
                    found.zero_count_float = value.double("ZeroCountFloat")?;
                    found.is_native |= 0.0 < found.zero_count_float;
                }
                // One without observations has an empty span, to say that it is native.
                9 | 12 => found.is_native = true,
                _ => (),
            }
        }
        Ok(found)
    }

    pub(super) fn fields(&self) -> Fields<'a> {
        Fields::of(self.message)
    }

    /// Whether there is a native histogram.
    pub(super) fn is_native(&self) -> bool {
        self.is_native
    }

    /// Whether there are classic buckets.
    pub(super) fn has_classic(&self) -> bool {
        self.has_classic
    }

    /// Returns how many observations there are.
    pub(super) fn count(&self) -> f64 {
        if 0.0 < self.count_float {
            self.count_float
        } else {
            self.count as f64
        }
    }

    /// Returns the bucket without upper bound, for messages that leave it out.
    pub(super) fn infinite_bucket(&self) -> Bucket<'a> {
        Bucket {
            bound: f64::INFINITY,
            count: self.count(),
            exemplar: None,
        }
    }

    /// Gives the classic buckets to `out`.
    pub(super) fn classic_into(&self, out: &mut ClassicHistogram) -> Result<(), Problem> {
        out.clear();
        out.sum(self.sum);
        out.count(self.count());
        let mut fields = self.fields();
        while let Some(bucket) = next_bucket(&mut fields)? {
            out.bucket(bucket.bound, bucket.count);
        }
        Ok(())
    }

    /// Returns the exemplars that say their time, ascending: those of the native histogram if it has any, or else those of
    /// the classic buckets.
    pub(super) fn exemplars(&self) -> Result<Vec<Exemplar>, Problem> {
        let mut exemplars = Vec::new();
        let mut fields = self.fields();
        while let Some((number, value)) = fields.read()? {
            if number == 16 {
                let exemplar = read_exemplar(value.bytes("Exemplars")?)?;
                exemplars.push(exemplar.into_exemplar());
            }
        }
        if exemplars.is_empty() {
            let mut fields = self.fields();
            while let Some(bucket) = next_bucket(&mut fields)? {
                if let Some(message) = bucket.exemplar {
                    exemplars.push(read_exemplar(message)?.into_exemplar());
                }
            }
        }
        exemplars.retain(|exemplar| exemplar.t.is_some());
        exemplars.sort_by_key(|exemplar| exemplar.t);
        Ok(exemplars)
    }

    /// Returns the native histogram. Whether it contradicts itself is up to the caller to find out.
    pub(super) fn native(&self) -> Result<HistogramSample, Problem> {
        let is_float = 0.0 < self.count_float || 0.0 < self.zero_count_float;
        let mut float = FloatHistogram {
            sum: self.sum,
            count: self.count_float,
            zero_count: self.zero_count_float,
            ..FloatHistogram::default()
        };
        if self.is_gauge {
            float.reset_hint = ResetHint::Gauge;
        }
        let mut integer = Histogram::default();
        let mut fields = self.fields();
        while let Some((number, value)) = fields.read()? {
            match number {
                5 => float.schema = int32(zigzag(value.varint("Schema")?)),
                6 => float.zero_threshold = value.double("ZeroThreshold")?,
                7 => integer.zero_count = value.varint("ZeroCount")?,
                9 => float.negative_spans.push(span(value, "Span")?),
                10 => value.varints_into("NegativeDelta", &mut integer.negative_deltas, zigzag)?,
                11 => value.doubles_into("NegativeCount", &mut float.negative_buckets)?,
                12 => float.positive_spans.push(span(value, "Span")?),
                13 => value.varints_into("PositiveDelta", &mut integer.positive_deltas, zigzag)?,
                14 => value.doubles_into("PositiveCount", &mut float.positive_buckets)?,
                _ => (),
            }
        }
        let is_too_fine = SCHEMA_MAX < float.schema && float.schema <= SCHEMA_RESERVED_MAX;
        if is_float {
            if is_too_fine {
                float.reduce_resolution(SCHEMA_MAX);
            }
            return Ok(HistogramSample::Float(Arc::new(float)));
        }
        integer = Histogram {
            reset_hint: float.reset_hint,
            schema: float.schema,
            zero_threshold: float.zero_threshold,
            count: self.count,
            sum: self.sum,
            positive_spans: float.positive_spans,
            negative_spans: float.negative_spans,
            ..integer
        };
        if is_too_fine {
            integer.reduce_resolution(SCHEMA_MAX);
        }
        Ok(HistogramSample::Integer(Arc::new(integer)))
    }
}

/// Returns the next classic bucket of a message.
pub(super) fn next_bucket<'a>(fields: &mut Fields<'a>) -> Result<Option<Bucket<'a>>, Problem> {
    while let Some((number, value)) = fields.read()? {
        if number == 3 {
            return Ok(Some(bucket(value.bytes("Bucket")?)?));
        }
    }
    Ok(None)
}

fn bucket(message: &[u8]) -> Result<Bucket<'_>, WireError> {
    let (mut count, mut count_float) = (0, 0.0);
    let (mut bound, mut exemplar) = (0.0, None);
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.read()? {
        match number {
            1 => count = value.varint("CumulativeCount")?,
            2 => bound = value.double("UpperBound")?,
            3 => exemplar = Some(value.bytes("Exemplar")?),
            4 => count_float = value.double("CumulativeCountFloat")?,
            _ => (),
        }
    }
    let count = if 0.0 < count_float {
        count_float
    } else {
        count as f64
    };
    Ok(Bucket {
        bound,
        count,
        exemplar,
    })
}
