//! Chunks of native histograms, with integer counts (encoding 2) and with float counts (encoding 3).
//!
//! ```text
//! u16 count │ u8 flags │ layout │ (time │ count │ zero count │ sum │ positive buckets │ negative buckets)*
//! flags: 2 bits counter reset: 00 unknown, 10 reset, 01 no reset, 11 gauge │ 6 bits unused
//! ```
//!
//! Everything after the flags is bit-packed: [`layout`] is what all samples share, [`fields`] are the samples. A
//! staleness marker (its sum says so) has no buckets, and nothing but markers comes after it in a chunk.
//!
//! One chunk has one layout. A histogram with more buckets makes the writer write the whole chunk again with the wider
//! layout; one with fewer gets empty buckets; one that cannot be made to fit ([`Appended::Cut`]) starts a new chunk.
//! Within a chunk of counters there is no counter reset.
//!
//! The encodings with start timestamps (5 and 6) have the header's bits above a 14-bit count, and the header of
//! [`starts`](super::starts) in place of the flags; a start timestamp comes after its sample.
//!
//! Bit-compatible with Prometheus' `histogram` and `floathistogram` encodings; what makes a new chunk, and what its
//! header says, follows Prometheus as well.
//!
//! Source: Prometheus chunk format documentation.

pub mod fields;
pub mod fit;
pub mod layout;

use std::borrow::Cow;
use std::sync::Arc;

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint};
use model::is_stale;
use model::storage::SampleColumns;

use self::fields::{DeltaField, Fields, FloatFields, IntFields, Numbers, NumbersOf, Shape};
use self::fit::{Fit, Side};
use self::layout::{Layout, count_buckets};
use super::bits::{BitReader, BitSink, BitWriter};
use super::starts::{Starts, StartsWriter};
use super::varbit::{push_int, read_int};
use super::{ChunkError, Encoding};

/// Writes histograms with integer counts.
pub type HistogramWriter = Writer<IntFields>;
/// Writes histograms with float counts.
pub type FloatHistogramWriter = Writer<FloatFields>;
/// Reads histograms with integer counts.
pub type HistogramReader<'a> = Reader<'a, IntFields>;
/// Reads histograms with float counts.
pub type FloatHistogramReader<'a> = Reader<'a, FloatFields>;

/// What became of a histogram that was to be appended to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the chunk, and the bytes before it are the same as before.
    AsIs,
    /// It is in the chunk, all of which was written again with more buckets.
    Recoded,
    /// It is not in the chunk, which is as before: a new one must be started with this header.
    Cut(ResetHint),
}

/// Samples that a chunk with start timestamps can count.
const COUNT_MAX_WITH_STARTS: u16 = 0x3fff;

/// Returns which byte of a chunk has the counter reset header, in its top two bits; `None` of floats.
pub const fn header_at(encoding: Encoding) -> Option<usize> {
    match encoding {
        Encoding::Xor | Encoding::Xor2 => None,
        Encoding::Histogram | Encoding::FloatHistogram => Some(2),
        Encoding::HistogramSt | Encoding::FloatHistogramSt => Some(0),
    }
}

/// Returns the counter reset header of a chunk of histograms, if it is that long.
pub fn header(encoding: Encoding, chunk: &[u8]) -> Option<ResetHint> {
    chunk
        .get(header_at(encoding)?)
        .map(|&flags| header_of(flags))
}

fn header_of(flags: u8) -> ResetHint {
    match flags >> 6 {
        0b00 => ResetHint::Unknown,
        0b01 => ResetHint::NotCounterReset,
        0b10 => ResetHint::CounterReset,
        _ => ResetHint::Gauge,
    }
}

const fn flags(header: ResetHint) -> u8 {
    match header {
        ResetHint::Unknown => 0,
        ResetHint::NotCounterReset => 0b0100_0000,
        ResetHint::CounterReset => 0b1000_0000,
        ResetHint::Gauge => 0b1100_0000,
    }
}

