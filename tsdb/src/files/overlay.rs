//! A file system over another that is only read: what is changed stays in memory.
//!
//! So a data directory can be opened as if to work on it (its log replayed, damage repaired, new files begun) without a
//! byte of it being touched, also while a server uses it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Entry, Files, OpenFile};
use crate::map::Map;

/// The files of another file system, and changes to them that are lost with this value.
///
/// Memory: the files that were written, and those of the other that were opened for writing, as a whole. Nothing bounds
/// it but what the user writes.
#[derive(Debug)]
pub struct Overlay {
    below: Arc<dyn Files>,
    /// What differs from below, by path.
    changed: Mutex<BTreeMap<PathBuf, Node>>,
}

/// What is at a path instead of what is below.
#[derive(Clone, Debug)]
enum Node {
    /// A file in memory.
    Held(Arc<Held>),
    /// A file of below, under another name.
    Moved(PathBuf),
    /// A directory; what is below it there is not part of it.
    Dir,
    /// Nothing.
    Gone,
}

/// A file in memory.
#[derive(Debug, Default)]
struct Held(Mutex<Vec<u8>>);

impl OpenFile for Held {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut content = self.0.lock();
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let end = at + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.0.lock().resize(len, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().len() as u64)
    }
}

impl Overlay {
    /// Returns a view of `below` without changes.
    pub fn new(below: Arc<dyn Files>) -> Self {
        Overlay {
            below,
            changed: Mutex::default(),
        }
    }

    /// Returns what is at `path`; of what is below, its path there.
    fn find(&self, path: &Path) -> io::Result<Node> {
        let changed = self.changed.lock();
        match changed.get(path) {
            Some(Node::Gone) => return Err(not_found(path)),
            Some(node) => return Ok(node.clone()),
            None => (),
        }
        if !is_covered(&changed, path) && self.below.exists(path) {
            return Ok(Node::Moved(path.to_owned()));
        }
        Err(not_found(path))
    }

    /// Returns whether the directory `path` shows what it has below.
    fn shows_below(&self, path: &Path) -> bool {
        let changed = self.changed.lock();
        !changed.contains_key(path) && !is_covered(&changed, path) && self.below.exists(path)
    }

    fn set(&self, path: &Path, node: Node) {
        self.changed.lock().insert(path.to_owned(), node);
    }
}

/// Returns whether a directory above `path` is another than the one below.
fn is_covered(changed: &BTreeMap<PathBuf, Node>, path: &Path) -> bool {
    path.ancestors()
        .skip(1)
        .any(|above| changed.contains_key(above))
}

fn not_found(path: &Path) -> io::Error {
    let text = format!("{} does not exist", path.display());
    io::Error::new(io::ErrorKind::NotFound, text)
}

