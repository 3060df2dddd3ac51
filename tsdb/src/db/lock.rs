//! The lock file that keeps other processes out of a data directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::OpenDbError;

/// Keeps other processes out of the directory.
const LOCK_FILE: &str = "lock";

/// The right to use a data directory, while it lives.
pub(super) struct DirLock {
    /// The lock file and where it is; `None` where locking is turned off.
    held: Option<(File, PathBuf)>,
    was_clean: Option<bool>,
}

impl DirLock {
    /// Makes the directory if need be, and takes its lock file if `is_wanted`.
    pub(super) fn take(dir: &Path, is_wanted: bool) -> Result<Self, OpenDbError> {
        let unusable = |source| OpenDbError::Unusable {
            path: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(unusable)?;
        if !is_wanted {
            return Ok(DirLock {
                held: None,
                was_clean: None,
            });
        }
        let path = dir.join(LOCK_FILE);
        let was_clean = Some(!path.exists());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock {
                held: Some((file, path)),
                was_clean,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenDbError::InUse(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Returns whether the stop before was clean: it left no lock file. `None` where locking is turned off.
    pub(super) fn was_clean(&self) -> Option<bool> {
        self.was_clean
    }

    /// Removes the file, which says that this stop was clean, and then gives up the lock.
    pub(super) fn release(self) -> io::Result<()> {
        match &self.held {
            Some((_, path)) => fs::remove_file(path),
            None => Ok(()),
        }
    }
}
