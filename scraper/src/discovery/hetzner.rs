//! `hetzner_sd_configs`: servers of Hetzner's cloud, or dedicated servers of its Robot.
//!
//! Source: Hetzner Cloud API, `/v1/servers` and `/v1/networks`; Hetzner Robot webservice, `/server`; Prometheus
//! documentation, `<hetzner_sd_config>`.

use net::outbound::HttpClient;
use serde::de::DeserializeOwned;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::{HetznerRole, HetznerSdConfig};

mod hcloud;
mod robot;

/// What labels begin with.
const PREFIX: &str = "hetzner_";

/// Asks Hetzner.
pub(crate) struct HetznerSource {
    client: HttpClient,
    role: HetznerRole,
    port: u16,
    label_selector: String,
    /// The URL of the API.
    endpoint: String,
}

impl HetznerSource {
    pub(crate) fn new(config: &HetznerSdConfig, client: HttpClient) -> Self {
        let role = config.role.unwrap_or_default();
        let endpoint = match role {
            HetznerRole::Hcloud => "https://api.hetzner.cloud/v1",
            HetznerRole::Robot => "https://robot-ws.your-server.de",
        };
        HetznerSource {
            client,
            role,
            port: config.port,
            label_selector: config.label_selector.clone(),
            endpoint: endpoint.to_owned(),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, RefreshError> {
        let request = self.client.get(&format!("{}{path}", self.endpoint)).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        fetch_json(request.query(query), &format!("GET {path}")).await
    }
}

impl Source for HetznerSource {
    const NAME: &'static str = "hetzner";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = match self.role {
            HetznerRole::Hcloud => self.hcloud().await?,
            HetznerRole::Robot => self.robot().await?,
        };
        Ok(vec![TargetGroup {
            source: "hetzner".to_owned(),
            targets,
            ..TargetGroup::default()
        }])
    }
}

/// Returns labels that both roles have.
fn labels(role: HetznerRole, id: u64, name: &str, status: &str) -> MetaLabels {
    let mut labels = MetaLabels::new(PREFIX);
    labels.set("role", role.name());
    labels.set("server_id", id);
    labels.set("server_name", name);
    labels.set("server_status", status);
    labels
}

#[cfg(test)]
mod tests;
