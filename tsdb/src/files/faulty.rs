//! A file system in memory that stops, tears and fails where a test says.
//!
//! It keeps what was written apart from what was synced. A *kill* loses nothing that was written; a *power cut* goes back
//! to what was synced, and leaves of the rest what its seed says: of a file any prefix of what was written since, of a
//! directory any of the changes since, in their order.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Entry, Files, OpenFile};
use crate::map::Map;

/// The file system; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyFiles(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a process sees.
    tree: Tree,
    /// What is certain to be there after a power cut.
    durable: Tree,
    /// Changes of names since their directory was synced, in order.
    pending: Vec<Change>,
    /// Operations left before everything fails; `None` is no limit.
    fuse: Option<u64>,
    /// Whether the operation at which the fuse goes is done in part, if it can be.
    tears: bool,
    /// Only one operation fails, and the next ones work again.
    fails_once: bool,
}

type Tree = BTreeMap<PathBuf, Node>;

#[derive(Clone, Debug)]
enum Node {
    Dir,
    File(Arc<Mutex<Content>>),
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// What was there at the last sync.
    synced: Vec<u8>,
}

/// A change of names, in the directory of the path.
#[derive(Clone, Debug)]
enum Change {
    Made(PathBuf, Node),
    Removed(PathBuf),
    Renamed(PathBuf, PathBuf),
}

impl Change {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Change::Made(path, _) | Change::Removed(path) => path.parent() == Some(dir),
            Change::Renamed(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }

    fn apply(&self, tree: &mut Tree) {
        match self {
            Change::Made(path, node) => {
                tree.insert(path.clone(), node.clone());
            }
            Change::Removed(path) => tree.retain(|p, _| !p.starts_with(path)),
            Change::Renamed(from, to) => rename(tree, from, to),
        }
    }
}

fn rename(tree: &mut Tree, from: &Path, to: &Path) {
    let moved: Vec<_> = tree
        .iter()
        .filter(|(path, _)| path.starts_with(from))
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect();
    if moved.is_empty() {
        return;
    }
    tree.retain(|path, _| !path.starts_with(from) && !path.starts_with(to));
    for (path, node) in moved {
        let rest = path.strip_prefix(from).expect("it starts with it");
        let path = if rest.as_os_str().is_empty() {
            to.to_owned()
        } else {
            to.join(rest)
        };
        tree.insert(path, node);
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, path.display().to_string())
}

impl State {
    /// Counts an operation; fails when the fuse goes. `Ok(true)` says that this one is to be done in part, then to fail.
    fn operate(&mut self) -> io::Result<bool> {
        match &mut self.fuse {
            None => Ok(false),
            Some(0) => {
                if self.fails_once {
                    self.fuse = None;
                }
                Err(io::Error::other("the disk has failed, as the test says"))
            }
            Some(left) => {
                *left -= 1;
                let is_last = *left == 0 && self.tears;
                Ok(is_last)
            }
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.tree);
        self.pending.push(change);
    }

    fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Content>>> {
        match self.tree.get(path) {
            Some(Node::File(content)) => Ok(Arc::clone(content)),
            _ => Err(not_found(path)),
        }
    }
}

/// Numbers that a seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

impl FaultyFiles {
    /// From now on all operations fail after `operations` more; with `tears` the last of them is done in part.
    pub(crate) fn fail_after(&self, operations: u64, tears: bool) {
        let mut state = self.0.lock();
        state.fuse = Some(operations);
        state.tears = tears;
        state.fails_once = false;
    }

    /// One operation fails after `operations` more; those after it work.
    pub(crate) fn fail_once_after(&self, operations: u64) {
        let mut state = self.0.lock();
        state.fuse = Some(operations);
        state.tears = false;
        state.fails_once = true;
    }

    /// Returns the file system as the next process finds it: everything that was written.
    pub(crate) fn after_kill(&self) -> Self {
        let state = self.0.lock();
        let copies = Copies::default();
        FaultyFiles(Arc::new(Mutex::new(State {
            tree: copies.tree(&state.tree, &mut |content| content.bytes.clone()),
            durable: copies.tree(&state.durable, &mut |content| content.bytes.clone()),
            pending: state.pending.iter().map(|c| copies.change(c)).collect(),
            ..State::default()
        })))
    }

    /// Returns the file system after a power cut: what was synced, and of the rest what `dice` says.
    pub(crate) fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let state = self.0.lock();
        let mut tree = state.durable.clone();
        // A journal keeps the order of the changes it has.
        let kept = dice.below(state.pending.len() as u64 + 1);
        for change in state
            .pending
            .iter()
            .take(usize::try_from(kept).unwrap_or(0))
        {
            change.apply(&mut tree);
        }
        let copies = Copies::default();
        let tree = copies.tree(&tree, &mut |content| torn(content, dice));
        let state = State {
            durable: tree.clone(),
            tree,
            ..State::default()
        };
        for node in state.tree.values() {
            if let Node::File(content) = node {
                let mut content = content.lock();
                content.synced = content.bytes.clone();
            }
        }
        FaultyFiles(Arc::new(Mutex::new(state)))
    }
}

/// Returns what a power cut leaves of a file: what was synced, and some of what was written since.
fn torn(content: &Content, dice: &mut Dice) -> Vec<u8> {
    let (old, new) = (&content.synced, &content.bytes);
    let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    match dice.below(4) {
        0 => old.clone(),
        1 => new.clone(),
        // The length may be on disk before the bytes are.
        2 if old.len() < new.len() => {
            let mut bytes = old.clone();
            bytes.resize(old.len() + below(dice, new.len() - old.len()), 0);
            bytes
        }
        _ => new[..same + below(dice, new.len().saturating_sub(same))].to_vec(),
    }
}

