//! amtool's own configuration: flags that a person gives once for all, in a file of the person or of the machine.
//!
//! Source: amtool, "Configuration".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::read;
use crate::cli::tool::ToolCall;

/// Where it is below `$HOME`, and for everybody.
const OF_PERSON: &str = ".config/amtool/config.yml";
const OF_MACHINE: &str = "/etc/amtool/config.yml";

/// Keys that are called otherwise than their flags.
const OLD_NAMES: &[(&str, &str)] = &[("comment_required", "require-comment")];

/// Returns the call with the settings of the files in place of flags that were not given. A setting that the command has no
/// flag for is for others.
///
/// # Errors
///
/// When a file cannot be read, is no map of texts, or has a value that its flag does not take.
pub(in crate::tool) fn applied(call: &ToolCall) -> anyhow::Result<ToolCall> {
    let of_person = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(OF_PERSON));
    let of_machine = PathBuf::from(OF_MACHINE);
    let paths = of_person.into_iter().chain([of_machine]);
    with_files(call, &paths.collect::<Vec<_>>())
}

/// Returns the call with the settings of `paths`; the first that has a setting counts.
fn with_files(call: &ToolCall, paths: &[PathBuf]) -> anyhow::Result<ToolCall> {
    let mut call = call.clone();
    let mut seen = BTreeMap::new();
    for path in paths.iter().filter(|path| path.exists()) {
        for (name, value) in settings(path)? {
            if seen.insert(name.clone(), ()).is_some() {
                continue;
            }
            call.set_default(&name, value.clone())
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("{}: {name}: {value:?}", path.display()))?;
        }
    }
    Ok(call)
}

/// Returns the settings of a file by the names of their flags.
fn settings(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let shown = path.display();
    let text = read(&shown.to_string())?;
    let values: Option<BTreeMap<String, serde_json::Value>> =
        scraper::config::yaml::parse(&text).with_context(|| shown.to_string())?;
    let mut settings = BTreeMap::new();
    for (name, value) in values.unwrap_or_default() {
        let value = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Bool(value) => value.to_string(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => anyhow::bail!("{shown}: {name}: want a text, such as simple"),
        };
        let old = OLD_NAMES.iter().find(|(old, _)| *old == name);
        let name = old.map_or(name.as_str(), |(_, flag)| flag);
        settings.insert(name.to_owned(), value);
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tool;

    fn call(words: &[&str]) -> ToolCall {
        let words = [&["tool", "am", "silence", "add"], words].concat();
        tool::call(&tool::command("tool").try_get_matches_from(words).unwrap())
    }

    #[test]
    fn the_command_line_comes_first_then_the_person_then_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let (own, all) = (dir.path().join("own.yml"), dir.path().join("all.yml"));
        std::fs::write(&own, "author: me\ncomment_required: false\nunknown: 1\n").unwrap();
        std::fs::write(
            &all,
            "author: all\nalertmanager.url: http://am:1\noutput: json\n",
        )
        .unwrap();
        let paths = [own.clone(), all, dir.path().join("none.yml")];
        let found = with_files(&call(&["-o", "extended"]), &paths).unwrap();
        assert_eq!(found.flags.text("author"), "me");
        assert_eq!(found.flags.text("alertmanager.url"), "http://am:1");
        assert_eq!(found.flags.text("output"), "extended");
        assert!(!found.flags.is_on("require-comment"));
        let error = |text: &str| {
            std::fs::write(&own, text).unwrap();
            let found = with_files(&call(&[]), &paths);
            format!("{:#}", found.err().unwrap())
        };
        assert!(
            error("output: xml").contains("must be one of"),
            "{}",
            error("output: xml")
        );
        assert!(error("comment_required: maybe").contains("true or false"));
        assert!(error("author: [a]").contains("want a text"));
        assert!(error("- a").contains("own.yml"));
    }
}
