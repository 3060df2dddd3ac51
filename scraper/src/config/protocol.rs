//! Exposition formats, by the names that `scrape_protocols` gives them.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// An exposition format in one of its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum ScrapeProtocol {
    /// OpenMetrics text 0.0.1.
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetricsText0_0_1,
    /// OpenMetrics text 1.0.0.
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetricsText1_0_0,
    /// Prometheus' protobuf format.
    #[serde(rename = "PrometheusProto")]
    PrometheusProto,
    /// Prometheus' text format 0.0.4.
    #[serde(rename = "PrometheusText0.0.4")]
    PrometheusText0_0_4,
    /// Prometheus' text format 1.0.0.
    #[serde(rename = "PrometheusText1.0.0")]
    PrometheusText1_0_0,
}

use ScrapeProtocol as P;

impl ScrapeProtocol {
    /// Every protocol, sorted by name.
    pub const ALL: [ScrapeProtocol; 5] = [
        P::OpenMetricsText0_0_1,
        P::OpenMetricsText1_0_0,
        P::PrometheusProto,
        P::PrometheusText0_0_4,
        P::PrometheusText1_0_0,
    ];

    /// What is asked for when nothing is configured, most wanted first.
    pub const DEFAULT: [ScrapeProtocol; 4] = [
        P::OpenMetricsText1_0_0,
        P::OpenMetricsText0_0_1,
        P::PrometheusText1_0_0,
        P::PrometheusText0_0_4,
    ];

    /// Returns the name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            P::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            P::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
            P::PrometheusProto => "PrometheusProto",
            P::PrometheusText0_0_4 => "PrometheusText0.0.4",
            P::PrometheusText1_0_0 => "PrometheusText1.0.0",
        }
    }

    /// Returns the protocol of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name() == name)
    }

    /// Returns the media type with its version.
    pub const fn media_type(self) -> &'static str {
        match self {
            P::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            P::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
            P::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            P::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            P::PrometheusText1_0_0 => "text/plain;version=1.0.0",
        }
    }

    /// Returns whether the format can say how names outside the old character set are escaped.
    pub const fn has_escaping(self) -> bool {
        matches!(self, P::OpenMetricsText1_0_0 | P::PrometheusText1_0_0)
    }
}

/// Says which names there are.
pub(super) fn unknown(name: &str) -> String {
    let supported = ScrapeProtocol::ALL.map(ScrapeProtocol::name).join(" ");
    format!("unknown scrape protocol {name}, supported: [{supported}]")
}

impl<'de> Deserialize<'de> for ScrapeProtocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        ScrapeProtocol::from_name(&name).ok_or_else(|| D::Error::custom(unknown(&name)))
    }
}
