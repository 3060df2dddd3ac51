//! The buffers of a scrape, lent from a pool: memory grows with the scrapes under way, not with the targets.

use model::exemplar::Exemplar;
use model::storage::{FloatSample, HistogramSample, Rejected, SeriesRef, start_of};
use parking_lot::Mutex;

use crate::cache::EntryId;
use crate::decompress::Decompressor;

/// How many bytes the buffers in the pool may hold together while nobody uses them; what is more is freed.
const IDLE_BYTES_MAX: usize = 4 << 20;

/// Buffers of one scrape, empty or not.
#[derive(Default)]
pub(crate) struct Scratch {
    /// The body as it came.
    pub(crate) raw: Vec<u8>,
    /// The body uncompressed.
    pub(crate) text: Vec<u8>,
    pub(crate) decompressor: Decompressor,
    pub(crate) batch: Batch,
}

/// What a body becomes.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) samples: Vec<FloatSample>,
    /// Since when the counters of the samples count, by index; what is not here is unknown, and all is if nobody asks.
    pub(crate) starts: Vec<i64>,
    /// Samples, by index and ascending, that get a start timestamp if they have none; empty if none are to be made up.
    pub(crate) candidates: Vec<usize>,
    /// The entry of each sample that came from the body.
    pub(crate) sample_entries: Vec<EntryId>,
    /// Every entry of the body in its order, also those whose samples go nowhere.
    pub(crate) order: Vec<EntryId>,
    pub(crate) ended: Vec<SeriesRef>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) exemplars: Vec<(SeriesRef, Exemplar)>,
    pub(crate) histograms: Vec<HistogramEntry>,
}

/// A native histogram of the body, with its line's entry.
pub(crate) struct HistogramEntry {
    pub(crate) id: EntryId,
    pub(crate) series: SeriesRef,
    pub(crate) t: i64,
    pub(crate) start: i64,
    pub(crate) sample: HistogramSample,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.forget_samples();
        self.order.clear();
        self.ended.clear();
        self.rejected.clear();
    }

    /// Forgets what the body says, but not which lines it had.
    pub(crate) fn forget_samples(&mut self) {
        self.samples.clear();
        self.starts.clear();
        self.candidates.clear();
        self.sample_entries.clear();
        self.exemplars.clear();
        self.histograms.clear();
    }

    /// Says since when the counter of the sample at `index` counts.
    pub(crate) fn set_start(&mut self, index: usize, start: i64) {
        if self.starts.len() <= index {
            self.starts.resize(index + 1, 0);
        }
        self.starts[index] = start;
    }

    /// Returns since when the counter of the sample at `index` counts, 0 if that is unknown.
    pub(crate) fn start(&self, index: usize) -> i64 {
        start_of(&self.starts, index)
    }

    /// Takes out samples of the body, by index and ascending.
    pub(crate) fn take_out(&mut self, indices: &[usize]) {
        fn without<T>(all: &mut Vec<T>, indices: &[usize]) {
            let (mut at, mut next) = (0, indices.iter().peekable());
            all.retain(|_| {
                let is_out = next.next_if(|&&index| index == at).is_some();
                at += 1;
                !is_out
            });
        }
        if !indices.is_empty() {
            without(&mut self.samples, indices);
            without(&mut self.sample_entries, indices);
            without(&mut self.starts, indices);
        }
    }

    fn bytes(&self) -> usize {
        self.samples.capacity() * size_of::<FloatSample>()
            + self.starts.capacity() * size_of::<i64>()
            + self.candidates.capacity() * size_of::<usize>()
            + (self.sample_entries.capacity() + self.order.capacity()) * size_of::<EntryId>()
            + self.ended.capacity() * size_of::<SeriesRef>()
            + self.rejected.capacity() * size_of::<Rejected>()
            + self.exemplars.capacity() * size_of::<(SeriesRef, Exemplar)>()
            + self.histograms.capacity() * size_of::<HistogramEntry>()
    }
}

impl Scratch {
    fn bytes(&self) -> usize {
        self.raw.capacity() + self.text.capacity() + self.batch.bytes()
    }
}

/// Lends [`Scratch`]es.
#[derive(Default)]
pub(crate) struct ScratchPool(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    #[expect(
        clippy::vec_box,
        reason = "a scratch moves between tasks and threads, and is large"
    )]
    scratches: Vec<Box<Scratch>>,
    bytes: usize,
}

impl ScratchPool {
    /// Returns a scratch, perhaps a used one.
    pub(crate) fn take(&self) -> Box<Scratch> {
        let mut idle = self.0.lock();
        match idle.scratches.pop() {
            Some(scratch) => {
                idle.bytes -= scratch.bytes();
                scratch
            }
            None => Box::default(),
        }
    }

    /// Takes `scratch` back, or frees it if there is enough already.
    pub(crate) fn give(&self, mut scratch: Box<Scratch>) {
        scratch.raw.clear();
        scratch.text.clear();
        scratch.batch.clear();
        let bytes = scratch.bytes();
        let mut idle = self.0.lock();
        if idle.bytes + bytes <= IDLE_BYTES_MAX {
            idle.bytes += bytes;
            idle.scratches.push(scratch);
        }
    }
}
