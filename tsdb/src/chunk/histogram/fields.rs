//! The fields of histograms with integer and with float counts, sample by sample.
//!
//! ```text
//! integer       time   counts   sum   buckets     float         time   counts   sum   buckets
//! sample 0      int    uint     f64   int         sample 0      int    f64      f64   f64
//! sample 1      delta  delta    xor   delta       sample 1      delta  xor      xor   xor
//! sample 2 …    dod    dod      xor   dod         sample 2 …    dod    xor      xor   xor
//! ```
//!
//! Counts are those of all observations and of the zero bucket. Integer buckets are, in themselves, differences to the
//! bucket before. The difference to the sample before and the difference of two such differences (dod) are the same
//! thing when the first difference starts at 0.

use std::borrow::Cow;

use model::histogram::{FloatHistogram, Histogram, ResetHint, Span};
use model::is_stale;

use super::layout::Layout;
use crate::chunk::ChunkError;
use crate::chunk::bits::{BitReader, BitSink, BitWriter};
use crate::chunk::varbit::{push_int, push_uint, read_int, read_uint};
use crate::chunk::window::Window;

/// The shape of a histogram, whatever its counts are.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// What is known about a counter reset.
    pub reset_hint: ResetHint,
    /// Resolution.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Where the positive buckets are.
    pub positive_spans: &'a [Span],
    /// Where the negative buckets are.
    pub negative_spans: &'a [Span],
    /// Upper bounds, for the schema that has them.
    pub custom_bounds: &'a [f64],
}

/// The numbers of a histogram, its buckets as they are stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers<'a, C, B: Clone> {
    /// All observations.
    pub count: C,
    /// Observations in the zero bucket.
    pub zero_count: C,
    /// Sum of the observations.
    pub sum: f64,
    /// Positive buckets.
    pub positive: Cow<'a, [B]>,
    /// Negative buckets.
    pub negative: Cow<'a, [B]>,
}

impl<C: Default, B: Clone> Numbers<'_, C, B> {
    /// Returns the numbers of a staleness marker: nothing but the sum.
    pub fn stale(sum: f64) -> Self {
        Numbers {
            count: C::default(),
            zero_count: C::default(),
            sum,
            positive: Cow::Borrowed(&[]),
            negative: Cow::Borrowed(&[]),
        }
    }
}

/// The numbers of a kind of histogram.
pub type NumbersOf<'a, F> = Numbers<'a, <F as Fields>::Count, <F as Fields>::Bucket>;

/// What is known of the sample before the next one: the state of writing and of reading.
///
/// There are two, [`IntFields`] and [`FloatFields`].
pub trait Fields: Default + std::fmt::Debug {
    /// The histograms.
    type Histogram;
    /// The type of a count.
    type Count: Copy + Default + PartialOrd;
    /// A bucket as it is stored.
    type Bucket: Copy + std::fmt::Debug + PartialEq + 'static;
    /// The absolute count of a bucket.
    type Absolute: Copy + Default + PartialOrd;

    /// The header of a chunk that was cut because of something other than a counter reset.
    const CUT_HEADERS: CutHeaders;

    /// Returns the shape of a histogram.
    fn shape(histogram: &Self::Histogram) -> Shape<'_>;

    /// Returns the numbers of a histogram.
    fn numbers(histogram: &Self::Histogram) -> NumbersOf<'_, Self>;

