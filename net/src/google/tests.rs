use super::*;
use crate::testing::{Server, server};

fn client() -> HttpClient {
    HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap()
}

async fn authority() -> Server {
    server(|request| match request.contains("refused") {
        true => (
            400,
            r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#
                .to_owned(),
        ),
        false => (
            200,
            r#"{"access_token": "ya29.x", "expires_in": 3599, "token_type": "Bearer"}"#.to_owned(),
        ),
    })
    .await
}

async fn token_of(credentials: &serde_json::Value) -> Result<Secret, BearerError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), credentials.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    let environment = Environment::of(&[("GOOGLE_APPLICATION_CREDENTIALS", path)]);
    GoogleTokens::new("a-scope", environment)
        .token(&client())
        .await
}

#[tokio::test]
async fn a_service_account_signs_what_it_asks_for() {
    let authority = authority().await;
    let file = serde_json::json!({
        "type": "service_account", "project_id": "p", "private_key_id": "kid", "client_id": "1",
        "private_key": crate::rsa::tests::PKCS8, "client_email": "me@p.iam.gserviceaccount.com",
        "token_uri": authority.url,
    });
    assert_eq!(token_of(&file).await.unwrap().reveal(), "ya29.x");
    let asked = authority.asked();
    let body = asked[0].split("\r\n\r\n").nth(1).unwrap();
    let assertion = body
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .unwrap();
    let claims = assertion.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], "me@p.iam.gserviceaccount.com");
    assert_eq!(
        (&claims["scope"], &claims["aud"]),
        (&"a-scope".into(), &authority.url.clone().into())
    );
    let (iat, exp) = (
        claims["iat"].as_i64().unwrap(),
        claims["exp"].as_i64().unwrap(),
    );
    assert_eq!(exp - iat, 3_600);
}

#[tokio::test]
async fn a_user_has_a_token_for_tokens() {
    let authority = authority().await;
    let mut file = serde_json::json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
        "token_uri": authority.url,
    });
    assert_eq!(token_of(&file).await.unwrap().reveal(), "ya29.x");
    assert!(
        authority.asked()[0].ends_with(
            "\r\n\r\ngrant_type=refresh_token&client_id=c&client_secret=s&refresh_token=r"
        )
    );
    file["refresh_token"] = "refused".into();
    assert_eq!(
        token_of(&file).await.unwrap_err().to_string(),
        "token of Google: HTTP status 400: invalid_grant: Invalid JWT Signature."
    );
    file["type"] = "gdch_service_account".into();
    let error = token_of(&file).await.unwrap_err().to_string();
    assert!(
        error.contains("credentials of the type \"gdch_service_account\" are unknown (expected "),
        "{error}"
    );
}

#[tokio::test]
async fn a_machine_asks_its_metadata_server_once() {
    let metadata = authority().await;
    let host = metadata.url.strip_prefix("http://").unwrap();
    let environment = Environment::of(&[("GCE_METADATA_HOST", host), ("HOME", "/nonexistent")]);
    let tokens = GoogleTokens::new("https://scope", environment);
    let client = client();
    for _ in 0..2 {
        assert_eq!(tokens.token(&client).await.unwrap().reveal(), "ya29.x");
    }
    let asked = metadata.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].starts_with(
        "GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fscope HTTP/1.1\r\n"
    ));
    assert!(asked[0].contains("metadata-flavor: Google\r\n"));
}

#[tokio::test]
async fn a_key_that_is_none_is_not_shown() {
    let file = serde_json::json!({
        "type": "service_account", "private_key": "very-secret", "client_email": "me",
    });
    let error = token_of(&file).await.unwrap_err().to_string();
    assert!(
        error.ends_with("is no PEM block (expected -----BEGIN PRIVATE KEY-----)"),
        "{error}"
    );
    assert!(!error.contains("very-secret"));
}

/// What Google would be, and the platform that we run on.
async fn federation() -> Server {
    server(|request| {
        let body = match request.split(' ').nth(1).unwrap() {
            "/subject?secret=1" if request.contains("x-key: hush\r\n") => {
                r#"{"value": "subject-token"}"#
            }
            "/sts" => {
                r#"{"access_token": "federated", "expires_in": 3600, "token_type": "Bearer"}"#
            }
            "/sts-forever" => r#"{"access_token": "federated"}"#,
            "/token" => r#"{"access_token": "user", "expires_in": 3600}"#,
            "/sa/me@p:generateAccessToken" => {
                r#"{"accessToken": "of-the-account", "expireTime": "2999-01-01T00:00:00Z"}"#
            }
            _ => {
                let body = r#"{"error": {"code": 403, "message": "not you", "status": "PERMISSION_DENIED"}}"#;
                return (403, body.to_owned());
            }
        };
        (200, body.to_owned())
    })
    .await
}

