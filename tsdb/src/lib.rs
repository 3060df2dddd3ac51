//! Hearth's storage engine.
//!
//! Samples are appended in batches: logged ([`wal`]), then added to the open chunk of their series ([`head`]); full
//! chunks ([`chunk`]) move to memory-mapped files ([`head_chunks`]). Every two hours the head becomes a block ([`block`]), a
//! directory of samples that never change; compaction ([`compact`]) makes larger ones of them. Samples that come late have a
//! log and chunks of their own, and become blocks too. [`Db`] puts it together for one data directory. Blocks, logs and
//! chunk files are in Prometheus' formats, both ways; what is ours, Prometheus passes over.
//!
//! Everything here is synchronous; the callers bring the threads. The crate reads and writes through the traits of
//! [`model::storage`] and knows nothing of queries or scrapes.

pub mod backfill;
pub mod block;
pub mod chunk;
pub mod compact;
pub mod db;
pub mod exemplars;
pub mod files;
pub mod head;
pub mod head_chunks;
mod huge;
pub mod map;
pub mod metadata;
pub mod metrics;
mod prefetch;
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
