//! Opening the head chunk files: what is whole is found, what is not is set aside.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{
    ChunkRef, FILE_HEADER_BYTES, FoundChunk, HeadChunks, Tail, file_path, list, read_chunks,
};
use crate::files::Files;

/// What [`HeadChunks::open`] found wrong and how it dealt with it.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// One sentence per damaged file: it was cut, or set aside with the files after it.
    pub damages: Vec<String>,
}

impl HeadChunks {
    /// Opens the directory, creating it if need be, and calls `visit` with every chunk from `from` on, in order of writing.
    /// What is before is known to the caller, and verified when it is read.
    ///
    /// At the first chunk that is torn or damaged, or file that is missing, the reading ends: the file is cut there and kept
    /// whole beside as `NNNNNN.corrupt`, and those after it get that name. All samples from there on are in the logs, from
    /// which the chunks are made again; only so are those of one series in order.
    ///
    /// * `missing`: a file that is known to have been there.
    ///
    /// # Errors
    ///
    /// When the file system fails.
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        from: ChunkRef,
        missing: Option<u32>,
        mut visit: impl FnMut(FoundChunk),
    ) -> io::Result<(Self, OpenReport)> {
        files.create_dir_all(dir)?;
        let mut report = OpenReport::default();
        let (mut maps, mut unsynced) = (BTreeMap::new(), Vec::new());
        let (mut last, mut found, mut is_broken) = (0, Vec::new(), false);
        for (number, len) in list(&*files, dir)? {
            let path = file_path(dir, number);
            if number < from.file() {
                last = number;
                maps.insert(number, Arc::new(files.map(&path)?));
                continue;
            }
            let gap = gap(&*files, dir, last, number);
            is_broken |= gap.is_some() || missing.is_some_and(|missing| missing < number);
            report.damages.extend(gap);
            last = number;
            if is_broken {
                let aside = path.with_extension("corrupt");
                files.rename(&path, &aside)?;
                let what = "comes after damage, its chunks are made again from the log, kept as";
                report
                    .damages
                    .push(format!("{}: {what} {}", path.display(), aside.display()));
                continue;
            }
            let map = files.map(&path)?;
            let start = if number == from.file() {
                usize::try_from(from.offset()).expect("offsets are u32")
            } else {
                0
            };
            let start = start.max(FILE_HEADER_BYTES);
            found.clear();
            let Some(prefix) = read_chunks(&map, number, start, |chunk, _| found.push(chunk))
            else {
                drop(map);
                is_broken = true;
                let aside = path.with_extension("corrupt");
                files.rename(&path, &aside)?;
                let what = format!("no head chunk file, kept as {}", aside.display());
                report.damages.push(format!("{}: {what}", path.display()));
                continue;
            };
            drop(map);
            let damaged = prefix.passed_over.first().map(|&at| at as u64);
            let end = damaged.unwrap_or(prefix.end);
            if damaged.is_some() || prefix.is_torn {
                let aside = set_aside(&*files, &path)?;
                let kind = if damaged.is_some() { "damaged" } else { "torn" };
                let what = format!("{kind} chunk at byte {end}, cut there");
                report.damages.push(format!(
                    "{}: {what}, the whole is kept as {aside}",
                    path.display()
                ));
                is_broken = true;
            }
            if end < len {
                let file = files.open(&path)?;
                file.set_len(end)?;
                file.sync()?;
            }
            let good = found.iter().filter(|chunk| chunk.meta.chunk.offset() < end);
            good.for_each(|&chunk| visit(chunk));
            // A killed process may have left it written and not synced.
            unsynced.push(files.open(&path)?);
            maps.insert(number, Arc::new(files.map(&path)?));
        }
        let tail = Tail {
            number: last,
            parts: Vec::new(),
            full: unsynced,
        };
        let chunks = HeadChunks {
            files,
            dir: dir.to_owned(),
            writing: Mutex::new(()),
            syncing: Mutex::new(()),
            tail: Mutex::new(tail),
            maps: RwLock::new(Arc::new(maps)),
        };
        Ok((chunks, report))
    }
}

/// Says so when files are missing between number `last`, 0 before the first, and `next`: old ones go from the front only.
/// One that was set aside was reported then.
fn gap(files: &dyn Files, dir: &Path, last: u32, next: u32) -> Option<String> {
    let missing = file_path(dir, last + 1);
    let is_gap = last != 0 && last + 1 < next && !files.exists(&missing.with_extension("corrupt"));
    is_gap.then(|| {
        let what = "missing; its chunks are made again from the log";
        format!("{}: {what}", missing.display())
    })
}

/// Keeps a copy of a damaged file for a person to look at; returns its name.
fn set_aside(files: &dyn Files, path: &Path) -> io::Result<String> {
    let aside = path.with_extension("corrupt");
    crate::files::copy(files, path, &aside)?;
    Ok(aside.display().to_string())
}