impl Files for Overlay {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = dir
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !self.exists(above))
            .collect();
        for dir in missing {
            self.set(dir, Node::Dir);
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = BTreeMap::new();
        if self.shows_below(dir) {
            for entry in self.below.list(dir)? {
                entries.insert(entry.name.clone(), entry);
            }
        } else if !self.exists(dir) {
            return Err(not_found(dir));
        }
        let changed = self.changed.lock();
        for (path, node) in changed.range(dir.to_owned()..) {
            if !path.starts_with(dir) {
                break;
            }
            let name = path.file_name().and_then(|name| name.to_str());
            let (true, Some(name)) = (path.parent() == Some(dir), name) else {
                continue;
            };
            let len = match node {
                Node::Gone => {
                    entries.remove(name);
                    continue;
                }
                Node::Dir => 0,
                Node::Held(held) => held.len()?,
                Node::Moved(from) => self.below.map(from)?.len() as u64,
            };
            let entry = Entry {
                name: name.to_owned(),
                is_dir: matches!(node, Node::Dir),
                len,
            };
            entries.insert(entry.name.clone(), entry);
        }
        Ok(entries.into_values().collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        if self.exists(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() && !self.exists(dir) => Err(not_found(dir)),
            _ => {
                let held = Arc::new(Held::default());
                self.set(path, Node::Held(Arc::clone(&held)));
                Ok(held)
            }
        }
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        match self.find(path)? {
            Node::Held(held) => Ok(held),
            Node::Moved(from) => {
                let held = Arc::new(Held(Mutex::new(self.below.map(&from)?.to_vec())));
                self.set(path, Node::Held(Arc::clone(&held)));
                Ok(held)
            }
            Node::Dir | Node::Gone => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        match self.find(path)? {
            Node::Held(held) => Ok(Map::held(held.0.lock().as_slice())),
            Node::Moved(from) => self.below.map(&from),
            Node::Dir | Node::Gone => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        // Only a directory can be listed.
        let children = match self.find(from)? {
            Node::Held(_) => None,
            _ => self.list(from).ok(),
        };
        let Some(children) = children else {
            let node = self.find(from)?;
            self.set(to, node);
            self.set(from, Node::Gone);
            return Ok(());
        };
        self.remove_dir_all(to).or_else(if_missing)?;
        self.set(to, Node::Dir);
        for child in children {
            self.rename(&from.join(&child.name), &to.join(&child.name))?;
        }
        self.remove_dir_all(from)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.exists(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = self.find(from)?;
        self.set(to, node);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        self.set(path, Node::Gone);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let mut changed = self.changed.lock();
        changed.retain(|changed, _| !changed.starts_with(path));
        changed.insert(path.to_owned(), Node::Gone);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.find(path).is_ok()
    }

    fn disk_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.below.disk_bytes(dir)
    }
}

fn if_missing(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Disk, copy, replace};

    /// A directory with `a`, `d/b` and `d/c`, and an overlay of it.
    fn tree() -> (tempfile::TempDir, Overlay) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        for name in ["a", "d/b", "d/c"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        (dir, Overlay::new(Arc::new(Disk)))
    }

    /// All files with their content, as `path=content`, and directories as `path/`.
    fn show(files: &dyn Files, dir: &Path) -> String {
        fn add(files: &dyn Files, dir: &Path, prefix: &str, out: &mut Vec<String>) {
            for entry in files.list(dir).unwrap() {
                let (path, name) = (dir.join(&entry.name), format!("{prefix}{}", entry.name));
                if entry.is_dir {
                    out.push(format!("{name}/"));
                    add(files, &path, &format!("{name}/"), out);
                } else {
                    let content = files.map(&path).unwrap().to_vec();
                    assert_eq!(content.len() as u64, entry.len);
                    out.push(format!("{name}={}", String::from_utf8(content).unwrap()));
                }
            }
        }
        let mut out = Vec::new();
        add(files, dir, "", &mut out);
        out.join(" ")
    }

    const BEFORE: &str = "a=a d/ d/b=d/b d/c=d/c";

    /// Does something to an overlay and to the disk alike: both look alike then, and what is below the overlay is as
    /// it was.
    #[track_caller]
    fn check(change: impl Fn(&dyn Files, &Path) -> io::Result<()>, expected: &str) {
        let (dir, overlay) = tree();
        assert_eq!(show(&overlay, dir.path()), BEFORE);
        change(&overlay, dir.path()).unwrap();
        assert_eq!(show(&overlay, dir.path()), expected);
        assert_eq!(show(&Disk, dir.path()), BEFORE);
        change(&Disk, dir.path()).unwrap();
        assert_eq!(show(&Disk, dir.path()), expected);
    }

    #[test]
    fn new_and_opened_files_are_written_in_memory() {
        check(
            |files, dir| {
                files.create(&dir.join("n"))?.write_all_at(b"xy", 1)?;
                let a = files.open(&dir.join("a"))?;
                a.write_all_at(b"bc", 1)?;
                assert_eq!(a.len()?, 3);
                let b = files.open(&dir.join("d/b"))?;
                b.set_len(1)
            },
            "a=abc d/ d/b=d d/c=d/c n=\0xy",
        );
    }

    #[test]
    fn files_are_replaced_copied_moved_linked_and_removed() {
        check(
            |files, dir| {
                replace(files, &dir.join("a"), b"new")?;
                copy(files, &dir.join("d/c"), &dir.join("copy"))?;
                files.rename(&dir.join("d/c"), &dir.join("moved"))?;
                files.hard_link(&dir.join("moved"), &dir.join("link"))?;
                files.remove_file(&dir.join("d/b"))
            },
            "a=new copy=d/c d/ link=d/c moved=d/c",
        );
    }

    #[test]
    fn directories_are_moved_removed_and_made_again() {
        check(
            |files, dir| {
                files.create(&dir.join("d/n"))?.write_all_at(b"n", 0)?;
                files.rename(&dir.join("d"), &dir.join("e"))?;
                files.create_dir_all(&dir.join("d/x/y"))?;
                files.create(&dir.join("d/x/b"))?;
                Ok(())
            },
            "a=a d/ d/x/ d/x/b= d/x/y/ e/ e/b=d/b e/c=d/c e/n=n",
        );
        check(
            |files, dir| {
                files.remove_dir_all(&dir.join("d"))?;
                assert!(!files.exists(&dir.join("d/b")) && files.list(&dir.join("d")).is_err());
                files.create_dir_all(&dir.join("d"))
            },
            "a=a d/",
        );
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        check(
            |files, dir| {
                let none = dir.join("none");
                assert!(files.map(&none).is_err() && files.open(&none).is_err());
                assert!(files.list(&none).is_err() && files.remove_file(&none).is_err());
                assert!(files.create(&none.join("x")).is_err());
                assert!(files.create(&dir.join("a")).is_err());
                assert!(files.hard_link(&dir.join("a"), &dir.join("d/b")).is_err());
                assert!(files.rename(&none, &dir.join("x")).is_err());
                assert!(files.remove_dir_all(&none).is_err());
                Ok(())
            },
            BEFORE,
        );
    }
}
