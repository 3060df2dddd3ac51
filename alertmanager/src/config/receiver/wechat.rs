//! `wechat_configs`: messages through WeChat.

use net::http_config::{HttpConfig, Secret};

use super::ReceiverConfig;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::ApiUrl;

section! {
    /// An agent of WeChat.
    pub struct WechatConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The secret.
        api_secret: Secret,
        /// A file with it.
        api_secret_file: String,
        /// The corporation.
        corp_id: String,
        /// The text; a template.
        message: String = "{{ template \"wechat.default.message\" . }}".to_owned(),
        /// The address.
        api_url: ApiUrl,
        /// Whom to; a template.
        to_user: String = "{{ template \"wechat.default.to_user\" . }}".to_owned(),
        /// Which departments; a template.
        to_party: String = "{{ template \"wechat.default.to_party\" . }}".to_owned(),
        /// Which tags; a template.
        to_tag: String = "{{ template \"wechat.default.to_tag\" . }}".to_owned(),
        /// The agent; a template.
        agent_id: String = "{{ template \"wechat.default.agent_id\" . }}".to_owned(),
        /// `text` or `markdown`.
        message_type: String = "text".to_owned(),
    }
}

impl ReceiverConfig for WechatConfig {
    const KIND: &'static str = "wechat";

    fn check(&mut self) -> Result<(), String> {
        at_most_one(
            !self.api_secret.is_empty(),
            !self.api_secret_file.is_empty(),
            "api_secret",
        )?;
        if self.message_type.is_empty() {
            "text".clone_into(&mut self.message_type);
        }
        ensure(
            matches!(self.message_type.as_str(), "text" | "markdown"),
            &format!(
                "weChat message type {:?} does not match valid options ^(text|markdown)$",
                self.message_type
            ),
        )
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.api_url.is_empty() {
            ensure(
                !global.wechat_api_url.is_empty(),
                "no global Wechat URL set",
            )?;
            self.api_url = global.wechat_api_url.clone();
        }
        self.api_url.end_with_slash();
        if self.api_secret.is_empty() && self.api_secret_file.is_empty() {
            self.api_secret = global.wechat_api_secret.clone();
            self.api_secret_file
                .clone_from(&global.wechat_api_secret_file);
        }
        ensure(
            !self.api_secret.is_empty() || !self.api_secret_file.is_empty(),
            "no global Wechat Api Secret set either inline or in a file",
        )?;
        if self.corp_id.is_empty() {
            self.corp_id.clone_from(&global.wechat_api_corp_id);
        }
        ensure(!self.corp_id.is_empty(), "no global Wechat CorpID set")
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
