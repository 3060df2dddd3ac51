//! The `.test` script language: load samples, evaluate queries, say what is expected.
//!
//! ```text
//! load 1m
//!   requests_total{path="/"} 0+10x5 stale
//!
//! eval instant at 5m rate(requests_total[5m])
//!   {path="/"} 0.16666666666666666
//! ```
//!
//! The language is that of Prometheus' own PromQL tests, so its scripts run as they are. A script's commands run in
//! order against one storage in memory; [`run`] returns what came of each `eval`.

mod command;
mod compare;
mod describe;
mod evaluate;
mod histogram;
mod nhcb;
mod series;
mod starts;
mod storage;

pub use command::{Command, Eval, ScriptError, read};
pub use evaluate::Mismatch;
pub use series::{SeriesLine, SeriesValue, read_series};
pub use storage::MemoryStorage;

use crate::engine::{Engine, EngineOptions, Features};
use evaluate::evaluate;

/// What came of one `eval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The line of the `eval` in its script, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What is expected: the lines of the script below the `eval`.
    pub expected: Vec<String>,
    /// What differed from the expectation, if something did.
    pub result: Result<(), Mismatch>,
}

/// Returns the engine settings that scripts assume: five minutes of lookback, subqueries of one minute, all syntax,
/// names dropped at the end of a query, start timestamps used.
pub fn engine() -> Engine {
    let options = EngineOptions {
        lookback_ms: 300_000,
        max_samples: 10_000,
        bytes_max: 0,
        bytes_total_max: 0,
        timeout: std::time::Duration::from_secs(100),
        default_subquery_step_ms: 60_000,
    };
    Engine::new(options, &metrics::Registry::new()).with_features(Features {
        delayed_name_removal: true,
        use_start_timestamps: true,
        ..Features::default()
    })
}

/// Runs the script `text` with `engine`; returns one outcome per `eval`, in order.
///
/// # Errors
///
/// When the script is malformed; nothing was run then.
pub fn run(text: &str, engine: &Engine) -> Result<Vec<Outcome>, ScriptError> {
    let mut storage = MemoryStorage::default();
    let mut outcomes = Vec::new();
    for command in read(text)? {
        match command {
            Command::Clear => storage = MemoryStorage::default(),
            Command::Load(load) => load.store(&mut storage),
            Command::Eval(eval) => outcomes.push(Outcome {
                line: eval.line,
                query: eval.query.clone(),
                expected: eval.lines.clone(),
                result: evaluate(&eval, &storage, engine),
            }),
        }
    }
    Ok(outcomes)
}
