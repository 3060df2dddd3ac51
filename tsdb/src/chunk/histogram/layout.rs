//! What all histograms of a chunk have in common: written once, ahead of the first sample.
//!
//! ```text
//! zero threshold: 1 or 9 bytes │ schema: int │ positive spans │ negative spans │ custom bounds, for schema -53 only
//! spans:  uint count │ (uint length │ int offset)*
//! bounds: uint count │ (uint 1000·bound + 1, or 0 and 64 bits)*
//! ```
//!
//! Source: Prometheus chunk format documentation.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, SCHEMA_MAX, SCHEMA_MIN, Span};

use crate::chunk::ChunkError;
use crate::chunk::bits::{BitReader, BitSink, BitWriter};
use crate::chunk::varbit::{push_int, push_uint, read_int, read_uint};

/// The largest custom bound, in thousandths, that is written as an integer.
const THOUSANDTHS_MAX: f64 = 33_554_430.0;
/// A zero threshold of two to the `n` is written as the byte `n` plus this.
const EXPONENT_BIAS: i32 = 244;
/// The byte that says that the zero threshold follows as a float.
const THRESHOLD_FOLLOWS: u8 = 255;

/// Schema, zero bucket and where the buckets are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Resolution.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Upper bounds, for the schema that has them.
    pub custom_bounds: Vec<f64>,
}

impl Layout {
    /// Returns how many positive and negative buckets there are.
    pub fn bucket_counts(&self) -> (usize, usize) {
        (
            count_buckets(&self.positive_spans),
            count_buckets(&self.negative_spans),
        )
    }

    /// Returns the bytes reserved on the heap.
    pub fn heap_bytes(&self) -> usize {
        let spans = self.positive_spans.capacity() + self.negative_spans.capacity();
        spans * size_of::<Span>() + self.custom_bounds.capacity() * size_of::<f64>()
    }

    /// Writes the layout.
    pub fn push(&self, out: &mut BitWriter) {
        push_zero_threshold(out, self.zero_threshold);
        push_int(out, i64::from(self.schema));
        for spans in [&self.positive_spans, &self.negative_spans] {
            push_uint(out, spans.len() as u64);
            for span in spans {
                push_uint(out, u64::from(span.length));
                push_int(out, i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            push_uint(out, self.custom_bounds.len() as u64);
            for &bound in &self.custom_bounds {
                push_bound(out, bound);
            }
        }
    }

    /// Reads a layout.
    ///
    /// # Errors
    ///
    /// When the bits end early, the schema is unknown, or more buckets are promised than there are bits.
    pub fn read(bits: &mut BitReader<'_>) -> Result<Self, ChunkError> {
        let zero_threshold = read_zero_threshold(bits)?;
        let schema = i32::try_from(read_int(bits)?).map_err(|_| ChunkError::Invalid)?;
        if schema != CUSTOM_BUCKETS_SCHEMA && !(SCHEMA_MIN..=SCHEMA_MAX).contains(&schema) {
            return Err(ChunkError::Invalid);
        }
        let positive_spans = read_spans(bits)?;
        let negative_spans = read_spans(bits)?;
        let custom_bounds = match schema {
            CUSTOM_BUCKETS_SCHEMA => read_bounds(bits)?,
            _ => Vec::new(),
        };
        let layout = Layout {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            custom_bounds,
        };
        let (positive, negative) = layout.bucket_counts();
        // Every bucket of the first sample takes a bit at least: nothing is allocated for a count that cannot be true.
        if bits.remaining() < positive.saturating_add(negative) {
            return Err(ChunkError::Truncated);
        }
        Ok(layout)
    }
}

/// Returns how many buckets the spans have.
pub fn count_buckets(spans: &[Span]) -> usize {
    spans.iter().fold(0, |sum: usize, span| {
        sum.saturating_add(span.length as usize)
    })
}

fn read_spans(bits: &mut BitReader<'_>) -> Result<Vec<Span>, ChunkError> {
    let count = read_count(bits, 2)?;
    (0..count)
        .map(|_| {
            let length = read_uint(bits)?.try_into();
            let offset = read_int(bits)?.try_into();
            match (length, offset) {
                (Ok(length), Ok(offset)) => Ok(Span { offset, length }),
                _ => Err(ChunkError::Invalid),
            }
        })
        .collect()
}

fn read_bounds(bits: &mut BitReader<'_>) -> Result<Vec<f64>, ChunkError> {
    let count = read_count(bits, 5)?;
    (0..count).map(|_| read_bound(bits)).collect()
}

/// Reads how many things follow, of at least `bits_each` bits.
fn read_count(bits: &mut BitReader<'_>, bits_each: usize) -> Result<usize, ChunkError> {
    let count = usize::try_from(read_uint(bits)?).map_err(|_| ChunkError::Invalid)?;
    if bits.remaining() / bits_each < count {
        return Err(ChunkError::Truncated);
    }
    Ok(count)
}

/// Returns `n` for two to the `n`, with a normal `n`.
fn exact_exponent(value: f64) -> Option<i32> {
    const FRACTION_BITS: u32 = 52;
    let bits = value.to_bits();
    let biased = i32::try_from(bits >> FRACTION_BITS).ok()?;
    // A sign makes the exponent too large, so negative thresholds are none.
    let exact = bits.trailing_zeros() >= FRACTION_BITS && 0 < biased && biased < 0x7ff;
    exact.then_some(biased - 1023)
}

fn push_zero_threshold(out: &mut BitWriter, threshold: f64) {
    // Minus zero is zero here, as in Prometheus.
    if threshold == 0.0 {
        return out.push(0, 8);
    }
    let short = exact_exponent(threshold)
        .and_then(|exponent| u8::try_from(exponent + EXPONENT_BIAS).ok())
        .filter(|byte| (1..THRESHOLD_FOLLOWS).contains(byte));
    if let Some(byte) = short {
        return out.push(u64::from(byte), 8);
    }
    out.push(u64::from(THRESHOLD_FOLLOWS), 8);
    out.push(threshold.to_bits(), 64);
}

fn read_zero_threshold(bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
    Ok(match bits.bits(8)? {
        0 => 0.0,
        255 => f64::from_bits(bits.bits(64)?),
        // Exponents of -243 to 10 are normal: the bits are the biased exponent and an empty fraction.
        byte => f64::from_bits((byte + 1023 - EXPONENT_BIAS.unsigned_abs() as u64) << 52),
    })
}

fn push_bound(out: &mut BitWriter, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole = thousandths.round();
    // Whole only if the reader gets the same float back.
    if (0.0..=THOUSANDTHS_MAX).contains(&thousandths) && whole / 1000.0 == bound {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number of at most 33,554,430"
        )]
        return push_uint(out, whole as u64 + 1);
    }
    out.push(0, 1);
    out.push(bound.to_bits(), 64);
}

