//! Reading: selections over the index, samples from open and full chunks.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::storage::{Querier, ReadError, SampleColumns, SelectHints, SeriesSet};
use model::{Labels, Matcher, SampleValue, sample::Sample};
use smallvec::SmallVec;

use super::{Head, Page, for_each_page, place_in_page};
use crate::chunk::{ChunkError, xor};
use crate::head_chunks::ChunkMeta;

/// A view of the head over one time range.
pub struct HeadQuerier<'a> {
    head: &'a Head,
    mint: i64,
    maxt: i64,
}

impl Head {
    /// Returns a view of the samples in `mint..=maxt`.
    pub fn querier(&self, mint: i64, maxt: i64) -> HeadQuerier<'_> {
        HeadQuerier {
            head: self,
            mint,
            maxt,
        }
    }
}

impl HeadQuerier<'_> {
    fn select_slots(
        &self,
        matchers: &[Matcher],
        mint: i64,
        maxt: i64,
    ) -> (Vec<u32>, Vec<Arc<Page>>) {
        let mut slots = self.head.index.read().select(matchers);
        let pages = self.head.pages.read().clone();
        let Some((head_mint, head_maxt)) = self.head.time_range() else {
            return (Vec::new(), pages);
        };
        if head_mint < mint || maxt < head_maxt {
            let mut kept = Vec::with_capacity(slots.len());
            for_each_page(
                &pages,
                &slots,
                |&slot| slot,
                |page, _, run| {
                    kept.extend(run.iter().filter(|&&slot| {
                        let series = &page[place_in_page(slot)];
                        series.first_t().is_some_and(|first| first <= maxt)
                            && series.last_t().is_some_and(|last| mint <= last)
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
            slots,
            pages,
            mint: self.mint,
            maxt: self.maxt,
        }))
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
    slots: Vec<u32>,
    pages: Vec<Arc<Page>>,
    mint: i64,
    maxt: i64,
}

/// What was copied of a series under its lock, to be decoded without it.
struct Copied {
    full: SmallVec<[ChunkMeta; 8]>,
    open: SmallVec<[u8; 512]>,
}

impl HeadSeriesSet<'_> {
    fn copy(&self, slot: u32, mint: i64, maxt: i64) -> Option<Copied> {
        let page = self.pages.get(slot as usize / super::PAGE_SERIES)?.lock();
        let series = page.get(place_in_page(slot))?;
        let from = series.full().partition_point(|chunk| chunk.maxt < mint);
        let full = series.full()[from..]
            .iter()
            .take_while(|chunk| chunk.mint <= maxt)
            .copied()
            .collect();
        let open = match series.open() {
            Some((open_mint, bytes))
                if open_mint <= maxt && series.last_t().is_some_and(|last| mint <= last) =>
            {
                SmallVec::from_slice(bytes)
            }
            _ => SmallVec::new(),
        };
        Some(Copied { full, open })
    }

    fn decode_full(
        &self,
        chunk: ChunkMeta,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let bytes = match self.head.chunks.read(chunk.chunk) {
            Ok(bytes) => bytes,
            // Retention took the chunk since it was named.
            Err(_) if chunk.maxt < self.head.valid_from.load(Ordering::Relaxed) => return Ok(()),
            Err((path, what)) => return Err(ReadError::Corrupt { path, what }),
        };
        xor::decode(&bytes, mint, maxt, out).map_err(|error| in_memory(error, "head chunk"))
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

    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let (mint, maxt) = (mint.max(self.mint), maxt.min(self.maxt));
        let Some(copied) = self.copy(self.slots[index], mint, maxt) else {
            return Ok(());
        };
        for chunk in copied.full {
            self.decode_full(chunk, mint, maxt, out)?;
        }
        if !copied.open.is_empty() {
            xor::decode(&copied.open, mint, maxt, out)
                .map_err(|error| in_memory(error, "open chunk"))?;
        }
        Ok(())
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
        Ok(scratch
            .len()
            .checked_sub(1)
            .map(|last| scratch.sample(last)))
    }
}

impl HeadSeriesSet<'_> {
    fn newest_at_hand(&self, slot: u32, mint: i64, maxt: i64) -> ControlFlow<Option<Sample>> {
        let Some(page) = self.pages.get(slot as usize / super::PAGE_SERIES) else {
            return ControlFlow::Break(None);
        };
        let page = page.lock();
        let Some(series) = page.get(place_in_page(slot)) else {
            return ControlFlow::Break(None);
        };
        match (series.last_t(), series.last_sample()) {
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
