//! Memory maps: one of the three islands of `unsafe` in this crate.
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; what makes it sound is said below"
)]

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

/// The bytes of a file: a read-only map, or, of a file system that is none, the bytes themselves.
pub struct Map(Source);

enum Source {
    Mapped(memmap2::Mmap),
    Held(Arc<[u8]>),
}

impl Map {
    /// Maps the whole of `file`, as long as it is now.
    ///
    /// Bytes may change under the map where the owner of the file appends to it; readers look only at bytes that were
    /// written before they learned the offset.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn of(file: &File) -> io::Result<Self> {
        // SAFETY: the data directory is locked for this process, and nothing in it shortens a file below what readers
        // have been told of while a map of it lives: files grow only, and are deleted (not cut) when old. A
        // file that somebody else cuts raises SIGBUS; that holds for every memory-mapped database.
        unsafe { memmap2::Mmap::map(file) }.map(|map| Map(Source::Mapped(map)))
    }

    /// Returns a map of bytes that are in memory.
    pub fn held(bytes: impl Into<Arc<[u8]>>) -> Self {
        Map(Source::Held(bytes.into()))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Mapped(map) => map,
            Source::Held(bytes) => bytes,
        }
    }
}
