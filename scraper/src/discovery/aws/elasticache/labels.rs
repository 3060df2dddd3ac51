//! Which element of the answers becomes which label.

use crate::discovery::aws::xml::{Element, Fields};
use crate::discovery::labels::MetaLabels;

const CLUSTER: &str = "cache_cluster_";
const NODE: &str = "cache_cluster_node_";
const SERVERLESS: &str = "serverless_cache_";
/// What stands between the items of a list.
const SEPARATOR: &str = ",";

const CLUSTER_TEXTS: Fields = &[
    ("ARN", "arn"),
    ("AtRestEncryptionEnabled", "at_rest_encryption_enabled"),
    ("AuthTokenEnabled", "auth_token_enabled"),
    ("AutoMinorVersionUpgrade", "auto_minor_version_upgrade"),
    ("CacheClusterId", "cache_cluster_id"),
    ("CacheClusterStatus", "cache_cluster_status"),
    ("CacheNodeType", "cache_node_type"),
    (
        "CacheParameterGroup/CacheParameterGroupName",
        "cache_parameter_group",
    ),
    ("CacheSubnetGroupName", "cache_subnet_group_name"),
    ("ClientDownloadLandingPage", "client_download_landing_page"),
    (
        "ConfigurationEndpoint/Address",
        "configuration_endpoint_address",
    ),
    ("ConfigurationEndpoint/Port", "configuration_endpoint_port"),
    ("Engine", "engine"),
    ("EngineVersion", "engine_version"),
    ("IpDiscovery", "ip_discovery"),
    ("NetworkType", "network_type"),
    (
        "NotificationConfiguration/TopicArn",
        "notification_topic_arn",
    ),
    (
        "NotificationConfiguration/TopicStatus",
        "notification_topic_status",
    ),
    ("NumCacheNodes", "num_cache_nodes"),
    (
        "PendingModifiedValues/AuthTokenStatus",
        "pending_modified_values_auth_token_status",
    ),
    (
        "PendingModifiedValues/CacheNodeType",
        "pending_modified_values_cache_node_type",
    ),
    (
        "PendingModifiedValues/EngineVersion",
        "pending_modified_values_engine_version",
    ),
    (
        "PendingModifiedValues/NumCacheNodes",
        "pending_modified_values_num_cache_nodes",
    ),
    (
        "PendingModifiedValues/TransitEncryptionEnabled",
        "pending_modified_values_transit_encryption_enabled",
    ),
    (
        "PendingModifiedValues/TransitEncryptionMode",
        "pending_modified_values_transit_encryption_mode",
    ),
    ("PreferredAvailabilityZone", "preferred_availability_zone"),
    ("PreferredMaintenanceWindow", "preferred_maintenance_window"),
    ("PreferredOutpostArn", "preferred_outpost_arn"),
    ("ReplicationGroupId", "replication_group_id"),
    (
        "ReplicationGroupLogDeliveryEnabled",
        "replication_group_log_delivery_enabled",
    ),
    ("SnapshotRetentionLimit", "snapshot_retention_limit"),
    ("SnapshotWindow", "snapshot_window"),
    ("TransitEncryptionEnabled", "transit_encryption_enabled"),
    ("TransitEncryptionMode", "transit_encryption_mode"),
];

const CLUSTER_TIMES: Fields = &[
    ("AuthTokenLastModifiedDate", "auth_token_last_modified"),
    ("CacheClusterCreateTime", "cache_cluster_create_time"),
];

/// Those of one destination of logs, whose number follows the label.
const LOG_TEXTS: Fields = &[
    ("DestinationType", "destination_type"),
    ("LogFormat", "log_format"),
    ("LogType", "log_type"),
    ("Status", "status"),
    ("Message", "message"),
    (
        "DestinationDetails/CloudWatchLogsDetails/LogGroup",
        "log_group",
    ),
    (
        "DestinationDetails/KinesisFirehoseDetails/DeliveryStream",
        "delivery_stream",
    ),
];

const NODE_TEXTS: Fields = &[
    ("CacheNodeId", "id"),
    ("CacheNodeStatus", "status"),
    ("CustomerAvailabilityZone", "availability_zone"),
    ("CustomerOutpostArn", "customer_outpost_arn"),
    ("Endpoint/Address", "endpoint_address"),
    ("Endpoint/Port", "endpoint_port"),
    ("ParameterGroupStatus", "parameter_group_status"),
    ("SourceCacheNodeId", "source_cache_node_id"),
];

