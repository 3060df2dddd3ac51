//! Where an identity of elsewhere comes from: what is exchanged for a token.
//!
//! It is in a file, at a URL, printed by a program, or a request that Amazon's cloud would answer with who we are there.
//!
//! Source: [AIP-4117](https://google.aip.dev/auth/4117); Google Cloud, "Using executable-sourced credentials".

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use super::external::External;
use super::file::File;
use crate::aws::{Access, Identity};
use crate::bearer::{BearerError, answered, refusal};
use crate::escape::form;
use crate::http_config::Secret;
use crate::program::{ProgramLimits, output};

/// How long what a program prints may be, in bytes.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// How long a program may take, in milliseconds, if the file does not say, and what it may say.
const PROGRAM_MS: u64 = 30_000;
const PROGRAM_MS_MIN: u64 = 5_000;
const PROGRAM_MS_MAX: u64 = 120_000;
/// The variable that allows programs.
const ALLOWS: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
/// The version of what a program prints, and that of Amazon's source.
const PROGRAM_VERSION: i64 = 1;
const AMAZON: &str = "aws1";
/// What Amazon's cloud would answer with who we are.
const AMAZON_URL: &str =
    "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
/// The types of what a program prints.
const SAML: &str = "urn:ietf:params:oauth:token-type:saml2";
const ID_TOKENS: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
];

/// The section `credential_source`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct SubjectSource {
    file: String,
    url: String,
    headers: BTreeMap<String, Secret>,
    format: Format,
    executable: Option<Executable>,
    environment_id: String,
    regional_cred_verification_url: String,
}

/// How a file or an answer has it.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Format {
    r#type: String,
    subject_token_field_name: String,
}

#[derive(Deserialize)]
struct Executable {
    command: String,
    timeout_millis: Option<u64>,
    #[serde(default)]
    output_file: String,
}

