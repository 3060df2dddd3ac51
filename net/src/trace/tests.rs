//! A collector of the tests' own, spoken to by both protocols.

use std::io::Read as _;
use std::net::SocketAddr;

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::protobuf::{Fields, Value};
use model::trace::{SpanContext, SpanKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// What a collector was sent.
#[derive(Clone, Debug)]
struct Received {
    path: String,
    headers: HeaderMap,
    message: Vec<u8>,
}

/// How a collector behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manners {
    Takes,
    Refuses,
    Hangs,
}

struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>;

async fn answer(
    request: Request<Incoming>,
    protocol: Protocol,
    manners: Manners,
    received: Arc<Mutex<Vec<Received>>>,
) -> Result<Response<Body>, hyper::Error> {
    if manners == Manners::Hangs {
        std::future::pending::<()>().await;
    }
    let (head, body) = request.into_parts();
    let mut message = body.collect().await?.to_bytes().to_vec();
    if protocol == Protocol::Grpc {
        let length = u32::from_be_bytes(message[1..5].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), message.len() - 5);
        let is_packed = head.headers.get("grpc-encoding").is_some();
        assert_eq!(message[0], u8::from(is_packed));
        message.drain(..5);
    }
    let names = ["grpc-encoding", "content-encoding"];
    if names.iter().any(|name| head.headers.contains_key(*name)) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&message[..])
            .read_to_end(&mut plain)
            .unwrap();
        message = plain;
    }
    received.lock().push(Received {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        message,
    });
    let response = match (protocol, manners) {
        (Protocol::Http, Manners::Takes) => Response::new(Full::default().boxed_unsync()),
        (Protocol::Http, _) => Response::builder()
            .status(503)
            .body(Full::from("too\nmuch").boxed_unsync())
            .unwrap(),
        (Protocol::Grpc, manners) => {
            let mut trailers = HeaderMap::new();
            let status = if manners == Manners::Takes { "0" } else { "14" };
            trailers.insert("grpc-status", status.parse().unwrap());
            trailers.insert("grpc-message", "too much".parse().unwrap());
            let frames = [
                Frame::data(Bytes::from_static(&[0; 5])),
                Frame::trailers(trailers),
            ];
            let frames = futures_of(frames);
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
    };
    Ok(response)
}

/// Returns a stream of what is there already.
fn futures_of(
    frames: [Frame<Bytes>; 2],
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> {
    futures_util::stream::iter(frames.map(Ok))
}

impl Collector {
    async fn start(protocol: Protocol, manners: Manners, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let log = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, tls) = (Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, protocol, manners, log).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, protocol, manners, log).await;
                            }
                        }
                    }
                });
            }
        });
        Collector { address, received }
    }

    fn options(&self, protocol: Protocol) -> TraceOptions {
        TraceOptions {
            protocol,
            endpoint: self.address.to_string(),
            sampling_fraction: 1.0,
            insecure: true,
            tls: TlsConfig::default(),
            base_dir: PathBuf::new(),
            headers: BTreeMap::from([("x-tenant".to_owned(), "me".to_owned())]),
            compresses: false,
            timeout: Duration::from_secs(10),
            service: "tested",
        }
    }

    fn names(&self) -> Vec<String> {
        let received = self.received.lock();
        let spans = received.iter().flat_map(|r| spans(&r.message));
        spans.map(|span| text(&span, 5)).collect()
    }
}

async fn serve<S>(stream: S, protocol: Protocol, manners: Manners, log: Arc<Mutex<Vec<Received>>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(request, protocol, manners, Arc::clone(&log)));
    let stream = TokioIo::new(stream);
    match protocol {
        Protocol::Http => drop(
            http1::Builder::new()
                .serve_connection(stream, service)
                .await,
        ),
        Protocol::Grpc => {
            let builder = http2::Builder::new(TokioExecutor::new());
            drop(builder.serve_connection(stream, service).await);
        }
    }
}

