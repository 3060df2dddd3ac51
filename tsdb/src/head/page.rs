//! Pages: series that share a lock, and what they share besides.

use super::isolation::Marks;
use super::lines::Lines;
use super::series::MemSeries;
use super::{PAGE_SERIES, place_in_page};

/// Series that share a lock.
#[derive(Default)]
pub struct Page {
    /// By place.
    pub series: Vec<MemSeries>,
    /// Where their open chunks are.
    pub lines: Lines,
    /// What the open views see of them.
    pub marks: Marks,
}

impl Page {
    /// Returns a page without series, with room for all that it may get.
    pub fn with_room() -> Self {
        Page {
            series: Vec::with_capacity(PAGE_SERIES),
            ..Page::default()
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
