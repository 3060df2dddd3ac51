//! Memory maps: the one island of `unsafe` in this crate.
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; what makes it sound is said below"
)]

use std::fs::File;
use std::io;
use std::ops::Deref;

/// A read-only map of a file.
pub struct Map(memmap2::Mmap);

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
        // have been told of while a map of it lives: head chunk files grow only, and are deleted (not cut) when old. A
        // file that somebody else cuts raises SIGBUS; that holds for every memory-mapped database.
        unsafe { memmap2::Mmap::map(file) }.map(Map)
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
