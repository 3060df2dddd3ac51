//! The head snapshot: series, open chunks and where full chunks are, in one file, so that a start replays only the end of
//! the log.
//!
//! ```text
//! head_snapshot: "HEARTHHS" │ u8 version │ section*
//! section:       u8 kind │ u32 length │ payload │ u32 CRC32C of kind, length and payload
//! ```
//!
//! It is ours: Prometheus neither writes nor reads it, and everything in it is also in the log and the head chunk files.
//! One that does not verify, or whose head chunk files are not the ones that are there, is left aside, and the whole log
//! is read. It is written while appends go on: what a series gets meanwhile may or may not be in it, and is in the log
//! after the snapshot's position in any case; reading that again changes nothing.
//!
//! `docs/format/head-snapshot.md` has the fields.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashSet;

use super::index::Index;
use super::late::LateSamples;
use super::lines::Lines;
use super::page::SeriesPages;
use super::series::{MemSeries, SavedChunk};
use super::symbols::Symbols;
use super::{Head, PAGE_SERIES};
use crate::chunk::Encoding;
use crate::files::Files;
use crate::files::file_writer::FileWriter;
use crate::head_chunks::{CHUNKS_DIR, ChunkMeta, ChunkRef, HeadChunks};
use crate::tombstones::{Interval, Tombstones};
use crate::varint::{decode_uvarint, decode_varint, encode_uvarint, encode_varint};
use crate::wal::segment::Position;

/// Slots are made of pages of this size.
pub(super) const SLOTS_PER_PAGE: u32 = 256;
const _: () = assert!(PAGE_SERIES == 256);

/// The file's name in the data directory.
pub const SNAPSHOT_FILE: &str = "head_snapshot";
const MAGIC: &[u8; 8] = b"HEARTHHS";
const VERSION: u8 = 1;

const STATE: u8 = 1;
const FILES: u8 = 2;
const SYMBOLS: u8 = 3;
const SERIES: u8 = 4;
const ALIASES: u8 = 5;
const TOMBSTONES: u8 = 6;
const END: u8 = 7;
/// A record as the log has it: exemplars or metadata.
const RECORD: u8 = 8;

/// What a snapshot holds of the head as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotState {
    /// What was logged before this place is in the snapshot.
    pub position: Position,
    /// Head chunks before this place are named in the snapshot, if they are needed.
    pub chunks_end: ChunkRef,
    /// Ids below this have been given out.
    pub next_id: u64,
    /// In-order samples before this are in blocks.
    pub valid_from: i64,
}

/// A head as a snapshot has it.
pub struct Snapshot {
    /// The head as a whole.
    pub state: SnapshotState,
    /// Labels, by slot.
    pub index: Index,
    /// Series, by slot.
    pub series: SeriesPages,
    /// Ids that the log uses for a series that has another id by now, with its slot.
    pub aliases: Vec<(u64, u32)>,
    /// What is deleted.
    pub tombstones: Tombstones,
    /// Exemplars and metadata, as records of the log.
    pub records: Vec<Vec<u8>>,
}

impl Head {
    /// Writes a snapshot into the data directory, in place of the one before. When a full chunk could not be read it is
    /// deleted instead: a snapshot would have the next start believe in that chunk.
    ///
    /// # Errors
    ///
    /// When the disk fails; the snapshot before is then still there.
    pub fn write_snapshot(&self, dir: &Path) -> io::Result<()> {
        if self.has_bad_chunk() {
            return remove(&self.files, dir);
        }
        let path = dir.join(SNAPSHOT_FILE);
        let tmp = dir.join(format!("{SNAPSHOT_FILE}.tmp"));
        if self.files.exists(&tmp) {
            self.files.remove_file(&tmp)?;
        }
        let mut out = Writer {
            file: FileWriter::create(&*self.files, &tmp)?,
            payload: Vec::new(),
        };
        out.file.write(MAGIC)?;
        out.file.write(&[VERSION])?;
        self.write_sections(dir, &mut out)?;
        out.file.finish()?;
        self.files.rename(&tmp, &path)?;
        self.files.sync_dir(dir)
    }

    /// Returns whether a full chunk could not be read, so that no snapshot should stand.
    pub fn has_bad_chunk(&self) -> bool {
        self.has_bad_chunk.load(Ordering::Relaxed)
    }

