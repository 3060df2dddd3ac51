//! What start timestamps say about the samples of a counter.
//!
//! A start timestamp is the time at which the counter began to count from zero. 0 means that it is unknown, and one that
//! is not before its own sample says nothing either.

use model::storage::start_of;

/// The times of some samples of one series, and their start timestamps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Starts<'a> {
    timestamps: &'a [i64],
    /// May be shorter: what it lacks is unknown.
    starts: &'a [i64],
}

impl<'a> Starts<'a> {
    pub(crate) fn new(timestamps: &'a [i64], starts: &'a [i64]) -> Self {
        Starts { timestamps, starts }
    }

    fn of(&self, index: usize) -> i64 {
        start_of(self.starts, index)
    }

    /// Returns whether the counter began anew between the sample before `index` and the sample `index`.
    ///
    /// It did if it started after the sample before. If it started at that very time, it did so only if the sample before
    /// has an earlier start: samples of deltas follow each other in this way, while a counter of unknown start says the
    /// time of its first sample at all others.
    pub(crate) fn is_restart(&self, index: usize) -> bool {
        if index == 0 || self.starts.len() <= index {
            return false;
        }
        let (start, start_before) = (self.of(index), self.of(index - 1));
        let before = self.timestamps[index - 1];
        let is_valid = start != 0 && start < self.timestamps[index];
        let follows = start == before && start_before != 0 && start_before < before;
        is_valid && (before < start || follows)
    }

    /// Returns whether the sample `index` claims to start before the sample before it, without sharing its start.
    pub(crate) fn overlaps(&self, index: usize) -> bool {
        if index == 0 || self.starts.len() <= index {
            return false;
        }
        let start = self.of(index);
        start != 0 && start < self.timestamps[index - 1] && start != self.of(index - 1)
    }

    /// Returns when the counter of the sample `index` was zero, if that is known and after `open`.
    pub(crate) fn zero(&self, index: usize, open: i64) -> Option<i64> {
        let start = self.of(index);
        (start != 0 && open < start && start < self.timestamps[index]).then_some(start)
    }

    /// Returns whether nothing is known of any sample.
    pub(crate) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(samples: [(i64, i64); 2], is_restart: bool, overlaps: bool) {
        let (timestamps, starts) = (samples.map(|(t, _)| t), samples.map(|(_, start)| start));
        let starts = Starts::new(&timestamps, &starts);
        assert_eq!(starts.is_restart(1), is_restart);
        assert_eq!(starts.overlaps(1), overlaps);
        assert!(!starts.is_restart(0) && !starts.overlaps(0));
    }

    #[test]
    fn restarts() {
        // Nothing known; the same counter all the time.
        check([(10, 0), (20, 0)], false, false);
        check([(10, 5), (20, 5)], false, false);
        // Later than the sample before, but not later than the sample.
        check([(10, 5), (20, 11)], true, false);
        check([(10, 0), (20, 11)], true, false);
        check([(10, 5), (20, 20)], false, false);
        check([(10, 5), (20, 21)], false, false);
        // At the sample before: a delta, or a counter of unknown start.
        check([(10, 5), (20, 10)], true, false);
        check([(10, 0), (20, 10)], false, false);
        check([(10, 10), (20, 10)], false, false);
        check([(10, 12), (20, 10)], false, false);
        // Before it.
        check([(10, 5), (20, 7)], false, true);
        check([(10, 0), (20, 7)], false, true);
    }

    #[test]
    fn zeros() {
        let starts = Starts::new(&[10, 20], &[4]);
        assert_eq!(starts.zero(0, 3), Some(4));
        assert_eq!(starts.zero(0, 4), None);
        assert_eq!(starts.zero(1, 0), None);
        assert_eq!(Starts::new(&[10], &[10]).zero(0, 0), None);
    }
}
