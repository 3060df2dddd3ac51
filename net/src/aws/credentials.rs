//! Keys of Amazon's cloud.

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::http_config::Secret;
use crate::lease::Lease;

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

impl From<Issued> for Lease<Credentials> {
    fn from(issued: Issued) -> Self {
        let Issued {
            access_key_id,
            secret_access_key,
            token,
            expiration,
        } = issued;
        Lease {
            value: Credentials::of_keys(
                &access_key_id,
                &secret_access_key,
                token.as_deref().filter(|token| !token.is_empty()),
            ),
            ends: expiration,
        }
    }
}