fn external(google: &Server, source: serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "type": "external_account", "audience": "//iam.googleapis.com/x", "credential_source": source,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": format!("{}/sts", google.url),
    })
}

/// The form that was sent with a request.
fn form_of(request: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    crate::form::append_pairs(
        &mut pairs,
        request.split_once("\r\n\r\n").unwrap().1.as_bytes(),
    );
    pairs
}

fn value_of<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    let pair = form.iter().find(|(known, _)| known == name);
    pair.map_or("", |(_, value)| value)
}

#[tokio::test]
async fn the_token_in_a_file_is_exchanged() {
    let google = federation().await;
    let subject = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(subject.path(), "subject-token\n").unwrap();
    let mut file = external(&google, serde_json::json!({ "file": subject.path() }));
    assert_eq!(token_of(&file).await.unwrap().reveal(), "federated");
    let form = form_of(&google.asked()[0]);
    let expected = [
        ("audience", "//iam.googleapis.com/x"),
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", "subject-token"),
        ("scope", "a-scope"),
    ];
    assert_eq!(form, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));

    file["workforce_pool_user_project"] = "42".into();
    token_of(&file).await.unwrap();
    let form = form_of(&google.asked()[1]);
    assert_eq!(value_of(&form, "options"), r#"{"userProject":"42"}"#);

    file["client_id"] = "c".into();
    file["client_secret"] = "s".into();
    token_of(&file).await.unwrap();
    let asked = &google.asked()[2];
    assert!(asked.contains("authorization: Basic Yzpz\r\n"), "{asked}");
    assert_eq!(value_of(&form_of(asked), "options"), "");

    file["token_url"] = format!("{}/sts-forever", google.url).into();
    let error = token_of(&file).await.unwrap_err().to_string();
    assert!(
        error.ends_with("does not say how long the token is valid (expires_in)"),
        "{error}"
    );
    file["credential_source"]["file"] = "/nonexistent/token".into();
    let error = token_of(&file).await.unwrap_err().to_string();
    assert_eq!(error, "/nonexistent/token: no such file");
}

#[tokio::test]
async fn the_token_at_a_url_is_exchanged_and_a_service_account_acted_as() {
    let google = federation().await;
    let mut file = external(
        &google,
        serde_json::json!({
            "url": format!("{}/subject?secret=1", google.url), "headers": {"X-Key": "hush"},
            "format": {"type": "json", "subject_token_field_name": "value"},
        }),
    );
    let account = format!("{}/sa/me@p:generateAccessToken", google.url);
    file["service_account_impersonation_url"] = account.into();
    file["service_account_impersonation"] = serde_json::json!({ "token_lifetime_seconds": 600 });
    assert_eq!(token_of(&file).await.unwrap().reveal(), "of-the-account");
    let asked = google.asked();
    assert!(asked[0].starts_with("GET /subject?secret=1 "));
    let form = form_of(&asked[1]);
    assert_eq!(value_of(&form, "subject_token"), "subject-token");
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    assert_eq!(value_of(&form, "scope"), scope);
    assert!(asked[2].contains("authorization: Bearer federated\r\n"));
    assert!(asked[2].ends_with(r#"{"lifetime":"600s","scope":["a-scope"]}"#));

    file["service_account_impersonation_url"] = format!("{}/other", google.url).into();
    let error = token_of(&file).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "token of Google's IAM, for a service account: HTTP status 403: PERMISSION_DENIED: not you"
    );
    file["credential_source"]["headers"]["X-Key"] = "other".into();
    let error = token_of(&file).await.unwrap_err().to_string();
    let url = format!("{}/subject", google.url);
    assert_eq!(
        error,
        format!("token of the URL {url}: HTTP status 403: PERMISSION_DENIED: not you")
    );
}

#[tokio::test]
async fn a_user_acts_as_a_service_account() {
    let google = federation().await;
    let file = serde_json::json!({
        "type": "impersonated_service_account", "delegates": ["d"],
        "service_account_impersonation_url": format!("{}/sa/me@p:generateAccessToken", google.url),
        "source_credentials": {"type": "authorized_user", "refresh_token": "r", "token_uri": format!("{}/token", google.url)},
    });
    assert_eq!(token_of(&file).await.unwrap().reveal(), "of-the-account");
    let asked = &google.asked()[1];
    assert!(asked.contains("authorization: Bearer user\r\n"));
    assert!(asked.ends_with(r#"{"delegates":["d"],"lifetime":"3600s","scope":["a-scope"]}"#));
}

/// The token for a file, with these variables besides.
async fn token_with(
    credentials: &serde_json::Value,
    variables: &[(&str, &str)],
) -> Result<Secret, BearerError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), credentials.to_string()).unwrap();
    let mut all = vec![(
        "GOOGLE_APPLICATION_CREDENTIALS",
        file.path().to_str().unwrap(),
    )];
    all.extend(variables);
    let tokens = GoogleTokens::new("a-scope", Environment::of(&all));
    tokens.token(&client()).await
}

