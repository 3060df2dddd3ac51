//! Keys of Amazon's cloud.

use jiff::{SignedDuration, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::http_config::Secret;

/// How long before their end credentials are asked for anew.
const MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The id of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: Secret,
    /// What goes with keys that end.
    pub token: Option<Secret>,
}

impl Credentials {
    /// Returns credentials of these keys.
    pub fn of_keys(access_key: &str, secret_key: &str, token: Option<&str>) -> Self {
        Credentials {
            access_key: access_key.to_owned(),
            secret_key: Secret::new(secret_key),
            token: token.map(Secret::new),
        }
    }
}

/// Credentials that end, or not.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) credentials: Credentials,
    /// `None`: they do not end.
    pub(super) ends: Option<Timestamp>,
}

impl Lease {
    pub(super) fn endless(credentials: Credentials) -> Self {
        Lease {
            credentials,
            ends: None,
        }
    }

    /// Whether they end soon, or have ended.
    pub(super) fn is_short(&self, now: Timestamp) -> bool {
        self.ends
            .is_some_and(|ends| ends.duration_since(now) <= MARGIN)
    }

    /// Whether they have ended.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

/// Credentials as the metadata services, and as STS writes them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Issued {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken", default)]
    token: Option<String>,
    #[serde(default, deserialize_with = "timestamp")]
    expiration: Option<Timestamp>,
}

/// Reads a time of RFC 3339, if there is one.
fn timestamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let text = text.filter(|text| !text.is_empty());
    let time = text.map(|text| text.parse().map_err(D::Error::custom));
    time.transpose()
}

impl From<Issued> for Lease {
    fn from(issued: Issued) -> Self {
        let Issued {
            access_key_id,
            secret_access_key,
            token,
            expiration,
        } = issued;
        Lease {
            credentials: Credentials::of_keys(
                &access_key_id,
                &secret_access_key,
                token.as_deref().filter(|token| !token.is_empty()),
            ),
            ends: expiration,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_short_before_they_are_over() {
        let lease = Lease {
            ends: Some("2025-01-01T01:00:00Z".parse().unwrap()),
            ..Lease::endless(Credentials::of_keys("a", "b", None))
        };
        let at = |time: &str| {
            let now = time.parse().unwrap();
            (lease.is_short(now), lease.is_over(now))
        };
        assert_eq!(at("2025-01-01T00:54:59Z"), (false, false));
        assert_eq!(at("2025-01-01T00:55:00Z"), (true, false));
        assert_eq!(at("2025-01-01T01:00:00Z"), (true, true));
    }
}