/// A chunk that is being written, with what the next sample is a difference to.
///
/// Its bytes are a complete chunk after every append.
#[derive(Debug)]
pub struct Writer<F> {
    bits: BitWriter,
    layout: Layout,
    time: DeltaField,
    fields: F,
    count: u16,
    header: ResetHint,
    /// Of an encoding with start timestamps.
    starts: Option<Box<StartsWriter>>,
}

/// Why a histogram does not go into a chunk.
enum Misfit {
    /// A counter started again.
    Reset,
    /// The chunk has gauges and the histogram is a counter.
    AfterGauge,
    /// It has another schema, for example.
    Other,
}

/// How the buckets of a histogram fit those of a chunk.
#[derive(Default)]
struct Fits {
    positive: Fit,
    negative: Fit,
}

impl Fits {
    fn chunk_lacks(&self) -> bool {
        self.positive.chunk_lacks || self.negative.chunk_lacks
    }

    fn histogram_lacks(&self) -> bool {
        self.positive.histogram_lacks || self.negative.histogram_lacks
    }
}

impl<F: Fields> Default for Writer<F> {
    fn default() -> Self {
        Writer {
            bits: BitWriter::default(),
            layout: Layout::default(),
            time: DeltaField::default(),
            fields: F::default(),
            count: 0,
            header: ResetHint::Unknown,
            starts: None,
        }
    }
}

impl<F: Fields> Writer<F> {
    /// Returns an empty chunk, of which nothing is known about a counter reset.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an empty chunk of the encoding with start timestamps.
    pub fn with_starts() -> Self {
        Writer {
            starts: Some(Box::default()),
            ..Self::default()
        }
    }

    /// Returns whether the encoding is the one with start timestamps.
    pub fn has_starts(&self) -> bool {
        self.starts.is_some()
    }

    /// Returns the encoded chunk; empty before the first sample.
    pub fn bytes(&self) -> &[u8] {
        self.bits.bytes()
    }

    /// Returns how many samples there are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Returns the last sample's time; meaningless before the first.
    pub fn last_t(&self) -> i64 {
        self.time.value
    }

    /// Returns whether the last sample is a staleness marker.
    pub fn is_last_stale(&self) -> bool {
        self.count != 0 && is_stale(self.fields.last_totals().2)
    }

    /// Returns the counter reset header.
    pub fn header(&self) -> ResetHint {
        self.header
    }

    /// Returns the bytes reserved on the heap.
    pub fn heap_bytes(&self) -> usize {
        let starts = self.starts.as_deref().map_or(0, size_of_val);
        self.bits.heap_bytes() + self.layout.heap_bytes() + self.fields.heap_bytes() + starts
    }

    /// Starts again with an empty chunk and keeps the buffer.
    ///
    /// * `header`: what [`Appended::Cut`] or [`header_after`](Writer::header_after) said; [`ResetHint::Unknown`] for the
    ///   first chunk of a series.
    pub fn restart(&mut self, header: ResetHint) {
        self.bits.clear();
        self.count = 0;
        self.header = header;
        if let Some(starts) = &mut self.starts {
            **starts = StartsWriter::default();
        }
    }

    /// Returns the header of the next chunk if this one is full and `histogram` is the first sample of the next.
    pub fn header_after(&self, histogram: &F::Histogram) -> ResetHint {
        let hint = F::shape(histogram).reset_hint;
        if let ResetHint::Gauge | ResetHint::CounterReset = hint {
            return hint;
        }
        if self.count == 0 {
            return ResetHint::Unknown;
        }
        match self.fit(histogram) {
            Ok(_) | Err(Misfit::AfterGauge) => ResetHint::NotCounterReset,
            Err(Misfit::Reset) => ResetHint::CounterReset,
            Err(Misfit::Other) => F::CUT_HEADERS.misfit_when_full,
        }
    }

    /// Appends a sample of which nobody knows since when it counts: [`append_since`](Writer::append_since) 0.
    ///
    /// # Panics
    ///
    /// As that.
    pub fn append(&mut self, t: i64, histogram: &F::Histogram) -> Appended {
        self.append_since(0, t, histogram)
    }

