use super::*;
use crate::discovery::aws::ec2::tests::region_of;
use crate::discovery::testing::{Answer, Api, Asked, printed};

const CLUSTER: &str = "arn:aws:ecs:eu-west-1:1:cluster/c";

/// A source whose ECS and EC2 are `api`.
fn source(api: &Api, clusters: &[&str]) -> EcsSource {
    let url = api.url("/ec2");
    let region = region_of(SERVICE, api, &[("AWS_ENDPOINT_URL_EC2", &url)]);
    let clusters: Vec<_> = clusters.iter().map(|name| (*name).to_owned()).collect();
    EcsSource::new(region, 8080, &clusters)
}

fn task(name: &str, group: &str) -> Value {
    json!({
        "taskArn": format!("arn:task/{name}"), "group": group, "taskDefinitionArn": "arn:def/web:1", "launchType": "FARGATE",
        "availabilityZone": "eu-west-1a", "desiredStatus": "RUNNING", "lastStatus": "RUNNING", "healthStatus": "HEALTHY",
        "platformFamily": "Linux", "platformVersion": "1.4.0", "containers": [], "version": 3,
        "attachments": [{"id": "a", "type": "ElasticNetworkInterface", "status": "ATTACHED", "details": [
            {"name": "subnetId", "value": "subnet-1"}, {"name": "networkInterfaceId", "value": "eni-1"},
            {"name": "privateIPv4Address", "value": "10.0.1.100"}]}],
        "tags": [{"key": "Env", "value": "prod"}],
    })
}

fn ec2(asked: &Asked) -> Answer {
    match asked.body.as_str() {
        "Action=DescribeNetworkInterfaces&Version=2016-11-15&NetworkInterfaceId.1=eni-1" => {
            Answer::xml(
                "<DescribeNetworkInterfacesResponse><networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId>\
             <association><publicIp>203.0.113.9</publicIp></association></item>\
             <item><networkInterfaceId>eni-2</networkInterfaceId></item></networkInterfaceSet></DescribeNetworkInterfacesResponse>",
            )
        }
        "Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-1" => Answer::xml(
            "<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>\
             <instanceType>t3.small</instanceType><subnetId>subnet-2</subnetId><privateIpAddress>10.0.2.5</privateIpAddress>\
             <ipAddress>203.0.113.5</ipAddress><tagSet><item><key>Name</key><value>host</value></item></tagSet></item></instancesSet>\
             </item></reservationSet></DescribeInstancesResponse>",
        ),
        _ => Answer::status(400),
    }
}

fn answer(asked: &Asked) -> Answer {
    if asked.path == "/ec2" {
        return ec2(asked);
    }
    let action = asked.headers["x-amz-target"].strip_prefix("AmazonEC2ContainerServiceV20141113.");
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let answer = match action.unwrap() {
        "ListClusters" if body["nextToken"].is_null() => {
            json!({ "clusterArns": [], "nextToken": "more" })
        }
        "ListClusters" => json!({ "clusterArns": [CLUSTER] }),
        "DescribeClusters" if body["clusters"] == json!([CLUSTER]) => json!({ "clusters": [
            {"clusterArn": CLUSTER, "clusterName": "c", "status": "ACTIVE", "tags": [{"key": "team", "value": "x"}]}] }),
        "ListServices" if body["cluster"] == CLUSTER => {
            json!({ "serviceArns": ["arn:service/c/web"] })
        }
        "DescribeServices" => {
            json!({ "services": [{"serviceArn": "arn:service/c/web", "serviceName": "web", "clusterArn": CLUSTER,
            "status": "ACTIVE", "runningCount": 2, "tags": [{"key": "a-b", "value": "1"}]}], "failures": [] })
        }
        "ListTasks" => json!({ "taskArns": ["1", "2", "3", "4"] }),
        "DescribeTasks" if body["tasks"] == json!(["1", "2", "3", "4"]) => {
            let mut bridge = task("bridge", "service:web");
            bridge["attachments"] = json!([]);
            bridge["launchType"] = "EC2".into();
            bridge["containerInstanceArn"] = "arn:ci/1".into();
            bridge["platformFamily"] = Value::Null;
            let mut nowhere = task("nowhere", "service:web");
            nowhere["attachments"] = json!([]);
            json!({ "tasks": [task("fargate", "service:web"), bridge, nowhere, task("alone", "family:x")] })
        }
        "DescribeContainerInstances" if body["containerInstances"] == json!(["arn:ci/1"]) => {
            json!({
            "containerInstances": [{"containerInstanceArn": "arn:ci/1", "ec2InstanceId": "i-1"}] })
        }
        _ => return Answer::status(400),
    };
    Answer::json(answer.to_string())
}

