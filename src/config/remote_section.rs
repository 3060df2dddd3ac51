//! What `remote_write` and `remote_read` have in common.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

/// An item of one of the sections.
pub(super) trait Remote: DeserializeOwned {
    /// What it is, for errors.
    const WHAT: &'static str;

    /// Returns what it is called; an empty name is none.
    fn name(&self) -> &str;

    /// Checks that the fields go together.
    fn check(&self) -> Result<(), String>;
}

/// One item, checked as soon as it is read.
struct Checked<T>(T);

impl<'de, T: Remote> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = T::deserialize(deserializer)?;
        config.check().map_err(D::Error::custom)?;
        Ok(Checked(config))
    }
}

/// Reads a section, whose names are unique.
pub(super) fn list<'de, D: Deserializer<'de>, T: Remote>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let message = format!("empty or null {} config section", T::WHAT);
    let items: Vec<Checked<T>> = model::de::non_null_list(deserializer, &message)?;
    let mut names = Unique::new(T::WHAT);
    for item in &items {
        names.take(item.0.name()).map_err(D::Error::custom)?;
    }
    Ok(items.into_iter().map(|item| item.0).collect())
}

/// Headers that requests set themselves.
const RESERVED_HEADERS: [&str; 18] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// Returns whether requests set the header themselves.
pub(super) fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RESERVED_HEADERS.contains(&name.as_str())
}

/// Checks the names of configured headers.
pub(super) fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), String> {
    for name in headers.keys() {
        if name.eq_ignore_ascii_case("authorization") {
            return Err("authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter".to_owned());
        }
        if is_reserved(name) {
            return Err(format!(
                "{name} is a reserved header. It must not be changed"
            ));
        }
    }
    Ok(())
}

/// Names of which none may be there twice; an empty one is none.
pub(super) struct Unique {
    what: &'static str,
    seen: BTreeSet<String>,
}

impl Unique {
    /// Returns an empty set of names of `what`.
    pub(super) fn new(what: &'static str) -> Self {
        let seen = BTreeSet::new();
        Unique { what, seen }
    }

    /// Takes a name.
    pub(super) fn take(&mut self, name: &str) -> Result<(), String> {
        if name.is_empty() || self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        Err(format!(
            "found multiple {} configs with job name {name:?}",
            self.what
        ))
    }
}
