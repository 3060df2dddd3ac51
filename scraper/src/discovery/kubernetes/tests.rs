//! A cluster that is told what to say.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::access::Surroundings;
use super::*;
use crate::config::{KubernetesAttachMetadata, KubernetesSelector};
use crate::discovery::TargetGroups;
use crate::discovery::testing::{Answer, Api, Asked, eventually, printed};
use net::http_config::UrlText;

mod access;
mod roles;

/// A cluster: lists by path, and the open watches, the newest last.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lists: BTreeMap<String, Value>,
    watches: Vec<(String, mpsc::UnboundedSender<String>)>,
    /// What watches are answered with instead, once each.
    refusals: Vec<u16>,
}

impl Cluster {
    fn list(&self, path: &str, version: &str, items: Value) {
        let list = json!({"metadata": {"resourceVersion": version}, "items": items});
        self.0.lock().lists.insert(path.to_owned(), list);
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let mut state = self.0.lock();
        if asked.query.contains("watch=true") {
            if let Some(status) = state.refusals.pop() {
                return Answer::status(status);
            }
            let (sender, receiver) = mpsc::unbounded_channel();
            state.watches.push((asked.path.clone(), sender));
            return Answer::Stream(receiver);
        }
        match state.lists.get(&asked.path) {
            Some(list) => Answer::json(list.to_string()),
            None => Answer::status(404),
        }
    }

    async fn start(&self) -> Api {
        let cluster = self.clone();
        Api::start(move |asked| cluster.answer(asked)).await
    }

    /// Says `text` to whoever watches `path`.
    fn say(&self, path: &str, text: &str) {
        let state = self.0.lock();
        let watch = state
            .watches
            .iter()
            .rev()
            .find(|(watched, _)| watched == path);
        watch.unwrap().1.send(text.to_owned()).unwrap();
    }

    fn event(&self, path: &str, kind: &str, object: &Value) {
        self.say(
            path,
            &format!("{}\n", json!({"type": kind, "object": object})),
        );
    }

    /// Ends every open watch.
    fn hang_up(&self) {
        self.0.lock().watches.clear();
    }

    fn watches(&self) -> usize {
        self.0.lock().watches.len()
    }
}

/// A running discovery; it ends when this is dropped.
struct Running {
    groups: tokio::sync::watch::Receiver<TargetGroups>,
    metrics: DiscoveryMetrics,
    _stop: tokio_util::sync::DropGuard,
}

impl Running {
    fn start(api: &Api, config: KubernetesSdConfig) -> Self {
        let config = KubernetesSdConfig {
            api_server: UrlText::new(api.url("/base/")),
            ..config
        };
        let metrics = DiscoveryMetrics::new(&metrics::Registry::new());
        let nowhere = Surroundings {
            service: None,
            service_account: "nowhere".into(),
        };
        let access = Access::new(&config, Path::new(""), &nowhere).unwrap();
        let discovery = KubernetesDiscovery::new(&config, access, metrics.clone());
        let (updates, groups) = Updates::channel(Arc::default());
        let stop = CancellationToken::new();
        tokio::spawn(Box::new(discovery).run(updates, stop.clone()));
        Running {
            groups,
            metrics,
            _stop: stop.drop_guard(),
        }
    }

    fn addresses(&self) -> Vec<String> {
        let groups = self.groups.borrow().clone();
        let lines = printed(groups.iter().map(|group| &**group));
        lines
            .iter()
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect()
    }

    async fn wait_for(&self, addresses: &[&str]) {
        let is_so = || self.addresses() == addresses;
        tokio::time::timeout(Duration::from_secs(9), eventually(is_so))
            .await
            .unwrap_or_else(|_| panic!("{:?} instead of {addresses:?}", self.addresses()));
    }
}

const NODES: &str = "/base/api/v1/nodes";

fn node(name: &str, address: &str, version: &str) -> Value {
    json!({
        "metadata": {"name": name, "resourceVersion": version},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    })
}

fn of_role(role: KubernetesRole) -> KubernetesSdConfig {
    KubernetesSdConfig {
        role: Some(role),
        ..KubernetesSdConfig::default()
    }
}

