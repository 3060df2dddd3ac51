//! What is known of the nodes below some paths.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::member::Layout;
use super::session::{PATH_BYTES_MAX, Session, SessionError};
use super::wire::{Answer, Question};
use crate::discovery::TargetGroup;

/// How many nodes are followed, and how many bytes their paths, data and names may have together; more fail the discovery.
const NODES_MAX: usize = 100_000;
const BYTES_MAX: usize = 256 << 20;
/// How many nodes are asked about at once.
const AT_ONCE: usize = 32;

/// Why nodes could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    /// The session ended.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The server says no.
    #[error("{path}: {reason}")]
    Refused {
        /// About which node.
        path: String,
        /// What it says.
        reason: String,
    },
    /// There are too many.
    #[error("there are more than {NODES_MAX} nodes below the paths, or they have more than {} MiB", BYTES_MAX >> 20)]
    Many,
    /// One is too deep.
    #[error("a node has a path of more than {PATH_BYTES_MAX} bytes")]
    Deep,
}

/// The nodes, each of which is watched.
pub(super) struct Tree {
    layout: Layout,
    nodes: BTreeMap<String, Node>,
    /// What the nodes have together.
    bytes: usize,
}

struct Node {
    bytes: usize,
    /// Names of the nodes below.
    children: BTreeSet<String>,
    /// What it says, if it is a member.
    group: Option<Arc<TargetGroup>>,
}

impl Tree {
    pub(super) fn new(layout: Layout) -> Self {
        Tree {
            layout,
            nodes: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// Returns the members, in the order of their paths.
    pub(super) fn groups(&self) -> Vec<Arc<TargetGroup>> {
        let groups = self.nodes.values().filter_map(|node| node.group.clone());
        groups.collect()
    }

    /// Reads these nodes, whatever is known of them, and those below that are not known. What is gone is forgotten with all below
    /// it.
    pub(super) async fn read(
        &mut self,
        session: &mut Session,
        paths: Vec<String>,
    ) -> Result<(), TreeError> {
        let mut waiting = paths;
        while !waiting.is_empty() {
            let rest = waiting.split_off(waiting.len().min(AT_ONCE));
            let paths = std::mem::replace(&mut waiting, rest);
            let questions: Vec<_> = paths
                .iter()
                .flat_map(|path| [Question::Data(path), Question::Children(path)])
                .collect();
            let mut answers = session.ask(&questions).await?.into_iter();
            for path in &paths {
                let (data, children) = (answers.next(), answers.next());
                let new = self.take(path, data, children)?;
                waiting.extend(new.iter().map(|name| below(path, name)));
                if NODES_MAX < self.nodes.len() + waiting.len() || BYTES_MAX < self.bytes {
                    return Err(TreeError::Many);
                }
            }
            if waiting.iter().any(|path| PATH_BYTES_MAX < path.len()) {
                return Err(TreeError::Deep);
            }
        }
        Ok(())
    }

    /// Takes what is said of a node; returns the names of those below that are not known.
    fn take(
        &mut self,
        path: &str,
        data: Option<Answer>,
        children: Option<Answer>,
    ) -> Result<Vec<String>, TreeError> {
        let (data, children) = match (data, children) {
            (Some(Answer::Data(data)), Some(Answer::Children(children))) => (data, children),
            (Some(Answer::Refused(reason)), _) | (_, Some(Answer::Refused(reason))) => {
                let path = path.to_owned();
                return Err(TreeError::Refused { path, reason });
            }
            _ => {
                self.forget(path);
                return Ok(Vec::new());
            }
        };
        let children = BTreeSet::from_iter(children);
        let before = self.remove(path);
        if let Some(before) = &before {
            for name in before.children.difference(&children) {
                self.forget(&below(path, name));
            }
        }
        let is_new = |name: &&String| !self.nodes.contains_key(&below(path, name));
        let new: Vec<String> = children.iter().filter(is_new).cloned().collect();
        let target = self.layout.target(path, &data);
        let group = target.map(|target| TargetGroup {
            source: path.to_owned(),
            targets: vec![target],
            ..TargetGroup::default()
        });
        // One that is as before is shared, so that nobody looks at it again.
        let same = before.and_then(|before| before.group);
        let same = same.filter(|before| Some(&**before) == group.as_ref());
        let group = same.or_else(|| group.map(Arc::new));
        let names: usize = children.iter().map(String::len).sum();
        let node = Node {
            bytes: path.len() + data.len() + names,
            children,
            group,
        };
        self.bytes += node.bytes;
        self.nodes.insert(path.to_owned(), node);
        Ok(new)
    }

    fn remove(&mut self, path: &str) -> Option<Node> {
        let node = self.nodes.remove(path)?;
        self.bytes -= node.bytes;
        Some(node)
    }

    /// Forgets a node and all below it.
    fn forget(&mut self, path: &str) {
        let mut waiting = vec![path.to_owned()];
        while let Some(path) = waiting.pop() {
            if let Some(node) = self.remove(&path) {
                waiting.extend(node.children.iter().map(|name| below(&path, name)));
            }
        }
    }
}

/// Returns the path of the node called `name` below another.
fn below(path: &str, name: &str) -> String {
    format!("{}/{name}", path.trim_end_matches('/'))
}
