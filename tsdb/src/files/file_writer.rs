//! Writing a file from front to back, with the odd correction.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::files::{Files, OpenFile};
use crate::map::Map;

/// Written to the file when this much has gathered.
const BUFFER_BYTES: usize = 1 << 20;

/// A new file that grows at its end.
#[derive(Debug)]
pub struct FileWriter {
    path: PathBuf,
    file: Arc<dyn OpenFile>,
    /// Where `buffer` begins in the file.
    start: u64,
    buffer: Vec<u8>,
}

impl FileWriter {
    /// Creates the file, which must not exist.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn create(files: &dyn Files, path: &Path) -> io::Result<Self> {
        Ok(FileWriter {
            path: path.to_owned(),
            file: files.create(path)?,
            start: 0,
            buffer: Vec::new(),
        })
    }

    /// Returns how long the file is, what has not reached it yet included.
    pub fn len(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    /// Returns whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// When the file system fails; the file is then of no use.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < BUFFER_BYTES {
            return Ok(());
        }
        self.flush()
    }

    /// Appends zeros until the length is a multiple of `align`.
    ///
    /// # Errors
    ///
    /// As [`write`](FileWriter::write).
    pub fn pad(&mut self, align: u64) -> io::Result<()> {
        let zeros = self.len().next_multiple_of(align) - self.len();
        (0..zeros).try_for_each(|_| self.write(&[0]))
    }

    /// Overwrites bytes that were written before.
    ///
    /// # Errors
    ///
    /// As [`write`](FileWriter::write).
    pub fn patch(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.flush()?;
        self.file.write_all_at(bytes, at)
    }

    /// Returns what has been written so far.
    ///
    /// # Errors
    ///
    /// As [`write`](FileWriter::write).
    pub fn map(&mut self, files: &dyn Files) -> io::Result<Map> {
        self.flush()?;
        files.map(&self.path)
    }

    /// Hands everything to the system and makes it durable.
    ///
    /// # Errors
    ///
    /// As [`write`](FileWriter::write).
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.start)?;
        self.start += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
