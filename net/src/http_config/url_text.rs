//! URLs as they are written in configurations, printed without their passwords.

use http::Uri;
use serde::{Deserialize, Serialize, Serializer};

/// What is printed in place of a password, as Go does it: a URL with it is still a URL.
const PASSWORD: &str = "xxxxx";

/// A URL as it was written. Its password, if it has one, is neither printed nor shown.
#[derive(Clone, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct UrlText(String);

impl UrlText {
    /// Returns `text` as it is; nothing is checked.
    pub fn new(text: impl Into<String>) -> Self {
        UrlText(text.into())
    }

    /// Returns the text, password included: to be used and not to be shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the scheme, if there is one.
    pub fn scheme(&self) -> Option<&str> {
        let (scheme, _) = self.0.split_once("://")?;
        Some(scheme)
    }

    /// Returns the URL in parts, if it is absolute and has a host.
    pub fn absolute(&self) -> Option<Uri> {
        let uri: Uri = self.0.parse().ok()?;
        let has_host = uri.scheme().is_some() && uri.host().is_some_and(|host| !host.is_empty());
        has_host.then_some(uri)
    }
}

impl Serialize for UrlText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&without_password(&self.0))
    }
}

impl std::fmt::Display for UrlText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

impl std::fmt::Debug for UrlText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", without_password(&self.0))
    }
}

/// Returns `text` with the password of `scheme://user:password@host` replaced.
pub(super) fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    let Some((user_info, _)) = authority.rsplit_once('@') else {
        return text.to_owned();
    };
    let Some((user, _)) = user_info.split_once(':') else {
        return text.to_owned();
    };
    format!("{scheme}://{user}:{PASSWORD}{}", &rest[user_info.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_stay_inside() {
        let url = UrlText::new("http://user:pass@host:80/path");
        assert_eq!(url.to_string(), "http://user:xxxxx@host:80/path");
        assert_eq!(format!("{url:?}"), "\"http://user:xxxxx@host:80/path\"");
        assert_eq!(url.as_str(), "http://user:pass@host:80/path");
        assert_eq!(url.absolute().unwrap().host(), Some("host"));
        for relative in ["host", "host:80", "/path", ""] {
            assert_eq!(UrlText::new(relative).absolute(), None, "{relative:?}");
        }
    }
}
