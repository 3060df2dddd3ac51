//! `oci_sd_configs`: instances in compartments of Oracle's cloud.
//!
//! ```text
//! compartments ──► instances ─────────┐
//!             └──► VNIC attachments ──┴──► the primary VNIC of each instance
//! ```
//!
//! An instance whose VNIC may not be seen, or is gone already, is left out; everything else that fails, fails all. Requests are
//! sent one after the other, ten in a second at most after the first fifty, as the cloud refuses more.
//!
//! Source: Oracle Cloud Infrastructure, Core Services API (`ListInstances`, `ListVnicAttachments`, `GetVnic`) and Identity API
//! (`ListCompartments`); Prometheus documentation, `<oci_sd_config>`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use net::escape::component;
use net::oracle::{OracleKey, OraclePrincipal, OracleSession};
use net::outbound::HttpClient;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use self::answers::{Attachment, Compartment, Instance, Vnic};
use super::TargetGroup;
use super::labels::MetaLabels;
use super::refresh::{PAGES_MAX, RefreshError, Source, exchange, status_error};
use crate::config::sd::{OciAuthentication, OciSdConfig};

mod answers;

/// How many items are on a page.
const PAGE_ITEMS: u32 = 100;
/// How many requests may be sent at once, and how long one more takes to become due.
const BURST: u32 = 50;
const PACE: Duration = Duration::from_millis(100);
/// The version of both APIs.
const VERSION: &str = "20160918";

/// Asks Oracle's cloud.
pub(crate) struct OciSource {
    client: HttpClient,
    config: OciSdConfig,
    base_dir: PathBuf,
    /// Who we are, if we are the instance that we run on.
    principal: Option<OraclePrincipal>,
    /// Known when our tenancy is.
    apis: Option<Apis>,
    pace: Pace,
}

/// The URLs of the APIs.
#[derive(Clone)]
struct Apis {
    core: String,
    identity: String,
}

impl Apis {
    fn of(region: &str, tenancy: &str) -> Self {
        let domain = domain(tenancy);
        Apis {
            core: format!("https://iaas.{region}.{domain}"),
            identity: format!("https://identity.{region}.oci.{domain}"),
        }
    }
}

/// A refresh under way.
struct Asking<'a> {
    client: &'a HttpClient,
    session: Arc<OracleSession>,
    apis: Apis,
    pace: Pace,
}

impl OciSource {
    pub(crate) fn new(config: &OciSdConfig, base_dir: &Path, client: HttpClient) -> Self {
        let is_instance = config.auth == OciAuthentication::InstancePrincipal;
        OciSource {
            client,
            config: config.clone(),
            base_dir: base_dir.to_owned(),
            principal: is_instance.then(OraclePrincipal::default),
            apis: None,
            pace: Pace::new(Instant::now()),
        }
    }

    /// Returns who we are now: a key's file may hold another one since the last time.
    async fn session(&self) -> Result<Arc<OracleSession>, RefreshError> {
        if let Some(principal) = &self.principal {
            let session = principal.session(&self.client).await;
            return session.map_err(|error| RefreshError::of(&error));
        }
        let config = &self.config;
        let pem = super::secret_of_file(&self.base_dir, &config.key_file)?;
        let passphrase = match config.key_passphrase_file.as_str() {
            "" => config.key_passphrase.reveal().to_owned(),
            file => super::secret_of_file(&self.base_dir, file)?,
        };
        let (tenancy, user, fingerprint) = (&config.tenancy, &config.user, &config.fingerprint);
        let key = OracleKey::new(tenancy, user, fingerprint, &pem, &passphrase);
        let key = key.map_err(|error| RefreshError::of(&error).about(&config.key_file))?;
        let tenancy = tenancy.clone();
        Ok(Arc::new(OracleSession { key, tenancy }))
    }

