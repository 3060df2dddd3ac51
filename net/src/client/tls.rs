//! From a `tls_config` to rustls, with ring as the provider of cryptography.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use hyper_rustls::FixedServerNameResolver;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion, version,
};

use crate::http_config::{InvalidHttpConfig, Secret, TlsConfig, TlsVersion};

/// How long a file of certificates or of a key may be, in bytes.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("unable to read {what} {}: {source}", .path.display())]
    Read {
        /// What the file should hold.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no PEM of that kind in it.
    #[error("no usable {what} in the PEM text: {reason}")]
    Pem {
        /// What should be there.
        what: &'static str,
        /// Why it is not usable.
        reason: String,
    },
    /// The parts do not work together.
    #[error("set up TLS: {0}")]
    Setup(String),
}

/// When the files of a `tls_config` were written: a change means that they must be read again.
#[derive(Debug, PartialEq, Eq)]
struct FileStamps([Option<Stamp>; 3]);

/// When a file was written, and how long it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stamp(SystemTime, u64);

impl Stamp {
    /// Nothing, if the file is not there.
    pub(crate) fn of(path: &Path) -> Option<Stamp> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Stamp(metadata.modified().ok()?, metadata.len()))
    }
}

impl FileStamps {
    fn of(config: &TlsConfig, base_dir: &Path) -> Self {
        let stamp = |file: &Option<String>| Stamp::of(&base_dir.join(file.as_ref()?));
        FileStamps([
            stamp(&config.ca_file),
            stamp(&config.cert_file),
            stamp(&config.key_file),
        ])
    }
}

/// Something that stands on the files of a `tls_config`, such as a client: made when it is first asked for, and again when
/// one of the files changed.
#[derive(Debug)]
pub struct PerFiles<T>(Mutex<Option<(FileStamps, T)>>);

impl<T> Default for PerFiles<T> {
    fn default() -> Self {
        PerFiles(Mutex::new(None))
    }
}

impl<T: Clone> PerFiles<T> {
    /// Returns what `make` made of the files as they are now. While it is made, others wait.
    ///
    /// # Errors
    ///
    /// Those of `make`, which is asked again the next time.
    pub fn get_or_make<E>(
        &self,
        config: &TlsConfig,
        base_dir: &Path,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let stamps = FileStamps::of(config, base_dir);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_of, made)) = &*held
            && *made_of == stamps
        {
            return Ok(made.clone());
        }
        let made = make()?;
        *held = Some((stamps, made.clone()));
        Ok(made)
    }
}

/// Returns the resolver that asks every server for a certificate of `name`.
pub(super) fn fixed_name(name: &str) -> Result<FixedServerNameResolver, TlsError> {
    parse_name(name).map(FixedServerNameResolver::new)
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| TlsError::Setup(format!("{name:?} is not a server name")))
}

/// Returns rustls' settings for `config`; relative file names in it are relative to `base_dir`. ALPN is left to the
/// connector.
///
/// The server's certificate must have the name `server_name`, if that is configured, whatever the URL says. Which name the
/// server is asked for (SNI) is up to the connector.
///
/// # Errors
///
/// When a file cannot be read, holds no PEM, or the parts do not go together.
pub fn client_config(config: &TlsConfig, base_dir: &Path) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(config, base_dir, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(config))
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let cert = pem(
        "certificate file",
        config.cert.as_deref(),
        config.cert_file.as_ref(),
        base_dir,
    )?;
    let key = pem(
        "key file",
        config.key.as_ref().map(Secret::reveal),
        config.key_file.as_ref(),
        base_dir,
    )?;
    let (Some(cert), Some(key)) = (cert, key) else {
        return Ok(builder.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| TlsError::Pem {
        what: "private key",
        reason: error.to_string(),
    })?;
    builder
        .with_client_auth_cert(certificates(&cert)?, key)
        .map_err(|error| TlsError::Setup(error.to_string()))
}

