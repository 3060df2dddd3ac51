//! TLS between equals, each of whom is server and client: the file of Alertmanager's `--cluster.tls-config`.
//!
//! Certificates are replaced while we run: the files that the configuration names are read again for the first connection
//! after they changed, and while they make no sense those before stay in force. The configuration itself is read once.
//!
//! Source: Alertmanager's documentation, "HTTPS and authentication", gossip traffic.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::client::{PerFiles, TlsError, client_config};
use crate::http_config::TlsConfig;
use crate::web_config::TlsServerConfig;

/// What each side does. Both must be given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MutualTlsConfig {
    /// How those who connect are spoken to.
    pub tls_server_config: TlsServerConfig,
    /// How others are connected to.
    pub tls_client_config: TlsConfig,
}

/// Speaks TLS on both sides.
#[derive(Debug)]
pub struct MutualTls {
    config: MutualTlsConfig,
    /// Only the files of the server's side.
    server_files: TlsConfig,
    dir: PathBuf,
    server: Side<ServerConfig>,
    client: Side<ClientConfig>,
}

impl MutualTls {
    /// Returns what speaks as `config` says; relative names of files are relative to `dir`.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense, or a file cannot be read; the text says which.
    pub fn open(config: MutualTlsConfig, dir: &Path) -> Result<Self, String> {
        let server_side = |error: &dyn std::fmt::Display| format!("tls_server_config: {error}");
        let client_side = |error: &dyn std::fmt::Display| format!("tls_client_config: {error}");
        let (server, client) = (&config.tls_server_config, &config.tls_client_config);
        if server.is_off() {
            return Err(server_side(&"missing one of cert or cert_file"));
        }
        server.check(dir).map_err(|error| server_side(&error))?;
        client.validate().map_err(|error| client_side(&error))?;
        let server = server
            .server_config(dir)
            .map_err(|error| server_side(&error))?;
        let client = client_config(client, dir).map_err(|error| client_side(&error))?;
        let named = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
        Ok(MutualTls {
            server_files: TlsConfig {
                ca_file: named(&config.tls_server_config.client_ca_file),
                cert_file: named(&config.tls_server_config.cert_file),
                key_file: named(&config.tls_server_config.key_file),
                ..TlsConfig::default()
            },
            server: Side::new(server),
            client: Side::new(client),
            dir: dir.to_owned(),
            config,
        })
    }

    /// Shakes hands with someone who has connected.
    ///
    /// # Errors
    ///
    /// When they are not believed, or do not believe us, or speak no TLS.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let make = || self.config.tls_server_config.server_config(&self.dir);
        let config = self.server.current(&self.server_files, &self.dir, make);
        TlsAcceptor::from(config).accept(stream).await
    }

    /// Shakes hands with whom we have connected to. Their certificate must have the name that is configured, or else this
    /// address.
    ///
    /// # Errors
    ///
    /// As [`accept`](MutualTls::accept).
    pub async fn connect(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let files = &self.config.tls_client_config;
        let make = || client_config(files, &self.dir);
        let config = self.client.current(files, &self.dir, make);
        let name = match files.server_name.as_deref().unwrap_or_default() {
            "" => ServerName::IpAddress(address.ip().into()),
            name => ServerName::try_from(name.to_owned()).map_err(io::Error::other)?,
        };
        TlsConnector::from(config).connect(name, stream).await
    }
}

/// The settings of one side, as its files are.
#[derive(Debug)]
struct Side<T> {
    made: PerFiles<Arc<T>>,
    /// What stays in force when the files make no sense.
    last: Mutex<Arc<T>>,
}

impl<T> Side<T> {
    fn new(config: T) -> Self {
        Side {
            made: PerFiles::default(),
            last: Mutex::new(Arc::new(config)),
        }
    }

