//! The index of a block: its symbols, its series with where their chunks are, and from label pairs to series.
//!
//! ```text
//! 0xBAAAD700 │ version │ symbols │ series │ postings │ postings offset table │ table of contents
//!
//! symbols:  u32 length │ u32 count │ (uvarint length, text)* ascending │ CRC
//! series:   16-byte aligned: uvarint length │ uvarint labels │ (uvarint name, uvarint value)*
//!           │ uvarint chunks │ varint mint, uvarint maxt-mint, uvarint ref
//!           │ (uvarint mint - last maxt, uvarint maxt-mint, varint ref - last ref)* │ CRC
//! postings: u32 length │ u32 count │ u32 series* ascending │ CRC
//! table:    u32 length │ u32 count │ (uvarint 2, name, value, uvarint offset)* ascending │ CRC
//! contents: u64 symbols │ u64 series │ u64 label indices │ u64 label indices table │ u64 postings │ u64 table │ CRC
//! ```
//!
//! All fixed-width numbers are big-endian, checksums are CRC32C over what the length covers. A series is named by its
//! offset divided by 16, so ascending references are ascending label sets; the pair of two empty strings stands for
//! all series. Version 1 names series and symbols by their offsets, and its table need not be sorted. Label indices are
//! read by nobody since 2019 and are not written; their entries in the contents point at where they would be.

pub mod read;
pub mod symbols;
pub mod write;

use super::Damage;

const MAGIC: [u8; 4] = 0xBAAA_D700u32.to_be_bytes();
/// Name of the file in a block's directory.
pub const INDEX_FILE: &str = "index";
const HEADER_BYTES: usize = 5;
const CRC_BYTES: usize = 4;
const TOC_BYTES: usize = 6 * 8 + CRC_BYTES;
const SERIES_ALIGN: u64 = 16;
/// Of so many symbols, and of so many values of a label, one is kept in memory.
const SAMPLING: usize = 32;

/// A series of one block; ascending references are ascending label sets. Valid as long as the block.
pub type SeriesRef = u32;

/// Returns the bytes of the section at `offset`, which begins with its length and ends with its checksum, and where
/// they begin.
fn section(bytes: &[u8], offset: u64) -> Result<(&[u8], usize), Damage> {
    let corrupt = |what| Damage { offset, what };
    let at = usize::try_from(offset)
        .ok()
        .filter(|&at| HEADER_BYTES <= at && at < bytes.len())
        .ok_or(corrupt("section outside of the file"))?;
    let (len, rest) = bytes[at..]
        .split_first_chunk::<4>()
        .ok_or(corrupt("section without a length"))?;
    let len = u32::from_be_bytes(*len) as usize;
    checked(rest, len)
        .map(|content| (content, at + 4))
        .map_err(corrupt)
}

/// Splits off `len` bytes that are followed by their checksum.
fn checked(bytes: &[u8], len: usize) -> Result<&[u8], &'static str> {
    if bytes.len().saturating_sub(CRC_BYTES) < len {
        return Err("entry goes on past the end of the file");
    }
    let (content, rest) = bytes.split_at(len);
    if rest[..CRC_BYTES] != crc32c::crc32c(content).to_be_bytes() {
        return Err("wrong checksum");
    }
    Ok(content)
}

/// Splits the count off the front of a section.
fn counted(content: &[u8]) -> Option<(u32, &[u8])> {
    let (count, rest) = content.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*count), rest))
}

/// Splits a length and as many bytes off the front.
fn decode_text(src: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = crate::varint::decode_uvarint(src)?;
    rest.split_at_checked(usize::try_from(len).ok()?)
}

#[cfg(test)]
mod tests;
