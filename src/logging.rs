//! Log lines on standard error, as Prometheus writes them: logfmt or JSON, one line an event.

use std::fmt::{self, Write as _};
use std::io;

use model::name::Quoted;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging.
///
/// * `level`: `debug`, `info`, `warn` or `error`. `format`: `logfmt` or `json`.
pub(crate) fn init(level: &str, format: &str) {
    let level = match level {
        "debug" => Level::DEBUG,
        "warn" => Level::WARN,
        "error" => Level::ERROR,
        _ => Level::INFO,
    };
    // Libraries below us say little that an operator can act on.
    let filter = tracing_subscriber::EnvFilter::new(format!(
        "warn,hearth={level},tsdb={level},scraper={level},alertmanager={level},promql={level},net={level},exporters={level}"
    ));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        "json" => lines.json().flatten_event(true).try_init(),
        _ => lines.event_format(Logfmt).try_init(),
    };
}

/// `time=… level=INFO source=module msg="…" field=value`
struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let now = jiff::Timestamp::now();
        write!(
            out,
            "time={now:.3} level={} source={}",
            meta.level(),
            meta.target()
        )?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(out, " msg={}{}", Value(&fields.message), fields.rest)?;
        writeln!(out)
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            write!(self.rest, " {}={}", field.name(), Value(value)).expect("a String takes it all");
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &value.to_string());
    }
}

/// A value, in quotes where it needs them.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain =
            |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            Quoted(self.0).fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_needed() {
        let shown = |value: &str| Value(value).to_string();
        assert_eq!(shown("plain-1.5"), "plain-1.5");
        assert_eq!(shown("two words"), "\"two words\"");
        assert_eq!(shown("a=\"b\"\n"), r#""a=\"b\"\n""#);
        assert_eq!(shown(""), "\"\"");
    }
}
