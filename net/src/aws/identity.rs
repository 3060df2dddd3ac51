//! Who we are in Amazon's cloud, and what we post there.
//!
//! Credentials are looked for in the order of AWS' libraries: the configuration, the profile that it names, the environment
//! (keys, then a web identity), the profile of the environment, the container, the machine. With a role in the
//! configuration they only serve to take it on.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::metadata::Metadata;
use super::process;
use super::profile::Profile;
use super::signature::{Line, authorization_of};
use super::sts::{Role, Sts};
use super::{AwsError, Credentials, Signing};
use crate::environment::Environment;
use crate::http_config::Secret;
use crate::lease::{Lease, Leases};
use crate::outbound::HttpClient;

pub(super) const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// How many profiles may refer to one another.
const PROFILES_MAX: usize = 8;

/// What a configuration says about who we are; all of it may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The region.
    pub region: String,
    /// The id of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: Secret,
    /// The profile of the shared files.
    pub profile: String,
    /// The role to take on.
    pub role_arn: String,
    /// The external id that the role asks for.
    pub external_id: String,
    /// Whether the role is asked for at the endpoint that obeys FIPS.
    pub use_fips_sts_endpoint: bool,
}

/// Who we are. One serves all requests; while credentials are asked for, others wait.
pub struct Identity {
    access: Access,
    environment: Environment,
    region: Mutex<Option<String>>,
    held: Leases<Credentials>,
}

/// Something to be posted.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// Where it goes.
    pub url: &'a str,
    /// The service, as signatures name it.
    pub service: &'a str,
    /// What the body is.
    pub content_type: &'a str,
    /// The header `X-Amz-Target`, which says the action where the body does not.
    pub target: Option<&'a str>,
    /// The body.
    pub body: &'a str,
}

impl Identity {
    /// Returns who `access` means.
    pub fn new(access: Access, environment: Environment) -> Self {
        Identity {
            access,
            environment,
            region: Mutex::default(),
            held: Leases::default(),
        }
    }

    /// Returns the region: of the configuration, the environment, the profile, or the machine.
    ///
    /// # Errors
    ///
    /// When none of them says one. The next call tries again.
    pub async fn region(&self) -> Result<String, AwsError> {
        if let Some(region) = self.region_at_hand()? {
            return Ok(region);
        }
        let mut known = self.region.lock().await;
        if let Some(region) = &*known {
            return Ok(region.clone());
        }
        let region = Metadata::new(&self.environment)?.region().await;
        let region = region.map_err(|error| AwsError::NoRegion(Some(error.to_string())))?;
        Ok(known.insert(region).clone())
    }

    /// Returns the region, if it is known without asking over the network.
    ///
    /// # Errors
    ///
    /// When a file with profiles cannot be read.
    pub fn region_at_hand(&self) -> Result<Option<String>, AwsError> {
        if !self.access.region.is_empty() {
            return Ok(Some(self.access.region.clone()));
        }
        let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let said = variables.iter().find_map(|name| self.environment.get(name));
        if said.is_some() {
            return Ok(said);
        }
        let profile = Profile::read(&self.environment, &self.access.profile)?;
        Ok(profile.get("region").map(str::to_owned))
    }

    /// Returns keys that are in the configuration, the environment or a profile: without asking over the network.
    ///
    /// # Errors
    ///
    /// When a file with profiles cannot be read.
    pub fn keys_at_hand(&self) -> Result<Option<Credentials>, AwsError> {
        let of_config = self.keys_of_configuration();
        if of_config.is_some() {
            return Ok(of_config);
        }
        if self.access.profile.is_empty()
            && let Some(keys) = self.keys_of_environment()
        {
            return Ok(Some(keys));
        }
        let profile = Profile::read(&self.environment, &self.access.profile)?;
        Ok(profile.keys())
    }

    /// Returns credentials that are valid now, and asks for new ones if those that we have end in five minutes.
    /// `client` asks for those of roles.
    ///
    /// # Errors
    ///
    /// When there are none. The next call tries again.
    pub async fn credentials(&self, client: &HttpClient) -> Result<Credentials, AwsError> {
        self.held.get(self.lease(client)).await
    }

    /// Returns the headers that sign `post`, content type included.
    ///
    /// # Errors
    ///
    /// When there are no credentials, or the URL is none.
    pub async fn sign(&self, client: &HttpClient, post: Post<'_>) -> Result<HeaderMap, AwsError> {
        let region = self.region().await?;
        let credentials = self.credentials(client).await?;
        let signing = Signing {
            credentials: &credentials,
            region: &region,
            service: post.service,
        };
        post.headers(signing, Timestamp::now())
    }

