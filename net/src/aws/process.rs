//! Credentials that a program prints: `credential_process` of a profile.
//!
//! Source: AWS, "Sourcing credentials with an external process"; the shell, the time and the length of what is read are those of
//! its library for Go.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::credentials::Issued;
use super::{AwsError, Credentials};
use crate::lease::Lease;

/// How long the program may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How much it may print, in bytes.
const PRINTED_BYTES_MAX: u64 = 8 * 1024;

/// The version of what is printed.
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    #[serde(flatten)]
    issued: Issued,
}

/// Runs `command` by the shell and returns the credentials that it prints.
///
/// # Errors
///
/// When it fails, takes too long, prints too much or something else. What it printed is in no error.
pub(super) async fn lease(profile: &str, command: &str) -> Result<Lease<Credentials>, AwsError> {
    lease_within(profile, command, TIMEOUT).await
}

async fn lease_within(
    profile: &str,
    command: &str,
    limit: Duration,
) -> Result<Lease<Credentials>, AwsError> {
    let wrong = |why: String| {
        AwsError::NoCredentials(format!("credential_process of profile {profile:?} {why}"))
    };
    let printed = match tokio::time::timeout(limit, run(command)).await {
        Ok(printed) => printed.map_err(wrong)?,
        Err(_) => return Err(wrong(format!("was not done within {limit:?}"))),
    };
    let printed: Printed = serde_json::from_slice(&printed).map_err(|error| {
        // The text of the error may have a part of what was printed.
        let (line, column) = (error.line(), error.column());
        wrong(format!(
            "printed something else than credentials (line {line}, column {column}; expected JSON with Version, AccessKeyId and SecretAccessKey)"
        ))
    })?;
    if printed.version != VERSION {
        let version = printed.version;
        return Err(wrong(format!(
            "printed version {version}, expected {VERSION}"
        )));
    }
    Ok(printed.issued.into())
}

async fn run(command: &str) -> Result<Vec<u8>, String> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("could not be started: {error}"))?;
    let mut printed = Vec::new();
    if let Some(out) = child.stdout.take() {
        let mut out = out.take(PRINTED_BYTES_MAX + 1);
        let read = out.read_to_end(&mut printed).await;
        read.map_err(|error| format!("could not be read: {error}"))?;
    }
    if PRINTED_BYTES_MAX < printed.len() as u64 {
        return Err(format!("printed more than {PRINTED_BYTES_MAX} bytes"));
    }
    let status = child.wait().await;
    match status.map_err(|error| format!("could not be waited for: {error}"))? {
        status if status.success() => Ok(printed),
        status => Err(format!("failed: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(command: &str, limit: Duration, expected: &str) {
        let error = lease_within("p", command, limit).await.unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains(expected) && !error.contains("hush"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_is_printed_is_taken() {
        let command = r#"printf '{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2030-01-01T00:00:00Z"}' "$((40 + 2))""#;
        let lease = super::lease("p", command).await.unwrap();
        assert_eq!(lease.value, Credentials::of_keys("42", "s", Some("t")));
        assert_eq!(lease.ends, Some("2030-01-01T00:00:00Z".parse().unwrap()));
        let command = r#"echo '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "s"}'"#;
        let lease = super::lease("p", command).await.unwrap();
        assert_eq!((lease.value.token, lease.ends), (None, None));
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_without_secrets() {
        check(
            "exit 3",
            TIMEOUT,
            "credential_process of profile \"p\" failed: exit status: 3",
        )
        .await;
        check(
            "echo hush",
            TIMEOUT,
            "printed something else than credentials (line 1,",
        )
        .await;
        let other = r#"echo '{"Version": 2, "AccessKeyId": "hush", "SecretAccessKey": "s"}'"#;
        check(other, TIMEOUT, "printed version 2, expected 1").await;
        check(
            "head -c 9000 /dev/zero",
            TIMEOUT,
            "printed more than 8192 bytes",
        )
        .await;
        let short = Duration::from_millis(100);
        check("exec sleep 60", short, "was not done within 100ms").await;
    }
}