    fn current(
        &self,
        files: &TlsConfig,
        dir: &Path,
        make: impl FnOnce() -> Result<T, TlsError>,
    ) -> Arc<T> {
        let made = self.made.get_or_make(files, dir, || make().map(Arc::new));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(made) => *last = made,
            Err(error) => {
                tracing::warn!(%error, "certificates changed and make no sense; those before stay in force");
            }
        }
        Arc::clone(&last)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Writes an authority of this name, and the certificate and key of a member at 127.0.0.1.
    fn write_certificates(dir: &Path, authority: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(dir.join(format!("{authority}-ca.crt")), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        fs::write(dir.join(format!("{authority}.crt")), certificate.pem()).unwrap();
        fs::write(dir.join(format!("{authority}.key")), key.serialize_pem()).unwrap();
    }

    fn config(authority: &str) -> MutualTlsConfig {
        let text = serde_json::json!({
            "tls_server_config": {
                "cert_file": format!("{authority}.crt"), "key_file": format!("{authority}.key"),
                "client_auth_type": "RequireAndVerifyClientCert",
                "client_ca_file": format!("{authority}-ca.crt"),
            },
            "tls_client_config": {
                "cert_file": format!("{authority}.crt"), "key_file": format!("{authority}.key"),
                "ca_file": format!("{authority}-ca.crt"),
            },
        });
        serde_json::from_value(text).unwrap()
    }

    /// Lets `client` say a byte to `server`; returns whether it came.
    async fn meet(server: &MutualTls, client: &MutualTls) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = server.accept(stream).await?;
            stream.read_u8().await
        };
        let asking = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let mut stream = client.connect(stream, address).await?;
            stream.write_u8(7).await?;
            stream.flush().await
        };
        let (got, sent) = tokio::join!(serving, asking);
        sent.is_ok() && got.is_ok_and(|byte| byte == 7)
    }

    #[tokio::test]
    async fn only_those_of_the_same_authority_meet() {
        let dir = tempfile::tempdir().unwrap();
        write_certificates(dir.path(), "ours");
        write_certificates(dir.path(), "theirs");
        let ours = MutualTls::open(config("ours"), dir.path()).unwrap();
        let theirs = MutualTls::open(config("theirs"), dir.path()).unwrap();
        assert!(meet(&ours, &ours).await);
        assert!(!meet(&ours, &theirs).await);
        assert!(!meet(&theirs, &ours).await);
        let mut believes_all = config("theirs");
        believes_all.tls_client_config.ca_file = None;
        believes_all.tls_client_config.insecure_skip_verify = Some(true);
        let believes_all = MutualTls::open(believes_all, dir.path()).unwrap();
        assert!(
            !meet(&ours, &believes_all).await,
            "ours asks for a certificate"
        );
    }

    #[tokio::test]
    async fn replaced_certificates_are_read_and_broken_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        write_certificates(dir.path(), "ours");
        let old = MutualTls::open(config("ours"), dir.path()).unwrap();
        assert!(meet(&old, &old).await);
        fs::write(dir.path().join("ours.crt"), "no PEM").unwrap();
        assert!(meet(&old, &old).await, "those before stay in force");
        write_certificates(dir.path(), "ours");
        let new = MutualTls::open(config("ours"), dir.path()).unwrap();
        assert!(meet(&old, &new).await && meet(&new, &old).await);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let dir = tempfile::tempdir().unwrap();
        write_certificates(dir.path(), "ours");
        let open = |change: fn(&mut MutualTlsConfig)| {
            let mut config = config("ours");
            change(&mut config);
            MutualTls::open(config, dir.path()).unwrap_err()
        };
        let error = open(|config| config.tls_server_config = TlsServerConfig::default());
        assert_eq!(error, "tls_server_config: missing one of cert or cert_file");
        let error = open(|config| config.tls_client_config.ca_file = Some("none.crt".to_owned()));
        assert!(
            error.starts_with("tls_client_config: unable to read CA cert"),
            "{error}"
        );
        let error = open(|config| config.tls_client_config.key_file = None);
        assert!(error.starts_with("tls_client_config: "), "{error}");
        assert!(serde_json::from_str::<MutualTlsConfig>(r#"{"tls_server_config": {}}"#).is_err());
    }
}
