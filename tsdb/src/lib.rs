//! Hearth's storage engine.
//!
//! Samples are appended in batches: logged ([`wal`]), then added to the open chunk of their series ([`head`]); full
//! chunks ([`chunk`]) move to memory-mapped files ([`head_chunks`]). Blocks ([`block`]) are directories of samples that never
//! change; compaction ([`compact`]) makes larger ones of them. All files are in Prometheus' formats, both ways.
//!
//! Everything here is synchronous; the callers bring the threads. The crate reads and writes through the traits of
//! [`model::storage`] and knows nothing of queries or scrapes.
//!
//! # Not here yet
//!
//! Blocks and compaction, late samples, native histogram chunks. Until blocks exist the head holds the whole
//! retention, in memory-mapped chunks.

pub mod backfill;
pub mod block;
pub mod chunk;
pub mod compact;
pub mod db;
pub mod exemplars;
pub mod files;
pub mod head;
pub mod head_chunks;
pub mod map;
pub mod metadata;
pub mod metrics;
pub mod read_only;
pub mod tombstones;
pub mod ulid;
pub mod varint;
pub mod verify;
pub mod wal;

pub use db::{AdminError, Db, DbOptions, OpenDbError, OpenReport, Retention};
pub use head::HeadOptions;
pub use head::replay::{ReplayProgress, ReplayReport};
pub use wal::segment::{Compression, SegmentOptions};
