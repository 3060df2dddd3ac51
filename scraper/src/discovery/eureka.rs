//! `eureka_sd_configs`: the instances that a Eureka server knows.
//!
//! Source: Netflix Eureka, "Eureka REST operations", `/apps`; Prometheus documentation, `<eureka_sd_config>`.

use std::collections::BTreeMap;
use std::fmt;

use net::outbound::HttpClient;
use quick_xml::escape::escape;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch};
use crate::config::sd::EurekaSdConfig;

const ASKED: &str = "GET /apps";
/// The port of an instance that says none.
const PORT: i64 = 80;
/// The label that an instance's id is in, besides the one of this discovery.
const INSTANCE: &str = "instance";

/// What the reader of XML calls the text in an element.
const TEXT: &str = "$text";

/// Asks one Eureka server.
pub(crate) struct EurekaSource {
    client: HttpClient,
    config: EurekaSdConfig,
}

#[derive(Deserialize)]
struct Applications {
    #[serde(rename = "application", default)]
    applications: Vec<Application>,
}

#[derive(Deserialize)]
struct Application {
    #[serde(default)]
    name: String,
    #[serde(rename = "instance", default)]
    instances: Vec<Instance>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Instance {
    instance_id: String,
    host_name: String,
    home_page_url: String,
    status_page_url: String,
    health_check_url: String,
    ip_addr: String,
    vip_address: String,
    secure_vip_address: String,
    status: String,
    port: Option<Port>,
    secure_port: Option<Port>,
    data_center_info: Option<DataCenterInfo>,
    metadata: BTreeMap<String, Text>,
    country_id: i64,
}

#[derive(Deserialize)]
struct Port {
    #[serde(rename = "$text")]
    port: i64,
    #[serde(rename = "@enabled", default)]
    is_enabled: bool,
}

#[derive(Deserialize)]
struct DataCenterInfo {
    #[serde(default)]
    name: String,
    #[serde(default)]
    metadata: BTreeMap<String, Text>,
}

/// The text in an element, other elements apart; or that of an attribute.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
                let mut text = String::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == TEXT {
                        text = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Text(text))
            }
        }

        deserializer.deserialize_struct("Text", &[TEXT], TextVisitor)
    }
}

impl EurekaSource {
    pub(crate) fn new(config: &EurekaSdConfig, client: HttpClient) -> Self {
        EurekaSource {
            client,
            config: config.clone(),
        }
    }
}

/// Returns the labels of an instance.
fn target(application: &str, instance: &Instance) -> BTreeMap<String, String> {
    let mut labels = MetaLabels::new("eureka_");
    labels.set("app_name", application);
    for (name, value) in [
        ("id", &instance.instance_id),
        ("hostname", &instance.host_name),
        ("homepage_url", &instance.home_page_url),
        ("statuspage_url", &instance.status_page_url),
        ("healthcheck_url", &instance.health_check_url),
        ("ip_addr", &instance.ip_addr),
        ("vip_address", &instance.vip_address),
        ("secure_vip_address", &instance.secure_vip_address),
        ("status", &instance.status),
    ] {
        labels.set(&format!("app_instance_{name}"), value);
    }
    labels.set("app_instance_country_id", instance.country_id);
    for (name, port) in [
        ("port", &instance.port),
        ("secure_port", &instance.secure_port),
    ] {
        if let Some(port) = port {
            labels.set(&format!("app_instance_{name}"), port.port);
            labels.set(&format!("app_instance_{name}_enabled"), port.is_enabled);
        }
    }
    if let Some(info) = &instance.data_center_info {
        labels.set("app_instance_datacenterinfo_name", &info.name);
        labels.set_all(
            "app_instance_datacenterinfo_metadata_",
            &texts(&info.metadata),
        );
    }
    labels.set_all("app_instance_metadata_", &texts(&instance.metadata));
    let port = instance.port.as_ref().map_or(PORT, |port| port.port);
    let mut target = labels.at_port(&instance.host_name, port);
    target.insert(INSTANCE.to_owned(), instance.instance_id.clone());
    target
}

