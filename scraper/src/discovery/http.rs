//! `http_sd_configs`: a URL that lists target groups as JSON.
//!
//! Source: Prometheus documentation, "Writing HTTP Service Discovery".

use net::outbound::HttpClient;

use super::TargetGroup;
use super::refresh::{RefreshError, Source, fetch};
use crate::config::{HttpSdConfig, StaticConfig};
use crate::metrics::DiscoveryMetrics;

/// The label that says which URL a target is from.
const URL: &str = "__meta_url";

/// Asks one URL.
pub(crate) struct HttpSource {
    client: HttpClient,
    url: String,
    /// As it may be shown.
    shown: String,
    refresh_interval: model::Duration,
    metrics: DiscoveryMetrics,
}

impl HttpSource {
    pub(crate) fn new(
        config: &HttpSdConfig,
        client: HttpClient,
        metrics: DiscoveryMetrics,
    ) -> Self {
        HttpSource {
            client,
            url: config.url.as_str().to_owned(),
            shown: config.url.to_string(),
            refresh_interval: config.refresh_interval,
            metrics,
        }
    }

    async fn ask(&self) -> Result<Vec<TargetGroup>, RefreshError> {
        let request = self
            .client
            .get(&self.url)
            .await
            .map_err(|error| RefreshError::of(&error))?
            .header("Accept", "application/json")
            .header(
                "X-Prometheus-Refresh-Interval-Seconds",
                self.refresh_interval.to_std().as_secs_f64().to_string(),
            );
        let (headers, body) = fetch(request).await?;
        let content_type = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !is_json(content_type) {
            return Err(RefreshError(format!(
                "unsupported content type {content_type:?}"
            )));
        }
        let configs: Vec<Option<StaticConfig>> =
            serde_json::from_slice(&body).map_err(|error| {
                RefreshError(format!("the answer is no list of target groups: {error}"))
            })?;
        let groups = configs.into_iter().enumerate().map(|(i, config)| {
            let config = config
                .ok_or_else(|| RefreshError(format!("nil target group item found (index {i})")))?;
            let mut group = TargetGroup::of_static(format!("{}:{i}", self.shown), &config);
            group.labels.insert(URL.to_owned(), self.shown.clone());
            Ok(group)
        });
        groups.collect()
    }
}

/// Whether a `Content-Type` says JSON, in UTF-8 or without a word about it.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|parameter| {
            !parameter.to_ascii_lowercase().starts_with("charset=")
                || parameter
                    .trim_matches('"')
                    .to_ascii_lowercase()
                    .ends_with("utf-8")
        })
}

impl Source for HttpSource {
    const NAME: &'static str = "http";

    async fn groups(&mut self) -> Result<Vec<TargetGroup>, RefreshError> {
        let asked = self.ask().await;
        if asked.is_err() {
            self.metrics.http_failures.inc();
        }
        asked
    }
}

#[cfg(test)]
mod tests;
