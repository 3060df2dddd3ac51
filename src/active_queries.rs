//! The log of active queries: which queries run right now, in a file that outlives a crash.
//!
//! The file is Prometheus' `queries.active`: `[`, then a slot of 1000 bytes for each query that may run at once. A slot in use
//! has an object with the query and when it began, zeros, and a comma as its last byte; a free one is all zeros. Nothing is
//! synced: the file is for the crash of this process (a query that took all memory), not of the machine.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

/// The name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "queries.active";

const SLOT_BYTES: usize = 1000;

/// Slots beside those of the API's queries, for rules; when all are taken a query is not in the log.
pub(crate) const RULE_SLOTS: usize = 16;

/// Of an old file, no more is read; so many queries are told of.
const READ_BYTES_MAX: u64 = 1 << 20;

/// What Prometheus calls the span of a query that is evaluated.
pub(crate) const EXECUTION: &str = "promqlExec";

/// The slots; shared by the queries.
#[derive(Debug)]
pub(crate) struct ActiveQueries {
    file: File,
    free: Mutex<Vec<usize>>,
}

/// A query that runs; dropping it frees its slot.
#[derive(Debug)]
pub(crate) struct Slot {
    queries: Arc<ActiveQueries>,
    index: usize,
}

impl ActiveQueries {
    /// Begins the log in `dir` and says, as Prometheus does, which queries the process before did not finish. Without the
    /// file there is no log: that is said too.
    pub(crate) fn start(dir: &Path, slots: usize) -> Option<Arc<Self>> {
        match Self::open(dir, slots) {
            Ok((queries, unfinished)) => {
                if let Some(queries) = unfinished {
                    tracing::info!(queries, "these queries did not finish in the last run");
                }
                Some(queries)
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "active queries are not logged: open {FILE_NAME}");
                None
            }
        }
    }

    /// Begins the log of up to `slots` queries at once in `dir`. Returns it, and what was running when the process before
    /// ended without stopping, as a JSON list.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written.
    pub(crate) fn open(dir: &Path, slots: usize) -> io::Result<(Arc<Self>, Option<String>)> {
        let path = dir.join(FILE_NAME);
        let unfinished = match File::open(&path) {
            Ok(file) => unfinished(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let file = File::create(&path)?;
        file.write_all_at(b"[", 0)?;
        file.set_len((1 + slots * SLOT_BYTES) as u64)?;
        let queries = ActiveQueries {
            file,
            free: Mutex::new((0..slots).rev().collect()),
        };
        Ok((Arc::new(queries), unfinished))
    }

    /// Notes that `query` began at `now_s`, seconds since the epoch. None if all slots are taken or the disk fails: a
    /// query does not fail for that.
    pub(crate) fn begin(self: &Arc<Self>, query: &str, now_s: i64) -> Option<Slot> {
        let index = self.free.lock().pop()?;
        let slot = Slot {
            queries: Arc::clone(self),
            index,
        };
        slot.write(&entry(query, now_s)).ok()?;
        Some(slot)
    }
}

impl Slot {
    fn write(&self, bytes: &[u8; SLOT_BYTES]) -> io::Result<()> {
        let at = 1 + self.index * SLOT_BYTES;
        self.queries.file.write_all_at(bytes, at as u64)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // At worst the next start tells of a query that had ended.
        let _ = self.write(&[0; SLOT_BYTES]);
        self.queries.free.lock().push(self.index);
    }
}

/// A slot in use. A long query is cut.
fn entry(query: &str, now_s: i64) -> [u8; SLOT_BYTES] {
    let json =
        |query: &str| serde_json::json!({"query": query, "timestamp_sec": now_s}).to_string();
    let mut kept = query.len().min(SLOT_BYTES);
    let text = loop {
        kept = query.floor_char_boundary(kept);
        let text = json(&query[..kept]);
        match text.len().checked_sub(SLOT_BYTES - 1) {
            // What is too much may be escapes, which are longer than what they stand for.
            Some(excess) if 0 < excess => kept = kept.saturating_sub(excess.div_ceil(6).max(1)),
            _ => break text,
        }
    };
    let mut slot = [0; SLOT_BYTES];
    slot[..text.len()].copy_from_slice(text.as_bytes());
    slot[SLOT_BYTES - 1] = b',';
    slot
}

/// Returns the queries that `file` has, as a JSON list.
pub(crate) fn unfinished(file: File) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    bytes.retain(|&byte| byte != 0);
    let text = String::from_utf8_lossy(&bytes);
    let queries = text.strip_prefix('[').unwrap_or(&text);
    let queries = queries.strip_suffix(',').unwrap_or(queries);
    Ok((!queries.is_empty()).then(|| format!("[{queries}]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopen(dir: &Path) -> Option<String> {
        ActiveQueries::open(dir, 3).unwrap().1
    }

    #[test]
    fn what_runs_is_told_by_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let (queries, before) = ActiveQueries::open(dir.path(), 2).unwrap();
        assert_eq!(before, None);
        let first = queries.begin("up{a=\"<é>\"}", 5).unwrap();
        let second = queries.begin("sum(b)", 6).unwrap();
        assert!(queries.begin("c", 7).is_none());
        drop(first);
        let third = queries.begin("d", 8).unwrap();
        let told = reopen(dir.path()).unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let expected = serde_json::json!([
            {"query": "d", "timestamp_sec": 8},
            {"query": "sum(b)", "timestamp_sec": 6},
        ]);
        assert_eq!(told, expected);
        drop((second, third));
        assert_eq!(reopen(dir.path()), None);
    }

    #[test]
    fn long_queries_are_cut_where_a_character_ends() {
        for query in ["é".repeat(2000), "\"\n\u{1}".repeat(700), "x".repeat(5000)] {
            let entry = entry(&query, i64::MIN);
            let text = String::from_utf8(entry.to_vec()).unwrap();
            let text = text.trim_end_matches(',').trim_end_matches('\0');
            let read: serde_json::Value = serde_json::from_str(text).unwrap();
            let kept = read["query"].as_str().unwrap();
            assert!(
                query.starts_with(kept) && 100 < kept.len(),
                "{}",
                kept.len()
            );
            assert!(980 < text.len(), "{}", text.len());
        }
    }

    #[test]
    fn other_files_do_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        for (bytes, expected) in [
            (&b""[..], None),
            (b"[", None),
            (b"[\0\0\0", None),
            (b"nonsense\xff", Some("[nonsense\u{fffd}]".to_owned())),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(reopen(dir.path()), expected);
        }
    }
}
