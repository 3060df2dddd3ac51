//! The receivers of the kinds that are built, as they are obeyed.

use model::{Duration, Labels};
use net::http_config::{HttpConfig, Secret, TlsConfig};

use super::global::Global;
use super::receiver::{EmailText, ReceiverText, WebhookText};
use crate::http;
use crate::template::alertmanager::default_templates;

/// One receiver with all its ways to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// Its name, unique.
    pub name: String,
    /// Its labels, its name among them.
    pub labels: Labels,
    /// Webhooks, in order.
    pub webhooks: Vec<WebhookConfig>,
    /// E-mails, in order.
    pub emails: Vec<EmailConfig>,
    /// All that is written, filled in; the other kinds obey it as it is.
    pub text: ReceiverText,
}

impl Receiver {
    /// Returns the ways to tell: kind, position among the kind's, and whether resolved alerts are told.
    pub fn integrations(&self) -> Vec<(&'static str, usize, bool)> {
        self.text.integrations()
    }
}

/// A webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookConfig {
    /// Whether resolved alerts are told.
    pub send_resolved: bool,
    /// Where to; a template.
    pub url: Option<Secret>,
    /// A file with the URL, read at each request.
    pub url_file: Option<String>,
    /// How many alerts go into one request; 0 is all.
    pub max_alerts: usize,
    /// A body of one's own in place of the standard one; the texts in it are templates.
    pub payload: Option<serde_json::Value>,
    /// How long one request may take.
    pub timeout: Option<Duration>,
    /// How to connect.
    pub http: HttpConfig,
}

/// Which e-mails of a group are one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threading {
    /// All of them.
    Whole,
    /// Those of a day, in UTC.
    Daily,
}

/// An e-mail.
#[derive(Clone, Debug, PartialEq)]
pub struct EmailConfig {
    /// Whether resolved alerts are told.
    pub send_resolved: bool,
    /// The addressees, comma separated; a template.
    pub to: String,
    /// The sender; a template.
    pub from: String,
    /// The mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What the client calls itself.
    pub hello: String,
    /// Whom to log in as; without a user there is no login.
    pub auth_username: Option<String>,
    /// The password.
    pub auth_password: Option<Secret>,
    /// A file with the password, read at each mail.
    pub auth_password_file: Option<String>,
    /// The secret of CRAM-MD5.
    pub auth_secret: Option<Secret>,
    /// A file with it, read at each mail.
    pub auth_secret_file: Option<String>,
    /// As whom PLAIN logs in; empty is as the user.
    pub auth_identity: String,
    /// Whether mail programs put the mails of a group together.
    pub threading: Option<Threading>,
    /// Headers by name; values are templates.
    pub headers: Vec<(String, String)>,
    /// The HTML part; a template. Empty leaves it out.
    pub html: String,
    /// The text part; a template. Empty leaves it out.
    pub text: String,
    /// Whether the connection must be upgraded by STARTTLS; otherwise it stays plain.
    pub require_tls: bool,
    /// Whether TLS comes first, as on port 465.
    pub implicit_tls: bool,
    /// How the server's certificate is checked.
    pub tls: TlsConfig,
}

/// Returns a receiver that was checked and filled in from `global`.
pub(super) fn receiver(
    text: &ReceiverText,
    global: &Global,
    warnings: &mut Vec<String>,
) -> Result<Receiver, String> {
    let name = &text.name;
    let mut receiver = Receiver {
        name: name.clone(),
        labels: Labels::from_pairs(text.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()))),
        webhooks: Vec::new(),
        emails: Vec::new(),
        text: text.clone(),
    };
    for (kind, http) in text.clone().http_configs() {
        if kind != "webhook" {
            // Alertmanager loads such a file; using it is refused when the integration is made.
            if let Err(error) = http::check(&http) {
                let place = format!("receiver \"{name}\": {kind} http_config");
                warnings.push(format!("{place}: {error}"));
            }
        }
    }
    for webhook in &text.webhook_configs {
        receiver.webhooks.push(self::webhook(webhook)?);
    }
    for email in &text.email_configs {
        receiver
            .emails
            .push(self::email(email, global, name, warnings)?);
    }
    Ok(receiver)
}

