//! `slack_configs`: messages to channels of Slack.

use net::http_config::{Authorization, HttpConfig, Secret};

use super::ReceiverConfig;
use super::chat::{Action, Field};
use crate::config::duration::GoDuration;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::{ApiUrl, SecretUrl};

/// Where messages can be changed after they were sent.
const POST_MESSAGE: &str = "https://slack.com/api/chat.postMessage";

section! {
    /// A channel of Slack; the texts are templates.
    pub struct SlackConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The webhook.
        api_url: SecretUrl,
        /// A file with it.
        api_url_file: String,
        /// The token of an application, instead of a webhook.
        app_token: Secret,
        /// A file with it.
        app_token_file: String,
        /// Where messages with a token go.
        app_url: ApiUrl,
        /// The channel.
        channel: String,
        /// Who the message is from.
        username: String = "{{ template \"slack.default.username\" . }}".to_owned(),
        /// The colour.
        color: String = "{{ template \"slack.default.color\" . }}".to_owned(),
        /// The title.
        title: String = "{{ template \"slack.default.title\" . }}".to_owned(),
        /// The link of the title.
        title_link: String = "{{ template \"slack.default.titlelink\" . }}".to_owned(),
        /// What stands above the attachment.
        pretext: String = "{{ template \"slack.default.pretext\" . }}".to_owned(),
        /// The text.
        text: String = "{{ template \"slack.default.text\" . }}".to_owned(),
        /// The text of the message itself.
        message_text: String,
        /// Fields.
        fields: Vec<Field>,
        /// Whether fields stand beside each other.
        "shown" short_fields: bool,
        /// The last line.
        footer: String = "{{ template \"slack.default.footer\" . }}".to_owned(),
        /// The text where attachments are not shown.
        fallback: String = "{{ template \"slack.default.fallback\" . }}".to_owned(),
        /// What the buttons are known by.
        callback_id: String = "{{ template \"slack.default.callbackid\" . }}".to_owned(),
        /// An emoji as the picture of who it is from.
        icon_emoji: String = "{{ template \"slack.default.iconemoji\" . }}".to_owned(),
        /// The picture of who it is from.
        icon_url: String = "{{ template \"slack.default.iconurl\" . }}".to_owned(),
        /// A picture.
        image_url: String,
        /// A small picture.
        thumb_url: String,
        /// Whether names become links.
        "shown" link_names: bool,
        /// Which parts are formatted.
        mrkdwn_in: Vec<String>,
        /// Buttons.
        actions: Vec<Action>,
        /// Whether the first message is changed instead of sending another.
        "shown" update_message: bool,
        /// How long one request may take.
        "shown" timeout: GoDuration,
    }
}

impl SlackConfig {
    fn has_token(&self) -> bool {
        !self.app_token.is_empty() || !self.app_token_file.is_empty()
    }

    fn check_update(&self) -> Result<(), String> {
        let is_possible = self.has_token() || self.api_url.secret().reveal() == POST_MESSAGE;
        ensure(
            !self.update_message || is_possible,
            &format!(
                "update_message can only be used with bot tokens. api_url must be set to {POST_MESSAGE}"
            ),
        )
    }
}

impl ReceiverConfig for SlackConfig {
    const KIND: &'static str = "slack";

    fn check(&mut self) -> Result<(), String> {
        let has_url = !self.api_url.is_empty();
        at_most_one(has_url, !self.api_url_file.is_empty(), "api_url")?;
        let has_token = !self.app_token.is_empty();
        at_most_one(has_token, !self.app_token_file.is_empty(), "app_token")?;
        let has_any_url = has_url || !self.api_url_file.is_empty();
        ensure(
            !(has_any_url && self.has_token()),
            "at most one of api_url/api_url_file & app_token/app_token_file must be configured",
        )?;
        self.fields
            .iter()
            .try_for_each(|field| field.check("Slack"))?;
        self.actions.iter_mut().try_for_each(Action::check)?;
        // Without a URL of its own it is known only when the global settings are.
        if has_url { self.check_update() } else { Ok(()) }
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.app_url.is_empty() {
            self.app_url = global.slack_app_url.clone();
        }
        let has_url = !self.api_url.is_empty() || !self.api_url_file.is_empty();
        let http = self.http_config.get_or_insert_default();
        let has_authorization = http.authorization.is_some();
        if !has_url && !has_authorization && !self.has_token() {
            self.app_token = global.slack_app_token.clone();
            self.app_token_file.clone_from(&global.slack_app_token_file);
        }
        if self.has_token() && !has_url {
            self.api_url = SecretUrl::known(self.app_url.as_str());
            let file = Some(self.app_token_file.clone()).filter(|file| !file.is_empty());
            let token = Some(self.app_token.clone()).filter(|token| !token.is_empty());
            let http = self.http_config.get_or_insert_default();
            http.authorization.get_or_insert(Authorization {
                kind: Some("Bearer".to_owned()),
                credentials: token,
                credentials_file: file,
            });
        } else if !has_url {
            self.api_url = global.slack_api_url.clone();
            self.api_url_file.clone_from(&global.slack_api_url_file);
        }
        ensure(
            !self.api_url.is_empty() || !self.api_url_file.is_empty(),
            "no Slack API URL nor App token set either inline or in a file",
        )?;
        self.check_update()
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
