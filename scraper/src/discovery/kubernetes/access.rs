//! How the API server is reached: as the configuration says, as a kubeconfig says, or as a pod of the cluster does.
//!
//! Tokens in files are read for each request and certificates when they changed, so that rotation needs no reload.
//!
//! Source: Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files" and "Accessing the Kubernetes API
//! from a Pod".

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use net::http_config::{Authorization, BasicAuth, HttpConfig, Secret, TlsConfig};
use net::lease::{Lease, Leases};
use net::outbound::{ClientError, HttpClient};
use serde::Deserialize;

use super::exec::{ClusterInfo, Exec, Plugin, PluginError};
use crate::config::{KubernetesNamespaces, KubernetesSdConfig, yaml};

/// What a pod has of its cluster.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How large a kubeconfig may be, in bytes.
const KUBECONFIG_BYTES_MAX: u64 = 4 << 20;

/// A way to the API server.
pub(crate) struct Access {
    identity: Identity,
    /// Without a slash at the end.
    base: String,
    /// The namespace that we run in, if that is known.
    own_namespace: Option<String>,
}

/// Who we are.
enum Identity {
    /// What the configuration says.
    Configured(Box<HttpClient>),
    /// What a program says.
    Plugin(Box<ByPlugin>),
}

/// A program, and what it said last.
struct ByPlugin {
    plugin: Plugin,
    /// How to speak HTTP, without who we are.
    http: HttpConfig,
    base_dir: PathBuf,
    leases: Leases<Arc<Said>>,
}

/// A client with the certificate that the program gave, if it did, and the token.
struct Said {
    client: HttpClient,
    token: Option<Secret>,
}

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error(
        "reach the Kubernetes API from inside the cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; outside of a cluster give api_server or kubeconfig_file"
    )]
    NotInCluster,
    #[error("read {}: {source}", .path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("kubeconfig {}: {reason}", .path.display())]
    Kubeconfig { path: PathBuf, reason: String },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Plugin(#[from] PluginError),
    #[error(transparent)]
    Token(#[from] net::bearer::BearerError),
}

/// What surrounds us; different in tests.
pub(crate) struct Surroundings {
    /// Host and port of the API server for pods.
    pub(crate) service: Option<(String, String)>,
    /// Where the service account's files are.
    pub(crate) service_account: PathBuf,
}

impl Surroundings {
    /// Returns those of this process.
    pub(crate) fn of_process() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Surroundings {
            service: variable("KUBERNETES_SERVICE_HOST").zip(variable("KUBERNETES_SERVICE_PORT")),
            service_account: PathBuf::from(SERVICE_ACCOUNT),
        }
    }
}

impl Access {
    /// Returns the way that `config` means. Relative file names are relative to `base_dir`.
    ///
    /// # Errors
    ///
    /// When files are missing or say nothing that can be used.
    pub(crate) fn new(
        config: &KubernetesSdConfig,
        base_dir: &Path,
        surroundings: &Surroundings,
    ) -> Result<Self, AccessError> {
        let (http, url, plugin) = if !config.kubeconfig_file.is_empty() {
            of_kubeconfig(&base_dir.join(&config.kubeconfig_file))?
        } else if config.api_server.is_empty() {
            let (http, url) = of_pod(surroundings)?;
            (http, url, None)
        } else {
            let url = config.api_server.as_str().to_owned();
            (config.http_config(), url, None)
        };
        let namespace_file = surroundings.service_account.join("namespace");
        let own_namespace = match config.namespaces.own_namespace {
            true => {
                let text = std::fs::read_to_string(&namespace_file);
                let text = text.map_err(|source| AccessError::Read {
                    path: namespace_file,
                    source,
                })?;
                Some(text.trim().to_owned())
            }
            false => None,
        };
        let identity = match plugin {
            None => {
                let client = HttpClient::new(http, base_dir, None)?;
                Identity::Configured(Box::new(client))
            }
            Some(plugin) => Identity::Plugin(Box::new(ByPlugin {
                plugin,
                http,
                base_dir: base_dir.to_owned(),
                leases: Leases::default(),
            })),
        };
        Ok(Access {
            identity,
            base: url.trim_end_matches('/').to_owned(),
            own_namespace,
        })
    }

