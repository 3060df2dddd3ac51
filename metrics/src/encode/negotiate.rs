//! Which format a scraper gets, by what it says it accepts.

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text 0.0.4.
    Text,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
}

impl Format {
    /// Returns the value of the `Content-Type` header.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            Self::OpenMetrics => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
        }
    }
}

/// Returns the format to answer with, given the value of the `Accept` header (empty if there is none).
///
/// Of the formats we know, the one with the highest `q`; of equals the first named. Wildcards and formats unknown to us
/// (protobuf, OpenMetrics 0.0.1) do not count, and with nothing left it is text, as Prometheus' client libraries do.
#[must_use]
pub fn negotiate(accept: &str) -> Format {
    let mut best = (Format::Text, 0.0);
    for range in accept.split(',') {
        if let Some((format, weight)) = parse_range(range)
            && best.1 < weight
        {
            best = (format, weight);
        }
    }
    best.0
}

/// Returns the format and its weight, if `range` (`type/subtype;name=value;…`) names one we know.
fn parse_range(range: &str) -> Option<(Format, f64)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next()?;
    let (mut weight, mut version) = (1.0, "");
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "q" => weight = value.trim().parse().unwrap_or(0.0),
            "version" => version = value.trim().trim_matches('"'),
            _ => {}
        }
    }
    let format = match (media_type.to_ascii_lowercase().as_str(), version) {
        ("text/plain", "" | "0.0.4") => Format::Text,
        ("application/openmetrics-text", "" | "1.0.0") => Format::OpenMetrics,
        _ => return None,
    };
    Some((format, weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{OpenMetrics, Text};

    #[track_caller]
    fn check(accept: &str, expected: Format) {
        assert_eq!(negotiate(accept), expected, "{accept}");
    }

    #[test]
    fn nothing_known_is_text() {
        check("", Text);
        check("*/*", Text);
        check("application/json, text/html;q=0.9", Text);
        check(";;q=,,=", Text);
    }

    #[test]
    fn the_highest_weight_wins() {
        check(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4",
            OpenMetrics,
        );
        check("application/openmetrics-text;q=0.2,text/plain;q=0.4", Text);
        check("application/openmetrics-text , text/plain", OpenMetrics);
        check("text/plain, application/openmetrics-text", Text);
    }

    #[test]
    fn unknown_versions_do_not_count() {
        check(
            "application/openmetrics-text;version=0.0.1;q=0.9,text/plain;q=0.1",
            Text,
        );
        check(
            "application/openmetrics-text;version=\"1.0.0\"",
            OpenMetrics,
        );
        check(
            "text/plain;version=1.0.0,application/openmetrics-text;q=0.1",
            OpenMetrics,
        );
    }

    #[test]
    fn weight_zero_is_a_refusal() {
        check("application/openmetrics-text;q=0", Text);
        check("application/openmetrics-text;q=much", Text);
    }

    #[test]
    fn what_prometheus_sends() {
        let formats = [
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6",
            "application/openmetrics-text;version=0.0.1;q=0.5",
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4",
            "text/plain;version=0.0.4;q=0.3",
            "*/*;q=0.2",
        ];
        check(&formats.join(","), OpenMetrics);
    }
}