    fn write_sections(&self, dir: &Path, out: &mut Writer) -> io::Result<()> {
        // Whatever is logged before the position is in the series once no batch is between the two.
        let (position, next_id) = {
            let _nothing_commits = self.committing.write();
            (
                self.wal.lock().position(),
                self.next_id.load(Ordering::SeqCst),
            )
        };
        let symbol_count = self.write_symbols(out)?;
        let mut new_slots = SlotMap::default();
        let pages = self.pages.read().clone();
        let mut bytes = Vec::new();
        for (page_number, page) in (0u32..).zip(pages.iter()) {
            let index = self.index.read();
            let page = page.lock();
            for (place, series) in (0u32..).zip(&page.series) {
                let slot = page_number * SLOTS_PER_PAGE + place;
                let run = index
                    .run_of(slot)
                    .filter(|_| series.id != 0 && series.logged);
                // A series with a younger symbol is logged after the position.
                let run = run.filter(|run| run.iter().all(|&s| (s as usize) < symbol_count));
                if let Some(run) = run {
                    new_slots.push(slot);
                    encode_series(&mut out.payload, series, &page.lines, run, &mut bytes);
                }
            }
            drop((page, index));
            out.section_if_large(SERIES)?;
        }
        out.section(SERIES)?;
        for (&id, &slot) in self.aliases.lock().iter() {
            if let Some(slot) = new_slots.find(slot) {
                encode_uvarint(&mut out.payload, id);
                encode_uvarint(&mut out.payload, u64::from(slot));
            }
        }
        out.section(ALIASES)?;
        for (id, intervals) in self.tombstones.read().iter() {
            for interval in intervals.as_slice() {
                encode_uvarint(&mut out.payload, id);
                encode_varint(&mut out.payload, interval.mint);
                encode_varint(&mut out.payload, interval.maxt);
            }
        }
        out.section(TOMBSTONES)?;
        self.encode_exemplars(&mut out.payload);
        out.section(RECORD)?;
        self.encode_metadata(&mut out.payload);
        out.section(RECORD)?;
        // The chunks that are named must be on disk before the snapshot counts.
        let chunks_end = self.chunks.end();
        self.chunks.sync()?;
        for (number, begin) in HeadChunks::fingerprints(&*self.files, &dir.join(CHUNKS_DIR))? {
            encode_uvarint(&mut out.payload, u64::from(number));
            encode_uvarint(&mut out.payload, begin.len() as u64);
            out.payload.extend_from_slice(&begin);
        }
        out.section(FILES)?;
        let state = SnapshotState {
            position,
            chunks_end,
            next_id,
            valid_from: self.valid_from.load(Ordering::SeqCst),
        };
        encode_state(&mut out.payload, &state);
        out.section(STATE)?;
        encode_uvarint(&mut out.payload, new_slots.len() as u64);
        out.section(END)
    }
}

/// How many symbols are copied under one lock.
const SYMBOLS_PER_SECTION: usize = 16 << 10;

impl Head {
    /// Writes the symbols that there are now, a part at a time; returns how many. They keep their numbers meanwhile,
    /// because only the housekeeping, which waits for this, gives them others.
    fn write_symbols(&self, out: &mut Writer) -> io::Result<usize> {
        let count = self.index.read().symbols().len();
        for from in (0..count).step_by(SYMBOLS_PER_SECTION) {
            let to = count.min(from + SYMBOLS_PER_SECTION);
            let index = self.index.read();
            let (text, ends) = index.symbols().parts();
            let first = from.checked_sub(1).map_or(0, |before| ends[before]);
            encode_uvarint(&mut out.payload, (to - from) as u64);
            let mut start = first;
            for &end in &ends[from..to] {
                encode_uvarint(&mut out.payload, u64::from(end - start));
                start = end;
            }
            let text = &text[first as usize..start as usize];
            out.payload.extend_from_slice(text.as_bytes());
            drop(index);
            out.section(SYMBOLS)?;
        }
        Ok(count)
    }
}

/// The slots that are in a snapshot; their place in the list is their slot in it.
#[derive(Default)]
struct SlotMap(Vec<u32>);

impl SlotMap {
    fn push(&mut self, slot: u32) {
        self.0.push(slot);
    }