#[tokio::test]
async fn programs_run_if_they_may() {
    let google = federation().await;
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("program");
    let token = r#"{\"version\": 1, \"success\": true, \"token_type\": \"urn:ietf:params:oauth:token-type:id_token\", \"id_token\": \"of $1 $GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE\"}"#;
    std::fs::write(&script, format!("echo \"{token}\"")).unwrap();
    let command = format!("/bin/sh {} me", script.display());
    let file = external(
        &google,
        serde_json::json!({ "executable": {"command": command} }),
    );
    let error = token_with(&file, &[]).await.unwrap_err().to_string();
    assert!(
        error.ends_with("set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 to let it run"),
        "{error}"
    );
    let allowed = [("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")];
    assert_eq!(
        token_with(&file, &allowed).await.unwrap().reveal(),
        "federated"
    );
    let form = form_of(&google.asked()[0]);
    assert_eq!(
        value_of(&form, "subject_token"),
        "of me //iam.googleapis.com/x"
    );

    // What it wrote to its file the last time is used until it ends.
    let cached = directory.path().join("cached");
    let of = |ends: i64| {
        serde_json::json!({ "version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:saml2",
            "saml_response": "of the file", "expiration_time": ends })
    };
    let source = serde_json::json!({ "executable": {"command": command, "output_file": cached} });
    let file = external(&google, source);
    for (ends, expected) in [
        (4_000_000_000, "of the file"),
        (1, "of me //iam.googleapis.com/x"),
    ] {
        std::fs::write(&cached, of(ends).to_string()).unwrap();
        token_with(&file, &allowed).await.unwrap();
        let form = form_of(google.asked().last().unwrap());
        assert_eq!(value_of(&form, "subject_token"), expected);
    }

    std::fs::write(
        &script,
        r#"echo '{"version": 1, "success": false, "code": "401", "message": "hush"}'"#,
    )
    .unwrap();
    std::fs::remove_file(&cached).unwrap();
    let error = token_with(&file, &allowed).await.unwrap_err().to_string();
    assert_eq!(error, "token of the program \"/bin/sh\": it says 401: hush");
}

#[tokio::test]
async fn amazons_cloud_says_who_we_are() {
    let google = federation().await;
    let source =
        serde_json::json!({ "environment_id": "aws1", "region_url": "http://169.254.169.254/x" });
    let file = external(&google, source);
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "very-secret"),
        ("AWS_SESSION_TOKEN", "session"),
        ("AWS_REGION", "eu-west-1"),
    ];
    assert_eq!(
        token_with(&file, &keys).await.unwrap().reveal(),
        "federated"
    );
    let form = form_of(&google.asked()[0]);
    let subject = crate::form::decode(value_of(&form, "subject_token").as_bytes(), true).unwrap();
    let request: serde_json::Value = serde_json::from_slice(&subject).unwrap();
    let url = "https://sts.eu-west-1.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
    assert_eq!(
        (&request["url"], &request["method"]),
        (&url.into(), &"POST".into())
    );
    let header = |name: &str| {
        let headers = request["headers"].as_array().unwrap();
        let header = headers.iter().find(|header| header["key"] == name);
        header.unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(header("host"), "sts.eu-west-1.amazonaws.com");
    assert_eq!(
        header("x-goog-cloud-target-resource"),
        "//iam.googleapis.com/x"
    );
    assert_eq!(header("x-amz-security-token"), "session");
    assert!(header("authorization").contains(
        "/eu-west-1/sts/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource, Signature="
    ));
    let file = external(&google, serde_json::json!({ "environment_id": "aws2" }));
    let error = token_with(&file, &keys).await.unwrap_err().to_string();
    assert!(
        error.ends_with("environment_id \"aws2\", expected \"aws1\""),
        "{error}"
    );
}
