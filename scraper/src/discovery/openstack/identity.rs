//! Who we are, and where services are: the identity service, version 3.
//!
//! # Not here
//!
//! Version 2 of the identity service, which OpenStack removed in 2017.

use jiff::Timestamp;
use net::environment::Environment;
use net::lease::Lease;
use net::outbound::HttpClient;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::sd::OpenStackSdConfig;
use crate::discovery::refresh::{RefreshError, exchange, status_error};

const ASKED: &str = "POST /auth/tokens of the identity service";

/// What a token is asked for with.
pub(super) struct Credentials {
    url: String,
    body: Value,
}

/// A token, and where services are.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) token: HeaderValue,
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Answer {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: Option<String>,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Clone, Deserialize)]
struct Service {
    r#type: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Deserialize)]
struct Endpoint {
    interface: String,
    #[serde(default, deserialize_with = "model::de::or_default")]
    region: String,
    #[serde(default, deserialize_with = "model::de::or_default")]
    region_id: String,
    url: String,
}

/// What the configuration says, or, if it names no identity service, the environment.
#[derive(Default)]
struct Said {
    endpoint: String,
    username: String,
    userid: String,
    password: String,
    project_name: String,
    project_id: String,
    domain_name: String,
    domain_id: String,
    application_credential_name: String,
    application_credential_id: String,
    application_credential_secret: String,
}

impl Said {
    fn of_config(config: &OpenStackSdConfig) -> Self {
        let secret = &config.application_credential_secret;
        Said {
            endpoint: config.identity_endpoint.clone(),
            username: config.username.clone(),
            userid: config.userid.clone(),
            password: config.password.reveal().to_owned(),
            project_name: config.project_name.clone(),
            project_id: config.project_id.clone(),
            domain_name: config.domain_name.clone(),
            domain_id: config.domain_id.clone(),
            application_credential_name: config.application_credential_name.clone(),
            application_credential_id: config.application_credential_id.clone(),
            application_credential_secret: secret.reveal().to_owned(),
        }
    }

    fn of_environment(environment: &Environment) -> Self {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| environment.get(name));
            values.next().unwrap_or_default()
        };
        Said {
            endpoint: first(&["OS_AUTH_URL"]),
            username: first(&["OS_USERNAME"]),
            userid: first(&["OS_USERID", "OS_USER_ID"]),
            password: first(&["OS_PASSWORD"]),
            project_name: first(&["OS_PROJECT_NAME", "OS_TENANT_NAME"]),
            project_id: first(&["OS_PROJECT_ID", "OS_TENANT_ID"]),
            domain_name: first(&["OS_DOMAIN_NAME", "OS_USER_DOMAIN_NAME"]),
            domain_id: first(&["OS_DOMAIN_ID", "OS_USER_DOMAIN_ID"]),
            application_credential_name: first(&["OS_APPLICATION_CREDENTIAL_NAME"]),
            application_credential_id: first(&["OS_APPLICATION_CREDENTIAL_ID"]),
            application_credential_secret: first(&["OS_APPLICATION_CREDENTIAL_SECRET"]),
        }
    }

    /// Returns the domain, if one is said.
    fn domain(&self) -> Option<Value> {
        match (self.domain_id.as_str(), self.domain_name.as_str()) {
            ("", "") => None,
            ("", name) => Some(json!({ "name": name })),
            (id, _) => Some(json!({ "id": id })),
        }
    }

    /// Returns the user; one that is named needs a domain.
    fn user(&self) -> Result<Value, String> {
        match (self.userid.as_str(), self.username.as_str()) {
            ("", "") => Err("username or userid must be given".to_owned()),
            ("", name) => {
                let domain = self.domain().ok_or_else(|| {
                    "domain_name or domain_id must be given with username".to_owned()
                })?;
                Ok(json!({ "name": name, "domain": domain }))
            }
            (id, _) => Ok(json!({ "id": id })),
        }
    }

    /// Returns what tokens are for: the project, else the domain.
    fn scope(&self) -> Result<Option<Value>, String> {
        match (self.project_id.as_str(), self.project_name.as_str()) {
            ("", "") => Ok(self.domain().map(|domain| json!({ "domain": domain }))),
            ("", name) => {
                let domain = self.domain().ok_or_else(|| {
                    "domain_name or domain_id must be given with project_name".to_owned()
                })?;
                Ok(Some(
                    json!({ "project": { "name": name, "domain": domain } }),
                ))
            }
            (id, _) => Ok(Some(json!({ "project": { "id": id } }))),
        }
    }

    fn body(&self) -> Result<Value, String> {
        let secret = &self.application_credential_secret;
        if !secret.is_empty() {
            let (id, name) = (
                &self.application_credential_id,
                &self.application_credential_name,
            );
            let credential = match (id.as_str(), name.as_str()) {
                ("", "") => {
                    return Err("application_credential_id or application_credential_name must be given with its secret".to_owned());
                }
                ("", name) => json!({ "name": name, "secret": secret, "user": self.user()? }),
                (id, _) => json!({ "id": id, "secret": secret }),
            };
            let identity = json!({
                "methods": ["application_credential"], "application_credential": credential,
            });
            return Ok(json!({ "auth": { "identity": identity } }));
        }
        if self.password.is_empty() {
            return Err("password or application_credential_secret must be given".to_owned());
        }
        let mut user = self.user()?;
        user["password"] = self.password.clone().into();
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let mut auth = json!({ "identity": identity });
        if let Some(scope) = self.scope()? {
            auth["scope"] = scope;
        }
        Ok(json!({ "auth": auth }))
    }
}