    /// Posts and returns the body of the answer; `asked` says in errors what was asked.
    ///
    /// # Errors
    ///
    /// When there are no credentials, no answer, an answer of more than `bytes_max` bytes, or one whose status is not 200.
    /// Credentials that are refused are not used again.
    pub async fn ask(
        &self,
        client: &HttpClient,
        post: Post<'_>,
        asked: &str,
        bytes_max: usize,
    ) -> Result<Vec<u8>, AwsError> {
        let headers = self.sign(client, post).await?;
        let request = client.post(post.url).await?.headers(headers);
        let request = request.body(post.body.to_owned());
        self.answer(request, asked, bytes_max).await
    }

    /// Gets what is at `url`; otherwise as [`Identity::ask`].
    ///
    /// * `url`: names and values of a query must be escaped by [`crate::escape::component`].
    /// * `service`: as signatures name it.
    ///
    /// # Errors
    ///
    /// Those of [`Identity::ask`].
    pub async fn get(
        &self,
        client: &HttpClient,
        url: &str,
        service: &str,
        asked: &str,
        bytes_max: usize,
    ) -> Result<Vec<u8>, AwsError> {
        let region = self.region().await?;
        let credentials = self.credentials(client).await?;
        let signing = Signing {
            credentials: &credentials,
            region: &region,
            service,
        };
        let unsigned = Unsigned {
            method: "GET",
            url,
            content_type: None,
            target: None,
            extra: None,
            body: "",
        };
        let headers = unsigned.headers(signing, Timestamp::now())?;
        let request = client.get(url).await?.headers(headers);
        self.answer(request, asked, bytes_max).await
    }

