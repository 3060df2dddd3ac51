use std::path::Path;

use net::aws::Access;
use net::environment::Environment;
use net::http_config::{HttpConfig, Secret};
use net::outbound::HttpClient;

use super::*;
use crate::discovery::testing::{Answer, Api, Asked, printed};

/// Returns the region `eu-west-1` at `api`, where it is `main`; with these variables besides.
pub(crate) fn region_of(main: &'static str, api: &Api, variables: &[(&str, &str)]) -> Region {
    let access = Access {
        region: "eu-west-1".to_owned(),
        access_key: "AK".to_owned(),
        secret_key: Secret::new("very-secret"),
        ..Access::default()
    };
    let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
    Region::new(
        access,
        main,
        &api.url(""),
        Environment::of(variables),
        client,
    )
}

const ZONES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeAvailabilityZonesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>r</requestId>
  <availabilityZoneInfo>
    <item><zoneName>eu-west-1a</zoneName><zoneState>available</zoneState><regionName>eu-west-1</regionName>
      <messageSet/><zoneId>euw1-az3</zoneId></item>
    <item><zoneName>eu-west-1b</zoneName><zoneState>available</zoneState><zoneId>euw1-az1</zoneId></item>
  </availabilityZoneInfo>
</DescribeAvailabilityZonesResponse>"#;

const FIRST_PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>r</requestId>
  <reservationSet>
    <item>
      <reservationId>r-1</reservationId><ownerId>123456789012</ownerId><groupSet/>
      <instancesSet>
        <item>
          <instanceId>i-1</instanceId><imageId>ami-1</imageId>
          <instanceState><code>16</code><name>running</name></instanceState>
          <privateDnsName>ip-10-0-0-1.eu-west-1.compute.internal</privateDnsName>
          <dnsName>ec2-203-0-113-1.eu-west-1.compute.amazonaws.com</dnsName>
          <reason/><keyName>k</keyName><amiLaunchIndex>0</amiLaunchIndex><productCodes/>
          <instanceType>t3.micro</instanceType><launchTime>2024-01-01T00:00:00.000Z</launchTime>
          <placement><availabilityZone>eu-west-1a</availabilityZone><groupName/><tenancy>default</tenancy></placement>
          <platform>windows</platform>
          <monitoring><state>disabled</state></monitoring>
          <subnetId>subnet-a</subnetId><vpcId>vpc-1</vpcId>
          <privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>203.0.113.1</ipAddress>
          <sourceDestCheck>true</sourceDestCheck>
          <groupSet><item><groupId>sg-1</groupId><groupName>g</groupName></item></groupSet>
          <architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType>
          <instanceLifecycle>spot</instanceLifecycle>
          <tagSet>
            <item><key>Name</key><value>web &amp; more</value></item>
            <item><key>aws:autoscaling/group</key><value>g1</value></item>
            <item><key>empty</key><value/></item>
          </tagSet>
          <networkInterfaceSet>
            <item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>subnet-b</subnetId><vpcId>vpc-1</vpcId>
              <attachment><attachmentId>a</attachmentId><deviceIndex>1</deviceIndex></attachment>
              <ipv6AddressesSet>
                <item><ipv6Address>2001:db8::1</ipv6Address><isPrimaryIpv6>false</isPrimaryIpv6></item>
                <item><ipv6Address>2001:db8::2</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item>
              </ipv6AddressesSet></item>
            <item><networkInterfaceId>eni-2</networkInterfaceId><subnetId>subnet-a</subnetId>
              <attachment><deviceIndex>0</deviceIndex></attachment><ipv6AddressesSet/></item>
            <item><networkInterfaceId>eni-3</networkInterfaceId><subnetId>subnet-b</subnetId></item>
          </networkInterfaceSet>
        </item>
        <item><instanceId>i-terminated</instanceId><instanceState><code>48</code><name>terminated</name></instanceState>
          <placement><availabilityZone>eu-west-1a</availabilityZone></placement></item>
      </instancesSet>
    </item>
  </reservationSet>
  <nextToken>more+/=</nextToken>
</DescribeInstancesResponse>"#;

const LAST_PAGE: &str = r#"<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <reservationSet><item><ownerId>2</ownerId><instancesSet>
    <item><instanceId>i-v6</instanceId><instanceType>t4g.nano</instanceType><vpcId>vpc-1</vpcId>
      <placement><availabilityZone>eu-west-1z</availabilityZone></placement>
      <networkInterfaceSet><item><subnetId>subnet-c</subnetId>
        <attachment><deviceIndex>2147483647</deviceIndex></attachment>
        <ipv6AddressesSet><item><ipv6Address>2001:db8::9</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet>
      </item></networkInterfaceSet></item>
  </instancesSet></item></reservationSet>
</DescribeInstancesResponse>"#;

