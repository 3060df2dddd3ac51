//! E-mail by SMTP: plain, with STARTTLS, or with TLS from the start.
//!
//! # Not here
//!
//! CRAM-MD5 (`auth_secret`), `auth_identity`, threading, client certificates and `max_version` of TLS; a configuration that
//! has them loads with a warning.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::address::AddressError;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MessageBuilder, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, Tls, TlsParameters, TlsVersion as SmtpTlsVersion,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use net::client::PerFiles;
use net::http_config::TlsVersion;

use super::{Message, SendError};
use crate::config::EmailConfig;
use crate::http::{chain, secret};
use crate::template::Mode;

/// How long one step of the dialogue may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// An e-mail integration.
pub(crate) struct Email {
    config: EmailConfig,
    base_dir: PathBuf,
    tls: PerFiles<Tls>,
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum EmailTlsError {
    /// The certificates could not be read.
    #[error("unable to read CA cert {}: {source}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// They are no certificates, or the host is no name.
    #[error("set up TLS for {host}: {message}")]
    Tls {
        /// The mail server.
        host: String,
        /// What is wrong.
        message: String,
    },
}

impl Email {
    pub(crate) fn new(config: EmailConfig, base_dir: &Path) -> Result<Self, EmailTlsError> {
        let email = Email {
            config,
            base_dir: base_dir.to_owned(),
            tls: PerFiles::default(),
        };
        email.tls()?;
        Ok(email)
    }

    /// Returns how TLS is used, with the certificates as they are now.
    fn tls(&self) -> Result<Tls, EmailTlsError> {
        let config = &self.config;
        self.tls.get_or_make(&config.tls, &self.base_dir, || {
            Ok(match (config.implicit_tls, config.require_tls) {
                (true, _) => Tls::Wrapper(parameters(config, &self.base_dir)?),
                (false, true) => Tls::Required(parameters(config, &self.base_dir)?),
                (false, false) => Tls::None,
            })
        })
    }

    pub(crate) async fn send(&self, message: &Message) -> Result<(), SendError> {
        let mail = self.compose(message)?;
        let transport = self.transport()?;
        match transport.send(mail).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // What the server refuses for good stays refused; everything else may pass.
                let message = chain(&error);
                Err(if error.is_permanent() {
                    SendError::fatal(message, "clientError")
                } else {
                    SendError::retryable(message, "other")
                })
            }
        }
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, SendError> {
        let config = &self.config;
        let tls = self
            .tls()
            .map_err(|error| SendError::fatal(error.to_string(), "other"))?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .hello_name(ClientId::Domain(config.hello.clone()))
            .timeout(Some(STEP_TIMEOUT))
            .tls(tls);
        if let Some(user) = &config.auth_username {
            let password = secret(
                config.auth_password.as_ref(),
                config.auth_password_file.as_deref(),
            )
            .map_err(|error| SendError::fatal(chain(&error), "other"))?;
            builder = builder
                .credentials(Credentials::new(user.clone(), password.unwrap_or_default()))
                .authentication(vec![Mechanism::Plain, Mechanism::Login]);
        }
        Ok(builder.build())
    }

    fn compose(&self, message: &Message) -> Result<lettre::Message, SendError> {
        let config = &self.config;
        let mut builder = lettre::Message::builder().date_now().message_id(None);
        let from = message.expand(&config.from, Mode::Text)?;
        builder = builder.from(mailbox(&from)?);
        for to in mailboxes(&message.expand(&config.to, Mode::Text)?)? {
            builder = builder.to(to);
        }
        for (name, value) in &config.headers {
            let value = message.expand(value, Mode::Text)?;
            builder = header(builder, name, value)?;
        }
        let mut parts = MultiPart::alternative().build();
        let text = message.expand(&config.text, Mode::Text)?;
        if !text.is_empty() {
            parts = parts.singlepart(SinglePart::plain(text));
        }
        let html = message.expand(&config.html, Mode::Html)?;
        if !html.is_empty() {
            parts = parts.singlepart(SinglePart::html(html));
        }
        builder
            .multipart(parts)
            .map_err(|error| SendError::fatal(format!("compose the mail: {error}"), "other"))
    }
}

