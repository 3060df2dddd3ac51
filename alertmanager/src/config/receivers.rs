//! Receivers: who is told, and how.

use std::collections::BTreeSet;

use model::Duration;
use net::http_config::{HttpConfig, Secret, TlsConfig};

use super::text::{EmailText, Global, ReceiverText, WebhookText};
use crate::http;
use crate::template::Template;
use crate::template::alertmanager::{DEFAULT_TEMPLATES, NOTIFICATION_FUNCTIONS};

/// One receiver with all its ways to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Receiver {
    /// Its name, unique.
    pub name: String,
    /// Webhooks, in order.
    pub webhooks: Vec<WebhookConfig>,
    /// E-mails, in order.
    pub emails: Vec<EmailConfig>,
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
    /// How long one request may take.
    pub timeout: Option<Duration>,
    /// How to connect.
    pub http: HttpConfig,
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

pub(super) fn receivers(
    texts: Vec<ReceiverText>,
    global: &Global,
    warnings: &mut Vec<String>,
) -> Result<Vec<Receiver>, String> {
    let mut names = BTreeSet::new();
    let mut receivers = Vec::with_capacity(texts.len());
    for text in texts {
        if text.name.is_empty() {
            return Err("missing name in receiver".to_owned());
        }
        if !names.insert(text.name.clone()) {
            return Err(format!(
                "notification config name \"{}\" is not unique",
                text.name
            ));
        }
        if let Some(other) = text
            .labels
            .as_ref()
            .and_then(|labels| labels.get("name"))
            .filter(|name| **name != text.name)
        {
            return Err(format!(
                "receiver label \"name\" must match receiver name \"{}\", got \"{other}\"",
                text.name
            ));
        }
        receivers.push(receiver(text, global, warnings)?);
    }
    Ok(receivers)
}

fn receiver(
    text: ReceiverText,
    global: &Global,
    warnings: &mut Vec<String>,
) -> Result<Receiver, String> {
    for key in text.unbuilt() {
        let kind = key.trim_end_matches("_configs");
        warnings.push(format!(
            "receiver \"{}\": receiver type {kind} is not built yet",
            text.name
        ));
    }
    let mut receiver = Receiver {
        name: text.name,
        webhooks: Vec::new(),
        emails: Vec::new(),
    };
    for webhook in text.webhook_configs.unwrap_or_default() {
        receiver
            .webhooks
            .push(self::webhook(webhook, global, &receiver.name, warnings)?);
    }
    for email in text.email_configs.unwrap_or_default() {
        receiver
            .emails
            .push(self::email(email, global, &receiver.name, warnings)?);
    }
    Ok(receiver)
}

fn webhook(
    text: WebhookText,
    global: &Global,
    receiver: &str,
    warnings: &mut Vec<String>,
) -> Result<WebhookConfig, String> {
    match (&text.url, &text.url_file) {
        (None, None) => return Err("one of url or url_file must be configured".to_owned()),
        (Some(_), Some(_)) => {
            return Err("at most one of url & url_file must be configured".to_owned());
        }
        _ => {}
    }
    if text.payload.is_some() {
        warnings.push(format!(
            "receiver \"{receiver}\": webhook payload is not built yet, the standard body is sent"
        ));
    }
    if let Some(url) = &text.url {
        check_template(url)?;
        if !url.contains("{{") {
            let parsed = reqwest::Url::parse(url).map_err(|error| {
                format!("webhook url: {error} (write it like http://host/path)")
            })?;
            if !matches!(parsed.scheme(), "http" | "https") {
                return Err(format!(
                    "unsupported scheme \"{}\" for URL",
                    parsed.scheme()
                ));
            }
        }
    }
    let http = text
        .http_config
        .or_else(|| global.http_config.clone())
        .unwrap_or_default();
    let place = format!("receiver \"{receiver}\": webhook http_config");
    warnings.extend(http::check(&http, &place)?);
    Ok(WebhookConfig {
        send_resolved: text.send_resolved.unwrap_or(true),
        url: text.url.map(Secret::new),
        url_file: text.url_file,
        max_alerts: usize::try_from(text.max_alerts.unwrap_or(0)).unwrap_or(usize::MAX),
        timeout: text.timeout.filter(|timeout| !timeout.is_zero()),
        http,
    })
}

