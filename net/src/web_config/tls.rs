//! From a `tls_server_config` to rustls.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, NamedGroup, RootCertStore, ServerConfig,
    SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion, version,
};
use webpki::EndEntityCert;

use super::TlsServerConfig;
use crate::client::tls::{
    TlsError, certificates, pem, verify_tls12_signature, verify_tls13_signature,
};
use crate::http_config::TlsVersion;

impl TlsServerConfig {
    /// Returns rustls' settings; relative file names are relative to `dir`.
    ///
    /// TLS 1.0 and 1.1 are never spoken, and ciphers without forward secrecy or authenticated encryption neither: what is
    /// left of the versions and ciphers that were asked for is. ALPN is left to the caller.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, the key is not that of the certificate, or nothing is left to speak.
    pub fn server_config(&self, dir: &Path) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(self.provider()?);
        let verifier = self.client_verifier(dir, &provider)?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions()?)
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .with_client_cert_verifier(verifier);
        let cert = pem(
            "certificate file",
            Some(&self.cert),
            Some(&self.cert_file),
            dir,
        )?;
        let key = pem(
            "key file",
            Some(self.key.reveal()),
            Some(&self.key_file),
            dir,
        )?;
        let (Some(cert), Some(key)) = (cert, key) else {
            return Err(TlsError::Setup(
                "a listener needs a certificate and its key".to_owned(),
            ));
        };
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| TlsError::Pem {
            what: "private key",
            reason: error.to_string(),
        })?;
        let mut config = builder
            .with_single_cert(certificates(&cert)?, key)
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        config.ignore_client_order = self.prefer_server_cipher_suites.unwrap_or(true);
        Ok(config)
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        let min = self.min_version.unwrap_or(TlsVersion::TLS12);
        let max = self.max_version.unwrap_or(TlsVersion::TLS13);
        let all = [
            (TlsVersion::TLS13, &version::TLS13),
            (TlsVersion::TLS12, &version::TLS12),
        ];
        let all = all.into_iter().filter(|&(v, _)| min <= v && v <= max);
        let versions: Vec<_> = all.map(|(_, version)| version).collect();
        match versions.is_empty() {
            true => Err(TlsError::Setup(format!(
                "no version from {min:?} to {max:?} can be spoken; TLS12 and TLS13 can"
            ))),
            false => Ok(versions),
        }
    }

    /// The cryptography with only what was asked for.
    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            // Those of TLS 1.3 cannot be chosen, as in Go.
            let is_wanted = |suite: &SupportedCipherSuite| {
                suite.tls13().is_some()
                    || (self.cipher_suites.iter()).any(|name| go_name(suite) == Some(name))
            };
            provider.cipher_suites.retain(is_wanted);
        }
        if !self.curve_preferences.is_empty() {
            let wanted = self.curve_preferences.iter().filter_map(|name| {
                let group = named_group(name)?;
                let mut groups = provider.kx_groups.iter();
                groups.find(|known| known.name() == group).copied()
            });
            let groups: Vec<&'static dyn SupportedKxGroup> = wanted.collect();
            if groups.is_empty() {
                return Err(TlsError::Setup(format!(
                    "none of the curves {:?} is at hand; X25519, CurveP256 and CurveP384 are",
                    self.curve_preferences
                )));
            }
            provider.kx_groups = groups;
        }
        Ok(provider)
    }

    fn client_verifier(
        &self,
        dir: &Path,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (verifies, is_mandatory) = match self.client_auth_type.as_str() {
            "" | "NoClientCert" => return Ok(WebPkiClientVerifier::no_client_auth()),
            "RequestClientCert" => (false, false),
            "RequireAnyClientCert" | "RequireClientCert" => (false, true),
            "VerifyClientCertIfGiven" => (true, false),
            _ => (true, true),
        };
        let inner = match verifies {
            false => None,
            true => Some(self.webpki_verifier(dir, provider, is_mandatory)?),
        };
        let sans = self.client_allowed_sans.iter().map(|name| San::of(name));
        Ok(Arc::new(Clients {
            inner,
            is_mandatory,
            sans: sans.collect::<Result<_, _>>()?,
            provider: Arc::clone(provider),
        }))
    }

    fn webpki_verifier(
        &self,
        dir: &Path,
        provider: &Arc<CryptoProvider>,
        is_mandatory: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let ca = pem(
            "client CA file",
            Some(&self.client_ca),
            Some(&self.client_ca_file),
            dir,
        )?;
        let mut roots = RootCertStore::empty();
        match ca {
            Some(ca) => {
                roots.add_parsable_certificates(certificates(&ca)?);
            }
            None => {
                return Err(TlsError::Setup(format!(
                    "client_auth_type {} needs client_ca or client_ca_file",
                    self.client_auth_type
                )));
            }
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        let builder = match is_mandatory {
            true => builder,
            false => builder.allow_unauthenticated(),
        };
        builder
            .build()
            .map_err(|error| TlsError::Setup(error.to_string()))
    }
}

