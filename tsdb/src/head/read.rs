//! Reading: selections over the index, samples from open and full chunks.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use model::storage::{Kept, Querier, ReadError, SampleColumns, SelectHints, SeriesSet};
use model::{Labels, Matcher, SampleValue, sample::Sample};

use super::isolation::View;
use super::late::merge_columns;
use super::{Head, Pages, for_each_page, place_in_page};
use crate::chunk::{self, ChunkError, Encoding};
use crate::head_chunks::{ChunkMeta, MappedChunks};
use crate::tombstones::Intervals;

/// A view of the head over one time range.
pub struct HeadQuerier<'a> {
    head: &'a Head,
    view: View<'a>,
    mint: i64,
    maxt: i64,
    /// In-order samples before this are left out: they are in blocks.
    in_order_from: i64,
}

impl Head {
    /// Returns a view of the samples in `mint..=maxt`, of the batches that are complete by now.
    pub fn querier(&self, mint: i64, maxt: i64) -> HeadQuerier<'_> {
        HeadQuerier {
            head: self,
            view: self.isolation.view(mint),
            mint,
            maxt,
            in_order_from: i64::MIN,
        }
    }
}

impl HeadQuerier<'_> {
    /// Leaves out in-order samples before `t`: they are in blocks.
    #[must_use]
    pub fn with_in_order_from(mut self, t: i64) -> Self {
        self.in_order_from = t;
        self
    }

    fn select_slots(&self, matchers: &[Matcher], mint: i64, maxt: i64) -> (Vec<u32>, Pages) {
        let mut slots = self.head.index.read().select(matchers);
        let pages = self.head.pages();
        let ranges = [self.head.time_range(), self.head.late_range()];
        let covers = |range: &Option<(i64, i64)>| {
            range.is_none_or(|(oldest, newest)| mint <= oldest && newest <= maxt)
        };
        if ranges.iter().all(Option::is_none) {
            return (Vec::new(), pages);
        }
        if !ranges.iter().all(covers) {
            let mut kept = Vec::with_capacity(slots.len());
            for_each_page(
                &pages,
                &slots,
                |&slot| slot,
                |page, _, run| {
                    kept.extend(run.iter().filter(|&&slot| {
                        // A page is emptied when all its series are gone.
                        let series = page.series.get(place_in_page(slot));
                        series.is_some_and(|series| series.overlaps(mint, maxt))
                    }));
                },
            );
            slots = kept;
        }
        (slots, pages)
    }
}

impl Querier for HeadQuerier<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, ReadError> {
        let (mint, maxt) = (self.mint.max(hints.mint), self.maxt.min(hints.maxt));
        let (mut slots, pages) = self.select_slots(matchers, mint, maxt);
        if 0 < hints.limit {
            slots.truncate(hints.limit);
        }
        Ok(Box::new(HeadSeriesSet {
            head: self.head,
            epoch: self.view.epoch(),
            slots,
            pages,
            chunks: self.head.chunks.mapped(),
            mint: self.mint,
            maxt: self.maxt,
            in_order_from: self.in_order_from,
        }))
    }

    fn series_max(&self, matchers: &[Matcher]) -> usize {
        self.head.index.read().series_max(matchers)
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let (slots, _) = self.select_slots(matchers, self.mint, self.maxt);
        let index = self.head.index.read();
        let mut names: Vec<String> = if slots.len() == index.len() {
            index.names().map(str::to_owned).collect()
        } else {
            let mut names = std::collections::BTreeSet::new();
            for &slot in &slots {
                for (name, _) in index.pairs(slot).into_iter().flatten() {
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            }
            names.into_iter().collect()
        };
        names.sort_unstable();
        Ok(names)
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        let (slots, _) = self.select_slots(matchers, self.mint, self.maxt);
        let index = self.head.index.read();
        let all = slots.len() == index.len();
        let selected = |list: &[u32]| list.iter().any(|slot| slots.binary_search(slot).is_ok());
        let mut values: Vec<String> = index
            .values(name)
            .filter(|(_, list)| all || selected(list))
            .map(|(value, _)| value.to_owned())
            .collect();
        values.sort_unstable();
        Ok(values)
    }
}

