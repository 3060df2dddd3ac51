//! One view over several sources: blocks, oldest first, and the head.
//!
//! A series is there once, whatever sources have it. Sources that do not overlap in time are read one after the other;
//! where some do, each is decoded on its own and the samples are merged, each time once.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use model::storage::{Kept, Querier, ReadError, SampleColumns, SelectHints, SeriesSet};
use model::{Labels, Matcher, sample::Sample};
use smallvec::SmallVec;

use crate::head::late::merge_columns;

/// A view of several sources as one.
pub(super) struct MergedQuerier<'a> {
    sources: Vec<Box<dyn Querier + 'a>>,
    /// Whether every source begins after the one before it ends.
    is_sequential: bool,
}

impl<'a> MergedQuerier<'a> {
    /// Returns a view of `sources`, of which the first counts where two have a sample of the same time.
    ///
    /// * `is_sequential`: whether every source begins after the one before it ends.
    pub(super) fn new(sources: Vec<Box<dyn Querier + 'a>>, is_sequential: bool) -> Self {
        MergedQuerier {
            sources,
            is_sequential,
        }
    }

    fn union(
        &self,
        of: impl Fn(&dyn Querier) -> Result<Vec<String>, ReadError>,
    ) -> Result<Vec<String>, ReadError> {
        let mut all = BTreeSet::new();
        for source in &self.sources {
            all.extend(of(&**source)?);
        }
        Ok(all.into_iter().collect())
    }
}

impl Querier for MergedQuerier<'_> {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet + '_>, ReadError> {
        let mut sets = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let set = source.select(matchers, hints)?;
            if !set.is_empty() {
                sets.push(set);
            }
        }
        if sets.len() <= 1 {
            return Ok(sets.pop().unwrap_or_else(|| Box::new(NoSeries)));
        }
        let mut merged = MergedSeriesSet::new(sets, self.is_sequential);
        if 0 < hints.limit {
            merged.series.truncate(hints.limit);
        }
        Ok(Box::new(merged))
    }

    fn series_max(&self, matchers: &[Matcher]) -> usize {
        let sources = self.sources.iter();
        sources
            .map(|source| source.series_max(matchers))
            .fold(0, usize::saturating_add)
    }

    fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        self.union(|source| source.label_names(matchers))
    }

    fn label_values(&self, name: &str, matchers: &[Matcher]) -> Result<Vec<String>, ReadError> {
        self.union(|source| source.label_values(name, matchers))
    }
}

/// A selection without series.
struct NoSeries;

impl SeriesSet for NoSeries {
    fn len(&self) -> usize {
        0
    }

    fn labels(&self, _: usize) -> Labels {
        Labels::empty()
    }

    fn read(&self, _: usize, _: i64, _: i64, _: &mut SampleColumns) -> Result<(), ReadError> {
        Ok(())
    }
}

/// Where a series is: index of the set, and its index in that; ascending by set.
type Parts = SmallVec<[(u32, u32); 2]>;

struct MergedSeriesSet<'a> {
    sets: Vec<Box<dyn SeriesSet + 'a>>,
    is_sequential: bool,
    series: Vec<(Labels, Parts)>,
}

impl<'a> MergedSeriesSet<'a> {
    fn new(sets: Vec<Box<dyn SeriesSet + 'a>>, is_sequential: bool) -> Self {
        let largest = sets.iter().map(|set| set.len()).max().unwrap_or(0);
        let mut series: Vec<(Labels, Parts)> = Vec::with_capacity(largest);
        let mut by_labels: HashTable<usize> = HashTable::with_capacity(largest);
        let mut label_sets = Vec::with_capacity(largest);
        for (set_index, set) in (0u32..).zip(&sets) {
            set.label_sets(0..set.len(), &Kept::All, &mut label_sets);
            for (labels, part) in label_sets.drain(..).zip(0u32..) {
                // It was dropped from the head since it was selected, and had nothing in the range.
                if labels.is_empty() {
                    continue;
                }
                let hash = labels.fingerprint();
                match by_labels.find(hash, |&at| series[at].0 == labels) {
                    Some(&at) => series[at].1.push((set_index, part)),
                    None => {
                        by_labels
                            .insert_unique(hash, series.len(), |&at| series[at].0.fingerprint());
                        series.push((labels, SmallVec::from_slice(&[(set_index, part)])));
                    }
                }
            }
        }
        MergedSeriesSet {
            sets,
            is_sequential,
            series,
        }
    }
}