const SERVERLESS_TEXTS: Fields = &[
    ("ARN", "arn"),
    (
        "CacheUsageLimits/DataStorage/Maximum",
        "cache_usage_limit_data_storage_maximum",
    ),
    (
        "CacheUsageLimits/DataStorage/Minimum",
        "cache_usage_limit_data_storage_minimum",
    ),
    (
        "CacheUsageLimits/DataStorage/Unit",
        "cache_usage_limit_data_storage_unit",
    ),
    (
        "CacheUsageLimits/ECPUPerSecond/Maximum",
        "cache_usage_limit_ecpu_per_second_maximum",
    ),
    (
        "CacheUsageLimits/ECPUPerSecond/Minimum",
        "cache_usage_limit_ecpu_per_second_minimum",
    ),
    ("DailySnapshotTime", "daily_snapshot_time"),
    ("Description", "description"),
    ("Endpoint/Address", "endpoint_address"),
    ("Endpoint/Port", "endpoint_port"),
    ("Engine", "engine"),
    ("FullEngineVersion", "full_engine_version"),
    ("KmsKeyId", "kms_key_id"),
    ("MajorEngineVersion", "major_engine_version"),
    ("ReaderEndpoint/Address", "endpoint_reader_address"),
    ("ReaderEndpoint/Port", "endpoint_reader_port"),
    ("ServerlessCacheName", "name"),
    ("SnapshotRetentionLimit", "snapshot_retention_limit"),
    ("Status", "status"),
    ("UserGroupId", "user_group_id"),
];

/// Sets the labels of a cluster, which each of its nodes has.
pub(super) fn of_cluster(cluster: &Element, labels: &mut MetaLabels) {
    labels.set("deployment_option", "node");
    cluster.set_texts(labels, CLUSTER, CLUSTER_TEXTS);
    cluster.set_times(labels, CLUSTER, CLUSTER_TIMES);
    for (i, logs) in cluster
        .items("LogDeliveryConfigurations")
        .iter()
        .enumerate()
    {
        numbered(logs, labels, "log_delivery_configuration_", LOG_TEXTS, i);
    }
    let group: Fields = &[("SecurityGroupId", "id"), ("Status", "status")];
    for (i, member) in cluster.items("SecurityGroups").iter().enumerate() {
        numbered(member, labels, "security_group_membership_", group, i);
    }
    let removed = cluster.items("PendingModifiedValues/CacheNodeIdsToRemove");
    if !removed.is_empty() {
        let ids: Vec<_> = removed.iter().map(Element::text).collect();
        let name = format!("{CLUSTER}pending_modified_values_cache_node_ids_to_remove");
        labels.set(&name, ids.join(SEPARATOR));
    }
}

/// Sets labels of a cluster whose names end with a number.
fn numbered(element: &Element, labels: &mut MetaLabels, part: &str, fields: Fields, i: usize) {
    for (path, label) in fields {
        let text = element.text_at(path);
        if !text.is_empty() {
            labels.set(&format!("{CLUSTER}{part}{label}_{i}"), text);
        }
    }
}

/// Sets the labels that a node has besides those of its cluster.
pub(super) fn of_node(node: &Element, labels: &mut MetaLabels) {
    node.set_texts(labels, NODE, NODE_TEXTS);
    node.set_times(labels, NODE, &[("CacheNodeCreateTime", "create_time")]);
}

/// Sets the labels of a serverless cache.
pub(super) fn of_serverless(cache: &Element, labels: &mut MetaLabels) {
    labels.set("deployment_option", "serverless");
    cache.set_texts(labels, SERVERLESS, SERVERLESS_TEXTS);
    cache.set_times(labels, SERVERLESS, &[("CreateTime", "create_time")]);
    for (path, label) in [
        ("SecurityGroupIds", "security_group_id"),
        ("SubnetIds", "subnet_id"),
    ] {
        for (i, id) in cache.items(path).iter().enumerate() {
            labels.set(&format!("{SERVERLESS}{label}_{i}"), id.text());
        }
    }
}
