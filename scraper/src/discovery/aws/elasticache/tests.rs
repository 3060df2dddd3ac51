use super::*;
use crate::discovery::aws::ec2::tests::region_of;
use crate::discovery::testing::{Answer, Api, Asked, printed};

fn source(api: &Api, wanted: &[&str]) -> ElastiCacheSource {
    let wanted: Vec<_> = wanted.iter().map(|arn| (*arn).to_owned()).collect();
    ElastiCacheSource::new(region_of(SERVICE, api, &[]), &wanted)
}

const FIRST_CLUSTERS: &str = r#"<DescribeCacheClustersResponse xmlns="http://elasticache.amazonaws.com/doc/2015-02-02/">
  <DescribeCacheClustersResult><Marker>more+</Marker><CacheClusters><CacheCluster>
    <ARN>arn:aws:elasticache:eu-west-1:1:cluster:r-001</ARN><CacheClusterId>r-001</CacheClusterId>
    <CacheClusterStatus>available</CacheClusterStatus><ReplicationGroupId>r</ReplicationGroupId>
    <CacheClusterCreateTime>2024-01-01T00:00:00.123Z</CacheClusterCreateTime><NumCacheNodes>1</NumCacheNodes>
    <AuthTokenEnabled>false</AuthTokenEnabled><Engine>redis</Engine><CacheNodeType>cache.t3.micro</CacheNodeType>
    <CacheParameterGroup><CacheNodeIdsToReboot/><CacheParameterGroupName>default.redis7</CacheParameterGroupName></CacheParameterGroup>
    <PendingModifiedValues><CacheNodeIdsToRemove><CacheNodeId>0001</CacheNodeId><CacheNodeId>0002</CacheNodeId></CacheNodeIdsToRemove>
    </PendingModifiedValues>
    <SecurityGroups><member><SecurityGroupId>sg-1</SecurityGroupId><Status>active</Status></member>
      <member><SecurityGroupId>sg-2</SecurityGroupId></member></SecurityGroups>
    <LogDeliveryConfigurations><LogDeliveryConfiguration><LogType>slow-log</LogType><DestinationDetails><CloudWatchLogsDetails>
      <LogGroup>g</LogGroup></CloudWatchLogsDetails></DestinationDetails></LogDeliveryConfiguration></LogDeliveryConfigurations>
    <CacheNodes><CacheNode><CacheNodeId>0001</CacheNodeId><CacheNodeStatus>available</CacheNodeStatus>
      <CacheNodeCreateTime>2024-01-01T00:00:01Z</CacheNodeCreateTime><ParameterGroupStatus>in-sync</ParameterGroupStatus>
      <CustomerAvailabilityZone>eu-west-1a</CustomerAvailabilityZone>
      <Endpoint><Address>r-001.x.cache.amazonaws.com</Address><Port>6379</Port></Endpoint></CacheNode>
      <CacheNode><CacheNodeId>0002</CacheNodeId><CacheNodeStatus>creating</CacheNodeStatus></CacheNode></CacheNodes>
  </CacheCluster></CacheClusters></DescribeCacheClustersResult></DescribeCacheClustersResponse>"#;

const LAST_CLUSTERS: &str = "<DescribeCacheClustersResponse><DescribeCacheClustersResult><CacheClusters><CacheCluster>\
    <CacheClusterId>m</CacheClusterId><CacheNodes><CacheNode><Endpoint><Address>m.x</Address><Port>11211</Port></Endpoint></CacheNode>\
    </CacheNodes></CacheCluster></CacheClusters></DescribeCacheClustersResult></DescribeCacheClustersResponse>";

const CACHES: &str = "<DescribeServerlessCachesResponse><DescribeServerlessCachesResult><ServerlessCaches><member>\
    <ServerlessCacheName>s</ServerlessCacheName><ARN>arn:aws:elasticache:eu-west-1:1:serverlesscache:s</ARN><Status>available</Status>\
    <CreateTime>2024-02-01T00:00:00.5Z</CreateTime><CacheUsageLimits><DataStorage><Maximum>10</Maximum><Unit>GB</Unit></DataStorage>\
    <ECPUPerSecond><Minimum>1000</Minimum></ECPUPerSecond></CacheUsageLimits><SecurityGroupIds><SecurityGroupId>sg-1</SecurityGroupId>\
    </SecurityGroupIds><SubnetIds><SubnetId>a</SubnetId><SubnetId>b</SubnetId></SubnetIds><Endpoint><Address>s.x</Address>\
    <Port>6379</Port></Endpoint><ReaderEndpoint><Address>s.x</Address><Port>6380</Port></ReaderEndpoint></member><member>\
    <ServerlessCacheName>creating</ServerlessCacheName></member></ServerlessCaches></DescribeServerlessCachesResult>\
    </DescribeServerlessCachesResponse>";

fn answer(asked: &Asked) -> Answer {
    const LIST: &str =
        "Action=DescribeCacheClusters&Version=2015-02-02&ShowCacheNodeInfo=true&MaxRecords=100";
    const SERVERLESS: &str = "Action=DescribeServerlessCaches&Version=2015-02-02&MaxResults=50";
    let body = asked.body.as_str();
    if body.starts_with("Action=ListTagsForResource&Version=2015-02-02&ResourceName=arn%3Aaws") {
        return Answer::xml(
            "<ListTagsForResourceResponse><ListTagsForResourceResult><TagList><Tag><Key>a b</Key><Value>x &amp; y</Value></Tag>\
             </TagList></ListTagsForResourceResult></ListTagsForResourceResponse>",
        );
    }
    match (body.strip_prefix(LIST), body.strip_prefix(SERVERLESS)) {
        (Some(""), _) => Answer::xml(FIRST_CLUSTERS),
        (Some("&Marker=more%2B"), _) => Answer::xml(LAST_CLUSTERS),
        (_, Some("" | "&ServerlessCacheName=s")) => Answer::xml(CACHES),
        _ => Answer::status(400),
    }
}

