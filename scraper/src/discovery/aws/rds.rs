//! Instances of the database clusters that Amazon RDS runs.
//!
//! Instances that are in no cluster are not found, as in Prometheus. The address is that of the instance, the port that of the
//! configuration; what has no address yet is no target.
//!
//! Source: Amazon RDS API, `DescribeDBClusters` and `DescribeDBInstances`; Prometheus documentation, `<aws_sd_config>`, role `rds`.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use self::labels::{of_cluster, of_instance};
use super::xml::Element;
use super::{AT_ONCE, Pairs, Region, action};
use crate::config::sd::Ec2Filter;
use crate::discovery::TargetGroup;
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::{RefreshError, Source};

mod labels;

pub(crate) const SERVICE: &str = "rds";
const VERSION: &str = "2014-10-31";
/// How many clusters or instances are on a page: the most that there can be.
const PAGE_ITEMS: &str = "100";

/// Asks for the instances of one region.
pub(crate) struct RdsSource {
    region: Region,
    port: u16,
    clusters: Vec<String>,
    filters: Vec<Ec2Filter>,
}

impl RdsSource {
    /// Returns a source for the clusters with these names (ARNs or identifiers), for all if there are none, and of these for the
    /// instances that `filters` let through.
    pub(crate) fn new(
        region: Region,
        port: u16,
        clusters: &[String],
        filters: &[Ec2Filter],
    ) -> Self {
        RdsSource {
            region,
            port,
            clusters: clusters.to_vec(),
            filters: filters.to_vec(),
        }
    }

    /// Returns the clusters that are wanted.
    async fn clusters(&self) -> Result<Vec<Element>, RefreshError> {
        let pairs = action("DescribeDBClusters", VERSION);
        if self.clusters.is_empty() {
            return self.list(pairs, "DBClusters").await;
        }
        let mut clusters = Vec::new();
        for names in self.clusters.chunks(AT_ONCE) {
            let asked = names.iter().map(|name| {
                let mut pairs = pairs.clone();
                pairs.push(("DBClusterIdentifier".to_owned(), name.clone()));
                self.list(pairs, "DBClusters")
            });
            clusters.extend(try_join_all(asked).await?.into_iter().flatten());
        }
        Ok(clusters)
    }

    /// Returns the instances of a cluster.
    async fn instances(&self, cluster: &Element) -> Result<Vec<Element>, RefreshError> {
        let of_cluster = Ec2Filter {
            name: "db-cluster-id".to_owned(),
            values: vec![cluster.text_at("DBClusterArn").to_owned()],
        };
        let mut pairs = action("DescribeDBInstances", VERSION);
        let filters = std::iter::once(&of_cluster).chain(&self.filters);
        for (i, filter) in (1..).zip(filters) {
            let part = format!("Filters.Filter.{i}");
            pairs.push((format!("{part}.Name"), filter.name.clone()));
            for (j, value) in (1..).zip(&filter.values) {
                pairs.push((format!("{part}.Values.Value.{j}"), value.clone()));
            }
        }
        self.list(pairs, "DBInstances").await
    }

    /// Asks for a list, all its pages; `items` is the element that has the items.
    async fn list(&self, mut pairs: Pairs, items: &str) -> Result<Vec<Element>, RefreshError> {
        pairs.push(("MaxRecords".to_owned(), PAGE_ITEMS.to_owned()));
        self.region.list(SERVICE, pairs, items, "Marker").await
    }

    /// Returns the labels of an instance, if it has an address.
    fn target(&self, cluster: &Element, instance: &Element) -> Option<BTreeMap<String, String>> {
        let host = instance.text_at("Endpoint/Address");
        if host.is_empty() {
            return None;
        }
        let mut labels = MetaLabels::new("rds_");
        of_cluster(cluster, &mut labels);
        of_instance(instance, &mut labels);
        let id = instance.text_at("DBInstanceIdentifier");
        let mut members = cluster.items("DBClusterMembers").iter();
        if let Some(member) = members.find(|m| m.text_at("DBInstanceIdentifier") == id)
            && let is_writer @ ("true" | "false") = member.text_at("IsClusterWriter")
        {
            labels.set("instance_is_cluster_writer", is_writer);
        }
        Some(labels.at(host, self.port))
    }
}

impl Source for RdsSource {
    const NAME: &'static str = "rds";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.region.name().await?;
        let mut clusters = self.clusters().await?;
        // A configuration may name one twice, by its ARN and by its identifier.
        clusters.sort_by(|a, b| a.text_at("DBClusterArn").cmp(b.text_at("DBClusterArn")));
        clusters.dedup_by(|a, b| a.text_at("DBClusterArn") == b.text_at("DBClusterArn"));
        let mut targets = Vec::new();
        for clusters in clusters.chunks(AT_ONCE) {
            let instances = try_join_all(clusters.iter().map(|c| self.instances(c))).await?;
            for (cluster, instances) in clusters.iter().zip(&instances) {
                let found = instances.iter().filter_map(|i| self.target(cluster, i));
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
