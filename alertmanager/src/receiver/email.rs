//! E-mail by SMTP: plain, with STARTTLS, or with TLS from the start.
//!
//! # Not here
//!
//! `max_version` of TLS; a configuration that has it loads with a warning.

mod login;
mod md5;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::address::AddressError;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes, MessageBuilder, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, Identity, Tls, TlsParameters,
    TlsVersion as SmtpTlsVersion,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use net::client::PerFiles;
use net::http_config::{Secret, TlsVersion};

use login::Login;

use super::http::group_id;
use super::{Message, SendError};
use crate::config::{EmailConfig, Threading};
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
    /// A certificate or key could not be read.
    #[error("unable to read {what} {}: {source}", .path.display())]
    File {
        /// What it has.
        what: &'static str,
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
        if let Some(login) = self.login()? {
            return self.send_after(&login, &mail).await;
        }
        let sent = self.transport()?.send(mail).await;
        sent.map(drop)
            .map_err(|error| failure(&error, &chain(&error)))
    }

    /// Returns who logs in, if it is in a way that lettre does not know.
    fn login(&self) -> Result<Option<Login>, SendError> {
        let config = &self.config;
        let Some(user) = &config.auth_username else {
            return Ok(None);
        };
        let given = |text: Option<&Secret>, file: Option<&str>| match secret(text, file) {
            Ok(found) => Ok(found.filter(|text| !text.is_empty())),
            Err(error) => Err(SendError::fatal(chain(&error), "other")),
        };
        let login = Login {
            user: user.clone(),
            identity: config.auth_identity.clone(),
            password: given(
                config.auth_password.as_ref(),
                config.auth_password_file.as_deref(),
            )?,
            secret: given(
                config.auth_secret.as_ref(),
                config.auth_secret_file.as_deref(),
            )?,
        };
        // A user without anything is no login either, and the error says what is wanted.
        let is_usual =
            login.password.is_some() && login.secret.is_none() && login.identity.is_empty();
        Ok((!is_usual).then_some(login))
    }

    /// Sends a mail through a connection of its own.
    async fn send_after(&self, login: &Login, mail: &lettre::Message) -> Result<(), SendError> {
        let config = &self.config;
        let failed = |error: lettre::transport::smtp::Error| failure(&error, &chain(&error));
        let tls = self.tls();
        let tls = tls.map_err(|error| SendError::fatal(error.to_string(), "other"))?;
        let hello = ClientId::Domain(config.hello.clone());
        let (first, upgrade) = match tls {
            Tls::Wrapper(parameters) => (Some(parameters), None),
            Tls::Required(parameters) => (None, Some(parameters)),
            _ => (None, None),
        };
        let server = (config.host.as_str(), config.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(server, Some(STEP_TIMEOUT), &hello, first, None);
        let mut connection = connecting.await.map_err(failed)?;
        if let Some(parameters) = upgrade {
            connection
                .starttls(parameters, &hello)
                .await
                .map_err(failed)?;
        }
        login.run(&mut connection, &config.hello).await?;
        let sent = connection.send(mail.envelope(), &mail.formatted()).await;
        sent.map_err(failed)?;
        // The mail has been taken; how the server parts does not matter.
        let _ = connection.quit().await;
        Ok(())
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
        if let Some(threading) = config.threading {
            let root = thread_root(message, threading);
            builder = header(builder, "References", root.clone())?;
            builder = header(builder, "In-Reply-To", root)?;
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
    let pem = |what, own: Option<&str>, file: Option<&String>| match (own, file) {
        (Some(pem), _) => Ok(Some(pem.as_bytes().to_vec())),
        (None, Some(file)) => {
            let path = base_dir.join(file);
            let read = std::fs::read(&path);
            read.map(Some)
                .map_err(|source| EmailTlsError::File { what, path, source })
        }
        (None, None) => Ok(None),
    };
    let tls = &config.tls;
    let cert = pem("client cert", tls.cert.as_deref(), tls.cert_file.as_ref())?;
    let own_key = tls.key.as_ref().map(|key| key.reveal());
    let key = pem("client key", own_key, tls.key_file.as_ref())?;
    if let (Some(cert), Some(key)) = (cert, key) {
        builder = builder.identify_with(Identity::from_pem(&cert, &key).map_err(wrong)?);
    }
    if let Some(pem) = pem("CA cert", tls.ca.as_deref(), tls.ca_file.as_ref())? {
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(&pem).map_err(wrong)?);
    }
    builder.build().map_err(wrong)
}

/// Returns the failure of a dialogue: what the server refuses for good stays refused; everything else may pass.
fn failure(error: &lettre::transport::smtp::Error, message: &str) -> SendError {
    match error.is_permanent() {
        true => SendError::fatal(message, "clientError"),
        false => SendError::retryable(message, "other"),
    }
}

/// Returns the id of the mail that all mails of a thread say that they answer; there is no such mail.
fn thread_root(message: &Message, threading: Threading) -> String {
    let day = match threading {
        Threading::Whole => String::new(),
        Threading::Daily => {
            let now = jiff::Timestamp::from_millisecond(message.now_ms).unwrap_or_default();
            now.strftime("%Y-%m-%d").to_string()
        }
    };
    format!("<alert-{}-{day}@alertmanager>", &group_id(message)[..16])
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

    #[test]
    fn a_page_without_values_is_one_too() {
        let page = |text| {
            message()
                .expand(text, Mode::Html)
                .map_err(|error| error.message)
        };
        assert_eq!(page("<p>1 < 2<!-- x --></p>").unwrap(), "<p>1 &lt; 2</p>");
        assert!(page("<p title='").unwrap_err().contains("non-text context"));
        let text = message().expand("<p>1 < 2<!-- x -->", Mode::Text);
        assert_eq!(text.unwrap(), "<p>1 < 2<!-- x -->");
    }

    #[tokio::test]
    async fn threads_are_by_group_and_day() {
        let mut sink = SmtpSink::start().await;
        let root = &group_id(&message())[..16];
        let day = jiff::Timestamp::from_millisecond(message().now_ms).unwrap();
        let day = day.strftime("%Y-%m-%d").to_string();
        for (by_date, day) in [("daily", day.as_str()), ("none", "")] {
            let more = format!(", threading: {{enabled: true, thread_by_date: {by_date}}}");
            email(&sink.address, &more).send(&message()).await.unwrap();
            let (_, mail) = sink.next().await;
            for name in ["References", "In-Reply-To"] {
                let header = format!("\r\n{name}: <alert-{root}-{day}@alertmanager>\r\n");
                assert!(mail.contains(&header), "{header}{mail}");
            }
        }
    }

    #[tokio::test]
    async fn logs_in_as_the_server_wants() {
        let plain = "AUTH PLAIN aQB1c2VyAHBhc3M=";
        let cram = [
            "AUTH CRAM-MD5",
            "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw",
        ];
        let secret = "auth_username: tim, auth_secret: tanstaaftanstaaf";
        let identity = "auth_username: user, auth_password: pass, auth_identity: i";
        for (mechanisms, more, expected) in [
            ("PLAIN LOGIN CRAM-MD5", secret.to_owned(), &cram[..]),
            (
                "LOGIN PLAIN",
                identity.to_owned(),
                &["AUTH LOGIN", "dXNlcg==", "cGFzcw=="],
            ),
            ("PLAIN LOGIN", identity.to_owned(), &[plain]),
            (
                "CRAM-MD5 PLAIN",
                format!("{secret}, auth_password: pass"),
                &cram,
            ),
        ] {
            let mut sink = SmtpSink::offering(mechanisms).await;
            let email = email(&sink.address, &format!(", {more}"));
            email.send(&message()).await.unwrap();
            let (dialogue, _) = sink.next().await;
            let hello = ["EHLO localhost", "EHLO localhost"];
            let mail = ["MAIL FROM:<am@example.org>", "RCPT TO:<ops@example.org>"];
            let end = ["RCPT TO:<dev@example.org>", "DATA"];
            assert_eq!(dialogue, [&hello, expected, &mail, &end].concat());
        }
        let sink = SmtpSink::offering("PLAIN").await;
        let email = email(&sink.address, &format!(", {secret}"));
        let error = email.send(&message()).await.unwrap_err();
        assert!(error.message.contains("want CRAM-MD5"), "{error}");
        assert!(!error.message.contains("tanstaaf"), "{error}");
        let email = self::email(&sink.address, ", auth_username: user");
        let error = email.send(&message()).await.unwrap_err();
        assert!(error.message.contains("for auth_password"), "{error}");
    }

    #[test]
    fn client_certificates_are_read() {
        let text = "global: {smtp_smarthost: 'h:25', smtp_from: am@example.org}\n\
            route: {receiver: a}\nreceivers: [{name: a, email_configs: [{to: a@b, tls_config: {cert_file: none.pem, key_file: none.key}}]}]";
        let config = AlertmanagerConfig::parse(text).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new());
        let email = Email::new(config.receivers[0].emails[0].clone(), Path::new(""));
        let error = email.err().unwrap().to_string();
        assert!(
            error.starts_with("unable to read client cert none.pem"),
            "{error}"
        );
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
