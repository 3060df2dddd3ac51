//! Start timestamps of counters that do not say theirs: they count from the first sample that was seen.
//!
//! That sample is left out, later ones are less its value and have its time as their start. A counter that went down began
//! anew, a moment before it was seen. Native histograms are left as they are.
//!
//! Source: Prometheus, `scrape/st_synthesis.go`.

use hashbrown::HashMap;
use model::metadata::MetricType;
use model::storage::{FloatSample, SeriesRef};

use super::scratch::Batch;

/// What is remembered of each counter of a target. Memory: one entry for each series of it that is live.
#[derive(Default)]
pub(super) struct Synthesis(HashMap<u64, Counter>);

#[derive(Clone, Copy)]
struct Counter {
    /// Since when it counts, milliseconds since the epoch.
    start: i64,
    /// Its value then.
    zero: f64,
    last: f64,
}

impl Synthesis {
    /// Gives start timestamps to the candidates in `batch` that have none, and takes out first samples.
    pub(super) fn apply(&mut self, batch: &mut Batch) {
        let mut firsts = Vec::new();
        for at in std::mem::take(&mut batch.candidates) {
            let sample = batch.samples[at];
            if batch.start(at) != 0 {
                self.0.remove(&sample.series.0);
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
    }

    /// Returns start timestamp and value of a sample; `None` of the first of its series.
    fn adjust(&mut self, sample: FloatSample) -> Option<(i64, f64)> {
        let FloatSample { series, t, value } = sample;
        let Some(counter) = self.0.get_mut(&series.0) else {
            let first = Counter {
                start: t,
                zero: value,
                last: value,
            };
            self.0.insert(series.0, first);
            return None;
        };
        if value < counter.last {
            (counter.zero, counter.start) = (0.0, t.saturating_sub(1));
        }
        counter.last = value;
        Some((counter.start, value - counter.zero))
    }

    /// Forgets a series that ended, or whose sample was refused: its next sample is the first again.
    pub(super) fn forget(&mut self, series: SeriesRef) {
        self.0.remove(&series.0);
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
