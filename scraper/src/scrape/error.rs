//! Why a scrape failed: the text that `/api/v1/targets` shows.

use model::storage::AppendError;
use net::client::GetError;

use crate::decompress::DecompressError;
use crate::exposition::{ContentTypeError, ParseError};

/// Why a scrape failed. The texts are Prometheus' where it has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScrapeError {
    /// There was no answer.
    #[error("{0}")]
    Get(String),
    /// The answer was not 200.
    #[error("server returned HTTP status {0}")]
    Status(String),
    /// The body is longer than allowed.
    #[error("body size limit exceeded")]
    BodyTooLong,
    /// The body is not compressed as it says.
    #[error(transparent)]
    Decompress(DecompressError),
    /// The body is in no format that can be read.
    #[error(transparent)]
    ContentType(#[from] ContentTypeError),
    /// The body is not what its format asks for.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// There are more samples than allowed.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// A native histogram has more buckets than allowed, at any resolution.
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    /// A native histogram contradicts itself.
    #[error("invalid native histogram: {0}")]
    InvalidHistogram(String),
    /// A series has more or longer labels than allowed.
    #[error("{0}")]
    LabelLimit(String),
    /// A series is none.
    #[error("{0}")]
    InvalidLabels(String),
    /// The job must not scrape at all.
    #[error("{0}")]
    Forced(String),
    /// The batch could not be stored.
    #[error("{0}")]
    Storage(#[from] AppendError),
}

impl From<GetError> for ScrapeError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::BodyTooLong => ScrapeError::BodyTooLong,
            other => ScrapeError::Get(other.to_string()),
        }
    }
}

impl From<DecompressError> for ScrapeError {
    fn from(error: DecompressError) -> Self {
        match error {
            DecompressError::TooLong => ScrapeError::BodyTooLong,
            other => ScrapeError::Decompress(other),
        }
    }
}
