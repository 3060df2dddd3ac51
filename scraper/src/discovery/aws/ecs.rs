//! Tasks of the services that Amazon ECS runs.
//!
//! ```text
//! clusters ──► services, ten at a time ──┐
//!         └──► tasks, a hundred at a time ┴──► container instances ──► EC2 instances (addresses of tasks without their own)
//!                                         └──► network interfaces (public addresses)
//! ```
//!
//! Public addresses of tasks are left out if they may not be asked for; everything else that fails, fails all.
//!
//! Source: Amazon ECS API; Prometheus documentation, `<aws_sd_config>`, role `ecs`.

use std::collections::{BTreeMap, HashMap};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::answers::{
    Cluster, Clusters, ContainerInstances, Page, Service, Services, Tag, Task, Tasks,
};
use super::Region;
use super::ec2::{Instance, instances_of, public_ips_of};
use crate::discovery::TargetGroup;
use crate::discovery::labels::MetaLabels;
use crate::discovery::refresh::{PAGES_MAX, RefreshError, Source};

mod answers;

pub(crate) const SERVICE: &str = "ecs";
const API: &str = "AmazonEC2ContainerServiceV20141113";
/// How many services can be asked about at once, and how many of everything else.
const SERVICES_AT_ONCE: usize = 10;
const AT_ONCE: usize = 100;
/// What the group of a service's task begins with.
const OF_SERVICE: &str = "service:";

/// Asks for the tasks of one region.
pub(crate) struct EcsSource {
    region: Region,
    port: u16,
    clusters: Vec<String>,
}

/// What is known about where the tasks of a cluster are.
#[derive(Default)]
struct Surroundings {
    /// EC2 instances by container instance.
    machines: HashMap<String, Instance>,
    /// Public addresses by network interface.
    public_ips: HashMap<String, String>,
}

impl EcsSource {
    pub(crate) fn new(region: Region, port: u16, clusters: &[String]) -> Self {
        EcsSource {
            region,
            port,
            clusters: clusters.to_vec(),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        action: &str,
        body: &Value,
    ) -> Result<T, RefreshError> {
        let target = format!("{API}.{action}");
        self.region.json(SERVICE, &target, body).await
    }

    /// Asks for a list of names, all its pages.
    async fn list(&self, action: &str, mut body: Value) -> Result<Vec<String>, RefreshError> {
        let mut names = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: Page = self.ask(action, &body).await?;
            names.extend(page.names);
            if page.next_token.is_empty() {
                return Ok(names);
            }
            body["nextToken"] = page.next_token.into();
        }
        Err(RefreshError::too_many_pages(&format!("ecs {action}")))
    }

    async fn clusters(&self, names: &[String]) -> Result<HashMap<String, Cluster>, RefreshError> {
        let mut clusters = HashMap::new();
        for names in names.chunks(AT_ONCE) {
            let body = json!({ "clusters": names, "include": ["TAGS"] });
            let found: Clusters = self.ask("DescribeClusters", &body).await?;
            let found = found.clusters.into_iter();
            clusters.extend(found.map(|cluster| (cluster.cluster_arn.clone(), cluster)));
        }
        Ok(clusters)
    }

    /// Returns the services of a cluster by name.
    async fn services(&self, cluster: &str) -> Result<HashMap<String, Service>, RefreshError> {
        let body = json!({ "cluster": cluster, "maxResults": AT_ONCE });
        let arns = self.list("ListServices", body).await?;
        let mut services = HashMap::new();
        for arns in arns.chunks(SERVICES_AT_ONCE) {
            let body = json!({ "cluster": cluster, "services": arns, "include": ["TAGS"] });
            let found: Services = self.ask("DescribeServices", &body).await?;
            let found = found.services.into_iter();
            services.extend(found.map(|service| (service.service_name.clone(), service)));
        }
        Ok(services)
    }

    async fn tasks(&self, cluster: &str) -> Result<Vec<Task>, RefreshError> {
        let body = json!({ "cluster": cluster, "maxResults": AT_ONCE });
        let arns = self.list("ListTasks", body).await?;
        let mut tasks = Vec::new();
        for arns in arns.chunks(AT_ONCE) {
            let body = json!({ "cluster": cluster, "tasks": arns, "include": ["TAGS"] });
            let found: Tasks = self.ask("DescribeTasks", &body).await?;
            tasks.extend(found.tasks);
        }
        Ok(tasks)
    }