#[tokio::test]
async fn changes_are_followed_through_interruptions() {
    let cluster = Cluster::default();
    cluster.list(NODES, "10", json!([node("a", "10.0.0.1", "5")]));
    let api = cluster.start().await;
    let running = Running::start(&api, of_role(KubernetesRole::Node));
    running.wait_for(&["10.0.0.1:10250"]).await;
    eventually(|| cluster.watches() == 1).await;
    cluster.event(NODES, "ADDED", &node("b", "10.0.0.2", "11"));
    cluster.event(NODES, "MODIFIED", &node("a", "10.0.0.9", "12"));
    running
        .wait_for(&["10.0.0.9:10250", "10.0.0.2:10250"])
        .await;
    // An event in pieces, and one that says no more than how far it is.
    let event = json!({"type": "DELETED", "object": node("a", "10.0.0.9", "13")}).to_string();
    cluster.say(NODES, &event[..20]);
    cluster.say(NODES, &format!("{}\n", &event[20..]));
    let bookmark = json!({"kind": "Node", "metadata": {"resourceVersion": "20"}});
    cluster.event(NODES, "BOOKMARK", &bookmark);
    running.wait_for(&["10.0.0.2:10250"]).await;
    // The next watch goes on from there, also after an error.
    cluster.0.lock().refusals.push(500);
    cluster.hang_up();
    eventually(|| cluster.watches() == 1).await;
    let asked = api.asked();
    let versions = asked
        .iter()
        .filter(|asked| asked.query.contains("watch=true"));
    let versions: Vec<&str> = versions
        .map(|asked| {
            let (_, version) = asked.query.split_once("resourceVersion=").unwrap();
            version.split('&').next().unwrap()
        })
        .collect();
    assert_eq!(versions, ["10", "20", "20"]);
    assert_eq!(running.metrics.kubernetes_failures.value(), 1.0);
    for (event, count) in [("add", 1.0), ("update", 1.0), ("delete", 1.0)] {
        let counter = running.metrics.kubernetes_events.with(&["node", event]);
        assert_eq!(counter.value(), count, "{event}");
    }
}

#[tokio::test]
async fn a_version_that_is_gone_means_a_new_list() {
    let cluster = Cluster::default();
    cluster.list(NODES, "10", json!([node("a", "10.0.0.1", "5")]));
    let api = cluster.start().await;
    let running = Running::start(&api, of_role(KubernetesRole::Node));
    running.wait_for(&["10.0.0.1:10250"]).await;
    eventually(|| cluster.watches() == 1).await;
    cluster.list(NODES, "90", json!([node("c", "10.0.0.3", "80")]));
    cluster.event(
        NODES,
        "ERROR",
        &json!({"kind": "Status", "code": 410, "reason": "Expired"}),
    );
    running.wait_for(&["10.0.0.3:10250"]).await;
    // The same by the status of the answer.
    eventually(|| cluster.watches() == 2).await;
    cluster.list(NODES, "95", json!([node("d", "10.0.0.4", "91")]));
    cluster.0.lock().refusals.push(410);
    cluster.hang_up();
    running.wait_for(&["10.0.0.4:10250"]).await;
    assert_eq!(running.metrics.kubernetes_failures.value(), 0.0);
}

#[tokio::test]
async fn what_is_no_answer_is_counted_and_tried_again() {
    let cluster = Cluster::default();
    let api = cluster.start().await;
    let running = Running::start(&api, of_role(KubernetesRole::Node));
    eventually(|| running.metrics.kubernetes_failures.value() == 1.0).await;
    cluster.list(NODES, "10", json!([node("a", "10.0.0.1", "5")]));
    running.wait_for(&["10.0.0.1:10250"]).await;
    eventually(|| cluster.watches() == 1).await;
    for nonsense in ["{}\n", "[1]\n", "{\"type\": \"NEW\", \"object\": {}}\n"] {
        let failures = running.metrics.kubernetes_failures.value();
        cluster.say(NODES, nonsense);
        eventually(|| running.metrics.kubernetes_failures.value() == failures + 1.0).await;
        eventually(|| 1 < cluster.watches()).await;
        let mut state = cluster.0.lock();
        let newest = state.watches.pop().unwrap();
        state.watches = vec![newest];
    }
    assert_eq!(running.addresses(), ["10.0.0.1:10250"]);
}

#[tokio::test]
async fn namespaces_and_selectors_are_asked_for() {
    let cluster = Cluster::default();
    for namespace in ["x", "y"] {
        let path = format!("/base/api/v1/namespaces/{namespace}/services");
        let service = json!({
            "metadata": {"name": "s", "namespace": namespace},
            "spec": {"ports": [{"port": 80}]},
        });
        cluster.list(&path, "1", json!([service]));
    }
    let api = cluster.start().await;
    let mut config = of_role(KubernetesRole::Service);
    config.namespaces.names = vec!["x".to_owned(), "y".to_owned()];
    config.selectors = vec![KubernetesSelector {
        role: Some(KubernetesRole::Service),
        label: "app in (a,b)".to_owned(),
        field: "metadata.name=s".to_owned(),
    }];
    let running = Running::start(&api, config);
    running.wait_for(&["s.x.svc:80", "s.y.svc:80"]).await;
    eventually(|| cluster.watches() == 2).await;
    let selectors = "labelSelector=app+in+%28a%2Cb%29&fieldSelector=metadata.name%3Ds";
    for asked in api.asked() {
        assert!(asked.query.contains(selectors), "{}", asked.query);
    }
}
