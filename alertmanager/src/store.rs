//! What survives a restart: silences, the notification log, alerts and group timers, in one embedded database.
//!
//! ```text
//! dispatcher ── changes ──► channel ──► writer thread ── one transaction for all that wait ──► state.redb
//!                                             └──► answer to who must know (silences)
//! ```
//!
//! Silences and log entries are written when they change; alerts and timers now and then, because senders repeat
//! themselves. A database that cannot be read is put aside, and a new one begun: alerting goes on. Where there is none yet,
//! the files of an Alertmanager in the same directory are taken over.

mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use metrics::{Counter, Gauge, Registry};
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _,
};
use tokio::sync::oneshot;

use crate::alert::StoredAlert;
use crate::dispatch::{GroupKey, GroupRecord, IntegrationKey, LogEntry};
use crate::mesh::{self, MeshError};
use crate::silence::Silence;

/// The database's file in the storage directory.
const FILE: &str = "state.redb";
/// Batches that one transaction takes together.
const BATCHES_MAX: usize = 1_024;
/// Bytes of pages that the database keeps in memory.
const CACHE_BYTES: usize = 4 << 20;

/// Bytes under a name.
type Records = TableDefinition<'static, &'static [u8], &'static [u8]>;

const SILENCES: Records = TableDefinition::new("silences");
const LOG: Records = TableDefinition::new("log");
const ALERTS: Records = TableDefinition::new("alerts");
const GROUPS: Records = TableDefinition::new("groups");
const TIMES: TableDefinition<&str, i64> = TableDefinition::new("times");
/// When the Alertmanager was last known to run.
const ALIVE_AT: &str = "alive_at";

/// A change to what is stored; without a value it is dropped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Silence(String, Option<Box<Silence>>),
    Entry(IntegrationKey, Option<LogEntry>),
    Alert(u64, Option<Box<StoredAlert>>),
    Group(GroupKey, Option<GroupRecord>),
    /// The Alertmanager runs at this moment, milliseconds since the epoch.
    Alive(i64),
    /// Everything is forgotten; what follows is all there is.
    Clear,
}

/// What a store held.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Stored {
    pub(crate) silences: Vec<Silence>,
    pub(crate) entries: Vec<(IntegrationKey, LogEntry)>,
    pub(crate) alerts: Vec<StoredAlert>,
    pub(crate) groups: Vec<(GroupKey, GroupRecord)>,
    /// When the Alertmanager was last known to run, milliseconds since the epoch.
    pub(crate) alive_at_ms: Option<i64>,
    /// How much of it could not be read.
    pub(crate) unreadable: usize,
    /// How much of it was taken over from files of an Alertmanager.
    pub(crate) imported: usize,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{path}: {reason}")]
    Open { path: PathBuf, reason: String },
}

struct Batch {
    changes: Vec<Change>,
    done: Option<oneshot::Sender<Result<(), String>>>,
}

/// Opens the database.
type Opener = Box<dyn Fn() -> Result<Database, redb::Error> + Send>;

/// Writes changes in their order, on a thread of its own. Dropping it waits for those on their way.
pub(crate) struct Store {
    sender: Option<mpsc::Sender<Batch>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Whether a write failed, so that the database lacks something.
    has_failed: Arc<AtomicBool>,
}

#[derive(Clone)]
struct StoreMetrics {
    written: Counter,
    failed: Counter,
    behind: Gauge,
}

impl Store {
    /// Opens the store in `dir`, which is made if it is not there, and returns what it held.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made, another process has the database, or no new one can be begun.
    pub(crate) fn open(dir: &Path, registry: &Registry) -> Result<(Store, Stored), StoreError> {
        let path = dir.join(FILE);
        let fail = |reason: String| StoreError::Open {
            path: path.clone(),
            reason,
        };
        std::fs::create_dir_all(dir).map_err(|error| fail(error.to_string()))?;
        let recovered = registry.counter(
            "hearth_alertmanager_store_recovered_total",
            "How often the store could not be read, was put aside and begun anew.",
        );
        let is_new = !path.exists();
        let opened = calmly(|| {
            let mut database = open(&path)?;
            // Every page is looked at: what a checksum catches now is no surprise later.
            if !database.check_integrity()? {
                tracing::warn!(path = %path.display(), "the alertmanager's store was repaired");
            }
            let stored = read(&database)?;
            Ok((database, stored))
        });
        let (database, mut stored) = match opened {
            Ok(opened) => opened,
            Err(redb::Error::DatabaseAlreadyOpen) => {
                let reason = "another process has it open; give each its own storage directory";
                return Err(fail(reason.to_owned()));
            }
            // There is nothing wrong with what is in it.
            Err(redb::Error::Io(error)) if is_trouble_of_disk(error.kind()) => {
                let reason = format!(
                    "{error}; make room or let it be written, it has silences and the notification log"
                );
                return Err(fail(reason));
            }
            Err(error) => {
                let aside = put_aside(&path).map_err(|why| fail(format!("{error}; {why}")))?;
                recovered.inc();
                tracing::error!(
                    path = %path.display(), %error, aside = %aside.display(),
                    "the alertmanager's store cannot be read: it was put aside, silences and the notification log begin anew"
                );
                let database = calmly(|| open(&path)).map_err(|error| fail(error.to_string()))?;
                (database, Stored::default())
            }
        };
        if is_new {
            import(dir, &mut stored);
        }
        if 0 < stored.unreadable {
            tracing::error!(
                records = stored.unreadable,
                "records of the alertmanager's store could not be read and are left out"
            );
        }
        let store = Store::start(Box::new(move || open(&path)), database, registry);
        Ok((store.map_err(|error| failed_start(dir, &error))?, stored))
    }

