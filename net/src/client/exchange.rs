//! One request over one HTTP/1.1 connection: the request goes out, the response is read right into the caller's buffer.
//!
//! Source: [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112). Heads are parsed by `httparse`. The buffer is the caller's
//! so that a connection that waits for its next scrape holds nothing.

use std::io;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Response;
use super::low_water::{LowWater, OverTcp, PATIENCE};

/// How long the head of a response, or what follows its last chunk, may be, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How many headers a response may have.
const HEADERS_MAX: usize = 100;
/// How many interim responses (status 1xx) may come before the one that counts.
const INTERIM_MAX: usize = 10;
/// How long a chunk's size line may be, in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 1_024;
/// The least room that is made for a read, and the most that is made on a server's word alone.
const READ_BYTES: (usize, usize) = (16 * 1024, 1024 * 1024);

/// Why there is no response.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// There is no connection; why, on one line.
    NotConnected(String),
    /// The connection was closed before anything of a response came: on one that was used before, the request can be sent
    /// again elsewhere.
    Unanswered(Option<io::Error>),
    /// The connection broke.
    Broken(io::Error),
    /// It is not HTTP.
    Malformed(&'static str),
    /// The body is longer than allowed.
    TooLong,
}

impl ExchangeError {
    /// Returns what happened, on one line, in Go's words where there are some.
    pub(super) fn reason(&self) -> String {
        match self {
            ExchangeError::Unanswered(None) => "EOF".to_owned(),
            ExchangeError::Unanswered(Some(error)) | ExchangeError::Broken(error) => {
                super::innermost(error)
            }
            ExchangeError::NotConnected(reason) => reason.clone(),
            ExchangeError::Malformed(what) => (*what).to_owned(),
            ExchangeError::TooLong => "body size limit exceeded".to_owned(),
        }
    }
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyEnd {
    After(usize),
    Chunked,
    WithConnection,
}

/// Bytes both ways.
pub(super) trait Wire: AsyncRead + AsyncWrite + OverTcp + Unpin {}

impl<S: AsyncRead + AsyncWrite + OverTcp + Unpin + ?Sized> Wire for S {}

/// The bytes of one response: `body[start..]` is what came and is not used up.
struct Incoming<'a, S> {
    stream: &'a mut S,
    bytes: &'a mut Vec<u8>,
    low_water: &'a mut LowWater,
    /// How many bytes came so far.
    received: usize,
}

impl<S: Wire> Incoming<'_, S> {
    /// Reads what there is, with room for at least `more` bytes. Returns how many came; 0 at the end.
    async fn read(&mut self, more: usize) -> Result<usize, ExchangeError> {
        let (least, most) = READ_BYTES;
        let room = more.clamp(least, most);
        if self.bytes.capacity() - self.bytes.len() < room.min(least) {
            self.bytes.reserve(room);
        }
        if self.low_water.is_raised() && self.received == 0 {
            let most = tokio::time::timeout(PATIENCE, self.stream.read_buf(self.bytes));
            if let Ok(read) = most.await {
                return self.came(read);
            }
            self.low_water.missed(self.stream.tcp());
        }
        self.low_water.lower(self.stream.tcp());
        let read = self.stream.read_buf(self.bytes).await;
        self.came(read)
    }

    fn came(&mut self, read: io::Result<usize>) -> Result<usize, ExchangeError> {
        let count = read.map_err(ExchangeError::Broken)?;
        self.received += count;
        Ok(count)
    }

    /// The same, where the end would be too early.
    async fn read_more(&mut self, more: usize) -> Result<(), ExchangeError> {
        match self.read(more).await? {
            0 => Err(ExchangeError::Malformed("unexpected EOF")),
            _ => Ok(()),
        }
    }
}

/// A request as it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// What to send and to whom.
    pub(super) url: &'a Uri,
    /// Its headers; `host` and `content-length` are added.
    pub(super) headers: &'a HeaderMap,
    /// What to post; `None` is a GET.
    pub(super) post: Option<&'a [u8]>,
    /// Further headers, for a proxy that the whole URL is sent to; `None`: the request goes to the host itself.
    pub(super) for_proxy: Option<&'a HeaderMap>,
}

