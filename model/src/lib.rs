//! The vocabulary that every room of Hearth shares: what a label, a matcher, a sample and a series are, and the
//! traits through which the rooms meet.
//!
//! This crate is the leaf: it imports nothing of ours, does no I/O and starts no thread. The storage traits in
//! [`storage`] are its reason to exist: `promql` reads through them and never names `tsdb`, `scraper` and
//! `alertmanager` append through them.
//!
//! Units everywhere: timestamps are `i64` milliseconds since the Unix epoch, and a time range `mint..maxt` includes
//! both ends unless a doc says otherwise.

pub mod case;
pub mod de;
pub mod duration;
pub mod exemplar;
pub mod float;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod name;
pub mod protobuf;
pub mod sample;
pub mod size;
pub mod storage;
pub mod time;
pub mod trace;

pub use duration::Duration;
pub use histogram::{FloatHistogram, Histogram};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use sample::{STALE_NAN_BITS, SampleValue, is_stale, stale_nan};