    /// Puts a histogram together.
    fn build(layout: &Layout, hint: ResetHint, numbers: NumbersOf<'_, Self>) -> Self::Histogram;

    /// Iterates over the absolute counts of buckets.
    fn absolute(buckets: &[Self::Bucket]) -> impl Iterator<Item = Self::Absolute>;

    /// Turns absolute counts into buckets in place.
    fn stored(counts: Vec<Self::Absolute>) -> Vec<Self::Bucket>;

    /// Returns whether two counts are equal bit for bit.
    fn same_count(a: Self::Count, b: Self::Count) -> bool;

    /// Returns whether two absolute counts are equal bit for bit.
    fn same_absolute(a: Self::Absolute, b: Self::Absolute) -> bool;

    /// Returns the last sample; its buckets are those of the last one that was no staleness marker.
    fn last(&self, positive_count: usize) -> NumbersOf<'static, Self>;

    /// Returns the last sample as a float histogram, as queries see it.
    fn last_float(&self, layout: &Layout, hint: ResetHint, positive_count: usize)
    -> FloatHistogram;

    /// Returns the last sample's count, zero count and sum.
    fn last_totals(&self) -> (Self::Count, Self::Count, f64);

    /// Iterates over the absolute counts of the positive and negative buckets of the last sample.
    fn last_counts(&self, positive_count: usize) -> [impl Iterator<Item = Self::Absolute> + '_; 2];

    /// Returns the bytes reserved on the heap.
    fn heap_bytes(&self) -> usize;

    /// Writes the first sample.
    fn push_first(&mut self, out: &mut BitWriter, numbers: &NumbersOf<'_, Self>);

    /// Writes another sample with as many buckets as the first, or none if it is stale.
    fn push_next(&mut self, out: &mut BitWriter, numbers: &NumbersOf<'_, Self>);

    /// Reads the first sample.
    ///
    /// # Errors
    ///
    /// When the bits end early.
    fn read_first(
        &mut self,
        bits: &mut BitReader<'_>,
        bucket_count: usize,
    ) -> Result<(), ChunkError>;

    /// Reads another sample.
    ///
    /// # Errors
    ///
    /// When the bits end early.
    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError>;
}

/// What the header of the next chunk says where no counter reset was found.
///
/// The kinds differ here in Prometheus, and so they do here.
#[derive(Clone, Copy, Debug)]
pub struct CutHeaders {
    /// A counter comes after a gauge.
    pub after_gauge: ResetHint,
    /// The chunk was full, and the next histogram would not have fitted anyway: it has another schema, say.
    pub misfit_when_full: ResetHint,
}

/// A float as the XOR with the one before.
#[derive(Clone, Copy, Debug)]
struct XorField {
    bits: u64,
    window: Window,
}

impl XorField {
    const WRITE: XorField = XorField {
        bits: 0,
        window: Window::UNSET,
    };
    /// A reader that is told to use the last window before there is one reads all bits.
    const READ: XorField = XorField {
        bits: 0,
        window: Window::FULL,
    };

    fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }

    fn push_first(&mut self, out: &mut BitWriter, value: f64) {
        *self = XorField {
            bits: value.to_bits(),
            ..XorField::WRITE
        };
        out.push(self.bits, 64);
    }

    #[inline]
    fn push_next(&mut self, out: &mut BitWriter, value: f64) {
        let xor = value.to_bits() ^ self.bits;
        self.window.push(xor, |bits, count| out.push(bits, count));
        self.bits = value.to_bits();
    }

    fn read_first(bits: &mut BitReader<'_>) -> Result<Self, ChunkError> {
        Ok(XorField {
            bits: bits.bits(64)?,
            ..XorField::READ
        })
    }

    #[inline]
    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.bits ^= self.window.read(bits)?;
        Ok(())
    }
}

/// An integer as the difference of differences.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeltaField {
    /// The last value.
    pub value: i64,
    delta: i64,
}

impl DeltaField {
    /// Starts at a value.
    pub fn of(value: i64) -> Self {
        DeltaField { value, delta: 0 }
    }

    /// Goes to the next value and returns the difference of differences.
    #[inline]
    pub fn advance(&mut self, value: i64) -> i64 {
        let delta = value.wrapping_sub(self.value);
        let dod = delta.wrapping_sub(self.delta);
        *self = DeltaField { value, delta };
        dod
    }

