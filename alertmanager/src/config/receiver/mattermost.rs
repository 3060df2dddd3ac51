//! `mattermost_configs`: messages to channels of Mattermost.

use net::http_config::HttpConfig;

use super::ReceiverConfig;
use super::chat::Field;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};
use crate::config::url::SecretUrl;

section! {
    /// A channel of Mattermost; the texts are templates.
    pub struct MattermostConfig {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool = true,
        /// How to speak HTTP; as in `global`, if not given.
        http_config: Option<HttpConfig>,
        /// The webhook.
        webhook_url: SecretUrl,
        /// A file with it.
        webhook_url_file: String,
        /// The channel.
        channel: String,
        /// Who the message is from.
        username: String = "{{ template \"mattermost.default.username\" . }}".to_owned(),
        /// The text.
        text: String = "{{ template \"mattermost.default.text\" . }}".to_owned(),
        /// The text where attachments are not shown.
        fallback: String = "{{ template \"mattermost.default.fallback\" . }}".to_owned(),
        /// The colour.
        color: String = "{{ template \"mattermost.default.color\" . }}".to_owned(),
        /// What stands above the attachment.
        pretext: String,
        /// The author.
        author_name: String,
        /// The author's link.
        author_link: String,
        /// The author's picture.
        author_icon: String,
        /// The title.
        title: String = "{{ template \"mattermost.default.title\" . }}".to_owned(),
        /// The link of the title.
        title_link: String = "{{ template \"mattermost.default.titlelink\" . }}".to_owned(),
        /// Fields.
        fields: Vec<Field>,
        /// A small picture.
        thumb_url: String,
        /// The last line.
        footer: String,
        /// The picture of the last line.
        footer_icon: String,
        /// A picture.
        image_url: String,
        /// The picture of who it is from.
        icon_url: String,
        /// An emoji as the picture of who it is from.
        icon_emoji: String,
        /// Further attachments.
        attachments: Vec<MattermostAttachment>,
        /// The type of the message.
        r#type: String,
        /// Further properties.
        props: Option<MattermostProps>,
        /// How much it matters.
        priority: Option<MattermostPriority>,
    }
}

section! {
    /// An attachment; templates.
    pub struct MattermostAttachment {
        /// The text where attachments are not shown.
        fallback: String,
        /// The colour.
        color: String,
        /// What stands above it.
        pretext: String,
        /// The text.
        text: String,
        /// The author.
        author_name: String,
        /// The author's link.
        author_link: String,
        /// The author's picture.
        author_icon: String,
        /// The title.
        title: String,
        /// The link of the title.
        title_link: String,
        /// Fields.
        fields: Vec<Field>,
        /// A small picture.
        thumb_url: String,
        /// The last line.
        footer: String,
        /// The picture of the last line.
        footer_icon: String,
        /// A picture.
        image_url: String,
    }
}

section! {
    /// Properties of a message.
    pub struct MattermostProps {
        /// What is shown beside it; a template.
        card: String,
    }
}

section! {
    /// How much a message matters.
    pub struct MattermostPriority {
        /// `important`, `urgent` or `standard`; a template.
        priority: String,
        /// Whether readers must confirm.
        requested_ack: bool,
        /// Whether it is told until somebody confirms.
        persistent_notifications: bool,
    }
}

impl ReceiverConfig for MattermostConfig {
    const KIND: &'static str = "mattermost";

    fn check(&mut self) -> Result<(), String> {
        let has_file = !self.webhook_url_file.is_empty();
        at_most_one(!self.webhook_url.is_empty(), has_file, "webhook_url")?;
        let attached = self.attachments.iter().flat_map(|item| &item.fields);
        let mut fields = self.fields.iter().chain(attached);
        fields.try_for_each(|field| field.check("Mattermost"))
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        if self.webhook_url.is_empty() && self.webhook_url_file.is_empty() {
            self.webhook_url = global.mattermost_webhook_url.clone();
            self.webhook_url_file
                .clone_from(&global.mattermost_webhook_url_file);
        }
        ensure(
            !self.webhook_url.is_empty() || !self.webhook_url_file.is_empty(),
            "missing webhook_url or webhook_url_file on mattermost_config",
        )
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        Some(&mut self.http_config)
    }
}