    /// Appends a sample, which must be newer than the last one.
    ///
    /// An empty chunk takes every histogram; its header becomes the histogram's hint if that says reset or gauge. A chunk
    /// of 65,535 samples takes none, of 16,383 with start timestamps.
    ///
    /// * `start`: since when it counts, milliseconds since the epoch, 0 if that is unknown; forgotten if the encoding has
    ///   no start timestamps.
    ///
    /// # Panics
    ///
    /// When the spans promise another number of buckets than there are: validate histograms from outside first.
    pub fn append_since(&mut self, start: i64, t: i64, histogram: &F::Histogram) -> Appended {
        let (shape, mut numbers) = (
            F::shape(histogram),
            without_buckets_if_stale::<F>(histogram),
        );
        if self.count == 0 {
            if let ResetHint::Gauge | ResetHint::CounterReset = shape.reset_hint {
                self.header = shape.reset_hint;
            }
            self.layout = match is_stale(numbers.sum) {
                true => Layout::default(),
                false => layout_of(shape),
            };
            self.push(start, t, &numbers);
            return Appended::AsIs;
        }
        debug_assert!(self.time.value < t);
        let count_max = match self.has_starts() {
            true => COUNT_MAX_WITH_STARTS,
            false => u16::MAX,
        };
        if count_max <= self.count {
            return Appended::Cut(self.header_after(histogram));
        }
        let fits = match self.fit(histogram) {
            Ok(fits) => fits,
            Err(misfit) => return Appended::Cut(cut_header::<F>(shape.reset_hint, &misfit)),
        };
        if fits.histogram_lacks() {
            numbers.positive = widen_histogram::<F>(&fits.positive, &numbers.positive);
            numbers.negative = widen_histogram::<F>(&fits.negative, &numbers.negative);
        }
        let recoded = fits.chunk_lacks();
        if recoded {
            self.recode(shape, &fits);
        }
        self.push(start, t, &numbers);
        if recoded {
            Appended::Recoded
        } else {
            Appended::AsIs
        }
    }

    /// Returns whether the last sample is this one, bit for bit, besides its hint. Empty buckets do not count.
    pub fn last_equals(&self, histogram: &F::Histogram) -> bool {
        let (shape, numbers) = (F::shape(histogram), F::numbers(histogram));
        if self.count == 0 {
            return false;
        }
        let (count, zero_count, sum) = self.fields.last_totals();
        if sum.to_bits() != numbers.sum.to_bits() {
            return false;
        }
        if is_stale(sum) {
            return true;
        }
        let same_totals = F::same_count(count, numbers.count)
            && F::same_count(zero_count, numbers.zero_count)
            && self.has_layout(shape);
        same_totals
            && self
                .fit_buckets(shape, &numbers, |old, new| {
                    F::same_absolute(old.unwrap_or_default(), new.unwrap_or_default())
                })
                .is_some()
    }

    fn has_layout(&self, shape: Shape<'_>) -> bool {
        self.has_resolution(shape) && self.layout.custom_bounds == shape.custom_bounds
    }

    #[expect(clippy::float_cmp, reason = "another threshold is another layout")]
    fn has_resolution(&self, shape: Shape<'_>) -> bool {
        self.layout.schema == shape.schema && self.layout.zero_threshold == shape.zero_threshold
    }

