//! What a replay starts from: the head snapshot, if it is of use.

use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;

use super::slots::Slots;
use crate::files::Files;
use crate::head::index::Index;
use crate::head::page::SeriesPages;
use crate::head::snapshot::{self, Needed, NoSnapshot, SNAPSHOT_FILE, Snapshot};
use crate::head_chunks::{CHUNKS_DIR, ChunkRef, HeadChunks};
use crate::tombstones::Tombstones;
use crate::wal::segment::Position;

/// What a replay starts from: a snapshot, or nothing.
#[derive(Default)]
pub(super) struct Start {
    pub(super) index: Index,
    pub(super) series: SeriesPages,
    pub(super) slots: Slots,
    pub(super) aliases: HashMap<u64, u32>,
    pub(super) tombstones: Tombstones,
    pub(super) id_max: u64,
    /// Where in the log what is not known yet begins.
    pub(super) position: Position,
    /// Where in the head chunk files what is not known yet begins.
    pub(super) chunks_from: ChunkRef,
    /// A head chunk file that the snapshot names and that is gone.
    pub(super) missing_chunks: Option<u32>,
    pub(super) snapshot_series: Option<usize>,
    pub(super) records: Vec<Vec<u8>>,
    pub(super) damage: Option<String>,
}

impl Start {
    pub(super) fn of(files: &Arc<dyn Files>, dir: &Path, range_ms: i64, needed: Needed) -> Self {
        let snapshot = match Snapshot::read(&**files, dir, range_ms, needed) {
            Ok(snapshot) => snapshot,
            Err(why) => {
                let what = match why {
                    NoSnapshot::Missing => None,
                    NoSnapshot::Foreign(file) => Some(format!(
                        "{}: not the file that the head snapshot names, or gone; the whole log is read instead",
                        HeadChunks::path(&dir.join(CHUNKS_DIR), file).display()
                    )),
                    NoSnapshot::Damaged => Some(format!(
                        "{}: does not verify, left aside, the whole log is read instead",
                        dir.join(SNAPSHOT_FILE).display()
                    )),
                };
                // It must not be believed by a later start either, when the log before it is gone.
                let removed = match why {
                    NoSnapshot::Missing => Ok(()),
                    _ => snapshot::remove(files, dir),
                };
                let damage = match (what, removed) {
                    (what, Ok(())) => what,
                    (_, Err(error)) => Some(format!("remove {SNAPSHOT_FILE}: {error}")),
                };
                let missing_chunks = match why {
                    NoSnapshot::Foreign(file) => {
                        let path = HeadChunks::path(&dir.join(CHUNKS_DIR), file);
                        (!files.exists(&path)).then_some(file)
                    }
                    _ => None,
                };
                return Start {
                    damage,
                    missing_chunks,
                    ..Start::default()
                };
            }
        };
        let mut start = Start {
            position: snapshot.state.position,
            chunks_from: snapshot.state.chunks_end,
            id_max: snapshot.state.next_id.saturating_sub(1),
            snapshot_series: Some(snapshot.series.count()),
            index: snapshot.index,
            series: snapshot.series,
            tombstones: snapshot.tombstones,
            records: snapshot.records,
            ..Start::default()
        };
        start.slots.reserve(start.series.count());
        for (slot, series) in (0u32..).zip(start.series.iter()) {
            start.slots.insert(series.id, slot);
            start.id_max = start.id_max.max(series.id);
        }
        for (id, slot) in snapshot.aliases {
            start.aliases.insert(id, slot);
            start.slots.insert(id, slot);
        }
        start
    }
}
