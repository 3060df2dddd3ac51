//! Credentials that a program gives, as a kubeconfig's `exec` says: `aws eks get-token`, `gke-gcloud-auth-plugin`, `kubelogin`.
//!
//! The program is run when credentials are needed and those that it gave end in five minutes, or were refused. It has a minute,
//! and its output is bounded.
//!
//! # Not here
//!
//! Programs that ask a person (`interactiveMode: Always`): there is nobody to ask.
//!
//! Source: Kubernetes documentation, "Authenticating", client-go credential plugins.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use net::http_config::Secret;
use net::lease::Lease;
use net::program::{ProgramError, ProgramLimits, output};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

/// What a program may take.
const LIMITS: ProgramLimits = ProgramLimits {
    time: Duration::from_secs(60),
    output_bytes: 1 << 20,
};

/// The section `exec` of a user.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Exec {
    api_version: String,
    command: String,
    #[serde(deserialize_with = "model::de::or_default")]
    args: Vec<String>,
    #[serde(deserialize_with = "model::de::or_default")]
    env: Vec<Variable>,
    interactive_mode: String,
    provide_cluster_info: bool,
    #[serde(deserialize_with = "model::de::or_default")]
    install_hint: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Variable {
    name: String,
    value: String,
}

/// The cluster, for programs that want to know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterInfo {
    pub(crate) server: String,
    pub(crate) tls_server_name: Option<String>,
    pub(crate) insecure_skip_tls_verify: bool,
    /// As base64.
    pub(crate) certificate_authority_data: Option<String>,
}

/// A program, and what it is told.
pub(crate) struct Plugin {
    exec: Exec,
    /// What a command with a slash is relative to.
    dir: PathBuf,
    cluster: ClusterInfo,
}

/// What a program gave: a token, a certificate, or both.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) token: Option<Secret>,
    pub(crate) certificate: Option<(String, Secret)>,
}

/// Why it gave nothing.
#[derive(Debug, thiserror::Error)]
#[error("credentials of the program {command:?}: {reason}")]
pub(crate) struct PluginError {
    command: String,
    reason: String,
}

#[derive(Deserialize)]
struct Answer {
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "model::de::or_default")]
    expiration_timestamp: String,
    #[serde(deserialize_with = "model::de::or_default")]
    token: String,
    #[serde(deserialize_with = "model::de::or_default")]
    client_certificate_data: String,
    #[serde(deserialize_with = "model::de::or_default")]
    client_key_data: Secret,
}

impl Plugin {
    /// # Errors
    ///
    /// What is wrong with the section.
    pub(crate) fn new(exec: Exec, dir: &Path, cluster: ClusterInfo) -> Result<Self, String> {
        if exec.command.is_empty() {
            return Err("exec has no command".to_owned());
        }
        let versions = ["v1", "v1beta1"].map(|v| format!("client.authentication.k8s.io/{v}"));
        if !versions.contains(&exec.api_version) {
            return Err(format!(
                "exec has the apiVersion {:?}, expected one of {}",
                exec.api_version,
                versions.join(", ")
            ));
        }
        if exec.interactive_mode == "Always" {
            return Err("exec has interactiveMode Always, but there is nobody to ask".to_owned());
        }
        Ok(Plugin {
            exec,
            dir: dir.to_owned(),
            cluster,
        })
    }

