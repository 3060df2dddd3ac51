use super::*;
use crate::discovery::aws::ec2::tests::region_of;
use crate::discovery::testing::{Answer, Api, Asked, printed};

fn source(api: &Api, clusters: &[&str], filters: &[Ec2Filter]) -> RdsSource {
    let clusters: Vec<_> = clusters.iter().map(|name| (*name).to_owned()).collect();
    RdsSource::new(region_of(SERVICE, api, &[]), 9042, &clusters, filters)
}

/// A list in an answer to `action`.
fn answer_of(action: &str, list: &str) -> Answer {
    Answer::xml(format!(
        "<?xml version=\"1.0\"?>\n<{action}Response xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">\n  <{action}Result>{list}\
         </{action}Result>\n  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>\n</{action}Response>"
    ))
}

const FIRST_CLUSTERS: &str = "<Marker>m+</Marker><DBClusters><DBCluster><DBClusterArn>arn:c1</DBClusterArn>\
    <DBClusterIdentifier>c1</DBClusterIdentifier><Status>available</Status><Engine>aurora-mysql</Engine><MultiAZ>true</MultiAZ>\
    <DBSubnetGroup>default</DBSubnetGroup><ClusterCreateTime>2024-01-01T00:00:00.123Z</ClusterCreateTime>\
    <Endpoint>c1.cluster-x.rds.amazonaws.com</Endpoint><Port>3306</Port><AvailabilityZones><AvailabilityZone>a</AvailabilityZone>\
    </AvailabilityZones><CharacterSetName/><DBClusterMembers><DBClusterMember><DBInstanceIdentifier>i1</DBInstanceIdentifier>\
    <IsClusterWriter>true</IsClusterWriter></DBClusterMember><DBClusterMember><DBInstanceIdentifier>i2</DBInstanceIdentifier>\
    <IsClusterWriter>false</IsClusterWriter></DBClusterMember></DBClusterMembers><TagList><Tag><Key>team-a</Key><Value>x</Value></Tag>\
    </TagList></DBCluster></DBClusters>";

const LAST_CLUSTERS: &str =
    "<DBClusters><DBCluster><DBClusterArn>arn:c2</DBClusterArn></DBCluster></DBClusters>";

const INSTANCES: &str = "<DBInstances><DBInstance><DBInstanceIdentifier>i1</DBInstanceIdentifier><DBInstanceArn>arn:i1</DBInstanceArn>\
    <DBInstanceClass>db.r5.large</DBInstanceClass><DBInstanceStatus>available</DBInstanceStatus><DbInstancePort>0</DbInstancePort>\
    <Endpoint><Address>i1.x.rds.amazonaws.com</Address><Port>3306</Port><HostedZoneId>Z</HostedZoneId></Endpoint>\
    <DBSubnetGroup><DBSubnetGroupName>default</DBSubnetGroupName><Subnets/></DBSubnetGroup>\
    <InstanceCreateTime>2024-01-02T00:00:00Z</InstanceCreateTime><TagList><Tag><Key>role</Key><Value>db &amp; more</Value></Tag></TagList>\
    </DBInstance><DBInstance><DBInstanceIdentifier>creating</DBInstanceIdentifier></DBInstance></DBInstances>";

const SECOND_INSTANCES: &str = "<DBInstances><DBInstance><DBInstanceIdentifier>i3</DBInstanceIdentifier><Endpoint>\
    <Address>i3.x</Address></Endpoint></DBInstance></DBInstances>";