    /// Starts the writer. `open` opens the database again after a failure, when it can no longer be used.
    fn start(open: Opener, database: Database, registry: &Registry) -> std::io::Result<Store> {
        let metrics = StoreMetrics {
            written: registry.counter(
                "hearth_alertmanager_store_writes_total",
                "Transactions written to the alertmanager's store.",
            ),
            failed: registry.counter(
                "hearth_alertmanager_store_writes_failed_total",
                "Transactions that could not be written to the alertmanager's store.",
            ),
            behind: registry.gauge(
                "hearth_alertmanager_store_behind",
                "Whether the alertmanager's store lacks changes because a write failed.",
            ),
        };
        let (sender, batches) = mpsc::channel();
        let has_failed = Arc::new(AtomicBool::new(false));
        let mut writer = Writer {
            open,
            database: Some(database),
            metrics,
            has_failed: Arc::clone(&has_failed),
        };
        let thread = std::thread::Builder::new().name("alert-store".to_owned());
        let thread = thread.spawn(move || writer.run(&batches))?;
        Ok(Store {
            sender: Some(sender),
            thread: Some(thread),
            has_failed,
        })
    }

    /// Hands changes over; they are written after those before them. The answer is whether they are on disk.
    pub(crate) fn submit(&self, changes: Vec<Change>) -> oneshot::Receiver<Result<(), String>> {
        let (done, answer) = oneshot::channel();
        self.send(changes, Some(done));
        answer
    }

    /// Hands changes over that nobody waits for.
    pub(crate) fn submit_quietly(&self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.send(changes, None);
        }
    }

    fn send(&self, changes: Vec<Change>, done: Option<oneshot::Sender<Result<(), String>>>) {
        if let Some(sender) = &self.sender
            && sender.send(Batch { changes, done }).is_err()
        {
            // The answer's sender is dropped with the batch, which its receiver takes for a failure.
            self.has_failed.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether a write failed since the last [`Change::Clear`]: then all must be written again.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the alertmanager's store ended badly");
        }
    }
}

fn failed_start(dir: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Open {
        path: dir.join(FILE),
        reason: format!("start the writer: {error}"),
    }
}

/// Does something with a database that may be damaged: it panics on some damage, which is an error here.
fn calmly<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(redb::Error::Corrupted("a page makes no sense".to_owned())))
}