    /// Returns a GET of `place`, a path without a slash in front.
    pub(crate) async fn get(&self, place: &str) -> Result<reqwest::RequestBuilder, AccessError> {
        let url = format!("{}/{place}", self.base);
        let by_plugin = match &self.identity {
            Identity::Configured(client) => return Ok(client.get(&url).await?),
            Identity::Plugin(by_plugin) => by_plugin,
        };
        let said = by_plugin.leases.get(by_plugin.lease()).await?;
        let request = said.client.get(&url).await?;
        match &said.token {
            Some(token) => Ok(net::bearer::authorized(request, token)?),
            None => Ok(request),
        }
    }

    /// Forgets what a program said, because the API server does not believe it.
    pub(crate) async fn refused(&self) {
        if let Identity::Plugin(by_plugin) = &self.identity {
            by_plugin.leases.forget().await;
        }
    }

    /// Returns the namespaces that are wanted; `None` stands for all.
    pub(crate) fn namespaces(&self, wanted: &KubernetesNamespaces) -> Vec<Option<String>> {
        let mut names: Vec<Option<String>> = wanted.names.iter().cloned().map(Some).collect();
        if let Some(own) = &self.own_namespace
            && !wanted.names.contains(own)
        {
            names.push(Some(own.clone()));
        }
        if names.is_empty() {
            names.push(None);
        }
        names
    }
}

impl ByPlugin {
    async fn lease(&self) -> Result<Lease<Arc<Said>>, AccessError> {
        let Lease { value: given, ends } = self.plugin.run().await?;
        let mut http = self.http.clone();
        if let Some((cert, key)) = given.certificate {
            let tls = http.tls_config.get_or_insert_default();
            (tls.cert, tls.key) = (Some(cert), Some(key));
            (tls.cert_file, tls.key_file) = (None, None);
        }
        let said = Said {
            client: HttpClient::new(http, &self.base_dir, None)?,
            token: given.token,
        };
        Ok(Lease {
            value: Arc::new(said),
            ends,
        })
    }
}

fn of_pod(surroundings: &Surroundings) -> Result<(HttpConfig, String), AccessError> {
    let (host, port) = surroundings
        .service
        .as_ref()
        .ok_or(AccessError::NotInCluster)?;
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let file = |name: &str| {
        let path = surroundings.service_account.join(name);
        Some(path.display().to_string())
    };
    let http = HttpConfig {
        authorization: Some(Authorization {
            credentials_file: file("token"),
            ..Authorization::default()
        }),
        tls_config: Some(TlsConfig {
            ca_file: file("ca.crt"),
            ..TlsConfig::default()
        }),
        ..HttpConfig::default()
    };
    Ok((http, format!("https://{host}:{port}")))
}

/// A kubeconfig, as much of it as is used.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Kubeconfig {
    current_context: String,
    contexts: Vec<Named<Context>>,
    clusters: Vec<Named<Cluster>>,
    users: Vec<Named<User>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    value: T,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    username: Option<String>,
    password: Option<String>,
    exec: Option<Exec>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

