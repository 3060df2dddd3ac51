//! The file system as storage sees it: a small trait, so that tests can stop, tear and fail at every operation.
//!
//! What is written is with the system (a killed process loses nothing) but not yet durable: after a power cut a file
//! holds what was in it at its last [`sync`](OpenFile::sync) and perhaps parts of what came later, and a directory
//! holds the names it had at its last [`sync_dir`](Files::sync_dir) and perhaps some of those since.

#[cfg(test)]
pub(crate) mod faulty;
pub mod file_writer;
pub mod overlay;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::map::Map;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes of a file; 0 for a directory.
    pub len: u64,
}

/// A tree of files and directories.
///
/// All methods may be called from any thread. Paths are absolute or relative to the process, as in [`std::fs`].
pub trait Files: Send + Sync + std::fmt::Debug {
    /// Makes a directory and those above it; it may exist.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Returns what is in a directory, ascending by name. Names that are no UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// Makes an empty file for writing. It must not exist.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;
    /// Opens an existing file for writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;
    /// Returns the bytes of a file, as long as it is now.
    fn map(&self, path: &Path) -> io::Result<Map>;
    /// Gives a file or directory another name; a file of that name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Deletes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Deletes a directory with all that is in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory survive a power cut.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns whether there is a file or directory of that name.
    fn exists(&self, path: &Path) -> bool;
    /// Returns how many bytes the file system has that `dir` is in, free or not.
    fn disk_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// A file that is open for writing.
pub trait OpenFile: Send + Sync + std::fmt::Debug {
    /// Writes all of `bytes` from byte `at` on; the file grows as needed.
    ///
    /// When this fails, some of the bytes may have been written.
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Cuts the file, or fills it up with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the content survive a power cut.
    fn sync(&self) -> io::Result<()>;
    /// Returns how many bytes there are.
    fn len(&self) -> io::Result<u64>;
    /// Returns whether there is none.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }
}

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Others may delete meanwhile; what is gone is not there.
            let Ok(meta) = entry.metadata() else { continue };
            entries.push(Entry {
                name,
                is_dir: meta.is_dir(),
                len: if meta.is_dir() { 0 } else { meta.len() },
            });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        Map::of(&File::open(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn disk_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }
}

impl OpenFile for File {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.metadata().map(|meta| meta.len())
    }
}

/// Returns how many bytes the files in a directory and below have; what cannot be read counts nothing.
pub fn tree_bytes(files: &dyn Files, dir: &Path) -> u64 {
    let entries = files.list(dir).unwrap_or_default().into_iter();
    let bytes = entries.map(|entry| match entry.is_dir {
        true => tree_bytes(files, &dir.join(entry.name)),
        false => entry.len,
    });
    bytes.sum()
}

/// Copies a file; what `to` was before is replaced.
///
/// # Errors
///
/// When the file system fails.
pub fn copy(files: &dyn Files, from: &Path, to: &Path) -> io::Result<()> {
    if files.exists(to) {
        files.remove_file(to)?;
    }
    let bytes = files.map(from)?;
    let copy = files.create(to)?;
    copy.write_all_at(&bytes, 0)?;
    copy.sync()
}

/// Writes `bytes` as the file `path` so that a reader finds the old content or the new, never a part: to a `.tmp` file
/// beside it, synced, renamed, and the directory synced.
///
/// # Errors
///
/// When the file system fails; the old content is then still there.
pub fn replace(files: &dyn Files, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    let tmp = PathBuf::from(tmp);
    if files.exists(&tmp) {
        files.remove_file(&tmp)?;
    }
    let file = files.create(&tmp)?;
    file.write_all_at(bytes, 0)?;
    file.sync()?;
    files.rename(&tmp, path)?;
    match path.parent() {
        Some(dir) => files.sync_dir(dir),
        None => Ok(()),
    }
}
