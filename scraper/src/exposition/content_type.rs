//! From a `Content-Type` header to a format. Since Prometheus 3 a missing or unknown one fails the scrape, unless the
//! configuration says what to take then.

use crate::config::ScrapeProtocol;

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format, 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics text, 0.0.1 and 1.0.0.
    OpenMetrics,
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
    /// Protobuf was not asked for and cannot be read yet.
    #[error("received Content-Type {0:?}, which is not supported yet")]
    Protobuf(String),
}

impl Format {
    /// Returns the format that a target's `Content-Type` names, or else that of `fallback`.
    ///
    /// # Errors
    ///
    /// When neither does.
    pub fn of(
        content_type: Option<&str>,
        fallback: Option<ScrapeProtocol>,
    ) -> Result<Format, ContentTypeError> {
        let content_type = content_type.unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("text/plain") {
            return Ok(Format::Text);
        }
        if media_type.eq_ignore_ascii_case("application/openmetrics-text") {
            return Ok(Format::OpenMetrics);
        }
        if media_type.eq_ignore_ascii_case("application/vnd.google.protobuf") {
            return Err(ContentTypeError::Protobuf(content_type.to_owned()));
        }
        match fallback {
            Some(ScrapeProtocol::PrometheusText0_0_4 | ScrapeProtocol::PrometheusText1_0_0) => {
                Ok(Format::Text)
            }
            Some(ScrapeProtocol::OpenMetricsText0_0_1 | ScrapeProtocol::OpenMetricsText1_0_0) => {
                Ok(Format::OpenMetrics)
            }
            Some(ScrapeProtocol::PrometheusProto) => {
                Err(ContentTypeError::Protobuf(content_type.to_owned()))
            }
            None if content_type.is_empty() => Err(ContentTypeError::Blank),
            None => Err(ContentTypeError::Unsupported(content_type.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let of = |content_type, fallback| Format::of(content_type, fallback);
        assert_eq!(
            of(Some("text/plain; version=0.0.4"), None),
            Ok(Format::Text)
        );
        assert_eq!(
            of(Some("application/openmetrics-text;version=1.0.0"), None),
            Ok(Format::OpenMetrics)
        );
        assert_eq!(of(None, None), Err(ContentTypeError::Blank));
        assert_eq!(
            of(Some(""), Some(ScrapeProtocol::PrometheusText0_0_4)),
            Ok(Format::Text)
        );
        assert_eq!(
            of(
                Some("text/html"),
                Some(ScrapeProtocol::OpenMetricsText1_0_0)
            ),
            Ok(Format::OpenMetrics)
        );
        assert_eq!(
            of(Some("text/html"), None),
            Err(ContentTypeError::Unsupported("text/html".to_owned()))
        );
    }
}
