//! From a `Content-Type` header to a format. Since Prometheus 3 a missing or unknown one fails the scrape, unless the
//! configuration says what to take then.

use crate::config::ScrapeProtocol;

/// A format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics text, 0.0.1 and 1.0.0.
    OpenMetrics,
}

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// Lines, for [`super::Parser`].
    Lines(Format),
    /// Messages, for [`super::protobuf::Reader`].
    Protobuf,
}

/// Why there is no format. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentTypeError {
    /// The target says nothing.
    #[error(
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target"
    )]
    Blank,
    /// The target says something else.
    #[error(
        "received unsupported Content-Type {0:?} and no fallback_scrape_protocol specified for target"
    )]
    Unsupported(String),
}

impl BodyFormat {
    /// Returns the format that a target's `Content-Type` names, or else that of `fallback`.
    ///
    /// # Errors
    ///
    /// When neither does.
    pub fn of(
        content_type: Option<&str>,
        fallback: Option<ScrapeProtocol>,
    ) -> Result<BodyFormat, ContentTypeError> {
        let content_type = content_type.unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let names = |name: &str| media_type.eq_ignore_ascii_case(name);
        if names("text/plain") {
            return Ok(BodyFormat::Lines(Format::Text));
        }
        if names("application/openmetrics-text") {
            return Ok(BodyFormat::Lines(Format::OpenMetrics));
        }
        if names("application/vnd.google.protobuf") {
            return Ok(BodyFormat::Protobuf);
        }
        match fallback {
            Some(ScrapeProtocol::PrometheusText0_0_4 | ScrapeProtocol::PrometheusText1_0_0) => {
                Ok(BodyFormat::Lines(Format::Text))
            }
            Some(ScrapeProtocol::OpenMetricsText0_0_1 | ScrapeProtocol::OpenMetricsText1_0_0) => {
                Ok(BodyFormat::Lines(Format::OpenMetrics))
            }
            Some(ScrapeProtocol::PrometheusProto) => Ok(BodyFormat::Protobuf),
            None if content_type.is_empty() => Err(ContentTypeError::Blank),
            None => Err(ContentTypeError::Unsupported(content_type.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: Option<&str>, fallback: Option<ScrapeProtocol>, expected: BodyFormat) {
        assert_eq!(BodyFormat::of(content_type, fallback), Ok(expected));
    }

    #[test]
    fn content_types() {
        let (text, open) = (
            BodyFormat::Lines(Format::Text),
            BodyFormat::Lines(Format::OpenMetrics),
        );
        check(Some("text/plain; version=0.0.4"), None, text);
        check(
            Some("application/openmetrics-text;version=1.0.0"),
            None,
            open,
        );
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        check(Some(protobuf), None, BodyFormat::Protobuf);
        check(Some(""), Some(ScrapeProtocol::PrometheusText0_0_4), text);
        check(
            Some("text/html"),
            Some(ScrapeProtocol::OpenMetricsText1_0_0),
            open,
        );
        check(
            None,
            Some(ScrapeProtocol::PrometheusProto),
            BodyFormat::Protobuf,
        );
    }

    #[test]
    fn no_format() {
        assert_eq!(BodyFormat::of(None, None), Err(ContentTypeError::Blank));
        assert_eq!(
            BodyFormat::of(Some("text/html"), None),
            Err(ContentTypeError::Unsupported("text/html".to_owned()))
        );
    }
}