/// Returns settings for connections that do without TLS: no certificate is believed.
///
/// # Errors
///
/// When the provider of cryptography lacks what is usual, which it does not.
pub(super) fn believing_nobody() -> Result<ClientConfig, InvalidHttpConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| InvalidHttpConfig(format!("set up TLS: {error}")))?;
    Ok(builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn versions(config: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    let min = config.min_version.unwrap_or(TlsVersion::TLS12);
    let max = config.max_version.unwrap_or(TlsVersion::TLS13);
    let all = [
        (TlsVersion::TLS13, &version::TLS13),
        (TlsVersion::TLS12, &version::TLS12),
    ];
    all.into_iter()
        .filter(|&(v, _)| min <= v && v <= max)
        .map(|(_, version)| version)
        .collect()
}

/// Returns what a text or a file holds, the text first; nothing if neither is given.
pub(crate) fn pem(
    what: &'static str,
    text: Option<&str>,
    file: Option<&String>,
    base_dir: &Path,
) -> Result<Option<Vec<u8>>, TlsError> {
    match (text, file) {
        (Some(text), _) if !text.is_empty() => Ok(Some(text.as_bytes().to_vec())),
        (_, Some(file)) if !file.is_empty() => {
            let path = base_dir.join(file);
            read_bounded(&path)
                .map(Some)
                .map_err(|source| TlsError::Read { what, path, source })
        }
        _ => Ok(None),
    }
}

/// Reads a file of at most [`PEM_BYTES_MAX`].
pub(crate) fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(PEM_BYTES_MAX + 1);
    file.read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= PEM_BYTES_MAX {
        true => Ok(bytes),
        false => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {PEM_BYTES_MAX} bytes"),
        )),
    }
}

/// Returns all certificates of a PEM text, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Pem {
        what: "certificate",
        reason,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| bad(error.to_string()))?;
    if found.is_empty() {
        Err(bad("there is none".to_owned()))
    } else {
        Ok(found)
    }
}

/// The system's authorities, read once: they are megabytes, and the same for every client.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let mut roots = RootCertStore::empty();
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::warn!(%error, "a certificate of the system cannot be read");
        }
        roots.add_parsable_certificates(loaded.certs);
        Arc::new(roots)
    };
    Arc::clone(ROOTS.get_or_init(load))
}

fn verifier(
    config: &TlsConfig,
    base_dir: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    if config.insecure_skip_verify == Some(true) {
        return Ok(Arc::new(AnyCertificate {
            provider: Arc::clone(provider),
        }));
    }
    let ca = pem(
        "CA cert",
        config.ca.as_deref(),
        config.ca_file.as_ref(),
        base_dir,
    )?;
    let (roots, pinned) = match ca {
        Some(ca) => {
            let pinned = certificates(&ca)?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(pinned.iter().cloned());
            (Arc::new(roots), pinned)
        }
        None => (system_roots(), Vec::new()),
    };
    let name = config
        .server_name
        .as_deref()
        .filter(|name| !name.is_empty());
    Ok(Arc::new(PinnedOrWebPki {
        name: name.map(parse_name).transpose()?,
        pinned,
        webpki: webpki(roots, provider)?,
        provider: Arc::clone(provider),
    }))
}

