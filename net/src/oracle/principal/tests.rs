use std::sync::Mutex;

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::*;
use crate::rsa::tests::PKCS8;
use crate::testing::{Server, server};

const TENANCY: &str = "ocid1.tenancy.oc1..t";

/// Returns the certificate of an instance whose key is the one of other tests.
///
/// * `unit`: the organizational unit of its subject.
fn certificate(unit: &str) -> String {
    let key = rcgen::KeyPair::from_pem(PKCS8).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let name = &mut params.distinguished_name;
    name.push(rcgen::DnType::CommonName, "ocid1.instance.oc1..i");
    name.push(rcgen::DnType::OrganizationalUnitName, unit);
    params.self_signed(&key).unwrap().pem()
}

fn token(seconds: i64) -> String {
    let claims = format!(r#"{{"exp": {}}}"#, Timestamp::now().as_second() + seconds);
    format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims))
}

/// Answers as the metadata server and the federation endpoint of an instance.
async fn cloud(unit: &str, answer: impl Fn() -> (u16, String) + Send + Sync + 'static) -> Server {
    let leaf = certificate(unit);
    server(move |request| {
        let path = request.split(' ').nth(1).unwrap();
        let is_machine = path.starts_with("/opc/v2/");
        if is_machine && !request.contains("authorization: Bearer Oracle\r\n") {
            return (403, String::new());
        }
        match path {
            "/opc/v2/identity/cert.pem" => (200, leaf.clone()),
            "/opc/v2/identity/key.pem" => (200, PKCS8.to_owned()),
            "/opc/v2/identity/intermediate.pem" => {
                let pem = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n";
                (200, pem.to_owned())
            }
            "/opc/v2/instance/regionInfo" => {
                let region = r#"{"realmKey": "oc1", "realmDomainComponent": "oraclecloud.com", "regionKey": "PHX", "regionIdentifier": "us-phoenix-1"}"#;
                (200, region.to_owned())
            }
            "/v1/x509" => answer(),
            _ => (404, String::new()),
        }
    })
    .await
}

fn principal(cloud: &Server) -> OraclePrincipal {
    let authority = format!("{}/v1/x509", cloud.url);
    OraclePrincipal::at(&format!("{}/opc/v2", cloud.url), Some(authority))
}

fn client() -> HttpClient {
    HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap()
}

async fn error(cloud: &Server) -> String {
    let error = principal(cloud).session(&client()).await.err().unwrap();
    error.to_string().replace(&cloud.url, "URL")
}

/// Returns a header of a request.
fn header<'r>(request: &'r str, name: &str) -> &'r str {
    let name = format!("{name}: ");
    let mut lines = request.lines();
    lines.find_map(|line| line.strip_prefix(&*name)).unwrap()
}

fn verify(public: &[u8], signed: &str, authorization: &str) {
    let signature = authorization.split("signature=\"").nth(1).unwrap();
    let signature = STANDARD.decode(signature.trim_end_matches('"')).unwrap();
    // The key itself is after what says that it is one of RSA.
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public[24..])
        .verify(signed.as_bytes(), &signature)
        .unwrap();
}

