//! Members with real sockets on the loopback, and others that mean them no good.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::cluster::wire::{self, Kind};
use crate::dispatch::{IntegrationKey, LogEntry};

/// What a member has, and a word about each update that it gets.
struct Notes {
    state: Vec<Update>,
    got: Mutex<mpsc::Sender<Update>>,
}

impl Replica for Notes {
    fn state(&self) -> Vec<Update> {
        self.state.clone()
    }

    fn merge(&self, updates: Vec<Update>) -> (usize, usize) {
        for update in updates {
            // The test may be over.
            let _ = self.got.lock().send(update);
        }
        (0, 0)
    }
}

fn entry(group: &str) -> Update {
    let key = IntegrationKey {
        group_key: group.to_owned(),
        ..IntegrationKey::default()
    };
    Update::Entry(key, LogEntry::default())
}

struct Running {
    cluster: Cluster,
    address: SocketAddr,
    got: mpsc::Receiver<Update>,
    _replica: Arc<Notes>,
}

fn options(peers: &[SocketAddr]) -> ClusterOptions {
    ClusterOptions {
        listen: "127.0.0.1:0".to_owned(),
        label: "test".to_owned(),
        peers: peers.iter().map(SocketAddr::to_string).collect(),
        gossip_interval: Duration::from_millis(10),
        tcp_timeout: Duration::from_millis(500),
        ..ClusterOptions::default()
    }
}

fn start(options: ClusterOptions, state: Vec<Update>) -> Running {
    let bound = Bound::new(options, &Registry::new()).unwrap();
    let address = bound.tcp.local_addr().unwrap();
    let (sender, got) = mpsc::channel();
    let replica = Arc::new(Notes {
        state,
        got: Mutex::new(sender),
    });
    let weak: Weak<Notes> = Arc::downgrade(&replica);
    Running {
        cluster: bound.start(weak),
        address,
        got,
        _replica: replica,
    }
}

impl Running {
    fn refused(&self, reason: &str) -> f64 {
        let gossip = self.cluster.0.gossip.lock();
        gossip.metrics().refused.with(&[reason]).value()
    }
}

/// Waits until something is so, ten seconds at most.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Writes an authority, the certificate of its members, and the file of `--cluster.tls-config`, whose path is returned.
fn tls_config(dir: &Path) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["member.test".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| std::fs::write(dir.join(name), text).unwrap();
    write("ca.crt", authority.pem());
    write("member.crt", certificate.pem());
    write("member.key", key.serialize_pem());
    let own = "cert_file: member.crt\n  key_file: member.key\n";
    write(
        "tls.yml",
        format!(
            "tls_server_config:\n  {own}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n\
             tls_client_config:\n  {own}  ca_file: ca.crt\n  server_name: member.test\n"
        ),
    );
    dir.join("tls.yml").display().to_string()
}

/// Returns options of a member that speaks TLS as `file` says.
fn secure(file: &str, peers: &[SocketAddr]) -> ClusterOptions {
    ClusterOptions {
        tls_config: file.to_owned(),
        ..options(peers)
    }
}

#[tokio::test]
async fn members_meet_exchange_and_part() {
    meet_exchange_and_part("").await;
}

#[tokio::test]
async fn members_do_so_over_tls_too() {
    let dir = tempfile::tempdir().unwrap();
    meet_exchange_and_part(&tls_config(dir.path())).await;
}

#[tokio::test]
async fn who_is_not_believed_is_no_member() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = tls_config(ours.path());
    let first = start(secure(&ours, &[]), vec![entry("secret")]);
    // Of another authority, and without TLS.
    let other = start(
        secure(&tls_config(theirs.path()), &[first.address]),
        Vec::new(),
    );
    let plain = start(options(&[first.address]), Vec::new());
    until("both are turned away", || 1.5 < first.refused("tls")).await;
    for stranger in [&other, &plain] {
        assert_eq!(stranger.got.try_iter().count(), 0);
        assert_eq!(stranger.cluster.status().peers.len(), 1);
    }
    assert_eq!(first.cluster.status().peers.len(), 1);
    // Packets over UDP go nowhere.
    assert!(UdpSocket::bind(first.address).await.is_ok());
    for member in [&first, &other, &plain] {
        member.cluster.leave().await;
    }
}

#[tokio::test]
async fn a_member_that_begins_another_life_is_found_again_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let tls = tls_config(dir.path());
    let first = start(secure(&tls, &[]), Vec::new());
    let named = |address: SocketAddr| ClusterOptions {
        name: "second".to_owned(),
        listen: address.to_string(),
        ..secure(&tls, &[first.address])
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let second = start(named(any), Vec::new());
    let knows_two = || first.cluster.status().peers.len() == 2;
    until("they know each other", knows_two).await;
    let address = second.address;
    // It says no goodbye: its connections are cut.
    second.cluster.0.stop.cancel();
    second.cluster.0.tasks.close();
    second.cluster.0.tasks.wait().await;
    drop(second);
    let second = start(named(address), Vec::new());
    until("both know both", || {
        knows_two() && second.cluster.status().peers.len() == 2
    })
    .await;
    // What is sent over a line that was cut may be lost, and what comes after it is not.
    let mut got = Vec::new();
    until("an update comes", || {
        first
            .cluster
            .publish(&[entry(&format!("update-{}", got.len()))]);
        got.extend(second.got.try_iter());
        !got.is_empty()
    })
    .await;
    first.cluster.leave().await;
    second.cluster.leave().await;
}