/// Returns the verifier that believes `roots`, `None` if there are none.
fn webpki(
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>, TlsError> {
    if roots.is_empty() {
        return Ok(None);
    }
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map(Some)
        .map_err(|error| TlsError::Setup(error.to_string()))
}

/// Believes a certificate that is itself listed as an authority, which rustls would refuse, and else asks webpki. It must be valid
/// now and name the host all the same.
///
/// Many exporters have one self-signed certificate that their users also name as `ca_file`; Go accepts that.
#[derive(Debug)]
struct PinnedOrWebPki {
    /// The name to look for instead of the URL's host.
    name: Option<ServerName<'static>>,
    pinned: Vec<CertificateDer<'static>>,
    /// `None` on a system without authorities, where plain connections must work nevertheless: nobody is believed.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedOrWebPki {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut pinned = self.pinned.iter();
        let is_pinned = pinned.any(|pinned| pinned.as_ref() == end_entity.as_ref());
        let Some(webpki) = &self.webpki else {
            // One that webpki cannot even read, of the first version of X.509, has no names and is believed as it is.
            return match is_pinned {
                true => Ok(ServerCertVerified::assertion()),
                false => Err(CertificateError::UnknownIssuer.into()),
            };
        };
        let name = self.name.as_ref().unwrap_or(server_name);
        let verdict =
            webpki.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        match verdict {
            // Its times are the first thing that is looked at.
            Err(rustls::Error::InvalidCertificate(
                error @ (CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }),
            )) => Err(error.into()),
            Err(_) if is_pinned => {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                verify_server_name(&certificate, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(&self.provider, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(&self.provider, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// `insecure_skip_verify`: believes any certificate, but still checks that the server has its key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(&self.provider, message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(&self.provider, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Checks that whoever shows `cert` has its key, in TLS 1.2.
pub(crate) fn verify_tls12_signature(
    provider: &CryptoProvider,
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = &provider.signature_verification_algorithms;
    rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
}

/// The same in TLS 1.3.
pub(crate) fn verify_tls13_signature(
    provider: &CryptoProvider,
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = &provider.signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_authorities_nobody_is_believed() {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(RootCertStore::empty());
        let verifier = PinnedOrWebPki {
            name: None,
            pinned: vec![CertificateDer::from(vec![1])],
            webpki: webpki(roots, &provider).unwrap(),
            provider,
        };
        let verify = |certificate: &[u8]| {
            let name = ServerName::try_from("host").unwrap();
            let certificate = CertificateDer::from(certificate);
            verifier.verify_server_cert(&certificate, &[], &name, &[], UnixTime::now())
        };
        assert!(verify(&[1]).is_ok());
        assert_eq!(
            verify(&[2]).unwrap_err(),
            rustls::CertificateError::UnknownIssuer.into()
        );
    }

    /// Returns a certificate for `host` that signs itself, and may or may not sign others.
    fn own_certificate(signs_others: bool, last_year: i32) -> CertificateDer<'static> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["host".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2010, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
        if signs_others {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_pinned_certificate_must_be_valid_and_name_the_host() {
        let provider = Arc::new(ring::default_provider());
        for signs_others in [false, true] {
            let (good, expired) = (
                own_certificate(signs_others, 2100),
                own_certificate(signs_others, 2020),
            );
            let pinned = vec![good.clone(), expired.clone()];
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(pinned.iter().cloned());
            let verifier = PinnedOrWebPki {
                name: None,
                pinned,
                webpki: webpki(Arc::new(roots), &provider).unwrap(),
                provider: Arc::clone(&provider),
            };
            let verify = |certificate: &CertificateDer<'_>, name: &'static str| {
                let name = ServerName::try_from(name).unwrap();
                verifier
                    .verify_server_cert(certificate, &[], &name, &[], UnixTime::now())
                    .map(|_| ())
                    .map_err(|error| error.to_string())
            };
            assert_eq!(verify(&good, "host"), Ok(()));
            let error = verify(&good, "other").unwrap_err();
            assert!(error.contains("not valid for name"), "{error}");
            let error = verify(&expired, "host").unwrap_err();
            assert!(error.contains("expired"), "{error}");
            let stranger = own_certificate(signs_others, 2100);
            verify(&stranger, "host").unwrap_err();
        }
    }

    #[test]
    fn made_again_when_a_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let config = TlsConfig {
            ca_file: Some("ca.pem".to_owned()),
            ..Default::default()
        };
        let made = PerFiles::default();
        let read = || {
            made.get_or_make(&config, dir.path(), || {
                std::fs::read_to_string(dir.path().join("ca.pem"))
            })
        };
        assert!(read().is_err());
        std::fs::write(dir.path().join("ca.pem"), "a").unwrap();
        assert_eq!(read().unwrap(), "a");
        std::fs::write(dir.path().join("ca.pem"), "longer").unwrap();
        assert_eq!(read().unwrap(), "longer");
        let unchanged = made.get_or_make(&config, dir.path(), || Err(()));
        assert_eq!(unchanged.unwrap(), "longer");
    }
}