/// Selected series of the head.
pub struct HeadSeriesSet<'a> {
    head: &'a Head,
    epoch: u64,
    slots: Vec<u32>,
    pages: Pages,
    chunks: MappedChunks<'a>,
    mint: i64,
    maxt: i64,
    in_order_from: i64,
}

/// What was copied of a series under its lock, to be decoded without it.
struct Copied {
    full: Vec<ChunkMeta>,
    /// How the bytes of the open chunk are to be read, if it is wanted.
    open: Option<Encoding>,
    open_bytes: Vec<u8>,
    late: Option<Box<CopiedLate>>,
    /// The newest in-order sample that the view sees.
    visible_until: i64,
    deleted: Option<Intervals>,
}

struct CopiedLate {
    full: Vec<ChunkMeta>,
    open: SampleColumns,
}

/// How many bytes of an open chunk [`COPIED`] keeps room for: one of long histograms is not held for ever.
const COPIED_BYTES_MAX: usize = 16 << 10;

thread_local! {
    /// What a thread copies of one series after the other, so that they need neither allocations nor long moves.
    static COPIED: RefCell<Copied> = const { RefCell::new(Copied::NOTHING) };
}

impl Copied {
    const NOTHING: Copied = Copied {
        full: Vec::new(),
        open: None,
        open_bytes: Vec::new(),
        late: None,
        visible_until: i64::MIN,
        deleted: None,
    };

    /// Drops what is not to wait for the thread's next series.
    fn tidy(&mut self) {
        (self.late, self.deleted) = (None, None);
        if COPIED_BYTES_MAX < self.open_bytes.capacity() {
            self.open_bytes = Vec::new();
        }
    }
}

impl HeadSeriesSet<'_> {
    /// Replaces what is in `copied` by what the series has in `mint..=maxt`; returns whether there is such a series.
    fn copy(&self, slot: u32, mint: i64, maxt: i64, copied: &mut Copied) -> bool {
        let Some(page) = self.pages.get(slot as usize / super::PAGE_SERIES) else {
            return false;
        };
        let page = page.lock();
        let place = place_in_page(slot);
        let Some(series) = page.series.get(place) else {
            return false;
        };
        #[expect(clippy::cast_possible_truncation, reason = "a page has 256 places")]
        let visible_until = page.marks.visible_until(place as u8, self.epoch);
        copied.visible_until = visible_until;
        let from = series.full().partition_point(|chunk| chunk.maxt() < mint);
        let full = series.full()[from..].iter();
        copied.full.clear();
        copied
            .full
            .extend(full.take_while(|chunk| chunk.mint <= maxt));
        let open = series.open_within(&page.lines, mint, maxt, &mut copied.open_bytes);
        copied.open = open.map(|open| open.encoding);
        let late = series.late().filter(|l| l.overlaps(mint, maxt));
        copied.late = late.map(|late| {
            let chunks = late.full().iter();
            let full = chunks.filter(|chunk| chunk.mint <= maxt && mint <= chunk.maxt());
            Box::new(CopiedLate {
                full: full.copied().collect(),
                open: late.columns(mint, maxt),
            })
        });
        let id = series.id;
        drop(page);
        copied.deleted = self.head.deleted(id);
        true
    }

    /// Appends the samples of what was copied to `out`.
    fn decode_all(
        &self,
        copied: &Copied,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let from = out.len();
        match &copied.late {
            Some(late) => self.decode_with_late(copied, late, mint, maxt, out)?,
            None => self.decode(copied, mint, maxt, out)?,
        }
        if let Some(deleted) = &copied.deleted {
            deleted.subtract(out, from);
        }
        Ok(())
    }

    fn decode_full(
        &self,
        chunk: ChunkMeta,
        is_late: bool,
        (mint, maxt): (i64, i64),
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let in_blocks_until = self.head.in_blocks_until.load(Ordering::Relaxed);
        let bytes = match self.chunks.read(chunk.chunk) {
            Ok(bytes) => bytes,
            // It has come into a block since it was named, and a query that needs it from here has ended. Late chunks are
            // older than that and still here.
            Err(_) if !is_late && chunk.maxt() < in_blocks_until => {
                return Ok(());
            }
            Err(bad) => return Err(self.head.bad_chunk(bad)),
        };
        chunk::decode(chunk.encoding, &bytes, mint, maxt, out)
            .map_err(|error| in_memory(error, "head chunk"))
    }

    /// Decodes the in-order chunks into `out`.
    fn decode(
        &self,
        copied: &Copied,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let (mint, maxt) = (mint.max(self.in_order_from), maxt.min(copied.visible_until));
        for &chunk in &copied.full {
            self.decode_full(chunk, false, (mint, maxt), out)?;
        }
        if let Some(encoding) = copied.open {
            chunk::decode(encoding, &copied.open_bytes, mint, maxt, out)
                .map_err(|error| in_memory(error, "open chunk"))?;
        }
        Ok(())
    }

    /// Decodes all chunks and merges them by time into `out`; where a time is there twice, the in-order sample counts.
    fn decode_with_late(
        &self,
        copied: &Copied,
        late: &CopiedLate,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let mut columns = vec![SampleColumns::default()];
        self.decode(copied, mint, maxt, &mut columns[0])?;
        for &chunk in &late.full {
            let mut column = SampleColumns::default();
            self.decode_full(chunk, true, (mint, maxt), &mut column)?;
            columns.push(column);
        }
        columns.push(late.open.clone());
        merge_columns(&columns, out);
        Ok(())
    }
}

