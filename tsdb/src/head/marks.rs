//! What of the head is in blocks, for the next start: logs and head chunk files may still hold it then.
//!
//! ```text
//! head_marks: u8 version │ varint head from │ uvarint segment │ uvarint late end │ uvarint n │ n bytes │ u32 CRC32C
//! ```
//!
//! In-order samples before *head from* in segments up to *segment*, and late chunks before *late end*, are in blocks or
//! deleted. The *n* bytes are the beginning of the head chunk file that *late end* is in; chunk files that are not those
//! that the mark was made beside make it void. Without the file everything counts: what is read again is merged away,
//! but what was deleted since may come back.

use std::io;
use std::path::Path;

use crate::files::{self, Files};
use crate::head_chunks::{CHUNKS_DIR, ChunkRef, HeadChunks};
use crate::varint::{decode_uvarint, decode_varint, encode_uvarint, encode_varint};

const FILE: &str = "head_marks";
const VERSION: u8 = 1;

/// What is in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeadMarks {
    /// In-order samples before this are, …
    pub(super) head_from: i64,
    /// … if they are in a segment up to this one.
    pub(super) segment: u32,
    /// Chunks of late samples before this are.
    pub(super) late_end: ChunkRef,
}

impl Default for HeadMarks {
    fn default() -> Self {
        HeadMarks {
            head_from: i64::MIN,
            segment: 0,
            late_end: ChunkRef::default(),
        }
    }
}

impl HeadMarks {
    /// Returns whether an in-order sample or chunk end at `t` in this segment is in a block.
    pub(super) fn covers(&self, segment: u32, t: i64) -> bool {
        t < self.head_from && segment <= self.segment
    }

    /// Writes the marks in place of those before.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub(super) fn write(&self, files: &dyn Files, dir: &Path) -> io::Result<()> {
        let mut bytes = vec![VERSION];
        encode_varint(&mut bytes, self.head_from);
        encode_uvarint(&mut bytes, u64::from(self.segment));
        encode_uvarint(&mut bytes, self.late_end.as_number());
        let begin = begin_of(files, dir, self.late_end.file()).unwrap_or_default();
        encode_uvarint(&mut bytes, begin.len() as u64);
        bytes.extend_from_slice(&begin);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        files::replace(files, &dir.join(FILE), &bytes)
    }

    /// Reads the marks; the default when there are none or they do not count. Says what is wrong with the file, if
    /// something is.
    pub(super) fn read(files: &dyn Files, dir: &Path) -> (Self, Option<String>) {
        let path = dir.join(FILE);
        if !files.exists(&path) {
            return (HeadMarks::default(), None);
        }
        let read = files.map(&path).ok().and_then(|bytes| decode(&bytes));
        let Some((mut marks, begin)) = read else {
            let what =
                "does not verify, left aside; samples that were deleted from blocks may come back";
            let damage = format!("{}: {what}", path.display());
            return (HeadMarks::default(), Some(damage));
        };
        let is_same = match begin_of(files, dir, marks.late_end.file()) {
            Some(now) => now.starts_with(&begin),
            // It had not been begun, and the files before are still there.
            None => begin.is_empty() && has_up_to(files, dir, marks.late_end),
        };
        if !is_same {
            marks.late_end = ChunkRef::default();
        }
        (marks, None)
    }
}

fn decode(bytes: &[u8]) -> Option<(HeadMarks, Vec<u8>)> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body).to_be_bytes() != *crc {
        return None;
    }
    let rest = body.strip_prefix(&[VERSION])?;
    let (head_from, rest) = decode_varint(rest)?;
    let (segment, rest) = decode_uvarint(rest)?;
    let (late_end, rest) = decode_uvarint(rest)?;
    let (len, begin) = decode_uvarint(rest)?;
    let marks = HeadMarks {
        head_from,
        segment: u32::try_from(segment).ok()?,
        late_end: ChunkRef::from_number(late_end),
    };
    (begin.len() as u64 == len).then(|| (marks, begin.to_vec()))
}

fn begin_of(files: &dyn Files, dir: &Path, number: u32) -> Option<Vec<u8>> {
    let all = HeadChunks::fingerprints(files, &dir.join(CHUNKS_DIR)).ok()?;
    let found = all.into_iter().find(|(n, _)| *n == number);
    found.map(|(_, begin)| begin)
}

/// Whether the newest file is the one before `end`, which had not been begun.
fn has_up_to(files: &dyn Files, dir: &Path, end: ChunkRef) -> bool {
    let all = HeadChunks::fingerprints(files, &dir.join(CHUNKS_DIR)).unwrap_or_default();
    all.last()
        .is_some_and(|(number, _)| end.file() <= number + 1)
}
