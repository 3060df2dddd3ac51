//! `rocketchat_configs`: messages to channels of Rocket.Chat.

use net::http_config::{HttpConfig, Secret};

use super::ReceiverConfig;
use super::chat::Field;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::ApiUrl;

section! {
    /// A channel of Rocket.Chat; the texts are templates.
    pub struct RocketChatConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The address.
        api_url: ApiUrl,
        /// Whose token it is.
        token_id: Secret,
        /// A file with it.
        token_id_file: String,
        /// The token.
        token: Secret,
        /// A file with it.
        token_file: String,
        /// The channel.
        channel: String,
        /// The colour.
        color: String = "{{ if eq .Status \"firing\" }}red{{ else }}green{{ end }}".to_owned(),
        /// The title.
        title: String = "{{ template \"rocketchat.default.title\" . }}".to_owned(),
        /// The link of the title.
        title_link: String = "{{ template \"rocketchat.default.titlelink\" . }}".to_owned(),
        /// The text.
        text: String = "{{ template \"rocketchat.default.text\" . }}".to_owned(),
        /// Fields.
        fields: Vec<Field>,
        /// Whether fields stand beside each other.
        "shown" short_fields: bool,
        /// An emoji as the picture of who it is from.
        emoji: String = "{{ template \"rocketchat.default.emoji\" . }}".to_owned(),
        /// The picture of who it is from.
        icon_url: String = "{{ template \"rocketchat.default.iconurl\" . }}".to_owned(),
        /// A picture.
        image_url: String,
        /// A small picture.
        thumb_url: String,
        /// Whether names become links.
        "shown" link_names: bool,
        /// Buttons.
        actions: Vec<RocketChatAction>,
    }
}

section! {
    /// A button; templates.
    pub struct RocketChatAction {
        /// What it is: `button`.
        r#type: String,
        /// What stands on it.
        text: String,
        /// The link that it opens.
        url: String,
        /// What it sends.
        msg: String,
    }
}

impl ReceiverConfig for RocketChatConfig {
    const KIND: &'static str = "rocketchat";

    fn check(&mut self) -> Result<(), String> {
        let has_file = !self.token_file.is_empty();
        at_most_one(!self.token.is_empty(), has_file, "token")?;
        let has_file = !self.token_id_file.is_empty();
        at_most_one(!self.token_id.is_empty(), has_file, "token_id")
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.api_url.is_empty() {
            self.api_url = global.rocketchat_api_url.clone();
        }
        if self.token_id.is_empty() && self.token_id_file.is_empty() {
            self.token_id = global.rocketchat_token_id.clone();
            self.token_id_file
                .clone_from(&global.rocketchat_token_id_file);
        }
        ensure(
            !self.token_id.is_empty() || !self.token_id_file.is_empty(),
            "no global Rocketchat TokenID set either inline or in a file",
        )?;
        if self.token.is_empty() && self.token_file.is_empty() {
            self.token = global.rocketchat_token.clone();
            self.token_file.clone_from(&global.rocketchat_token_file);
        }
        ensure(
            !self.token.is_empty() || !self.token_file.is_empty(),
            "no global Rocketchat Token set either inline or in a file",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
