use super::*;

#[track_caller]
fn check(json: &str, expected: Result<(), &str>) {
    let config = serde_json::from_str::<WebConfig>(json).map_err(|error| error.to_string());
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good"), "-----BEGIN CERTIFICATE-----").unwrap();
    std::fs::write(dir.path().join("bad"), "hello").unwrap();
    let checked = config.and_then(|config| config.check(dir.path()).map_err(|e| e.to_string()));
    match expected {
        Ok(()) => assert_eq!(checked, Ok(())),
        Err(part) => {
            let error = checked.unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn what_is_right() {
    check("{}", Ok(()));
    check(
        r#"{"http_server_config": {"http2": false, "headers": {"X-Frame-Options": "deny"}}}"#,
        Ok(()),
    );
    let hash = "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay";
    check(
        &format!(r#"{{"basic_auth_users": {{"a": "{hash}"}}}}"#),
        Ok(()),
    );
    check(
        r#"{"tls_server_config": {"cert_file": "good", "key_file": "good", "min_version": "TLS13"}}"#,
        Ok(()),
    );
}

#[test]
fn what_is_wrong() {
    check(
        r#"{"tls_server_config": {"cert_file": "good"}}"#,
        Err("missing one of key or key_file"),
    );
    check(
        r#"{"tls_server_config": {"key_file": "good"}}"#,
        Err("missing one of cert or cert_file"),
    );
    check(
        r#"{"tls_server_config": {"cert_file": "none", "key_file": "good"}}"#,
        Err("none: no such file or directory"),
    );
    check(
        r#"{"tls_server_config": {"cert_file": "bad", "key_file": "good"}}"#,
        Err("no PEM data"),
    );
    check(
        r#"{"tls_server_config": {"cert_file": "good", "key_file": "good", "client_ca_file": "good"}}"#,
        Err("without a Client Auth Policy"),
    );
    check(
        r#"{"tls_server_config": {"min_version": "TLS99"}}"#,
        Err("unknown TLS version: TLS99"),
    );
    check(
        r#"{"tls_server_config": {"cipher_suites": ["FOO"]}}"#,
        Err("unknown cipher: FOO"),
    );
    check(
        r#"{"tls_server_config": {"curve_preferences": ["X9"]}}"#,
        Err("unknown curve: X9"),
    );
    check(
        r#"{"tls_server_config": {"client_auth_type": "Foo"}}"#,
        Err("invalid ClientAuth: Foo"),
    );
    check(
        r#"{"basic_auth_users": {"a": "b"}}"#,
        Err("too short to be a bcrypted password"),
    );
    let long = "x".repeat(60);
    check(
        &format!(r#"{{"basic_auth_users": {{"a": "{long}"}}}}"#),
        Err("must start with"),
    );
    check(
        r#"{"http_server_config": {"headers": {"Foo": "b"}}}"#,
        Err("HTTP header \"Foo\" can not be configured"),
    );
    check(
        r#"{"http_server_config": {"headers": {"X-Frame-Options": "b"}}}"#,
        Err("Expected one of"),
    );
    check(r#"{"foo": 1}"#, Err("unknown field"));
}
