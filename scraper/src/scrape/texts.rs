//! What the lines of some entries say: the cache does not know, but the body does.

use std::collections::HashMap;

use model::metadata::MetricType;

use super::ScrapeError;
use super::walk::Take;
use crate::cache::{Cache, EntryId};
use crate::exposition::protobuf::HistogramLine;
use crate::exposition::{Expected, SeriesLine};

/// The texts of the entries that are looked for; at most as long as the body together.
pub(super) struct Texts {
    wanted: HashMap<Expected, EntryId>,
    found: HashMap<EntryId, String>,
}

impl Texts {
    /// Looks for the lines of `entries`.
    pub(super) fn of(entries: impl Iterator<Item = EntryId>, cache: &Cache) -> Self {
        Texts {
            wanted: entries.map(|id| (cache.key(id), id)).collect(),
            found: HashMap::new(),
        }
    }

    /// Returns the series of an entry as written, if its line was there.
    pub(super) fn get(&self, id: EntryId) -> Option<&str> {
        self.found.get(&id).map(String::as_str)
    }

    fn see(&mut self, series: &str) {
        if let Some(id) = self.wanted.remove(&Expected::of(series)) {
            self.found.insert(id, series.to_owned());
        }
    }
}

impl Take for Texts {
    fn expected(&self) -> Expected {
        Expected::NOTHING
    }

    fn series(
        &mut self,
        line: &SeriesLine<'_>,
        _start: i64,
        _kind: impl FnOnce() -> MetricType,
    ) -> Result<(), ScrapeError> {
        self.see(line.series);
        Ok(())
    }

    fn histogram(&mut self, line: HistogramLine<'_>) -> Result<(), ScrapeError> {
        self.see(line.series);
        Ok(())
    }

    fn unconvertible(&mut self) {}

    fn samples(&self) -> usize {
        0
    }

    fn start(&mut self, _sample: usize, _start: i64) {}

    fn has_no_start(&mut self, _sample: usize) {}
}
