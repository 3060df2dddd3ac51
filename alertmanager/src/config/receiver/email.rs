//! `email_configs`: e-mails.

use std::collections::BTreeMap;

use net::http_config::{HttpConfig, Secret, TlsConfig};

use super::{ReceiverConfig, show_tls_defaults};
use crate::config::built::canonical;
use crate::config::global::Global;
use crate::config::section::{at_most_one, ensure};

section! {
    /// E-mails to somebody.
    pub struct EmailText {
        /// Whether resolved alerts are told.
        "shown" send_resolved: bool,
        /// The addressees, separated by commas; a template.
        to: String,
        /// The sender; a template.
        from: String,
        /// What the client calls itself.
        hello: String,
        /// The mail server, `host:port`.
        smarthost: String,
        /// The user.
        auth_username: String,
        /// The password.
        auth_password: Secret,
        /// A file with it.
        auth_password_file: String,
        /// The secret of CRAM-MD5.
        auth_secret: Secret,
        /// A file with it.
        auth_secret_file: String,
        /// The identity of PLAIN.
        auth_identity: String,
        /// Headers by name; templates.
        headers: BTreeMap<String, String>,
        /// The HTML part; a template.
        html: String = "{{ template \"email.default.html\" . }}".to_owned(),
        /// The text part; a template.
        text: String,
        /// Whether TLS is needed.
        require_tls: Option<bool>,
        /// How the server's certificate is checked.
        tls_config: Option<TlsConfig>,
        /// Whether TLS comes first.
        force_implicit_tls: Option<bool>,
        /// How e-mails are put together in mail programs.
        threading: EmailThreading,
    }
}

section! {
    /// How e-mails of a group are put together in mail programs.
    pub struct EmailThreading {
        /// Whether they are.
        enabled: bool,
        /// `none`, or `daily` for a thread per day.
        thread_by_date: String,
    }
}

impl EmailText {
    /// Returns the secret of CRAM-MD5 and the file with it, of which at most one is not empty: the receiver's own before the
    /// global one.
    pub(in crate::config) fn secret_in_use(&self, global: &Global) -> (Secret, String) {
        let (secret, file) = (self.auth_secret.clone(), self.auth_secret_file.clone());
        if secret.is_empty() || file.is_empty() {
            return (secret, file);
        }
        // Neither the receiver nor `global` may have both, so the one that is not global is its own.
        if global.smtp_auth_secret.is_empty() {
            (secret, String::new())
        } else {
            (Secret::default(), file)
        }
    }
}

impl ReceiverConfig for EmailText {
    const KIND: &'static str = "email";

    fn check(&mut self) -> Result<(), String> {
        ensure(!self.to.is_empty(), "missing to address in email config")?;
        let mut headers = BTreeMap::new();
        for (name, value) in std::mem::take(&mut self.headers) {
            let name = canonical(&name);
            if headers.contains_key(&name) {
                return Err(format!("duplicate header {name:?} in email config"));
            }
            headers.insert(name, value);
        }
        self.headers = headers;
        let owned = ["References", "In-Reply-To"];
        let taken = owned
            .into_iter()
            .find(|name| self.headers.contains_key(*name));
        if let (true, Some(name)) = (self.threading.enabled, taken) {
            return Err(format!(
                "conflicting configuration: threading.enabled conflicts with custom {name} header"
            ));
        }
        ensure(
            !self.threading.enabled
                || matches!(self.threading.thread_by_date.as_str(), "none" | "daily"),
            "threading.thread_by_date must be either 'none' or 'daily'",
        )?;
        let has_file = !self.auth_password_file.is_empty();
        at_most_one(!self.auth_password.is_empty(), has_file, "auth_password")?;
        let has_file = !self.auth_secret_file.is_empty();
        at_most_one(!self.auth_secret.is_empty(), has_file, "auth_secret")
    }

    fn fill(&mut self, global: &Global) -> Result<(), String> {
        let tls = self
            .tls_config
            .get_or_insert_with(|| global.smtp_tls_config.clone());
        show_tls_defaults(tls);
        let or_global = |own: &mut String, global: &String| {
            if own.is_empty() {
                own.clone_from(global);
            }
        };
        or_global(&mut self.smarthost, &global.smtp_smarthost);
        ensure(!self.smarthost.is_empty(), "no global SMTP smarthost set")?;
        or_global(&mut self.from, &global.smtp_from);
        ensure(!self.from.is_empty(), "no global SMTP from set")?;
        or_global(&mut self.hello, &global.smtp_hello);
        or_global(&mut self.auth_username, &global.smtp_auth_username);
        if self.auth_password.is_empty() && self.auth_password_file.is_empty() {
            self.auth_password = global.smtp_auth_password.clone();
            self.auth_password_file
                .clone_from(&global.smtp_auth_password_file);
        }
        // Unlike the password: where one of the two is the receiver's own, the other may still be the global one, as
        // Alertmanager prints it. `secret_in_use` says which holds.
        if self.auth_secret.is_empty() {
            self.auth_secret = global.smtp_auth_secret.clone();
        }
        or_global(&mut self.auth_secret_file, &global.smtp_auth_secret_file);
        or_global(&mut self.auth_identity, &global.smtp_auth_identity);
        self.require_tls.get_or_insert(global.smtp_require_tls);
        if self.force_implicit_tls.is_none() {
            self.force_implicit_tls = global.smtp_force_implicit_tls;
        }
        for (name, value) in [
            ("Subject", "{{ template \"email.default.subject\" . }}"),
            ("To", &self.to),
            ("From", &self.from),
        ] {
            let header = self.headers.entry(name.to_owned());
            header.or_insert_with(|| value.to_owned());
        }
        Ok(())
    }

    fn http_config(&mut self) -> Option<&mut Option<HttpConfig>> {
        None
    }
}
