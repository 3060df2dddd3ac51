//! Start timestamps of counters that do not say theirs: they count from the first sample that was seen.
//!
//! That sample is left out, later ones are less its value and have its time as their start. A counter that went down began
//! anew, a moment before it was seen, and counts from nothing then, native histograms too; Prometheus takes the first histogram
//! after a reset away from those after it as well, whose counts go down then without a new start. Gauge histograms are left as they are.
//!
//! Source: Prometheus, `scrape/st_synthesis.go`.

use hashbrown::HashMap;
use model::histogram::ResetHint;
use model::metadata::MetricType;
use model::storage::{FloatSample, HistogramSample, SeriesRef};

use super::scratch::{Batch, HistogramEntry};

/// What is remembered of each counter of a target. Memory: one entry for each series of it that is live, with two states of a
/// native histogram.
#[derive(Default)]
pub(super) struct Synthesis {
    counters: HashMap<SeriesRef, Counter>,
    histograms: HashMap<SeriesRef, Distribution>,
}

#[derive(Clone, Copy)]
struct Counter {
    /// Since when it counts, milliseconds since the epoch.
    start: i64,
    /// Its value then.
    zero: f64,
    last: f64,
}

/// The same of a native histogram.
struct Distribution {
    start: i64,
    /// Nothing, if it is known to have begun with nothing.
    zero: Option<HistogramSample>,
    last: HistogramSample,
}

impl Synthesis {
    /// Gives start timestamps to the candidates and the native histograms in `batch` that have none, and takes out first samples.
    pub(super) fn apply(&mut self, batch: &mut Batch) {
        let mut firsts = Vec::new();
        for at in std::mem::take(&mut batch.candidates) {
            let sample = batch.samples[at];
            if batch.start(at) != 0 {
                self.counters.remove(&sample.series);
                continue;
            }
            match self.adjust(sample) {
                Some((start, value)) => {
                    batch.samples[at].value = value;
                    batch.set_start(at, start);
                }
                None => firsts.push(at),
            }
        }
        batch.take_out(&firsts);
        batch.histograms.retain_mut(|entry| {
            if entry.start != 0 || is_gauge(&entry.sample) {
                self.histograms.remove(&entry.series);
                return true;
            }
            self.adjust_histogram(entry)
        });
    }

    /// Returns start timestamp and value of a sample; `None` of the first of its series.
    fn adjust(&mut self, sample: FloatSample) -> Option<(i64, f64)> {
        let FloatSample { series, t, value } = sample;
        let Some(counter) = self.counters.get_mut(&series) else {
            let first = Counter {
                start: t,
                zero: value,
                last: value,
            };
            self.counters.insert(series, first);
            return None;
        };
        if value < counter.last {
            (counter.zero, counter.start) = (0.0, t.saturating_sub(1));
        }
        counter.last = value;
        Some((counter.start, value - counter.zero))
    }

    /// Gives a native histogram its start timestamp and what it counted since; returns whether it is not the first of its series.
    fn adjust_histogram(&mut self, entry: &mut HistogramEntry) -> bool {
        let now = entry.sample.clone();
        let Some(known) = self.histograms.get_mut(&entry.series) else {
            let first = Distribution {
                start: entry.t,
                zero: Some(now.clone()),
                last: now,
            };
            self.histograms.insert(entry.series, first);
            return false;
        };
        let grew = since(&now, &known.last).is_some();
        let counted = match &known.zero {
            Some(zero) if grew => since(&now, zero),
            None if grew => Some(now.clone()),
            _ => None,
        };
        entry.sample = counted.unwrap_or_else(|| {
            (known.zero, known.start) = (None, entry.t.saturating_sub(1));
            now.clone()
        });
        entry.start = known.start;
        known.last = now;
        true
    }

    /// Forgets a series that ended, or whose sample was refused: its next sample is the first again.
    pub(super) fn forget(&mut self, series: SeriesRef) {
        self.counters.remove(&series);
        self.histograms.remove(&series);
    }

    /// Goes over to the new handle of a series that storage had dropped.
    pub(super) fn rename(&mut self, before: SeriesRef, now: SeriesRef) {
        if let Some(counter) = self.counters.remove(&before) {
            self.counters.insert(now, counter);
        }
        if let Some(histogram) = self.histograms.remove(&before) {
            self.histograms.insert(now, histogram);
        }
    }
}

fn is_gauge(sample: &HistogramSample) -> bool {
    let hint = match sample {
        HistogramSample::Integer(histogram) => histogram.reset_hint,
        HistogramSample::Float(histogram) => histogram.reset_hint,
    };
    hint == ResetHint::Gauge
}

/// Returns what was observed since `before`; `None` if the counter began anew.
fn since(now: &HistogramSample, before: &HistogramSample) -> Option<HistogramSample> {
    match (now, before) {
        (HistogramSample::Integer(now), HistogramSample::Integer(before)) => now
            .since(before)
            .map(|h| HistogramSample::Integer(h.into())),
        (HistogramSample::Float(now), HistogramSample::Float(before)) => {
            now.since(before).map(|h| HistogramSample::Float(h.into()))
        }
        _ => None,
    }
}

/// Returns whether a series counts: it is a counter, or of a classic histogram, as its family says.
pub(super) fn counts(series: &str, family: &str, kind: MetricType) -> bool {
    let end = series.find(['{', ' ', '\t']).unwrap_or(series.len());
    let suffix = series[..end].strip_prefix(family);
    match kind {
        MetricType::Counter => matches!(suffix, Some("" | "_total")),
        MetricType::Histogram => matches!(suffix, Some("_bucket" | "_count" | "_sum")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_say_what_counts() {
        use MetricType::{Counter, Gauge, Histogram, Summary};
        assert!(counts("c_total{a=\"b\"}", "c", Counter) && counts("c", "c", Counter));
        assert!(counts("h_bucket{le=\"1\"}", "h", Histogram));
        assert!(!counts("h", "h", Histogram) && !counts("h_count", "h", Gauge));
        assert!(!counts("s_count", "s", Summary) && !counts("other_total", "c", Counter));
    }
}