/// Returns the messages in a field.
fn inner(message: &[u8], field: u32) -> Vec<Vec<u8>> {
    let (mut fields, mut found) = (Fields::of(message), Vec::new());
    while let Some((number, value)) = fields.read().unwrap() {
        if let Value::Bytes(bytes) = value
            && number == field
        {
            found.push(bytes.to_vec());
        }
    }
    found
}

fn text(message: &[u8], field: u32) -> String {
    String::from_utf8(inner(message, field).concat()).unwrap()
}

fn spans(request: &[u8]) -> Vec<Vec<u8>> {
    let of_resources = inner(request, 1);
    let of_scopes = of_resources.iter().flat_map(|message| inner(message, 2));
    of_scopes.flat_map(|message| inner(&message, 2)).collect()
}

/// Makes a span below another and one that failed; returns the parent.
async fn trace(options: TraceOptions) -> (SpanContext, [f64; 3]) {
    let tracing = Tracing::new(&Registry::new());
    tracing.apply(Some(options));
    let mut above = tracing.tracer().begin("above", SpanKind::Server, None);
    above.set("http.status_code", 200);
    let context = above.context().unwrap();
    let mut below = tracing
        .tracer()
        .begin("below", SpanKind::Client, Some(context));
    below.fail("no");
    drop((below, above));
    tracing.stop().await;
    let counts = &tracing.counts;
    let counted = [&counts.sent, &counts.failed, &counts.dropped].map(Counter::value);
    (context, counted)
}

#[tokio::test]
async fn spans_arrive_by_both_protocols() {
    for (protocol, path, content_type) in [
        (Protocol::Http, "/v1/traces", "application/x-protobuf"),
        (
            Protocol::Grpc,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "application/grpc",
        ),
    ] {
        for compresses in [false, true] {
            let collector = Collector::start(protocol, Manners::Takes, None).await;
            let options = TraceOptions {
                compresses,
                ..collector.options(protocol)
            };
            let (context, counted) = trace(options).await;
            assert_eq!(counted, [2.0, 0.0, 0.0], "{protocol:?}");
            let received = collector.received.lock();
            let [one] = &received[..] else {
                panic!("{received:?}");
            };
            assert_eq!(one.path, path);
            assert_eq!(one.headers["content-type"], content_type);
            assert_eq!(one.headers["x-tenant"], "me");
            let resource = inner(&inner(&one.message, 1)[0], 1);
            let attributes = String::from_utf8_lossy(&resource[0]).into_owned();
            assert!(attributes.contains("service.name") && attributes.contains("tested"));
            let spans = spans(&one.message);
            let names: Vec<String> = spans.iter().map(|span| text(span, 5)).collect();
            assert_eq!(names, ["below", "above"]);
            let ids = |field| {
                spans
                    .iter()
                    .map(|span| inner(span, field).concat())
                    .collect::<Vec<_>>()
            };
            assert_eq!(ids(1), vec![context.trace.to_be_bytes(); 2]);
            assert_eq!(ids(4), [context.span.to_be_bytes().to_vec(), Vec::new()]);
            assert_eq!(text(&inner(&spans[0], 15)[0], 2), "no");
            assert_eq!(text(&inner(&spans[1], 9)[0], 1), "http.status_code");
        }
    }
}

#[tokio::test]
async fn collectors_are_believed_by_their_certificates() {
    for (protocol, alpn) in [(Protocol::Http, "http/1.1"), (Protocol::Grpc, "h2")] {
        let (tls, pem) = crate::testing::tls("collector.local", &[alpn]);
        let collector = Collector::start(protocol, Manners::Takes, Some(tls)).await;
        let believing = |ca: Option<String>| TraceOptions {
            insecure: false,
            tls: TlsConfig {
                ca,
                server_name: Some("collector.local".to_owned()),
                ..TlsConfig::default()
            },
            ..collector.options(protocol)
        };
        let (_, counted) = trace(believing(Some(pem))).await;
        assert_eq!(counted, [2.0, 0.0, 0.0], "{protocol:?}");
        let (_, counted) = trace(believing(None)).await;
        assert_eq!(counted, [0.0, 2.0, 0.0], "{protocol:?}");
    }
}

