//! Windows of `anchored` and `smoothed` selectors: also the samples next to them.

use super::WindowSpec;
use crate::ast::Extension;

/// How far from a window a sample may be that belongs to it nonetheless, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Before its start; one that is this far away does not belong to it any more.
    pub(crate) back: i64,
    /// After its end; none if no such sample is wanted.
    pub(crate) ahead: Option<i64>,
}

impl Reach {
    /// Returns the reach of a selector; none if it is a usual one.
    pub(crate) fn of(extension: Extension, lookback: i64) -> Option<Self> {
        let ahead = match extension {
            Extension::None => return None,
            Extension::Anchored => None,
            Extension::Smoothed => Some(lookback),
        };
        Some(Reach {
            back: lookback,
            ahead,
        })
    }
}

/// Replaces `bounds` by the window of each step in `timestamps`, which ascend. Returns the sum of their lengths.
///
/// A window begins with the last sample at or before its start, if that is in reach. Anchored, it ends with the last
/// sample inside and is empty if none is inside. Smoothed, it ends with the first sample at or after its end, if that is
/// in reach, and is empty if all of its samples are on one side: up to the start, or after the end. Both bounds of windows
/// that are not empty only grow from step to step.
pub(crate) fn find(
    spec: &WindowSpec,
    reach: Reach,
    timestamps: &[i64],
    bounds: &mut Vec<(usize, usize)>,
) -> usize {
    bounds.clear();
    let (mut first_inside, mut past_end, mut seen) = (0, 0, 0);
    for step in 0..spec.steps.count {
        let (start, end) = (spec.start(step), spec.end(step));
        while timestamps.get(first_inside).is_some_and(|&t| t <= start) {
            first_inside += 1;
        }
        while timestamps.get(past_end).is_some_and(|&t| t <= end) {
            past_end += 1;
        }
        let anchor = first_inside
            .checked_sub(1)
            .filter(|&anchor| start.saturating_sub(reach.back) < timestamps[anchor]);
        let from = anchor.unwrap_or(first_inside);
        let mut to = past_end;
        if let Some(ahead) = reach.ahead {
            let ends_inside = past_end
                .checked_sub(1)
                .is_none_or(|last| timestamps[last] < end);
            let next = timestamps.get(past_end);
            to += usize::from(ends_inside && next.is_some_and(|&t| t <= end.saturating_add(ahead)));
        }
        let has_result = from < to && start < timestamps[to - 1] && timestamps[from] <= end;
        bounds.push(if has_result { (from, to) } else { (from, from) });
        seen += if has_result { to - from } else { 0 };
    }
    seen
}

/// A point of a series in time: a sample, or somewhere between two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Point {
    /// The sample with this index.
    At(usize),
    /// After the sample with this index, by this part of the way to the next.
    Between(usize, f64),
}

impl Point {
    /// Returns the point between the samples `before` and the one after it at which it is `t`.
    pub(crate) fn between(timestamps: &[i64], before: usize, t: i64) -> Self {
        let (from, to) = (timestamps[before], timestamps[before + 1]);
        Point::Between(before, (t - from) as f64 / (to - from) as f64)
    }
}

/// What stands for the start and the end of a window.
///
/// Between them a counter was reset where one of the samples in `first_raw() + 1..=last_raw()` is less than the one
/// before it: a point between two samples has dealt with the reset between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Extent {
    pub(crate) left: Point,
    pub(crate) right: Point,
}

impl Extent {
    /// Returns the extent of the window `from..to` of `step`, as [`find`] has found it.
    pub(crate) fn of(
        spec: &WindowSpec,
        reach: Reach,
        timestamps: &[i64],
        (step, from, to): (usize, usize, usize),
    ) -> Self {
        let (start, end) = (spec.start(step), spec.end(step));
        let is_smoothed = reach.ahead.is_some();
        let left = if is_smoothed && timestamps[from] < start {
            Point::between(timestamps, from, start)
        } else {
            Point::At(from)
        };
        let right = if is_smoothed && end < timestamps[to - 1] {
            Point::between(timestamps, to - 2, end)
        } else {
            Point::At(to - 1)
        };
        Extent { left, right }
    }

    /// The first sample from which on resets count.
    pub(crate) fn first_raw(&self) -> usize {
        match self.left {
            Point::At(index) => index,
            Point::Between(before, _) => before + 1,
        }
    }

    /// The last sample up to which resets count.
    pub(crate) fn last_raw(&self) -> usize {
        match self.right {
            Point::At(index) => index,
            Point::Between(before, _) => before + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::context::Look;
    use crate::row::Steps;
    use proptest::prelude::*;

    proptest! {
        /// Two pointers find what the definition says.
        #[test]
        fn agrees_with_the_definition(
            times in proptest::collection::btree_set(-100i64..400, 0..40),
            start in -100i64..300, step in 1i64..40, count in 0usize..20, range in 1i64..120, back in 1i64..80,
            is_smoothed: bool,
        ) {
            let times = Vec::from_iter(times);
            let spec = WindowSpec::new(Steps { start, step, count, ..Steps::one(0) }, Look::default(), range);
            let reach = Reach { back, ahead: is_smoothed.then_some(back) };
            let mut bounds = Vec::new();
            find(&spec, reach, &times, &mut bounds);
            prop_assert_eq!(bounds.len(), count);
            prop_assert!(bounds.iter().filter(|(from, to)| from < to).is_sorted());
            for (index, &(from, to)) in bounds.iter().enumerate() {
                let (start, end) = (spec.start(index), spec.end(index));
                let mut wanted: Vec<i64> = times.iter().copied().filter(|&t| start < t && t <= end).collect();
                let before = times.iter().rfind(|&&t| start - back < t && t <= start);
                let after = times.iter().find(|&&t| end <= t && t <= end + back);
                if is_smoothed {
                    wanted.extend(before);
                    wanted.extend(after);
                    let has_later = wanted.iter().any(|&t| start < t);
                    if !(has_later && wanted.iter().any(|&t| t <= end)) {
                        wanted.clear();
                    }
                } else if !wanted.is_empty() {
                    wanted.extend(before);
                }
                wanted.sort_unstable();
                wanted.dedup();
                prop_assert_eq!(&wanted, &times[from..to]);
            }
        }
    }
}