    /// Says whether the histogram can go into the chunk, which must not be empty.
    fn fit(&self, histogram: &F::Histogram) -> Result<Fits, Misfit> {
        let (shape, numbers) = (F::shape(histogram), F::numbers(histogram));
        let is_gauge = shape.reset_hint == ResetHint::Gauge;
        match (self.header == ResetHint::Gauge, is_gauge) {
            (true, false) => return Err(Misfit::AfterGauge),
            (false, true) => return Err(Misfit::Other),
            _ if shape.reset_hint == ResetHint::CounterReset => return Err(Misfit::Reset),
            _ if is_stale(numbers.sum) => return Ok(Fits::default()),
            _ => (),
        }
        let (count, zero_count, sum) = self.fields.last_totals();
        if is_stale(sum) {
            return Err(Misfit::Other);
        }
        if !is_gauge && numbers.count < count {
            return Err(Misfit::Reset);
        }
        if !self.has_resolution(shape) {
            return Err(Misfit::Other);
        }
        let has_bounds = shape.schema != CUSTOM_BUCKETS_SCHEMA || self.has_layout(shape);
        if !has_bounds || (!is_gauge && numbers.zero_count < zero_count) {
            return Err(Misfit::Reset);
        }
        self.fit_buckets(shape, &numbers, |old, new| match (old, new) {
            _ if is_gauge => true,
            (Some(old), Some(new)) => {
                // Not `old <= new`: a NaN is no reset.
                let is_reset = new < old;
                !is_reset
            }
            (Some(old), None) => old == F::Absolute::default(),
            (None, _) => true,
        })
        .ok_or(Misfit::Reset)
    }

    fn fit_buckets(
        &self,
        shape: Shape<'_>,
        numbers: &NumbersOf<'_, F>,
        accept: impl Fn(Option<F::Absolute>, Option<F::Absolute>) -> bool,
    ) -> Option<Fits> {
        let [positive, negative] = self.fields.last_counts(self.positive_count());
        let positive = Fit::of(
            Side {
                spans: &self.layout.positive_spans,
                counts: positive,
            },
            Side {
                spans: shape.positive_spans,
                counts: F::absolute(&numbers.positive),
            },
            &accept,
        )?;
        let negative = Fit::of(
            Side {
                spans: &self.layout.negative_spans,
                counts: negative,
            },
            Side {
                spans: shape.negative_spans,
                counts: F::absolute(&numbers.negative),
            },
            &accept,
        )?;
        Some(Fits { positive, negative })
    }

    fn positive_count(&self) -> usize {
        count_buckets(&self.layout.positive_spans)
    }

    /// Writes all samples again in a layout that has the histogram's buckets as well.
    fn recode(&mut self, shape: Shape<'_>, fits: &Fits) {
        let wider = Layout {
            positive_spans: wider_spans(shape, shape.positive_spans, fits, &fits.positive),
            negative_spans: wider_spans(shape, shape.negative_spans, fits, &fits.negative),
            ..self.layout.clone()
        };
        let old = self.bits.take();
        let samples = match self.has_starts() {
            true => Reader::with_starts(&old),
            false => Reader::new(&old),
        };
        let mut samples: Reader<'_, F> = samples.expect("our own chunk has a header");
        self.layout = wider;
        self.restart(self.header);
        while let Some(t) = samples.advance().expect("our own chunk reads back") {
            // A staleness marker among them would not have let the histogram fit.
            let mut numbers = samples.fields.last(samples.positive_count);
            numbers.positive = widen_chunk::<F>(&fits.positive, &numbers.positive);
            numbers.negative = widen_chunk::<F>(&fits.negative, &numbers.negative);
            self.push(samples.start(), t, &numbers);
        }
    }

    fn push(&mut self, start: i64, t: i64, numbers: &NumbersOf<'_, F>) {
        let bucket_count = numbers.positive.len() + numbers.negative.len();
        let before = self.time.value;
        if self.count == 0 {
            assert!(
                self.layout.bucket_counts() == (numbers.positive.len(), numbers.negative.len()),
                "spans and buckets of a histogram disagree"
            );
            self.bits.make_room(64 + bucket_count);
            // With start timestamps these are elsewhere, and the bits are overwritten.
            self.bits.push(u64::from(flags(self.header)), 24);
            self.layout.push(&mut self.bits);
            push_int(&mut self.bits, t);
            self.time = DeltaField::of(t);
            self.fields.push_first(&mut self.bits, numbers);
        } else {
            self.bits.make_room(16 + bucket_count / 2);
            push_int(&mut self.bits, self.time.advance(t));
            self.fields.push_next(&mut self.bits, numbers);
        }
        self.count += 1;
        let mut count = self.count;
        if let Some(starts) = &mut self.starts {
            self.bits.make_room(16);
            starts.push(&mut self.bits, self.count - 1, t, before, start);
            count |= u16::from(flags(self.header)) << 8;
        }
        self.bits.bytes_mut()[..2].copy_from_slice(&count.to_be_bytes());
    }
}

