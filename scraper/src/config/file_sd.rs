//! `file_sd_configs`: files that list target groups.

use model::Duration;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// How often files are read again, besides when they change.
pub const FILE_SD_REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Files to read target groups from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSdConfig {
    /// Paths ending in `.json`, `.yml` or `.yaml`; the last segment may have one `*`.
    pub files: Vec<String>,
    /// How often they are read again, besides when they change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<Duration>,
}

impl FileSdConfig {
    /// Fills in defaults and checks the section.
    ///
    /// # Errors
    ///
    /// When a path is not of the form that is allowed.
    pub fn finish(&mut self) -> Result<(), ConfigError> {
        if self.files.is_empty() {
            return Err(ConfigError(
                "file service discovery config must contain at least one path name".to_owned(),
            ));
        }
        for file in &self.files {
            if !is_allowed(file) {
                let message = format!("path name {file:?} is not valid for file discovery");
                return Err(ConfigError(message));
            }
        }
        let interval = super::global::non_zero(self.refresh_interval);
        self.refresh_interval = Some(interval.unwrap_or(FILE_SD_REFRESH_INTERVAL));
        Ok(())
    }

    /// Returns how often the files are read again, besides when they change.
    pub fn refresh_interval(&self) -> Duration {
        self.refresh_interval.unwrap_or(FILE_SD_REFRESH_INTERVAL)
    }
}

/// Source: Prometheus' `patFileSDName`, `^[^*]*(\*[^/]*)?\.(json|yml|yaml|JSON|YML|YAML)$`.
fn is_allowed(path: &str) -> bool {
    let Some((stem, extension)) = path.rsplit_once('.') else {
        return false;
    };
    if !["json", "yml", "yaml", "JSON", "YML", "YAML"].contains(&extension) {
        return false;
    }
    stem.split_once('*')
        .is_none_or(|(_, after)| !after.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_in_the_last_segment() {
        for good in ["a.json", "a/b.yml", "a/*.yaml", "a/b*c.yml"] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in ["a", "a.txt", "*/a.yml", "a.Json"] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
