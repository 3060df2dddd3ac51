//! How far changes between samples are extrapolated to the ends of their windows.

use super::Windows;
use crate::row::Bits;

/// What the times of samples say about the windows of at least two of them.
#[derive(Debug)]
pub(crate) struct Factors {
    /// The steps that have one.
    pub(crate) present: Bits,
    pub(crate) windows: Vec<Factor>,
}

#[derive(Debug)]
pub(crate) struct Factor {
    pub(crate) step: usize,
    /// The indices of the first and of the last sample.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// What the change is multiplied by, unless the counter would have been below zero.
    pub(crate) factor: f64,
    /// How much of the change lies before the first sample, and a trifle more.
    share_before: f64,
}

impl Factors {
    pub(crate) fn of(windows: &Windows<'_>, seconds: f64) -> Self {
        /// Much more than all rounding together.
        const TRIFLE: f64 = 1e-9;

        let mut present = Bits::new(windows.bounds.len());
        let found = windows.filled(2).map(|(step, first, to)| {
            present.set(step);
            let ends = Ends::of(windows, step, first, to - 1);
            let sampled = (ends.last - ends.first) as f64 / 1e3;
            Factor {
                step,
                first,
                last: to - 1,
                factor: ends.factor(None) / seconds,
                share_before: ends.to_start() / sampled * (1.0 + TRIFLE),
            }
        });
        let found = found.collect();
        Factors {
            present,
            windows: found,
        }
    }
}

impl Factor {
    /// Returns `true` only if a counter that rises by `change` from `first` on is above zero where it is extrapolated to.
    pub(crate) fn is_above_zero(&self, first: f64, change: f64) -> bool {
        /// Below, products lose digits.
        const SMALL: f64 = 1e-200;

        SMALL < change && change * self.share_before < first
    }
}

/// A window and the samples in it.
pub(crate) struct Ends {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Times of the first and the last sample.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Samples less one.
    pub(crate) gaps: f64,
}

impl Ends {
    /// Of the window of `step`, whose samples are `first` to `last`.
    pub(crate) fn of(windows: &Windows<'_>, step: usize, first: usize, last: usize) -> Self {
        Ends {
            start: windows.spec.start(step),
            end: windows.spec.end(step),
            first: windows.timestamps[first],
            last: windows.timestamps[last],
            gaps: (last - first) as f64,
        }
    }

    /// How long before the first sample there is extrapolated to, in seconds.
    fn to_start(&self) -> f64 {
        let to_start = (self.first - self.start) as f64 / 1e3;
        let gap = (self.last - self.first) as f64 / 1e3 / self.gaps;
        if gap * 1.1 <= to_start {
            gap / 2.0
        } else {
            to_start
        }
    }

    /// By what the change between the samples is multiplied to get the change over the window.
    ///
    /// A boundary that is nearer than 1.1 average gaps is taken to be reached, else half a gap is. With `zero`, the
    /// first value and the change, a counter is not extrapolated to below zero.
    pub(crate) fn factor(&self, zero: Option<(f64, f64)>) -> f64 {
        let mut to_start = self.to_start();
        let mut to_end = (self.end - self.last) as f64 / 1e3;
        let sampled = (self.last - self.first) as f64 / 1e3;
        let gap = sampled / self.gaps;
        let near = gap * 1.1;
        if let Some((first, change)) = zero
            && 0.0 < change
            && 0.0 <= first
        {
            let to_zero = sampled * (first / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if near <= to_end {
            to_end = gap / 2.0;
        }
        (sampled + to_start + to_end) / sampled
    }

    /// As [`factor`](Ends::factor), for the change since `zero`, when the counter is known to have been zero: nothing is
    /// extrapolated to the left. A single sample says nothing of gaps, so then nothing is extrapolated at all.
    pub(crate) fn factor_since(&self, zero: i64) -> f64 {
        let mut to_end = (self.end - self.last) as f64 / 1e3;
        let gap = if self.gaps == 0.0 {
            0.0
        } else {
            (self.last - self.first) as f64 / 1e3 / self.gaps
        };
        if gap * 1.1 <= to_end {
            to_end = gap / 2.0;
        }
        let known = (self.last - zero) as f64 / 1e3;
        (known + to_end) / known
    }
}
