//! Exposition parsers, relabelling, service discovery and scrape loops.
//!
//! ```text
//! config ──► manager ──► pool (one a job) ──► loop (one a target) ──► exposition ──► cache ──► storage
//!                          └── discovery ──► relabel ──► targets
//! ```
//!
//! Samples go to a [`model::storage::Appendable`]; this crate never sees the storage behind it. What a scrape does in its
//! steady state allocates nothing per line: see [`exposition`] and the positional cache.

mod cache;
pub mod config;
mod decompress;
pub mod discovery;
pub mod exposition;
mod failure_log;
mod job;
mod lanes;
pub mod line_file;
mod manager;
pub mod metadata;
mod metrics;
mod pool;
mod presence;
pub mod relabel;
mod scrape;
mod target;
#[cfg(test)]
mod testing;

pub use job::StartOptions;
pub use manager::{
    ApplyError, DroppedTarget, GlobalUrl, ScrapeManager, ScrapeOptions, TargetMetadata,
    TargetState, TargetsSnapshot,
};
pub use scrape::Health;
pub use target::{Target, plain_url};