    /// Returns the labels of an instance, if it has an address: a private one, else a public one.
    ///
    /// * `tenancy`: ours.
    fn target(
        &self,
        tenancy: &str,
        instance: &Instance,
        vnic: &Vnic,
    ) -> Option<BTreeMap<String, String>> {
        let mut hosts = [&vnic.private_ip, &vnic.public_ip].into_iter();
        let host = hosts.find(|ip| !ip.is_empty())?;
        let mut labels = MetaLabels::new("oci_");
        labels.set("instance_id", &instance.id);
        labels.set("instance_name", &instance.display_name);
        labels.set("instance_state", &instance.lifecycle_state);
        labels.set("instance_shape", &instance.shape);
        labels.set("availability_domain", &instance.availability_domain);
        labels.set("fault_domain", &instance.fault_domain);
        labels.set("region", &instance.region);
        labels.set("tenancy_id", tenancy);
        labels.set("compartment_id", &instance.compartment_id);
        labels.set("image_id", &instance.image_id);
        labels.set("vnic_id", &vnic.id);
        labels.set("private_ip", &vnic.private_ip);
        labels.set("public_ip", &vnic.public_ip);
        labels.set_all("tag_", &instance.freeform_tags);
        for (namespace, tags) in &instance.defined_tags {
            let name = format!("defined_tag_{}_", super::sanitized(namespace));
            let tags = tags.iter();
            let tags = tags.filter_map(|(key, value)| Some((key.clone(), answers::text(value)?)));
            labels.set_all(&name, &tags.collect());
        }
        Some(labels.at(host, self.config.port))
    }
}

impl Asking<'_> {
    /// Asks for all pages of a list; `url` has a query already.
    async fn list<T: DeserializeOwned>(
        &mut self,
        url: &str,
        asked: &str,
    ) -> Result<Vec<T>, RefreshError> {
        let (mut items, mut page) = (Vec::new(), url.to_owned());
        for _ in 0..PAGES_MAX {
            let (answer, next): (Vec<T>, _) = match self.get(&page, asked).await? {
                Ok(answer) => answer,
                Err(refused) => return Err(refused.about(asked)),
            };
            items.extend(answer);
            match next {
                Some(next) => page = format!("{url}&page={}", component(&next)),
                None => return Ok(items),
            }
        }
        Err(RefreshError::too_many_pages(asked))
    }

    /// Asks once. Returns what is there, with the name of the next page if there is one; within, why we may not see it.
    async fn get<T: DeserializeOwned>(
        &mut self,
        url: &str,
        asked: &str,
    ) -> Result<Result<(T, Option<String>), RefreshError>, RefreshError> {
        let due = self.pace.next(Instant::now());
        tokio::time::sleep_until(due).await;
        let signed = self.session.key.sign_get(url, Timestamp::now());
        let signed = signed.map_err(|error| RefreshError::of(&error))?;
        let request = self.client.get(url).await;
        let request = request.map_err(|error| RefreshError::of(&error))?;
        let exchanged = exchange(request.headers(signed)).await;
        let (status, headers, body) = exchanged.map_err(|error| error.about(asked))?;
        match status {
            StatusCode::OK => (),
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                return Ok(Err(status_error(status, &body)));
            }
            _ => return Err(status_error(status, &body).about(asked)),
        }
        let answer = serde_json::from_slice(&body)
            .map_err(|error| RefreshError(format!("{asked}: unexpected answer: {error}")))?;
        let next = headers.get("opc-next-page").and_then(|n| n.to_str().ok());
        Ok(Ok((answer, next.map(str::to_owned))))
    }

    /// Returns the primary one of an instance's VNICs, if we may see it.
    async fn primary(&mut self, ids: &[String]) -> Result<Option<Vnic>, RefreshError> {
        for id in ids {
            let asked = format!("oci GetVnic {id}");
            let url = format!("{}/{VERSION}/vnics/{}", self.apis.core, component(id));
            match self.get::<Vnic>(&url, &asked).await? {
                Ok((vnic, _)) if vnic.is_primary => return Ok(Some(vnic)),
                Ok(_) => (),
                Err(error) => tracing::warn!(
                    %error,
                    vnic = id,
                    "a VNIC may not be seen, or is gone; if it is the primary one, its instance is left out"
                ),
            }
        }
        Ok(None)
    }
}