fn webhook(text: &WebhookText) -> Result<WebhookConfig, String> {
    check_template(text.url.secret().reveal())?;
    let http = text.http_config.clone().unwrap_or_default();
    http::check(&http)?;
    Ok(WebhookConfig {
        send_resolved: text.send_resolved,
        url: Some(text.url.secret().clone()).filter(|url| !url.is_empty()),
        url_file: given(&text.url_file),
        max_alerts: usize::try_from(text.max_alerts).unwrap_or(usize::MAX),
        payload: text.payload.clone(),
        timeout: text.timeout.limit(),
        http,
    })
}

fn email(
    text: &EmailText,
    global: &Global,
    receiver: &str,
    warnings: &mut Vec<String>,
) -> Result<EmailConfig, String> {
    let tls = text.tls_config.clone().unwrap_or_default();
    tls.validate().map_err(|error| error.to_string())?;
    if tls.max_version.is_some() {
        warnings.push(format!(
            "receiver \"{receiver}\": email tls_config max_version is not built yet"
        ));
    }
    let (host, port) = host_port(&text.smarthost)?;
    let (auth_secret, auth_secret_file) = text.secret_in_use(global);
    // The addresses are in every mail anyway; only others are headers of their own.
    let is_own = |(name, value): &(&String, &String)| {
        !(*name == "To" && **value == text.to || *name == "From" && **value == text.from)
    };
    let headers: Vec<_> = text
        .headers
        .iter()
        .filter(is_own)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for template in headers
        .iter()
        .map(|(_, value)| value)
        .chain([&text.html, &text.text, &text.to, &text.from])
    {
        check_template(template)?;
    }
    Ok(EmailConfig {
        send_resolved: text.send_resolved,
        to: text.to.clone(),
        from: text.from.clone(),
        hello: given(&text.hello).unwrap_or_else(|| "localhost".to_owned()),
        auth_username: given(&text.auth_username),
        auth_password: Some(text.auth_password.clone()).filter(|password| !password.is_empty()),
        auth_password_file: given(&text.auth_password_file),
        auth_secret: Some(auth_secret).filter(|secret| !secret.is_empty()),
        auth_secret_file: given(&auth_secret_file),
        auth_identity: text.auth_identity.clone(),
        threading: match (
            text.threading.enabled,
            text.threading.thread_by_date.as_str(),
        ) {
            (false, _) => None,
            (true, "daily") => Some(Threading::Daily),
            (true, _) => Some(Threading::Whole),
        },
        headers,
        html: text.html.clone(),
        text: text.text.clone(),
        require_tls: text.require_tls.unwrap_or(true),
        implicit_tls: text.force_implicit_tls.unwrap_or(port == 465),
        tls,
        host,
        port,
    })
}

fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// Returns a header's name as it is usually written: `X-Team`.
pub(super) fn canonical(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| {
            first
                .to_uppercase()
                .chain(chars.flat_map(char::to_lowercase))
                .collect()
        })
    });
    words.collect::<Vec<_>>().join("-")
}

pub(super) fn host_port(text: &str) -> Result<(String, u16), String> {
    let missing = || format!("address {text}: missing port in address");
    let (host, port) = text.rsplit_once(':').ok_or_else(missing)?;
    let port = match port {
        "" => return Err(format!("address {text:?}: port cannot be empty")),
        "smtp" => 25,
        "smtps" | "submissions" => 465,
        "submission" => 587,
        port => port
            .parse()
            .map_err(|_| format!("address {text}: invalid port {port:?}"))?,
    };
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

/// Checks that a text is a template over the default ones.
fn check_template(text: &str) -> Result<(), String> {
    default_templates()
        .with("", text)
        .map(|_| ())
        .map_err(|error| error.to_string())
}