fn of_kubeconfig(path: &Path) -> Result<(HttpConfig, String, Option<Plugin>), AccessError> {
    let read = |source| AccessError::Read {
        path: path.to_owned(),
        source,
    };
    let wrong = |reason: String| AccessError::Kubeconfig {
        path: path.to_owned(),
        reason,
    };
    if KUBECONFIG_BYTES_MAX < std::fs::metadata(path).map_err(read)?.len() {
        return Err(wrong("it is larger than 4 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let config: Option<Kubeconfig> =
        yaml::parse(&text).map_err(|error| wrong(error.to_string()))?;
    let config = config.unwrap_or_default();
    let context = find(&config.contexts, "context", &config.current_context).map_err(wrong)?;
    let cluster = find(&config.clusters, "cluster", &context.cluster).map_err(wrong)?;
    let nobody = User::default();
    let user = match context.user.as_str() {
        "" => &nobody,
        name => find(&config.users, "user", name).map_err(wrong)?,
    };
    if user.auth_provider.is_some() {
        let text = "auth-provider is not supported, Kubernetes has removed it; give exec, a token or a certificate";
        return Err(wrong(text.to_owned()));
    }
    if cluster.server.is_empty() {
        return Err(wrong(format!(
            "cluster {:?} has no server",
            context.cluster
        )));
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = |name: &Option<String>| {
        let name = name.as_ref().filter(|name| !name.is_empty())?;
        Some(dir.join(name).display().to_string())
    };
    let data = |name: &str, data: &Option<String>| {
        let Some(data) = data.as_ref().filter(|data| !data.is_empty()) else {
            return Ok(None);
        };
        let bytes = base64::engine::general_purpose::STANDARD.decode(data.trim());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Some)
            .ok_or_else(|| wrong(format!("{name} is not the base64 of a PEM text")))
    };
    let plugin = match &user.exec {
        None => None,
        Some(exec) => {
            let cluster = cluster_info(cluster, file(&cluster.certificate_authority).as_deref());
            let cluster = cluster.map_err(read)?;
            Some(Plugin::new(exec.clone(), dir, cluster).map_err(wrong)?)
        }
    };
    // Data wins over files, as in Kubernetes.
    let ca = data(
        "certificate-authority-data",
        &cluster.certificate_authority_data,
    )?;
    let cert = data("client-certificate-data", &user.client_certificate_data)?;
    let key = data("client-key-data", &user.client_key_data)?;
    let tls = TlsConfig {
        ca_file: if ca.is_none() {
            file(&cluster.certificate_authority)
        } else {
            None
        },
        cert_file: if cert.is_none() {
            file(&user.client_certificate)
        } else {
            None
        },
        key_file: if key.is_none() {
            file(&user.client_key)
        } else {
            None
        },
        ca,
        cert,
        key: key.map(Secret::new),
        server_name: cluster.tls_server_name.clone(),
        insecure_skip_verify: cluster.insecure_skip_tls_verify,
        ..TlsConfig::default()
    };
    let token = user.token.clone().filter(|token| !token.is_empty());
    let token_file = if token.is_none() {
        file(&user.token_file)
    } else {
        None
    };
    let has_token = token.is_some() || token_file.is_some();
    let http = HttpConfig {
        authorization: has_token.then(|| Authorization {
            credentials: token.map(Secret::new),
            credentials_file: token_file,
            ..Authorization::default()
        }),
        basic_auth: user
            .username
            .as_ref()
            .filter(|_| !has_token)
            .map(|name| BasicAuth {
                username: Some(name.clone()),
                password: user.password.clone().map(Secret::new),
                ..BasicAuth::default()
            }),
        tls_config: Some(tls),
        ..HttpConfig::default()
    };
    Ok((http, cluster.server.clone(), plugin))
}

/// Returns what a program is told of the cluster; `ca_file` is read if the kubeconfig has no authority itself.
fn cluster_info(cluster: &Cluster, ca_file: Option<&str>) -> std::io::Result<ClusterInfo> {
    let data = cluster.certificate_authority_data.clone();
    let data = match (data.filter(|data| !data.is_empty()), ca_file) {
        (None, Some(file)) => {
            let bytes = std::fs::read(file)?;
            Some(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        (data, _) => data,
    };
    Ok(ClusterInfo {
        server: cluster.server.clone(),
        tls_server_name: cluster.tls_server_name.clone(),
        insecure_skip_tls_verify: cluster.insecure_skip_tls_verify.unwrap_or_default(),
        certificate_authority_data: data,
    })
}

fn find<'a, T>(all: &'a [Named<T>], what: &str, name: &str) -> Result<&'a T, String> {
    let found = all.iter().find(|named| named.name == name);
    let found = found.map(|named| &named.value);
    found.ok_or_else(|| format!("there is no {what} {name:?}"))
}