impl SeriesSet for MergedSeriesSet<'_> {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series[index].0.clone()
    }

    fn read(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        out: &mut SampleColumns,
    ) -> Result<(), ReadError> {
        let parts = &self.series[index].1;
        if self.is_sequential || parts.len() == 1 {
            return parts.iter().try_for_each(|&(set, part)| {
                self.sets[set as usize].read(part as usize, mint, maxt, out)
            });
        }
        let mut columns = Vec::with_capacity(parts.len());
        for &(set, part) in parts {
            let mut column = SampleColumns::default();
            self.sets[set as usize].read(part as usize, mint, maxt, &mut column)?;
            columns.push(column);
        }
        merge_columns(&columns, out);
        Ok(())
    }

    fn newest(
        &self,
        index: usize,
        mint: i64,
        maxt: i64,
        scratch: &mut SampleColumns,
    ) -> Result<Option<Sample>, ReadError> {
        let mut newest: Option<Sample> = None;
        // The last source is the one that most probably has it; of equal times the earlier source counts.
        for &(set, part) in self.series[index].1.iter().rev() {
            let found = self.sets[set as usize].newest(part as usize, mint, maxt, scratch)?;
            let is_newer = |found: &Sample| newest.as_ref().is_none_or(|n| n.t <= found.t);
            newest = found.filter(is_newer).or(newest);
            if self.is_sequential && newest.is_some() {
                break;
            }
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Series by name, with samples.
    struct Plain(Vec<(&'static str, Vec<(i64, f64)>)>);

    impl SeriesSet for Plain {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn labels(&self, index: usize) -> Labels {
            Labels::from_pairs([("__name__", self.0[index].0)])
        }

        fn read(
            &self,
            index: usize,
            mint: i64,
            maxt: i64,
            out: &mut SampleColumns,
        ) -> Result<(), ReadError> {
            let last = out.timestamps.last().copied().unwrap_or(i64::MIN);
            for &(t, value) in &self.0[index].1 {
                if mint <= t && t <= maxt && last < t {
                    out.push_float(t, value);
                }
            }
            Ok(())
        }
    }

    fn samples(set: &dyn SeriesSet, index: usize) -> Vec<(i64, f64)> {
        let mut out = SampleColumns::default();
        set.read(index, i64::MIN, i64::MAX, &mut out).unwrap();
        out.timestamps.into_iter().zip(out.floats).collect()
    }

    #[test]
    fn a_series_is_there_once_with_the_samples_of_all_sources() {
        let old = Plain(vec![("a", vec![(1, 1.0), (5, 1.0)]), ("b", vec![(2, 1.0)])]);
        let new = Plain(vec![("c", vec![(3, 2.0)]), ("a", vec![(4, 2.0), (5, 2.0)])]);
        let merged = MergedSeriesSet::new(vec![Box::new(old), Box::new(new)], false);
        assert_eq!(merged.len(), 3);
        assert_eq!(merged.labels(0).metric_name(), "a");
        assert_eq!(samples(&merged, 0), [(1, 1.0), (4, 2.0), (5, 1.0)]);
        assert_eq!(samples(&merged, 1), [(2, 1.0)]);
        assert_eq!(samples(&merged, 2), [(3, 2.0)]);
        let mut scratch = SampleColumns::default();
        let newest = merged.newest(0, 0, 9, &mut scratch).unwrap().unwrap();
        assert_eq!((newest.t, newest.value.as_float()), (5, Some(1.0)));
        let newest = merged.newest(0, 0, 4, &mut scratch).unwrap().unwrap();
        assert_eq!((newest.t, newest.value.as_float()), (4, Some(2.0)));
    }

    #[test]
    fn sources_in_sequence_are_read_one_after_the_other() {
        let old = Plain(vec![("a", vec![(1, 1.0), (2, 1.0)])]);
        let new = Plain(vec![("a", vec![(3, 2.0)])]);
        let merged = MergedSeriesSet::new(vec![Box::new(old), Box::new(new)], true);
        assert_eq!(samples(&merged, 0), [(1, 1.0), (2, 1.0), (3, 2.0)]);
        let mut scratch = SampleColumns::default();
        let newest = merged.newest(0, 0, 2, &mut scratch).unwrap().unwrap();
        assert_eq!(newest.t, 2);
    }
}