/// Sends a message and appends the response to `body`, head and all, with a body of at most `bytes_max` bytes. Returns what came
/// before the body and where that begins, and whether the connection can be used again.
///
/// * `low_water`: that of the connection.
///
/// # Errors
///
/// [`ExchangeError`]; the connection is of no more use then, and `body` may have anything after what it had.
pub(super) async fn send<S: Wire>(
    stream: &mut S,
    low_water: &mut LowWater,
    message: Message<'_>,
    body: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(Response, bool), ExchangeError> {
    let start = body.len();
    low_water.raise(stream.tcp());
    // The buffer is at hand, and nothing has come yet.
    write_request(body, message);
    let sent = async {
        stream.write_all(&body[start..]).await?;
        stream.flush().await
    };
    sent.await
        .map_err(|error| ExchangeError::Unanswered(Some(error)))?;
    body.truncate(start);
    let mut incoming = Incoming {
        stream,
        bytes: body,
        low_water,
        received: 0,
    };
    let (response, version) = read_head(&mut incoming, start).await?;
    let start = response.body_at;
    let end = body_end(&response)?;
    let is_whole = match end {
        BodyEnd::After(bytes) => read_length(&mut incoming, start, bytes, bytes_max).await?,
        BodyEnd::Chunked => read_chunks(&mut incoming, start, bytes_max).await?,
        BodyEnd::WithConnection => read_to_end(&mut incoming, start, bytes_max).await?,
    };
    incoming.low_water.received(incoming.received);
    let is_reusable = is_whole && stays_open(version, &response.headers);
    Ok((response, is_reusable))
}

fn write_request(out: &mut Vec<u8>, message: Message<'_>) {
    let Message { url, headers, .. } = message;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    out.extend_from_slice(match message.post {
        Some(_) => b"POST ",
        None => b"GET ",
    });
    let authority = url.authority().map_or("", |authority| authority.as_str());
    // Credentials in a URL are no part of the host.
    let host = authority.rsplit('@').next().unwrap_or_default();
    if message.for_proxy.is_some() {
        out.extend_from_slice(b"http://");
        out.extend_from_slice(host.as_bytes());
    }
    if !path.starts_with('/') {
        out.push(b'/');
    }
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !headers.contains_key(http::header::HOST) {
        out.extend_from_slice(b"host: ");
        out.extend_from_slice(host.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    for (name, value) in headers
        .iter()
        .chain(message.for_proxy.into_iter().flatten())
    {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(posted) = message.post {
        out.extend_from_slice(format!("content-length: {}\r\n", posted.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(message.post.unwrap_or_default());
}

/// Reads the head of the response that counts, which is in the bytes from `start` on.
async fn read_head<S: Wire>(
    incoming: &mut Incoming<'_, S>,
    start: usize,
) -> Result<(Response, Version), ExchangeError> {
    let mut start = start;
    for _ in 0..=INTERIM_MAX {
        let (response, version) = loop {
            if let Some(head) = parse_head(incoming.bytes, start)? {
                break head;
            }
            let have = incoming.bytes.len() - start;
            if HEAD_BYTES_MAX < have {
                return Err(ExchangeError::Malformed("the response's head is too long"));
            }
            match incoming.read(0).await {
                Ok(0) if have == 0 => return Err(ExchangeError::Unanswered(None)),
                Ok(0) => return Err(ExchangeError::Malformed("unexpected EOF")),
                Ok(_) => (),
                Err(ExchangeError::Broken(error)) if have == 0 => {
                    return Err(ExchangeError::Unanswered(Some(error)));
                }
                Err(error) => return Err(error),
            }
        };
        start = response.body_at;
        if !response.status.is_informational() {
            return Ok((response, version));
        }
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            break;
        }
    }
    Err(ExchangeError::Malformed("unexpected interim response"))
}

/// Returns the head that begins at `start` of `bytes`; `None` when its end is missing.
fn parse_head(bytes: &[u8], start: usize) -> Result<Option<(Response, Version)>, ExchangeError> {
    let malformed = ExchangeError::Malformed("malformed HTTP response");
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let length = match head.parse(&bytes[start..]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(ExchangeError::Malformed(
                "the response has too many headers",
            ));
        }
        Err(_) => return Err(malformed),
    };
    let status = head.code.and_then(|code| StatusCode::from_u16(code).ok());
    let version = match head.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut headers = HeaderMap::with_capacity(head.headers.len());
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(field.value)) {
            headers.append(name, value);
        }
    }
    let status = status.ok_or(malformed)?;
    let response = Response {
        status,
        headers,
        body_at: start + length,
    };
    Ok(Some((response, version)))
}

/// Returns where the body ends, as RFC 9112 section 6.3 says.
fn body_end(response: &Response) -> Result<BodyEnd, ExchangeError> {
    if matches!(response.status.as_u16(), 204 | 304) {
        return Ok(BodyEnd::After(0));
    }
    let codings = response.headers.get_all(TRANSFER_ENCODING);
    if let Some(last) = codings.iter().next_back() {
        let mut names = last.to_str().unwrap_or_default().split(',');
        let last = names.next_back().unwrap_or_default().trim();
        let is_only = names.next().is_none() && codings.iter().count() == 1;
        return match last.eq_ignore_ascii_case("chunked") && is_only {
            true => Ok(BodyEnd::Chunked),
            false => Err(ExchangeError::Malformed("unsupported transfer encoding")),
        };
    }
    let mut length = None;
    for value in response.headers.get_all(CONTENT_LENGTH) {
        let text = value.to_str().unwrap_or_default();
        for text in text.split(',').map(str::trim) {
            // Digits only: Rust takes a sign as well.
            let digits = Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let parsed = digits.and_then(|text| text.parse::<usize>().ok());
            match (parsed, length) {
                (Some(parsed), None) => length = Some(parsed),
                (Some(parsed), Some(before)) if parsed == before => (),
                _ => return Err(ExchangeError::Malformed("bad Content-Length")),
            }
        }
    }
    Ok(length.map_or(BodyEnd::WithConnection, BodyEnd::After))
}

/// Returns whether the server leaves the connection open.
fn stays_open(version: Version, headers: &HeaderMap) -> bool {
    let says = |word: &str| {
        let values = headers.get_all(CONNECTION).into_iter();
        let mut words = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
        words.any(|w| w.trim().eq_ignore_ascii_case(word))
    };
    !says("close") && (version == Version::HTTP_11 || says("keep-alive"))
}

/// Reads a body of `length` bytes. Returns whether nothing came after it.
async fn read_length<S: Wire>(
    incoming: &mut Incoming<'_, S>,
    start: usize,
    length: usize,
    bytes_max: usize,
) -> Result<bool, ExchangeError> {
    if bytes_max < length {
        return Err(ExchangeError::TooLong);
    }
    loop {
        let have = incoming.bytes.len() - start;
        if length <= have {
            incoming.bytes.truncate(start + length);
            return Ok(length == have);
        }
        incoming.read_more(length - have).await?;
    }
}

async fn read_to_end<S: Wire>(
    incoming: &mut Incoming<'_, S>,
    start: usize,
    bytes_max: usize,
) -> Result<bool, ExchangeError> {
    loop {
        if bytes_max < incoming.bytes.len() - start {
            return Err(ExchangeError::TooLong);
        }
        // Peers that do without the closing of TLS end like this.
        let ended = match incoming.read(0).await {
            Err(ExchangeError::Broken(error)) => error.kind() == io::ErrorKind::UnexpectedEof,
            read => read? == 0,
        };
        if ended {
            return Ok(false);
        }
    }
}

/// Reads a body in chunks and joins them in place. Returns whether nothing came after it.
async fn read_chunks<S: Wire>(
    incoming: &mut Incoming<'_, S>,
    start: usize,
    bytes_max: usize,
) -> Result<bool, ExchangeError> {
    // `bytes[start..end]` is joined, `bytes[at..]` is still to be read.
    let (mut end, mut at) = (start, start);
    loop {
        let size = loop {
            match httparse::parse_chunk_size(&incoming.bytes[at..]) {
                Ok(httparse::Status::Complete((line, size))) => {
                    at += line;
                    break size;
                }
                Ok(httparse::Status::Partial)
                    if incoming.bytes.len() - at <= CHUNK_LINE_BYTES_MAX =>
                {
                    incoming.read_more(0).await?;
                }
                _ => return Err(ExchangeError::Malformed("malformed chunked encoding")),
            }
        };
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).map_err(|_| ExchangeError::TooLong)?;
        if bytes_max - (end - start).min(bytes_max) < size {
            return Err(ExchangeError::TooLong);
        }
        let mut left = size;
        while left != 0 {
            if at == incoming.bytes.len() {
                // Nothing waits to be read: the rest comes right to where it belongs.
                incoming.bytes.truncate(end);
                at = end;
                incoming.read_more(left).await?;
            }
            let take = left.min(incoming.bytes.len() - at);
            if at != end {
                incoming.bytes.copy_within(at..at + take, end);
            }
            (at, end, left) = (at + take, end + take, left - take);
        }
        while incoming.bytes.len() - at < 2 {
            incoming.read_more(0).await?;
        }
        if incoming.bytes[at..at + 2] != *b"\r\n" {
            return Err(ExchangeError::Malformed("malformed chunked encoding"));
        }
        at += 2;
    }
    // Trailers, which nobody needs, up to an empty line.
    let trailers = at;
    loop {
        let rest = &incoming.bytes[at..];
        let Some(line) = rest.iter().position(|&b| b == b'\n') else {
            if HEAD_BYTES_MAX < incoming.bytes.len() - trailers {
                return Err(ExchangeError::Malformed("malformed chunked encoding"));
            }
            incoming.read_more(0).await?;
            continue;
        };
        at += line + 1;
        if matches!(&rest[..line], b"" | b"\r") {
            break;
        }
        if HEAD_BYTES_MAX < at - trailers {
            return Err(ExchangeError::Malformed("malformed chunked encoding"));
        }
    }
    let is_all = at == incoming.bytes.len();
    incoming.bytes.truncate(end);
    Ok(is_all)
}

#[cfg(test)]
mod tests;
