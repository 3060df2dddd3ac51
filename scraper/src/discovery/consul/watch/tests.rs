//! Against a catalog that answers when it has something new.

use std::path::Path;

use ::metrics::Registry;
use net::outbound::HttpClient;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};

use super::*;
use crate::config::ConsulSdConfig;
use crate::discovery::TargetGroups;
use crate::discovery::testing::{Answer, Api, Asked, eventually};

/// What is at each path, with its index; and who waits for something newer there.
#[derive(Default)]
struct Consul {
    answers: HashMap<String, (u64, String)>,
    waiting: Vec<(String, oneshot::Sender<Answer>)>,
}

impl Consul {
    fn set(&mut self, path: &str, index: u64, body: &str) {
        self.answers
            .insert(path.to_owned(), (index, body.to_owned()));
        let waiting = std::mem::take(&mut self.waiting);
        for (at, sender) in waiting {
            if at == path {
                let _ = sender.send(self.now(path));
            } else {
                self.waiting.push((at, sender));
            }
        }
    }

    fn now(&self, path: &str) -> Answer {
        match self.answers.get(path) {
            Some((0, _)) | None => Answer::status(500),
            Some((index, body)) => {
                Answer::json(body.clone()).with_header("X-Consul-Index", index.to_string())
            }
        }
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        let index = asked
            .query
            .split('&')
            .find_map(|pair| pair.strip_prefix("index="));
        let current = self
            .answers
            .get(&asked.path)
            .map(|(index, _)| index.to_string());
        if index.is_none() || index != current.as_deref() {
            return self.now(&asked.path);
        }
        assert!(asked.query.contains("&wait=120000ms"));
        let (sender, receiver) = oneshot::channel();
        self.waiting.push((asked.path.clone(), sender));
        Answer::Later(receiver)
    }
}

const CATALOG: &str = "/v1/catalog/services";
const WEB: &str = "/v1/health/service/web";
const DB: &str = "/v1/health/service/db";

fn node(address: &str) -> String {
    format!(
        r#"[{{"Node": {{"Node": "n", "Address": "{address}"}}, "Service": {{"ID": "i", "Port": 80}}, "Checks": []}}]"#
    )
}

struct Fixture {
    consul: Arc<Mutex<Consul>>,
    api: Api,
    groups: watch::Receiver<TargetGroups>,
    registry: Registry,
    stop: CancellationToken,
}