    fn find(&self, slot: u32) -> Option<u32> {
        let at = self.0.binary_search(&slot).ok()?;
        u32::try_from(at).ok()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

struct Writer {
    file: FileWriter,
    payload: Vec<u8>,
}

impl Writer {
    /// A section of series is written when it is this long.
    const SECTION_BYTES: usize = 1 << 20;

    fn section(&mut self, kind: u8) -> io::Result<()> {
        let len = u32::try_from(self.payload.len())
            .map_err(|_| io::Error::other("a section of the head snapshot is over 4 GiB"))?;
        let mut head = [kind, 0, 0, 0, 0];
        head[1..].copy_from_slice(&len.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &self.payload);
        self.file.write(&head)?;
        self.file.write(&self.payload)?;
        self.file.write(&crc.to_be_bytes())?;
        self.payload.clear();
        Ok(())
    }

    fn section_if_large(&mut self, kind: u8) -> io::Result<()> {
        match Self::SECTION_BYTES <= self.payload.len() {
            true => self.section(kind),
            false => Ok(()),
        }
    }
}

fn encode_state(out: &mut Vec<u8>, state: &SnapshotState) {
    encode_uvarint(out, u64::from(state.position.segment));
    encode_uvarint(out, state.position.offset);
    encode_uvarint(out, state.chunks_end.as_number());
    encode_uvarint(out, state.next_id);
    encode_varint(out, state.valid_from);
}

fn decode_state(bytes: &[u8]) -> Option<SnapshotState> {
    let (segment, rest) = decode_uvarint(bytes)?;
    let (offset, rest) = decode_uvarint(rest)?;
    let (chunks_end, rest) = decode_uvarint(rest)?;
    let (next_id, rest) = decode_uvarint(rest)?;
    let (valid_from, _) = decode_varint(rest)?;
    Some(SnapshotState {
        position: Position {
            segment: u32::try_from(segment).ok()?,
            offset,
        },
        chunks_end: ChunkRef::from_number(chunks_end),
        next_id,
        valid_from,
    })
}

/// No open chunk.
const NO_OPEN: u8 = 0;

/// Appends a series; `bytes` may be used.
fn encode_series(
    out: &mut Vec<u8>,
    series: &MemSeries,
    lines: &Lines,
    run: &[u32],
    bytes: &mut Vec<u8>,
) {
    encode_uvarint(out, series.id);
    encode_uvarint(out, run.len() as u64);
    run.iter()
        .for_each(|&symbol| encode_uvarint(out, u64::from(symbol)));
    encode_metas(out, series.full());
    let late = series.late();
    encode_metas(out, late.map_or(&[][..], LateSamples::full));
    match series.open(lines, bytes) {
        None => out.push(NO_OPEN),
        Some(open) => {
            out.push(open.encoding.as_byte());
            encode_varint(out, open.mint);
            encode_uvarint(out, open.bytes.len() as u64);
            out.extend_from_slice(open.bytes);
        }
    }
}

fn encode_metas(out: &mut Vec<u8>, metas: &[ChunkMeta]) {
    encode_uvarint(out, metas.len() as u64);
    let (mut place, mut t) = (0i64, 0i64);
    for meta in metas {
        let number = meta.chunk.as_number().cast_signed();
        encode_varint(out, number.wrapping_sub(place));
        encode_varint(out, meta.mint.wrapping_sub(t));
        encode_uvarint(out, u64::from(meta.span_ms()));
        out.push(meta.encoding.as_byte());
        (place, t) = (number, meta.mint);
    }
}

fn decode_metas<'a>(bytes: &'a [u8], out: &mut Vec<ChunkMeta>) -> Option<&'a [u8]> {
    let (count, mut rest) = decode_uvarint(bytes)?;
    // Each takes four bytes at least.
    if rest.len() as u64 / 4 < count {
        return None;
    }
    out.reserve_exact(usize::try_from(count).ok()?);
    let (mut place, mut t) = (0i64, 0i64);
    for _ in 0..count {
        let (step, after) = decode_varint(rest)?;
        let (mint_step, after) = decode_varint(after)?;
        let (span, after) = decode_uvarint(after)?;
        let (&encoding, after) = after.split_first()?;
        (place, t) = (place.wrapping_add(step), t.wrapping_add(mint_step));
        out.push(ChunkMeta::with_span(
            ChunkRef::from_number(place.cast_unsigned()),
            t,
            u32::try_from(span).ok()?,
            Encoding::from_byte(encoding)?,
        ));
        rest = after;
    }
    Some(rest)
}

/// A section as it is in the file.
struct Section<'a> {
    kind: u8,
    payload: &'a [u8],
}

/// Splits the file into sections and verifies each; `None` when it is torn, damaged, or of another version.
fn sections(bytes: &[u8]) -> Option<Vec<Section<'_>>> {
    let mut rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&[VERSION])?;
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let head = rest.first_chunk::<5>()?;
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (covered, after) = rest.split_at_checked(5 + len)?;
        let (crc, after) = after.split_first_chunk::<4>()?;
        if crc32c::crc32c(covered).to_be_bytes() != *crc {
            return None;
        }
        sections.push(Section {
            kind: head[0],
            payload: &covered[5..],
        });
        rest = after;
    }
    (sections.last()?.kind == END).then_some(sections)
}

