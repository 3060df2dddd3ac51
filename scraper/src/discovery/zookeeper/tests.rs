use metrics::Registry;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::testing::ZooKeeper;
use super::*;
use crate::discovery::TargetGroups;
use crate::discovery::testing::{eventually, printed};

const TIMEOUT_MS: i32 = 60_000;

/// A discovery that runs until it is dropped.
struct Running {
    groups: watch::Receiver<TargetGroups>,
    metrics: DiscoveryMetrics,
    _task: AbortOnDropHandle<()>,
}

impl Running {
    fn start(layout: Layout, servers: &[String], paths: &[&str]) -> Self {
        let metrics = DiscoveryMetrics::new(&Registry::new());
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        let timeout = model::Duration::from_secs(60);
        let discovery =
            ZooKeeperDiscovery::new(layout, servers, &paths, timeout, "j", metrics.clone());
        let discovery = ZooKeeperDiscovery {
            retry: Duration::from_millis(20),
            ..discovery
        };
        let (updates, groups) = Updates::channel(Arc::new(Notify::new()));
        let task = tokio::spawn(async move { discovery.follow(&updates).await });
        Running {
            groups,
            metrics,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn one(layout: Layout, server: &ZooKeeper, paths: &[&str]) -> Self {
        Self::start(layout, &[server.address.to_string()], paths)
    }

    fn lines(&self) -> Vec<String> {
        let groups = Arc::clone(&self.groups.borrow());
        printed(groups.iter().map(|group| &**group))
    }

    /// The addresses, in the order of the paths.
    fn addresses(&self) -> Vec<String> {
        let address = |line: String| line.split(' ').next().unwrap().to_owned();
        self.lines().into_iter().map(address).collect()
    }

    #[track_caller]
    fn comes_to(&self, expected: &[&str]) -> impl Future<Output = ()> {
        eventually(move || self.addresses() == expected)
    }

    fn failures(&self) -> f64 {
        self.metrics.zookeeper_failures.value()
    }
}

fn nerve(host: &str) -> String {
    format!(r#"{{"host": "{host}", "port": 80, "name": "n", "weight": 1}}"#)
}

#[tokio::test]
async fn members_of_server_sets() {
    let member = r#"{"serviceEndpoint": {"host": "10.0.0.1", "port": 31420}, "status": "ALIVE", "shard": 3,
        "additionalEndpoints": {"http-admin": {"host": "10.0.0.2", "port": 31421}}}"#;
    let server = ZooKeeper::start(
        &[
            ("/s/job/member_1", member),
            (
                "/s/job/member_2",
                r#"{"serviceEndpoint": {"host": "2001:db8::1"}}"#,
            ),
            ("/s/job/member_3", r#"{"serviceEndpoint": {"port": 1}}"#),
            ("/s/job/other", "no member"),
            ("/elsewhere", member),
        ],
        TIMEOUT_MS,
    )
    .await;
    let running = Running::one(Layout::Serverset, &server, &["/s"]);
    eventually(|| !running.lines().is_empty()).await;
    assert_eq!(
        running.lines(),
        [
            "10.0.0.1:31420 serverset_endpoint_host=\"10.0.0.1\" serverset_endpoint_host_http_admin=\"10.0.0.2\" \
             serverset_endpoint_port=\"31420\" serverset_endpoint_port_http_admin=\"31421\" \
             serverset_path=\"/s/job/member_1\" serverset_shard=\"3\" serverset_status=\"ALIVE\"",
            "[2001:db8::1]:0 serverset_endpoint_host=\"2001:db8::1\" serverset_endpoint_port=\"0\" \
             serverset_path=\"/s/job/member_2\" serverset_shard=\"0\" serverset_status=\"\"",
        ]
    );
    assert_eq!(running.groups.borrow()[0].source, "/s/job/member_1");
}

#[tokio::test]
async fn members_come_change_and_go() {
    let server = ZooKeeper::start(&[("/n/a/1", &nerve("a1"))], TIMEOUT_MS).await;
    let running = Running::one(Layout::Nerve, &server, &["/n"]);
    running.comes_to(&["a1:80"]).await;
    assert_eq!(
        running.lines(),
        [
            "a1:80 nerve_endpoint_host=\"a1\" nerve_endpoint_name=\"n\" nerve_endpoint_port=\"80\" nerve_path=\"/n/a/1\""
        ]
    );
    server.set("/n/b/deep/2", &nerve("b2"));
    running.comes_to(&["a1:80", "b2:80"]).await;
    let first = Arc::clone(&running.groups.borrow()[0]);
    // One that is told of twice, and one that was there when it was first told of.
    server.set("/n/b/deep/2", &nerve("b2-new"));
    server.set("/n/b/deep/2", &nerve("b2-newer"));
    server.set("/n/b/deep/3", &nerve("b3"));
    running.comes_to(&["a1:80", "b2-newer:80", "b3:80"]).await;
    assert!(Arc::ptr_eq(&first, &running.groups.borrow()[0]));
    server.set("/n/b/deep/3", "drained");
    running.comes_to(&["a1:80", "b2-newer:80"]).await;
    server.delete("/n/b");
    running.comes_to(&["a1:80"]).await;
    // Gone and there again before anybody looks.
    server.delete("/n/a/1");
    server.set("/n/a/1", &nerve("a1-again"));
    running.comes_to(&["a1-again:80"]).await;
    assert!(running.failures() <= 0.0);
}

#[tokio::test]
async fn many_members_are_read_in_pieces() {
    let nodes: Vec<_> = (0..500)
        .map(|i| (format!("/n/{i:03}"), nerve(&format!("h{i:03}"))))
        .collect();
    let nodes: Vec<_> = nodes
        .iter()
        .map(|(p, d)| (p.as_str(), d.as_str()))
        .collect();
    let server = ZooKeeper::start(&nodes, TIMEOUT_MS).await;
    let running = Running::one(Layout::Nerve, &server, &["/n"]);
    eventually(|| running.groups.borrow().len() == 500).await;
    assert_eq!(server.counts().0, 2 * 501);
    // Only what changed is asked about again.
    server.set("/n/250", &nerve("changed"));
    eventually(|| running.addresses()[250] == "changed:80").await;
    assert_eq!(server.counts().0, 2 * 501 + 2);
}

#[tokio::test]
async fn a_server_that_is_lost_is_followed_by_the_next() {
    let first = ZooKeeper::start(&[("/n/1", &nerve("x"))], TIMEOUT_MS).await;
    let second = ZooKeeper::start(&[("/n/1", &nerve("x"))], TIMEOUT_MS).await;
    let servers = [first.address.to_string(), second.address.to_string()];
    let running = Running::start(Layout::Nerve, &servers, &["/n"]);
    running.comes_to(&["x:80"]).await;
    let before = Arc::clone(&running.groups.borrow()[0]);
    let (used, other) = match first.counts().0 {
        0 => (second, first),
        _ => (first, second),
    };
    drop(used);
    eventually(|| other.counts().0 == 4).await;
    assert!(1.0 <= running.failures());
    // What was known stays, and what is the same is shared.
    other.set("/n/2", &nerve("y"));
    running.comes_to(&["x:80", "y:80"]).await;
    assert!(Arc::ptr_eq(&before, &running.groups.borrow()[0]));
}

#[tokio::test]
async fn a_path_that_is_not_there_is_looked_for_again() {
    let server = ZooKeeper::start(&[("/n/1", &nerve("x"))], TIMEOUT_MS).await;
    let running = Running::one(Layout::Nerve, &server, &["/n", "/later"]);
    running.comes_to(&["x:80"]).await;
    eventually(|| 2.0 <= running.failures()).await;
    server.set("/later", &nerve("late"));
    running.comes_to(&["late:80", "x:80"]).await;
    let failures = running.failures();
    server.delete("/later");
    running.comes_to(&["x:80"]).await;
    eventually(|| failures < running.failures()).await;
}

#[tokio::test]
async fn servers_that_refuse_keep_the_targets() {
    let server =
        ZooKeeper::start(&[("/n/1", &nerve("x")), ("/n/2", &nerve("y"))], TIMEOUT_MS).await;
    let running = Running::one(Layout::Nerve, &server, &["/n"]);
    running.comes_to(&["x:80", "y:80"]).await;
    server.refuse("/n/2", -102);
    server.set("/n/1", &nerve("changed"));
    server.set("/n/2", &nerve("hidden"));
    eventually(|| 2.0 <= running.failures()).await;
    assert_eq!(running.addresses()[1], "y:80");
    let mut session = Session::open(&server.address.to_string(), Duration::from_secs(60))
        .await
        .unwrap();
    let mut tree = Tree::new(Layout::Nerve);
    let error = tree.read(&mut session, vec!["/n".to_owned()]).await;
    assert_eq!(error.unwrap_err().to_string(), "/n/2: not authorized");
}

#[tokio::test]
async fn silent_sessions_are_kept_alive_and_silent_servers_left() {
    let server = ZooKeeper::start(&[("/n/1", &nerve("x"))], 60).await;
    let running = Running::one(Layout::Nerve, &server, &["/n"]);
    eventually(|| 5 <= server.counts().1).await;
    // All in the first session.
    assert_eq!(server.counts().0, 4);
    assert_eq!(running.addresses(), ["x:80"]);
    // One that accepts and says nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = Session::open(&address, Duration::from_millis(50)).await;
    let error = error.err().unwrap().to_string();
    assert_eq!(error, "the server said nothing for 50ms");
}

#[tokio::test]
async fn servers_that_are_none_of_zookeepers() {
    for (said, expected) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "the server's answer is longer than 4 MiB",
        ),
        (&[0xff; 8], "the server's answer is none of ZooKeeper's"),
        (
            &[0, 0, 0, 2, 0, 0],
            "the server's answer is none of ZooKeeper's",
        ),
        (&[], "the server closed the connection"),
        (
            &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0],
            "the session has ended",
        ),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 100]).await;
            let _ = stream.write_all(said).await;
        });
        let error = Session::open(&address, Duration::from_secs(60)).await;
        assert_eq!(error.err().unwrap().to_string(), expected);
    }
}

#[test]
fn servers_have_a_port() {
    assert_eq!(with_port("zk"), "zk:2181");
    assert_eq!(with_port("zk:1"), "zk:1");
}
