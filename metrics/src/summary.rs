//! The summary: quantiles of the last ten minutes.
//!
//! The window is cut into [`SLICES`] slices of time. Each keeps a uniform sample of what was observed in it (a bounded
//! reservoir, algorithm R), and a quantile is read from all living slices together, each sampled value weighted by how
//! many observations it stands for. So memory is bounded whatever the rate, quantiles are exact below
//! [`RESERVOIR_MAX`] observations per slice, and the window moves on in steps of a slice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::family::{Instrument, sealed};
use crate::number::AtomicF64;
use crate::snapshot::{MetricKind, MetricValue};

const WINDOW_MS: u64 = 600_000;
const SLICES: usize = 5;
const SLICE_MS: u64 = WINDOW_MS / SLICES as u64;

/// Values kept per slice, at most.
const RESERVOIR_MAX: usize = 512;

/// Quantiles over the last ten minutes; sum and count since the start.
#[derive(Clone, Debug)]
pub struct Summary(Arc<Window>);

#[derive(Debug)]
struct Window {
    quantiles: Box<[f64]>,
    count: AtomicU64,
    sum: AtomicF64,
    born: Instant,
    slices: Mutex<Slices>,
}

impl Summary {
    /// Counts `value`.
    pub fn observe(&self, value: f64) {
        self.observe_at(Instant::now(), value);
    }

    /// Counts the seconds since `start`.
    pub fn observe_since(&self, start: Instant) {
        let now = Instant::now();
        self.observe_at(now, now.saturating_duration_since(start).as_secs_f64());
    }

    fn observe_at(&self, now: Instant, value: f64) {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.sum.add(value);
        self.0.slices.lock().observe(self.0.slice_at(now), value);
    }

    /// Returns the sum of all observations since the start.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.0.sum.load()
    }

    /// Returns the number of observations since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    fn read_at(&self, now: Instant) -> MetricValue {
        let weighted = self.0.slices.lock().weighted(self.0.slice_at(now));
        let quantiles = self
            .0
            .quantiles
            .iter()
            .map(|&rank| (rank, quantile(&weighted, rank)))
            .collect();
        MetricValue::Summary {
            quantiles,
            sum: self.sum(),
            count: self.count(),
        }
    }
}

impl Window {
    /// Returns the number of the slice that `now` is in, counted from the summary's birth.
    fn slice_at(&self, now: Instant) -> u64 {
        let age_ms = now.saturating_duration_since(self.born).as_millis();
        u64::try_from(age_ms).unwrap_or(u64::MAX) / SLICE_MS
    }
}

impl sealed::Sealed for Summary {}

impl Instrument for Summary {
    type Options = Vec<f64>;
    const KIND: MetricKind = MetricKind::Summary;

    fn create(quantiles: &Vec<f64>) -> Self {
        assert!(
            quantiles.iter().all(|rank| (0.0..=1.0).contains(rank)),
            "quantiles are in 0..=1: {quantiles:?}"
        );
        Self(Arc::new(Window {
            quantiles: quantiles.as_slice().into(),
            count: AtomicU64::new(0),
            sum: AtomicF64::default(),
            born: Instant::now(),
            slices: Mutex::new(Slices::default()),
        }))
    }

    fn read(&self) -> MetricValue {
        self.read_at(Instant::now())
    }
}

/// The reservoirs of one window, as a ring: slice `n` lives at `n % SLICES` until slice `n + SLICES` takes its place.
#[derive(Debug, Default)]
struct Slices {
    ring: [Reservoir; SLICES],
    random: u64,
}

#[derive(Debug, Default)]
struct Reservoir {
    slice: u64,
    seen: u64,
    kept: Vec<f64>,
}

impl Slices {
    fn observe(&mut self, slice: u64, value: f64) {
        let reservoir = &mut self.ring[index(slice)];
        if reservoir.slice != slice {
            *reservoir = Reservoir {
                slice,
                seen: 0,
                kept: std::mem::take(&mut reservoir.kept),
            };
            reservoir.kept.clear();
        }
        reservoir.seen += 1;
        if reservoir.kept.len() < RESERVOIR_MAX {
            reservoir.kept.push(value);
            return;
        }
        let place = split_mix(&mut self.random) % reservoir.seen;
        if let Some(kept) = usize::try_from(place)
            .ok()
            .and_then(|place| reservoir.kept.get_mut(place))
        {
            *kept = value;
        }
    }

