//! URLs of the file, checked when they are read.

use net::http_config::{Secret, UrlText};
use serde::{Deserialize, Deserializer, Serialize};

/// The URL of an API.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct ApiUrl(UrlText);

impl ApiUrl {
    /// Returns a URL that is known to be right.
    pub(super) fn known(text: &str) -> Self {
        ApiUrl(UrlText::new(text))
    }

    /// Returns the URL, a password in it included.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns whether none is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a slash to the end of the path, where paths of the API are put to.
    pub(super) fn end_with_slash(&mut self) {
        let text = self.as_str();
        let path_end = text.find(['?', '#']).unwrap_or(text.len());
        if !text[..path_end].ends_with('/') {
            self.0 = UrlText::new(format!("{}/{}", &text[..path_end], &text[path_end..]));
        }
    }
}

impl<'de> Deserialize<'de> for ApiUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        check(&text).map_err(serde::de::Error::custom)?;
        Ok(ApiUrl(UrlText::new(text)))
    }
}

/// A URL that is a credential, and so is not shown; it may be a template, which is not checked.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct SecretUrl(Secret);

impl SecretUrl {
    /// Returns a URL that is known to be right.
    pub(super) fn known(text: &str) -> Self {
        SecretUrl(Secret::new(text))
    }

    /// Returns whether none is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the secret.
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // A file that was printed back loads again.
        if !text.is_empty() && !text.contains("{{") && text != "<secret>" {
            check(&text).map_err(serde::de::Error::custom)?;
        }
        Ok(SecretUrl(Secret::new(text)))
    }
}

fn check(text: &str) -> Result<(), String> {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(format!(
            "unsupported scheme {scheme:?} for URL (write it like http://host/path)"
        ));
    }
    match reqwest::Url::parse(text) {
        Ok(_) => Ok(()),
        Err(error) if error.to_string().contains("empty host") => {
            Err("missing host for URL".to_owned())
        }
        // The text may be a secret: only what is wrong with it is said.
        Err(error) => Err(format!("bad URL: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_hidden() {
        let secret: SecretUrl = serde_json::from_str("\"http://x/token\"").unwrap();
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"<secret>\"");
        assert!(serde_json::from_str::<SecretUrl>("\"{{ .X }}\"").is_ok());
        for bad in ["\"x\"", "\"ftp://x\"", "\"http://\""] {
            assert!(serde_json::from_str::<ApiUrl>(bad).is_err(), "{bad}");
        }
        let mut url = ApiUrl::known("http://x/a?b=c");
        url.end_with_slash();
        assert_eq!(url.as_str(), "http://x/a/?b=c");
    }
}
