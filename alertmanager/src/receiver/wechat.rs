//! WeChat: a token for the secret, kept while it is good, and a message with it.

use std::time::{Duration, Instant};

use net::escape::form;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::http::{Answer, Dialogue, Ordered, Outgoing, read};
use super::{Message, SendError};
use crate::config::receiver::WechatConfig;

/// How long WeChat says that tokens are good.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(7_200);

/// An agent with its token.
pub(crate) struct Wechat {
    config: WechatConfig,
    token: Mutex<Option<(String, Instant)>>,
}

impl Wechat {
    pub(crate) fn new(config: WechatConfig) -> Self {
        Wechat {
            config,
            token: Mutex::new(None),
        }
    }
}

impl Dialogue for Wechat {
    fn next(&self, message: &Message, answers: &[Answer]) -> Result<Option<Outgoing>, SendError> {
        let config = &self.config;
        let api = config.api_url.as_str();
        if let Some(answer) = answers.last() {
            let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let code = answer["errcode"].as_i64().unwrap_or(0);
            if code != 0 {
                *self.token.lock() = None;
                let text = format!("wechat answered with error code {code}");
                // The token is no longer good; the next attempt fetches another.
                return Err(if matches!(code, 40_014 | 42_001) {
                    SendError::retryable(text, "clientError")
                } else {
                    SendError::fatal(text, "clientError")
                });
            }
            let Some(token) = answer["access_token"].as_str() else {
                // The answer to the message.
                return Ok(None);
            };
            *self.token.lock() = Some((token.to_owned(), Instant::now()));
        }
        let token = self.token.lock().clone();
        let Some((token, _)) = token.filter(|(_, since)| since.elapsed() < TOKEN_AGE_MAX) else {
            if !answers.is_empty() {
                return Err(SendError::fatal("wechat answered without a token", "other"));
            }
            let secret = message.text(&read(&config.api_secret, &config.api_secret_file)?)?;
            let corp = message.text(&config.corp_id)?;
            return Ok(Some(Outgoing {
                method: reqwest::Method::GET,
                url: format!(
                    "{api}gettoken?corpid={}&corpsecret={}",
                    form(&corp),
                    form(&secret)
                ),
                headers: Vec::new(),
                body: String::new(),
            }));
        };
        let text = message.text(&config.message)?;
        let is_markdown = config.message_type == "markdown";
        let part = |is_it: bool| json!({ "content": if is_it { text.as_str() } else { "" } });
        let body = Ordered::default()
            .put("text", &part(!is_markdown))?
            .some("touser", &message.text(&config.to_user)?)?
            .some("toparty", &message.text(&config.to_party)?)?
            .some("totag", &message.text(&config.to_tag)?)?
            .some("agentid", &message.text(&config.agent_id)?)?
            .put("safe", &"0")?
            .put("msgtype", &config.message_type)?
            .put("markdown", &part(is_markdown))?;
        let url = format!("{api}message/send?access_token={}", form(&token));
        Outgoing::json(url, &body).map(Some)
    }
}