    /// Returns the headers of a POST without a body to `url`, an action of STS, `extra` and the host among them. Who gets them can ask
    /// STS who we are.
    ///
    /// * `extra`: a header whose name comes after `x-amz-`.
    ///
    /// # Errors
    ///
    /// When there are no credentials, or the URL is none.
    pub(crate) async fn caller(
        &self,
        client: &HttpClient,
        url: &str,
        extra: (&'static str, &str),
    ) -> Result<HeaderMap, AwsError> {
        let region = self.region().await?;
        let credentials = self.credentials(client).await?;
        let signing = Signing {
            credentials: &credentials,
            region: &region,
            service: "sts",
        };
        let unsigned = Unsigned {
            method: "POST",
            url,
            content_type: None,
            target: None,
            extra: Some(extra),
            body: "",
        };
        let mut headers = unsigned.headers(signing, Timestamp::now())?;
        let (_, host) = url_and_host(signing.service, url)?;
        let host = HeaderValue::from_str(&host);
        headers.extend(host.map(|host| (HOST, host)));
        Ok(headers)
    }

    async fn answer(
        &self,
        request: reqwest::RequestBuilder,
        asked: &str,
        bytes_max: usize,
    ) -> Result<Vec<u8>, AwsError> {
        let response = request.send().await.map_err(|error| {
            AwsError::request(asked, crate::outbound::chain(&error.without_url()))
        })?;
        let status = response.status().as_u16();
        let kind = response.headers().get("x-amzn-errortype").cloned();
        let body = crate::outbound::body(response, bytes_max).await;
        let body = body.map_err(|error| AwsError::request(asked, error))?;
        if status == 200 {
            return Ok(body);
        }
        let kind = kind.as_ref().and_then(|kind| kind.to_str().ok());
        let error = AwsError::of_answer(asked, status, kind, &body);
        if error.is_about_credentials() {
            self.held.forget().await;
        }
        Err(error)
    }

    /// Returns the URL of a service: `configured`, what the environment says, or AWS' own.
    pub fn endpoint(&self, service: &str, region: &str, configured: &str) -> String {
        endpoint(&self.environment, service, region, configured)
    }

    async fn lease(&self, client: &HttpClient) -> Result<Lease<Credentials>, AwsError> {
        let base = self.base_lease(client).await?;
        if self.access.role_arn.is_empty() {
            return Ok(base);
        }
        let role = Role {
            arn: &self.access.role_arn,
            external_id: Some(self.access.external_id.as_str()).filter(|id| !id.is_empty()),
            session: None,
        };
        let region = self.region().await?;
        self.sts(client, &region).assume(role, &base.value).await
    }

    /// Returns the credentials that we have of ourselves.
    async fn base_lease(&self, client: &HttpClient) -> Result<Lease<Credentials>, AwsError> {
        if let Some(keys) = self.keys_of_configuration() {
            return Ok(Lease::endless(keys));
        }
        if self.access.profile.is_empty() {
            if let Some(keys) = self.keys_of_environment() {
                return Ok(Lease::endless(keys));
            }
            let variable = |name| self.environment.get(name);
            if let Some(file) = variable("AWS_WEB_IDENTITY_TOKEN_FILE")
                && let Some(arn) = variable("AWS_ROLE_ARN")
            {
                let session = variable("AWS_ROLE_SESSION_NAME");
                let role = Role {
                    arn: &arn,
                    external_id: None,
                    session: session.as_deref(),
                };
                let region = self.region().await?;
                return self.sts(client, &region).assume_by_token(role, &file).await;
            }
        }
        match self.lease_of_profile(client).await? {
            Some(lease) => Ok(lease),
            None => self.lease_of_surroundings().await,
        }
    }

    /// Returns what the profile says, and the profiles that it takes its credentials from.
    async fn lease_of_profile(
        &self,
        client: &HttpClient,
    ) -> Result<Option<Lease<Credentials>>, AwsError> {
        let mut profile = Profile::read(&self.environment, &self.access.profile)?;
        // The roles on the way to the keys, the last one to be taken on first.
        let mut roles = Vec::new();
        let mut lease = loop {
            if PROFILES_MAX < roles.len() {
                return Err(AwsError::NoCredentials(format!(
                    "more than {PROFILES_MAX} profiles refer to one another by source_profile"
                )));
            }
            let Some(arn) = profile.get("role_arn").map(str::to_owned) else {
                match lease_of(&profile).await? {
                    Some(lease) => break lease,
                    None if roles.is_empty() && unbuilt(&profile).is_none() => return Ok(None),
                    None => return Err(lacking(&profile)),
                }
            };
            if let Some(file) = profile.get("web_identity_token_file") {
                let region = self.region().await?;
                let role = Role {
                    arn: &arn,
                    external_id: None,
                    session: profile.get("role_session_name"),
                };
                break self
                    .sts(client, &region)
                    .assume_by_token(role, file)
                    .await?;
            }
            let of = |key| profile.get(key).map(str::to_owned);
            roles.push((arn, of("external_id"), of("role_session_name")));
            match (
                profile.get("source_profile"),
                profile.get("credential_source"),
            ) {
                (Some(source), _) if source == profile.name => match lease_of(&profile).await? {
                    Some(lease) => break lease,
                    None => return Err(lacking(&profile)),
                },
                (Some(source), _) => profile = Profile::read(&self.environment, source)?,
                (None, Some("Environment")) => match self.keys_of_environment() {
                    Some(keys) => break Lease::endless(keys),
                    None => return Err(lacking(&profile)),
                },
                (None, Some("Ec2InstanceMetadata" | "EcsContainer")) => {
                    break self.lease_of_surroundings().await?;
                }
                (None, _) => return Err(lacking(&profile)),
            }
        };
        for (arn, external_id, session) in roles.iter().rev() {
            let region = self.region().await?;
            let role = Role {
                arn,
                external_id: external_id.as_deref(),
                session: session.as_deref(),
            };
            let sts = self.sts(client, &region);
            lease = sts.assume(role, &lease.value).await?;
        }
        Ok(Some(lease))
    }

    /// Returns the credentials of the container or the machine that we run on.
    async fn lease_of_surroundings(&self) -> Result<Lease<Credentials>, AwsError> {
        let metadata = Metadata::new(&self.environment)?;
        if let Some(lease) = metadata.container().await {
            return lease;
        }
        metadata.machine().await.map_err(|error| {
            AwsError::NoCredentials(format!(
                "give access_key and secret_key, a profile, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role to the machine (its metadata service: {error})"
            ))
        })
    }

    fn keys_of_configuration(&self) -> Option<Credentials> {
        let Access {
            access_key,
            secret_key,
            ..
        } = &self.access;
        let is_there = !access_key.is_empty();
        is_there.then(|| Credentials::of_keys(access_key, secret_key.reveal(), None))
    }

    fn keys_of_environment(&self) -> Option<Credentials> {
        let first = |names: &[&str]| names.iter().find_map(|name| self.environment.get(name));
        Some(Credentials::of_keys(
            &first(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"])?,
            &first(&["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"])?,
            first(&["AWS_SESSION_TOKEN"]).as_deref(),
        ))
    }

    fn sts<'a>(&'a self, client: &'a HttpClient, region: &'a str) -> Sts<'a> {
        Sts {
            client,
            environment: &self.environment,
            region,
            is_fips: self.access.use_fips_sts_endpoint,
        }
    }
}

impl<'a> Post<'a> {
    /// Returns a form to be posted.
    pub fn form(url: &'a str, service: &'a str, body: &'a str) -> Self {
        Post {
            url,
            service,
            content_type: FORM,
            target: None,
            body,
        }
    }

    /// Returns the headers that sign it, content type included.
    ///
    /// # Errors
    ///
    /// When the URL is none.
    pub(super) fn headers(
        self,
        signing: Signing<'_>,
        now: Timestamp,
    ) -> Result<HeaderMap, AwsError> {
        let unsigned = Unsigned {
            method: "POST",
            url: self.url,
            content_type: Some(self.content_type),
            target: self.target,
            extra: None,
            body: self.body,
        };
        unsigned.headers(signing, now)
    }
}

