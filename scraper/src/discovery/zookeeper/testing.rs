//! A ZooKeeper for tests: it speaks the protocol, keeps a tree and tells of changes once, as watches do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::wire::{Reader, framed};

/// The kinds of events.
const DELETED: i32 = 2;
const DATA_CHANGED: i32 = 3;
const CHILDREN_CHANGED: i32 = 4;

/// A server. Its connections end with it.
pub(super) struct ZooKeeper {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Vec<u8>>,
    connections: Vec<Connection>,
    asked: usize,
    pinged: usize,
    /// The code that questions about this node are answered with.
    refuses: Option<(String, i32)>,
}

struct Connection {
    events: mpsc::UnboundedSender<Vec<u8>>,
    data_watches: BTreeSet<String>,
    child_watches: BTreeSet<String>,
}

impl ZooKeeper {
    /// Starts a server with these nodes; those above them are made too. Sessions may be silent for `timeout_ms`.
    pub(super) async fn start(nodes: &[(&str, &str)], timeout_ms: i32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        for (path, data) in nodes {
            state.lock().set(path, data.as_bytes());
        }
        let shared = Arc::clone(&state);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&shared), timeout_ms));
            }
        });
        ZooKeeper {
            address,
            state,
            _tasks: tasks,
        }
    }

    /// Makes or changes a node.
    pub(super) fn set(&self, path: &str, data: &str) {
        self.state.lock().set(path, data.as_bytes());
    }

    /// Deletes a node and all below it.
    pub(super) fn delete(&self, path: &str) {
        self.state.lock().delete(path);
    }

    /// Answers questions about a node with this code.
    pub(super) fn refuse(&self, path: &str, code: i32) {
        self.state.lock().refuses = Some((path.to_owned(), code));
    }

    /// How many questions, and how many pings, there were.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.asked, state.pinged)
    }
}

impl State {
    fn set(&mut self, path: &str, data: &[u8]) {
        let parent = parent(path).to_owned();
        if path != "/" && !self.nodes.contains_key(&parent) {
            self.set(&parent, b"");
        }
        match self.nodes.insert(path.to_owned(), data.to_vec()) {
            Some(_) => self.tell(DATA_CHANGED, path),
            None => self.tell(CHILDREN_CHANGED, &parent),
        }
    }

    fn delete(&mut self, path: &str) {
        let below = format!("{path}/");
        let is_below = |known: &String| known.starts_with(&below);
        let children: Vec<String> = self.nodes.keys().filter(|p| is_below(p)).cloned().collect();
        for path in children.iter().rev().map(String::as_str).chain([path]) {
            self.nodes.remove(path);
            self.tell(DELETED, path);
            self.tell(CHILDREN_CHANGED, parent(path));
        }
    }

    /// Tells whoever watches, who then watches no longer.
    fn tell(&mut self, kind: i32, path: &str) {
        for connection in &mut self.connections {
            let watches_data = kind != CHILDREN_CHANGED && connection.data_watches.remove(path);
            let watches_children = kind != DATA_CHANGED && connection.child_watches.remove(path);
            if watches_data || watches_children {
                let mut event = Vec::from((-1_i32).to_be_bytes());
                event.extend((-1_i64).to_be_bytes());
                // No error; then the kind, and that the session is connected.
                for number in [0, kind, 3] {
                    event.extend(number.to_be_bytes());
                }
                append(&mut event, path.as_bytes());
                let _ = connection.events.send(framed(event));
            }
        }
    }

    /// Returns the reply to a request of that connection.
    fn reply(&mut self, connection: usize, request: &[u8]) -> Vec<u8> {
        let mut reader = Reader(request);
        let (number, kind) = (reader.int().unwrap(), reader.int().unwrap());
        let mut reply = Vec::from(number.to_be_bytes());
        reply.extend(7_i64.to_be_bytes());
        if kind == 11 {
            self.pinged += 1;
            reply.extend(0_i32.to_be_bytes());
            return framed(reply);
        }
        self.asked += 1;
        let path = reader.text().unwrap();
        assert_eq!(reader.0, [1], "everything is watched");
        let refusal = self
            .refuses
            .as_ref()
            .filter(|(refused, _)| *refused == path);
        let code = match (refusal, self.nodes.get(&path)) {
            (Some((_, code)), _) => *code,
            (None, Some(_)) => 0,
            (None, None) => -101,
        };
        reply.extend(code.to_be_bytes());
        if code == 0 {
            let connection = &mut self.connections[connection];
            match kind {
                4 => {
                    connection.data_watches.insert(path.clone());
                    append(&mut reply, &self.nodes[&path]);
                    // What else is known of a node.
                    reply.extend([0; 68]);
                }
                8 => {
                    connection.child_watches.insert(path.clone());
                    let children = self.nodes.keys().filter(|p| *p != "/" && parent(p) == path);
                    let names: Vec<_> = children.map(|p| p.rsplit('/').next().unwrap()).collect();
                    reply.extend(i32::try_from(names.len()).unwrap().to_be_bytes());
                    for name in names {
                        append(&mut reply, name.as_bytes());
                    }
                }
                other => panic!("unexpected request {other}"),
            }
        }
        framed(reply)
    }
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/').unwrap().0 {
        "" => "/",
        parent => parent,
    }
}

fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(i32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend(bytes);
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>, timeout_ms: i32) {
    let (mut from, mut to) = stream.into_split();
    let Some(hello) = read(&mut from).await else {
        return;
    };
    // Version, last change, timeout, session, password, and whether it may be read-only.
    assert_eq!(hello.len(), 4 + 8 + 4 + 8 + 4 + 16 + 1);
    let mut answer = Vec::from(0_i32.to_be_bytes());
    answer.extend(timeout_ms.to_be_bytes());
    answer.extend(1_i64.to_be_bytes());
    append(&mut answer, &[7; 16]);
    answer.push(0);
    if !write(&mut to, &framed(answer)).await {
        return;
    }
    let (events, mut told) = mpsc::unbounded_channel();
    let connection = {
        let mut state = state.lock();
        state.connections.push(Connection {
            events,
            data_watches: BTreeSet::new(),
            child_watches: BTreeSet::new(),
        });
        state.connections.len() - 1
    };
    let (requests, mut asked) = mpsc::unbounded_channel();
    let reading = async {
        while let Some(request) = read(&mut from).await {
            let _ = requests.send(request);
        }
    };
    let writing = async {
        loop {
            let message = tokio::select! {
                biased;
                Some(event) = told.recv() => event,
                Some(request) = asked.recv() => state.lock().reply(connection, &request),
            };
            if !write(&mut to, &message).await {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => (),
        () = writing => (),
    }
}

async fn read(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = from.read_i32().await.ok()?;
    let mut frame = vec![0; usize::try_from(length).unwrap()];
    from.read_exact(&mut frame).await.ok()?;
    Some(frame)
}

/// Writes in two pieces, as networks do.
async fn write(to: &mut OwnedWriteHalf, message: &[u8]) -> bool {
    let (first, rest) = message.split_at(3);
    to.write_all(first).await.is_ok() && to.write_all(rest).await.is_ok()
}
