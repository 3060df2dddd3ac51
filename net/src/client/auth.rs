//! The headers that carry credentials, read from their files each time they are used.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::http_config::{HttpConfig, Secret};

/// Why credentials could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Their file cannot be read.
    #[error("unable to read file {}: {source}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// They hold bytes that a header cannot.
    #[error("the value of header {0} has characters that a header cannot carry")]
    NotAHeader(String),
}

/// Appends the configured credentials and headers to `headers`. Relative file names are relative to `base_dir`.
///
/// # Errors
///
/// When a file cannot be read, or what is in it cannot be a header.
pub fn append_headers(
    config: &HttpConfig,
    base_dir: &Path,
    headers: &mut HeaderMap,
) -> Result<(), CredentialsError> {
    if let Some(authorization) = authorization(config, base_dir)? {
        headers.insert(
            AUTHORIZATION,
            header_value("authorization", &authorization)?,
        );
    }
    for (name, values) in config.http_headers.iter().flatten() {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| CredentialsError::NotAHeader(name.clone()))?;
        let shown = values.values.iter().map(String::as_str);
        for value in shown.chain(values.secrets.iter().map(Secret::reveal)) {
            headers.append(&header, header_value(name, value)?);
        }
        for file in &values.files {
            headers.append(
                &header,
                header_value(name, &read_secret_file(base_dir, file)?)?,
            );
        }
    }
    Ok(())
}

/// Returns the value of the `Authorization` header, if one is to be sent.
fn authorization(config: &HttpConfig, base_dir: &Path) -> Result<Option<String>, CredentialsError> {
    let either = |text: Option<&str>, file: Option<&String>| match (text, file) {
        (Some(text), _) => Ok(Some(text.to_owned())),
        (None, Some(file)) => read_secret_file(base_dir, file).map(Some),
        (None, None) => Ok(None),
    };
    if let Some(basic) = &config.basic_auth {
        let username = either(basic.username.as_deref(), basic.username_file.as_ref())?;
        let password = either(
            basic.password.as_ref().map(Secret::reveal),
            basic.password_file.as_ref(),
        )?;
        let pair = format!(
            "{}:{}",
            username.unwrap_or_default(),
            password.unwrap_or_default()
        );
        return Ok(Some(format!("Basic {}", STANDARD.encode(pair))));
    }
    if let Some(authorization) = &config.authorization {
        let secret = authorization.credentials.as_ref().map(Secret::reveal);
        let credentials = either(secret, authorization.credentials_file.as_ref())?;
        let kind = authorization
            .kind
            .as_deref()
            .map(str::trim)
            .filter(|kind| !kind.is_empty());
        return Ok(
            credentials.map(|credentials| format!("{} {credentials}", kind.unwrap_or("Bearer")))
        );
    }
    let token = either(
        config.bearer_token.as_ref().map(Secret::reveal),
        config.bearer_token_file.as_ref(),
    )?;
    Ok(token.map(|token| format!("Bearer {token}")))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, CredentialsError> {
    let mut header =
        HeaderValue::from_str(value).map_err(|_| CredentialsError::NotAHeader(name.to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Returns the text of `file`, relative to `base_dir`, without the white space around it.
///
/// # Errors
///
/// When it cannot be read.
pub fn read_secret_file(base_dir: &Path, file: &str) -> Result<String, CredentialsError> {
    let path = base_dir.join(file);
    let text =
        std::fs::read_to_string(&path).map_err(|source| CredentialsError::Read { path, source })?;
    Ok(text.trim().to_owned())
}
