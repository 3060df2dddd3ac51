//! `stackit_sd_configs`: servers of one STACKIT project.
//!
//! Who we are is proved with the key of a service account, or as `http_config` says.
//!
//! Source: STACKIT IaaS API, `/v1/projects/<id>/servers`; STACKIT documentation, "Service account key flow"; Prometheus
//! documentation, `<stackit_sd_config>`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::de::or_default;
use net::http_config::Secret;
use net::lease::{Lease, Leases};
use net::outbound::HttpClient;
use net::rsa::RsaKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{RefreshError, Source, fetch_json};
use crate::config::sd::StackitSdConfig;

/// Who hands out tokens.
const TOKEN_URL: &str = "https://service-account.api.stackit.cloud/token";
/// How long what we sign is good for, in seconds.
const ASSERTION_SECONDS: i64 = 600;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Asks for the servers of one project.
pub(crate) struct StackitSource {
    client: HttpClient,
    config: StackitSdConfig,
    base_dir: PathBuf,
    /// The URL of the API.
    endpoint: String,
    token_url: String,
    tokens: Leases<Secret>,
}

/// The key of a service account.
#[derive(Deserialize)]
struct AccountKey {
    credentials: KeyCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyCredentials {
    kid: String,
    iss: String,
    sub: String,
    aud: String,
    #[serde(default, deserialize_with = "or_default")]
    private_key: Secret,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "or_default")]
    items: Vec<Server>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Server {
    id: String,
    name: String,
    #[serde(deserialize_with = "or_default")]
    availability_zone: String,
    #[serde(deserialize_with = "or_default")]
    status: String,
    #[serde(deserialize_with = "or_default")]
    power_status: String,
    #[serde(deserialize_with = "or_default")]
    machine_type: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, Value>,
    #[serde(deserialize_with = "or_default")]
    nics: Vec<Nic>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Nic {
    #[serde(deserialize_with = "or_default")]
    network_name: String,
    #[serde(deserialize_with = "or_default")]
    ipv4: String,
    #[serde(deserialize_with = "or_default")]
    public_ip: String,
}

impl StackitSource {
    pub(crate) fn new(config: &StackitSdConfig, base_dir: &Path, client: HttpClient) -> Self {
        let endpoint = match config.endpoint.as_str() {
            "" => format!("https://iaas.api.{}.stackit.cloud", config.region),
            endpoint => endpoint.trim_end_matches('/').to_owned(),
        };
        StackitSource {
            client,
            config: config.clone(),
            base_dir: base_dir.to_owned(),
            endpoint,
            token_url: TOKEN_URL.to_owned(),
            tokens: Leases::default(),
        }
    }

    /// Returns a secret that is given as text or as a file; empty if it is not given.
    fn secret(&self, text: &Secret, file: &str) -> Result<Secret, RefreshError> {
        match file {
            _ if !text.is_empty() => Ok(text.clone()),
            "" => Ok(Secret::default()),
            file => super::secret_of_file(&self.base_dir, file).map(Secret::new),
        }
    }

    /// Returns the key of the service account, if there is one.
    fn account_key(&self) -> Result<Option<KeyCredentials>, RefreshError> {
        let config = &self.config;
        let key = self.secret(
            &config.service_account_key,
            &config.service_account_key_path,
        )?;
        if key.is_empty() {
            return Ok(None);
        }
        let key: AccountKey = serde_json::from_str(key.reveal()).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            RefreshError(format!("the service account key is none: wrong at {place}"))
        })?;
        let mut key = key.credentials;
        let private_key = self.secret(&config.private_key, &config.private_key_path)?;
        if !private_key.is_empty() {
            key.private_key = private_key;
        }
        Ok(Some(key))
    }

    async fn lease(&self, key: KeyCredentials) -> Result<Lease<Secret>, RefreshError> {
        let now = jiff::Timestamp::now();
        let claims = Claims {
            iss: &key.iss,
            sub: &key.sub,
            aud: &key.aud,
            jti: format!("hearth-{}", now.as_nanosecond()),
            iat: now.as_second(),
            exp: now.as_second() + ASSERTION_SECONDS,
        };
        let private_key = RsaKey::of_pem(key.private_key.reveal());
        let assertion = private_key.and_then(|private_key| private_key.jwt(&key.kid, &claims));
        let assertion = assertion.map_err(|error| RefreshError::of(&error))?;
        let request = self.client.post(&self.token_url).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let form = [("grant_type", GRANT), ("assertion", &assertion)];
        let token = net::bearer::fetch("STACKIT", request.form(&form)).await;
        token.map_err(|error| RefreshError::of(&error))
    }

    async fn servers(&self) -> Result<Vec<Server>, RefreshError> {
        let project = net::escape::component(&self.config.project);
        let path = format!("/v1/projects/{project}/servers");
        let request = self.client.get(&format!("{}{path}", self.endpoint)).await;
        let mut request = request
            .map_err(|error| RefreshError::of(&error))?
            .query(&[("details", "true")])
            .header("Accept", "application/json");
        if let Some(key) = self.account_key()? {
            let token = self.tokens.get(self.lease(key)).await?;
            let authorized = net::bearer::authorized(request, &token);
            request = authorized.map_err(|error| RefreshError::of(&error))?;
        }
        let answer: Result<Answer, _> = fetch_json(request, &format!("GET {path}")).await;
        if answer.is_err() {
            // It may be for the token, which costs little to ask for again.
            self.tokens.forget().await;
        }
        Ok(answer?.items)
    }

    /// Returns the labels of a server, if it has an address: a public one, else the first private one.
    fn target(&self, server: &Server) -> Option<BTreeMap<String, String>> {
        let mut labels = MetaLabels::new("stackit_");
        labels.set("project", &self.config.project);
        labels.set("id", &server.id);
        labels.set("name", &server.name);
        labels.set("availability_zone", &server.availability_zone);
        labels.set("status", &server.status);
        labels.set("power_status", &server.power_status);
        labels.set("type", &server.machine_type);
        let public = server.nics.iter().map(|nic| &nic.public_ip);
        let public = public.into_iter().find(|ip| !ip.is_empty());
        let private: Vec<_> = server
            .nics
            .iter()
            .filter(|nic| !nic.ipv4.is_empty())
            .collect();
        for nic in &private {
            let name = super::sanitized(&nic.network_name);
            labels.set(&format!("private_ipv4_{name}"), &nic.ipv4);
        }
        let host = public.or(private.first().map(|nic| &nic.ipv4))?;
        if let Some(public) = public {
            labels.set("public_ipv4", public);
        }
        for (name, value) in &server.labels {
            if let Some(value) = value.as_str() {
                let name = super::sanitized(name);
                labels.set(&format!("labelpresent_{name}"), true);
                labels.set(&format!("label_{name}"), value);
            }
        }
        Some(labels.at(host, self.config.port))
    }
}