    async fn surroundings(
        &self,
        cluster: &str,
        tasks: &[&Task],
    ) -> Result<Surroundings, RefreshError> {
        let mut surroundings = Surroundings::default();
        let unique = |arns: Vec<&str>| -> Vec<String> {
            let unique: std::collections::BTreeSet<&str> = arns.into_iter().collect();
            unique.into_iter().map(str::to_owned).collect()
        };
        let arns = tasks
            .iter()
            .map(|task| task.container_instance_arn.as_str());
        let arns = unique(arns.filter(|arn| !arn.is_empty()).collect());
        for arns in arns.chunks(AT_ONCE) {
            let body = json!({ "cluster": cluster, "containerInstances": arns });
            let found: ContainerInstances = self.ask("DescribeContainerInstances", &body).await?;
            let found = found.container_instances.into_iter();
            let by_id: Vec<_> = found
                .map(|i| (i.ec2_instance_id, i.container_instance_arn))
                .collect();
            let ids = unique(
                by_id
                    .iter()
                    .map(|(id, _)| id.as_str())
                    .filter(|id| !id.is_empty())
                    .collect(),
            );
            let machines = instances_of(&self.region, &ids).await?;
            let machines = machines.into_iter();
            let machines: HashMap<_, _> = machines.map(|m| (m.instance_id.clone(), m)).collect();
            for (id, arn) in by_id {
                if let Some(machine) = machines.get(&id) {
                    surroundings.machines.insert(arn, machine.clone());
                }
            }
        }
        let interfaces = tasks
            .iter()
            .filter_map(|task| task.detail("networkInterfaceId"));
        let interfaces = unique(interfaces.collect());
        for ids in interfaces.chunks(AT_ONCE) {
            match public_ips_of(&self.region, ids).await {
                Ok(ips) => surroundings.public_ips.extend(ips),
                Err(error) => {
                    tracing::warn!(%error, cluster, "tasks are without their public addresses");
                    break;
                }
            }
        }
        Ok(surroundings)
    }

    /// Returns the labels of a task, if it has an address: its own, else its machine's.
    fn target(
        &self,
        region: &str,
        cluster: Option<&Cluster>,
        service: &Service,
        task: &Task,
        surroundings: &Surroundings,
    ) -> Option<BTreeMap<String, String>> {
        let machine = surroundings.machines.get(&task.container_instance_arn);
        let of_machine = |field: fn(&Instance) -> &String| machine.map_or("", |m| field(m));
        let has_own = task.interface().is_some();
        let (mode, host, subnet, public) = if has_own {
            let interface = task.detail("networkInterfaceId").unwrap_or_default();
            let public = surroundings.public_ips.get(interface);
            (
                "awsvpc",
                task.detail("privateIPv4Address").unwrap_or_default(),
                task.detail("subnetId").unwrap_or_default(),
                public.map_or("", String::as_str),
            )
        } else {
            (
                "bridge",
                of_machine(|m| &m.private_ip_address),
                of_machine(|m| &m.subnet_id),
                of_machine(|m| &m.ip_address),
            )
        };
        if host.is_empty() {
            return None;
        }
        let mut labels = MetaLabels::new("ecs_");
        labels.set("cluster_arn", &service.cluster_arn);
        labels.set("service", &service.service_name);
        labels.set("service_arn", &service.service_arn);
        labels.set("service_status", &service.status);
        labels.set("task_group", &task.group);
        labels.set("task_arn", &task.task_arn);
        labels.set("task_definition", &task.task_definition_arn);
        labels.set("ip_address", host);
        labels.set("region", region);
        labels.set("launch_type", &task.launch_type);
        labels.set("availability_zone", &task.availability_zone);
        labels.set("desired_status", &task.desired_status);
        labels.set("last_status", &task.last_status);
        labels.set("health_status", &task.health_status);
        labels.set("network_mode", mode);
        for (name, value) in [
            ("subnet_id", subnet),
            ("public_ip", public),
            ("container_instance_arn", &task.container_instance_arn),
            ("ec2_instance_id", of_machine(|m| &m.instance_id)),
            ("ec2_instance_type", of_machine(|m| &m.instance_type)),
            (
                "ec2_instance_private_ip",
                of_machine(|m| &m.private_ip_address),
            ),
            ("ec2_instance_public_ip", of_machine(|m| &m.ip_address)),
            ("platform_family", &task.platform_family),
            ("platform_version", &task.platform_version),
        ] {
            if !value.is_empty() {
                labels.set(name, value);
            }
        }
        if let Some(cluster) = cluster {
            labels.set("cluster", &cluster.cluster_name);
            labels.set_all("tag_cluster_", &pairs(&cluster.tags));
        }
        labels.set_all("tag_service_", &pairs(&service.tags));
        labels.set_all("tag_task_", &pairs(&task.tags));
        if let Some(machine) = machine {
            labels.set_all("tag_ec2_", &machine.tags());
        }
        Some(labels.at(host, self.port))
    }
}

fn pairs(tags: &[Tag]) -> BTreeMap<String, String> {
    let tags = tags
        .iter()
        .filter_map(|tag| Some((tag.key.clone()?, tag.value.clone()?)));
    tags.collect()
}

impl Source for EcsSource {
    const NAME: &'static str = "ecs";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let region = self.region.name().await?;
        let names = match self.clusters.as_slice() {
            [] => self.list("ListClusters", json!({})).await?,
            names => names.to_vec(),
        };
        let clusters = self.clusters(&names).await?;
        let mut targets = Vec::new();
        for name in &names {
            let services = self.services(name).await?;
            if services.is_empty() {
                continue;
            }
            let tasks = self.tasks(name).await?;
            let of_service = |task: &Task| services.get(task.group.strip_prefix(OF_SERVICE)?);
            let tasks: Vec<&Task> = tasks.iter().filter(|t| of_service(t).is_some()).collect();
            let surroundings = self.surroundings(name, &tasks).await?;
            let found = tasks.iter().filter_map(|task| {
                let service = of_service(task)?;
                let cluster = clusters.get(&service.cluster_arn);
                self.target(&region, cluster, service, task, &surroundings)
            });
            targets.extend(found);
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
