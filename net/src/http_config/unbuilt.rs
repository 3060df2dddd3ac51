//! Sections that are known but not built yet: kept as they are, printed without their secrets.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::secret::REDACTED;
use super::url_text::without_password;

/// The value of a field that is known and not acted on yet. Any YAML value is taken.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Unbuilt(pub Value);

/// Parts of key names whose values are not shown.
const SECRET_WORDS: [&str; 5] = ["secret", "password", "token", "credentials", "private_key"];

impl Serialize for Unbuilt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        redacted(&self.0).serialize(serializer)
    }
}

/// Returns `value` with every string under a key that sounds secret replaced, and passwords taken out of URLs.
fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                let shown = if is_secret(key) && value.is_string() {
                    Value::from(REDACTED)
                } else {
                    redacted(value)
                };
                (key.clone(), shown)
            })
            .collect(),
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::String(text) => Value::from(without_password(text)),
        plain => plain.clone(),
    }
}

fn is_secret(key: &str) -> bool {
    // File names and endpoints are not secrets, whatever they lead to.
    let shown = key.ends_with("_file") || key.ends_with("_url");
    !shown && (SECRET_WORDS.iter().any(|word| key.contains(word)) || key == "key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let value = serde_json::json!({
            "client_id": "me", "client_secret": "s", "token_url": "http://x", "password_file": "f",
            "nested": [{"api_token": "t"}], "proxy": "http://u:p@h/x",
        });
        let printed = serde_json::to_value(Unbuilt(value)).unwrap();
        assert_eq!(
            printed,
            serde_json::json!({
                "client_id": "me", "client_secret": "<secret>", "token_url": "http://x", "password_file": "f",
                "nested": [{"api_token": "<secret>"}], "proxy": "http://u:xxxxx@h/x",
            })
        );
    }
}