impl Fixture {
    /// Follows a catalog with web and db.
    async fn start(config: ConsulSdConfig) -> Self {
        let consul = Arc::<Mutex<Consul>>::default();
        {
            let mut consul = consul.lock();
            consul.set("/v1/agent/self", 1, r#"{"Config": {"Datacenter": "dc1"}}"#);
            consul.set(CATALOG, 10, r#"{"web": [], "db": []}"#);
            consul.set(WEB, 5, &node("10.0.0.1"));
            consul.set(DB, 7, &node("10.0.0.2"));
        }
        let answering = Arc::clone(&consul);
        let api = Api::start(move |asked| answering.lock().answer(asked)).await;
        let config = ConsulSdConfig {
            server: api.address.to_string(),
            allow_stale: false,
            ..config
        };
        let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
        let registry = Registry::new();
        let metrics = DiscoveryMetrics::new(&registry);
        let source = ConsulSource::new(&config, client);
        let mut discovery = ConsulDiscovery::new(source, Duration::ZERO, "j", metrics);
        discovery.follower.retry = Duration::from_millis(5);
        let (updates, groups) = Updates::channel(Arc::new(Notify::new()));
        let stop = CancellationToken::new();
        tokio::spawn(Box::new(discovery).run(updates, stop.clone()));
        Fixture {
            consul,
            api,
            groups,
            registry,
            stop,
        }
    }

    /// Waits until these are the addresses of all targets.
    async fn until(&self, expected: &[&str]) {
        let addresses = || -> Vec<String> {
            let groups = Arc::clone(&self.groups.borrow());
            let targets = groups.iter().flat_map(|group| group.targets.clone());
            targets
                .map(|target| target["__address__"].clone())
                .collect()
        };
        eventually(|| addresses() == expected).await;
    }

    fn failures(&self) -> String {
        let mut text = Vec::new();
        ::metrics::encode::text(&self.registry.gather(), &mut text);
        let text = String::from_utf8(text).unwrap();
        let name = "prometheus_sd_consul_rpc_failures_total ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().to_owned()
    }

    fn queries(&self, path: &str) -> Vec<String> {
        let asked = self
            .api
            .asked()
            .into_iter()
            .filter(|asked| asked.path == path);
        asked.map(|asked| asked.query).collect()
    }
}

#[tokio::test]
async fn changes_are_waited_for() {
    let all = Fixture::start(ConsulSdConfig::default()).await;
    all.until(&["10.0.0.2:80", "10.0.0.1:80"]).await;
    eventually(|| all.consul.lock().waiting.len() == 3).await;
    // Nobody asks while nothing changes.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(all.queries(WEB), ["", "index=5&wait=120000ms"]);
    assert_eq!(all.queries(CATALOG), ["", "index=10&wait=120000ms"]);
    all.consul.lock().set(WEB, 6, &node("10.0.0.3"));
    all.until(&["10.0.0.2:80", "10.0.0.3:80"]).await;
    assert_eq!(all.queries(DB).len(), 2);
    // A service goes, another comes.
    all.consul
        .lock()
        .set("/v1/health/service/new", 1, &node("10.0.0.4"));
    all.consul
        .lock()
        .set(CATALOG, 11, r#"{"web": [], "new": []}"#);
    all.until(&["10.0.0.4:80", "10.0.0.3:80"]).await;
    assert_eq!(all.failures(), "0");
    all.stop.cancel();
}

#[tokio::test]
async fn an_index_that_goes_back_is_forgotten() {
    let all = Fixture::start(ConsulSdConfig::default()).await;
    all.until(&["10.0.0.2:80", "10.0.0.1:80"]).await;
    eventually(|| all.consul.lock().waiting.len() == 3).await;
    all.consul.lock().set(WEB, 3, &node("10.0.0.9"));
    all.until(&["10.0.0.2:80", "10.0.0.9:80"]).await;
    eventually(|| all.queries(WEB).len() == 4).await;
    assert_eq!(all.queries(WEB)[2..], ["", "index=3&wait=120000ms"]);
    all.stop.cancel();
}

#[tokio::test]
async fn a_service_that_fails_keeps_its_targets_and_delays_no_other() {
    let all = Fixture::start(ConsulSdConfig::default()).await;
    all.until(&["10.0.0.2:80", "10.0.0.1:80"]).await;
    eventually(|| all.consul.lock().waiting.len() == 3).await;
    all.consul.lock().set(WEB, 0, "");
    eventually(|| all.failures() != "0").await;
    all.consul.lock().set(DB, 8, &node("10.0.0.5"));
    all.until(&["10.0.0.5:80", "10.0.0.1:80"]).await;
    all.consul.lock().set(WEB, 9, &node("10.0.0.6"));
    all.until(&["10.0.0.5:80", "10.0.0.6:80"]).await;
    all.stop.cancel();
}

#[tokio::test]
async fn named_services_need_no_catalog_and_the_first_list_is_whole() {
    let config = ConsulSdConfig {
        services: vec!["db".to_owned(), "broken".to_owned(), "web".to_owned()],
        datacenter: "dc1".to_owned(),
        ..ConsulSdConfig::default()
    };
    let mut all = Fixture::start(config).await;
    all.groups.changed().await.unwrap();
    assert_eq!(all.groups.borrow_and_update().len(), 2);
    assert!(all.queries(CATALOG).is_empty());
    assert!(all.queries("/v1/agent/self").is_empty());
    assert!(all.queries(WEB)[0].starts_with("dc=dc1"));
    all.stop.cancel();
}

#[test]
fn beyond_those_that_wait_there_are_others() {
    // One more connection for the catalog stays below what Consul allows a client.
    const { assert!(WAITING_MAX + AT_ONCE + 1 < 200) };
    assert_eq!(
        (next(0, 5), next(5, 5), next(5, 6), next(5, 4)),
        (5, 5, 6, 0)
    );
}
