//! `file_sd_configs`: files that list target groups.

use model::Duration;

use super::ensure;
use crate::config::ConfigError;

/// How often files are read again, besides when they change.
pub const FILE_SD_REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

sd_config! {
    /// Files to read target groups from.
    pub struct FileSdConfig: "file_sd_configs", "file.plain";
    defaults {
        /// How often they are read again, besides when they change.
        refresh_interval: Duration = FILE_SD_REFRESH_INTERVAL,
    }
    fields {
        /// Paths ending in `.json`, `.yml` or `.yaml`; the last segment may have one `*`.
        files: Vec<String>,
    }
}

impl FileSdConfig {
    fn check_own(&self) -> Result<(), ConfigError> {
        ensure(
            !self.files.is_empty(),
            "file service discovery config must contain at least one path name",
        )?;
        self.files.iter().try_for_each(|file| {
            let text = format!("path name {file:?} is not valid for file discovery");
            ensure(is_allowed(file), &text)
        })
    }

    /// Returns how often the files are read again, besides when they change.
    pub fn refresh_interval(&self) -> Duration {
        if self.refresh_interval.is_zero() {
            FILE_SD_REFRESH_INTERVAL
        } else {
            self.refresh_interval
        }
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
