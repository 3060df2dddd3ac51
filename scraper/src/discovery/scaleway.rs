//! `scaleway_sd_configs`: instances or bare metal servers of one zone of Scaleway.
//!
//! Source: Scaleway API, `/instance/v1` and `/baremetal/v1`; Prometheus documentation, `<scaleway_sd_config>`.

use std::path::{Path, PathBuf};

use net::outbound::HttpClient;
use serde::de::DeserializeOwned;

use super::TargetGroup;
use super::refresh::{PAGES_MAX, RefreshError, Source, fetch_json};
use crate::config::sd::{ScalewayRole, ScalewaySdConfig};

mod baremetal;
mod instance;

/// How many items are on a page: the most that there can be.
const PAGE_ITEMS: usize = 100;
/// What stands between the items of a list.
const SEPARATOR: &str = ",";

/// Asks Scaleway.
pub(crate) struct ScalewaySource {
    client: HttpClient,
    config: ScalewaySdConfig,
    base_dir: PathBuf,
}

impl ScalewaySource {
    pub(crate) fn new(config: &ScalewaySdConfig, base_dir: &Path, client: HttpClient) -> Self {
        ScalewaySource {
            client,
            config: config.clone(),
            base_dir: base_dir.to_owned(),
        }
    }

    /// Asks for a list below the zone, all its pages. `items` takes them out of one, and `page_items` is the parameter that says
    /// how many are on it.
    async fn list<P: DeserializeOwned, T>(
        &self,
        api: &str,
        name: &str,
        query: &[(&str, &str)],
        page_items: &str,
        items: impl Fn(P) -> Vec<T>,
    ) -> Result<Vec<T>, RefreshError> {
        let config = &self.config;
        let secret = match config.secret_key_file.as_str() {
            "" => config.secret_key.reveal().to_owned(),
            file => super::secret_of_file(&self.base_dir, file)?,
        };
        let zone = net::escape::component(&config.zone);
        let path = format!("/{api}/v1/zones/{zone}/{name}");
        let url = format!("{}{path}", config.api_url.trim_end_matches('/'));
        let shown = format!("GET {path}");
        let mut all = Vec::new();
        for number in 1..=PAGES_MAX {
            let request = self.client.get(&url).await;
            let request = request.map_err(|error| RefreshError::of(&error))?;
            let request = request
                .header("X-Auth-Token", &secret)
                .query(&[(page_items, PAGE_ITEMS), ("page", number as usize)])
                .query(query);
            let page = items(fetch_json(request, &shown).await?);
            let is_last = page.len() < PAGE_ITEMS;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
        Err(RefreshError::too_many_pages(&shown))
    }
}

impl Source for ScalewaySource {
    const NAME: &'static str = "scaleway";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let targets = match self.config.role {
            Some(ScalewayRole::Baremetal) => self.baremetal().await?,
            Some(ScalewayRole::Instance) | None => self.instances().await?,
        };
        Ok(vec![TargetGroup {
            source: "scaleway".to_owned(),
            targets,
            ..TargetGroup::default()
        }])
    }
}

#[cfg(test)]
mod tests;