impl Source for OciSource {
    const NAME: &'static str = "oci";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let session = self.session().await?;
        let of_region = || Apis::of(&self.config.region, &session.tenancy);
        let apis = self.apis.get_or_insert_with(of_region).clone();
        let mut asking = Asking {
            client: &self.client,
            session,
            apis,
            pace: self.pace,
        };
        let groups = self.groups_of(&mut asking).await;
        self.pace = asking.pace;
        if let (Some(principal), Err(_)) = (&self.principal, &groups) {
            // Perhaps it was the session that was refused.
            principal.forget().await;
        }
        groups
    }
}

impl OciSource {
    async fn groups_of(&self, asking: &mut Asking<'_>) -> Result<Vec<TargetGroup>, RefreshError> {
        let Apis { core, identity } = asking.apis.clone();
        let tenancy = asking.session.tenancy.clone();
        let mut compartments = self.config.compartments.clone();
        if compartments.is_empty() {
            let url = format!(
                "{identity}/{VERSION}/compartments?compartmentId={}&accessLevel=ACCESSIBLE&compartmentIdInSubtree=true&limit={PAGE_ITEMS}",
                component(&tenancy)
            );
            let found: Vec<Compartment> = asking.list(&url, "oci ListCompartments").await?;
            let active = found.into_iter().filter(Compartment::is_active);
            compartments.push(tenancy.clone());
            compartments.extend(active.map(|compartment| compartment.id));
        }
        let mut groups = Vec::new();
        for compartment in &compartments {
            let query = format!(
                "compartmentId={}&limit={PAGE_ITEMS}",
                component(compartment)
            );
            let asked = format!("oci ListInstances {compartment}");
            let url = format!("{core}/{VERSION}/instances?{query}");
            let instances: Vec<Instance> = asking.list(&url, &asked).await?;
            let mut vnics: HashMap<String, Vec<String>> = HashMap::new();
            if !instances.is_empty() {
                let asked = format!("oci ListVnicAttachments {compartment}");
                let url = format!("{core}/{VERSION}/vnicAttachments?{query}");
                let found: Vec<Attachment> = asking.list(&url, &asked).await?;
                for attachment in found.into_iter().filter(Attachment::is_attached) {
                    let of_instance = vnics.entry(attachment.instance_id).or_default();
                    of_instance.push(attachment.vnic_id);
                }
            }
            let mut targets = Vec::new();
            for instance in &instances {
                let ids = vnics.get(&instance.id).map_or(&[][..], Vec::as_slice);
                if let Some(vnic) = asking.primary(ids).await? {
                    targets.extend(self.target(&tenancy, instance, &vnic));
                }
            }
            groups.push(TargetGroup {
                source: format!("OCI_{compartment}"),
                targets,
                ..TargetGroup::default()
            });
        }
        Ok(groups)
    }
}

/// When requests may be sent.
#[derive(Clone, Copy)]
struct Pace {
    /// When as many may be sent at once as there can.
    full: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Pace { full: now }
    }

    /// Returns when the next request may be sent.
    fn next(&mut self, now: Instant) -> Instant {
        self.full = self.full.max(now) + PACE;
        // So many are ahead of it that this is in the past, unless they are more than may be sent at once.
        let due = self.full.checked_sub(PACE * BURST);
        due.map_or(now, |due| now.max(due))
    }
}

/// Returns what the names of hosts end with in the realm that a tenancy is in.
fn domain(tenancy: &str) -> String {
    let realm = tenancy.split('.').nth(2).unwrap_or_default();
    match realm {
        "" | "oc1" => "oraclecloud.com".to_owned(),
        "oc2" | "oc3" => "oraclegovcloud.com".to_owned(),
        "oc4" => "oraclegovcloud.uk".to_owned(),
        "oc19" => "oraclecloud.eu".to_owned(),
        other => format!("oraclecloud{}.com", other.trim_start_matches("oc")),
    }
}

#[cfg(test)]
mod tests;
