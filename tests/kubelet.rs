//! The kubelets of a cluster by the configuration that is shipped, over TLS, with a token that changes.
//!
//! One server is the cluster's API and the kubelet of its only node. While the token changes it knows both, as a real one
//! does: a scrape under way has the old one.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use support::http;
use support::monitor::Monitor;
use support::tls;
use support::wait::{PATIENCE, eventually};

/// Where a pod has the files of its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const JOBS: [&str; 4] = [
    "kubelet",
    "kubelet-cadvisor",
    "kubelet-resource",
    "kubelet-probes",
];

/// What the server knows.
#[derive(Default)]
struct Cluster {
    /// The newest last.
    tokens: Vec<String>,
    /// The paths of answers that were given to the newest token.
    served: Vec<String>,
    refused: usize,
}

impl Cluster {
    /// Notes a request with that token, and says whether it is known.
    fn admit(&mut self, token: &str, path: &str) -> bool {
        if self.tokens.last().is_some_and(|newest| newest == token) {
            self.served.push(path.to_owned());
        }
        let is_known = self.tokens.iter().any(|known| known == token);
        self.refused += usize::from(!is_known);
        is_known
    }
}

/// Starts the server; writes the certificate of its authority to `ca.crt` in `dir`.
fn start(dir: &Path, cluster: Arc<Mutex<Cluster>>) -> SocketAddr {
    let config = tls::server_config(dir);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, cluster) = (Arc::clone(&config), Arc::clone(&cluster));
            thread::spawn(move || serve(stream, config, &cluster, address.port()));
        }
    });
    address
}

/// Answers one request.
fn serve(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    cluster: &Mutex<Cluster>,
    port: u16,
) -> Option<()> {
    let connection = rustls::ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, stream));
    let (mut first, mut token) = (String::new(), String::new());
    stream.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("authorization: bearer ") {
            token = value.trim().to_owned();
        }
    }
    let target = first.split(' ').nth(1)?;
    let path = target.split('?').next()?;
    let is_known = cluster.lock().expect("nobody panicked").admit(&token, path);
    let body = match path {
        _ if !is_known => String::new(),
        "/api/v1/nodes" if target.contains("watch=true") => {
            // A watch that says nothing for longer than the test lasts.
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
            stream.get_mut().write_all(head.as_bytes()).ok()?;
            stream.get_mut().flush().ok()?;
            thread::sleep(2 * PATIENCE);
            return None;
        }
        "/api/v1/nodes" => format!(
            "{{\"metadata\":{{\"resourceVersion\":\"1\"}},\"items\":[{{\"metadata\":{{\"name\":\"n1\"}},\"status\":\
             {{\"addresses\":[{{\"type\":\"InternalIP\",\"address\":\"127.0.0.1\"}}],\
             \"daemonEndpoints\":{{\"kubeletEndpoint\":{{\"Port\":{port}}}}}}}}}]}}"
        ),
        path => format!("kubelet_metric{{path=\"{path}\"}} 1\n"),
    };
    let (status, kind) = match is_known {
        true if body.starts_with('{') => ("200 OK", "application/json"),
        true => ("200 OK", "text/plain; version=0.0.4"),
        false => ("401 Unauthorized", "text/plain"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let stream = stream.get_mut();
    stream.write_all((head + &body).as_bytes()).ok()?;
    stream.flush().ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

/// Returns how many of the jobs are up.
fn up(hearth: &Monitor) -> usize {
    let query = "/api/v1/query?query=count(up{job=~\"kubelet.*\",node=\"n1\"}==1)";
    let reply = http::get(&hearth.url(query)).expect("an answer").text();
    let value = reply.rsplit(",\"").next().unwrap_or_default();
    value
        .split('"')
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or(0)
}

#[test]
fn kubelets_are_scraped_by_the_shipped_configuration() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let cluster = Arc::new(Mutex::new(Cluster {
        tokens: vec!["first".to_owned()],
        ..Cluster::default()
    }));
    let address = start(dir.path(), Arc::clone(&cluster));
    let token = dir.path().join("token");
    fs::write(&token, "first\n").expect("the file is written");
    let shipped = include_str!("../deploy/kubernetes/kubelet.yml");
    let account = dir.path().display().to_string();
    // Outside of a cluster its API must be named, and how to reach it.
    let api = format!(
        "- role: node\n    api_server: https://{address}\n    authorization: *token\n    tls_config: *tls\n"
    );
    let jobs = shipped
        .replace(SERVICE_ACCOUNT, &account)
        .replace("- role: node\n", &api);
    assert!(jobs.contains(&account) && jobs.contains("api_server"));
    let config = format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n{jobs}");
    fs::write(dir.path().join("hearth.yml"), config).expect("the file is written");
    let hearth = Monitor::hearth(dir.path(), &["--config.file=hearth.yml"]);
    eventually("all jobs are up", PATIENCE, || match up(&hearth) {
        count if count == JOBS.len() => Ok(()),
        count => Err(format!("{count} jobs are up")),
    });
    // The token changes: what is asked from now on has the new one.
    let refused = || cluster.lock().expect("nobody panicked").refused;
    let before = refused();
    {
        let mut cluster = cluster.lock().expect("nobody panicked");
        cluster.tokens.push("second".to_owned());
        cluster.served.clear();
    }
    fs::write(&token, "second\n").expect("the file is written");
    served_to_the_newest(&cluster);
    assert_eq!(refused(), before);
    // No scrape with the old one is under way any more.
    {
        let mut cluster = cluster.lock().expect("nobody panicked");
        cluster.tokens.remove(0);
        cluster.served.clear();
    }
    served_to_the_newest(&cluster);
    assert_eq!(refused(), before);
    assert_eq!(up(&hearth), JOBS.len());
}

/// Waits until each path of the kubelet was served twice to the newest token.
#[track_caller]
fn served_to_the_newest(cluster: &Mutex<Cluster>) {
    let paths = [
        "/metrics",
        "/metrics/cadvisor",
        "/metrics/resource",
        "/metrics/probes",
    ];
    eventually("every path is served to the new token", PATIENCE, || {
        let cluster = cluster.lock().expect("nobody panicked");
        let times = |path: &&str| {
            cluster
                .served
                .iter()
                .filter(|served| served == path)
                .count()
        };
        let missing: Vec<&str> = paths.into_iter().filter(|path| times(path) < 2).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("not yet: {missing:?}"))
        }
    });
}
