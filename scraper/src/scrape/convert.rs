//! The lines of a classic histogram, gathered until the next one begins.

use model::exemplar::Exemplar;
use model::metadata::MetricType;

use super::read::exemplar_labels;
use super::starts::{MetricKey, start_ms};
use crate::exposition::classic::ClassicHistogram;
use crate::exposition::protobuf::HistogramLine;
use crate::exposition::{Expected, SeriesLine, parse_value};

/// What a line is to the histogram that is being gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// One more series of it.
    Joined,
    /// The first series of the next.
    Begun,
    /// When one was created, which native histograms do not say.
    Created,
    /// No series of a classic histogram.
    Other,
}

/// Gathers the series of one classic histogram after the other. They come in a row: what comes apart is two histograms.
#[derive(Default)]
pub(super) struct Converter {
    /// The series of the histogram at hand, as a line would have it; empty for none.
    key: String,
    timestamp_ms: Option<i64>,
    /// Since when it counts, 0 if that is unknown.
    start: i64,
    classic: ClassicHistogram,
    exemplars: Vec<Exemplar>,
    /// The series that the last line is of.
    line_key: String,
    role: Role,
    labels: String,
}

/// What a series of a histogram counts.
#[derive(Clone, Copy, Default)]
enum Role {
    #[default]
    Count,
    Sum,
    Created,
    Bucket(f64),
}

impl Converter {
    /// Says what `line` is to the histogram at hand.
    ///
    /// * `family`, `kind`: what the last `# TYPE` line says.
    pub(super) fn step(&mut self, line: &SeriesLine<'_>, family: &str, kind: MetricType) -> Step {
        if kind != MetricType::Histogram || !self.look_at(line.series, family) {
            return Step::Other;
        }
        if let Role::Created = self.role {
            return Step::Created;
        }
        if self.line_key == self.key {
            Step::Joined
        } else {
            Step::Begun
        }
    }

    /// Makes the histogram of the last line the one at hand.
    pub(super) fn begin(&mut self) {
        self.key.clone_from(&self.line_key);
    }

    /// Adds the line that was looked at last.
    pub(super) fn take(&mut self, line: &SeriesLine<'_>) {
        match self.role {
            Role::Count => self.classic.count(line.value),
            Role::Sum => self.classic.sum(line.value),
            Role::Created => return,
            Role::Bucket(bound) => self.classic.bucket(bound, line.value),
        }
        self.timestamp_ms = line.timestamp_ms.or(self.timestamp_ms);
        if let Some(exemplar) = &line.exemplar
            && exemplar.timestamp_ms.is_some()
        {
            self.exemplars.push(Exemplar {
                labels: exemplar_labels(exemplar.labels),
                value: exemplar.value,
                t: exemplar.timestamp_ms,
            });
        }
    }

    /// Takes the line that was looked at last for what says since when the histogram at hand counts, if it is of that.
    pub(super) fn take_start(&mut self, line: &SeriesLine<'_>) {
        if self.line_key == self.key {
            self.start = start_ms(line.value);
        }
    }

    /// Returns the histogram at hand, and `Some(None)` if it contradicts itself. There is none at hand afterwards.
    ///
    /// * `expected`: the series that is expected next.
    pub(super) fn finish(&mut self, expected: Expected) -> Option<Option<HistogramLine<'_>>> {
        if self.key.is_empty() {
            return None;
        }
        let sample = self.classic.convert();
        self.classic.clear();
        let mut exemplars = std::mem::take(&mut self.exemplars);
        exemplars.sort_by_key(|exemplar| exemplar.t);
        let timestamp_ms = self.timestamp_ms.take();
        let start = std::mem::take(&mut self.start);
        // The line's own key is that of the next histogram, and wanted later.
        self.labels.clear();
        std::mem::swap(&mut self.labels, &mut self.key);
        let series = self.labels.as_str();
        Some(sample.map(|sample| HistogramLine {
            series,
            is_expected: expected.is(series),
            sample,
            timestamp_ms,
            start,
            exemplars,
        }))
    }

    /// Finds out which histogram of `family` a series is of, and what it counts; whether it is of any.
    fn look_at(&mut self, series: &str, family: &str) -> bool {
        let key = MetricKey::of(series, family, &mut self.labels, &mut self.line_key);
        self.role = match key {
            Some(key) => match key.suffix.as_str() {
                "_count" => Role::Count,
                "_sum" => Role::Sum,
                "_created" => Role::Created,
                "_bucket" => match key.bound.and_then(|bound| parse_value(&bound)) {
                    Some(bound) if !bound.is_nan() => Role::Bucket(bound),
                    _ => return false,
                },
                _ => return false,
            },
            None => return false,
        };
        true
    }
}
