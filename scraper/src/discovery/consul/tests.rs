//! A catalog with three services.

use std::path::Path;

use super::*;
use crate::discovery::testing::{Answer, Api, printed};
use net::http_config::Secret;

const ENTRIES: &str = r#"[
  {"Node": {"Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": {"rack-no": "7"},
            "TaggedAddresses": {"lan": "10.0.0.1"}},
   "Service": {"ID": "web-1", "Address": "10.1.0.1", "Port": 80, "Tags": ["a", "b"], "Meta": {"v": "2"}},
   "Checks": [{"CheckID": "c", "Status": "passing"}, {"CheckID": "d", "Status": "warning"}]},
  {"Node": {"Node": "n2", "Address": "fd00::2", "Meta": null, "TaggedAddresses": null},
   "Service": {"ID": "web-2", "Address": "", "Port": 81, "Tags": null, "Meta": null},
   "Checks": [{"CheckID": "_node_maintenance", "Status": "critical"}]}
]"#;

fn answer(path: &str) -> Answer {
    match path {
        "/p/v1/agent/self" => Answer::json(r#"{"Config": {"Datacenter": "dc1"}}"#),
        "/p/v1/catalog/services" => {
            Answer::json(r#"{"web": ["a", "b"], "db": ["a"], "consul": []}"#)
        }
        "/p/v1/health/service/web" => Answer::json(ENTRIES),
        "/p/v1/health/service/db" => Answer::json("[]"),
        _ => Answer::status(404),
    }
}

fn source(api: &Api, config: ConsulSdConfig) -> ConsulSource {
    let config = ConsulSdConfig {
        server: api.address.to_string(),
        path_prefix: "/p/".to_owned(),
        ..config
    };
    let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
    ConsulSource::new(&config, client)
}

/// Returns what there is now.
async fn groups(source: &ConsulSource) -> Result<Vec<TargetGroup>, RefreshError> {
    source.find_datacenter().await?;
    let names = match source.named() {
        Some(names) => names.to_vec(),
        None => source.wanted(0).await?.0,
    };
    let mut groups = Vec::new();
    for name in names {
        groups.push(source.group(&name, 0).await?.0);
    }
    Ok(groups)
}

#[tokio::test]
async fn nodes_of_services_with_the_tags() {
    let api = Api::start(|asked| answer(&asked.path)).await;
    let source = source(
        &api,
        ConsulSdConfig {
            tags: vec!["a".to_owned()],
            token: Secret::new("t"),
            node_meta: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            ..ConsulSdConfig::default()
        },
    );
    let groups = groups(&source).await.unwrap();
    let sources: Vec<&str> = groups.iter().map(|group| group.source.as_str()).collect();
    assert_eq!(sources, ["db", "web"]);
    assert_eq!(
        printed(&groups),
        [
            "10.1.0.1:80 consul_address=\"10.0.0.1\" consul_dc=\"dc1\" consul_health=\"warning\" consul_metadata_rack_no=\"7\" \
             consul_namespace=\"\" consul_node=\"n1\" consul_partition=\"\" consul_service=\"web\" consul_service_address=\"10.1.0.1\" \
             consul_service_id=\"web-1\" consul_service_metadata_v=\"2\" consul_service_port=\"80\" \
             consul_tagged_address_lan=\"10.0.0.1\" consul_tags=\",a,b,\"",
            "[fd00::2]:81 consul_address=\"fd00::2\" consul_dc=\"dc1\" consul_health=\"maintenance\" consul_namespace=\"\" \
             consul_node=\"n2\" consul_partition=\"\" consul_service=\"web\" consul_service_address=\"\" consul_service_id=\"web-2\" \
             consul_service_port=\"81\" consul_tags=\",,\"",
        ]
    );
    let asked = api.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.headers["x-consul-token"] == "t")
    );
    let health = asked
        .iter()
        .find(|asked| asked.path.ends_with("/web"))
        .unwrap();
    assert_eq!(health.query, "node-meta=k%3Av&tag=a&stale=");
}

#[tokio::test]
async fn named_services_are_not_looked_for() {
    let api = Api::start(|asked| answer(&asked.path)).await;
    let services = vec!["db".to_owned()];
    let source = source(
        &api,
        ConsulSdConfig {
            services,
            ..ConsulSdConfig::default()
        },
    );
    assert_eq!(groups(&source).await.unwrap().len(), 1);
    let asked: Vec<String> = api.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked, ["/p/v1/agent/self", "/p/v1/health/service/db"]);
}

#[tokio::test]
async fn errors_name_the_request() {
    let api = Api::start(|_| Answer::status(403)).await;
    let source = source(&api, ConsulSdConfig::default());
    let error = groups(&source).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "GET /v1/agent/self: server returned HTTP status 403 Forbidden: status 403"
    );
}