    /// Reads the next value.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`].
    #[inline]
    pub fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.delta = self.delta.wrapping_add(read_int(bits)?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(())
    }
}

/// The fields of histograms with integer counts.
#[derive(Debug)]
pub struct IntFields {
    count: DeltaField,
    zero_count: DeltaField,
    sum: XorField,
    /// Positive, then negative.
    buckets: Vec<DeltaField>,
}

impl Default for IntFields {
    fn default() -> Self {
        IntFields {
            count: DeltaField::default(),
            zero_count: DeltaField::default(),
            sum: XorField::WRITE,
            buckets: Vec::new(),
        }
    }
}

impl Fields for IntFields {
    type Histogram = Histogram;
    type Count = u64;
    type Bucket = i64;
    type Absolute = i64;

    const CUT_HEADERS: CutHeaders = CutHeaders {
        after_gauge: ResetHint::NotCounterReset,
        misfit_when_full: ResetHint::Unknown,
    };

    fn shape(h: &Histogram) -> Shape<'_> {
        Shape {
            reset_hint: h.reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            positive_spans: &h.positive_spans,
            negative_spans: &h.negative_spans,
            custom_bounds: &h.custom_bounds,
        }
    }

    fn numbers(h: &Histogram) -> Numbers<'_, u64, i64> {
        Numbers {
            count: h.count,
            zero_count: h.zero_count,
            sum: h.sum,
            positive: Cow::Borrowed(&h.positive_deltas),
            negative: Cow::Borrowed(&h.negative_deltas),
        }
    }

    fn build(layout: &Layout, hint: ResetHint, numbers: Numbers<'_, u64, i64>) -> Histogram {
        Histogram {
            reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: numbers.zero_count,
            count: numbers.count,
            sum: numbers.sum,
            positive_spans: layout.positive_spans.clone(),
            positive_deltas: numbers.positive.into_owned(),
            negative_spans: layout.negative_spans.clone(),
            negative_deltas: numbers.negative.into_owned(),
            custom_bounds: layout.custom_bounds.clone(),
        }
    }

    fn absolute(buckets: &[i64]) -> impl Iterator<Item = i64> {
        buckets.iter().scan(0i64, |count, &delta| {
            *count = count.wrapping_add(delta);
            Some(*count)
        })
    }

    fn stored(mut counts: Vec<i64>) -> Vec<i64> {
        let mut before = 0;
        for count in &mut counts {
            (*count, before) = (count.wrapping_sub(before), *count);
        }
        counts
    }

    fn same_count(a: u64, b: u64) -> bool {
        a == b
    }

    fn same_absolute(a: i64, b: i64) -> bool {
        a == b
    }

    fn last(&self, positive_count: usize) -> Numbers<'static, u64, i64> {
        let (positive, negative) = self.buckets.split_at(positive_count);
        Numbers {
            count: self.count.value.cast_unsigned(),
            zero_count: self.zero_count.value.cast_unsigned(),
            sum: self.sum.value(),
            positive: positive.iter().map(|bucket| bucket.value).collect(),
            negative: negative.iter().map(|bucket| bucket.value).collect(),
        }
    }

    fn last_float(
        &self,
        layout: &Layout,
        hint: ResetHint,
        positive_count: usize,
    ) -> FloatHistogram {
        let numbers = Numbers {
            count: self.count.value.cast_unsigned() as f64,
            zero_count: self.zero_count.value.cast_unsigned() as f64,
            sum: self.sum.value(),
            positive: Cow::Borrowed(&[][..]),
            negative: Cow::Borrowed(&[][..]),
        };
        let mut histogram = FloatFields::build(layout, hint, numbers);
        let [positive, negative] = self.last_counts(positive_count);
        histogram.positive_buckets = positive.map(|count| count as f64).collect();
        histogram.negative_buckets = negative.map(|count| count as f64).collect();
        histogram
    }

    fn last_totals(&self) -> (u64, u64, f64) {
        (
            self.count.value.cast_unsigned(),
            self.zero_count.value.cast_unsigned(),
            self.sum.value(),
        )
    }

    fn last_counts(&self, positive_count: usize) -> [impl Iterator<Item = i64> + '_; 2] {
        let (positive, negative) = self.buckets.split_at(positive_count);
        [positive, negative].map(|buckets| {
            buckets.iter().scan(0i64, |count, bucket| {
                *count = count.wrapping_add(bucket.value);
                Some(*count)
            })
        })
    }

    fn heap_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<DeltaField>()
    }

    fn push_first(&mut self, out: &mut BitWriter, numbers: &Numbers<'_, u64, i64>) {
        push_uint(out, numbers.count);
        push_uint(out, numbers.zero_count);
        self.count = DeltaField::of(numbers.count.cast_signed());
        self.zero_count = DeltaField::of(numbers.zero_count.cast_signed());
        self.sum.push_first(out, numbers.sum);
        self.buckets.clear();
        self.buckets
            .reserve_exact(numbers.positive.len() + numbers.negative.len());
        for &bucket in numbers.positive.iter().chain(&*numbers.negative) {
            push_int(out, bucket);
            self.buckets.push(DeltaField::of(bucket));
        }
    }

    fn push_next(&mut self, out: &mut BitWriter, numbers: &Numbers<'_, u64, i64>) {
        let counts = [
            self.count.advance(numbers.count.cast_signed()),
            self.zero_count.advance(numbers.zero_count.cast_signed()),
        ];
        for dod in counts {
            // A staleness marker's counts do not matter, and nothing but markers comes after it.
            push_int(out, if is_stale(numbers.sum) { 0 } else { dod });
        }
        self.sum.push_next(out, numbers.sum);
        let buckets = numbers.positive.iter().chain(&*numbers.negative);
        for (&bucket, field) in buckets.zip(&mut self.buckets) {
            push_int(out, field.advance(bucket));
        }
    }

    fn read_first(
        &mut self,
        bits: &mut BitReader<'_>,
        bucket_count: usize,
    ) -> Result<(), ChunkError> {
        self.count = DeltaField::of(read_uint(bits)?.cast_signed());
        self.zero_count = DeltaField::of(read_uint(bits)?.cast_signed());
        self.sum = XorField::read_first(bits)?;
        self.buckets.reserve_exact(bucket_count);
        for _ in 0..bucket_count {
            self.buckets.push(DeltaField::of(read_int(bits)?));
        }
        Ok(())
    }

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.count.read_next(bits)?;
        self.zero_count.read_next(bits)?;
        self.sum.read_next(bits)?;
        if is_stale(self.sum.value()) {
            return Ok(());
        }
        self.buckets
            .iter_mut()
            .try_for_each(|bucket| bucket.read_next(bits))
    }
}

