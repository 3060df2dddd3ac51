//! What the API answers, as far as it is used.

use model::de::or_default;
use serde::Deserialize;

/// One page of a list of names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(
        rename = "clusterArns",
        alias = "serviceArns",
        alias = "taskArns",
        default,
        deserialize_with = "or_default"
    )]
    pub(super) names: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) next_token: String,
}

#[derive(Deserialize)]
pub(super) struct Clusters {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) clusters: Vec<Cluster>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Cluster {
    pub(super) cluster_arn: String,
    pub(super) cluster_name: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: Vec<Tag>,
}

#[derive(Deserialize)]
pub(super) struct Services {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) services: Vec<Service>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Service {
    pub(super) service_arn: String,
    pub(super) service_name: String,
    pub(super) cluster_arn: String,
    pub(super) status: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: Vec<Tag>,
}

#[derive(Deserialize)]
pub(super) struct Tasks {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tasks: Vec<Task>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Task {
    pub(super) task_arn: String,
    pub(super) group: String,
    pub(super) task_definition_arn: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) launch_type: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) availability_zone: String,
    pub(super) desired_status: String,
    pub(super) last_status: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) health_status: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) platform_family: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) platform_version: String,
    /// Empty, if it runs on Fargate.
    #[serde(deserialize_with = "or_default")]
    pub(super) container_instance_arn: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) attachments: Vec<Attachment>,
    #[serde(deserialize_with = "or_default")]
    pub(super) tags: Vec<Tag>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Attachment {
    r#type: String,
    #[serde(deserialize_with = "or_default")]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    value: String,
}

#[derive(Deserialize)]
pub(super) struct Tag {
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerInstances {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) container_instances: Vec<ContainerInstance>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerInstance {
    pub(super) container_instance_arn: String,
    #[serde(deserialize_with = "or_default")]
    pub(super) ec2_instance_id: String,
}

impl Task {
    /// Returns the network interface of its own, if it has one.
    pub(super) fn interface(&self) -> Option<&Attachment> {
        let mut attachments = self.attachments.iter();
        attachments.find(|attachment| attachment.r#type == "ElasticNetworkInterface")
    }

    /// Returns what is said of that interface.
    pub(super) fn detail(&self, name: &str) -> Option<&str> {
        let mut details = self.interface()?.details.iter();
        let detail = details.find(|detail| detail.name == name)?;
        Some(&detail.value)
    }
}