/// Returns the numbers of a histogram, those of a staleness marker without what does not matter.
fn without_buckets_if_stale<F: Fields>(histogram: &F::Histogram) -> NumbersOf<'_, F> {
    let numbers = F::numbers(histogram);
    match is_stale(numbers.sum) {
        true => Numbers::stale(numbers.sum),
        false => {
            let shape = F::shape(histogram);
            assert!(
                count_buckets(shape.positive_spans) == numbers.positive.len()
                    && count_buckets(shape.negative_spans) == numbers.negative.len(),
                "spans and buckets of a histogram disagree"
            );
            numbers
        }
    }
}

fn layout_of(shape: Shape<'_>) -> Layout {
    Layout {
        schema: shape.schema,
        zero_threshold: shape.zero_threshold,
        positive_spans: shape.positive_spans.to_vec(),
        negative_spans: shape.negative_spans.to_vec(),
        custom_bounds: match shape.schema {
            CUSTOM_BUCKETS_SCHEMA => shape.custom_bounds.to_vec(),
            _ => Vec::new(),
        },
    }
}

fn cut_header<F: Fields>(hint: ResetHint, misfit: &Misfit) -> ResetHint {
    match misfit {
        _ if hint == ResetHint::Gauge => ResetHint::Gauge,
        Misfit::Reset => ResetHint::CounterReset,
        Misfit::AfterGauge => F::CUT_HEADERS.after_gauge,
        Misfit::Other => ResetHint::Unknown,
    }
}

/// Returns the spans of one sign of a chunk that gets more buckets: the histogram's own if they cover all.
fn wider_spans(
    shape: Shape<'_>,
    spans: &[model::histogram::Span],
    fits: &Fits,
    fit: &Fit,
) -> Vec<model::histogram::Span> {
    if fit.histogram_lacks {
        return fit.spans();
    }
    // Prometheus puts both signs of a gauge into the fewest spans if either has to change.
    if shape.reset_hint == ResetHint::Gauge && fits.histogram_lacks() {
        return fit::merged(spans);
    }
    spans.to_vec()
}

fn widen_histogram<F: Fields>(fit: &Fit, buckets: &[F::Bucket]) -> Cow<'static, [F::Bucket]> {
    Cow::Owned(F::stored(fit.widen_histogram(F::absolute(buckets))))
}

fn widen_chunk<F: Fields>(fit: &Fit, buckets: &[F::Bucket]) -> Cow<'static, [F::Bucket]> {
    Cow::Owned(F::stored(fit.widen_chunk(F::absolute(buckets))))
}

/// Appends the reader's samples in `mint..=maxt` that are newer than the last one in `out`, as float histograms; stops
/// decoding after `maxt`.
///
/// # Errors
///
/// When the bytes are no chunk; `out` then holds the samples before the damage.
pub fn decode<F: Fields>(
    mut samples: Reader<'_, F>,
    mint: i64,
    maxt: i64,
    out: &mut SampleColumns,
) -> Result<(), ChunkError> {
    let mint = super::first_wanted(mint, out);
    while let Some(t) = samples.advance()? {
        if maxt < t {
            break;
        }
        if mint <= t {
            out.push_histogram(t, Arc::new(samples.float_histogram()));
            if samples.start() != 0 {
                out.set_last_start(samples.start());
            }
        }
    }
    Ok(())
}

/// Walks over the samples of a chunk.
///
/// The memory it takes is bounded by the chunk's length.
pub struct Reader<'a, F> {
    bits: BitReader<'a>,
    header: ResetHint,
    total: u16,
    read: u16,
    layout: Layout,
    positive_count: usize,
    time: DeltaField,
    fields: F,
    starts: Starts,
}