impl Source for StackitSource {
    const NAME: &'static str = "stackit";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let servers = self.servers().await?;
        Ok(vec![TargetGroup {
            source: "stackit".to_owned(),
            targets: servers
                .iter()
                .filter_map(|server| self.target(server))
                .collect(),
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests {
    use net::http_config::HttpConfig;

    use super::*;
    use crate::discovery::testing::{Answer as Reply, Api, Asked, printed};

    fn source(api: &Api, key: &str) -> StackitSource {
        let config = StackitSdConfig {
            project: "11111111".to_owned(),
            endpoint: api.url("/"),
            service_account_key: Secret::new(key),
            ..StackitSdConfig::default()
        };
        let client = HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap();
        let source = StackitSource::new(&config, Path::new(""), client);
        StackitSource {
            token_url: api.url("/token"),
            ..source
        }
    }

    const SERVERS: &str = r#"{"items": [
      {"id": "b4176700", "name": "runcommandtest", "availabilityZone": "eu01-3", "status": "ACTIVE", "powerStatus": "RUNNING",
       "machineType": "t1.1", "labels": {"provisionSTACKITServerAgent": "true", "stackit_project_id": "ecc08d36", "number": 1},
       "nics": [{"networkName": "net-1", "ipv4": "192.168.0.42"}, {"networkName": "net2", "ipv4": "10.0.0.1", "publicIp": "198.51.100.9"}]},
      {"id": "b", "name": "inside", "nics": [{"networkName": "n", "ipv4": "192.168.0.43", "publicIp": null}]},
      {"id": "c", "name": "no network"}]}"#;

    fn answer(asked: &Asked) -> Reply {
        match asked.path.as_str() {
            "/v1/projects/11111111/servers" if asked.query == "details=true" => {
                Reply::json(SERVERS)
            }
            "/token" => Reply::json(
                r#"{"access_token": "t0ken", "expires_in": 3600, "token_type": "Bearer"}"#,
            ),
            _ => Reply::status(404),
        }
    }

    #[tokio::test]
    async fn servers_with_an_address() {
        let api = Api::start(answer).await;
        let lines = printed(&source(&api, "").groups().await.unwrap());
        assert_eq!(
            lines[0],
            "198.51.100.9:80 stackit_availability_zone=\"eu01-3\" stackit_id=\"b4176700\" \
             stackit_label_provisionSTACKITServerAgent=\"true\" stackit_label_stackit_project_id=\"ecc08d36\" \
             stackit_labelpresent_provisionSTACKITServerAgent=\"true\" stackit_labelpresent_stackit_project_id=\"true\" \
             stackit_name=\"runcommandtest\" stackit_power_status=\"RUNNING\" stackit_private_ipv4_net2=\"10.0.0.1\" \
             stackit_private_ipv4_net_1=\"192.168.0.42\" stackit_project=\"11111111\" stackit_public_ipv4=\"198.51.100.9\" \
             stackit_status=\"ACTIVE\" stackit_type=\"t1.1\""
        );
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("192.168.0.43:80 ") && !lines[1].contains("public_ipv4"));
    }

    #[tokio::test]
    async fn a_service_account_gets_a_token() {
        let api = Api::start(|asked| {
            let has_token =
                asked.headers.get("authorization").map(String::as_str) == Some("Bearer t0ken");
            match asked.path == "/token" || has_token {
                true => answer(asked),
                false => Reply::status(401),
            }
        })
        .await;
        let key = serde_json::json!({
            "active": true, "credentials": {
                "kid": "k", "iss": "me@sa.stackit.cloud", "sub": "s", "aud": "https://stackit-service-account-prod",
                "privateKey": include_str!("testing/rsa.pem"),
            },
        });
        let mut source = source(&api, &key.to_string());
        source.groups().await.unwrap();
        source.groups().await.unwrap();
        let asked = api.asked();
        let tokens: Vec<_> = asked
            .iter()
            .filter(|asked| asked.path == "/token")
            .collect();
        assert_eq!(tokens.len(), 1);
        assert!(tokens[0].body.starts_with(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJ"
        ));
    }

    #[tokio::test]
    async fn errors_name_the_request_and_show_no_secret() {
        let api = Api::start(|_| Reply::status(403)).await;
        assert_eq!(
            source(&api, "").groups().await.unwrap_err().to_string(),
            "GET /v1/projects/11111111/servers: server returned HTTP status 403 Forbidden: status 403"
        );
        let error = source(&api, "very-secret").groups().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the service account key is none: wrong at line 1, column 1"
        );
    }
}
