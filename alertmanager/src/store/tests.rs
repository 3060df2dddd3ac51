use std::collections::{BTreeMap, BTreeSet};

use model::Labels;

use super::*;
use crate::config::parse_matchers;

fn stored() -> Stored {
    let silence = Silence {
        id: "s".to_owned(),
        matchers: parse_matchers("a=b").unwrap(),
        starts_at_ms: 1,
        ends_at_ms: 2,
        updated_at_ms: 3,
        ..Silence::default()
    };
    let key = IntegrationKey {
        group_key: "{}:{}".to_owned(),
        receiver: "r".to_owned(),
        kind: "email".into(),
        index: 1,
    };
    let entry = LogEntry {
        firing: BTreeSet::from([1, u64::MAX]),
        resolved: BTreeSet::from([2]),
        at_ms: 5,
        expires_at_ms: 6,
        memory: BTreeMap::from([("threadTs".to_owned(), "1.2".to_owned())]),
    };
    let labels = Labels::from_pairs([("alertname", "A")]);
    let alert = StoredAlert {
        fingerprint: crate::alert::fingerprint(&labels),
        labels,
        annotations: Labels::from_pairs([("summary", "x\ny")]),
        starts_at_ms: -7,
        ends_at_ms: 8,
        is_timeout: true,
        updated_at_ms: 9,
        generator_url: "http://p".to_owned(),
    };
    let group = GroupRecord {
        next_flush_ms: 10,
        has_flushed: true,
        members: vec![alert.fingerprint],
    };
    Stored {
        silences: vec![silence],
        entries: vec![(key, entry)],
        alerts: vec![alert],
        groups: vec![(("{}:{}".to_owned(), "r".to_owned()), group)],
        alive_at_ms: Some(11),
        unreadable: 0,
        imported: 0,
    }
}

fn changes(stored: &Stored) -> Vec<Change> {
    let mut changes = Vec::new();
    for silence in &stored.silences {
        changes.push(Change::Silence(
            silence.id.clone(),
            Some(Box::new(silence.clone())),
        ));
    }
    for (key, entry) in &stored.entries {
        changes.push(Change::Entry(key.clone(), Some(entry.clone())));
    }
    for alert in &stored.alerts {
        changes.push(Change::Alert(
            alert.fingerprint,
            Some(Box::new(alert.clone())),
        ));
    }
    for (key, group) in &stored.groups {
        changes.push(Change::Group(key.clone(), Some(group.clone())));
    }
    changes.extend(stored.alive_at_ms.map(Change::Alive));
    changes
}

#[test]
fn what_was_written_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, found) = Store::open(dir.path(), &Registry::new()).unwrap();
    assert_eq!(found, Stored::default());
    let answer = store.submit(changes(&stored()));
    assert_eq!(answer.blocking_recv().unwrap(), Ok(()));
    assert!(matches!(
        Store::open(dir.path(), &Registry::new()),
        Err(StoreError::Open { reason, .. }) if reason.contains("another process")
    ));
    drop(store);
    let (store, found) = Store::open(dir.path(), &Registry::new()).unwrap();
    assert_eq!(found, stored());
    // Each kind can be dropped by its key.
    let dropped = changes(&found)
        .into_iter()
        .filter_map(|change| match change {
            Change::Silence(id, _) => Some(Change::Silence(id, None)),
            Change::Entry(key, _) => Some(Change::Entry(key, None)),
            Change::Alert(print, _) => Some(Change::Alert(print, None)),
            Change::Group(key, _) => Some(Change::Group(key, None)),
            Change::Alive(_) | Change::Clear => None,
        });
    store.submit_quietly(dropped.collect());
    drop(store);
    let (_, found) = Store::open(dir.path(), &Registry::new()).unwrap();
    let nothing = Stored {
        alive_at_ms: Some(11),
        ..Stored::default()
    };
    assert_eq!(found, nothing);
}

#[test]
fn a_full_disk_is_no_reason_to_put_a_store_aside() {
    for kind in [
        std::io::ErrorKind::StorageFull,
        std::io::ErrorKind::PermissionDenied,
    ] {
        assert!(is_trouble_of_disk(kind));
    }
    for kind in [
        std::io::ErrorKind::UnexpectedEof,
        std::io::ErrorKind::InvalidData,
    ] {
        assert!(!is_trouble_of_disk(kind));
    }
    // Not even begun on: all that was stored is read while nothing can be written.
    let disk = Disk::of(usize::MAX);
    let open = disk.clone();
    let store = Store::start(
        Box::new(move || open.open()),
        disk.open().unwrap(),
        &Registry::new(),
    );
    let store = store.unwrap();
    let answer = store.submit(changes(&stored()));
    assert_eq!(answer.blocking_recv().unwrap(), Ok(()));
    drop(store);
    disk.full_beyond_its_content();
    assert_eq!(read(&disk.open().unwrap()).unwrap(), stored());
}

