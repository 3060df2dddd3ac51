//! Calls of a running Alertmanager, and how what it answers is shown.

use ::http::{Method, StatusCode};
use alertmanager::config::{MatcherMode, parse_matcher};
use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use net::outbound::{HttpClient, body};
use serde_json::Value;

use crate::cli::tool::ToolCall;
use crate::tool::http;

/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// What an Alertmanager says that does not do what it is asked.
#[derive(Debug, thiserror::Error)]
#[error("{status}: {said}")]
struct Refused {
    status: StatusCode,
    said: String,
}

/// Returns whether a call failed because what it is about is not there.
pub(super) fn is_missing(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<Refused>();
    refused.is_some_and(|refused| refused.status == StatusCode::NOT_FOUND)
}

/// An Alertmanager that is asked.
pub(super) struct Client {
    client: HttpClient,
    runtime: tokio::runtime::Runtime,
    url: String,
}

impl Client {
    /// Returns the client that the flags describe.
    ///
    /// # Errors
    ///
    /// When the HTTP configuration cannot be used.
    pub(super) fn of(call: &ToolCall) -> anyhow::Result<Self> {
        let flags = &call.flags;
        let timeout = flags.duration("timeout").to_std();
        let (client, runtime) = http::client(flags.text("http.config.file"), timeout)?;
        Ok(Client {
            client,
            runtime,
            url: call
                .flags
                .text("alertmanager.url")
                .trim_end_matches('/')
                .to_owned(),
        })
    }

    /// Makes a call; `path` begins behind `/api/v2/`. Returns the answer's text.
    ///
    /// # Errors
    ///
    /// When there is no answer, or one that is no success: with what it says.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        sent: Option<&Value>,
    ) -> anyhow::Result<String> {
        let url = format!("{}/api/v2/{path}", self.url);
        let shown = format!("{method} {url}");
        let asking = async {
            let mut request = self.client.request(method, &url).await?;
            if let Some(sent) = sent {
                request = request.json(sent);
            }
            let response = request.send().await?;
            let status = response.status();
            let answer = body(response, ANSWER_BYTES_MAX).await?;
            let text = String::from_utf8(answer).context("the answer is not UTF-8")?;
            if !status.is_success() {
                let said = match serde_json::from_str(&text) {
                    Ok(Value::String(text)) => text,
                    Ok(value) => value["message"].as_str().unwrap_or(&text).to_owned(),
                    Err(_) => text,
                };
                let said = said.trim().to_owned();
                return Err(anyhow::Error::new(Refused { status, said }));
            }
            Ok(text)
        };
        self.runtime.block_on(asking).context(shown)
    }

    /// Makes a GET and reads the answer.
    ///
    /// # Errors
    ///
    /// As [`call`](Client::call), and when the answer is no JSON.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        let text = self.call(Method::GET, path, None)?;
        serde_json::from_str(&text).with_context(|| format!("read the answer of {}", self.url))
    }
}

/// Returns a time of the API as the tool shows it.
pub(super) fn shown_time(time: &Value) -> String {
    let text = time.as_str().unwrap_or_default();
    match text.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Returns labels as the tool shows them: `a="b" c="d"`.
pub(super) fn shown_labels(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten();
    let pairs = pairs.map(|(name, value)| {
        let value = value.as_str().unwrap_or_default();
        format!("{name}={}", model::name::Quoted(value))
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// Returns matchers as texts: a first word that is no matcher is the alert's name.
///
/// # Errors
///
/// When one of them is no matcher.
pub(super) fn matchers(words: &[String], mode: MatcherMode) -> anyhow::Result<Vec<model::Matcher>> {
    let words = words.iter().filter(|word| !word.is_empty()).enumerate();
    let matchers = words.map(|(index, word)| {
        let is_name = index == 0 && !word.contains(['=', '~', '{']);
        match is_name {
            true => Ok(model::Matcher::equal("alertname", word.as_str())),
            false => parse_matcher(word, mode).map_err(anyhow::Error::msg),
        }
    });
    matchers.collect()
}

/// Returns labels of arguments like `a=b`; a first word without `=` is the alert's name.
///
/// # Errors
///
/// When one of them is no label.
pub(super) fn labels(
    words: &[String],
    mode: MatcherMode,
) -> anyhow::Result<serde_json::Map<String, Value>> {
    let mut labels = serde_json::Map::new();
    for matcher in matchers(words, mode)? {
        ensure!(
            matcher.op() == model::MatchOp::Equal,
            "{} is no label, write name=value",
            matcher.name()
        );
        labels.insert(matcher.name().to_owned(), matcher.value().into());
    }
    Ok(labels)
}

/// Returns `filter=…` parameters for matchers, each with its separator.
pub(super) fn filters(words: &[String], mode: MatcherMode) -> anyhow::Result<String> {
    let filters = matchers(words, mode)?.into_iter().map(|matcher| {
        let text = alertmanager::config::print_matcher(&matcher);
        format!("&filter={}", net::escape::form(&text))
    });
    Ok(filters.collect())
}

/// Returns a moment that a flag gives, or `otherwise` if it does not.
///
/// # Errors
///
/// When it is no time.
pub(super) fn time_flag(
    call: &ToolCall,
    name: &str,
    otherwise: Timestamp,
) -> anyhow::Result<Timestamp> {
    match call.flags.text(name) {
        "" => Ok(otherwise),
        text => text
            .parse()
            .with_context(|| format!("--{name}={text}: want a time such as 2026-01-02T15:04:05Z")),
    }
}

/// Returns the annotations of flags like `a=some text`.
///
/// # Errors
///
/// When one has no `=`.
pub(super) fn annotations(given: &[String]) -> anyhow::Result<serde_json::Map<String, Value>> {
    let pairs = given.iter().filter(|text| !text.is_empty()).map(|text| {
        let (name, value) = text
            .split_once('=')
            .with_context(|| format!("--annotation={text}: want name=value"))?;
        Ok((name.to_owned(), value.trim_matches('"').into()))
    });
    pairs.collect()
}
