//! Against a server that answers as the metadata services, STS and the rest of AWS do.

use std::path::Path;

use super::*;
use crate::http_config::HttpConfig;
use crate::testing::{Server, server};

fn client() -> HttpClient {
    HttpClient::new(HttpConfig::default(), Path::new(""), None).unwrap()
}

fn keys(access_key: &str, secret_key: &str, token: Option<&str>) -> Credentials {
    Credentials::of_keys(access_key, secret_key, token)
}

/// The answer of the metadata services, with credentials that end after so many minutes.
fn issued(access_key: &str, minutes: i64) -> String {
    let ends = Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    format!(
        r#"{{"Code": "Success", "LastUpdated": "2025-01-01T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": "{access_key}",
            "SecretAccessKey": "s", "Token": "t", "Expiration": "{ends}"}}"#
    )
}

/// The same of STS.
fn assumed(action: &str, access_key: &str) -> String {
    let ends = Timestamp::now() + jiff::SignedDuration::from_mins(15);
    format!(
        r#"<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
           <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>
           <Credentials><AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>rs</SecretAccessKey>
           <SessionToken>rt</SessionToken><Expiration>{ends}</Expiration></Credentials></{action}Result>
           <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"#
    )
}

/// A machine whose role's credentials end after so many minutes.
async fn machine(minutes: i64) -> Server {
    server(move |request| {
        let path = request.split(' ').nth(1).unwrap();
        let has_token = request.contains("x-aws-ec2-metadata-token: secret-token\r\n");
        match path {
            "/latest/api/token" if request.starts_with("PUT ") => (200, "secret-token".to_owned()),
            _ if !has_token => (401, String::new()),
            "/latest/meta-data/iam/security-credentials/" => (200, "my-role\n".to_owned()),
            "/latest/meta-data/iam/security-credentials/my-role" => (200, issued("M", minutes)),
            "/latest/dynamic/instance-identity/document" => (
                200,
                r#"{"accountId": "1", "region": "eu-west-9", "instanceId": "i"}"#.to_owned(),
            ),
            _ => (404, String::new()),
        }
    })
    .await
}

#[tokio::test]
async fn the_configuration_comes_before_the_environment() {
    let environment = Environment::of(&[
        ("AWS_ACCESS_KEY_ID", "E"),
        ("AWS_SECRET_ACCESS_KEY", "es"),
        ("AWS_SESSION_TOKEN", "et"),
        ("AWS_REGION", "r"),
    ]);
    let access = Access {
        access_key: "C".to_owned(),
        secret_key: Secret::new("cs"),
        ..Access::default()
    };
    let of_config = Identity::new(access, environment.clone());
    let of_environment = Identity::new(Access::default(), environment);
    let client = client();
    let found = of_config.credentials(&client).await.unwrap();
    assert_eq!(found, keys("C", "cs", None));
    let found = of_environment.credentials(&client).await.unwrap();
    assert_eq!(found, keys("E", "es", Some("et")));
    assert_eq!(of_environment.region().await.unwrap(), "r");
    assert_eq!(of_environment.keys_at_hand().unwrap(), Some(found));
}

#[tokio::test]
async fn credentials_and_region_of_the_machine_are_asked_for_once() {
    let machine = machine(60).await;
    let environment = Environment::of(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.url)]);
    let identity = Identity::new(Access::default(), environment);
    let client = client();
    for _ in 0..2 {
        let found = identity.credentials(&client).await.unwrap();
        assert_eq!(found, keys("M", "s", Some("t")));
        assert_eq!(identity.region().await.unwrap(), "eu-west-9");
    }
    assert_eq!(machine.asked().len(), 5);
}

#[tokio::test]
async fn credentials_that_end_soon_are_asked_for_again() {
    let machine = machine(4).await;
    let environment = Environment::of(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.url)]);
    let identity = Identity::new(Access::default(), environment);
    let client = client();
    identity.credentials(&client).await.unwrap();
    identity.credentials(&client).await.unwrap();
    assert_eq!(machine.asked().len(), 6);
}

#[tokio::test]
async fn credentials_of_a_container() {
    let server = server(|request| {
        let is_allowed = request.contains("authorization: in-file\r\n");
        (if is_allowed { 200 } else { 403 }, issued("K", 60))
    })
    .await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "in-file\n").unwrap();
    let url = format!("{}/v1/credentials", server.url);
    let environment = Environment::of(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.path().to_str().unwrap(),
        ),
    ]);
    let identity = Identity::new(Access::default(), environment);
    let found = identity.credentials(&client()).await.unwrap();
    assert_eq!(found.access_key, "K");
}

#[tokio::test]
async fn a_role_is_taken_on_with_the_keys_that_there_are() {
    let sts = server(|_| (200, assumed("AssumeRole", "R"))).await;
    let environment = Environment::of(&[("AWS_ENDPOINT_URL_STS", &sts.url)]);
    let access = Access {
        region: "eu-west-1".to_owned(),
        access_key: "C".to_owned(),
        secret_key: Secret::new("cs"),
        role_arn: "arn:aws:iam::1:role/r".to_owned(),
        external_id: "e d".to_owned(),
        ..Access::default()
    };
    let identity = Identity::new(access, environment);
    let found = identity.credentials(&client()).await.unwrap();
    assert_eq!(found, keys("R", "rs", Some("rt")));
    let asked = sts.asked();
    assert!(asked[0].contains(
        "\r\n\r\nAction=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&"
    ));
    assert!(asked[0].ends_with("&ExternalId=e+d"), "{}", asked[0]);
    assert!(asked[0].contains("authorization: AWS4-HMAC-SHA256 Credential=C/"));
    assert!(
        asked[0]
            .contains("/eu-west-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date, ")
    );
}

