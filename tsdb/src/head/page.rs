//! Pages: series that share a lock, and what they share besides.

use allocator_api2::vec::Vec as VecIn;

use super::isolation::Marks;
use super::lines::Lines;
use super::series::MemSeries;
use super::{PAGE_SERIES, place_in_page};
use crate::huge::HugePages;

/// Series that share a lock.
pub struct Page {
    /// By place.
    pub series: VecIn<MemSeries, HugePages>,
    /// Where their open chunks are.
    pub lines: Lines,
    /// What the open views see of them.
    pub marks: Marks,
}

impl Page {
    /// Returns a page without series and without room for any.
    pub fn empty() -> Self {
        Page::with_capacity(0)
    }

    /// Returns a page without series, with room for all that it may get.
    pub fn with_room() -> Self {
        Page::with_capacity(PAGE_SERIES)
    }

    fn with_capacity(series: usize) -> Self {
        Page {
            series: VecIn::with_capacity_in(series, HugePages),
            lines: Lines::default(),
            marks: Marks::default(),
        }
    }

    /// Gives memory back where most of what open chunks had is free.
    pub fn tidy(&mut self) {
        if !self.lines.is_sparse() {
            return;
        }
        let old = std::mem::take(&mut self.lines);
        for series in &mut self.series {
            series.move_to(&old, &mut self.lines);
        }
    }
}

/// Series by slot, in pages that nobody else has yet: how a start makes them.
#[derive(Default)]
pub struct SeriesPages(Vec<Page>);

impl SeriesPages {
    /// Returns how many series there are.
    pub fn count(&self) -> usize {
        self.0.last().map_or(0, |last| {
            (self.0.len() - 1) * PAGE_SERIES + last.series.len()
        })
    }

    /// Adds the series of the next slot, which `make` makes, with the lines of its page.
    ///
    /// # Errors
    ///
    /// When `make` fails; nothing is added then.
    pub fn push_with<E>(
        &mut self,
        make: impl FnOnce(&mut Lines) -> Result<MemSeries, E>,
    ) -> Result<(), E> {
        let is_full = |page: &Page| page.series.len() == PAGE_SERIES;
        if self.0.last().is_none_or(is_full) {
            self.0.push(Page::with_room());
        }
        let at = self.0.len() - 1;
        let page = &mut self.0[at];
        let series = make(&mut page.lines)?;
        page.series.push(series);
        Ok(())
    }

    /// Returns the series of a slot.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&MemSeries> {
        let page = self.0.get(slot as usize / PAGE_SERIES)?;
        page.series.get(place_in_page(slot))
    }

    /// Returns the series of a slot, which there must be, and the lines of its page.
    ///
    /// # Panics
    ///
    /// When there is none.
    #[inline]
    pub fn at(&mut self, slot: u32) -> (&mut MemSeries, &mut Lines) {
        let page = &mut self.0[slot as usize / PAGE_SERIES];
        (&mut page.series[place_in_page(slot)], &mut page.lines)
    }

    /// Fetches what the next sample of the series of a slot will be written to into the cache, if there is that series.
    #[inline]
    pub fn prefetch(&self, slot: u32) {
        if let Some(page) = self.0.get(slot as usize / PAGE_SERIES)
            && let Some(series) = page.series.get(place_in_page(slot))
        {
            series.prefetch(&page.lines);
        }
    }

    /// Returns the series, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &MemSeries> {
        self.0.iter().flat_map(|page| &page.series)
    }

    /// Returns the pages, of which the last one may have room.
    pub fn pages_mut(&mut self) -> &mut [Page] {
        &mut self.0
    }

    /// Returns the pages, of which the last one may have room.
    pub fn into_pages(self) -> Vec<Page> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::open::{Encodings, Times};
    use crate::head::series::{ChunkShape, FullChunk};

    #[test]
    fn what_most_chunks_have_left_is_given_back() {
        let shape = ChunkShape {
            range_ms: 7_200_000,
            encodings: Encodings::PLAIN,
        };
        let never = |_: FullChunk<'_>| unreachable!("nothing is full");
        let mut page = Page::with_room();
        for id in 1..=200 {
            let mut series = MemSeries::new(id);
            for t in 0..30 {
                let value = (id * 31) as f64 / (t + 1) as f64;
                series.append_float(&mut page.lines, Times::at(t), value, shape, never);
            }
            page.series.push(series);
        }
        page.tidy();
        assert!(!page.lines.is_sparse());
        for series in &mut page.series[10..] {
            series.truncate(&mut page.lines, i64::MAX);
        }
        assert!(page.lines.is_sparse());
        let copies = |page: &Page| -> Vec<_> {
            let mut bytes = Vec::new();
            let mut copy = |series: &MemSeries| {
                let open = series.open(&page.lines, &mut bytes);
                open.map(|open| open.bytes.to_vec())
            };
            page.series.iter().map(&mut copy).collect()
        };
        let before = copies(&page);
        page.tidy();
        assert!(!page.lines.is_sparse());
        assert_eq!(copies(&page), before);
        assert_eq!(before.iter().flatten().count(), 10);
    }
}
