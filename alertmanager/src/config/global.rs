//! `global`: what receivers have unless they say otherwise.

use model::Duration;
use net::http_config::{HttpConfig, Secret, TlsConfig};

use super::section::at_most_one;
use super::url::{ApiUrl, SecretUrl};

section! {
    /// The `global` section.
    pub struct Global {
        /// How long an alert without an end counts as firing after it was last heard of.
        "shown" resolve_timeout: Duration = Duration::from_secs(300),
        /// How to speak HTTP.
        "shown" http_config: HttpConfig,
        /// The address of Jira.
        jira_api_url: ApiUrl,
        /// The sender of e-mails.
        smtp_from: String,
        /// What the client calls itself to mail servers.
        smtp_hello: String = "localhost".to_owned(),
        /// The mail server, `host:port`.
        smtp_smarthost: String,
        /// The user at the mail server.
        smtp_auth_username: String,
        /// The password.
        smtp_auth_password: Secret,
        /// A file with the password.
        smtp_auth_password_file: String,
        /// The secret of CRAM-MD5.
        smtp_auth_secret: Secret,
        /// A file with it.
        smtp_auth_secret_file: String,
        /// The identity of PLAIN.
        smtp_auth_identity: String,
        /// Whether e-mails need TLS.
        "shown" smtp_require_tls: bool = true,
        /// How the mail server's certificate is checked.
        "shown" smtp_tls_config: TlsConfig,
        /// Whether TLS comes first; on port 465, if not given.
        smtp_force_implicit_tls: Option<bool>,
        /// Slack's webhook.
        slack_api_url: SecretUrl,
        /// A file with it.
        slack_api_url_file: String,
        /// Slack's token.
        slack_app_token: Secret,
        /// A file with it.
        slack_app_token_file: String,
        /// Where messages with a token go.
        slack_app_url: ApiUrl = ApiUrl::known("https://slack.com/api/chat.postMessage"),
        /// The address of PagerDuty.
        pagerduty_url: ApiUrl = ApiUrl::known("https://events.pagerduty.com/v2/enqueue"),
        /// The address of OpsGenie.
        opsgenie_api_url: ApiUrl = ApiUrl::known("https://api.opsgenie.com/"),
        /// The key for it.
        opsgenie_api_key: Secret,
        /// A file with it.
        opsgenie_api_key_file: String,
        /// The address of WeChat.
        wechat_api_url: ApiUrl = ApiUrl::known("https://qyapi.weixin.qq.com/cgi-bin/"),
        /// The secret for it.
        wechat_api_secret: Secret,
        /// A file with it.
        wechat_api_secret_file: String,
        /// The corporation.
        wechat_api_corp_id: String,
        /// The address of VictorOps.
        victorops_api_url: ApiUrl = ApiUrl::known("https://alert.victorops.com/integrations/generic/20131114/alert/"),
        /// The key for it.
        victorops_api_key: Secret,
        /// A file with it.
        victorops_api_key_file: String,
        /// The address of Telegram.
        telegram_api_url: ApiUrl = ApiUrl::known("https://api.telegram.org"),
        /// The token for it.
        telegram_bot_token: Secret,
        /// A file with it.
        telegram_bot_token_file: String,
        /// The address of Webex.
        webex_api_url: ApiUrl = ApiUrl::known("https://webexapis.com/v1/messages"),
        /// The address of Rocket.Chat.
        rocketchat_api_url: ApiUrl = ApiUrl::known("https://open.rocket.chat/"),
        /// The token for it.
        rocketchat_token: Secret,
        /// A file with it.
        rocketchat_token_file: String,
        /// Whose token it is.
        rocketchat_token_id: Secret,
        /// A file with it.
        rocketchat_token_id_file: String,
        /// Mattermost's webhook.
        mattermost_webhook_url: SecretUrl,
        /// A file with it.
        mattermost_webhook_url_file: String,
    }
}

impl Global {
    /// Checks that the fields go together.
    pub(super) fn check(&self) -> Result<(), String> {
        let pairs = [
            (
                !self.slack_api_url.is_empty(),
                &self.slack_api_url_file,
                "slack_api_url",
            ),
            (
                !self.slack_app_token.is_empty(),
                &self.slack_app_token_file,
                "slack_app_token",
            ),
            (
                !self.opsgenie_api_key.is_empty(),
                &self.opsgenie_api_key_file,
                "opsgenie_api_key",
            ),
            (
                !self.victorops_api_key.is_empty(),
                &self.victorops_api_key_file,
                "victorops_api_key",
            ),
            (
                !self.smtp_auth_password.is_empty(),
                &self.smtp_auth_password_file,
                "smtp_auth_password",
            ),
            (
                !self.smtp_auth_secret.is_empty(),
                &self.smtp_auth_secret_file,
                "smtp_auth_secret",
            ),
            (
                !self.telegram_bot_token.is_empty(),
                &self.telegram_bot_token_file,
                "telegram_bot_token",
            ),
            (
                !self.wechat_api_secret.is_empty(),
                &self.wechat_api_secret_file,
                "wechat_api_secret",
            ),
            (
                !self.rocketchat_token.is_empty(),
                &self.rocketchat_token_file,
                "rocketchat_token",
            ),
            (
                !self.rocketchat_token_id.is_empty(),
                &self.rocketchat_token_id_file,
                "rocketchat_token_id",
            ),
            (
                !self.mattermost_webhook_url.is_empty(),
                &self.mattermost_webhook_url_file,
                "mattermost_webhook_url",
            ),
        ];
        for (has, file, key) in pairs {
            at_most_one(has, !file.is_empty(), key)?;
        }
        if !self.smtp_smarthost.is_empty() {
            super::built::host_port(&self.smtp_smarthost)?;
        }
        Ok(())
    }
}