/// Go's name of a cipher up to TLS 1.2.
fn go_name(suite: &SupportedCipherSuite) -> Option<&'static str> {
    use rustls::CipherSuite as Suite;
    Some(match suite.suite() {
        Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
        }
        _ => return None,
    })
}

fn named_group(name: &str) -> Option<NamedGroup> {
    Some(match name {
        "CurveP256" => NamedGroup::secp256r1,
        "CurveP384" => NamedGroup::secp384r1,
        "CurveP521" => NamedGroup::secp521r1,
        "X25519" => NamedGroup::X25519,
        "X25519MLKEM768" => NamedGroup::X25519MLKEM768,
        _ => return None,
    })
}

/// A name that a client's certificate may have.
#[derive(Debug)]
enum San {
    Dns(String),
    Uri(String),
    Address(ServerName<'static>),
}

impl San {
    fn of(name: &str) -> Result<San, TlsError> {
        if let Ok(address) = name.parse::<std::net::IpAddr>() {
            return Ok(San::Address(ServerName::IpAddress(address.into())));
        }
        if name.contains("://") {
            return Ok(San::Uri(name.to_owned()));
        }
        if name.contains('@') {
            return Err(TlsError::Setup(format!(
                "client_allowed_sans: {name:?} is an e-mail address, which is not looked for; DNS names, URIs and IP addresses are"
            )));
        }
        Ok(San::Dns(name.to_owned()))
    }

    fn is_in(&self, certificate: &EndEntityCert<'_>) -> bool {
        match self {
            San::Dns(name) => certificate.valid_dns_names().any(|dns| dns == name),
            San::Uri(name) => certificate.valid_uri_names().any(|uri| uri == name),
            San::Address(address) => certificate
                .verify_is_valid_for_subject_name(address)
                .is_ok(),
        }
    }
}

/// Whom a listener believes: those that webpki does, or any that has a key to its certificate; of them those with a name.
#[derive(Debug)]
struct Clients {
    inner: Option<Arc<dyn ClientCertVerifier>>,
    is_mandatory: bool,
    /// Any name will do, if empty.
    sans: Vec<San>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner
            .as_ref()
            .map_or(&[], |inner| inner.root_hint_subjects())
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if let Some(inner) = &self.inner {
            inner.verify_client_cert(end_entity, intermediates, now)?;
        }
        if !self.sans.is_empty() {
            let bad = rustls::Error::InvalidCertificate(
                rustls::CertificateError::ApplicationVerificationFailure,
            );
            let certificate = EndEntityCert::try_from(end_entity).map_err(|_| bad.clone())?;
            if !self.sans.iter().any(|san| san.is_in(&certificate)) {
                return Err(bad);
            }
        }
        Ok(ClientCertVerified::assertion())
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
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
