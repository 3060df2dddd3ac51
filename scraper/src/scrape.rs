//! One scrape: fetch a body, turn it into a batch, store the batch; and the task that does so again and again.
//!
//! ```text
//! fetch (async) ──► body ──► permit ──► ingest (plain code): parse, cache, one batch, one commit
//! ```
//!
//! # Invariants
//!
//! 1. A scrape is stored as a whole, with `up` and its other reports, in one commit; or it failed, and then only
//!    `up 0`, the other reports and staleness markers are stored.
//! 2. What one target sends costs its own scrape only: bodies are bounded, time is bounded, and as many bodies are worked
//!    on at once as there are cores.

mod convert;
mod error;
mod fetch;
mod ingest;
mod labels;
mod limit;
mod read;
mod report;
mod scratch;
mod starts;
mod synthesis;
mod task;
mod texts;
mod walk;

pub(crate) use error::ScrapeError;
pub(crate) use limit::BucketLimits;
pub(crate) use scratch::ScratchPool;
pub use task::Health;
pub(crate) use task::{Assignment, Loop, Order, TargetStatus};
