//! Nodes of the Kafka clusters that Amazon MSK runs: brokers and controllers, one target for each of their endpoints.
//!
//! Only provisioned clusters have nodes; others are passed over.
//!
//! Source: Amazon MSK API, `/api/v2/clusters` and `/v1/clusters/…/nodes`; Prometheus documentation, `<aws_sd_config>`, role `msk`.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use net::escape::component;

use self::answers::{Cluster, ClusterAnswer, Clusters, Node, Nodes};
use super::{AT_ONCE, Region};
use crate::discovery::TargetGroup;
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::{PAGES_MAX, RefreshError, Source};

mod answers;

pub(crate) const SERVICE: &str = "kafka";
/// The type of the clusters that have nodes.
const PROVISIONED: &str = "PROVISIONED";
/// How many clusters or nodes are on a page: the most that there can be.
const PAGE_ITEMS: u32 = 100;

/// Asks for the nodes of one region.
pub(crate) struct MskSource {
    region: Region,
    port: u16,
    clusters: Vec<String>,
}

impl MskSource {
    /// Returns a source for the clusters with these names (ARNs); for all, if there are none.
    pub(crate) fn new(region: Region, port: u16, clusters: &[String]) -> Self {
        MskSource {
            region,
            port,
            clusters: clusters.to_vec(),
        }
    }

    async fn list(&self) -> Result<Vec<Cluster>, RefreshError> {
        const ASKED: &str = "kafka ListClustersV2";
        let first =
            format!("/api/v2/clusters?clusterTypeFilter={PROVISIONED}&maxResults={PAGE_ITEMS}");
        let (mut clusters, mut path) = (Vec::new(), first.clone());
        for _ in 0..PAGES_MAX {
            let page: Clusters = self.region.get(SERVICE, &path, ASKED).await?;
            clusters.extend(page.cluster_info_list);
            if page.next_token.is_empty() {
                return Ok(clusters);
            }
            path = format!("{first}&nextToken={}", component(&page.next_token));
        }
        Err(RefreshError::too_many_pages(ASKED))
    }

    async fn describe(&self, arn: &str) -> Result<Option<Cluster>, RefreshError> {
        let path = format!("/api/v2/clusters/{}", component(arn));
        let asked = format!("kafka DescribeClusterV2 {arn}");
        let answer: ClusterAnswer = self.region.get(SERVICE, &path, &asked).await?;
        let cluster = answer.cluster_info;
        if cluster.cluster_type != PROVISIONED {
            tracing::warn!(
                cluster = arn,
                kind = cluster.cluster_type,
                "only provisioned clusters have nodes that can be scraped"
            );
            return Ok(None);
        }
        Ok(Some(cluster))
    }

    async fn nodes(&self, cluster: &str) -> Result<Vec<Node>, RefreshError> {
        let asked = format!("kafka ListNodes {cluster}");
        let first = format!(
            "/v1/clusters/{}/nodes?maxResults={PAGE_ITEMS}",
            component(cluster)
        );
        let (mut nodes, mut path) = (Vec::new(), first.clone());
        for _ in 0..PAGES_MAX {
            let page: Nodes = self.region.get(SERVICE, &path, &asked).await?;
            nodes.extend(page.node_info_list);
            if page.next_token.is_empty() {
                return Ok(nodes);
            }
            path = format!("{first}&nextToken={}", component(&page.next_token));
        }
        Err(RefreshError::too_many_pages(&asked))
    }

    /// Returns the labels of each endpoint of a node.
    fn targets(&self, cluster: &Cluster, node: &Node) -> Vec<BTreeMap<String, String>> {
        let mut labels = of_cluster(cluster);
        labels.set("node_arn", &node.node_arn);
        labels.set("node_added_time", &node.added_to_cluster_time);
        labels.set("node_instance_type", &node.instance_type);
        let monitoring = &cluster.provisioned.open_monitoring.prometheus;
        let (endpoints, index) = if let Some(broker) = &node.broker_node_info {
            labels.set("node_type", "BROKER");
            labels.set("node_attached_eni", &broker.attached_eni_id);
            labels.set("broker_id", format!("{:.0}", broker.broker_id));
            labels.set("broker_client_subnet", &broker.client_subnet);
            labels.set("broker_client_vpc_ip", &broker.client_vpc_ip_address);
            if let Some(exporter) = &monitoring.node_exporter {
                labels.set("broker_node_exporter_enabled", exporter.enabled_in_broker);
            }
            (&broker.endpoints, "broker_endpoint_index")
        } else if let Some(controller) = &node.controller_node_info {
            labels.set("node_type", "CONTROLLER");
            (&controller.endpoints, "controller_endpoint_index")
        } else {
            return Vec::new();
        };
        let endpoints = endpoints.iter().enumerate();
        let targets = endpoints.map(|(i, endpoint)| {
            let mut labels = labels.clone();
            labels.set(index, i);
            labels.at(endpoint, self.port)
        });
        targets.collect()
    }
}

/// Returns the labels of a cluster.
fn of_cluster(cluster: &Cluster) -> MetaLabels {
    let mut labels = MetaLabels::new("msk_");
    labels.set("cluster_name", &cluster.cluster_name);
    labels.set("cluster_arn", &cluster.cluster_arn);
    labels.set("cluster_state", &cluster.state);
    labels.set("cluster_type", &cluster.cluster_type);
    labels.set("cluster_version", &cluster.current_version);
    let software = &cluster.provisioned.current_broker_software_info;
    labels.set("cluster_kafka_version", &software.kafka_version);
    if !software.configuration_arn.is_empty() {
        labels.set("cluster_configuration_arn", &software.configuration_arn);
    }
    if let Some(revision) = software.configuration_revision {
        labels.set("cluster_configuration_revision", revision);
    }
    if let Some(exporter) = &cluster.provisioned.open_monitoring.prometheus.jmx_exporter {
        labels.set("cluster_jmx_exporter_enabled", exporter.enabled_in_broker);
    }
    labels.set_all("cluster_tag_", &cluster.tags);
    labels
}

impl Source for MskSource {
    const NAME: &'static str = "msk";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.region.name().await?;
        let mut clusters = Vec::new();
        for arns in self.clusters.chunks(AT_ONCE) {
            let found = try_join_all(arns.iter().map(|arn| self.describe(arn))).await?;
            clusters.extend(found.into_iter().flatten());
        }
        if self.clusters.is_empty() {
            clusters = self.list().await?;
        }
        let mut targets = Vec::new();
        for clusters in clusters.chunks(AT_ONCE) {
            let asked = clusters.iter().map(|c| self.nodes(&c.cluster_arn));
            let nodes = try_join_all(asked).await?;
            for (cluster, nodes) in clusters.iter().zip(&nodes) {
                let found = nodes.iter().flat_map(|node| self.targets(cluster, node));
                targets.extend(found);
            }
        }
        Ok(vec![TargetGroup {
            source: region,
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests;