fn email(
    text: EmailText,
    global: &Global,
    receiver: &str,
    warnings: &mut Vec<String>,
) -> Result<EmailConfig, String> {
    let tls = text
        .tls_config
        .clone()
        .or_else(|| global.smtp_tls_config.clone())
        .unwrap_or_default();
    tls.validate().map_err(|error| error.to_string())?;
    for key in unbuilt_email(&text, global, &tls) {
        warnings.push(format!(
            "receiver \"{receiver}\": email {key} is not built yet"
        ));
    }
    let to = text
        .to
        .filter(|to| !to.is_empty())
        .ok_or("missing to address in email config")?;
    let smarthost = text
        .smarthost
        .or_else(|| global.smtp_smarthost.clone())
        .filter(|host| !host.is_empty());
    let smarthost = smarthost.ok_or("no global SMTP smarthost set")?;
    let (host, port) = host_port(&smarthost)?;
    let from = text
        .from
        .or_else(|| global.smtp_from.clone())
        .filter(|from| !from.is_empty());
    let from = from.ok_or("no global SMTP from set")?;
    let html = text
        .html
        .unwrap_or_else(|| "{{ template \"email.default.html\" . }}".to_owned());
    let plain = text.text.unwrap_or_default();
    let headers = headers(text.headers.unwrap_or_default())?;
    for template in headers
        .iter()
        .map(|(_, value)| value)
        .chain([&html, &plain, &to, &from])
    {
        check_template(template)?;
    }
    let implicit_tls = text
        .force_implicit_tls
        .or(global.smtp_force_implicit_tls)
        .unwrap_or(port == 465);
    Ok(EmailConfig {
        send_resolved: text.send_resolved.unwrap_or(false),
        to,
        from,
        hello: text
            .hello
            .or_else(|| global.smtp_hello.clone())
            .unwrap_or_else(|| "localhost".to_owned()),
        auth_username: text
            .auth_username
            .or_else(|| global.smtp_auth_username.clone())
            .filter(|user| !user.is_empty()),
        auth_password: text
            .auth_password
            .or_else(|| global.smtp_auth_password.clone()),
        auth_password_file: text
            .auth_password_file
            .or_else(|| global.smtp_auth_password_file.clone()),
        headers,
        html,
        text: plain,
        require_tls: text.require_tls.or(global.smtp_require_tls).unwrap_or(true),
        implicit_tls,
        tls,
        host,
        port,
    })
}

/// Returns what an e-mail is configured to have and will not.
fn unbuilt_email(text: &EmailText, global: &Global, tls: &TlsConfig) -> Vec<&'static str> {
    let secrets = [
        text.auth_secret.is_some(),
        text.auth_secret_file.is_some(),
        global.smtp_auth_secret.is_some(),
        global.smtp_auth_secret_file.is_some(),
    ];
    let identity = text.auth_identity.is_some() || global.smtp_auth_identity.is_some();
    let unbuilt = [
        (text.threading.is_some(), "threading"),
        (secrets.contains(&true), "auth_secret (CRAM-MD5)"),
        (identity, "auth_identity"),
        (
            tls.cert.is_some() || tls.cert_file.is_some(),
            "tls_config client certificate",
        ),
        (tls.max_version.is_some(), "tls_config max_version"),
    ];
    let unbuilt = unbuilt.into_iter().filter(|(is_there, _)| *is_there);
    unbuilt.map(|(_, key)| key).collect()
}

/// Returns the headers in canonical spelling, with a subject.
fn headers(
    texts: std::collections::BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, String> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in texts {
        let name = canonical(&name);
        if headers.iter().any(|(n, _)| *n == name) {
            return Err(format!("duplicate header \"{name}\" in email config"));
        }
        headers.push((name, value));
    }
    if !headers.iter().any(|(name, _)| name == "Subject") {
        headers.push((
            "Subject".to_owned(),
            "{{ template \"email.default.subject\" . }}".to_owned(),
        ));
    }
    Ok(headers)
}

/// Returns a header's name as it is usually written: `X-Team`.
fn canonical(name: &str) -> String {
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

fn host_port(text: &str) -> Result<(String, u16), String> {
    let missing = || format!("address {text}: missing port in address");
    let (host, port) = text.rsplit_once(':').ok_or_else(missing)?;
    let port = match port {
        "" => return Err("port cannot be empty".to_owned()),
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
    let defaults = Template::parse("defaults", DEFAULT_TEMPLATES, NOTIFICATION_FUNCTIONS)
        .map_err(|error| error.to_string())?;
    defaults
        .with("", text)
        .map(|_| ())
        .map_err(|error| error.to_string())
}
