//! Logging in at a mail server with what lettre cannot: CRAM-MD5, and PLAIN for somebody else.
//!
//! Source: RFC 4954, RFC 4616, RFC 2195. As in Alertmanager, the first of the server's mechanisms counts for which there is
//! a password or a secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::client::AsyncSmtpConnection;

use super::md5::hmac_md5;
use crate::http::chain;
use crate::receiver::SendError;
use net::digest::hex;

/// Who logs in, and with what.
pub(super) struct Login {
    pub(super) user: String,
    /// As whom, for PLAIN; empty is as the user.
    pub(super) identity: String,
    /// For PLAIN and LOGIN.
    pub(super) password: Option<String>,
    /// For CRAM-MD5.
    pub(super) secret: Option<String>,
}

impl Login {
    /// Logs in.
    ///
    /// * `hello`: what the client calls itself.
    pub(super) async fn run(
        &self,
        connection: &mut AsyncSmtpConnection,
        hello: &str,
    ) -> Result<(), SendError> {
        // What lettre remembers of the answer leaves out the mechanisms that it does not know.
        let offered = self.say(connection, &format!("EHLO {hello}")).await?;
        let mechanisms = offered.iter().find_map(|line| line.strip_prefix("AUTH "));
        let mechanisms = mechanisms.unwrap_or_default();
        for mechanism in mechanisms.split_ascii_whitespace() {
            match (mechanism, &self.password, &self.secret) {
                ("CRAM-MD5", _, Some(secret)) => return self.cram_md5(connection, secret).await,
                ("PLAIN", Some(password), _) => {
                    let text = format!("{}\0{}\0{password}", self.identity, self.user);
                    let command = format!("AUTH PLAIN {}", STANDARD.encode(text));
                    self.say(connection, &command).await?;
                    return Ok(());
                }
                ("LOGIN", Some(password), _) => {
                    self.say(connection, "AUTH LOGIN").await?;
                    self.say(connection, &STANDARD.encode(&self.user)).await?;
                    self.say(connection, &STANDARD.encode(password)).await?;
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(SendError::retryable(
            format!(
                "log in: the server offers {mechanisms:?}; want CRAM-MD5 for auth_secret, or PLAIN or LOGIN for auth_password"
            ),
            "other",
        ))
    }

    async fn cram_md5(
        &self,
        connection: &mut AsyncSmtpConnection,
        secret: &str,
    ) -> Result<(), SendError> {
        let answer = self.say(connection, "AUTH CRAM-MD5").await?;
        let challenge = answer.first().map(String::as_str).unwrap_or_default();
        let challenge = STANDARD.decode(challenge.trim()).map_err(|error| {
            let message = format!("log in by CRAM-MD5: the challenge {challenge:?}: {error}");
            SendError::retryable(message, "other")
        })?;
        let code = hex(&hmac_md5(secret.as_bytes(), &challenge));
        let answer = STANDARD.encode(format!("{} {code}", self.user));
        self.say(connection, &answer).await?;
        Ok(())
    }

    /// Sends one line and returns the lines of the answer; errors do not show what was sent.
    async fn say(
        &self,
        connection: &mut AsyncSmtpConnection,
        line: &str,
    ) -> Result<Vec<String>, SendError> {
        let answer = connection.command(format!("{line}\r\n")).await;
        let answer = answer.map_err(|error| super::failure(&error, &chain(&error)))?;
        Ok(answer.message().map(str::to_owned).collect())
    }
}