/// Why there is no snapshot to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSnapshot {
    /// There is none.
    Missing,
    /// It is torn, damaged or of another version.
    Damaged,
    /// This head chunk file is not the one that it names: another program has been here, or the file is damaged or gone.
    Foreign(u32),
}

/// From where on what is in a snapshot counts.
#[derive(Clone, Copy, Debug)]
pub struct Needed {
    /// In-order samples before this are in blocks.
    pub valid_from: i64,
    /// Chunks of late samples before this place are in blocks.
    pub late_from: ChunkRef,
}

impl Needed {
    /// Nothing is in blocks.
    pub const ALL: Needed = Needed {
        valid_from: i64::MIN,
        late_from: ChunkRef::from_number(0),
    };
}

impl Snapshot {
    /// Reads the snapshot of a data directory.
    ///
    /// * `range_ms`: chunks do not cross multiples of this. `needed`: what is before is in blocks and left out.
    ///
    /// # Errors
    ///
    /// When it is of no use: then the whole log has to be read.
    pub fn read(
        files: &dyn Files,
        dir: &Path,
        range_ms: i64,
        needed: Needed,
    ) -> Result<Self, NoSnapshot> {
        let path = dir.join(SNAPSHOT_FILE);
        if !files.exists(&path) {
            return Err(NoSnapshot::Missing);
        }
        let map = files.map(&path).map_err(|_| NoSnapshot::Damaged)?;
        let sections = sections(&map).ok_or(NoSnapshot::Damaged)?;
        let find = |kind| sections.iter().find(|section| section.kind == kind);
        let fingerprints = find(FILES).ok_or(NoSnapshot::Damaged)?.payload;
        let there = same_files(files, dir, fingerprints).ok_or(NoSnapshot::Damaged)?;
        let mut snapshot = Self::of(&sections, range_ms).ok_or(NoSnapshot::Damaged)?;
        // Files go when all in them is in blocks; a chunk that still counts must be where it was.
        let is_gone = |chunk: &&ChunkMeta| !there.contains(&chunk.chunk.file());
        for page in snapshot.series.pages_mut() {
            for series in &mut page.series {
                series.truncate(&mut page.lines, needed.valid_from);
                if let Some(late) = series.late_mut() {
                    late.forget_full(|chunk| chunk.chunk < needed.late_from);
                }
                let late = series.late().into_iter().flat_map(|late| late.full());
                if let Some(gone) = series.full().iter().chain(late).find(is_gone) {
                    return Err(NoSnapshot::Foreign(gone.chunk.file()));
                }
            }
        }
        Ok(snapshot)
    }

