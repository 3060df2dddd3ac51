//! Files of templates, named by globs.

use std::path::{Path, PathBuf};

use super::alertmanager::default_templates;
use super::{ParseError, Template};

/// How many files all globs together may name.
const FILES_MAX: usize = 1_000;
/// How large one file may be.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why files of templates are not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadTemplatesError {
    /// The glob is none, or names too much.
    #[error("templates: {glob:?}: {reason}")]
    Glob {
        /// The glob as it is written.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be read, or is too large.
    #[error("read templates of {}: {reason}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A file is no template.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// Returns the shipped templates with those of the files that `globs` name, later ones in place of earlier ones of the same
/// name. Relative globs start from `base_dir`; a glob that names no file is fine. Reads files.
///
/// # Errors
///
/// The first glob or file that is wrong; more than 1,000 files, or one of more than 1 MiB.
pub fn load(base_dir: &Path, globs: &[String]) -> Result<Template, LoadTemplatesError> {
    let mut templates = Template::clone(&default_templates());
    let mut files = 0;
    for glob in globs {
        let wrong = |reason: String| LoadTemplatesError::Glob {
            glob: glob.clone(),
            reason,
        };
        for path in expand(base_dir, glob).map_err(wrong)? {
            files += 1;
            if FILES_MAX < files {
                return Err(wrong(format!("names more than {FILES_MAX} files")));
            }
            let text = read(&path).map_err(|reason| LoadTemplatesError::Read {
                path: path.clone(),
                reason,
            })?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            templates = templates.with(&name, &text)?;
        }
    }
    Ok(templates)
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if FILE_BYTES_MAX < size {
        return Err(format!("{size} bytes, more than {FILE_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Returns what a glob names, in order: `*`, `?` and `[…]` stand for characters within one part of the path.
fn expand(base_dir: &Path, glob: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![if glob.starts_with('/') {
        PathBuf::from("/")
    } else {
        base_dir.to_owned()
    }];
    for part in glob.split('/').filter(|part| !part.is_empty()) {
        if !part.contains(['*', '?', '[', '\\']) {
            found.iter_mut().for_each(|path| path.push(part));
            found.retain(|path| path.exists());
            continue;
        }
        let pattern = pattern(part)?;
        let mut next = Vec::new();
        for directory in &found {
            let shown = if directory.as_os_str().is_empty() {
                Path::new(".")
            } else {
                directory
            };
            // What cannot be listed names nothing, as in Go.
            for entry in std::fs::read_dir(shown).into_iter().flatten().flatten() {
                if entry
                    .file_name()
                    .to_str()
                    .is_some_and(|name| pattern.is_match(name))
                {
                    next.push(directory.join(entry.file_name()));
                }
                if FILES_MAX < next.len() {
                    return Err(format!("names more than {FILES_MAX} files"));
                }
            }
        }
        next.sort();
        found = next;
    }
    Ok(found)
}

/// Returns the regular expression of one part of a glob.
fn pattern(part: &str) -> Result<regex::Regex, String> {
    let mut out = String::from("^(?s:");
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                out.push('[');
                loop {
                    match chars.next() {
                        Some(']') => break,
                        Some('[' | '&' | '~') => return Err("syntax error in pattern".to_owned()),
                        Some(c) => out.push(c),
                        None => return Err("syntax error in pattern".to_owned()),
                    }
                }
                out.push(']');
            }
            '\\' => match chars.next() {
                Some(c) => out.push_str(&regex::escape(&c.to_string())),
                None => return Err("syntax error in pattern".to_owned()),
            },
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex::Regex::new(&(out + ")$")).map_err(|_| "syntax error in pattern".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::testing::message;
    use crate::template::{Mode, Value};

    fn expanded(base: &Path, globs: &[&str], text: &str) -> Result<String, String> {
        let globs: Vec<_> = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let templates = load(base, &globs).map_err(|error| error.to_string())?;
        let template = templates.with("", text).unwrap();
        let message = message();
        let data = Value::object(message.data.clone());
        let result = template.execute(&data, &message, Mode::Text);
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn globs_name_files_and_later_ones_win() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("t")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "t/a.tmpl",
            "{{ define \"x\" }}first{{ end }}{{ define \"y\" }}y{{ end }}",
        );
        write("t/b.tmpl", "{{ define \"x\" }}second{{ end }}");
        write("t/c.txt", "{{ nonsense");
        write(
            "t/d.tmpl",
            "{{ define \"discord.default.title\" }}own{{ end }}",
        );
        let text =
            "{{ template \"x\" }} {{ template \"y\" }} {{ template \"discord.default.title\" . }}";
        let globs = ["t/[a-d].tmp?", "nowhere/*"];
        assert_eq!(expanded(dir.path(), &globs, text).unwrap(), "second y own");
        let absolute = format!("{}/*/a.tmpl", dir.path().display());
        let shown = expanded(Path::new(""), &[&absolute], "{{ template \"x\" }}");
        assert_eq!(shown.unwrap(), "first");
        assert_eq!(
            expanded(dir.path(), &["t/*"], "").unwrap_err(),
            "template: c.txt:1: function \"nonsense\" not defined"
        );
        let error = expanded(dir.path(), &["t/[a"], "").unwrap_err();
        assert!(error.contains("syntax error in pattern"), "{error}");
    }
}