fn answer(asked: &Asked) -> Answer {
    const LIST: &str = "Action=DescribeInstances&Version=2016-11-15&Filter.1.Name=tag%3Aa&Filter.1.Value.1=x+y&\
        Filter.1.Value.2=z&Filter.2.Name=instance-state-name&Filter.2.Value.1=running&MaxResults=1000";
    match asked.body.strip_prefix(LIST) {
        Some("") => Answer::xml(FIRST_PAGE),
        Some("&NextToken=more%2B%2F%3D") => Answer::xml(LAST_PAGE),
        None if asked.body == "Action=DescribeAvailabilityZones&Version=2016-11-15" => {
            Answer::xml(ZONES)
        }
        _ => Answer::status(400),
    }
}

fn filters() -> Vec<Ec2Filter> {
    let filter = |name: &str, values: &[&str]| Ec2Filter {
        name: name.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    vec![
        filter("tag:a", &["x y", "z"]),
        filter("instance-state-name", &["running"]),
    ]
}

#[tokio::test]
async fn instances_on_two_pages() {
    let api = Api::start(answer).await;
    let mut source = Ec2Source::new(region_of(SERVICE, &api, &[]), 9100, &filters());
    let groups = source.groups().await.unwrap();
    assert_eq!(groups[0].source, "eu-west-1");
    assert_eq!(
        printed(&groups),
        [
            "10.0.0.1:9100 ec2_ami=\"ami-1\" ec2_architecture=\"x86_64\" ec2_availability_zone=\"eu-west-1a\" \
             ec2_availability_zone_id=\"euw1-az3\" ec2_default_ipv6_address=\"2001:db8::2\" ec2_instance_id=\"i-1\" \
             ec2_instance_lifecycle=\"spot\" ec2_instance_state=\"running\" ec2_instance_type=\"t3.micro\" \
             ec2_ipv6_addresses=\",2001:db8::1,2001:db8::2,\" ec2_owner_id=\"123456789012\" ec2_platform=\"windows\" \
             ec2_primary_ipv6_addresses=\",,2001:db8::2,\" ec2_primary_subnet_id=\"subnet-a\" \
             ec2_private_dns_name=\"ip-10-0-0-1.eu-west-1.compute.internal\" ec2_private_ip=\"10.0.0.1\" \
             ec2_public_dns_name=\"ec2-203-0-113-1.eu-west-1.compute.amazonaws.com\" ec2_public_ip=\"203.0.113.1\" \
             ec2_region=\"eu-west-1\" ec2_subnet_id=\",subnet-b,subnet-a,\" ec2_tag_Name=\"web & more\" \
             ec2_tag_aws_autoscaling_group=\"g1\" ec2_tag_empty=\"\" ec2_vpc_id=\"vpc-1\"",
            "[2001:db8::9]:9100 ec2_availability_zone=\"eu-west-1z\" ec2_default_ipv6_address=\"2001:db8::9\" \
             ec2_instance_id=\"i-v6\" ec2_instance_type=\"t4g.nano\" ec2_ipv6_addresses=\",2001:db8::9,\" \
             ec2_owner_id=\"2\" ec2_primary_subnet_id=\"\" ec2_region=\"eu-west-1\" ec2_subnet_id=\",subnet-c,\" \
             ec2_vpc_id=\"vpc-1\"",
        ]
    );
    source.groups().await.unwrap();
    let asked = api.asked();
    // The zones are asked for once.
    assert_eq!(asked.len(), 5);
    for asked in asked {
        let signed =
            "/eu-west-1/ec2/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=";
        assert!(asked.headers["authorization"].contains(signed));
    }
}

#[tokio::test]
async fn without_the_zones_targets_lack_only_their_ids() {
    let api = Api::start(|asked| match asked.body.contains("Zones") {
        true => Answer::status(403),
        false => answer(asked),
    })
    .await;
    let mut source = Ec2Source::new(region_of(SERVICE, &api, &[]), 80, &filters());
    let lines = printed(&source.groups().await.unwrap());
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| !line.contains("zone_id")));
}

#[tokio::test]
async fn a_page_that_fails_fails_all() {
    let api = Api::start(|asked| match asked.body.contains("NextToken") {
        true => Answer::Whole(
            403,
            "text/xml",
            "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not authorized.</Message>\
             </Error></Errors><RequestID>r</RequestID></Response>"
                .to_owned(),
        ),
        false => answer(asked),
    })
    .await;
    let mut source = Ec2Source::new(region_of(SERVICE, &api, &[]), 80, &filters());
    assert_eq!(
        source.groups().await.unwrap_err().to_string(),
        "ec2 DescribeInstances: HTTP status 403: UnauthorizedOperation: You are not authorized."
    );
}

#[tokio::test]
async fn answers_that_are_something_else() {
    let api = Api::start(|_| Answer::xml("<html><body>hello</body></html>")).await;
    let mut source = Ec2Source::new(region_of(SERVICE, &api, &[]), 80, &[]);
    let error = source.groups().await.unwrap_err().to_string();
    assert!(
        error.starts_with("ec2 DescribeInstances: unexpected answer: "),
        "{error}"
    );
    assert!(!error.contains("very-secret"));
}