    fn of(sections: &[Section<'_>], range_ms: i64) -> Option<Self> {
        let find = |kind| sections.iter().find(|section| section.kind == kind);
        let state = decode_state(find(STATE)?.payload)?;
        let series_sections: Vec<&[u8]> = sections
            .iter()
            .filter(|section| section.kind == SERIES)
            .map(|section| section.payload)
            .collect();
        // The labels are put together on this thread and the chunks on another: both take long.
        let (index, series) = std::thread::scope(|scope| {
            let chunks = scope.spawn(|| {
                let mut series = SeriesPages::default();
                for payload in &series_sections {
                    decode_chunks(payload, range_ms, &mut series)?;
                }
                Some(series)
            });
            let symbols = sections.iter().filter(|section| section.kind == SYMBOLS);
            let index = decode_index(symbols.map(|section| section.payload), &series_sections);
            (index, chunks.join().ok().flatten())
        });
        let (index, series) = (index?, series?);
        let (count, _) = decode_uvarint(find(END)?.payload)?;
        if series.count() as u64 != count || index.len() as u64 != count {
            return None;
        }
        let mut aliases = Vec::new();
        let mut rest = find(ALIASES)?.payload;
        while !rest.is_empty() {
            let (id, after) = decode_uvarint(rest)?;
            let (slot, after) = decode_uvarint(after)?;
            let slot = u32::try_from(slot).ok();
            aliases.push((id, slot.filter(|&slot| u64::from(slot) < count)?));
            rest = after;
        }
        let mut tombstones = Tombstones::default();
        let mut rest = find(TOMBSTONES)?.payload;
        while !rest.is_empty() {
            let (id, after) = decode_uvarint(rest)?;
            let (mint, after) = decode_varint(after)?;
            let (maxt, after) = decode_varint(after)?;
            tombstones.add(id, Interval { mint, maxt });
            rest = after;
        }
        let records = sections.iter().filter(|section| section.kind == RECORD);
        let records = records.map(|section| section.payload.to_vec()).collect();
        Some(Snapshot {
            records,
            state,
            index,
            series,
            aliases,
            tombstones,
        })
    }
}

/// Returns the numbers of the head chunk files that are those that a snapshot names; `None` when its list is damaged.
fn same_files(files: &dyn Files, dir: &Path, mut fingerprints: &[u8]) -> Option<HashSet<u32>> {
    let there = HeadChunks::fingerprints(files, &dir.join(CHUNKS_DIR)).ok()?;
    let mut same = HashSet::new();
    while !fingerprints.is_empty() {
        let (number, rest) = decode_uvarint(fingerprints)?;
        let (len, rest) = decode_uvarint(rest)?;
        let (begin, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        let found = there.iter().find(|(n, _)| u64::from(*n) == number);
        same.extend(
            found
                .filter(|(_, now)| now.starts_with(begin))
                .map(|(n, _)| *n),
        );
        fingerprints = rest;
    }
    Some(same)
}

fn decode_index<'a>(symbols: impl Iterator<Item = &'a [u8]>, sections: &[&[u8]]) -> Option<Index> {
    let (mut text, mut ends, mut end) = (String::new(), Vec::new(), 0u32);
    for payload in symbols {
        let (count, mut rest) = decode_uvarint(payload)?;
        for _ in 0..count {
            let (len, after) = decode_uvarint(rest)?;
            end = end.checked_add(u32::try_from(len).ok()?)?;
            ends.push(end);
            rest = after;
        }
        text.push_str(std::str::from_utf8(rest).ok()?);
    }
    let mut index = Index::with_symbols(Symbols::from_parts(text, ends)?);
    let mut run = Vec::new();
    for mut rest in sections.iter().copied() {
        while !rest.is_empty() {
            let (_, after) = decode_uvarint(rest)?;
            let after = decode_run(after, &mut run)?;
            index.add_run(&run)?;
            rest = skip_chunks(after)?;
        }
    }
    Some(index)
}

fn decode_run<'a>(bytes: &'a [u8], run: &mut Vec<u32>) -> Option<&'a [u8]> {
    run.clear();
    let (len, mut rest) = decode_uvarint(bytes)?;
    for _ in 0..len {
        let (symbol, after) = decode_uvarint(rest)?;
        run.push(u32::try_from(symbol).ok()?);
        rest = after;
    }
    Some(rest)
}

fn skip_run(bytes: &[u8]) -> Option<&[u8]> {
    let (len, mut rest) = decode_uvarint(bytes)?;
    for _ in 0..len {
        rest = decode_uvarint(rest)?.1;
    }
    Some(rest)
}

fn skip_chunks(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    for _ in 0..2 {
        let (count, mut after) = decode_uvarint(rest)?;
        for _ in 0..count {
            after = decode_uvarint(after)?.1;
            after = decode_uvarint(after)?.1;
            after = decode_uvarint(after)?.1;
            after = after.get(1..)?;
        }
        rest = after;
    }
    let (&encoding, rest) = rest.split_first()?;
    if encoding == NO_OPEN {
        return Some(rest);
    }
    let (_, rest) = decode_varint(rest)?;
    let (len, rest) = decode_uvarint(rest)?;
    rest.get(usize::try_from(len).ok()?..)
}

fn decode_chunks(bytes: &[u8], range_ms: i64, out: &mut SeriesPages) -> Option<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (id, after) = decode_uvarint(rest)?;
        let after = skip_run(after)?;
        let (mut full, mut late) = (Vec::new(), Vec::new());
        let after = decode_metas(after, &mut full)?;
        let after = decode_metas(after, &mut late)?;
        let (&encoding, mut after) = after.split_first()?;
        let mut open = None;
        if encoding != NO_OPEN {
            let (mint, next) = decode_varint(after)?;
            let (len, next) = decode_uvarint(next)?;
            let (chunk, next) = next.split_at_checked(usize::try_from(len).ok()?)?;
            open = Some(SavedChunk {
                mint,
                encoding: Encoding::from_byte(encoding)?,
                bytes: chunk,
            });
            after = next;
        }
        let late = (!late.is_empty()).then(|| Box::new(LateSamples::of_chunks(late)));
        out.push_with(|lines| MemSeries::restored(id, full, late, open, lines, range_ms))
            .ok()?;
        rest = after;
    }
    Some(())
}

/// Deletes the snapshot: it does not stand for what is there any more.
///
/// # Errors
///
/// When the file system fails.
pub fn remove(files: &Arc<dyn Files>, dir: &Path) -> io::Result<()> {
    let path = dir.join(SNAPSHOT_FILE);
    match files.exists(&path) {
        true => files.remove_file(&path),
        false => Ok(()),
    }
}
