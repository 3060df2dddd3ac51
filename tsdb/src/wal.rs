//! The write-ahead log, in Prometheus' format: what is in it survives the process.
//!
//! ```text
//! wal/00000000 … wal/00000007        segments of 128 MiB, pages of 32 KiB       segment
//! wal/checkpoint.00000003/           what is still needed of segments 0..=3     checkpoint
//! ```
//!
//! A record ([`record`]) is one batch of series or samples; a segment holds fragments of records with a checksum each
//! ([`segment`]). Source: Prometheus WAL format documentation.

pub mod checkpoint;
pub mod read_ahead;
pub mod record;
pub mod segment;
