//! HTTP/1.1 by hand, both sides, just enough for tests: bodies of known length, chunked answers, kept connections.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long one read or write of a request may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// In the order that they came, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Returns the value of a header, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Gets `http://host:port/path`; redirects are answers.
pub(crate) fn get(url: &str) -> Result<Reply, String> {
    send("GET", url)
}

/// Posts nothing to `http://host:port/path`.
pub(crate) fn post(url: &str) -> Result<Reply, String> {
    send("POST", url)
}

fn send(method: &str, url: &str) -> Result<Reply, String> {
    exchange(method, url).map_err(|error| format!("{method} {url}: {error}"))
}

fn exchange(method: &str, url: &str) -> io::Result<Reply> {
    let rest = url.strip_prefix("http://").ok_or_else(|| invalid(url))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let (first, headers) = head(&mut reader)?.ok_or_else(|| invalid("no answer"))?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = match header(&headers, "transfer-encoding") {
        Some("chunked") => chunked(&mut reader)?,
        _ => sized(&mut reader, &headers)?,
    };
    Ok(Reply {
        status: status.ok_or_else(|| invalid(&first))?,
        headers,
        body,
    })
}

/// A connection that is kept from one request to the next.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Connects to `host:port`.
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// Posts `body`; `headers` are whole lines, each with its `\r\n`. The answer must be received before the next one.
    pub(crate) fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        let stream = self.reader.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat())
    }

    /// Receives the answer to what was posted.
    pub(crate) fn receive(&mut self) -> io::Result<Reply> {
        let (first, headers) = head(&mut self.reader)?.ok_or_else(|| invalid("no answer"))?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let body = match header(&headers, "transfer-encoding") {
            Some("chunked") => chunked(&mut self.reader)?,
            _ if status == Some(204) => Vec::new(),
            _ => sized(&mut self.reader, &headers)?,
        };
        Ok(Reply {
            status: status.ok_or_else(|| invalid(&first))?,
            headers,
            body,
        })
    }
}

/// Returns `text` for use as a query parameter.
pub(crate) fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}

/// The start line and the headers of a message.
type Head = (String, Vec<(String, String)>);

/// Reads a head; `None` if the connection ends before it.
fn head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some((first.trim_end().to_owned(), headers)));
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(candidate, _)| candidate == name);
    found.map(|(_, value)| value.as_str())
}

fn sized(reader: &mut impl Read, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match header(headers, "content-length") {
        None => reader.read_to_end(&mut body)?,
        Some(length) => {
            let length = length.parse().map_err(|_| invalid(length))?;
            reader.take(length).read_to_end(&mut body)?
        }
    };
    Ok(body)
}

fn chunked(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = u64::from_str_radix(size.trim_end(), 16).map_err(|_| invalid(&size))?;
        reader.take(size).read_to_end(&mut body)?;
        reader.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {what:?}"))
}

/// A request that a [`Server`] got.
pub(crate) struct Request {
    pub(crate) path: String,
    /// Behind the `?`, still escaped; empty if there is none.
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
}

/// What a [`Server`] answers.
pub(crate) enum Response {
    /// A whole answer of this content type.
    Body(u16, &'static str, Arc<[u8]>),
    /// This piece, again and again each millisecond, until the other side has had enough.
    Endless(&'static [u8]),
    /// The beginning of a head, and then a byte of it now and then, without an end.
    Drip,
    /// Go there instead.
    Redirect(String),
    /// Nothing for this long, and then the end of the connection.
    Silence(Duration),
}

impl Response {
    /// Returns a 200 in the text format.
    pub(crate) fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::Body(200, "text/plain; version=0.0.4", Arc::from(body.into()))
    }
}

/// A server with a thread per connection; it stops, and refuses connections, when it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a free port of loopback.
    pub(crate) fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), handler)
    }

    /// Serves on `address`.
    pub(crate) fn start_at(
        address: SocketAddr,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the test's port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        let handler = Arc::new(handler);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if seen.load(Ordering::SeqCst) {
                    return;
                }
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                // An error here is the other side's going away.
                thread::spawn(move || {
                    let _ = serve(&stream, &*handler, &seen);
                });
            }
        });
        Self {
            address,
            stopped,
            accepting: Some(accepting),
        }
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which takes the listener with it.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Answers the requests of one connection.
fn serve(
    stream: &TcpStream,
    handler: &(impl Fn(&Request) -> Response + ?Sized),
    stopped: &AtomicBool,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some((first, headers)) = head(&mut reader)? {
        let length = header(&headers, "content-length").and_then(|text| text.parse().ok());
        let mut body = Vec::new();
        (&mut reader)
            .take(length.unwrap_or(0))
            .read_to_end(&mut body)?;
        if stopped.load(Ordering::SeqCst) {
            return Ok(());
        }
        let target = first.split(' ').nth(1).unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = Request {
            path: path.to_owned(),
            query: query.to_owned(),
            body,
        };
        answer(stream, &handler(&request), stopped)?;
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, response: &Response, stopped: &AtomicBool) -> io::Result<()> {
    match response {
        Response::Body(status, content_type, body) => {
            let head = format!(
                "HTTP/1.1 {status} Test\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)
        }
        Response::Endless(piece) => {
            stream.write_all(
                b"HTTP/1.1 200 Test\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n",
            )?;
            while !stopped.load(Ordering::SeqCst) {
                stream.write_all(piece)?;
                thread::sleep(Duration::from_millis(1));
            }
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Response::Drip => {
            stream.write_all(b"HTTP/1.1 200 Test\r\nX-Slow: ")?;
            while !stopped.load(Ordering::SeqCst) {
                stream.write_all(b"x")?;
                thread::sleep(Duration::from_millis(50));
            }
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        Response::Redirect(location) => {
            let head =
                format!("HTTP/1.1 302 Test\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes())
        }
        Response::Silence(time) => {
            thread::sleep(*time);
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }
}