    /// Runs the program and returns what it gives.
    pub(crate) async fn run(&self) -> Result<Lease<Given>, PluginError> {
        let wrong = |reason: String| PluginError {
            command: self.exec.command.clone(),
            reason,
        };
        let output = output(self.command(), LIMITS).await;
        let output = output.map_err(|error| wrong(self.told(&error)))?;
        let answer: Answer = serde_json::from_slice(&output).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            wrong(format!("its output is no ExecCredential at {place}"))
        })?;
        let status = answer.status.unwrap_or_default();
        if answer.kind != "ExecCredential" {
            return Err(wrong("its output is no ExecCredential".to_owned()));
        }
        let has_certificate = !status.client_certificate_data.is_empty();
        if has_certificate == status.client_key_data.is_empty() {
            return Err(wrong("it gave only one of certificate and key".to_owned()));
        }
        if status.token.is_empty() && !has_certificate {
            return Err(wrong(
                "it gave neither a token nor a certificate".to_owned(),
            ));
        }
        let ends = match status.expiration_timestamp.as_str() {
            "" => None,
            text => {
                let ends: Result<Timestamp, _> = text.parse();
                Some(ends.map_err(|_| wrong("its expirationTimestamp is no time".to_owned()))?)
            }
        };
        Ok(Lease {
            value: Given {
                token: Some(status.token)
                    .filter(|token| !token.is_empty())
                    .map(Secret::new),
                certificate: has_certificate
                    .then_some((status.client_certificate_data, status.client_key_data)),
            },
            ends,
        })
    }

    fn command(&self) -> Command {
        let exec = &self.exec;
        let mut command = Command::new(match exec.command.contains('/') {
            true => self.dir.join(&exec.command),
            false => PathBuf::from(&exec.command),
        });
        command
            .args(&exec.args)
            .envs(exec.env.iter().map(|v| (&v.name, &v.value)))
            .env("KUBERNETES_EXEC_INFO", self.info());
        command
    }

    /// Returns what is told of an error, with the kubeconfig's hint where that may help.
    fn told(&self, error: &ProgramError) -> String {
        let hint = match error {
            ProgramError::Start(_) => self.exec.install_hint.lines().next(),
            _ => None,
        };
        match hint {
            Some(hint) => format!("it {error} ({hint})"),
            None => format!("it {error}"),
        }
    }

    /// Returns what the program is told.
    fn info(&self) -> String {
        let mut spec = json!({ "interactive": false });
        if self.exec.provide_cluster_info {
            let cluster = &self.cluster;
            spec["cluster"] = json!({ "server": cluster.server });
            if let Some(name) = &cluster.tls_server_name {
                spec["cluster"]["tls-server-name"] = name.as_str().into();
            }
            if cluster.insecure_skip_tls_verify {
                spec["cluster"]["insecure-skip-tls-verify"] = true.into();
            }
            if let Some(data) = &cluster.certificate_authority_data {
                spec["cluster"]["certificate-authority-data"] = data.as_str().into();
            }
        }
        let version = &self.exec.api_version;
        json!({ "kind": "ExecCredential", "apiVersion": version, "spec": spec }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(script: &str, more: &str) -> Result<Plugin, String> {
        let text = format!(
            r#"{{"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", {script:?}],
                 "env": [{{"name": "SAID", "value": "from the kubeconfig"}}]{more}}}"#
        );
        let cluster = ClusterInfo {
            server: "https://k".to_owned(),
            ..ClusterInfo::default()
        };
        Plugin::new(serde_json::from_str(&text).unwrap(), Path::new(""), cluster)
    }

    async fn run(script: &str) -> Result<Lease<Given>, String> {
        let plugin = plugin(script, "").unwrap();
        plugin.run().await.map_err(|error| error.to_string())
    }

    const HEAD: &str =
        r#"{"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": "#;

    #[tokio::test]
    async fn tokens_and_certificates() {
        let script = format!(
            r#"echo '{HEAD}{{"token": "'"$SAID"'", "expirationTimestamp": "2999-01-01T00:00:00Z"}}}}'"#
        );
        let lease = run(&script).await.unwrap();
        assert_eq!(lease.value.token, Some(Secret::new("from the kubeconfig")));
        assert_eq!(lease.ends.unwrap().to_string(), "2999-01-01T00:00:00Z");
        assert!(lease.value.certificate.is_none());
        let script =
            format!(r#"echo '{HEAD}{{"clientCertificateData": "C", "clientKeyData": "K"}}}}'"#);
        let lease = run(&script).await.unwrap();
        assert_eq!((lease.value.token, lease.ends), (None, None));
        assert_eq!(
            lease.value.certificate,
            Some(("C".to_owned(), Secret::new("K")))
        );
    }

    #[tokio::test]
    async fn programs_are_told_of_the_cluster_if_they_want_to_know() {
        let script = format!(
            r#"case "$KUBERNETES_EXEC_INFO" in *'"server":"https://k"'*) echo '{HEAD}{{"token": "t"}}}}';; *) exit 3;; esac"#
        );
        let told = plugin(&script, r#", "provideClusterInfo": true"#).unwrap();
        assert!(told.run().await.is_ok());
        let untold = plugin(&script, "").unwrap();
        assert!(untold.run().await.is_err());
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_without_the_output() {
        for (script, expected) in [
            (
                "echo secret-token",
                "its output is no ExecCredential at line 1, column 1",
            ),
            (
                "echo 'no login\nmore' >&2; exit 2",
                "it failed (exit status: 2): no login",
            ),
            (
                r#"echo '{"kind": "ExecCredential"}'"#,
                "it gave neither a token nor a certificate",
            ),
            (
                r#"echo '{"kind": "ExecCredential", "status": {"clientKeyData": "K"}}'"#,
                "it gave only one of certificate and key",
            ),
            ("yes", "it printed more than 1048576 bytes"),
        ] {
            let error = run(script).await.err().unwrap();
            assert_eq!(
                error,
                format!("credentials of the program \"sh\": {expected}")
            );
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there() {
        let text = r#"{"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "./nothing", "installHint": "get it"}"#;
        let exec = serde_json::from_str(text).unwrap();
        let plugin = Plugin::new(exec, Path::new("/nonexistent"), ClusterInfo::default()).unwrap();
        let error = plugin.run().await.err().unwrap().to_string();
        assert!(
            error.contains("it cannot be started: ") && error.ends_with("(get it)"),
            "{error}"
        );
    }

    #[test]
    fn sections_that_make_no_sense() {
        let of = |text: &str| {
            let exec = serde_json::from_str(text).unwrap();
            Plugin::new(exec, Path::new(""), ClusterInfo::default())
                .err()
                .unwrap()
        };
        assert_eq!(of("{}"), "exec has no command");
        assert!(
            of(r#"{"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}"#)
                .contains("v1alpha1")
        );
        assert!(
            of(r#"{"command": "x", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Always"}"#)
                .contains("nobody to ask")
        );
    }
}