/// What a program prints.
#[derive(Deserialize)]
struct Printed {
    version: i64,
    success: bool,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    id_token: Secret,
    #[serde(default)]
    saml_response: Secret,
    expiration_time: Option<i64>,
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl SubjectSource {
    /// Returns what proves who we are elsewhere.
    ///
    /// # Errors
    ///
    /// When it cannot be had. It is in no error.
    pub(super) async fn token(
        &self,
        external: &External,
        file: File<'_>,
    ) -> Result<Secret, BearerError> {
        if !self.environment_id.is_empty() {
            return self.of_amazon(external, file).await;
        }
        if !self.file.is_empty() {
            let bytes = super::read(self.file.as_ref())?;
            let text = bytes.ok_or_else(|| super::wrong(self.file.as_ref(), "no such file"))?;
            return self
                .format
                .token(&text)
                .map_err(|reason| super::wrong(self.file.as_ref(), &reason));
        }
        if !self.url.is_empty() {
            return self.of_url(file).await;
        }
        match &self.executable {
            Some(program) => program.token(external, file).await,
            None => Err(file
                .wrong("credential_source has none of file, url, executable and environment_id")),
        }
    }

    async fn of_url(&self, file: File<'_>) -> Result<Secret, BearerError> {
        let wrong = |reason: String| BearerError::Answer {
            asked: format!("the URL {}", shown(&self.url)),
            reason,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name: Result<HeaderName, _> = name.parse();
            let value = HeaderValue::from_str(value.reveal());
            let (Ok(name), Ok(mut value)) = (name, value) else {
                return Err(file.wrong("credential_source has headers that cannot be sent"));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let request = file.client.get(&self.url).await?.headers(headers);
        let (status, body) = answered(request).await.map_err(wrong)?;
        if !(200..300).contains(&status) {
            return Err(wrong(refusal(status, &body)));
        }
        let text =
            String::from_utf8(body).map_err(|_| wrong("the answer is no text".to_owned()))?;
        self.format.token(&text).map_err(wrong)
    }

    /// Returns a signed request, as a text, that says who we are in Amazon's cloud.
    async fn of_amazon(&self, external: &External, file: File<'_>) -> Result<Secret, BearerError> {
        if self.environment_id != AMAZON {
            let id = &self.environment_id;
            return Err(file.wrong(&format!(
                "credential_source has the environment_id {id:?}, expected {AMAZON:?}"
            )));
        }
        let url = match self.regional_cred_verification_url.as_str() {
            "" => AMAZON_URL,
            url => url,
        };
        let identity = Identity::new(Access::default(), file.environment.clone());
        let wrong = |error: crate::aws::AwsError| BearerError::NoIdentity(error.to_string());
        let region = identity.region().await.map_err(wrong)?;
        let url = url.replace("{region}", &region);
        let resource = ("x-goog-cloud-target-resource", external.audience.as_str());
        let headers = identity.caller(file.client, &url, resource).await;
        let headers: Vec<_> = headers
            .map_err(wrong)?
            .iter()
            .map(|(name, value)| {
                let value = value.to_str().unwrap_or_default();
                json!({ "key": name.as_str(), "value": value })
            })
            .collect();
        let request = json!({ "url": url, "method": "POST", "headers": headers });
        Ok(Secret::new(form(&request.to_string())))
    }
}

impl Format {
    fn token(&self, text: &str) -> Result<Secret, String> {
        match self.r#type.as_str() {
            "" | "text" => Ok(Secret::new(text.trim())),
            "json" => {
                let name = &self.subject_token_field_name;
                let value: Value = serde_json::from_str(text).map_err(|error| {
                    format!(
                        "it is no JSON at line {}, column {}",
                        error.line(),
                        error.column()
                    )
                })?;
                let token = value[name].as_str();
                let token = token.ok_or_else(|| format!("it has no field {name:?} with a text"));
                Ok(Secret::new(token?))
            }
            other => Err(format!(
                "credential_source has the format {other:?}, expected \"text\" or \"json\""
            )),
        }
    }
}

impl Executable {
    async fn token(&self, external: &External, file: File<'_>) -> Result<Secret, BearerError> {
        if file.environment.get(ALLOWS).as_deref() != Some("1") {
            return Err(file.wrong(&format!(
                "credential_source has an executable; set {ALLOWS}=1 to let it run"
            )));
        }
        let time = self.timeout_millis.unwrap_or(PROGRAM_MS);
        if !(PROGRAM_MS_MIN..=PROGRAM_MS_MAX).contains(&time) {
            return Err(file.wrong(&format!(
                "credential_source has the timeout_millis {time}, expected {PROGRAM_MS_MIN} to {PROGRAM_MS_MAX}"
            )));
        }
        let now = Timestamp::now().as_second();
        if !self.output_file.is_empty()
            && let Ok(Some(text)) = super::read(self.output_file.as_ref())
            && let Ok(token) = token_of(text.as_bytes(), now)
        {
            return Ok(token);
        }
        let mut words = self.command.split_whitespace();
        let program = words.next().unwrap_or_default();
        let wrong = |reason: String| BearerError::Answer {
            asked: format!("the program {program:?}"),
            reason,
        };
        let mut command = Command::new(program);
        let account = external
            .service_account_impersonation_url
            .rsplit('/')
            .next();
        let account = account.and_then(|end| end.strip_suffix(":generateAccessToken"));
        command
            .args(words)
            .env("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", &external.audience)
            .env(
                "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE",
                &external.subject_token_type,
            )
            .env("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0")
            .envs(account.map(|email| ("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", email)));
        if !self.output_file.is_empty() {
            command.env("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", &self.output_file);
        }
        let limits = ProgramLimits {
            time: Duration::from_millis(time),
            output_bytes: OUTPUT_BYTES_MAX,
        };
        let printed = output(command, limits).await;
        let printed = printed.map_err(|error| wrong(format!("it {error}")))?;
        token_of(&printed, now).map_err(wrong)
    }
}

/// Returns the token that a program printed; `now` is in seconds since the epoch.
fn token_of(printed: &[u8], now: i64) -> Result<Secret, String> {
    let printed: Printed = serde_json::from_slice(printed).map_err(|error| {
        format!(
            "it printed something else than a token at line {}, column {} (expected JSON with version, success and token_type)",
            error.line(),
            error.column()
        )
    })?;
    if printed.version != PROGRAM_VERSION {
        let version = printed.version;
        return Err(format!(
            "it printed version {version}, expected {PROGRAM_VERSION}"
        ));
    }
    if !printed.success {
        let (code, message) = (printed.code, printed.message);
        return Err(format!("it says {code}: {message}"));
    }
    if printed.expiration_time.is_some_and(|ends| ends < now) {
        return Err("its token has ended".to_owned());
    }
    let (token, field) = match printed.token_type.as_str() {
        SAML => (printed.saml_response, "saml_response"),
        kind if ID_TOKENS.contains(&kind) => (printed.id_token, "id_token"),
        other => return Err(format!("it printed a token of the unknown type {other:?}")),
    };
    match token.reveal().is_empty() {
        true => Err(format!("it printed no {field}")),
        false => Ok(token),
    }
}

/// Returns a URL without its query, which may hold a secret.
fn shown(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
