//! Credentials that a program prints: `credential_process` of a profile.
//!
//! Source: AWS, "Sourcing credentials with an external process"; the shell, the time and the length of what is read are those of
//! its library for Go.

use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::credentials::Issued;
use super::{AwsError, Credentials};
use crate::lease::Lease;
use crate::program::{ProgramLimits, output};

/// What the program may take.
const LIMITS: ProgramLimits = ProgramLimits {
    time: Duration::from_secs(60),
    output_bytes: 8 * 1024,
};

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
    let wrong = |why: String| {
        AwsError::NoCredentials(format!("credential_process of profile {profile:?} {why}"))
    };
    let mut program = Command::new("sh");
    program.args(["-c", command]);
    let printed = output(program, LIMITS).await;
    let printed = printed.map_err(|error| wrong(error.to_string()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(command: &str, expected: &str) {
        let error = lease("p", command).await.unwrap_err().to_string();
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
            "echo hush; exit 3",
            "credential_process of profile \"p\" failed (exit status: 3)",
        )
        .await;
        check(
            "echo hush",
            "printed something else than credentials (line 1,",
        )
        .await;
        let other = r#"echo '{"Version": 2, "AccessKeyId": "hush", "SecretAccessKey": "s"}'"#;
        check(other, "printed version 2, expected 1").await;
        check("head -c 9000 /dev/zero", "printed more than 8192 bytes").await;
    }
}