/// Returns the texts of elements by name, without attributes; as they are written, as Prometheus has them.
fn texts(elements: &BTreeMap<String, Text>) -> BTreeMap<String, String> {
    let elements = elements
        .iter()
        .filter(|(name, _)| !name.starts_with(['@', '$']));
    elements
        .map(|(name, text)| (name.clone(), escape(text.0.as_str()).into_owned()))
        .collect()
}

impl Source for EurekaSource {
    const NAME: &'static str = "eureka";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let server = self.config.server.as_str().trim_end_matches('/');
        let request = self.client.get(&format!("{server}/apps")).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let answer = fetch(request.header("Accept", "application/xml")).await;
        let (_, body) = answer.map_err(|error| error.about(ASKED))?;
        let found: Applications = quick_xml::de::from_reader(body.as_slice())
            .map_err(|error| RefreshError(format!("{ASKED}: unexpected answer: {error}")))?;
        let mut targets = Vec::new();
        for application in &found.applications {
            let instances = application.instances.iter();
            targets.extend(instances.map(|instance| target(&application.name, instance)));
        }
        Ok(vec![TargetGroup {
            source: "eureka".to_owned(),
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::discovery::testing::{Answer, Api, printed};

    fn source(api: &Api) -> EurekaSource {
        let config = EurekaSdConfig {
            server: serde_json::from_value(api.url("/eureka/").into()).unwrap(),
            ..EurekaSdConfig::default()
        };
        let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
        EurekaSource::new(&config, client)
    }

    const APPS: &str = r#"<applications>
  <versions__delta>1</versions__delta>
  <apps__hashcode>UP_4_</apps__hashcode>
  <application>
    <name>CONFIG-SERVICE</name>
    <instance>
      <instanceId>config-service001.test.com:config-service:8080</instanceId>
      <hostName>config-service001.test.com</hostName>
      <app>CONFIG-SERVICE</app>
      <ipAddr>192.133.87.237</ipAddr>
      <status>UP</status>
      <overriddenstatus>UNKNOWN</overriddenstatus>
      <port enabled="true">8080</port>
      <securePort enabled="false">8443</securePort>
      <countryId>1</countryId>
      <dataCenterInfo class="com.netflix.appinfo.AmazonInfo">
        <name>Amazon</name>
        <metadata><instance-id>i-1</instance-id><local-ipv4>10.0.0.1</local-ipv4></metadata>
      </dataCenterInfo>
      <leaseInfo><renewalIntervalInSecs>30</renewalIntervalInSecs></leaseInfo>
      <metadata>
        <management.port>8090</management.port>
        <note>a &amp; b</note>
        <nested><x>1</x></nested>
        <empty/>
      </metadata>
      <homePageUrl>http://config-service001.test.com:8080/</homePageUrl>
      <statusPageUrl>http://config-service001.test.com:8080/info</statusPageUrl>
      <healthCheckUrl>http://config-service001.test.com 8080:8080/health</healthCheckUrl>
      <vipAddress>config-service</vipAddress>
      <secureVipAddress>secure-config</secureVipAddress>
      <isCoordinatingDiscoveryServer>false</isCoordinatingDiscoveryServer>
      <actionType>ADDED</actionType>
    </instance>
    <instance>
      <instanceId>b</instanceId><hostName>fd00::1</hostName>
      <metadata class="java.util.Collections$EmptyMap"/>
    </instance>
  </application>
  <application><name>NOBODY</name></application>
</applications>"#;

    #[tokio::test]
    async fn instances_of_all_applications() {
        let api = Api::start(|asked| match asked.path.as_str() {
            "/eureka/apps" if asked.headers["accept"] == "application/xml" => Answer::xml(APPS),
            _ => Answer::status(404),
        })
        .await;
        assert_eq!(
            printed(&source(&api).groups().await.unwrap()),
            [
                "config-service001.test.com:8080 eureka_app_instance_country_id=\"1\" \
                 eureka_app_instance_datacenterinfo_metadata_instance_id=\"i-1\" \
                 eureka_app_instance_datacenterinfo_metadata_local_ipv4=\"10.0.0.1\" \
                 eureka_app_instance_datacenterinfo_name=\"Amazon\" \
                 eureka_app_instance_healthcheck_url=\"http://config-service001.test.com 8080:8080/health\" \
                 eureka_app_instance_homepage_url=\"http://config-service001.test.com:8080/\" \
                 eureka_app_instance_hostname=\"config-service001.test.com\" \
                 eureka_app_instance_id=\"config-service001.test.com:config-service:8080\" \
                 eureka_app_instance_ip_addr=\"192.133.87.237\" eureka_app_instance_metadata_empty=\"\" \
                 eureka_app_instance_metadata_management_port=\"8090\" eureka_app_instance_metadata_nested=\"\" \
                 eureka_app_instance_metadata_note=\"a &amp; b\" eureka_app_instance_port=\"8080\" \
                 eureka_app_instance_port_enabled=\"true\" eureka_app_instance_secure_port=\"8443\" \
                 eureka_app_instance_secure_port_enabled=\"false\" eureka_app_instance_secure_vip_address=\"secure-config\" \
                 eureka_app_instance_status=\"UP\" \
                 eureka_app_instance_statuspage_url=\"http://config-service001.test.com:8080/info\" \
                 eureka_app_instance_vip_address=\"config-service\" eureka_app_name=\"CONFIG-SERVICE\" \
                 instance=\"config-service001.test.com:config-service:8080\"",
                "[fd00::1]:80 eureka_app_instance_country_id=\"0\" eureka_app_instance_healthcheck_url=\"\" \
                 eureka_app_instance_homepage_url=\"\" eureka_app_instance_hostname=\"fd00::1\" eureka_app_instance_id=\"b\" \
                 eureka_app_instance_ip_addr=\"\" eureka_app_instance_secure_vip_address=\"\" eureka_app_instance_status=\"\" \
                 eureka_app_instance_statuspage_url=\"\" eureka_app_instance_vip_address=\"\" \
                 eureka_app_name=\"CONFIG-SERVICE\" instance=\"b\"",
            ]
        );
    }

    #[tokio::test]
    async fn errors_name_the_request() {
        let api = Api::start(|_| Answer::status(503)).await;
        assert_eq!(
            source(&api).groups().await.unwrap_err().to_string(),
            "GET /apps: server returned HTTP status 503 Service Unavailable: status 503"
        );
        let api = Api::start(|_| Answer::xml("<applications><application>")).await;
        let error = source(&api).groups().await.unwrap_err().to_string();
        assert!(
            error.starts_with("GET /apps: unexpected answer: "),
            "{error}"
        );
    }

    /// What is not looked at may be as deep as it likes, in either place where it can be.
    #[tokio::test]
    async fn deep_answers_take_no_stack() {
        let deep = "<a>".repeat(1_000_000) + &"</a>".repeat(1_000_000);
        let instance = format!("<instance><metadata><m>x{deep}</m></metadata></instance>");
        let body = format!(
            "<applications>{deep}<application><name>n</name>{instance}</application></applications>"
        );
        let api = Api::start(move |_| Answer::xml(body.clone())).await;
        let lines = printed(&source(&api).groups().await.unwrap());
        assert!(
            lines[0].contains("eureka_app_instance_metadata_m=\"x\""),
            "{lines:?}"
        );
        let unclosed = "<a>".repeat(1_000_000);
        let api = Api::start(move |_| Answer::xml(format!("<applications>{unclosed}"))).await;
        assert!(source(&api).groups().await.is_err());
    }

    #[tokio::test]
    async fn a_server_without_applications() {
        let api =
            Api::start(|_| Answer::xml("<applications><apps__hashcode/></applications>")).await;
        assert!(source(&api).groups().await.unwrap()[0].targets.is_empty());
    }
}
