use serde_json::{Value, json};

use super::*;
use crate::discovery::aws::ec2::tests::region_of;
use crate::discovery::testing::{Answer, Api, Asked, printed};

const ARN: &str = "arn:aws:kafka:eu-west-1:1:cluster/c/uuid-1";
const ESCAPED: &str = "arn%3Aaws%3Akafka%3Aeu-west-1%3A1%3Acluster%2Fc%2Fuuid-1";

fn source(api: &Api, clusters: &[&str]) -> MskSource {
    let clusters: Vec<_> = clusters.iter().map(|arn| (*arn).to_owned()).collect();
    MskSource::new(region_of(SERVICE, api, &[]), 11001, &clusters)
}

fn cluster(kind: &str) -> Value {
    json!({
        "clusterType": kind, "clusterArn": ARN, "clusterName": "c", "creationTime": "2024-01-01T00:00:00Z",
        "currentVersion": "K3", "state": "ACTIVE", "tags": {"team-a": "x"}, "activeOperationArn": null,
        "provisioned": {
            "brokerNodeGroupInfo": {"instanceType": "kafka.m5.large"}, "numberOfBrokerNodes": 3,
            "currentBrokerSoftwareInfo": {"kafkaVersion": "3.6.0", "configurationArn": "arn:conf", "configurationRevision": 2},
            "openMonitoring": {"prometheus": {"jmxExporter": {"enabledInBroker": true}, "nodeExporter": {"enabledInBroker": false}}},
        },
    })
}

fn answer(asked: &Asked) -> Answer {
    assert_eq!(asked.method, "GET");
    let nodes = format!("/v1/clusters/{ESCAPED}/nodes");
    let whole = format!("/api/v2/clusters/{ESCAPED}");
    let answer = match (asked.path.as_str(), asked.query.as_str()) {
        ("/api/v2/clusters", "clusterTypeFilter=PROVISIONED&maxResults=100") => {
            json!({ "clusterInfoList": [], "nextToken": "a+/=" })
        }
        (
            "/api/v2/clusters",
            "clusterTypeFilter=PROVISIONED&maxResults=100&nextToken=a%2B%2F%3D",
        ) => json!({ "clusterInfoList": [cluster("PROVISIONED")] }),
        (path, "") if path == whole => json!({ "clusterInfo": cluster("PROVISIONED") }),
        ("/api/v2/clusters/serverless", "") => json!({ "clusterInfo": cluster("SERVERLESS") }),
        (path, "maxResults=100") if path == nodes => json!({ "nextToken": "n", "nodeInfoList": [{
            "nodeType": "BROKER", "nodeARN": "arn:node/1", "instanceType": "m5.large",
            "addedToClusterTime": "2024-01-01T00:00:00.5Z", "brokerNodeInfo": {
                "attachedENIId": "eni-1", "brokerId": 1.0, "clientSubnet": "subnet-1", "clientVpcIpAddress": "10.0.0.1",
                "endpoints": ["b-1.c.kafka", "b-1-2.c.kafka"]}}] }),
        (path, "maxResults=100&nextToken=n") if path == nodes => json!({ "nodeInfoList": [
            {"nodeARN": "arn:node/2", "controllerNodeInfo": {"endpoints": ["c-1.c.kafka"]}, "brokerNodeInfo": null},
            {"nodeARN": "arn:node/3", "zookeeperNodeInfo": {"endpoints": ["z-1"]}}] }),
        _ => return Answer::status(404),
    };
    Answer::json(answer.to_string())
}

#[tokio::test]
async fn brokers_and_controllers_on_two_pages_of_clusters_on_two_pages() {
    let api = Api::start(answer).await;
    let groups = source(&api, &[]).groups().await.unwrap();
    assert_eq!(groups[0].source, "eu-west-1");
    let of_cluster = "msk_cluster_arn=\"arn:aws:kafka:eu-west-1:1:cluster/c/uuid-1\" \
        msk_cluster_configuration_arn=\"arn:conf\" msk_cluster_configuration_revision=\"2\" \
        msk_cluster_jmx_exporter_enabled=\"true\" msk_cluster_kafka_version=\"3.6.0\" msk_cluster_name=\"c\" \
        msk_cluster_state=\"ACTIVE\" msk_cluster_tag_team_a=\"x\" msk_cluster_type=\"PROVISIONED\" msk_cluster_version=\"K3\"";
    let broker = |host: &str, index: usize| {
        format!(
            "{host}:11001 msk_broker_client_subnet=\"subnet-1\" msk_broker_client_vpc_ip=\"10.0.0.1\" \
             msk_broker_endpoint_index=\"{index}\" msk_broker_id=\"1\" msk_broker_node_exporter_enabled=\"false\" {of_cluster} \
             msk_node_added_time=\"2024-01-01T00:00:00.5Z\" msk_node_arn=\"arn:node/1\" msk_node_attached_eni=\"eni-1\" \
             msk_node_instance_type=\"m5.large\" msk_node_type=\"BROKER\""
        )
    };
    let controller = format!(
        "c-1.c.kafka:11001 {of_cluster} msk_controller_endpoint_index=\"0\" msk_node_added_time=\"\" \
         msk_node_arn=\"arn:node/2\" msk_node_instance_type=\"\" msk_node_type=\"CONTROLLER\""
    );
    let expected = [
        broker("b-1.c.kafka", 0),
        broker("b-1-2.c.kafka", 1),
        controller,
    ];
    assert_eq!(printed(&groups), expected);
    for asked in api.asked() {
        assert!(
            asked.headers["authorization"].contains(
                "/eu-west-1/kafka/aws4_request, SignedHeaders=host;x-amz-date, Signature="
            )
        );
    }
}

#[tokio::test]
async fn clusters_that_are_named_are_not_listed_and_serverless_ones_have_no_nodes() {
    let api = Api::start(answer).await;
    let groups = source(&api, &[ARN, "serverless"]).groups().await.unwrap();
    assert_eq!(groups[0].targets.len(), 3);
    assert!(
        api.asked()
            .iter()
            .all(|asked| asked.path != "/api/v2/clusters")
    );
}

#[tokio::test]
async fn what_fails_fails_all() {
    let api = Api::start(|asked| match asked.path.ends_with("/nodes") {
        true => Answer::Whole(
            403,
            "application/json",
            r#"{"message": "not you"}"#.to_owned(),
        )
        .with_header("x-amzn-ErrorType", "ForbiddenException"),
        false => answer(asked),
    })
    .await;
    let error = source(&api, &[ARN]).groups().await.unwrap_err();
    let expected = format!("kafka ListNodes {ARN}: HTTP status 403: ForbiddenException: not you");
    assert_eq!(error.to_string(), expected);
}