fn below(dice: &mut Dice, len: usize) -> usize {
    usize::try_from(dice.below(len as u64 + 1)).unwrap_or(0)
}

/// Copies of files, each once, however many names it has.
#[derive(Default)]
struct Copies(Mutex<BTreeMap<usize, Node>>);

impl Copies {
    fn tree(&self, tree: &Tree, bytes: &mut dyn FnMut(&Content) -> Vec<u8>) -> Tree {
        let copy = |node: &Node| self.node(node, bytes);
        let mut copy = copy;
        tree.iter()
            .map(|(path, node)| (path.clone(), copy(node)))
            .collect()
    }

    fn node(&self, node: &Node, bytes: &mut dyn FnMut(&Content) -> Vec<u8>) -> Node {
        let Node::File(content) = node else {
            return Node::Dir;
        };
        let key = Arc::as_ptr(content) as usize;
        let mut copies = self.0.lock();
        let copy = copies.entry(key).or_insert_with(|| {
            let content = content.lock();
            Node::File(Arc::new(Mutex::new(Content {
                bytes: bytes(&content),
                synced: content.synced.clone(),
            })))
        });
        copy.clone()
    }

    fn change(&self, change: &Change) -> Change {
        match change {
            Change::Made(path, node) => {
                let node = self.node(node, &mut |content| content.bytes.clone());
                Change::Made(path.clone(), node)
            }
            other => other.clone(),
        }
    }
}

impl Files for FaultyFiles {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate()?;
        let missing: Vec<_> = dir
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty() && !state.tree.contains_key(*path))
            .map(Path::to_owned)
            .collect();
        for path in missing.into_iter().rev() {
            state.change(Change::Made(path, Node::Dir));
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.0.lock();
        state.operate()?;
        if !matches!(state.tree.get(dir), Some(Node::Dir)) {
            return Err(not_found(dir));
        }
        let children = state
            .tree
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        Ok(children
            .map(|(path, node)| Entry {
                name: path
                    .file_name()
                    .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
                is_dir: matches!(node, Node::Dir),
                len: match node {
                    Node::Dir => 0,
                    Node::File(content) => content.lock().bytes.len() as u64,
                },
            })
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let mut state = self.0.lock();
        state.operate()?;
        if state.tree.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path
            .parent()
            .is_some_and(|dir| state.tree.contains_key(dir))
        {
            return Err(not_found(path));
        }
        let content = Arc::new(Mutex::new(Content::default()));
        state.change(Change::Made(
            path.to_owned(),
            Node::File(Arc::clone(&content)),
        ));
        Ok(self.handle(content))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let mut state = self.0.lock();
        state.operate()?;
        let content = state.file(path)?;
        Ok(self.handle(content))
    }

    fn map(&self, path: &Path) -> io::Result<Map> {
        let mut state = self.0.lock();
        state.operate()?;
        let content = state.file(path)?;
        let bytes = content.lock().bytes.clone();
        Ok(Map::held(bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate()?;
        if !state.tree.contains_key(from) {
            return Err(not_found(from));
        }
        state.change(Change::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate()?;
        let content = state.file(from)?;
        state.change(Change::Made(to.to_owned(), Node::File(content)));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate()?;
        state.file(path)?;
        state.change(Change::Removed(path.to_owned()));
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let tears = state.operate()?;
        if !matches!(state.tree.get(path), Some(Node::Dir)) {
            return Err(not_found(path));
        }
        if tears {
            let below = state.tree.keys().rev().find(|p| p.starts_with(path));
            if let Some(one) = below.cloned() {
                state.change(Change::Removed(one));
            }
            return Err(io::Error::other("stopped in the middle, as the test says"));
        }
        state.change(Change::Removed(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operate()?;
        let pending = std::mem::take(&mut state.pending);
        // All changes up to the last in this directory: a journal does not skip.
        let last = pending.iter().rposition(|change| change.is_in(dir));
        let synced = last.map_or(0, |last| last + 1);
        for change in &pending[..synced] {
            change.apply(&mut state.durable);
        }
        state.pending = pending[synced..].to_vec();
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.lock().tree.contains_key(path)
    }

    /// A disk of a gibibyte.
    fn disk_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(1 << 30)
    }
}

impl FaultyFiles {
    fn handle(&self, content: Arc<Mutex<Content>>) -> Arc<dyn OpenFile> {
        Arc::new(Handle {
            state: Arc::downgrade(&self.0),
            content,
        })
    }
}

#[derive(Debug)]
struct Handle {
    state: Weak<Mutex<State>>,
    content: Arc<Mutex<Content>>,
}

impl Handle {
    fn operate(&self) -> io::Result<bool> {
        match self.state.upgrade() {
            Some(state) => state.lock().operate(),
            None => Err(io::Error::other("the file system is gone")),
        }
    }
}

impl OpenFile for Handle {
    fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let tears = self.operate()?;
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let written = match tears {
            true => &bytes[..bytes.len() / 2],
            false => bytes,
        };
        let mut content = self.content.lock();
        if content.bytes.len() < at + written.len() {
            content.bytes.resize(at + written.len(), 0);
        }
        content.bytes[at..at + written.len()].copy_from_slice(written);
        match tears {
            true => Err(io::Error::other("no space left, as the test says")),
            false => Ok(()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate()?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.content.lock().bytes.resize(len, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.operate()?;
        let mut content = self.content.lock();
        content.synced = content.bytes.clone();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().bytes.len() as u64)
    }
}