#[test]
fn a_file_that_is_none_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    for content in [
        &b"garbage"[..],
        &[0; 10_000],
        b"redb\x1a\x0a\xa9\x0d\x0a junk",
    ] {
        let path = dir.path().join(FILE);
        std::fs::write(&path, content).unwrap();
        let registry = Registry::new();
        let (store, found) = Store::open(dir.path(), &registry).unwrap();
        assert_eq!(found, Stored::default());
        assert_eq!(
            store.submit(changes(&stored())).blocking_recv().unwrap(),
            Ok(())
        );
    }
    let names = std::fs::read_dir(dir.path()).unwrap();
    let names: BTreeSet<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = [
        "state.redb",
        "state.redb.unreadable-0",
        "state.redb.unreadable-1",
        "state.redb.unreadable-2",
    ];
    assert_eq!(names, expected.map(str::to_owned).into());
}

#[test]
fn a_torn_database_never_keeps_the_alertmanager_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), &Registry::new()).unwrap();
    store.submit_quietly(changes(&stored()));
    drop(store);
    let path = dir.path().join(FILE);
    let whole = std::fs::read(&path).unwrap();
    for step in 0..40 {
        let mut torn = whole.clone();
        let at = step * whole.len() / 40;
        match step % 3 {
            0 => torn.truncate(at),
            1 => torn[at] ^= 0xff,
            _ => torn[at..].fill(0),
        }
        std::fs::write(&path, torn).unwrap();
        let (store, _) = Store::open(dir.path(), &Registry::new()).unwrap();
        assert_eq!(
            store.submit(changes(&stored())).blocking_recv().unwrap(),
            Ok(())
        );
    }
}

#[test]
fn files_of_alertmanager_are_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let expected = stored();
    let mut silences = Vec::new();
    let mut mesh_silence = model::protobuf::Writer::default();
    mesh_silence.bytes(1, &mesh::encode_silence(&expected.silences[0]));
    mesh::put_message(&mut silences, &mesh_silence.into_bytes());
    // Torn off in the second message.
    silences.extend([9, 1]);
    std::fs::write(dir.path().join("silences"), silences).unwrap();
    let mut log = Vec::new();
    let (key, entry) = &expected.entries[0];
    mesh::put_message(&mut log, &mesh::encode_entry(key, entry));
    mesh::put_message(&mut log, b"\xff");
    std::fs::write(dir.path().join("nflog"), log).unwrap();
    let (store, found) = Store::open(dir.path(), &Registry::new()).unwrap();
    assert_eq!(found.silences, expected.silences);
    assert_eq!(found.entries, expected.entries);
    assert_eq!((found.imported, found.unreadable), (2, 1));
    drop(store);
    // Once there is a store, the files no longer count.
    let (_, found) = Store::open(dir.path(), &Registry::new()).unwrap();
    assert_eq!(found, Stored::default());
}

/// A disk of so many bytes, and its content.
#[derive(Clone, Debug)]
struct Disk(Arc<(parking_lot::Mutex<Vec<u8>>, std::sync::atomic::AtomicUsize)>);

impl Disk {
    fn of(bytes: usize) -> Self {
        Disk(Arc::new((parking_lot::Mutex::default(), bytes.into())))
    }

    /// From now on only what is there can be written over.
    fn full_beyond_its_content(&self) {
        let bytes = self.0.0.lock().len();
        self.grow(bytes);
    }

    fn grow(&self, bytes: usize) {
        self.0.1.store(bytes, Ordering::SeqCst);
    }

    fn is_full(&self, end: usize) -> std::io::Result<()> {
        match end <= self.0.1.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(std::io::ErrorKind::StorageFull.into()),
        }
    }

    fn open(&self) -> Result<Database, redb::Error> {
        let database = builder().create_with_backend(self.clone())?;
        prepare(&database)?;
        Ok(database)
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.0.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.0.0.lock()[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.is_full(len)?;
        self.0.0.lock().resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.is_full(self.0.0.lock().len())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        self.is_full(from + data.len())?;
        self.0.0.lock()[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_and_made_up_for() {
    let disk = Disk::of(usize::MAX);
    let registry = Registry::new();
    let reopened = disk.clone();
    let open: Opener = Box::new(move || reopened.open());
    let store = Store::start(open, disk.open().unwrap(), &registry).unwrap();
    disk.grow(0);
    for _ in 0..2 {
        let refused = store.submit(changes(&stored())).blocking_recv().unwrap();
        assert!(refused.is_err());
        assert!(store.has_failed());
    }
    disk.grow(usize::MAX);
    // One that goes well does not make up for those that did not.
    let answer = store.submit(vec![Change::Alive(11)]).blocking_recv();
    assert_eq!(answer.unwrap(), Ok(()));
    assert!(store.has_failed());
    let all = [vec![Change::Clear], changes(&stored())].concat();
    assert_eq!(store.submit(all).blocking_recv().unwrap(), Ok(()));
    assert!(!store.has_failed());
    drop(store);
    assert_eq!(read(&disk.open().unwrap()).unwrap(), stored());
}
