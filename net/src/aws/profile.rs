//! Profiles in the files that AWS' libraries share.
//!
//! Source: AWS, "Configuration and credential file settings".

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::{AwsError, Credentials};
use crate::environment::Environment;

/// How long such a file may be, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the files say about one profile, by key.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) name: String,
    values: BTreeMap<String, String>,
}

impl Profile {
    /// Reads the profile `name` of both files, the credentials' file wins; with an empty name the one that the environment
    /// names. Files that are not there say nothing.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or is too long.
    pub(super) fn read(environment: &Environment, name: &str) -> Result<Self, AwsError> {
        let name = Some(name.to_owned())
            .filter(|name| !name.is_empty())
            .or_else(|| environment.get("AWS_PROFILE"))
            .unwrap_or_else(|| "default".to_owned());
        let mut values = BTreeMap::new();
        let config = environment.file("AWS_CONFIG_FILE", ".aws/config");
        let credentials = environment.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
        for path in [config, credentials].iter().flatten() {
            section(&read(path)?, &name, &mut values);
        }
        Ok(Profile { name, values })
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let value = self.values.get(key)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns the keys, if there are both.
    pub(super) fn keys(&self) -> Option<Credentials> {
        Some(Credentials::of_keys(
            self.get("aws_access_key_id")?,
            self.get("aws_secret_access_key")?,
            self.get("aws_session_token"),
        ))
    }
}

fn read(path: &Path) -> Result<String, AwsError> {
    let wrong = |reason: String| AwsError::File {
        path: path.to_owned(),
        reason,
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    match read {
        Ok(count) if FILE_BYTES_MAX < count as u64 => Err(wrong(format!(
            "it is longer than {} MiB",
            FILE_BYTES_MAX >> 20
        ))),
        Ok(_) => Ok(text),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Adds the pairs of the sections `[name]` and `[profile name]`.
fn section(text: &str, name: &str, values: &mut BTreeMap<String, String>) {
    let mut is_inside = false;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('[') {
            let heading = heading.split(']').next().unwrap_or_default().trim();
            let heading = heading.strip_prefix("profile ").unwrap_or(heading).trim();
            is_inside = heading == name;
        } else if is_inside
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            let comment = [" #", " ;", "\t#", "\t;"].iter();
            let end = comment.filter_map(|mark| value.find(mark)).min();
            let value = value[..end.unwrap_or(value.len())].trim();
            values.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "[default]\naws_access_key_id = a\naws_secret_access_key=b\n# [x]\n[x] ; those of x\n\
        AWS_Access_Key_Id=c #comment\naws_secret_access_key = d#=\naws_session_token = e\n[y]\naws_access_key_id = f\n";
    const CONFIG: &str = "[default]\nregion = r1\ns3 =\n  region = nested\n[profile x]\nregion = r2\naws_session_token = old\n";

    #[test]
    fn profiles_of_both_files() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(".aws")).unwrap();
        std::fs::write(directory.path().join(".aws/credentials"), CREDENTIALS).unwrap();
        std::fs::write(directory.path().join("config"), CONFIG).unwrap();
        let home = directory.path().to_str().unwrap();
        let config = format!("{home}/config");
        let with = |profile: &str| {
            let variables = [
                ("HOME", home),
                ("AWS_CONFIG_FILE", &config),
                ("AWS_PROFILE", profile),
            ];
            Environment::of(&variables)
        };
        let keys = Credentials::of_keys;
        let read = Profile::read(&with(""), "").unwrap();
        assert_eq!(read.keys(), Some(keys("a", "b", None)));
        assert_eq!(read.get("region"), Some("r1"));
        let named = Profile::read(&with("x"), "").unwrap();
        assert_eq!(named.keys(), Some(keys("c", "d#=", Some("e"))));
        assert_eq!(named.get("region"), Some("r2"));
        assert_eq!(Profile::read(&with("x"), "y").unwrap().keys(), None);
        let nowhere = Environment::of(&[("HOME", "/nonexistent")]);
        assert_eq!(Profile::read(&nowhere, "x").unwrap().keys(), None);
    }

    #[test]
    fn long_files_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let length = usize::try_from(FILE_BYTES_MAX).unwrap() + 1;
        std::fs::write(file.path(), "#".repeat(length)).unwrap();
        let path = file.path().to_str().unwrap();
        let environment = Environment::of(&[("AWS_CONFIG_FILE", path)]);
        let error = Profile::read(&environment, "").unwrap_err().to_string();
        assert_eq!(error, format!("read {path}: it is longer than 1 MiB"));
    }
}