    /// Returns the kept values of the window that ends in `slice`, ascending, each with the observations it stands for.
    fn weighted(&self, slice: u64) -> Vec<(f64, f64)> {
        let alive = self
            .ring
            .iter()
            .filter(|reservoir| slice < reservoir.slice + SLICES as u64);
        let mut weighted: Vec<_> = alive
            .flat_map(|reservoir| {
                let weight = reservoir.seen as f64 / reservoir.kept.len() as f64;
                reservoir.kept.iter().map(move |&value| (value, weight))
            })
            .collect();
        weighted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        weighted
    }
}

fn index(slice: u64) -> usize {
    usize::try_from(slice % SLICES as u64).expect("a remainder of a small number fits")
}

/// Returns the value at `rank` of the ascending `weighted` values (nearest rank); NaN if there is none.
fn quantile(weighted: &[(f64, f64)], rank: f64) -> f64 {
    let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
    // The slack forgives the rounding of the weights, so that 0.5 of four values is the second and not the third.
    let wanted = rank * total * (1.0 - 1e-12);
    let mut reached = 0.0;
    let found = weighted.iter().find(|(_, weight)| {
        reached += weight;
        wanted <= reached
    });
    found
        .or(weighted.last())
        .map_or(f64::NAN, |&(value, _)| value)
}

/// The generator of Steele, Lea and Flood (2014): good enough to choose what to forget.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn quantiles_at(summary: &Summary, after: Duration) -> Vec<f64> {
        let MetricValue::Summary { quantiles, .. } = summary.read_at(summary.0.born + after) else {
            panic!("not a summary")
        };
        quantiles.into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn small_windows_are_exact() {
        let summary = Summary::create(&vec![0.0, 0.5, 0.9, 1.0]);
        (1..=10)
            .rev()
            .for_each(|value| summary.observe(f64::from(value)));
        assert_eq!(
            quantiles_at(&summary, Duration::ZERO),
            [1.0, 5.0, 9.0, 10.0]
        );
        assert_eq!((summary.sum(), summary.count()), (55.0, 10));
    }

    #[test]
    fn nothing_observed_is_nan() {
        let summary = Summary::create(&vec![0.5]);
        assert!(quantiles_at(&summary, Duration::ZERO)[0].is_nan());
    }

    #[test]
    fn the_window_forgets_but_sum_and_count_do_not() {
        let summary = Summary::create(&vec![1.0]);
        let at = |seconds| summary.0.born + Duration::from_secs(seconds);
        summary.observe_at(at(0), 100.0);
        summary.observe_at(at(500), 1.0);
        assert_eq!(quantiles_at(&summary, Duration::from_secs(599)), [100.0]);
        assert_eq!(quantiles_at(&summary, Duration::from_secs(600)), [1.0]);
        assert!(quantiles_at(&summary, Duration::from_secs(1_200))[0].is_nan());
        assert_eq!((summary.sum(), summary.count()), (101.0, 2));
    }

    #[test]
    fn a_reused_slice_starts_empty() {
        let summary = Summary::create(&vec![1.0]);
        summary.observe_at(summary.0.born, 100.0);
        summary.observe_at(summary.0.born + Duration::from_millis(WINDOW_MS), 1.0);
        assert_eq!(
            quantiles_at(&summary, Duration::from_millis(WINDOW_MS)),
            [1.0]
        );
    }

    #[test]
    fn a_full_reservoir_stays_close() {
        let summary = Summary::create(&vec![0.5]);
        (0..100_000).for_each(|value| summary.observe(f64::from(value)));
        let median = quantiles_at(&summary, Duration::ZERO)[0];
        assert!((35_000.0..65_000.0).contains(&median), "{median}");
        assert!(
            summary
                .0
                .slices
                .lock()
                .ring
                .iter()
                .all(|slice| slice.kept.len() <= RESERVOIR_MAX)
        );
    }
}