#[tokio::test]
async fn an_instance_gets_a_session_by_its_certificate() {
    let cloud = cloud(&format!("opc-tenant:{TENANCY}"), || {
        (200, format!(r#"{{"token": "{}"}}"#, token(3_600)))
    })
    .await;
    let (principal, client) = (principal(&cloud), client());
    let session = principal.session(&client).await.unwrap();
    assert_eq!(session.tenancy, TENANCY);

    // What was asked is signed with the key of the instance.
    let request = cloud.asked().pop().unwrap();
    assert!(request.starts_with("POST /v1/x509 "));
    let authorization = header(&request, "authorization");
    let der = STANDARD.decode(bare(&certificate("x"))).unwrap();
    assert_eq!(fingerprint(&der).len(), 59);
    let begins = format!("Signature version=\"1\",keyId=\"{TENANCY}/fed-x509/");
    assert!(authorization.starts_with(&begins), "{authorization}");
    let names =
        "headers=\"date (request-target) host content-length content-type x-content-sha256\"";
    assert!(authorization.contains(names), "{authorization}");
    let body = request.split_once("\r\n\r\n").unwrap().1;
    let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let digest = STANDARD.encode(digest);
    assert_eq!(header(&request, "x-content-sha256"), digest);
    let signed = format!(
        "date: {}\n(request-target): post /v1/x509\nhost: {}\ncontent-length: {}\ncontent-type: application/json\nx-content-sha256: {digest}",
        header(&request, "date"),
        cloud.url.strip_prefix("http://").unwrap(),
        body.len(),
    );
    let own = rcgen::KeyPair::from_pem(PKCS8).unwrap();
    verify(
        &rcgen::PublicKeyData::subject_public_key_info(&own),
        &signed,
        authorization,
    );
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body["intermediateCertificates"],
        serde_json::json!(["AAAABBBB"])
    );
    let sent = STANDARD.decode(body["certificate"].as_str().unwrap());
    assert_eq!(tenancy(&sent.unwrap()).unwrap(), TENANCY);

    // What the session signs is verified by the key that the cloud was told, whose id is the token.
    let now = Timestamp::now();
    let headers = session.key.sign_get("http://host/x?y=z", now).unwrap();
    let authorization = headers[AUTHORIZATION].to_str().unwrap();
    assert!(authorization.contains("keyId=\"ST$e30."), "{authorization}");
    let date = headers["date"].to_str().unwrap();
    let signed = format!("date: {date}\n(request-target): get /x?y=z\nhost: host");
    let public = STANDARD.decode(body["publicKey"].as_str().unwrap());
    verify(&public.unwrap(), &signed, authorization);

    // Nothing is asked again while the session lasts, unless it was refused.
    let asked = cloud.asked().len();
    principal.session(&client).await.unwrap();
    assert_eq!(cloud.asked().len(), asked);
    principal.forget().await;
    principal.session(&client).await.unwrap();
    assert_eq!(cloud.asked().len(), 2 * asked);
}

#[tokio::test]
async fn a_session_that_ends_soon_is_renewed() {
    let tokens = Mutex::new(vec![token(3_600), token(60)]);
    let cloud = cloud(&format!("opc-identity:{TENANCY}"), move || {
        let token = tokens.lock().unwrap().pop().unwrap();
        (200, format!(r#"{{"token": "{token}"}}"#))
    })
    .await;
    let (principal, client) = (principal(&cloud), client());
    for expected in [4, 8, 8] {
        principal.session(&client).await.unwrap();
        assert_eq!(cloud.asked().len(), expected);
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    let tenant = format!("opc-tenant:{TENANCY}");
    for (answer, expected) in [
        (
            (401, r#"{"code": "NotAuthenticated", "message": "no"}"#),
            "URL/v1/x509: HTTP status 401: NotAuthenticated: no",
        ),
        ((503, "<html>"), "URL/v1/x509: HTTP status 503"),
        ((200, "{}"), "URL/v1/x509: the answer holds no token"),
        (
            (200, r#"{"token": "x"}"#),
            "URL/v1/x509: the token does not say when it ends",
        ),
    ] {
        let cloud = cloud(&tenant, move || (answer.0, answer.1.to_owned())).await;
        assert_eq!(error(&cloud).await, expected);
    }
    let elsewhere = cloud("nobody", || (200, String::new())).await;
    let expected = "URL/opc/v2/identity/cert.pem: it is no certificate that names a tenancy";
    assert_eq!(error(&elsewhere).await, expected);
    let nowhere = server(|_| (404, String::new())).await;
    let expected = "URL/opc/v2/identity/cert.pem: HTTP status 404";
    assert_eq!(error(&nowhere).await, expected);
}

#[tokio::test]
async fn who_gives_sessions_is_in_the_region_of_the_instance() {
    let cloud = cloud("x", || (200, String::new())).await;
    let principal = OraclePrincipal::at(&format!("{}/opc/v2", cloud.url), None);
    let url = principal.authority_of_region(&client()).await.unwrap();
    assert_eq!(url, "https://auth.us-phoenix-1.oraclecloud.com/v1/x509");
}