fn answer(asked: &Asked) -> Answer {
    const CLUSTERS: &str = "Action=DescribeDBClusters&Version=2014-10-31";
    const OF: &str = "Action=DescribeDBInstances&Version=2014-10-31&Filters.Filter.1.Name=db-cluster-id&\
        Filters.Filter.1.Values.Value.1=arn%3A";
    let body = asked.body.as_str();
    match (body.strip_prefix(CLUSTERS), body.strip_prefix(OF)) {
        (Some("&MaxRecords=100"), _) => answer_of("DescribeDBClusters", FIRST_CLUSTERS),
        (Some("&MaxRecords=100&Marker=m%2B"), _)
        | (Some("&DBClusterIdentifier=c2&MaxRecords=100"), _)
        | (Some("&DBClusterIdentifier=arn%3Ac2&MaxRecords=100"), _) => {
            answer_of("DescribeDBClusters", LAST_CLUSTERS)
        }
        (_, Some("c1&MaxRecords=100")) => answer_of("DescribeDBInstances", INSTANCES),
        (_, Some("c2&MaxRecords=100")) => answer_of("DescribeDBInstances", SECOND_INSTANCES),
        (
            _,
            Some(
                "c2&Filters.Filter.2.Name=engine&Filters.Filter.2.Values.Value.1=a&Filters.Filter.2.Values.Value.2=b&MaxRecords=100",
            ),
        ) => answer_of("DescribeDBInstances", "<DBInstances/>"),
        _ => Answer::Whole(
            404,
            "text/xml",
            "<ErrorResponse><Error><Code>DBClusterNotFoundFault</Code><Message>none</Message></Error></ErrorResponse>".to_owned(),
        ),
    }
}

#[tokio::test]
async fn instances_of_clusters_on_two_pages() {
    let api = Api::start(answer).await;
    let groups = source(&api, &[], &[]).groups().await.unwrap();
    assert_eq!(groups[0].source, "eu-west-1");
    assert_eq!(
        printed(&groups),
        [
            "i1.x.rds.amazonaws.com:9042 rds_cluster_arn=\"arn:c1\" rds_cluster_cluster_create_time=\"2024-01-01T00:00:00Z\" \
             rds_cluster_endpoint=\"c1.cluster-x.rds.amazonaws.com\" rds_cluster_engine=\"aurora-mysql\" \
             rds_cluster_identifier=\"c1\" rds_cluster_multi_az=\"true\" rds_cluster_port=\"3306\" \
             rds_cluster_status=\"available\" rds_cluster_subnet_group=\"default\" rds_cluster_tag_team_a=\"x\" \
             rds_instance_arn=\"arn:i1\" rds_instance_class=\"db.r5.large\" \
             rds_instance_endpoint_address=\"i1.x.rds.amazonaws.com\" rds_instance_endpoint_hosted_zone_id=\"Z\" \
             rds_instance_endpoint_port=\"3306\" rds_instance_identifier=\"i1\" \
             rds_instance_instance_create_time=\"2024-01-02T00:00:00Z\" rds_instance_is_cluster_writer=\"true\" \
             rds_instance_port=\"0\" rds_instance_status=\"available\" rds_instance_subnet_group=\"default\" \
             rds_instance_tag_role=\"db & more\"",
            "i3.x:9042 rds_cluster_arn=\"arn:c2\" rds_instance_endpoint_address=\"i3.x\" rds_instance_identifier=\"i3\"",
        ]
    );
}

#[tokio::test]
async fn clusters_that_are_named_are_asked_about_once() {
    let api = Api::start(answer).await;
    let mut both = source(&api, &["arn:c2", "c2"], &[]);
    assert_eq!(printed(&both.groups().await.unwrap()).len(), 1);
    let error = source(&api, &["c3"], &[]).groups().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "rds DescribeDBClusters: HTTP status 404: DBClusterNotFoundFault: none"
    );
}

#[tokio::test]
async fn filters_are_those_of_instances() {
    let api = Api::start(answer).await;
    let filter = Ec2Filter {
        name: "engine".to_owned(),
        values: vec!["a".to_owned(), "b".to_owned()],
    };
    let groups = source(&api, &["c2"], &[filter]).groups().await.unwrap();
    assert_eq!(groups[0].targets.len(), 0);
}

#[tokio::test]
async fn answers_that_are_something_else() {
    let api = Api::start(|_| Answer::xml("<html><body>hello</body></html>")).await;
    let error = source(&api, &[], &[]).groups().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "rds DescribeDBClusters: unexpected answer: it holds no result"
    );
}