const OF_S: &str = "s.x:6379 elasticache_deployment_option=\"serverless\" \
    elasticache_serverless_cache_arn=\"arn:aws:elasticache:eu-west-1:1:serverlesscache:s\" \
    elasticache_serverless_cache_cache_usage_limit_data_storage_maximum=\"10\" \
    elasticache_serverless_cache_cache_usage_limit_data_storage_unit=\"GB\" \
    elasticache_serverless_cache_cache_usage_limit_ecpu_per_second_minimum=\"1000\" \
    elasticache_serverless_cache_create_time=\"2024-02-01T00:00:00Z\" elasticache_serverless_cache_endpoint_address=\"s.x\" \
    elasticache_serverless_cache_endpoint_port=\"6379\" elasticache_serverless_cache_endpoint_reader_address=\"s.x\" \
    elasticache_serverless_cache_endpoint_reader_port=\"6380\" elasticache_serverless_cache_name=\"s\" \
    elasticache_serverless_cache_security_group_id_0=\"sg-1\" elasticache_serverless_cache_status=\"available\" \
    elasticache_serverless_cache_subnet_id_0=\"a\" elasticache_serverless_cache_subnet_id_1=\"b\" \
    elasticache_serverless_cache_tag_a_b=\"x & y\"";

const OF_R: &str = "r-001.x.cache.amazonaws.com:6379 \
    elasticache_cache_cluster_arn=\"arn:aws:elasticache:eu-west-1:1:cluster:r-001\" \
    elasticache_cache_cluster_auth_token_enabled=\"false\" \
    elasticache_cache_cluster_cache_cluster_create_time=\"2024-01-01T00:00:00Z\" \
    elasticache_cache_cluster_cache_cluster_id=\"r-001\" elasticache_cache_cluster_cache_cluster_status=\"available\" \
    elasticache_cache_cluster_cache_node_type=\"cache.t3.micro\" \
    elasticache_cache_cluster_cache_parameter_group=\"default.redis7\" elasticache_cache_cluster_engine=\"redis\" \
    elasticache_cache_cluster_log_delivery_configuration_log_group_0=\"g\" \
    elasticache_cache_cluster_log_delivery_configuration_log_type_0=\"slow-log\" \
    elasticache_cache_cluster_node_availability_zone=\"eu-west-1a\" \
    elasticache_cache_cluster_node_create_time=\"2024-01-01T00:00:01Z\" \
    elasticache_cache_cluster_node_endpoint_address=\"r-001.x.cache.amazonaws.com\" \
    elasticache_cache_cluster_node_endpoint_port=\"6379\" elasticache_cache_cluster_node_id=\"0001\" \
    elasticache_cache_cluster_node_parameter_group_status=\"in-sync\" elasticache_cache_cluster_node_status=\"available\" \
    elasticache_cache_cluster_num_cache_nodes=\"1\" \
    elasticache_cache_cluster_pending_modified_values_cache_node_ids_to_remove=\"0001,0002\" \
    elasticache_cache_cluster_replication_group_id=\"r\" \
    elasticache_cache_cluster_security_group_membership_id_0=\"sg-1\" \
    elasticache_cache_cluster_security_group_membership_id_1=\"sg-2\" \
    elasticache_cache_cluster_security_group_membership_status_0=\"active\" \
    elasticache_cache_cluster_tag_a_b=\"x & y\" elasticache_deployment_option=\"node\"";

const OF_M: &str = "m.x:11211 elasticache_cache_cluster_cache_cluster_id=\"m\" \
    elasticache_cache_cluster_node_endpoint_address=\"m.x\" elasticache_cache_cluster_node_endpoint_port=\"11211\" \
    elasticache_deployment_option=\"node\"";

async fn check(wanted: &[&str], expected: &[&str]) {
    let api = Api::start(answer).await;
    let groups = source(&api, wanted).groups().await.unwrap();
    assert_eq!(printed(&groups), expected, "{wanted:?}");
}

#[tokio::test]
async fn nodes_and_serverless_caches_that_have_addresses() {
    check(&[], &[OF_S, OF_R, OF_M]).await;
}

#[tokio::test]
async fn only_what_is_named() {
    const ARN: &str = "arn:aws:elasticache:eu-west-1:1";
    let [serverless, group, cluster] =
        ["serverlesscache:s", "replicationgroup:r", "cluster:m"].map(|end| format!("{ARN}:{end}"));
    check(&[&serverless, &serverless], &[OF_S]).await;
    check(&[&group], &[OF_R]).await;
    check(&[&cluster], &[OF_M]).await;
    check(&[&serverless, &group, &cluster], &[OF_S, OF_R, OF_M]).await;
}

#[tokio::test]
async fn names_that_are_none() {
    let api = Api::start(answer).await;
    let error = source(&api, &["my-cache"]).groups().await.unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("clusters: \"my-cache\" is no ARN of a cache (expected arn:aws:"),
        "{error}"
    );
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn tags_that_may_not_be_read_fail_all() {
    let api = Api::start(|asked| match asked.body.contains("ListTags") {
        true => Answer::Whole(
            403,
            "text/xml",
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"
                .to_owned(),
        ),
        false => answer(asked),
    })
    .await;
    let error = source(&api, &[]).groups().await.unwrap_err().to_string();
    assert_eq!(
        error,
        "elasticache ListTagsForResource: HTTP status 403: AccessDenied: not you"
    );
}