#[tokio::test]
async fn what_is_refused_is_counted_and_let_go() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let collector = Collector::start(protocol, Manners::Refuses, None).await;
        let (_, counted) = trace(collector.options(protocol)).await;
        assert_eq!(counted, [0.0, 2.0, 0.0]);
        let mut sender = Sender::new(collector.options(protocol));
        let why = sender.send(Vec::new()).await.unwrap_err().to_string();
        let expected = match protocol {
            Protocol::Http => "the collector answered 503 Service Unavailable: toomuch",
            Protocol::Grpc => "the collector answered gRPC status 14: too much",
        };
        assert_eq!(why, expected);
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_made_anew() {
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let collector = Collector::start(protocol, Manners::Takes, None).await;
        let mut sender = Sender::new(collector.options(protocol));
        for _ in 0..3 {
            sender.send(Vec::new()).await.unwrap();
        }
        sender.disconnect();
        sender.send(Vec::new()).await.unwrap();
        assert_eq!(collector.received.lock().len(), 4);
    }
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_hangs_or_is_down() {
    let hanging = Collector::start(Protocol::Grpc, Manners::Hangs, None).await;
    let down = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    for (address, timeout) in [(hanging.address, 3_600), (down, 1)] {
        let tracing = Tracing::new(&Registry::new());
        tracing.apply(Some(TraceOptions {
            endpoint: address.to_string(),
            timeout: Duration::from_secs(timeout),
            ..hanging.options(Protocol::Grpc)
        }));
        let began = std::time::Instant::now();
        for _ in 0..3 * QUEUE_SPANS_MAX {
            drop(tracing.tracer().begin("x", SpanKind::Internal, None));
        }
        assert!(began.elapsed() < Duration::from_secs(2));
        // Nothing was taken off the queue meanwhile: this test has one thread.
        let dropped = tracing.counts.dropped.value();
        assert_eq!(dropped, (2 * QUEUE_SPANS_MAX) as f64);
        tracing.stop().await;
        assert_eq!(tracing.counts.sent.value(), 0.0);
    }
}

#[tokio::test]
async fn a_share_of_traces_is_recorded() {
    let collector = Collector::start(Protocol::Http, Manners::Takes, None).await;
    let recorded = async |sampling_fraction: f64| {
        let tracing = Tracing::new(&Registry::new());
        tracing.apply(Some(TraceOptions {
            sampling_fraction,
            ..collector.options(Protocol::Http)
        }));
        let begin = || tracing.tracer().begin("x", SpanKind::Internal, None);
        let count = (0..1_000).filter(|_| begin().is_recorded()).count();
        let remote = SpanContext {
            trace: 1,
            span: 1,
            is_sampled: true,
        };
        let below = tracing.tracer().begin("y", SpanKind::Server, Some(remote));
        assert!(below.is_recorded());
        drop(below);
        tracing.stop().await;
        count
    };
    assert_eq!(recorded(0.0).await, 0);
    assert_eq!(collector.names(), ["y"]);
    assert_eq!(recorded(1.0).await, 1_000);
    let half = recorded(0.5).await;
    assert!((350..650).contains(&half), "{half}");
}

#[tokio::test]
async fn collectors_can_be_changed() {
    let first = Collector::start(Protocol::Http, Manners::Takes, None).await;
    let second = Collector::start(Protocol::Grpc, Manners::Takes, None).await;
    let tracing = Tracing::new(&Registry::new());
    let end = |name: &'static str| drop(tracing.tracer().begin(name, SpanKind::Internal, None));
    end("before");
    tracing.apply(Some(first.options(Protocol::Http)));
    end("one");
    tracing.apply(Some(first.options(Protocol::Http)));
    end("two");
    tracing.apply(Some(second.options(Protocol::Grpc)));
    end("three");
    tracing.stop().await;
    assert_eq!(second.names(), ["three"]);
    for _ in 0..200 {
        if !first.names().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(first.names(), ["one", "two"]);
    end("after");
    tracing.apply(None);
    assert!(!tracing.tracer().is_on());
}
