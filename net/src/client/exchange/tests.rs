use super::*;
use tokio::net::TcpStream;

impl OverTcp for tokio::io::DuplexStream {
    fn tcp(&self) -> Option<&TcpStream> {
        None
    }
}

/// What a GET of `http://host/x?y=1` brings when the server sends `answer` in pieces of `piece` bytes and then closes or
/// not, with `bytes_max` of body. The body comes after what the buffer had.
async fn exchange(
    answer: &[u8],
    piece: usize,
    closes: bool,
    bytes_max: usize,
) -> Result<(u16, Vec<u8>, bool), String> {
    let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
    let answer = answer.to_vec();
    let serving = tokio::spawn(async move {
        let mut request = vec![0; 1_024];
        let count = theirs.read(&mut request).await.unwrap_or(0);
        request.truncate(count);
        for piece in answer.chunks(piece) {
            theirs.write_all(piece).await.expect("the buffer is large");
            tokio::task::yield_now().await;
        }
        if closes {
            drop(theirs);
            return (request, None);
        }
        (request, Some(theirs))
    });
    let url = Uri::from_static("http://host:1/x?y=1");
    let mut headers = HeaderMap::new();
    headers.insert("accept", HeaderValue::from_static("text/plain"));
    let mut body = b"before".to_vec();
    let message = Message {
        url: &url,
        headers: &headers,
        post: None,
        for_proxy: None,
    };
    let mut low_water = LowWater::NEW;
    let got = send(&mut ours, &mut low_water, message, &mut body, bytes_max).await;
    let (request, _held) = serving.await.expect("it does not panic");
    assert_eq!(
        String::from_utf8_lossy(&request),
        "GET /x?y=1 HTTP/1.1\r\nhost: host:1\r\naccept: text/plain\r\n\r\n"
    );
    match got {
        Ok((response, is_reusable)) => {
            assert!(body.starts_with(b"before"), "it is kept");
            let body = body.split_off(response.body_at);
            Ok((response.status.as_u16(), body, is_reusable))
        }
        Err(error) => Err(error.reason()),
    }
}

/// The same for pieces of all sizes up to the whole.
async fn all_ways(answer: &str, closes: bool) -> Result<(u16, Vec<u8>, bool), String> {
    let whole = exchange(answer.as_bytes(), answer.len().max(1), closes, 1_000).await;
    for piece in [1, 2, 3, 7, 31] {
        let split = exchange(answer.as_bytes(), piece, closes, 1_000).await;
        // Whether what comes too much was there already is a matter of time.
        let seen = |got: &Result<(u16, Vec<u8>, bool), String>| {
            got.clone().map(|(status, body, _)| (status, body))
        };
        assert_eq!(seen(&split), seen(&whole), "pieces of {piece}");
    }
    whole
}

fn body(status: u16, body: &str, is_reusable: bool) -> Result<(u16, Vec<u8>, bool), String> {
    Ok((status, body.as_bytes().to_vec(), is_reusable))
}

#[tokio::test]
async fn bodies_end_where_the_head_says() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n";
    assert_eq!(all_ways(length, false).await, body(200, "up 1\n", true));
    let empty = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(all_ways(empty, false).await, body(404, "", true));
    let none = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(all_ways(none, false).await, body(204, "", true));
    let closing = "HTTP/1.1 200 OK\r\n\r\nup 1\n";
    assert_eq!(all_ways(closing, true).await, body(200, "up 1\n", false));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nup \r\n2;name=value\r\n1\n\r\n0\r\n\r\n";
    assert_eq!(all_ways(chunked, false).await, body(200, "up 1\n", true));
    let trailers = "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n\
        A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(
        all_ways(trailers, false).await,
        body(200, "0123456789", true)
    );
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(all_ways(interim, false).await, body(200, "x", true));
}

#[tokio::test]
async fn connections_are_reused_only_when_both_sides_agree_where_the_body_ended() {
    let close = "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(all_ways(close, false).await, body(200, "x", false));
    let old = "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(all_ways(old, false).await, body(200, "x", false));
    let kept = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(all_ways(kept, false).await, body(200, "x", true));
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxyz";
    assert_eq!(all_ways(more, false).await, body(200, "x", false));
    let more = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1";
    assert_eq!(all_ways(more, false).await, body(200, "", false));
}

#[tokio::test]
async fn what_is_no_whole_response_is_an_error() {
    let cases = [
        ("", "EOF"),
        ("HTTP/1.1 200", "unexpected EOF"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "malformed HTTP response"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nup",
            "unexpected EOF",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
            "bad Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            "bad Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nx",
            "bad Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nx",
            "body size limit exceeded",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "unsupported transfer encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nup",
            "unexpected EOF",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nupX\n0\r\n\r\n",
            "malformed chunked encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "malformed chunked encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "body size limit exceeded",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "unexpected interim response",
        ),
    ];
    for (answer, error) in cases {
        assert_eq!(
            all_ways(answer, true).await,
            Err(error.to_owned()),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn what_a_server_may_send_has_bounds() {
    let too_long = || Err("body size limit exceeded".to_owned());
    for head in ["Content-Length: 11", "X: y"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n01234567890");
        assert_eq!(exchange(answer.as_bytes(), 3, true, 10).await, too_long());
        let fits = exchange(answer.as_bytes(), 3, true, 11).await;
        assert_eq!(fits.map(|(_, body, _)| body.len()), Ok(11));
    }
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n01234\r\n0\r\n\r\n";
    assert_eq!(exchange(chunked, 3, true, 10).await, too_long());
    let fits = exchange(chunked, 3, true, 11).await;
    assert_eq!(fits.map(|(_, body, _)| body), Ok(b"01234501234".to_vec()));
    let malformed = |what: &str| Err(what.to_owned());
    let long = "x".repeat(2 * HEAD_BYTES_MAX);
    let head = format!("HTTP/1.1 200 OK\r\nx: {long}");
    let got = exchange(head.as_bytes(), 1_000, false, 10).await;
    assert_eq!(got, malformed("the response's head is too long"));
    let many = "x: y\r\n".repeat(HEADERS_MAX + 1);
    let head = format!("HTTP/1.1 200 OK\r\n{many}\r\n");
    let got = exchange(head.as_bytes(), 1_000, false, 10).await;
    assert_eq!(got, malformed("the response has too many headers"));
    let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(INTERIM_MAX + 1);
    let got = exchange(interim.as_bytes(), 1_000, false, 10).await;
    assert_eq!(got, malformed("unexpected interim response"));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let line = format!("{chunked}1;{long}");
    let got = exchange(line.as_bytes(), 1_000, false, 10).await;
    assert_eq!(got, malformed("malformed chunked encoding"));
    let trailer = format!("{chunked}0\r\n{long}");
    let got = exchange(trailer.as_bytes(), 1_000, false, 10).await;
    assert_eq!(got, malformed("malformed chunked encoding"));
    let trailers = format!("{chunked}0\r\n{}", "x: y\r\n".repeat(HEAD_BYTES_MAX));
    let got = exchange(trailers.as_bytes(), 1_000, false, 10).await;
    assert_eq!(got, malformed("malformed chunked encoding"));
}