fn parameters(config: &EmailConfig, base_dir: &Path) -> Result<TlsParameters, EmailTlsError> {
    let wrong = |error: lettre::transport::smtp::Error| EmailTlsError::Tls {
        host: config.host.clone(),
        message: chain(&error),
    };
    let name = config.tls.server_name.as_ref().unwrap_or(&config.host);
    let mut builder = TlsParameters::builder(name.clone())
        .dangerous_accept_invalid_certs(config.tls.insecure_skip_verify == Some(true));
    if config.tls.min_version == Some(TlsVersion::TLS13) {
        builder = builder.set_min_tls_version(SmtpTlsVersion::Tlsv13);
    }
    let pem = match (&config.tls.ca, &config.tls.ca_file) {
        (Some(pem), _) => Some(pem.clone().into_bytes()),
        (None, Some(file)) => {
            let path = base_dir.join(file);
            let read = std::fs::read(&path);
            Some(read.map_err(|source| EmailTlsError::File { path, source })?)
        }
        (None, None) => None,
    };
    if let Some(pem) = pem {
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(&pem).map_err(wrong)?);
    }
    builder.build().map_err(wrong)
}

fn bad_address(text: &str, error: &AddressError) -> SendError {
    SendError::fatal(format!("parse the address {text:?}: {error}"), "other")
}

fn mailbox(text: &str) -> Result<Mailbox, SendError> {
    text.trim()
        .parse()
        .map_err(|error| bad_address(text, &error))
}

fn mailboxes(text: &str) -> Result<Mailboxes, SendError> {
    text.trim()
        .parse()
        .map_err(|error| bad_address(text, &error))
}

/// Sets one header; `To` and `From` change what is shown, not whom it goes to.
fn header(builder: MessageBuilder, name: &str, value: String) -> Result<MessageBuilder, SendError> {
    if name == "Subject" {
        // A subject is one line; a template's newlines are only layout.
        return Ok(builder.subject(value.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    let header = HeaderName::new_from_ascii(name.to_owned())
        .map_err(|_| SendError::fatal(format!("{name:?} is no name of a header"), "other"))?;
    let one_line = value.replace(['\r', '\n'], " ");
    Ok(builder.raw_header(HeaderValue::new(header, one_line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AlertmanagerConfig;
    use crate::receiver::testing::{SmtpSink, message};

    fn email(address: &str, more: &str) -> Email {
        let text = format!(
            "global: {{smtp_smarthost: '{address}', smtp_from: am@example.org, smtp_require_tls: false}}\n\
             route: {{receiver: a}}\nreceivers: [{{name: a, email_configs: [{{to: 'ops@example.org, dev@example.org'{more}}}]}}]"
        );
        let config = AlertmanagerConfig::parse(&text).unwrap();
        Email::new(config.receivers[0].emails[0].clone(), Path::new("")).unwrap()
    }

    #[tokio::test]
    async fn sends_html_with_a_subject() {
        let mut sink = SmtpSink::start().await;
        email(&sink.address, ", auth_username: user, auth_password: pass")
            .send(&message())
            .await
            .unwrap();
        let (dialogue, mail) = sink.next().await;
        assert_eq!(
            dialogue,
            [
                "EHLO localhost",
                "AUTH PLAIN AHVzZXIAcGFzcw==",
                "MAIL FROM:<am@example.org>",
                "RCPT TO:<ops@example.org>",
                "RCPT TO:<dev@example.org>",
                "DATA"
            ]
        );
        assert!(mail.contains("Subject: [FIRING:1] A (api)\r\n"), "{mail}");
        assert!(
            mail.contains("To: ops@example.org, dev@example.org\r\n"),
            "{mail}"
        );
        assert!(
            mail.contains("Content-Type: multipart/alternative;"),
            "{mail}"
        );
        assert!(
            mail.contains("Content-Type: text/html; charset=utf-8"),
            "{mail}"
        );
        assert!(
            mail.contains("&lt;high&gt; &amp; &#34;rising&#34;"),
            "{mail}"
        );
    }

    #[tokio::test]
    async fn text_and_headers_are_templates() {
        let mut sink = SmtpSink::start().await;
        let more = ", html: '', text: '{{ template \"__text_alert_list\" .Alerts }}', headers: {X-Team: ops, subject: 'custom {{ .Status }}'}";
        email(&sink.address, more).send(&message()).await.unwrap();
        let (_, mail) = sink.next().await;
        assert!(mail.contains("Subject: custom firing\r\n"), "{mail}");
        assert!(mail.contains("X-Team: ops\r\n"), "{mail}");
        assert!(mail.contains("Labels:\r\n - alertname = A\r\n"), "{mail}");
        assert!(!mail.contains("text/html"), "{mail}");
    }

    #[tokio::test]
    async fn a_required_upgrade_is_not_skipped() {
        let sink = SmtpSink::start().await;
        let error = email(&sink.address, ", require_tls: true")
            .send(&message())
            .await
            .unwrap_err();
        assert!(
            error.message.contains("STARTTLS") || error.message.contains("TLS"),
            "{error}"
        );
    }
}
