//! `uyuni_sd_configs`: the exporters on the systems that a Uyuni server manages.
//!
//! Source: Uyuni XML-RPC API, `auth`, `system` and `system.monitoring`; Prometheus documentation, `<uyuni_sd_config>`.

use std::collections::{BTreeMap, HashMap};

use jiff::{SignedDuration, Timestamp};
use net::http_config::Secret;
use net::lease::{Lease, Leases};
use net::outbound::HttpClient;

use self::xmlrpc::Value;
use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch};
use crate::config::sd::UyuniSdConfig;

mod xmlrpc;

/// How long a session is asked for; it is used for half of that.
const SESSION_SECONDS: i64 = 600;

/// Asks one Uyuni server.
pub(crate) struct UyuniSource {
    client: HttpClient,
    config: UyuniSdConfig,
    /// The URL of the API.
    url: String,
    sessions: Leases<Secret>,
}

impl UyuniSource {
    pub(crate) fn new(config: &UyuniSdConfig, client: HttpClient) -> Self {
        let server = config.server.as_str().trim_end_matches('/');
        UyuniSource {
            client,
            url: format!("{server}/rpc/api"),
            config: config.clone(),
            sessions: Leases::default(),
        }
    }

    async fn call(&self, method: &str, arguments: &[Value]) -> Result<Value, RefreshError> {
        let request = self.client.post(&self.url).await;
        let request = request
            .map_err(|error| RefreshError::of(&error))?
            .header("Content-Type", "text/xml")
            .body(xmlrpc::call(method, arguments));
        let answer = fetch(request).await;
        let (_, body) = answer.map_err(|error| error.about(method))?;
        xmlrpc::answer(&body).map_err(|reason| RefreshError(format!("{method}: {reason}")))
    }

    async fn session(&self) -> Result<Lease<Secret>, RefreshError> {
        let (user, password) = (&self.config.username, self.config.password.reveal());
        let arguments = [
            Value::text(user),
            Value::text(password),
            Value::Int(SESSION_SECONDS),
        ];
        let ends = Timestamp::now() + SignedDuration::from_secs(SESSION_SECONDS);
        match self.call("auth.login", &arguments).await? {
            Value::Text(token) => Ok(Lease {
                value: Secret::new(token),
                ends: Some(ends),
            }),
            _ => Err(RefreshError("auth.login: the answer is no text".to_owned())),
        }
    }

    async fn targets(&self) -> Result<Vec<BTreeMap<String, String>>, RefreshError> {
        let session = self.sessions.get(self.session()).await?;
        let session = Value::text(session.reveal());
        let entitlement = Value::text(&self.config.entitlement);
        let method = "system.listSystemGroupsForSystemsWithEntitlement";
        let systems = self.call(method, &[session.clone(), entitlement]).await?;
        // The names of the groups of each system.
        let mut groups = BTreeMap::new();
        for system in systems.items() {
            let of_system = system.field("system_groups").map_or(&[][..], Value::items);
            let names = of_system.iter().map(|group| group.text_of("name"));
            groups.insert(system.int_of("id"), names.collect::<Vec<_>>());
        }
        let ids = Value::Array(groups.keys().copied().map(Value::Int).collect());
        let arguments = [session, ids];
        let endpoints = self
            .call("system.monitoring.listEndpoints", &arguments)
            .await?;
        let networks = self.call("system.getNetworkForSystems", &arguments).await?;
        let networks = networks.items().iter();
        let networks: HashMap<_, _> = networks.map(|n| (n.int_of("system_id"), n)).collect();
        let targets = endpoints.items().iter().map(|endpoint| {
            let id = endpoint.int_of("system_id");
            let network = networks.get(&id).copied();
            let of_network = |name| network.map_or("", |network| network.text_of(name));
            let groups = groups.get(&id).map_or(&[][..], Vec::as_slice);
            let scheme = match endpoint.field("tls_enabled") {
                Some(Value::Bool(true)) => "https",
                _ => "http",
            };
            let mut labels = MetaLabels::new("uyuni_");
            labels.set("minion_hostname", of_network("hostname"));
            labels.set("primary_fqdn", of_network("primary_fqdn"));
            labels.set("system_id", id);
            labels.set("groups", groups.join(&self.config.separator));
            labels.set("endpoint_name", endpoint.text_of("endpoint_name"));
            labels.set("exporter", endpoint.text_of("exporter_name"));
            labels.set("proxy_module", endpoint.text_of("module"));
            labels.set("metrics_path", endpoint.text_of("path"));
            labels.set("scheme", scheme);
            let port = endpoint.int_of("port");
            labels.at_address(format!("{}:{port}", of_network("hostname")))
        });
        Ok(targets.collect())
    }
}

