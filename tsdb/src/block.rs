//! Blocks: immutable directories of samples over one time range, in Prometheus' format.

pub mod chunks;
pub mod file_writer;
pub mod index;
pub mod meta;

use std::io;
use std::path::{Path, PathBuf};

use model::storage::ReadError;

/// Why a block could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenBlockError {
    /// The file system failed; trying again may help.
    #[error("read {}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The meta file is not what it should be; the block is set aside and the rest stays usable.
    #[error("parse {}", .path.display())]
    Meta {
        /// Which file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The bytes are wrong; the block is set aside and the rest stays usable.
    #[error("corrupt {}: {what} at byte {offset}", .path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: &'static str,
    },
    /// Another build wrote it; the operator must upgrade or remove it.
    #[error("{} has version {found}, which this build does not read", .path.display())]
    Version {
        /// Which file.
        path: PathBuf,
        /// The version in it.
        found: u32,
    },
}

/// Where a file is wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Damage {
    offset: u64,
    what: &'static str,
}

impl Damage {
    fn new(offset: usize, what: &'static str) -> Self {
        let offset = offset as u64;
        Damage { offset, what }
    }

    fn at_open(self, path: &Path) -> OpenBlockError {
        OpenBlockError::Corrupt {
            path: path.to_owned(),
            offset: self.offset,
            what: self.what,
        }
    }

    fn at_read(self, path: &Path) -> ReadError {
        ReadError::Corrupt {
            path: path.to_owned(),
            what: format!("{} at byte {}", self.what, self.offset),
        }
    }
}