/// The fields of histograms with float counts.
#[derive(Debug)]
pub struct FloatFields {
    count: XorField,
    zero_count: XorField,
    sum: XorField,
    /// Positive, then negative.
    buckets: Vec<XorField>,
}

impl Default for FloatFields {
    fn default() -> Self {
        FloatFields {
            count: XorField::WRITE,
            zero_count: XorField::WRITE,
            sum: XorField::WRITE,
            buckets: Vec::new(),
        }
    }
}

impl Fields for FloatFields {
    type Histogram = FloatHistogram;
    type Count = f64;
    type Bucket = f64;
    type Absolute = f64;

    const CUT_HEADERS: CutHeaders = CutHeaders {
        after_gauge: ResetHint::Unknown,
        misfit_when_full: ResetHint::NotCounterReset,
    };

    fn shape(h: &FloatHistogram) -> Shape<'_> {
        Shape {
            reset_hint: h.reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            positive_spans: &h.positive_spans,
            negative_spans: &h.negative_spans,
            custom_bounds: &h.custom_bounds,
        }
    }

    fn numbers(h: &FloatHistogram) -> Numbers<'_, f64, f64> {
        Numbers {
            count: h.count,
            zero_count: h.zero_count,
            sum: h.sum,
            positive: Cow::Borrowed(&h.positive_buckets),
            negative: Cow::Borrowed(&h.negative_buckets),
        }
    }

    fn build(layout: &Layout, hint: ResetHint, numbers: Numbers<'_, f64, f64>) -> FloatHistogram {
        FloatHistogram {
            reset_hint: hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: numbers.zero_count,
            count: numbers.count,
            sum: numbers.sum,
            positive_spans: layout.positive_spans.clone(),
            positive_buckets: numbers.positive.into_owned(),
            negative_spans: layout.negative_spans.clone(),
            negative_buckets: numbers.negative.into_owned(),
            custom_bounds: layout.custom_bounds.clone(),
        }
    }

    fn absolute(buckets: &[f64]) -> impl Iterator<Item = f64> {
        buckets.iter().copied()
    }

    fn stored(counts: Vec<f64>) -> Vec<f64> {
        counts
    }

    fn same_count(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits()
    }

    fn same_absolute(a: f64, b: f64) -> bool {
        a.to_bits() == b.to_bits()
    }

    fn last(&self, positive_count: usize) -> Numbers<'static, f64, f64> {
        let (positive, negative) = self.buckets.split_at(positive_count);
        Numbers {
            count: self.count.value(),
            zero_count: self.zero_count.value(),
            sum: self.sum.value(),
            positive: positive.iter().map(|bucket| bucket.value()).collect(),
            negative: negative.iter().map(|bucket| bucket.value()).collect(),
        }
    }

    fn last_float(
        &self,
        layout: &Layout,
        hint: ResetHint,
        positive_count: usize,
    ) -> FloatHistogram {
        FloatFields::build(layout, hint, self.last(positive_count))
    }

    fn last_totals(&self) -> (f64, f64, f64) {
        (
            self.count.value(),
            self.zero_count.value(),
            self.sum.value(),
        )
    }

    fn last_counts(&self, positive_count: usize) -> [impl Iterator<Item = f64> + '_; 2] {
        let (positive, negative) = self.buckets.split_at(positive_count);
        [positive, negative].map(|buckets| buckets.iter().map(|bucket| bucket.value()))
    }

    fn heap_bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<XorField>()
    }

    fn push_first(&mut self, out: &mut BitWriter, numbers: &Numbers<'_, f64, f64>) {
        self.count.push_first(out, numbers.count);
        self.zero_count.push_first(out, numbers.zero_count);
        self.sum.push_first(out, numbers.sum);
        self.buckets.clear();
        self.buckets
            .reserve_exact(numbers.positive.len() + numbers.negative.len());
        for &bucket in numbers.positive.iter().chain(&*numbers.negative) {
            let mut field = XorField::WRITE;
            field.push_first(out, bucket);
            self.buckets.push(field);
        }
    }

    fn push_next(&mut self, out: &mut BitWriter, numbers: &Numbers<'_, f64, f64>) {
        self.count.push_next(out, numbers.count);
        self.zero_count.push_next(out, numbers.zero_count);
        self.sum.push_next(out, numbers.sum);
        let buckets = numbers.positive.iter().chain(&*numbers.negative);
        for (&bucket, field) in buckets.zip(&mut self.buckets) {
            field.push_next(out, bucket);
        }
    }

    fn read_first(
        &mut self,
        bits: &mut BitReader<'_>,
        bucket_count: usize,
    ) -> Result<(), ChunkError> {
        self.count = XorField::read_first(bits)?;
        self.zero_count = XorField::read_first(bits)?;
        self.sum = XorField::read_first(bits)?;
        if bits.remaining() / 64 < bucket_count {
            return Err(ChunkError::Truncated);
        }
        self.buckets.reserve_exact(bucket_count);
        for _ in 0..bucket_count {
            self.buckets.push(XorField::read_first(bits)?);
        }
        Ok(())
    }

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.count.read_next(bits)?;
        self.zero_count.read_next(bits)?;
        self.sum.read_next(bits)?;
        if is_stale(self.sum.value()) {
            return Ok(());
        }
        self.buckets
            .iter_mut()
            .try_for_each(|bucket| bucket.read_next(bits))
    }
}
