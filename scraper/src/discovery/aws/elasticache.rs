//! Nodes of the clusters that Amazon ElastiCache runs, and its serverless caches.
//!
//! ```text
//! cache clusters ─────► nodes ──┐
//! serverless caches ────────────┴──► tags of each resource
//! ```
//!
//! Addresses and ports are those where a cache is served. What has none yet is no target.
//!
//! Source: Amazon ElastiCache API, `DescribeCacheClusters`, `DescribeServerlessCaches` and `ListTagsForResource`; Prometheus
//! documentation, `<aws_sd_config>`, role `elasticache`.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;

use self::labels::{of_cluster, of_node, of_serverless};
use super::xml::Element;
use super::{AT_ONCE, Region, action};
use crate::discovery::TargetGroup;
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::{RefreshError, Source};

mod labels;

pub(crate) const SERVICE: &str = "elasticache";
const VERSION: &str = "2015-02-02";
/// How many clusters, and how many serverless caches, are on a page: the most that there can be.
const CLUSTERS_AT_ONCE: &str = "100";
const SERVERLESS_AT_ONCE: &str = "50";

/// Asks for the caches of one region.
pub(crate) struct ElastiCacheSource {
    region: Region,
    wanted: Vec<String>,
}

/// A resource that a configuration names.
#[derive(Debug, PartialEq, Eq)]
enum Wanted<'a> {
    Serverless(&'a str),
    Cluster(&'a str),
    ReplicationGroup(&'a str),
}

impl<'a> Wanted<'a> {
    /// Reads an ARN.
    fn of(arn: &'a str) -> Result<Self, RefreshError> {
        let parts: Vec<_> = arn.split(':').collect();
        match parts.as_slice() {
            [_, _, _, _, _, "serverlesscache", name] => Ok(Wanted::Serverless(name)),
            [_, _, _, _, _, "cluster", id] => Ok(Wanted::Cluster(id)),
            [_, _, _, _, _, "replicationgroup", id] => Ok(Wanted::ReplicationGroup(id)),
            _ => Err(RefreshError(format!(
                "clusters: {arn:?} is no ARN of a cache (expected arn:aws:elasticache:<region>:<account>: and then \
                 cluster:<id>, replicationgroup:<id> or serverlesscache:<name>)"
            ))),
        }
    }

    /// Whether it is this cluster, or has it.
    fn has(&self, cluster: &Element) -> bool {
        match self {
            Wanted::Serverless(_) => false,
            Wanted::Cluster(id) => cluster.text_at("CacheClusterId") == *id,
            Wanted::ReplicationGroup(id) => cluster.text_at("ReplicationGroupId") == *id,
        }
    }
}

impl ElastiCacheSource {
    /// Returns a source for the resources with these names (ARNs); for all, if there are none.
    pub(crate) fn new(region: Region, wanted: &[String]) -> Self {
        ElastiCacheSource {
            region,
            wanted: wanted.to_vec(),
        }
    }

    /// Returns the clusters that are wanted.
    ///
    /// They are listed whole: the API can be asked for one cluster, but not for those of a replication group.
    async fn clusters(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Element>, RefreshError> {
        if !wanted.is_empty() && wanted.iter().all(|w| matches!(w, Wanted::Serverless(_))) {
            return Ok(Vec::new());
        }
        let mut pairs = action("DescribeCacheClusters", VERSION);
        pairs.push(("ShowCacheNodeInfo".to_owned(), "true".to_owned()));
        pairs.push(("MaxRecords".to_owned(), CLUSTERS_AT_ONCE.to_owned()));
        let mut clusters = self
            .region
            .list(SERVICE, pairs, "CacheClusters", "Marker")
            .await?;
        if !wanted.is_empty() {
            clusters.retain(|cluster| wanted.iter().any(|wanted| wanted.has(cluster)));
        }
        Ok(clusters)
    }

    /// Returns the serverless caches that are wanted.
    async fn serverless(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Element>, RefreshError> {
        let mut pairs = action("DescribeServerlessCaches", VERSION);
        pairs.push(("MaxResults".to_owned(), SERVERLESS_AT_ONCE.to_owned()));
        if wanted.is_empty() {
            return self
                .region
                .list(SERVICE, pairs, "ServerlessCaches", "NextToken")
                .await;
        }
        let names = wanted.iter().filter_map(|wanted| match wanted {
            Wanted::Serverless(name) => Some((*name).to_owned()),
            _ => None,
        });
        // Each once, however often it is named.
        let names = Vec::from_iter(names.collect::<BTreeSet<_>>());
        let mut caches = Vec::new();
        for names in names.chunks(AT_ONCE) {
            let asked = names.iter().map(|name| {
                let mut pairs = pairs.clone();
                pairs.push(("ServerlessCacheName".to_owned(), name.clone()));
                self.region
                    .list(SERVICE, pairs, "ServerlessCaches", "NextToken")
            });
            caches.extend(try_join_all(asked).await?.into_iter().flatten());
        }
        Ok(caches)
    }

    async fn tags(&self, resource: &Element) -> Result<BTreeMap<String, String>, RefreshError> {
        let arn = resource.text_at("ARN");
        if arn.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut pairs = action("ListTagsForResource", VERSION);
        pairs.push(("ResourceName".to_owned(), arn.to_owned()));
        let answer = self.region.elements(SERVICE, &pairs).await?;
        Ok(answer.tags("TagList"))
    }

    /// Asks for the tags of each resource and adds its targets to `targets`.
    async fn add(
        &self,
        resources: &[Element],
        tag: &str,
        to_targets: fn(&Element, MetaLabels) -> Vec<BTreeMap<String, String>>,
        targets: &mut Vec<BTreeMap<String, String>>,
    ) -> Result<(), RefreshError> {
        for resources in resources.chunks(AT_ONCE) {
            let tags = try_join_all(resources.iter().map(|r| self.tags(r))).await?;
            for (resource, tags) in resources.iter().zip(tags) {
                let mut labels = MetaLabels::new("elasticache_");
                labels.set_all(tag, &tags);
                targets.extend(to_targets(resource, labels));
            }
        }
        Ok(())
    }
}

/// Returns the target that a serverless cache is, if it can be reached.
fn serverless_targets(cache: &Element, mut labels: MetaLabels) -> Vec<BTreeMap<String, String>> {
    of_serverless(cache, &mut labels);
    Vec::from_iter(at_endpoint(cache, labels))
}

/// Returns the nodes of a cluster that can be reached.
fn cluster_targets(cluster: &Element, mut labels: MetaLabels) -> Vec<BTreeMap<String, String>> {
    of_cluster(cluster, &mut labels);
    let nodes = cluster.items("CacheNodes").iter();
    let targets = nodes.filter_map(|node| {
        let mut labels = labels.clone();
        of_node(node, &mut labels);
        at_endpoint(node, labels)
    });
    targets.collect()
}

/// Returns the labels of what is served at the endpoint of `element`.
fn at_endpoint(element: &Element, labels: MetaLabels) -> Option<BTreeMap<String, String>> {
    let host = element.text_at("Endpoint/Address");
    let port = element.text_at("Endpoint/Port").parse().ok()?;
    (!host.is_empty()).then(|| labels.at(host, port))
}

impl Source for ElastiCacheSource {
    const NAME: &'static str = "elasticache";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let wanted = self.wanted.iter().map(|arn| Wanted::of(arn));
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let region = self.region.name().await?;
        let caches = self.serverless(&wanted).await?;
        let clusters = self.clusters(&wanted).await?;
        let mut targets = Vec::new();
        let tag = "serverless_cache_tag_";
        self.add(&caches, tag, serverless_targets, &mut targets)
            .await?;
        self.add(
            &clusters,
            "cache_cluster_tag_",
            cluster_targets,
            &mut targets,
        )
        .await?;
        Ok(vec![TargetGroup {
            source: region,
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests;
