//! Up to where the chunks of late samples are in blocks: a start leaves them out, though their files may still be there.
//!
//! ```text
//! late_mark: u64 chunk reference │ u8 n │ n first bytes of the chunk's file │ u32 CRC32C
//! ```
//!
//! Without the file, or when the head chunk files are not those that it was made beside, all chunks count: some samples
//! are then written to blocks again, and merged.

use std::io;
use std::path::Path;

use crate::files::{self, Files};
use crate::head_chunks::{ChunkRef, HeadChunks};

const FILE: &str = "late_mark";

/// Says that late chunks before `end` are in blocks.
///
/// # Errors
///
/// When the file system fails.
pub(super) fn write(files: &dyn Files, dir: &Path, end: ChunkRef) -> io::Result<()> {
    let mut bytes = end.as_number().to_be_bytes().to_vec();
    let begin = begin_of(files, dir, end.file()).unwrap_or_default();
    bytes.push(u8::try_from(begin.len()).map_err(io::Error::other)?);
    bytes.extend_from_slice(&begin);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    files::replace(files, &dir.join(FILE), &bytes)
}

/// Returns the place from which on late chunks count.
pub(super) fn read(files: &dyn Files, dir: &Path) -> ChunkRef {
    let path = dir.join(FILE);
    if !files.exists(&path) {
        return ChunkRef::default();
    }
    let mark = files.map(&path).ok().and_then(|bytes| decode(&bytes));
    mark.filter(|(end, begin)| {
        let now = begin_of(files, dir, end.file());
        // Without a file of that number or a later one the numbers have begun anew.
        now.is_some_and(|now| now.starts_with(begin))
            || (begin.is_empty() && has_up_to(files, dir, *end))
    })
    .map(|(end, _)| end)
    .unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Option<(ChunkRef, Vec<u8>)> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body).to_be_bytes() != *crc {
        return None;
    }
    let (number, rest) = body.split_first_chunk::<8>()?;
    let (&len, begin) = rest.split_first()?;
    (begin.len() == usize::from(len)).then(|| {
        (
            ChunkRef::from_number(u64::from_be_bytes(*number)),
            begin.to_vec(),
        )
    })
}

fn begin_of(files: &dyn Files, dir: &Path, number: u32) -> Option<Vec<u8>> {
    let all = HeadChunks::fingerprints(files, &dir.join("chunks_head")).ok()?;
    all.into_iter()
        .find(|(n, _)| *n == number)
        .map(|(_, begin)| begin)
}

/// Whether the newest file is the one before `end`, which had not been begun.
fn has_up_to(files: &dyn Files, dir: &Path, end: ChunkRef) -> bool {
    let all = HeadChunks::fingerprints(files, &dir.join("chunks_head")).unwrap_or_default();
    all.last()
        .is_some_and(|(number, _)| end.file() <= number + 1)
}