#[tokio::test]
async fn tasks_with_addresses_of_their_own_and_of_their_machines() {
    let api = Api::start(answer).await;
    let groups = source(&api, &[]).groups().await.unwrap();
    assert_eq!(groups[0].source, "eu-west-1");
    let both = |task: &str, public: &str, subnet: &str| {
        format!(
            " {public} ecs_region=\"eu-west-1\" ecs_service=\"web\" ecs_service_arn=\"arn:service/c/web\" ecs_service_status=\"ACTIVE\" \
             ecs_subnet_id=\"{subnet}\" ecs_tag_cluster_team=\"x\" {task} ecs_tag_service_a_b=\"1\" ecs_tag_task_Env=\"prod\" "
        )
    };
    let lines = printed(&groups);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(
        "10.0.1.100:8080 ecs_availability_zone=\"eu-west-1a\" ecs_cluster=\"c\" \
         ecs_cluster_arn=\"arn:aws:ecs:eu-west-1:1:cluster/c\" ecs_desired_status=\"RUNNING\" ecs_health_status=\"HEALTHY\" \
         ecs_ip_address=\"10.0.1.100\" ecs_last_status=\"RUNNING\" ecs_launch_type=\"FARGATE\" ecs_network_mode=\"awsvpc\" \
         ecs_platform_family=\"Linux\" ecs_platform_version=\"1.4.0\" ecs_public_ip=\"203.0.113.9\" "
    ), "{}", lines[0]);
    assert!(
        lines[0]
            .contains(&both("", "ecs_public_ip=\"203.0.113.9\"", "subnet-1").replace("  ", " ")),
        "{}",
        lines[0]
    );
    assert!(lines[0].ends_with(
        "ecs_task_arn=\"arn:task/fargate\" ecs_task_definition=\"arn:def/web:1\" ecs_task_group=\"service:web\""
    ));
    assert!(lines[1].starts_with(
        "10.0.2.5:8080 ecs_availability_zone=\"eu-west-1a\" ecs_cluster=\"c\" \
         ecs_cluster_arn=\"arn:aws:ecs:eu-west-1:1:cluster/c\" ecs_container_instance_arn=\"arn:ci/1\" \
         ecs_desired_status=\"RUNNING\" ecs_ec2_instance_id=\"i-1\" ecs_ec2_instance_private_ip=\"10.0.2.5\" \
         ecs_ec2_instance_public_ip=\"203.0.113.5\" ecs_ec2_instance_type=\"t3.small\" ecs_health_status=\"HEALTHY\" \
         ecs_ip_address=\"10.0.2.5\" ecs_last_status=\"RUNNING\" ecs_launch_type=\"EC2\" ecs_network_mode=\"bridge\" \
         ecs_platform_version=\"1.4.0\" ecs_public_ip=\"203.0.113.5\" "
    ), "{}", lines[1]);
    assert!(
        lines[1].contains(&both(
            "ecs_tag_ec2_Name=\"host\"",
            "ecs_public_ip=\"203.0.113.5\"",
            "subnet-2"
        )),
        "{}",
        lines[1]
    );
}

#[tokio::test]
async fn clusters_that_are_named_are_not_listed() {
    let api = Api::start(answer).await;
    source(&api, &[CLUSTER]).groups().await.unwrap();
    let asked = api.asked();
    let listed = asked.iter().filter(|asked| {
        asked
            .headers
            .get("x-amz-target")
            .is_some_and(|t| t.ends_with("ListClusters"))
    });
    assert_eq!(listed.count(), 0);
}

#[tokio::test]
async fn without_the_permission_only_public_addresses_of_tasks_are_missing() {
    let api = Api::start(|asked| match asked.body.contains("NetworkInterface") {
        true => Answer::status(403),
        false => answer(asked),
    })
    .await;
    let lines = printed(&source(&api, &[]).groups().await.unwrap());
    assert_eq!(lines.len(), 2);
    assert!(!lines[0].contains("public_ip"));
}

#[tokio::test]
async fn what_fails_otherwise_fails_all() {
    for (what, expected) in [
        (
            "DescribeTasks",
            "ecs DescribeTasks: HTTP status 400: ThrottlingException: Rate exceeded",
        ),
        (
            "DescribeInstances",
            "ec2 DescribeInstances: HTTP status 400: ThrottlingException: Rate exceeded",
        ),
    ] {
        let api = Api::start(move |asked| {
            let target = asked.headers.get("x-amz-target").map_or("", String::as_str);
            match target.ends_with(what) || asked.body.contains(what) {
                true => Answer::Whole(
                    400,
                    "application/x-amz-json-1.1",
                    r#"{"__type": "ThrottlingException", "message": "Rate exceeded"}"#.to_owned(),
                ),
                false => answer(asked),
            }
        })
        .await;
        let error = source(&api, &[]).groups().await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
