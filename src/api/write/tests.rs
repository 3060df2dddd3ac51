//! Requests as senders encode them, through the router to the database and back.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, header};
use model::storage::{Queryable as _, SampleColumns, SelectHints};
use tokio::sync::Semaphore;

use super::Version;
use crate::api::testing::{Api, NOW_MS, Options, body_of};

#[path = "../../../remote/tests/support/message.rs"]
#[expect(unreachable_pub, reason = "others use it too")]
mod message;

use message::{Message, custom_histogram, histogram, message, sample, series, version_2};

async fn send_with(api: &Api, headers: &[(header::HeaderName, &str)], body: Vec<u8>) -> Response {
    let mut request = api.request(Method::POST, "/api/v1/write", "");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    api.respond(request.body(Body::from(body)).unwrap()).await
}

const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

async fn send(api: &Api, content_type: &str, request: Message) -> Response {
    let body = snap::raw::Encoder::new().compress_vec(&request.0).unwrap();
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_ENCODING, "snappy"),
    ];
    send_with(api, &headers, body).await
}

async fn send_v1(api: &Api, series: impl IntoIterator<Item = Message>) -> Response {
    let request = series
        .into_iter()
        .fold(message(), |request, series| request.message(1, series));
    send(api, "application/x-protobuf", request).await
}

#[track_caller]
fn check(response: Response, status: u16, body: &str) {
    let found = response.status().as_u16();
    assert_eq!((found, body_of(response).as_str()), (status, body));
}

#[track_caller]
fn check_counts(response: &Response, counts: [u64; 3]) {
    let names = ["samples", "histograms", "exemplars"];
    for (name, count) in names.into_iter().zip(counts) {
        let header = format!("x-prometheus-remote-write-{name}-written");
        let expected = count.to_string();
        assert_eq!(
            response.headers()[header].to_str().unwrap(),
            expected,
            "{name}"
        );
    }
}

/// Returns labels and samples of the series that are called `name`.
fn stored(api: &Api, name: &str) -> Vec<(String, SampleColumns)> {
    let db = api.shared.state().unwrap().db.clone();
    let matcher = model::Matcher::new("__name__", model::MatchOp::Equal, name).unwrap();
    let querier = db.querier(0, i64::MAX).unwrap();
    let found = querier
        .select(&[matcher], &SelectHints::range(0, i64::MAX))
        .unwrap();
    let read = |index| {
        let mut columns = SampleColumns::default();
        found.read(index, 0, i64::MAX, &mut columns).unwrap();
        (found.labels(index).to_string(), columns)
    };
    (0..found.len()).map(read).collect()
}

