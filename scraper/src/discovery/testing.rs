//! A server for tests that answers as it is told, and says what it was asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// As it came.
    pub(crate) query: String,
    /// By name in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// Of a length that was said.
    pub(crate) body: String,
}

/// What is answered.
pub(crate) enum Answer {
    /// Status, type and body.
    Whole(u16, &'static str, String),
    /// The same, with one more header.
    WithHeader(&'static str, String, Box<Answer>),
    /// The answer that comes; none, if nobody gives one.
    Later(oneshot::Receiver<Answer>),
    /// Each text is sent as it comes, until there are no more.
    Stream(mpsc::UnboundedReceiver<String>),
}

impl Answer {
    pub(crate) fn json(body: impl Into<String>) -> Self {
        Answer::Whole(200, "application/json", body.into())
    }

    pub(crate) fn xml(body: impl Into<String>) -> Self {
        Answer::Whole(200, "text/xml;charset=UTF-8", body.into())
    }

    pub(crate) fn with_header(self, name: &'static str, value: impl Into<String>) -> Self {
        Answer::WithHeader(name, value.into(), Box::new(self))
    }

    pub(crate) fn status(status: u16) -> Self {
        Answer::Whole(status, "text/plain", format!("status {status}\n"))
    }
}

type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

/// Listens until it is dropped.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Api {
    pub(crate) async fn start(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (handler, log): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&handler), Arc::clone(&log)));
            }
        });
        Api {
            address,
            asked,
            task,
        }
    }

    /// The same on a Unix socket, which has no address.
    pub(crate) fn start_unix(
        socket: &std::path::Path,
        handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (handler, log): (Arc<Handler>, _) = (Arc::new(handler), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&handler), Arc::clone(&log)));
            }
        });
        Api {
            address: SocketAddr::from(([0; 4], 0)),
            asked,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns what was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    handler: Arc<Handler>,
    log: Arc<Mutex<Vec<Asked>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await.unwrap();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
    }
    let target = first.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length = headers.get("content-length").map(String::as_str);
    let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    let asked = Asked {
        method: first.split(' ').next().unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    };
    log.lock().push(asked.clone());
    let mut answer = handler(&asked);
    let mut more = String::new();
    loop {
        answer = match answer {
            Answer::WithHeader(name, value, inner) => {
                more += &format!("{name}: {value}\r\n");
                *inner
            }
            Answer::Later(answer) => {
                let mut byte = [0];
                tokio::select! {
                    answer = answer => match answer {
                        Ok(answer) => answer,
                        Err(_) => return,
                    },
                    _ = stream.read(&mut byte) => return,
                }
            }
            _ => break,
        }
    }
    match answer {
        Answer::WithHeader(..) | Answer::Later(_) => unreachable!("they are taken off above"),
        Answer::Whole(status, kind, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
        Answer::Stream(mut pieces) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            loop {
                let mut byte = [0];
                tokio::select! {
                    piece = pieces.recv() => {
                        let Some(piece) = piece else { break };
                        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                        if stream.write_all(chunk.as_bytes()).await.is_err() {
                            return;
                        }
                        let _ = stream.flush().await;
                    }
                    read = stream.read(&mut byte) => if read.unwrap_or(0) == 0 { return },
                }
            }
            let _ = stream.write_all(b"0\r\n\r\n").await;
        }
    }
    let _ = stream.flush().await;
}

/// Waits until `is_so`, at most ten seconds.
#[track_caller]
pub(crate) fn eventually(is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        for _ in 0..1_000 {
            if is_so() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("it did not come to pass: {place}");
    }
}

/// Returns the labels of every target, those of its group included, as text: `a="1" b="2"`, addresses first.
pub(crate) fn printed<'g>(groups: impl IntoIterator<Item = &'g super::TargetGroup>) -> Vec<String> {
    let mut lines = Vec::new();
    for group in groups {
        for target in &group.targets {
            let mut labels = group.labels.clone();
            labels.extend(target.clone());
            let address = labels.remove(crate::target::ADDRESS).unwrap_or_default();
            let pairs = labels.iter().map(|(name, value)| {
                let name = name.strip_prefix("__meta_").unwrap_or(name);
                format!(" {name}={value:?}")
            });
            lines.push(address + &pairs.collect::<String>());
        }
    }
    lines
}