impl Credentials {
    pub(super) fn of(
        config: &OpenStackSdConfig,
        environment: &Environment,
    ) -> Result<Self, String> {
        let said = match config.identity_endpoint.as_str() {
            "" => Said::of_environment(environment),
            _ => Said::of_config(config),
        };
        let endpoint = said.endpoint.trim_end_matches('/');
        let version = endpoint.rsplit('/').next().unwrap_or_default();
        if endpoint.is_empty() {
            return Err("identity_endpoint must be given, or OS_AUTH_URL".to_owned());
        }
        let url = match version {
            "v3" => format!("{endpoint}/auth/tokens"),
            "v2.0" => {
                return Err("version 2 of the identity service is not built: write identity_endpoint with /v3".to_owned());
            }
            _ => format!("{endpoint}/v3/auth/tokens"),
        };
        let body = said.body()?;
        Ok(Credentials { url, body })
    }

    /// Returns a new session.
    pub(super) async fn session(
        &self,
        client: &HttpClient,
    ) -> Result<Lease<Session>, RefreshError> {
        let request = client.post(&self.url).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let answer = exchange(request.json(&self.body)).await;
        let (status, headers, body) = answer.map_err(|error| error.about(ASKED))?;
        if !matches!(status.as_u16(), 200 | 201) {
            return Err(status_error(status, &body).about(ASKED));
        }
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| RefreshError(format!("{ASKED}: unexpected answer: {error}")))?;
        let mut token = headers.get("X-Subject-Token").cloned().ok_or_else(|| {
            RefreshError(format!("{ASKED}: the answer has no header X-Subject-Token"))
        })?;
        token.set_sensitive(true);
        let ends = answer.token.expires_at.as_deref();
        Ok(Lease {
            ends: ends.and_then(|text| text.parse::<Timestamp>().ok()),
            value: Session {
                token,
                catalog: answer.token.catalog,
            },
        })
    }
}

impl Session {
    /// Returns the URL of a service.
    pub(super) fn endpoint(
        &self,
        kind: &str,
        region: &str,
        availability: &str,
    ) -> Result<&str, RefreshError> {
        let services = self.catalog.iter().filter(|service| service.r#type == kind);
        let mut endpoints = services.flat_map(|service| &service.endpoints);
        let endpoint = endpoints.find(|endpoint| {
            let is_there = endpoint.region == region || endpoint.region_id == region;
            is_there && endpoint.interface.trim_end_matches("URL") == availability
        });
        let endpoint = endpoint.map(|endpoint| endpoint.url.as_str());
        endpoint.ok_or_else(|| {
            RefreshError(format!(
                "the catalog has no {availability} endpoint of {kind} in the region {region:?}"
            ))
        })
    }
}
