//! A name server that knows a few names.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SRV};
use hickory_resolver::proto::rr::{Name, Record};
use tokio::net::UdpSocket;

use super::*;
use crate::discovery::testing::printed;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn records(asked: &str, kind: RecordType) -> Option<Vec<RData>> {
    Some(match (asked, kind) {
        ("_web._tcp.example.", RecordType::SRV) => vec![
            RData::SRV(SRV::new(1, 1, 8080, name("b.example."))),
            RData::SRV(SRV::new(1, 1, 8081, name("a.example."))),
        ],
        ("a.example.", RecordType::A) => vec![
            RData::CNAME(CNAME(name("a.example."))),
            RData::A(A(Ipv4Addr::new(10, 0, 0, 1))),
        ],
        ("a.example.", RecordType::AAAA) => vec![RData::AAAA(AAAA("fd00::1".parse().unwrap()))],
        ("example.", RecordType::MX) => vec![RData::MX(MX::new(5, name("mail.example.")))],
        ("example.", RecordType::NS) => vec![RData::NS(NS(name("ns.example.")))],
        _ => return None,
    })
}

/// Answers until the test ends; refuses while `broken`.
async fn serve(broken: Arc<AtomicBool>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut bytes).await {
            let mut message = Message::from_vec(&bytes[..length]).unwrap().into_response();
            let query = message.queries[0].clone();
            let found = records(&query.name().to_ascii().to_lowercase(), query.query_type());
            match found {
                _ if broken.load(Ordering::Relaxed) => {
                    message.metadata.response_code = ResponseCode::ServFail;
                }
                Some(found) => {
                    let records = found.into_iter();
                    message.add_answers(
                        records.map(|data| Record::from_rdata(query.name().clone(), 60, data)),
                    );
                }
                None => message.metadata.response_code = ResponseCode::NXDomain,
            }
            socket
                .send_to(&message.to_vec().unwrap(), peer)
                .await
                .unwrap();
        }
    });
    address
}

fn source(server: SocketAddr, kind: DnsRecordType, names: &[&str]) -> DnsSource {
    let config = DnsSdConfig {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        r#type: kind,
        port: 99,
        ..DnsSdConfig::default()
    };
    let resolver = move || {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut options = ResolverOpts::default();
        options.cache_size = 0;
        options.attempts = 1;
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
    };
    let metrics = DiscoveryMetrics::new(&metrics::Registry::new());
    DnsSource::with_resolver(&config, metrics, Box::new(resolver))
}

#[tokio::test]
async fn records_of_each_type_are_targets() {
    use DnsRecordType as Kind;
    let server = serve(Arc::default()).await;
    for (kind, name, expected) in [
        (
            Kind::Srv,
            "_web._tcp.example",
            vec![
                "b.example:8080 dns_name=\"_web._tcp.example\" dns_srv_record_port=\"8080\" dns_srv_record_target=\"b.example.\"",
                "a.example:8081 dns_name=\"_web._tcp.example\" dns_srv_record_port=\"8081\" dns_srv_record_target=\"a.example.\"",
            ],
        ),
        (
            Kind::A,
            "a.example",
            vec!["10.0.0.1:99 dns_name=\"a.example\""],
        ),
        (
            Kind::Aaaa,
            "a.example",
            vec!["[fd00::1]:99 dns_name=\"a.example\""],
        ),
        (
            Kind::Mx,
            "example",
            vec!["mail.example:99 dns_mx_record_target=\"mail.example.\" dns_name=\"example\""],
        ),
        (
            Kind::Ns,
            "example",
            vec!["ns.example:99 dns_name=\"example\" dns_ns_record_target=\"ns.example.\""],
        ),
        (Kind::A, "nowhere.example", vec![]),
    ] {
        let groups = source(server, kind, &[name]).groups().await.unwrap();
        let mut lines = printed(&groups);
        lines.sort();
        let mut expected = expected;
        expected.sort();
        assert_eq!(lines, expected);
        assert_eq!(groups[0].source, name);
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_keeps_its_targets() {
    let broken = Arc::<AtomicBool>::default();
    let server = serve(Arc::clone(&broken)).await;
    let mut source = source(server, DnsRecordType::A, &["a.example"]);
    assert_eq!(source.groups().await.unwrap()[0].targets.len(), 1);
    broken.store(true, Ordering::Relaxed);
    assert_eq!(source.groups().await.unwrap()[0].targets.len(), 1);
    assert_eq!(
        (
            source.metrics.dns_lookups.value(),
            source.metrics.dns_failures.value()
        ),
        (2.0, 1.0)
    );
}
