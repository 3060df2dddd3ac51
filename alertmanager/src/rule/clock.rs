//! When a group is evaluated.
//!
//! Evaluations lie on a grid of the group's interval, shifted by an offset that is a hash of the group's name: groups
//! spread over the interval, and each keeps its place over restarts. An evaluation's time is its place on the grid, not
//! the moment when it ran, so that results do not depend on scheduling.

use model::Duration;

use crate::alert::{FNV_OFFSET, fnv1a};

/// The grid of one group's evaluation times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleClock {
    interval_ms: i64,
    offset_ms: i64,
}

impl RuleClock {
    /// Returns the clock of the group `name` in `file`. An interval below a millisecond counts as one.
    pub fn new(file: &str, name: &str, interval: Duration) -> Self {
        let interval_ms = interval.as_ms().max(1);
        let hash = fnv1a(
            fnv1a(fnv1a(FNV_OFFSET, file.as_bytes()), b";"),
            name.as_bytes(),
        );
        let offset = hash % interval_ms.unsigned_abs();
        RuleClock {
            interval_ms,
            offset_ms: i64::try_from(offset).unwrap_or(0),
        }
    }

    /// Returns the newest grid time that is not after `now_ms`.
    pub fn latest(self, now_ms: i64) -> i64 {
        now_ms - (now_ms - self.offset_ms).rem_euclid(self.interval_ms)
    }

    /// Returns the first grid time after `now_ms`.
    pub fn next(self, now_ms: i64) -> i64 {
        self.latest(now_ms) + self.interval_ms
    }

    /// Returns `at_ms`, the grid time that is to be evaluated next, or one that comes sooner if the wall clock was set back:
    /// that must not stop the rules until it has caught up. A clock that is late by less than an interval changes nothing,
    /// so that no time is evaluated twice because of it.
    pub fn reachable(self, at_ms: i64, now_ms: i64) -> i64 {
        at_ms.min(self.next(now_ms) + self.interval_ms)
    }

    /// Returns how many grid times lie strictly between `last_ms` (one of them) and the latest at `now_ms`: evaluations
    /// that were missed.
    pub fn missed(self, last_ms: i64, now_ms: i64) -> u64 {
        let passed = (self.latest(now_ms) - last_ms) / self.interval_ms;
        u64::try_from(passed - 1).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn missed_evaluations_are_counted() {
        let clock = RuleClock::new("f", "g", Duration::from_secs(10));
        let first = clock.next(1_000_000);
        assert_eq!(clock.missed(first, first), 0);
        assert_eq!(clock.missed(first, first + 10_000), 0);
        assert_eq!(clock.missed(first, first + 19_999), 0);
        assert_eq!(clock.missed(first, first + 20_000), 1);
        assert_eq!(clock.missed(first, first + 55_000), 4);
    }

    #[test]
    fn only_a_clock_that_was_set_back_moves_an_evaluation() {
        let clock = RuleClock::new("f", "g", Duration::from_secs(10));
        let at = clock.next(1_000_000);
        for late_ms in [0, 1, 10_000, 10_001, 20_000] {
            assert_eq!(clock.reachable(at, at - late_ms), at);
        }
        assert_eq!(clock.reachable(at, at - 20_001), at - 10_000);
        assert_eq!(clock.reachable(at, at + 50_000), at);
    }

    #[test]
    fn groups_spread_and_stay() {
        let interval = Duration::from_secs(60);
        let a = RuleClock::new("f", "a", interval);
        assert_eq!(a, RuleClock::new("f", "a", interval));
        assert_ne!(a.latest(0), RuleClock::new("f", "b", interval).latest(0));
    }

    proptest! {
        #[test]
        fn grid_times_are_an_interval_apart(now in -1_000_000i64..1_000_000, seconds in 1i64..100) {
            let clock = RuleClock::new("f", "g", Duration::from_secs(seconds));
            let latest = clock.latest(now);
            prop_assert!(latest <= now && now < clock.next(now));
            prop_assert_eq!(clock.next(latest), latest + seconds * 1_000);
            prop_assert_eq!(clock.latest(latest), latest);
        }
    }
}