#[tokio::test]
async fn version_1_with_everything() {
    let api = Api::new();
    let exemplar = message()
        .message(1, message().bytes(1, b"trace_id").bytes(2, b"x"))
        .double(2, 1.0)
        .signed(3, NOW_MS);
    let request = [
        // Unsorted, with an empty value, and a field between the labels.
        message()
            .message(1, message().bytes(1, b"job").bytes(2, b"j"))
            .message(2, sample(NOW_MS - 1, 1.5))
            .message(1, message().bytes(1, b"__name__").bytes(2, b"floats"))
            .message(1, message().bytes(1, b"gone").bytes(2, b""))
            .message(2, sample(NOW_MS, -2.5))
            .message(3, exemplar),
        series(&[("__name__", "histograms")])
            .message(4, histogram(NOW_MS - 1))
            .message(4, custom_histogram(NOW_MS)),
    ];
    check(send_v1(&api, request.clone()).await, 204, "");
    // Again, by keys now: what is older than the newest is refused, the newest changes nothing.
    check(send_v1(&api, request).await, 400, "out of order sample\n");
    let floats = stored(&api, "floats");
    assert_eq!(floats[0].0, r#"floats{job="j"}"#);
    assert_eq!(floats[0].1.timestamps, [NOW_MS - 1, NOW_MS]);
    assert_eq!(floats[0].1.floats, [1.5, -2.5]);
    let histograms = stored(&api, "histograms");
    let shown: Vec<String> = histograms[0]
        .1
        .histograms
        .iter()
        .map(|(_, histogram)| histogram.to_string())
        .collect();
    assert_eq!(histograms[0].1.timestamps, [NOW_MS - 1, NOW_MS]);
    assert_eq!(shown[1], "{count:3, sum:1.5, [-Inf,0.5]:1, (0.5,1]:2}");
    assert!(
        shown[0].starts_with("{count:4, sum:7.5, [-0.001,0.001]:1, "),
        "{}",
        shown[0]
    );
}

#[tokio::test]
async fn version_2_with_symbols_after_the_series() {
    let api = Api::new();
    for _ in 0..2 {
        let response = send(&api, V2, version_2(NOW_MS)).await;
        check_counts(&response, [1, 1, 1]);
        check(response, 204, "");
    }
    let found = stored(&api, "two");
    assert_eq!(found[0].0, r#"two{job="j"}"#);
    assert_eq!(found[0].1.floats, [1.0]);
    assert_eq!(stored(&api, "seconds")[0].1.histograms.len(), 1);
}

#[tokio::test]
async fn what_can_be_stored_is_stored() {
    let api = Api::new();
    let late = series(&[("__name__", "up"), ("instance", "a"), ("job", "x")]);
    let request = [
        late.clone().message(2, sample(1_000_000_000, 7.0)),
        series(&[("__name__", "new")]).message(2, sample(NOW_MS, 1.0)),
        late.message(2, sample(NOW_MS + 600_001, 7.0)),
    ];
    let far = "out of bounds: timestamp is too far in the future\n";
    check(send_v1(&api, request).await, 400, far);
    assert_eq!(stored(&api, "new")[0].1.floats, [1.0]);
    let symbols = ["", "__name__", "new", "newer"];
    let request = message()
        .message(
            5,
            message()
                .packed(1, [1, 2])
                .message(2, sample(NOW_MS - 1, 2.0)),
        )
        .message(
            5,
            message().packed(1, [1, 2]).message(2, sample(NOW_MS, 3.0)),
        )
        .message(
            5,
            message().packed(1, [1, 3]).message(2, sample(NOW_MS, 4.0)),
        )
        .message(5, message().packed(1, [1]).message(2, sample(NOW_MS, 4.0)))
        .message(
            5,
            message().packed(1, [1, 9]).message(2, sample(NOW_MS, 4.0)),
        )
        .message(
            5,
            message().packed(1, [0, 3]).message(2, sample(NOW_MS, 4.0)),
        );
    let request = symbols.iter().fold(request, |request, symbol| {
        request.bytes(4, symbol.as_bytes())
    });
    let response = send(&api, V2, request).await;
    check_counts(&response, [1, 0, 0]);
    let expected = r#"parsing labels: invalid labelRefs length 1
parsing labels: labelRefs 1 (name) or 9 (value) outside of symbols table (size 4)
invalid metric name or labels, got {="newer"}
out of order sample for series {__name__="new"}
duplicate sample for timestamp for series {__name__="new"}
"#;
    check(response, 400, expected);
    assert_eq!(stored(&api, "newer")[0].1.floats, [4.0]);
}

#[tokio::test]
async fn labels_that_are_none() {
    let api = Api::new();
    let one = |labels: &[(&str, &str)]| [series(labels).message(2, sample(NOW_MS, 1.0))];
    let no_name = "invalid metric name or labels, got {job=\"x\"}\n";
    check(send_v1(&api, one(&[("job", "x")])).await, 400, no_name);
    let twice =
        "invalid labels for series, labels {__name__=\"m\", a=\"1\", a=\"\"}, duplicated label a\n";
    let labels = [("__name__", "m"), ("a", "1"), ("a", "")];
    check(send_v1(&api, one(&labels)).await, 400, twice);
    let invalid = series(&[("__name__", "m")])
        .message(1, message().bytes(1, b"a").bytes(2, b"\xff"))
        .message(2, sample(NOW_MS, 1.0));
    let text = "invalid metric name or labels, got {__name__=\"m\", a=\"\u{fffd}\"}\n";
    check(send_v1(&api, [invalid]).await, 400, text);
    assert_eq!(stored(&api, "m"), []);
}

#[tokio::test]
async fn invalid_histograms_are_refused_for_good() {
    let api = Api::new();
    let broken = message().number(1, 9).zigzag(4, 0).signed(15, NOW_MS);
    let request = [series(&[("__name__", "h")]).message(4, broken)];
    let text = "invalid histogram: 0 observations found in buckets, but the count field is 9\n";
    check(send_v1(&api, request).await, 400, text);
    let fine = histogram(NOW_MS).zigzag(4, 9);
    let request = [series(&[("__name__", "h")]).message(4, fine)];
    check(send_v1(&api, request).await, 204, "");
}

#[tokio::test]
async fn series_that_were_dropped_are_made_again() {
    let api = Api::new();
    // The series is there once more with nothing to store.
    let request = |t| {
        let back = series(&[("__name__", "back")]);
        [back.clone().message(2, sample(t, 1.0)), back]
    };
    check(send_v1(&api, request(NOW_MS)).await, 204, "");
    let db = api.shared.state().unwrap().db.clone();
    db.head().truncate(NOW_MS + 1).unwrap();
    check(send_v1(&api, request(NOW_MS + 2)).await, 204, "");
    assert_eq!(stored(&api, "back")[0].1.timestamps, [NOW_MS + 2]);
}

#[tokio::test]
async fn negotiation() {
    let api = Api::new();
    let with = async |content_type: &str, encoding: &str| {
        let mut headers = Vec::new();
        if !content_type.is_empty() {
            headers.push((header::CONTENT_TYPE, content_type));
        }
        if !encoding.is_empty() {
            headers.push((header::CONTENT_ENCODING, encoding));
        }
        send_with(&api, &headers, vec![0]).await
    };
    check(with("", "").await, 204, "");
    check(with("application/x-protobuf", "Snappy").await, 204, "");
    let spaced = "application/x-protobuf; proto=io.prometheus.write.v2.Request";
    check_counts(&with(spaced, "").await, [0, 0, 0]);
    check(
        with("text/plain", "").await,
        415,
        "expected application/x-protobuf as the first (media) part, got text/plain content-type\n",
    );
    check(
        with("application/x-protobuf;proto=foo", "").await,
        415,
        "got application/x-protobuf;proto=foo content type; unknown remote write protobuf message foo, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request\n",
    );
    check(
        with("application/x-protobuf;proto", "").await,
        415,
        "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got proto in application/x-protobuf;proto content-type\n",
    );
    check(
        with("", "gzip").await,
        415,
        "gzip encoding (compression) is not accepted by this server; only snappy is acceptable\n",
    );
    let only_v2 = super::negotiate(&http::HeaderMap::new(), &[Version::V2]);
    let text = "prometheus.WriteRequest protobuf message is not accepted by this server; accepted [io.prometheus.write.v2.Request]";
    assert_eq!(only_v2, Err(text.to_owned()));
}

#[tokio::test]
async fn off_unless_asked_for() {
    let api = Api::with(Options {
        write_off: true,
        ..Options::default()
    });
    let text =
        "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n";
    check(send_v1(&api, []).await, 404, text);
}

#[tokio::test]
async fn malformed_and_large_bodies() {
    let api = Api::new();
    let send = async |body: &[u8]| send_with(&api, &[], body.to_vec()).await;
    check(send(b"").await, 400, "snappy: corrupt input\n");
    check(send(b"abcdefg").await, 400, "snappy: corrupt input\n");
    check(send(b"\x03\x08\x0a\xff\xff").await, 400, "unexpected EOF\n");
    let limit = "snappy: decoded length 268435455 exceeds limit 33554432\n";
    check(send(b"\xff\xff\xff\x7f\x00").await, 400, limit);
    let length = (super::BODY_BYTES_MAX + 1).to_string();
    let announced = [(header::CONTENT_LENGTH, length.as_str())];
    let response = send_with(&api, &announced, vec![0]).await;
    assert_eq!(response.status(), 413);
    let get = api.send(Method::GET, "/api/v1/write", "").await;
    check(get, 405, "Method Not Allowed\n");
}

/// A string is in a request of version 2.0 once, and may be named by many labels of many series.
#[tokio::test]
async fn long_strings_that_are_named_often() {
    let api = Api::new();
    let request = async |length: usize, series: Vec<Message>| {
        let long = "x".repeat(length);
        let symbols = ["", "__name__", "m", &long, "n"].map(str::to_owned);
        let numbers = (0..1_000).map(|number| number.to_string());
        let request = symbols
            .into_iter()
            .chain(numbers)
            .fold(message(), |request, symbol| {
                request.bytes(4, symbol.as_bytes())
            });
        let sample = sample(NOW_MS, 1.0);
        let request = series.into_iter().fold(request, |request, series| {
            request.message(5, series.message(2, sample.clone()))
        });
        send(&api, V2, request).await
    };
    let labels = |refs: &[u64]| message().packed(1, refs.iter().copied());

    let too_long = "parsing labels: more than 1048576 bytes of labels\n";
    let often = labels(&[3; 1_000_000]);
    check(request(1 << 20, vec![often]).await, 400, too_long);

    let response = request(500_000, vec![labels(&[3, 3])]).await;
    assert_eq!(response.status(), 400);
    assert!(body_of(response).len() < 20_000);

    // Some hundred are new at a time.
    let new = |number: u64| labels(&[1, 2, 3, 3, 5 + number, 4]);
    let response = request(300_000, (0..1_000).map(new).collect()).await;
    assert_eq!(response.status(), 400);
    let text = "too many bytes of labels of new series in one request\n";
    assert!(body_of(response).starts_with(text));
    let found = stored(&api, "m").len();
    assert!((50..200).contains(&found), "{found}");
}

/// A sender that has announced much and sent nothing keeps nobody out; one for whom there is no room tries again.
#[tokio::test]
async fn bodies_take_room_as_they_arrive() {
    let room = Arc::new(Semaphore::new(10));
    let slow = tokio::spawn({
        let room = Arc::clone(&room);
        let nothing = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        async move { super::read_body(Body::from_stream(nothing), &room).await }
    });
    tokio::task::yield_now().await;
    let (body, held) = super::read_body(Body::from("12345678"), &room)
        .await
        .unwrap();
    assert_eq!(body, b"12345678");
    let refused = super::read_body(Body::from("123"), &room)
        .await
        .unwrap_err();
    assert_eq!(refused.status(), 503);
    drop(held);
    let (body, _) = super::read_body(Body::from("123"), &room).await.unwrap();
    assert_eq!(body, b"123");
    assert_eq!(room.available_permits(), 10);
    slow.abort();
}

/// Two bytes on the wire would be some hundred in memory.
#[tokio::test]
async fn one_series_has_only_so_many_histograms() {
    let api = Api::new();
    let mut series = series(&[("__name__", "h")]);
    for _ in 0..200_000 {
        series = series.bytes(4, b"");
    }
    let response = send_v1(&api, [series]).await;
    assert_eq!(response.status(), 400);
}
