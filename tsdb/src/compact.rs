//! Compaction: blocks are merged into larger ones, and deleted samples leave for good.
//!
//! ```text
//! metas ──► plan ──► blocks ──► source (one each) ──► merge ──► block::write
//! ```
//!
//! Everything streams in order of labels: what is held at a time is one series of each source, and the symbols.

pub mod encode;
pub mod merge;
pub mod plan;
pub mod run;
pub mod source;