/// A request that is to be signed.
struct Unsigned<'a> {
    method: &'static str,
    url: &'a str,
    content_type: Option<&'a str>,
    target: Option<&'a str>,
    /// One more header, whose name comes after `x-amz-`.
    extra: Option<(&'static str, &'a str)>,
    body: &'a str,
}

impl Unsigned<'_> {
    /// Returns the headers that sign it, content type included.
    fn headers(self, signing: Signing<'_>, now: Timestamp) -> Result<HeaderMap, AwsError> {
        let (url, host) = url_and_host(signing.service, self.url)?;
        let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let content_type = self.content_type.map(|kind| ("content-type", kind));
        let mut signed: Vec<_> = content_type.into_iter().collect();
        signed.extend([("host", host.as_str()), ("x-amz-date", &date)]);
        let token = signing.credentials.token.as_ref();
        signed.extend(token.map(|token| ("x-amz-security-token", token.reveal())));
        signed.extend(self.target.map(|target| ("x-amz-target", target)));
        signed.extend(self.extra);
        let line = Line {
            method: self.method,
            path: url.path(),
            query: url.query().unwrap_or_default(),
        };
        let authorization = authorization_of(signing, line, &signed, self.body.as_bytes());
        let mut headers = HeaderMap::new();
        let mut insert = |name, text: &str| -> Result<(), AwsError> {
            let mut value = HeaderValue::from_str(text).map_err(|_| {
                AwsError::NoCredentials("keys with characters that no header may have".to_owned())
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
            Ok(())
        };
        insert(AUTHORIZATION, &authorization)?;
        if let Some(kind) = self.content_type {
            insert(CONTENT_TYPE, kind)?;
        }
        for (name, value) in signed.iter().filter(|(name, _)| name.starts_with("x-")) {
            insert(HeaderName::from_static(name), value)?;
        }
        Ok(headers)
    }
}

/// Returns a URL, and what the header `Host` of a request to it is.
fn url_and_host(service: &str, url: &str) -> Result<(reqwest::Url, String), AwsError> {
    let wrong = || {
        AwsError::request(
            service,
            "the endpoint is not a URL (write it like https://host/)",
        )
    };
    let url = reqwest::Url::parse(url).map_err(|_| wrong())?;
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(wrong()),
    };
    Ok((url, host))
}

/// Returns the keys of a profile, or those that its program prints, if it has either.
async fn lease_of(profile: &Profile) -> Result<Option<Lease<Credentials>>, AwsError> {
    if let Some(keys) = profile.keys() {
        return Ok(Some(Lease::endless(keys)));
    }
    match profile.get("credential_process") {
        Some(command) => process::lease(&profile.name, command).await.map(Some),
        None => Ok(None),
    }
}

/// Returns what of a profile is not built, if it has such.
fn unbuilt(profile: &Profile) -> Option<&'static str> {
    let keys = ["sso_session", "sso_start_url"];
    keys.into_iter().find(|key| profile.get(key).is_some())
}

fn lacking(profile: &Profile) -> AwsError {
    let name = &profile.name;
    AwsError::NoCredentials(match unbuilt(profile) {
        Some(key) => format!("profile {name:?} has {key}, which is not built"),
        None => format!(
            "profile {name:?} has no keys, and names nothing that has (aws_access_key_id, credential_process, source_profile, credential_source or web_identity_token_file)"
        ),
    })
}

pub(super) fn endpoint(
    environment: &Environment,
    service: &str,
    region: &str,
    configured: &str,
) -> String {
    let named = service.trim_end_matches("-fips").to_ascii_uppercase();
    let variable = format!("AWS_ENDPOINT_URL_{named}");
    let said = Some(configured.to_owned())
        .filter(|configured| !configured.is_empty())
        .or_else(|| environment.get(&variable))
        .or_else(|| environment.get("AWS_ENDPOINT_URL"));
    match said {
        Some(said) if said.contains("://") => said,
        Some(host) => format!("https://{host}"),
        None => format!("https://{service}.{region}.{}", suffix(region)),
    }
}

/// Returns what the names of hosts in a region end with.
fn suffix(region: &str) -> &'static str {
    const SUFFIXES: &[(&str, &str)] = &[
        ("cn-", "amazonaws.com.cn"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("eusc-", "amazonaws.eu"),
    ];
    let found = SUFFIXES.iter().find(|(start, _)| region.starts_with(start));
    found.map_or("amazonaws.com", |(_, suffix)| suffix)
}

#[cfg(test)]
mod tests;
