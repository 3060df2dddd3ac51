//! What the Alertmanager says of itself, and its receivers.

use std::collections::BTreeMap;

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::{Api, Handled, Query, json, time};
use crate::cluster::ClusterStatus;

/// The version of Alertmanager whose API this is: amtool and others choose what they ask for by it.
pub const ALERTMANAGER_VERSION: &str = "0.33.1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    cluster: Cluster,
    config: Config<'a>,
    uptime: String,
    version_info: VersionInfo,
}

#[derive(Serialize)]
struct Cluster {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    peers: Vec<Peer>,
    status: &'static str,
}

#[derive(Serialize)]
struct Peer {
    address: String,
    name: String,
}

impl Cluster {
    fn of(status: Option<ClusterStatus>) -> Self {
        let Some(cluster) = status else {
            return Cluster {
                name: String::new(),
                peers: Vec::new(),
                status: "disabled",
            };
        };
        let peers = cluster.peers.into_iter();
        Cluster {
            name: cluster.name,
            peers: peers
                .map(|(name, address)| Peer { address, name })
                .collect(),
            status: if cluster.is_settled {
                "ready"
            } else {
                "settling"
            },
        }
    }
}

#[derive(Serialize)]
struct Config<'a> {
    original: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionInfo {
    branch: &'static str,
    build_date: &'static str,
    build_user: &'static str,
    go_version: &'static str,
    revision: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Receiver<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    name: &'a str,
}

impl Api {
    pub(super) fn status(&self) -> Response {
        let config = self.alertmanager.config();
        let status = Status {
            cluster: Cluster::of(self.alertmanager.cluster_status()),
            config: Config {
                original: &config.original,
            },
            uptime: time::print(self.options.started_at_ms),
            version_info: VersionInfo {
                branch: "",
                build_date: "",
                build_user: "",
                go_version: "",
                revision: concat!("hearth-", env!("CARGO_PKG_VERSION")),
                version: ALERTMANAGER_VERSION,
            },
        };
        json(StatusCode::OK, &status, "\n")
    }

    pub(super) fn receivers(&self, query: &Query) -> Handled {
        let filter = query.receivers(self.matcher_mode())?;
        let config = self.alertmanager.config();
        let receivers = config.receivers.iter();
        let shown = receivers
            .filter(|receiver| filter.passes(&receiver.name, Some(&receiver.labels)))
            .map(|receiver| Receiver {
                labels: receiver.labels.iter().collect(),
                name: &receiver.name,
            });
        Ok(json(StatusCode::OK, &shown.collect::<Vec<_>>(), "\n"))
    }
}
