//! Remote write, versions 1.0 and 2.0: what a request asks to store, and storing it.
//!
//! ```text
//! bytes ─► proto ─► v1 / v2 ─► batch ─► ingest ─► appender
//! ```
//!
//! [`Ingest`] stores a request that was decompressed; [`Version`] says which message it is.
//!
//! Source: [1.0](https://prometheus.io/docs/specs/prw/remote_write_spec/),
//! [2.0](https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/), and what Prometheus 3.5 answers.

mod batch;
mod ingest;
pub(crate) mod key;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

pub use ingest::{Ingest, Report, WriteError};

/// Which message a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// Both.
    pub const ALL: [Version; 2] = [Version::V1, Version::V2];

    /// Returns the name of the message.
    pub fn name(self) -> &'static str {
        match self {
            Version::V1 => "prometheus.WriteRequest",
            Version::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// Returns the version whose message is called `name`.
    ///
    /// # Errors
    ///
    /// A sentence with the names that there are.
    pub fn parse(name: &str) -> Result<Version, String> {
        let known = Version::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or_else(|| {
            format!(
                "unknown remote write protobuf message {name}, supported: {}, {}",
                Version::V1.name(),
                Version::V2.name()
            )
        })
    }
}