async fn meet_exchange_and_part(tls: &str) {
    let first = start(secure(tls, &[]), vec![entry("first")]);
    let second = start(secure(tls, &[first.address]), vec![entry("second")]);
    until("they know each other", || {
        [&first, &second]
            .iter()
            .all(|member| member.cluster.status().peers.len() == 2)
    })
    .await;
    second.cluster.settled().await;
    assert!(second.got.try_iter().any(|update| update == entry("first")));
    assert!(first.got.try_iter().any(|update| update == entry("second")));

    // A small one, and one that is too large for a packet.
    let large = entry(&"g".repeat(3_000));
    first.cluster.publish(&[entry("small"), large.clone()]);
    let mut got = Vec::new();
    until("both updates come", || {
        got.extend(second.got.try_iter());
        got.contains(&entry("small")) && got.contains(&large)
    })
    .await;

    let turns: BTreeSet<Duration> = [&first, &second]
        .iter()
        .map(|member| member.cluster.turn())
        .collect();
    let expected = [Duration::ZERO, Duration::from_secs(15)];
    assert_eq!(turns, BTreeSet::from(expected));

    first.cluster.leave().await;
    until("the first is gone", || {
        second.cluster.status().peers.len() == 1
    })
    .await;
    second.cluster.leave().await;
}

/// Sends bytes over TCP, and returns all that is answered.
async fn ask(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // It may be cut off instead of ended.
    let _ = connection.read_to_end(&mut answer).await;
    answer
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_be_bytes()[..], message].concat()
}

#[tokio::test]
async fn strangers_get_no_answer_and_hold_nobody_up() {
    let member = start(options(&[]), vec![entry("secret")]);
    let address = member.address;
    for (bytes, reason) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "size"),
        (frame(b"nonsense"), "garbage"),
        (frame(&wire::seal("other", Kind::State, b"")), "label"),
        (frame(&wire::seal("test", Kind::Membership, b"")), "garbage"),
    ] {
        let before = member.refused(reason);
        assert!(ask(address, &bytes).await.is_empty(), "{reason}");
        let counted = member.refused(reason) - before;
        assert!((counted - 1.0).abs() < f64::EPSILON, "{reason}");
    }
    let answer = ask(address, &frame(&wire::seal("test", Kind::State, b""))).await;
    assert_eq!(wire::open("test", &answer[4..]).unwrap().0, Kind::State);

    // Those that say nothing are closed after the timeout, and those beyond the limit at once.
    let mut silent = Vec::new();
    for _ in 0..INCOMING_MAX + 4 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    until("some are too many", || 3.5 < member.refused("connections")).await;
    until("some are too slow", || 15.5 < member.refused("time")).await;
    let answer = ask(address, &frame(&wire::seal("test", Kind::State, b""))).await;
    assert!(!answer.is_empty(), "there is room again");
    member.cluster.leave().await;
}

#[track_caller]
fn check(change: impl FnOnce(&mut ClusterOptions), reason: &str) {
    let mut options = options(&[]);
    change(&mut options);
    let error = super::check(&options).unwrap_err().to_string();
    assert_eq!(error, reason);
}

#[test]
fn flags_that_make_no_sense() {
    check(
        |options| options.peers.push("am-1".to_owned()),
        "--cluster.peer=am-1: must be host:port, like am-1.example.com:9094",
    );
    check(
        |options| options.probe_timeout = options.probe_interval,
        "--cluster.probe-timeout=1s: must be shorter than --cluster.probe-interval, 1s",
    );
    check(
        |options| options.gossip_interval = Duration::ZERO,
        "--cluster.gossip-interval=0s: must be longer, like 1s",
    );
    let label = "l".repeat(256);
    let reason = format!("--cluster.label={label}: has more than 255 bytes");
    check(|options| options.label = label, &reason);
    check(
        |options| options.peers = vec!["a:1".to_owned(); 257],
        "--cluster.peer=257: at most 256 peers may be given",
    );
}

#[test]
fn files_of_tls_that_make_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    let file = tls_config(dir.path());
    let text = std::fs::read_to_string(&file).unwrap();
    for (change, expected) in [
        (text.replace("member.key", "none.key"), "none.key"),
        (
            text.replace("tls_client_config", "tls_clients"),
            "field tls_clients not found",
        ),
        (text.replace("client_ca_file: ca.crt", ""), "client_ca"),
        ("tls_server_config: {}".to_owned(), "tls_client_config"),
    ] {
        std::fs::write(&file, &change).unwrap();
        let error = tls::open(&file).err().unwrap().to_string();
        assert!(
            error.starts_with(&format!("--cluster.tls-config={file}: ")),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
    let error = tls::open("/nowhere/tls.yml").err().unwrap().to_string();
    assert!(error.contains("No such file"), "{error}");
}

#[test]
fn names_by_chance_are_sorted_by_time() {
    assert_eq!(ulid(0, 0), "0".repeat(26));
    assert_eq!(ulid((1 << 48) - 1, u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    // The example of the specification.
    assert!(ulid(1_469_918_176_385, 7).starts_with("01ARYZ6S41"));
    assert!(ulid(5, u128::MAX) < ulid(6, 0));
}
