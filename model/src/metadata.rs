//! What a scrape says about a metric besides its samples.

use std::fmt;

/// The type of a metric family, as exposition formats name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Only goes up, or starts again from zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets with counts.
    Histogram,
    /// OpenMetrics: a histogram whose counts may go down.
    GaugeHistogram,
    /// Quantiles.
    Summary,
    /// OpenMetrics: constant labels with the value 1.
    Info,
    /// OpenMetrics: one series a state.
    StateSet,
    /// Nothing is known; the text format says `untyped`.
    #[default]
    Unknown,
}

impl MetricType {
    /// Returns the name as the HTTP API prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
            MetricType::Unknown => "unknown",
        }
    }

    /// Returns the type that a `# TYPE` line of either text format names, if it is one.
    pub fn from_exposition(name: &str) -> Option<Self> {
        Some(match name {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "gaugehistogram" => MetricType::GaugeHistogram,
            "summary" => MetricType::Summary,
            "info" => MetricType::Info,
            "stateset" => MetricType::StateSet,
            "unknown" | "untyped" => MetricType::Unknown,
            _ => return None,
        })
    }
}

impl fmt::Display for MetricType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Type, help and unit of one metric family.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// The family's type.
    pub kind: MetricType,
    /// The help text, unescaped.
    pub help: String,
    /// The unit, empty when none was given.
    pub unit: String,
}