impl Source for UyuniSource {
    const NAME: &'static str = "uyuni";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = self.targets().await;
        if targets.is_err() {
            // It may be for the session, which costs little to ask for again.
            self.sessions.forget().await;
        }
        Ok(vec![TargetGroup {
            source: self.url.clone(),
            targets: targets?,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use net::http_config::HttpConfig;

    use super::*;
    use crate::discovery::testing::{Answer, Api, Asked, printed};

    fn source(api: &Api) -> UyuniSource {
        let config = UyuniSdConfig {
            server: serde_json::from_value(api.url("/").into()).unwrap(),
            username: "me".to_owned(),
            password: Secret::new("<very-secret>"),
            ..UyuniSdConfig::default()
        };
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        UyuniSource::new(&config, client)
    }

    fn method(asked: &Asked) -> &str {
        let (_, rest) = asked.body.split_once("<methodName>").unwrap();
        rest.split('<').next().unwrap()
    }

    fn whole(value: &str) -> Answer {
        Answer::xml(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<methodResponse><params><param><value>{value}</value></param></params></methodResponse>\n"
        ))
    }

    fn answer(asked: &Asked) -> Answer {
        assert_eq!(asked.path, "/rpc/api");
        if method(asked) != "auth.login" {
            assert!(
                asked
                    .body
                    .contains("<params><param><value><string>3xf0</string></value></param>")
            );
        }
        match method(asked) {
            "auth.login" => {
                let expected = "<param><value><string>me</string></value></param><param><value><string>&lt;very-secret&gt;</string>\
                    </value></param><param><value><int>600</int></value></param>";
                assert!(asked.body.contains(expected));
                whole("3xf0")
            }
            "system.listSystemGroupsForSystemsWithEntitlement" => {
                assert!(asked.body.contains("<string>monitoring_entitled</string>"));
                whole(
                    "<array><data>
                       <value><struct>
                         <member><name>id</name><value><i4>1000010000</i4></value></member>
                         <member><name>system_groups</name><value><array><data>
                           <value><struct><member><name>id</name><value><i4>1</i4></value></member>
                             <member><name>name</name><value>a &amp; b</value></member></struct></value>
                           <value><struct><member><name>name</name><value><string>c</string></value></member></struct></value>
                         </data></array></value></member>
                       </struct></value>
                       <value><struct><member><name>id</name><value><i4>2</i4></value></member>
                         <member><name>system_groups</name><value><array><data/></array></value></member></struct></value>
                     </data></array>",
                )
            }
            "system.monitoring.listEndpoints" => {
                assert!(asked.body.contains(
                    "<value><array><data><value><int>2</int></value><value><int>1000010000</int></value></data></array></value>"
                ));
                whole(
                    "<array><data><value><struct>
                       <member><name>endpoint_name</name><value>golang</value></member>
                       <member><name>exporter_name</name><value></value></member>
                       <member><name>module</name><value><string/></value></member>
                       <member><name>path</name><value>/metrics</value></member>
                       <member><name>port</name><value><i4>9100</i4></value></member>
                       <member><name>system_id</name><value><i4>1000010000</i4></value></member>
                       <member><name>tls_enabled</name><value><boolean>1</boolean></value></member>
                     </struct></value></data></array>",
                )
            }
            "system.getNetworkForSystems" => whole(
                "<array><data><value><struct>
                   <member><name>ip</name><value>10.0.0.1</value></member>
                   <member><name>hostname</name><value>client1</value></member>
                   <member><name>primary_fqdn</name><value>client1.example.com</value></member>
                   <member><name>system_id</name><value><i4>1000010000</i4></value></member>
                 </struct></value></data></array>",
            ),
            _ => Answer::status(404),
        }
    }

    #[tokio::test]
    async fn exporters_of_systems() {
        let api = Api::start(answer).await;
        let mut source = source(&api);
        assert_eq!(
            printed(&source.groups().await.unwrap()),
            [
                "client1:9100 uyuni_endpoint_name=\"golang\" uyuni_exporter=\"\" uyuni_groups=\"a & b,c\" \
                 uyuni_metrics_path=\"/metrics\" uyuni_minion_hostname=\"client1\" uyuni_primary_fqdn=\"client1.example.com\" \
                 uyuni_proxy_module=\"\" uyuni_scheme=\"https\" uyuni_system_id=\"1000010000\""
            ]
        );
        // A session serves for a while.
        source.groups().await.unwrap();
        assert_eq!(api.asked().len(), 7);
    }

    #[tokio::test]
    async fn faults_are_told_and_the_next_refresh_logs_in_anew() {
        let api = Api::start(|asked| match method(asked) {
            "auth.login" => answer(asked),
            _ => Answer::xml(
                "<methodResponse><fault><value><struct>
                   <member><name>faultCode</name><value><int>-1</int></value></member>
                   <member><name>faultString</name><value><string>redstone.xmlrpc.XmlRpcFault: session expired</string></value></member>
                 </struct></value></fault></methodResponse>",
            ),
        })
        .await;
        let mut source = source(&api);
        for _ in 0..2 {
            assert_eq!(
                source.groups().await.unwrap_err().to_string(),
                "system.listSystemGroupsForSystemsWithEntitlement: fault -1: redstone.xmlrpc.XmlRpcFault: session expired"
            );
        }
        let logins = api
            .asked()
            .iter()
            .filter(|asked| method(asked) == "auth.login")
            .count();
        assert_eq!(logins, 2);
    }

    #[tokio::test]
    async fn errors_name_the_method() {
        let api = Api::start(|_| Answer::status(502)).await;
        assert_eq!(
            source(&api).groups().await.unwrap_err().to_string(),
            "auth.login: server returned HTTP status 502 Bad Gateway: status 502"
        );
    }
}
