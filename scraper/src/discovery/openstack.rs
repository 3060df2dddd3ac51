//! `openstack_sd_configs`: hypervisors, instances and load balancers of one OpenStack region.
//!
//! Source: OpenStack API references (Identity v3, Compute, Networking v2, Load Balancing v2); Prometheus documentation,
//! `<openstack_sd_config>`.

use std::collections::BTreeMap;

use net::environment::Environment;
use net::lease::Leases;
use net::outbound::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use self::identity::{Credentials, Session};
use super::TargetGroup;
use super::refresh::{PAGES_MAX, RefreshError, Source, exchange, status_error};
use crate::config::sd::{OpenStackRole, OpenStackSdConfig};

mod identity;
mod roles;

/// The label that the token is sent in.
const TOKEN: &str = "X-Auth-Token";

/// Asks the services of one region.
pub(crate) struct OpenStackSource {
    client: HttpClient,
    config: OpenStackSdConfig,
    credentials: Credentials,
    sessions: Leases<Session>,
}

/// A service of the catalog, and what stands between its URL and paths.
#[derive(Clone, Copy)]
struct Service {
    kind: &'static str,
    version: &'static str,
}

const COMPUTE: Service = Service {
    kind: "compute",
    version: "",
};
const NETWORK: Service = Service {
    kind: "network",
    version: "/v2.0",
};
const LOAD_BALANCER: Service = Service {
    kind: "load-balancer",
    version: "/v2.0",
};

/// One page of a list; which list it is, is in the names of its fields.
type Page = BTreeMap<String, Box<RawValue>>;

#[derive(Deserialize)]
struct Link {
    rel: String,
    href: String,
}

impl OpenStackSource {
    /// # Errors
    ///
    /// When neither the configuration nor the environment says who we are.
    pub(crate) fn new(
        config: &OpenStackSdConfig,
        environment: &Environment,
        client: HttpClient,
    ) -> Result<Self, String> {
        Ok(OpenStackSource {
            client,
            config: config.clone(),
            credentials: Credentials::of(config, environment)?,
            sessions: Leases::default(),
        })
    }

    /// Asks a service for a list, all its pages. `name` is the field that the items are in.
    async fn list<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        name: &str,
    ) -> Result<Vec<T>, RefreshError> {
        let session = self.sessions.get(self.credentials.session(&self.client));
        let session = session.await?;
        let (region, availability) = (&self.config.region, self.config.availability.name());
        let base = session.endpoint(service.kind, region, availability)?;
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix(service.version).unwrap_or(base);
        let mut url = format!("{base}{}{path}", service.version);
        let host = host(&url);
        let shown = format!("GET {path} of {}", service.kind);
        let mut items = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut page = self.page(&url, &session, &shown).await?;
            let list = page.remove(name).ok_or_else(|| {
                RefreshError(format!(
                    "{shown}: unexpected answer: there is no field {name:?}"
                ))
            })?;
            items.extend(parsed::<Vec<T>>(&list, &shown)?);
            let links = page.remove(&format!("{name}_links"));
            let links = links.map(|links| parsed::<Vec<Link>>(&links, &shown));
            let links = links.transpose()?.unwrap_or_default();
            let Some(next) = links.into_iter().find(|link| link.rel == "next") else {
                return Ok(items);
            };
            // The token is for the service only.
            if self::host(&next.href) != host {
                return Err(RefreshError(format!("{shown}: the next page is elsewhere")));
            }
            url = next.href;
        }
        Err(RefreshError::too_many_pages(&shown))
    }

    async fn page(&self, url: &str, session: &Session, shown: &str) -> Result<Page, RefreshError> {
        let request = self.client.get(url).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let request = request.header(TOKEN, session.token.clone());
        let answer = exchange(request.header("Accept", "application/json")).await;
        let (status, _, body) = answer.map_err(|error| error.about(shown))?;
        match status.as_u16() {
            200 | 203 => serde_json::from_slice(&body)
                .map_err(|error| RefreshError(format!("{shown}: unexpected answer: {error}"))),
            other => {
                if other == 401 {
                    self.sessions.forget().await;
                }
                Err(status_error(status, &body).about(shown))
            }
        }
    }
}

/// Returns the host of a URL.
fn host(url: &str) -> Option<String> {
    let url: http::Uri = url.parse().ok()?;
    url.host().map(str::to_ascii_lowercase)
}

fn parsed<T: DeserializeOwned>(json: &RawValue, shown: &str) -> Result<T, RefreshError> {
    serde_json::from_str(json.get())
        .map_err(|error| RefreshError(format!("{shown}: unexpected answer: {error}")))
}

impl Source for OpenStackSource {
    const NAME: &'static str = "openstack";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = match self.config.role {
            Some(OpenStackRole::Hypervisor) => self.hypervisors().await?,
            Some(OpenStackRole::LoadBalancer) => self.load_balancers().await?,
            Some(OpenStackRole::Instance) | None => self.instances().await?,
        };
        Ok(vec![TargetGroup {
            source: format!("OS_{}", self.config.region),
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests;