fn open(path: &Path) -> Result<Database, redb::Error> {
    let database = builder().create(path)?;
    prepare(&database)?;
    Ok(database)
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Makes the tables that are not there. Where all are, nothing is written: a full disk is no reason not to start.
fn prepare(database: &Database) -> Result<(), redb::Error> {
    if has_tables(database)? {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    for table in [SILENCES, LOG, ALERTS, GROUPS] {
        transaction.open_table(table)?;
    }
    transaction.open_table(TIMES)?;
    transaction.commit()?;
    Ok(())
}

fn has_tables(database: &Database) -> Result<bool, redb::Error> {
    let names: BTreeSet<String> = database
        .begin_read()?
        .list_tables()?
        .map(|table| table.name().to_owned())
        .collect();
    let records = [SILENCES, LOG, ALERTS, GROUPS]
        .iter()
        .map(|table| table.name());
    let mut wanted = records.chain([TIMES.name()]);
    Ok(wanted.all(|name| names.contains(name)))
}

/// Whether a file that cannot be opened may be as good as it was.
fn is_trouble_of_disk(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind;
    matches!(
        kind,
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::PermissionDenied
    )
}

/// Renames what cannot be read, so that somebody may look at it; returns its new name.
fn put_aside(path: &Path) -> Result<PathBuf, String> {
    for number in 0..1_000 {
        let aside = path.with_extension(format!("redb.unreadable-{number}"));
        if !aside.exists() {
            return match std::fs::rename(path, &aside) {
                Ok(()) => Ok(aside),
                Err(error) => Err(format!("rename it to {}: {error}", aside.display())),
            };
        }
    }
    Err("there are too many unreadable ones beside it already".to_owned())
}

fn read(database: &Database) -> Result<Stored, redb::Error> {
    let transaction = database.begin_read()?;
    let mut stored = Stored::default();
    for kind in [SILENCES, LOG, ALERTS, GROUPS] {
        let table = transaction.open_table(kind)?;
        for record in table.iter()? {
            let (_, value) = record?;
            let outcome = stored.read(kind.name(), value.value());
            stored.unreadable += usize::from(outcome.is_err());
        }
    }
    let times = transaction.open_table(TIMES)?;
    stored.alive_at_ms = times.get(ALIVE_AT)?.map(|time| time.value());
    Ok(stored)
}

impl Stored {
    /// Returns whether the store itself has all of it, and nothing else.
    pub(crate) fn is_settled(&self) -> bool {
        self.unreadable == 0 && self.imported == 0
    }

    /// Takes in a record of the table `kind`.
    fn read(&mut self, kind: &str, value: &[u8]) -> Result<(), MeshError> {
        match kind {
            "silences" => self.silences.extend(mesh::decode_silences(value)?),
            "log" => self.entries.push(mesh::decode_entry(value)?),
            "alerts" => self.alerts.push(record::decode_alert(value)?),
            _ => self.groups.push(record::decode_group(value)?),
        }
        Ok(())
    }

    /// Takes in a message of Alertmanager's file `name`.
    fn import(&mut self, name: &str, message: &[u8]) -> Result<(), MeshError> {
        match name {
            "silences" => self.silences.extend(mesh::decode_mesh_silences(message)?),
            _ => self.entries.push(mesh::decode_entry(message)?),
        }
        Ok(())
    }
}

/// Takes over the files that Alertmanager keeps in its storage directory.
fn import(dir: &Path, stored: &mut Stored) {
    for name in ["silences", "nflog"] {
        let path = dir.join(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a file of Alertmanager cannot be read and is left out");
                continue;
            }
        };
        let mut messages = 0;
        for message in mesh::messages(&bytes) {
            match stored.import(name, message) {
                Ok(()) => messages += 1,
                Err(_) => stored.unreadable += 1,
            }
        }
        stored.imported += messages;
        tracing::info!(path = %path.display(), messages, "took over a file of Alertmanager");
    }
}

/// The writer: takes what waits, and writes it in one transaction.
struct Writer {
    open: Opener,
    /// Nothing after a failure: a database that could not be written must be opened again.
    database: Option<Database>,
    metrics: StoreMetrics,
    has_failed: Arc<AtomicBool>,
}

impl Writer {
    fn run(&mut self, batches: &mpsc::Receiver<Batch>) {
        while let Ok(first) = batches.recv() {
            let mut waiting = vec![first];
            waiting.extend(batches.try_iter().take(BATCHES_MAX - 1));
            let outcome = self.write(&waiting);
            for done in waiting.into_iter().filter_map(|batch| batch.done) {
                // Whoever waited may be gone.
                let _ = done.send(outcome.clone());
            }
        }
    }

    fn write(&mut self, waiting: &[Batch]) -> Result<(), String> {
        let changes = waiting.iter().flat_map(|batch| &batch.changes);
        let outcome = calmly(|| {
            let database = match self.database.take() {
                Some(database) => database,
                None => (self.open)()?,
            };
            write(&database, changes.clone())?;
            Ok(database)
        });
        let outcome = outcome.map(|database| self.database = Some(database));
        match &outcome {
            Ok(()) => {
                self.metrics.written.inc();
                if changes.clone().any(|change| *change == Change::Clear) {
                    self.has_failed.store(false, Ordering::Relaxed);
                }
            }
            Err(error) => {
                self.metrics.failed.inc();
                self.has_failed.store(true, Ordering::Relaxed);
                tracing::error!(%error, "the alertmanager's store could not be written; it is tried again");
            }
        }
        let is_behind = self.has_failed.load(Ordering::Relaxed);
        self.metrics.behind.set(f64::from(u8::from(is_behind)));
        outcome.map_err(|error| error.to_string())
    }
}

fn write<'a>(
    database: &Database,
    changes: impl Iterator<Item = &'a Change>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut silences = transaction.open_table(SILENCES)?;
        let mut log = transaction.open_table(LOG)?;
        let mut alerts = transaction.open_table(ALERTS)?;
        let mut groups = transaction.open_table(GROUPS)?;
        let mut times = transaction.open_table(TIMES)?;
        for change in changes {
            let (table, key, value) = match change {
                Change::Silence(id, silence) => {
                    let value = silence.as_deref().map(mesh::encode_silence);
                    (&mut silences, id.as_bytes().to_vec(), value)
                }
                Change::Entry(key, entry) => {
                    let value = entry.as_ref().map(|entry| mesh::encode_entry(key, entry));
                    (&mut log, record::log_key(key), value)
                }
                Change::Alert(fingerprint, alert) => {
                    let value = alert.as_deref().map(record::encode_alert);
                    (&mut alerts, fingerprint.to_be_bytes().to_vec(), value)
                }
                Change::Group(key, group) => {
                    let value = group.as_ref().map(|group| record::encode_group(key, group));
                    (&mut groups, record::group_key(key), value)
                }
                Change::Alive(at_ms) => {
                    times.insert(ALIVE_AT, at_ms)?;
                    continue;
                }
                Change::Clear => {
                    for table in [&mut silences, &mut log, &mut alerts, &mut groups] {
                        table.retain(|_, _| false)?;
                    }
                    continue;
                }
            };
            match value {
                Some(value) => table.insert(&*key, &*value)?,
                None => table.remove(&*key)?,
            };
        }
    }
    transaction.commit()?;
    Ok(())
}