impl<'a, F: Fields> Reader<'a, F> {
    /// Returns a reader before the first sample.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] when there is no room for count and flags.
    pub fn new(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (&[high, low, flags], rest) = chunk.split_first_chunk().ok_or(ChunkError::Truncated)?;
        let count = u16::from_be_bytes([high, low]);
        Ok(Self::at(rest, header_of(flags), count, Starts::NONE))
    }

    /// Returns a reader before the first sample of a chunk with start timestamps.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Truncated`] when there is no room for the header.
    pub fn with_starts(chunk: &'a [u8]) -> Result<Self, ChunkError> {
        let (&[high, low, starts], rest) =
            chunk.split_first_chunk().ok_or(ChunkError::Truncated)?;
        let count = u16::from_be_bytes([high & 0x3f, low]);
        let starts = Starts::from_header(starts);
        Ok(Self::at(rest, header_of(high), count, starts))
    }

    fn at(samples: &'a [u8], header: ResetHint, total: u16, starts: Starts) -> Self {
        Reader {
            header,
            total,
            starts,
            bits: BitReader::new(samples),
            read: 0,
            layout: Layout::default(),
            positive_count: 0,
            time: DeltaField::default(),
            fields: F::default(),
        }
    }

    /// Returns the counter reset header.
    pub fn header(&self) -> ResetHint {
        self.header
    }

    /// Returns the start timestamp of the sample that [`advance`](Reader::advance) went to: milliseconds since the epoch, 0
    /// if it is unknown.
    pub fn start(&self) -> i64 {
        self.starts.start()
    }

    /// Goes to the next sample and returns its time; `None` after the last.
    ///
    /// # Errors
    ///
    /// When the bytes end early, times do not ascend, or the schema is unknown.
    pub fn advance(&mut self) -> Result<Option<i64>, ChunkError> {
        if self.read == self.total {
            return Ok(None);
        }
        let bits = &mut self.bits;
        let before = self.time.value;
        if self.read == 0 {
            self.layout = Layout::read(bits)?;
            let (positive, negative) = self.layout.bucket_counts();
            self.positive_count = positive;
            self.time = DeltaField::of(read_int(bits)?);
            self.fields.read_first(bits, positive + negative)?;
        } else {
            self.time.read_next(bits)?;
            if self.time.value <= before {
                return Err(ChunkError::Invalid);
            }
            self.fields.read_next(bits)?;
        }
        self.starts.read(bits, self.read, self.time.value, before)?;
        self.read += 1;
        Ok(Some(self.time.value))
    }

    /// Returns the sample that [`advance`](Reader::advance) went to.
    pub fn histogram(&self) -> F::Histogram {
        let (_, _, sum) = self.fields.last_totals();
        if is_stale(sum) {
            return F::build(&Layout::default(), ResetHint::Unknown, Numbers::stale(sum));
        }
        let numbers = self.fields.last(self.positive_count);
        F::build(&self.layout, self.hint(), numbers)
    }

    /// Returns the sample that [`advance`](Reader::advance) went to with float counts.
    pub fn float_histogram(&self) -> FloatHistogram {
        let (_, _, sum) = self.fields.last_totals();
        if is_stale(sum) {
            return FloatHistogram {
                sum,
                ..FloatHistogram::default()
            };
        }
        self.fields
            .last_float(&self.layout, self.hint(), self.positive_count)
    }

    /// Reads the next sample; `None` after the last.
    ///
    /// # Errors
    ///
    /// As [`advance`](Reader::advance).
    #[expect(
        clippy::should_implement_trait,
        reason = "an error ends the walk, which Iterator does not say"
    )]
    pub fn next(&mut self) -> Result<Option<(i64, F::Histogram)>, ChunkError> {
        Ok(self.advance()?.map(|t| (t, self.histogram())))
    }

    /// Says what is known about a counter reset before the current sample.
    ///
    /// Of the first sample nothing is known whatever the header says, as in Prometheus: the chunk before may have been
    /// deleted, or a chunk of late samples may be between.
    fn hint(&self) -> ResetHint {
        match self.header {
            ResetHint::Gauge => ResetHint::Gauge,
            _ if 1 < self.read => ResetHint::NotCounterReset,
            _ => ResetHint::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
