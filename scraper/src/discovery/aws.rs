//! `aws_sd_configs`, `ec2_sd_configs` and `lightsail_sd_configs`: resources of Amazon's cloud.
//!
//! # Not here
//!
//! Who we are there, and how requests are signed: [`net::aws`].

use net::aws::{Access, AwsError, Identity, Post};
use net::environment::Environment;
use net::escape::form;
use net::outbound::HttpClient;
use serde::de::DeserializeOwned;

use self::xml::Element;
use super::refresh::{ANSWER_BYTES_MAX, PAGES_MAX, RefreshError};
use crate::config::sd::{AwsSdConfig, Ec2SdConfig, LightsailSdConfig};

pub(crate) mod ec2;
pub(crate) mod ecs;
pub(crate) mod elasticache;
pub(crate) mod lightsail;
pub(crate) mod msk;
pub(crate) mod rds;
mod xml;

/// What the JSON APIs take and give.
const JSON: &str = "application/x-amz-json-1.1";

/// How many requests about single resources are under way at once.
const AT_ONCE: usize = 10;

/// The parameters of a query API: names and values.
type Pairs = Vec<(String, String)>;

/// The services of one region, as who we are there.
pub(crate) struct Region {
    client: HttpClient,
    identity: Identity,
    /// The service that is asked first of all.
    main: &'static str,
    /// Where that one is, if not where AWS has it.
    endpoint: String,
}

impl From<AwsError> for RefreshError {
    fn from(error: AwsError) -> Self {
        RefreshError::of(&error)
    }
}

impl Region {
    pub(crate) fn new(
        access: Access,
        main: &'static str,
        endpoint: &str,
        environment: Environment,
        client: HttpClient,
    ) -> Self {
        Region {
            client,
            identity: Identity::new(access, environment),
            main,
            endpoint: endpoint.to_owned(),
        }
    }

    /// Returns the region's name.
    async fn name(&self) -> Result<String, RefreshError> {
        Ok(self.identity.region().await?)
    }

    /// Asks a query API, which answers XML.
    async fn query<T: DeserializeOwned>(
        &self,
        service: &str,
        pairs: &[(String, String)],
    ) -> Result<T, RefreshError> {
        let (asked, answer) = self.answer(service, pairs).await?;
        quick_xml::de::from_reader(answer.as_slice())
            .map_err(|error| RefreshError(format!("{asked}: unexpected answer: {error}")))
    }

    /// Asks a query API and returns what is within the answer's result.
    async fn elements(
        &self,
        service: &str,
        pairs: &[(String, String)],
    ) -> Result<Element, RefreshError> {
        let (asked, answer) = self.answer(service, pairs).await?;
        let wrong = |why: String| RefreshError(format!("{asked}: {why}"));
        let root = Element::read(&answer).map_err(wrong)?;
        let result = format!("{}Result", pairs[0].1);
        let result = root.into_child(&result);
        result.ok_or_else(|| wrong("unexpected answer: it holds no result".to_owned()))
    }

    /// Asks a query API for a list, all its pages.
    ///
    /// * `items`: the element that has the items. `next`: that with the next page's name, and the parameter.
    async fn list(
        &self,
        service: &str,
        pairs: Pairs,
        items: &str,
        next: &str,
    ) -> Result<Vec<Element>, RefreshError> {
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let mut pairs = pairs.clone();
            if !token.is_empty() {
                pairs.push((next.to_owned(), token));
            }
            let page = self.elements(service, &pairs).await?;
            all.extend_from_slice(page.items(items));
            token = page.text_at(next).to_owned();
            if token.is_empty() {
                return Ok(all);
            }
        }
        let asked = format!("{service} {}", pairs[0].1);
        Err(RefreshError::too_many_pages(&asked))
    }

    /// Returns what a query API was asked, for errors, and what it answers. The first pair is the action.
    async fn answer(
        &self,
        service: &str,
        pairs: &[(String, String)],
    ) -> Result<(String, Vec<u8>), RefreshError> {
        let asked = format!("{service} {}", pairs[0].1);
        let body: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", form(name), form(value)))
            .collect();
        let url = self.url(service).await?;
        let body = body.join("&");
        let post = Post::form(&url, service, &body);
        let answer = self.ask(post, &asked).await?;
        Ok((asked, answer))
    }

    /// Gets from an API of resources, which answers JSON.
    ///
    /// * `path`: with its query, both escaped.
    async fn get<T: DeserializeOwned>(
        &self,
        service: &str,
        path: &str,
        asked: &str,
    ) -> Result<T, RefreshError> {
        let url = self.url(service).await?;
        let url = format!("{}{path}", url.trim_end_matches('/'));
        let answer = self
            .identity
            .get(&self.client, &url, service, asked, ANSWER_BYTES_MAX);
        serde_json::from_slice(&answer.await?)
            .map_err(|error| RefreshError(format!("{asked}: unexpected answer: {error}")))
    }

    /// Asks a JSON API; `target` is the action with the name of the API before it.
    async fn json<T: DeserializeOwned>(
        &self,
        service: &str,
        target: &str,
        body: &serde_json::Value,
    ) -> Result<T, RefreshError> {
        let action = target.rsplit('.').next().unwrap_or_default();
        let asked = format!("{service} {action}");
        let (url, body) = (self.url(service).await?, body.to_string());
        let post = Post {
            url: &url,
            service,
            content_type: JSON,
            target: Some(target),
            body: &body,
        };
        let answer = self.ask(post, &asked).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| RefreshError(format!("{asked}: unexpected answer: {error}")))
    }

    async fn ask(&self, post: Post<'_>, asked: &str) -> Result<Vec<u8>, RefreshError> {
        let answer = self
            .identity
            .ask(&self.client, post, asked, ANSWER_BYTES_MAX);
        Ok(answer.await?)
    }

    async fn url(&self, service: &str) -> Result<String, RefreshError> {
        let region = self.name().await?;
        let endpoint = match service == self.main {
            true => self.endpoint.as_str(),
            false => "",
        };
        Ok(self.identity.endpoint(service, &region, endpoint))
    }
}

/// Returns the parameters that name an action of a query API.
fn action(name: &str, version: &str) -> Pairs {
    vec![
        ("Action".to_owned(), name.to_owned()),
        ("Version".to_owned(), version.to_owned()),
    ]
}

/// Returns who a configuration says that we are.
macro_rules! access {
    ($($name:ident),*) => {
        $(impl From<&$name> for Access {
            fn from(config: &$name) -> Self {
                Access {
                    region: config.region.clone(),
                    access_key: config.access_key.clone(),
                    secret_key: config.secret_key.clone(),
                    profile: config.profile.clone(),
                    role_arn: config.role_arn.clone(),
                    external_id: config.external_id.clone(),
                    ..Access::default()
                }
            }
        })*
    };
}

access!(AwsSdConfig, Ec2SdConfig, LightsailSdConfig);
