//! `kubernetes_sd_configs`: objects of a Kubernetes cluster.

use net::http_config::{HttpConfig, UrlText};
use serde::{Deserialize, Serialize};

use super::selector::{check_field_selector, check_label_selector};
use super::{ensure, is_zero};
use crate::config::ConfigError;

sd_config! {
    /// Objects of one kind in a Kubernetes cluster.
    pub struct KubernetesSdConfig: "kubernetes_sd_configs", "kubernetes.plain";
    defaults {}
    fields {
        /// The URL of the API; that of the cluster that we run in, if empty.
        api_server: UrlText,
        /// Which kind of objects.
        role: Option<KubernetesRole>,
        /// A file that says how to reach the API, instead of `api_server` and fields about HTTP.
        kubeconfig_file: String,
        /// Which namespaces; all, if none is named.
        namespaces: KubernetesNamespaces,
        /// Which objects; at most one selector for a kind.
        selectors: Vec<KubernetesSelector>,
        /// What targets say about related objects.
        attach_metadata: KubernetesAttachMetadata,
    }
    http
}

words! {
    /// A kind of objects.
    pub enum KubernetesRole: "unknown Kubernetes SD role {:?}" {
        Pod = "pod",
        Service = "service",
        Endpoints = "endpoints",
        EndpointSlice = "endpointslice",
        Node = "node",
        Ingress = "ingress",
    }
}

/// Which namespaces are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesNamespaces {
    /// Whether the one that we run in is among them.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub own_namespace: bool,
    /// The names.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub names: Vec<String>,
}

/// Which objects of a kind are looked at. Both selectors have the form that the API takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesSelector {
    /// Which kind.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub role: Option<KubernetesRole>,
    /// By label: `a=b,c!=d,e in (f,g),h,!i`.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub label: String,
    /// By field: `metadata.name=a`.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub field: String,
}

/// What targets say about related objects, in labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "so they are in the configuration"
)]
pub struct KubernetesAttachMetadata {
    /// About the node.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub node: bool,
    /// About the namespace.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub namespace: bool,
    /// About the deployment.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub deployment: bool,
    /// About the job.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub job: bool,
    /// About the cron job.
    #[serde(
        deserialize_with = "model::de::or_default",
        skip_serializing_if = "is_zero"
    )]
    pub cronjob: bool,
}

impl KubernetesRole {
    /// Returns the kinds that selectors may be about when targets are of this kind.
    fn selectable(self) -> &'static [KubernetesRole] {
        use KubernetesRole as R;
        match self {
            R::Pod => &[R::Pod, R::Node],
            R::Service => &[R::Service],
            R::Endpoints => &[R::Pod, R::Service, R::Endpoints],
            R::EndpointSlice => &[R::Pod, R::Service, R::EndpointSlice],
            R::Node => &[R::Node],
            R::Ingress => &[R::Ingress],
        }
    }
}

impl KubernetesSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        let Some(role) = self.role else {
            let text =
                "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)";
            return Err(ConfigError(text.to_owned()));
        };
        let (has_url, has_file) = (
            !self.api_server.is_empty(),
            !self.kubeconfig_file.is_empty(),
        );
        let is_custom = is_custom(&self.http_config());
        // Contradictions of the credentials come first, as in Prometheus.
        let outcome = self.http_config().validate();
        outcome.map_err(|error| ConfigError(error.to_string()))?;
        ensure(
            !(has_url && has_file),
            "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
        )?;
        ensure(
            !(has_file && is_custom),
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
        )?;
        ensure(
            has_url || !is_custom,
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        )?;
        let own_namespace = self.namespaces.own_namespace;
        ensure(
            !(has_url && own_namespace),
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
        )?;
        ensure(
            !(has_file && own_namespace),
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
        )?;
        self.check_selectors(role)
    }

    fn check_selectors(&self, role: KubernetesRole) -> Result<(), ConfigError> {
        let mut seen = Vec::new();
        for selector in &self.selectors {
            let names: Vec<_> = role.selectable().iter().map(|role| role.name()).collect();
            let refused = format!(
                "{} role supports only {} selectors",
                role.name(),
                names.join(", ")
            );
            let Some(about) = selector
                .role
                .filter(|about| role.selectable().contains(about))
            else {
                return Err(ConfigError(refused));
            };
            let repeated = format!("duplicated selector role: {}", about.name());
            ensure(!seen.contains(&about), &repeated)?;
            seen.push(about);
            check_field_selector(&selector.field).map_err(ConfigError)?;
            check_label_selector(&selector.label).map_err(ConfigError)?;
        }
        Ok(())
    }
}

/// Returns whether anything differs from what counts when nothing is written.
fn is_custom(config: &HttpConfig) -> bool {
    let mut config = config.clone();
    config.follow_redirects = config.follow_redirects.filter(|follows| !follows);
    config.enable_http2 = config.enable_http2.filter(|enabled| !enabled);
    config.tls_config = config.tls_config.filter(|tls| *tls != Default::default());
    config.proxy_from_environment = config.proxy_from_environment.filter(|by| *by);
    config != HttpConfig::default()
}
