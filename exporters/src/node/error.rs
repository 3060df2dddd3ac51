//! What can go wrong: at start, with a request's selection, and inside one collector.

use std::io;
use std::path::{Path, PathBuf};

/// Why the node exporter could not be built.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no collector of this name.
    #[error("unknown collector {name:?}")]
    UnknownCollector {
        /// As configured.
        name: String,
    },
    /// A pattern is no regular expression.
    #[error("invalid regular expression for {what}")]
    Pattern {
        /// The option, named like node_exporter's flag without its first word.
        what: &'static str,
        /// What is wrong with it, and where.
        source: Box<regex::Error>,
    },
    /// A filter has both sides.
    #[error("{what}: include and exclude are mutually exclusive")]
    IncludeAndExclude {
        /// The option, named like node_exporter's flag without its first word.
        what: &'static str,
    },
}

/// Why the selection of a request was refused. The messages are node_exporter's answers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// `collect[]` and `exclude[]` together.
    #[error("Combined collect and exclude queries are not allowed.")]
    Combined,
    /// There is no such collector.
    #[error(
        "Couldn't create filtered metrics handler: couldn't create collector: missing collector: {name}"
    )]
    Missing {
        /// As requested.
        name: String,
    },
    /// The collector exists and is off.
    #[error(
        "Couldn't create filtered metrics handler: couldn't create collector: disabled collector: {name}"
    )]
    Disabled {
        /// As requested.
        name: String,
    },
}

/// Why one collector gave nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub(super) enum CollectError {
    /// The machine does not have what this collector looks at.
    #[error("{0}")]
    NoData(&'static str),
    #[error("read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is larger than {bytes_max} bytes", .path.display())]
    TooLarge { path: PathBuf, bytes_max: usize },
    #[error("{file}: expected {expected}, found {found:?}")]
    Malformed {
        file: &'static str,
        expected: &'static str,
        found: String,
    },
}

impl CollectError {
    pub(super) fn read(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Read {
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// `found` is cut to a length that fits a log line.
    pub(super) fn malformed(file: &'static str, expected: &'static str, found: &str) -> Self {
        Self::Malformed {
            file,
            expected,
            found: found.chars().take(80).collect(),
        }
    }

    pub(super) fn is_no_data(&self) -> bool {
        matches!(self, Self::NoData(_))
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Turns a missing file into [`Self::NoData`] with this reason.
    pub(super) fn or_no_data(self, reason: &'static str) -> Self {
        if self.is_not_found() {
            Self::NoData(reason)
        } else {
            self
        }
    }
}

/// Parses a number of `file`.
pub(super) fn number<T: std::str::FromStr>(
    file: &'static str,
    text: &str,
) -> Result<T, CollectError> {
    text.parse()
        .map_err(|_| CollectError::malformed(file, "a number", text))
}

/// Parses an unsigned hexadecimal number of `file`.
pub(super) fn hexadecimal(file: &'static str, text: &str) -> Result<u64, CollectError> {
    u64::from_str_radix(text, 16)
        .map_err(|_| CollectError::malformed(file, "a hexadecimal number", text))
}