#[tokio::test]
async fn a_web_identity_is_not_signed() {
    let sts = server(|_| (200, assumed("AssumeRoleWithWebIdentity", "W"))).await;
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "a.b.c").unwrap();
    let environment = Environment::of(&[
        ("AWS_ENDPOINT_URL_STS", &sts.url),
        ("AWS_REGION", "r"),
        (
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            token.path().to_str().unwrap(),
        ),
        ("AWS_ROLE_ARN", "arn"),
        ("AWS_ROLE_SESSION_NAME", "me"),
    ]);
    let identity = Identity::new(Access::default(), environment);
    let found = identity.credentials(&client()).await.unwrap();
    assert_eq!(found.access_key, "W");
    let asked = sts.asked();
    assert!(asked[0].ends_with("&RoleArn=arn&RoleSessionName=me&WebIdentityToken=a.b.c"));
    assert!(!asked[0].contains("authorization"));
}

#[tokio::test]
async fn a_profile_takes_its_keys_from_another() {
    let sts = server(|_| (200, assumed("AssumeRole", "R"))).await;
    let config = tempfile::NamedTempFile::new().unwrap();
    let text = "[profile a]\nregion = r\nrole_arn = ra\nexternal_id = x\nsource_profile = b\n\
        [profile b]\naws_access_key_id = B\naws_secret_access_key = bs\n\
        [profile round]\nrole_arn = x\nsource_profile = and\n[profile and]\nrole_arn = y\nsource_profile = round\n\
        [profile sso]\nsso_session = x\n\
        [profile process]\nregion = r\nrole_arn = ra\nsource_profile = printed\n\
        [profile printed]\ncredential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"P\", \"SecretAccessKey\": \"ps\"}'\n";
    std::fs::write(config.path(), text).unwrap();
    let of = |profile: &str| {
        let environment = Environment::of(&[
            ("AWS_ENDPOINT_URL_STS", &sts.url),
            ("AWS_CONFIG_FILE", config.path().to_str().unwrap()),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]);
        let access = Access {
            profile: profile.to_owned(),
            ..Access::default()
        };
        Identity::new(access, environment)
    };
    let client = client();
    let found = of("a").credentials(&client).await.unwrap();
    assert_eq!(found.access_key, "R");
    assert!(sts.asked()[0].contains("Credential=B/"));
    assert!(sts.asked()[0].ends_with("&ExternalId=x"));
    let error = of("round").credentials(&client).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no credentials: more than 8 profiles refer to one another by source_profile"
    );
    let found = of("process").credentials(&client).await.unwrap();
    assert_eq!(found.access_key, "R");
    assert!(sts.asked()[1].contains("Credential=P/"));
    let error = of("sso").credentials(&client).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no credentials: profile \"sso\" has sso_session, which is not built"
    );
    let error = of("nobody").credentials(&client).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("AWS_EC2_METADATA_DISABLED is set")
    );
}

#[tokio::test]
async fn what_is_refused_is_not_used_again() {
    let machine = machine(60).await;
    let service = server(|request| {
        let code = if request.contains("Action=Expired") {
            "ExpiredToken"
        } else {
            "Throttling"
        };
        let body = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
        );
        (403, body)
    })
    .await;
    let environment = Environment::of(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &machine.url)]);
    let access = Access {
        region: "r".to_owned(),
        ..Access::default()
    };
    let identity = Identity::new(access, environment);
    let client = client();
    for (action, tokens) in [("Throttled", 1), ("Expired", 1), ("Throttled", 2)] {
        let body = format!("Action={action}");
        let post = Post::form(&service.url, "x", &body);
        let error = identity
            .ask(&client, post, action, 1_000)
            .await
            .unwrap_err();
        assert!(matches!(error, AwsError::Refused { status: 403, .. }));
        let asked = machine.asked();
        let asked = asked.iter().filter(|request| request.starts_with("PUT "));
        assert_eq!(asked.count(), tokens, "{action}");
    }
    assert!(service.asked()[0].contains("x-amz-security-token: t\r\n"));
    let post = Post::form(&service.url, "x", "");
    let error = identity.ask(&client, post, "asked", 10).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "asked: the answer is longer than 10 bytes"
    );
}

#[test]
fn endpoints() {
    let none = Environment::of(&[]);
    let said = Environment::of(&[("AWS_ENDPOINT_URL_EC2", "http://e/")]);
    let sts = endpoint(&none, "sts-fips", "us-east-1", "");
    assert_eq!(sts, "https://sts-fips.us-east-1.amazonaws.com");
    for (environment, region, configured, expected) in [
        (
            &none,
            "eu-west-1",
            "",
            "https://ec2.eu-west-1.amazonaws.com",
        ),
        (
            &none,
            "cn-north-1",
            "",
            "https://ec2.cn-north-1.amazonaws.com.cn",
        ),
        (&none, "r", "host:1", "https://host:1"),
        (&said, "r", "", "http://e/"),
        (&said, "r", "http://c", "http://c"),
    ] {
        assert_eq!(endpoint(environment, "ec2", region, configured), expected);
    }
}