impl Head {
    /// Returns the error of a query that meets a bad chunk, and sees to it that the next start makes the chunks again from
    /// the log: without a head snapshot it looks at all of them.
    pub(super) fn bad_chunk(&self, (path, what): (PathBuf, String)) -> ReadError {
        self.metrics.head_chunk_corruptions.inc();
        self.has_bad_chunk.store(true, Ordering::Relaxed);
        ReadError::Corrupt { path, what }
    }
}

fn in_memory(error: ChunkError, what: &str) -> ReadError {
    ReadError::Corrupt {
        path: what.into(),
        what: error.to_string(),
    }
}

impl SeriesSet for HeadSeriesSet<'_> {
    fn len(&self) -> usize {
        self.slots.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.head.index.read().labels(self.slots[index])
    }

    fn label_sets(&self, positions: Range<usize>, kept: &Kept, out: &mut Vec<Labels>) {
        let index = self.head.index.read();
        index.label_sets(&self.slots[positions], kept, out);
    }

    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let (mint, maxt) = (mint.max(self.mint), maxt.min(self.maxt));
        COPIED.with_borrow_mut(|copied| {
            if !self.copy(self.slots[index], mint, maxt, copied) {
                return Ok(());
            }
            let result = self.decode_all(copied, mint, maxt, out);
            copied.tidy();
            result
        })
    }

    /// The newest sample is beside the open chunk: nothing is decoded when it is the one.
    fn newest(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        scratch: &mut SampleColumns,
    ) -> Result<Option<Sample>, ReadError> {
        let (mint, maxt) = (mint.max(self.mint), maxt.min(self.maxt));
        if let ControlFlow::Break(newest) = self.newest_at_hand(self.slots[index], mint, maxt) {
            return Ok(newest);
        }
        scratch.clear();
        self.read(index, mint, maxt, scratch)?;
        Ok(scratch.last())
    }
}

impl HeadSeriesSet<'_> {
    fn newest_at_hand(&self, slot: u32, mint: i64, maxt: i64) -> ControlFlow<Option<Sample>> {
        let Some(page) = self.pages.get(slot as usize / super::PAGE_SERIES) else {
            return ControlFlow::Break(None);
        };
        let page = page.lock();
        let place = place_in_page(slot);
        let Some(series) = page.series.get(place) else {
            return ControlFlow::Break(None);
        };
        if series.late().is_some() || self.head.has_tombstones.load(Ordering::Acquire) {
            return ControlFlow::Continue(());
        }
        let mint = mint.max(self.in_order_from);
        #[expect(clippy::cast_possible_truncation, reason = "a page has 256 places")]
        let maxt = maxt.min(page.marks.visible_until(place as u8, self.epoch));
        match (series.last_t(), series.last_float()) {
            (None, _) => ControlFlow::Break(None),
            (Some(last), _) if last < mint => ControlFlow::Break(None),
            (Some(_), Some((t, value))) if t <= maxt => ControlFlow::Break(Some(Sample {
                t,
                value: SampleValue::Float(value),
            })),
            _ => ControlFlow::Continue(()),
        }
    }
}
