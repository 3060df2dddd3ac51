//! Why a query has no result.

use model::storage::ReadError;

use crate::parse::ParseError;

/// Why a query has no result. The texts are Prometheus'.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no PromQL.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// The query cannot be evaluated in this way.
    #[error("{0}")]
    Invalid(String),
    /// The query asks for something that cannot be done with this data.
    #[error("{0}")]
    Execution(String),
    /// It took too long.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The caller gave up.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// It needs more memory than a query may have.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples {
        /// The limit.
        limit: usize,
    },
    /// It needs more memory than a query may have.
    #[error(
        "query processing would hold more than {limit} bytes in memory; select fewer series or a shorter time"
    )]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
    /// It needs more memory than the other queries have left.
    #[error(
        "running queries would hold more than {limit} bytes in memory together; try again when fewer run"
    )]
    TooManyBytesTogether {
        /// The limit.
        limit: usize,
    },
    /// The data could not be read.
    #[error("expanding series: {0}")]
    Storage(#[from] ReadError),
}

/// The HTTP API's classes of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// `bad_data`
    BadData,
    /// `execution`
    Execution,
    /// `timeout`
    Timeout,
    /// `canceled`
    Canceled,
    /// `internal`
    Internal,
}

impl ErrorKind {
    /// Returns the name in the HTTP API.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::BadData => "bad_data",
            ErrorKind::Execution => "execution",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Canceled => "canceled",
            ErrorKind::Internal => "internal",
        }
    }
}

impl QueryError {
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        QueryError::Execution(message.into())
    }

    pub(crate) fn unsupported(what: &str) -> Self {
        QueryError::Execution(format!("{what} is not supported yet"))
    }

    /// Returns the class of the error in the HTTP API.
    pub fn kind(&self) -> ErrorKind {
        match self {
            QueryError::Parse(_) | QueryError::Invalid(_) => ErrorKind::BadData,
            QueryError::Execution(_)
            | QueryError::TooManySamples { .. }
            | QueryError::TooManyBytes { .. }
            | QueryError::TooManyBytesTogether { .. } => ErrorKind::Execution,
            QueryError::Timeout => ErrorKind::Timeout,
            QueryError::Canceled => ErrorKind::Canceled,
            QueryError::Storage(_) => ErrorKind::Internal,
        }
    }
}
