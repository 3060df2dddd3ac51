//! `puppetdb_sd_configs`: resources that a query of PuppetDB finds.
//!
//! Source: PuppetDB query API v4, `POST /pdb/query/v4`; Prometheus documentation, `<puppetdb_sd_config>`.

use std::collections::BTreeMap;

use net::outbound::HttpClient;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::PuppetDbSdConfig;

/// What stands between tags, and between the items of a list.
const SEPARATOR: &str = ",";

/// Asks one PuppetDB.
pub(crate) struct PuppetDbSource {
    client: HttpClient,
    config: PuppetDbSdConfig,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource {
    certname: String,
    /// Its hash.
    resource: String,
    #[serde(rename = "type")]
    kind: String,
    title: String,
    exported: bool,
    #[serde(deserialize_with = "model::de::or_default")]
    tags: Vec<String>,
    #[serde(deserialize_with = "model::de::or_default")]
    file: String,
    #[serde(deserialize_with = "model::de::or_default")]
    environment: String,
    #[serde(deserialize_with = "model::de::or_default")]
    parameters: Map<String, Value>,
}

impl PuppetDbSource {
    pub(crate) fn new(config: &PuppetDbSdConfig, client: HttpClient) -> Self {
        PuppetDbSource {
            client,
            config: config.clone(),
        }
    }

    fn url(&self) -> String {
        format!(
            "{}/pdb/query/v4",
            self.config.url.as_str().trim_end_matches('/')
        )
    }

    fn target(&self, resource: &Resource) -> BTreeMap<String, String> {
        let mut labels = MetaLabels::new("puppetdb_");
        labels.set("query", &self.config.query);
        labels.set("certname", &resource.certname);
        labels.set("resource", &resource.resource);
        labels.set("type", &resource.kind);
        labels.set("title", &resource.title);
        labels.set("exported", resource.exported);
        labels.set("file", &resource.file);
        labels.set("environment", &resource.environment);
        labels.set_list("tags", &resource.tags, SEPARATOR);
        if self.config.include_parameters {
            set_parameters(&mut labels, "parameter_", &resource.parameters);
        }
        labels.at(&resource.certname, self.config.port)
    }
}

/// Sets a label for every parameter that has a text, those inside another with both names. How deep they can be is bounded
/// by the reader of JSON.
fn set_parameters(labels: &mut MetaLabels, prefix: &str, parameters: &Map<String, Value>) {
    for (name, value) in parameters {
        let name = format!("{prefix}{}", super::sanitized(name));
        match value {
            Value::Object(inner) => set_parameters(labels, &format!("{name}_"), inner),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(text).collect();
                let joined = items.join(SEPARATOR);
                if !joined.is_empty() {
                    labels.set(&name, joined);
                }
            }
            _ => {
                let text = text(value);
                if !text.is_empty() {
                    labels.set(&name, text);
                }
            }
        }
    }
}

/// Returns the text of a value that holds no others; nothing of one that does. Numbers are floats, as in Go.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(is_so) => is_so.to_string(),
        Value::Number(number) => number
            .as_f64()
            .map(model::float::format_general)
            .unwrap_or_default(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

impl Source for PuppetDbSource {
    const NAME: &'static str = "puppetdb";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let request = self.client.post(&self.url()).await;
        let request = request
            .map_err(|error| RefreshError::of(&error))?
            .header("Accept", "application/json")
            .header("Content-Type", "application/json")
            .body(serde_json::json!({ "query": self.config.query }).to_string());
        let resources: Vec<Resource> = fetch_json(request, "POST /pdb/query/v4").await?;
        Ok(vec![TargetGroup {
            source: format!("{}?query={}", self.config.url, self.config.query),
            targets: resources.iter().map(|r| self.target(r)).collect(),
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::discovery::testing::{Answer, Api, printed};

    fn source(api: &Api, include_parameters: bool) -> PuppetDbSource {
        let config = PuppetDbSdConfig {
            url: serde_json::from_value(api.url("/base/").into()).unwrap(),
            query: "resources { type = \"Class\" }".to_owned(),
            include_parameters,
            ..PuppetDbSdConfig::default()
        };
        let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
        PuppetDbSource::new(&config, client)
    }

    const RESOURCES: &str = r#"[
      {"certname": "edinburgh.example.com", "environment": "prod", "exported": false, "file": "/etc/x.pp", "line": 384,
       "parameters": {"access_log": true, "port": 9100, "size": 1048576, "empty": "", "none": null, "no items": [],
         "access-log-file": "ssl.log", "options": ["a", 1, false], "nested": {"deep": {"key": "v"}}},
       "resource": "49af83866dc5", "tags": ["node", "class"], "title": "host", "type": "Apache::Vhost"},
      {"certname": "two", "environment": null, "exported": true, "file": null, "parameters": {}, "resource": "r2",
       "tags": [], "title": "t", "type": "Class"}]"#;

    #[tokio::test]
    async fn resources_with_their_parameters() {
        let api = Api::start(|asked| match asked.path.as_str() {
            "/base/pdb/query/v4" => Answer::json(RESOURCES),
            _ => Answer::status(404),
        })
        .await;
        let lines = printed(&source(&api, true).groups().await.unwrap());
        assert_eq!(
            lines,
            [
                "edinburgh.example.com:80 puppetdb_certname=\"edinburgh.example.com\" puppetdb_environment=\"prod\" \
                 puppetdb_exported=\"false\" puppetdb_file=\"/etc/x.pp\" puppetdb_parameter_access_log=\"true\" \
                 puppetdb_parameter_access_log_file=\"ssl.log\" puppetdb_parameter_nested_deep_key=\"v\" \
                 puppetdb_parameter_options=\"a,1,false\" puppetdb_parameter_port=\"9100\" \
                 puppetdb_parameter_size=\"1.048576e+06\" puppetdb_query=\"resources { type = \\\"Class\\\" }\" \
                 puppetdb_resource=\"49af83866dc5\" puppetdb_tags=\",node,class,\" puppetdb_title=\"host\" \
                 puppetdb_type=\"Apache::Vhost\"",
                "two:80 puppetdb_certname=\"two\" puppetdb_environment=\"\" puppetdb_exported=\"true\" puppetdb_file=\"\" \
                 puppetdb_query=\"resources { type = \\\"Class\\\" }\" puppetdb_resource=\"r2\" puppetdb_title=\"t\" \
                 puppetdb_type=\"Class\"",
            ]
        );
        assert_eq!(api.asked()[0].headers["content-type"], "application/json");
        let without = printed(&source(&api, false).groups().await.unwrap());
        assert!(without.iter().all(|line| !line.contains("parameter")));
    }

    #[tokio::test]
    async fn errors_name_the_request() {
        let api = Api::start(|_| Answer::status(500)).await;
        assert_eq!(
            source(&api, false).groups().await.unwrap_err().to_string(),
            "POST /pdb/query/v4: server returned HTTP status 500 Internal Server Error: status 500"
        );
    }
}
