//! Requests as exporters send them, through the router to the database.

use std::io::Write as _;

use axum::body::Body;
use http::{HeaderName, Method};

use super::*;
use crate::api::testing::{Api, NOW_MS, Options as ApiOptions, body_of};
use model::protobuf::put_varint;

/// One gauge with the value 1.5 at the time of the tests; `temporality` makes it a sum of that.
fn request(name: &str, temporality: Option<u8>, t: i64) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        put_varint(&mut out, bytes.len() as u64);
        out.extend_from_slice(bytes);
        out
    };
    let mut point = vec![3 << 3 | 1];
    point.extend((t.cast_unsigned() * 1_000_000).to_le_bytes());
    point.push(4 << 3 | 1);
    point.extend(1.5f64.to_le_bytes());
    let mut data = field(1, &point);
    let number = match temporality {
        Some(temporality) => {
            data.extend([2 << 3, temporality, 3 << 3, 1]);
            7
        }
        None => 5,
    };
    let metric = [field(1, name.as_bytes()), field(number, &data)].concat();
    field(1, &field(2, &field(2, &metric)))
}

async fn send(api: &Api, headers: &[(HeaderName, &str)], body: Vec<u8>) -> Response {
    let mut request = api.request(Method::POST, "/api/v1/otlp/v1/metrics", "");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    api.respond(request.body(Body::from(body)).unwrap()).await
}

const TYPE: (HeaderName, &str) = (header::CONTENT_TYPE, "application/x-protobuf");
const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json; charset=utf-8");
const GZIP: (HeaderName, &str) = (header::CONTENT_ENCODING, "gzip");

#[track_caller]
fn check(response: Response, status: u16, body: &str) {
    let found = response.status().as_u16();
    assert_eq!((found, body_of(response).as_str()), (status, body));
}

async fn value(api: &Api, name: &str) -> String {
    let path = format!("/api/v1/query?query={name}&time={}", NOW_MS / 1_000);
    let request = api.request(Method::GET, &path, "");
    body_of(api.respond(request.body(Body::empty()).unwrap()).await)
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_was_sent_can_be_queried() {
    let api = Api::new();
    check(
        send(&api, &[TYPE], request("a.b", None, NOW_MS)).await,
        200,
        "",
    );
    assert!(value(&api, "a_b").await.contains("\"1.5\""));
    let body = gzipped(&request("zipped", Some(2), NOW_MS));
    check(send(&api, &[TYPE, GZIP], body).await, 200, "");
    assert!(value(&api, "zipped_total").await.contains("\"1.5\""));
}

#[tokio::test]
async fn what_is_left_out_is_told() {
    let api = Api::new();
    let response = send(&api, &[TYPE], request("d", Some(1), NOW_MS)).await;
    let reason = "invalid temporality and type combination for metric \"d\"";
    let length = u8::try_from(reason.len()).unwrap();
    let head = String::from_utf8(vec![0x0a, length + 4, 0x08, 1, 0x12, length]).unwrap();
    check(response, 200, &format!("{head}{reason}"));
}

/// A sum of that temporality in JSON.
fn json(name: &str, temporality: u8) -> Vec<u8> {
    let t = NOW_MS * 1_000_000;
    format!(
        r#"{{"resourceMetrics": [{{
            "resource": {{"attributes": [{{"key": "service.name", "value": {{"stringValue": "shop"}}}}]}},
            "scopeMetrics": [{{"metrics": [{{"name": "{name}", "sum": {{
                "aggregationTemporality": {temporality}, "isMonotonic": true,
                "dataPoints": [{{"timeUnixNano": "{t}", "asInt": "17"}}]
            }}}}]}}]
        }}]}}"#
    )
    .into_bytes()
}

#[tokio::test]
async fn json_is_taken_and_answered_in_json() {
    let api = Api::new();
    let response = send(&api, &[JSON], json("j", 2)).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    check(response, 200, "{}");
    let found = value(&api, "j_total").await;
    assert!(
        found.contains("\"17\"") && found.contains("\"shop\""),
        "{found}"
    );
    let response = send(&api, &[JSON, GZIP], gzipped(&json("z", 2))).await;
    check(response, 200, "{}");
    assert!(value(&api, "z_total").await.contains("\"17\""));
    let told = r#"{"partialSuccess":{"errorMessage":"invalid temporality and type combination for metric \"d\"","rejectedDataPoints":"1"}}"#;
    check(send(&api, &[JSON], json("d", 1)).await, 200, told);
}

#[tokio::test]
async fn what_is_refused_is_told() {
    let api = Api::new();
    check(
        send(&api, &[TYPE], request("g", None, NOW_MS)).await,
        200,
        "",
    );
    let late = send(&api, &[TYPE], request("g", None, NOW_MS - 1_000)).await;
    check(late, 400, "out of order sample (metric \"g\")\n");
    let early = send(&api, &[TYPE], request("g", None, NOW_MS + 600_001)).await;
    assert_eq!(early.status(), 400);
}

#[tokio::test]
async fn what_cannot_be_read() {
    let api = Api::new();
    check(
        send(&api, &[TYPE], vec![0x0a, 5, 1]).await,
        400,
        "unexpected EOF\n",
    );
    let grpc = (header::CONTENT_TYPE, "application/grpc");
    let text = "unsupported content type: application/grpc, supported: [application/json, application/x-protobuf]\n";
    check(send(&api, &[grpc], Vec::new()).await, 415, text);
    let response = send(&api, &[JSON], b"{\"\"".to_vec()).await;
    assert_eq!(response.status(), 400);
    assert!(body_of(response).starts_with("read the request as JSON: EOF while parsing"));
    let zstd = (header::CONTENT_ENCODING, "zstd");
    let text = "unsupported compression: zstd. Only \"gzip\" or no compression supported\n";
    check(send(&api, &[TYPE, zstd], Vec::new()).await, 415, text);
    assert_eq!(send(&api, &[TYPE, GZIP], vec![1, 2, 3]).await.status(), 400);
    let bomb = gzipped(&vec![0; DECODED_BYTES_MAX + 1]);
    let text = "the request body has more than 33554432 bytes when it is decompressed\n";
    check(send(&api, &[TYPE, GZIP], bomb).await, 400, text);
}

#[tokio::test]
async fn it_must_be_enabled() {
    let api = Api::with(ApiOptions {
        write_off: true,
        ..ApiOptions::default()
    });
    let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
    check(send(&api, &[TYPE], Vec::new()).await, 404, text);
}
