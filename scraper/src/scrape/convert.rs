//! The lines of a classic histogram, gathered until the next one begins.

use model::exemplar::Exemplar;
use model::metadata::MetricType;

use super::read::exemplar_labels;
use crate::exposition::classic::ClassicHistogram;
use crate::exposition::protobuf::HistogramLine;
use crate::exposition::{Expected, SeriesLine, key, labels, parse_value};

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
        // The line's own key is that of the next histogram, and wanted later.
        self.labels.clear();
        std::mem::swap(&mut self.labels, &mut self.key);
        let series = self.labels.as_str();
        Some(sample.map(|sample| HistogramLine {
            series,
            is_expected: expected.is(series),
            sample,
            timestamp_ms,
            exemplars,
        }))
    }

    /// Finds out which histogram of `family` a series is of, and what it counts; whether it is of any.
    fn look_at(&mut self, series: &str, family: &str) -> bool {
        let mut pairs = Vec::with_capacity(16);
        labels::decode(series, MetricType::Unknown, &mut pairs);
        let name = pairs.iter().find(|(name, _)| name == "__name__");
        let suffix = name.and_then(|(_, name)| name.strip_prefix(family));
        self.role = match suffix {
            Some("_count") => Role::Count,
            Some("_sum") => Role::Sum,
            Some("_created") => Role::Created,
            Some("_bucket") => {
                let bound = pairs.iter().find(|(name, _)| name == "le");
                match bound.and_then(|(_, bound)| parse_value(bound)) {
                    Some(bound) if !bound.is_nan() => Role::Bucket(bound),
                    _ => return false,
                }
            }
            _ => return false,
        };
        let is_bucket = matches!(self.role, Role::Bucket(_));
        pairs.retain(|(name, _)| name != "__name__" && !(is_bucket && name == "le"));
        pairs.sort_unstable();
        self.labels.clear();
        for (name, value) in &pairs {
            key::push_label(&mut self.labels, name, value);
        }
        let name = key::Name::of(family);
        key::write(&mut self.line_key, name, "", &self.labels, None);
        true
    }
}
