//! `query_log_file`: a line of JSON for each query that was evaluated, of requests and of rules.
//!
//! The names are Prometheus'. What is no query, because it does not parse, is not in it. The file is opened anew at each reload:
//! that is how it is rotated.
//!
//! # Bounds
//!
//! Those of a [`LineFile`]: what cannot be written is counted in `prometheus_engine_query_log_failures_total`.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use metrics::{Counter, Gauge, Registry};
use model::trace::SpanContext;
use parking_lot::RwLock;
use scraper::line_file::LineFile;
use serde::Serialize;

use crate::api::QueryTime;

/// The log, if there is one.
pub(crate) struct QueryLog {
    file: RwLock<Option<LineFile>>,
    enabled: Gauge,
    failures: Counter,
}

/// Who asked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Origin {
    /// A request.
    #[serde(rename_all = "camelCase")]
    HttpRequest {
        /// The address of who sent it.
        #[serde(rename = "clientIP")]
        client_ip: String,
        method: String,
        path: String,
    },
    /// A rule of a group.
    RuleGroup { file: String, name: String },
}

/// A query that was evaluated.
pub(crate) struct Evaluated<'a> {
    pub(crate) query: &'a str,
    /// Its steps, in milliseconds; of an instant query start and end are the same, and the step is 0.
    pub(crate) steps: (i64, i64, i64),
    /// Why it has no value.
    pub(crate) error: Option<String>,
    pub(crate) time: &'a QueryTime,
    pub(crate) span: Option<SpanContext>,
    pub(crate) origin: Option<&'a Origin>,
}

#[derive(Serialize)]
struct Line<'a, S: Serialize> {
    time: String,
    level: &'static str,
    source: &'static str,
    msg: &'static str,
    params: Params<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    stats: S,
    #[serde(rename = "spanID")]
    span_id: String,
    #[serde(flatten)]
    origin: Option<&'a Origin>,
}

#[derive(Serialize)]
struct Params<'a> {
    end: String,
    query: &'a str,
    start: String,
    /// Whole seconds.
    step: i64,
}

impl QueryLog {
    /// Returns a log that is off.
    pub(crate) fn new(registry: &Registry) -> Self {
        QueryLog {
            file: RwLock::default(),
            enabled: registry.gauge(
                "prometheus_engine_query_log_enabled",
                "State of the query log.",
            ),
            failures: registry.counter(
                "prometheus_engine_query_log_failures_total",
                "The number of query log failures.",
            ),
        }
    }

    /// Opens a file for [`replace`](Self::replace).
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub(crate) fn open(&self, path: &Path) -> io::Result<LineFile> {
        LineFile::open(path, self.failures.clone())
    }

    /// Writes to `file` from now on, if to any; what waits for the one before is written.
    pub(crate) fn replace(&self, file: Option<LineFile>) {
        self.enabled.set(f64::from(u8::from(file.is_some())));
        let before = std::mem::replace(&mut *self.file.write(), file);
        drop(before);
    }

    /// Returns whether there is a log.
    pub(crate) fn is_on(&self) -> bool {
        self.file.read().is_some()
    }

    /// Adds a query, which ended just now, `now_ms` since the epoch.
    pub(crate) fn write(&self, evaluated: Evaluated<'_>, now_ms: i64) {
        let file = self.file.read();
        let Some(file) = &*file else { return };
        let (start_ms, end_ms, step_ms) = evaluated.steps;
        file.write(&Line {
            time: rfc3339(now_ms),
            level: "INFO",
            source: "query",
            msg: "promql query logged",
            params: Params {
                end: rfc3339(end_ms),
                query: evaluated.query,
                start: rfc3339(start_ms),
                step: step_ms / 1_000,
            },
            error: evaluated.error,
            stats: evaluated.time.json(),
            span_id: format!("{:016x}", evaluated.span.map_or(0, |span| span.span)),
            origin: evaluated.origin,
        });
    }
}

/// Returns a time as Prometheus prints it there.
fn rfc3339(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests;
