//! Keys of Amazon's cloud.

use crate::http_config::Secret;

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

    /// Reads a profile of a file with profiles; `None` if it has no keys.
    pub fn of_profile(text: &str, profile: &str) -> Option<Self> {
        let heading = format!("[{profile}]");
        let lines = text
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != heading);
        let lines: Vec<_> = lines
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .collect();
        let value = |key: &str| {
            let pairs = lines.iter().filter_map(|line| line.split_once('='));
            let mut values = pairs.filter(|(name, _)| name.trim() == key);
            values.next().map(|(_, value)| value.trim())
        };
        Some(Credentials::of_keys(
            value("aws_access_key_id")?,
            value("aws_secret_access_key")?,
            value("aws_session_token"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles() {
        let text = "[default]\naws_access_key_id = a\naws_secret_access_key=b\n[x]\naws_access_key_id=c\n\
            aws_secret_access_key = d\naws_session_token = e\n";
        let read = |profile| Credentials::of_profile(text, profile);
        let keys = Credentials::of_keys;
        assert_eq!(read("default"), Some(keys("a", "b", None)));
        assert_eq!(read("x"), Some(keys("c", "d", Some("e"))));
        assert_eq!(read("y"), None);
    }
}
