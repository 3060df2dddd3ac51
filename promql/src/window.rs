//! The windows of all steps in the samples of one series.

pub(crate) mod ends;
pub(crate) mod extended;
pub(crate) mod starts;

use std::cell::OnceCell;

use crate::engine::context::Look;
use crate::error::QueryError;
use crate::limits::Budget;
use crate::row::Steps;
use ends::Factors;
use starts::Starts;

/// Where windows are, whatever the series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowSpec {
    pub(crate) steps: Steps,
    look: Look,
    /// Length in milliseconds.
    pub(crate) range: i64,
    /// Where the first window ends, and how much later each next one does, if no time is beyond what 64 bits hold.
    regular: Option<(i64, i64)>,
}

impl WindowSpec {
    pub(crate) fn new(steps: Steps, look: Look, range: i64) -> Self {
        let advance = if look.at.is_some() { 0 } else { steps.step };
        let regular = || {
            let first = look.at.unwrap_or(steps.start).checked_sub(look.offset)?;
            let count = i64::try_from(steps.count).ok()?;
            first.checked_add(advance.checked_mul(count)?)?;
            // The end of the last step, and the start of the first window.
            steps.start.checked_add(steps.step.checked_mul(count)?)?;
            first.checked_sub(range)?;
            Some((first, advance))
        };
        WindowSpec {
            steps,
            look,
            range,
            regular: regular(),
        }
    }

    /// Where the window of `step` ends; that instant belongs to it.
    pub(crate) fn end(&self, step: usize) -> i64 {
        match self.regular {
            #[expect(clippy::cast_possible_wrap, reason = "there are fewer steps than 2^63")]
            Some((first, advance)) => first + advance * step as i64,
            None => self.look.from(self.steps.time(step)),
        }
    }

    /// Where the window of `step` starts; that instant does not belong to it.
    pub(crate) fn start(&self, step: usize) -> i64 {
        self.end(step).saturating_sub(self.range)
    }
}

/// The samples of one series and, per step, which of them are in the window: `from[step]..to[step]`.
///
/// Both bounds only grow from step to step. Windows are open on the left and closed on the right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows<'a> {
    pub(crate) budget: &'a Budget,
    pub(crate) spec: WindowSpec,
    pub(crate) timestamps: &'a [i64],
    pub(crate) values: &'a [f64],
    /// Start timestamps; may be shorter, see [`Starts`].
    pub(crate) starts: &'a [i64],
    pub(crate) bounds: &'a [(usize, usize)],
    pub(crate) known: &'a Known,
}

/// What the times of samples say of all windows, for each function that asks; it is the same for all series of these times.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// For `rate` and its like.
    pub(crate) factors: OnceCell<Factors>,
    /// For lines, of each step.
    pub(crate) spreads: OnceCell<Vec<Spread>>,
}

/// How the times of a window's samples are spread, in seconds since where its line starts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) sum: f64,
    /// The sum of squares, less what it would be if all times were their mean.
    pub(crate) variance: f64,
}

impl<'a> Windows<'a> {
    /// As [`filled`](Windows::filled), for functions that scan each window: that is work, and fails when time is up.
    pub(crate) fn scanned(
        &self,
        least: usize,
        mut scan: impl FnMut(usize, usize, usize),
    ) -> Result<(), QueryError> {
        for (step, from, to) in self.filled(least) {
            self.budget.check_work(to - from)?;
            scan(step, from, to);
        }
        Ok(())
    }

    /// What start timestamps say.
    pub(crate) fn starts(&self) -> Starts<'a> {
        Starts::new(self.timestamps, self.starts)
    }

    /// The windows that hold at least `least` samples: step, first sample, one past the last sample.
    pub(crate) fn filled(&self, least: usize) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
        let bounds = self.bounds.iter().enumerate();
        bounds
            .filter(move |(_, (from, to))| from + least <= *to)
            .map(|(step, &(from, to))| (step, from, to))
    }
}

/// Replaces `bounds` by the window of each step in `timestamps`, which ascend. Returns the sum of their lengths.
pub(crate) fn find(
    spec: &WindowSpec,
    timestamps: &[i64],
    bounds: &mut Vec<(usize, usize)>,
) -> usize {
    bounds.clear();
    let (mut from, mut to, mut seen) = (0, 0, 0);
    for step in 0..spec.steps.count {
        let end = spec.end(step);
        let start = end.saturating_sub(spec.range);
        while timestamps.get(to).is_some_and(|&t| t <= end) {
            to += 1;
        }
        while from < to && timestamps[from] <= start {
            from += 1;
        }
        seen += to - from;
        bounds.push((from, to));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Two pointers find what the definition says.
        #[test]
        fn agrees_with_the_definition(
            times in proptest::collection::btree_set(-100i64..400, 0..60),
            start in -100i64..300, step in 1i64..40, count in 0usize..20, range in 1i64..120, offset in -50i64..50,
        ) {
            let times = Vec::from_iter(times);
            let steps = Steps { start, step, count, ..Steps::one(0) };
            let spec = WindowSpec::new(steps, Look { at: None, offset }, range);
            let mut bounds = Vec::new();
            find(&spec, &times, &mut bounds);
            prop_assert_eq!(bounds.len(), count);
            for (index, &(from, to)) in bounds.iter().enumerate() {
                let end = start + step * index as i64 - offset;
                let inside = times.iter().filter(|&&t| end - range < t && t <= end);
                prop_assert_eq!(Vec::from_iter(inside), Vec::from_iter(&times[from..to]));
            }
        }
    }
}
