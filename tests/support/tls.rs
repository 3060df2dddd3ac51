//! TLS on the side of a server, with an authority made for the test.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;

/// Writes `ca.crt`, and the certificate and key of members at `127.0.0.1`, `member.crt` and `member.key`, to `dir`; and `tls.yml`, by
/// which they ask each other for them.
pub(crate) fn write_members(dir: &Path) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let own = "cert_file: member.crt, key_file: member.key";
    for (name, text) in [
        ("ca.crt", authority.pem()),
        ("member.crt", certificate.pem()),
        ("member.key", key.serialize_pem()),
        (
            "tls.yml",
            format!(
                "tls_server_config: {{{own}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}}\n\
                 tls_client_config: {{{own}, ca_file: ca.crt}}\n"
            ),
        ),
    ] {
        fs::write(dir.join(name), text).expect("the file is written");
    }
}

/// Returns what a server at `127.0.0.1` needs; writes the certificate of its authority to `ca.crt` in `dir`.
pub(crate) fn server_config(dir: &Path) -> Arc<rustls::ServerConfig> {
    let authority_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).expect("a certificate");
    fs::write(dir.join("ca.crt"), authority.pem()).expect("the file is written");
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let private = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the usual versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .expect("key and certificate belong together");
    Arc::new(config)
}