fn read_bound(bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
    Ok(match read_uint(bits)? {
        0 => f64::from_bits(bits.bits(64)?),
        thousandths => (thousandths - 1) as f64 / 1000.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_threshold(threshold: f64, expected: &[u8]) {
        let mut out = BitWriter::default();
        push_zero_threshold(&mut out, threshold);
        assert_eq!(out.bytes(), expected);
        let read = read_zero_threshold(&mut BitReader::new(out.bytes())).unwrap();
        assert_eq!(read, threshold);
    }

    #[test]
    fn usual_zero_thresholds_take_one_byte() {
        check_threshold(0.0, &[0]);
        check_threshold(2f64.powi(-128), &[116]);
        check_threshold(2f64.powi(-243), &[1]);
        check_threshold(1024.0, &[254]);
        check_threshold(2048.0, &[255, 0x40, 0xa0, 0, 0, 0, 0, 0, 0]);
        check_threshold(2f64.powi(-244), &[255, 0x30, 0xb0, 0, 0, 0, 0, 0, 0]);
        check_threshold(-1.0, &[255, 0xbf, 0xf0, 0, 0, 0, 0, 0, 0]);
        check_threshold(0.75, &[255, 0x3f, 0xe8, 0, 0, 0, 0, 0, 0]);
        check_threshold(f64::INFINITY, &[255, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]);
    }

    #[track_caller]
    fn check_bound(bound: f64, bits: usize) {
        let mut out = BitWriter::default();
        push_bound(&mut out, bound);
        assert_eq!(out.bytes().len(), bits.div_ceil(8), "{bound}");
        let read = read_bound(&mut BitReader::new(out.bytes())).unwrap();
        assert_eq!(read.to_bits(), bound.to_bits());
    }

    #[test]
    fn decimal_bounds_are_short() {
        check_bound(0.0, 5);
        check_bound(0.006, 5);
        check_bound(0.007, 9);
        check_bound(0.1, 13);
        check_bound(33_554.43, 32);
        check_bound(33_554.431, 65);
        check_bound(-1.0, 65);
        check_bound(0.0001, 65);
        check_bound(f64::INFINITY, 65);
        check_bound(f64::NAN, 65);
    }

    #[test]
    fn bytes_are_as_documented() {
        let layout = Layout {
            schema: 3,
            zero_threshold: 2f64.powi(-128),
            positive_spans: vec![Span {
                offset: -2,
                length: 5,
            }],
            negative_spans: vec![],
            custom_bounds: vec![],
        };
        let mut out = BitWriter::default();
        layout.push(&mut out);
        // Threshold 116 │ schema 10 011 │ one span 10 001, length 10 101, offset 10 110 │ no spans 0.
        assert_eq!(out.bytes(), [116, 0b1001_1100, 0b0110_1011, 0b0110_0000]);
    }

    #[test]
    fn impossible_counts_allocate_nothing() {
        let mut out = BitWriter::default();
        out.push(0, 8);
        push_int(&mut out, 3);
        push_uint(&mut out, u64::MAX);
        let read = Layout::read(&mut BitReader::new(out.bytes()));
        assert_eq!(read, Err(ChunkError::Truncated));
    }

    proptest! {
        #[test]
        fn layouts_read_back(
            schema in prop_oneof![-4i32..=8, Just(CUSTOM_BUCKETS_SCHEMA)], zero_threshold: f64,
            spans in prop::collection::vec((any::<i32>(), 0u32..6), 0..9), bounds: Vec<f64>,
        ) {
            let spans: Vec<_> = spans.into_iter().map(|(offset, length)| Span { offset, length }).collect();
            let custom_bounds = if schema == CUSTOM_BUCKETS_SCHEMA { bounds } else { vec![] };
            let layout = Layout {
                schema, zero_threshold, custom_bounds,
                positive_spans: spans.clone(), negative_spans: spans[..spans.len() / 2].to_vec(),
            };
            let mut out = BitWriter::default();
            layout.push(&mut out);
            out.push(0, 64);
            out.push(0, 64);
            prop_assert_eq!(Layout::read(&mut BitReader::new(out.bytes())), Ok(layout));
        }
    }
}
