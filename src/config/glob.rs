//! Globs in configuration files: `*`, `?` and `[…]` in the last segment of a path.

use std::path::{Path, PathBuf};

/// Returns the files that `pattern` names, sorted; a file that is not there is not named, as with Go's `filepath.Glob`.
///
/// # Errors
///
/// When a wildcard is not in the last segment of the pattern.
pub(crate) fn expand(dir: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = dir.join(pattern);
    let is_wild = |text: &str| text.contains(['*', '?', '[']);
    if !is_wild(pattern) {
        return Ok(if path.exists() {
            vec![path]
        } else {
            Vec::new()
        });
    }
    let (before, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    if is_wild(before) {
        return Err("wildcards are allowed in the last segment only".to_owned());
    }
    let regex = translate(last)?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let listed = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    // A directory that is not there has no files in it.
    let entries = std::fs::read_dir(listed).into_iter().flatten().flatten();
    let names = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| regex.is_match(name));
    let mut paths: Vec<PathBuf> = names.map(|name| parent.join(name)).collect();
    paths.sort();
    Ok(paths)
}

/// Checks that [`expand`] understands `pattern`, without looking at any file.
///
/// # Errors
///
/// As [`expand`].
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    let (before, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    if before.contains(['*', '?', '[']) {
        return Err("wildcards are allowed in the last segment only".to_owned());
    }
    translate(last).map(|_| ())
}

fn translate(glob: &str) -> Result<regex::Regex, String> {
    let mut pattern = String::new();
    let mut in_class = false;
    for c in glob.chars() {
        match c {
            '*' if !in_class => pattern.push_str(".*"),
            '?' if !in_class => pattern.push('.'),
            '[' | ']' | '^' | '-' => {
                in_class = (in_class || c == '[') && c != ']';
                pattern.push(c);
            }
            c => pattern.push_str(&regex::escape(&c.to_string())),
        }
    }
    regex::Regex::new(&format!("^(?s:{pattern})$")).map_err(|_| "not a valid pattern".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.yml", "b.yml", "b.json", "c1.rules"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let paths = expand(dir.path(), pattern).unwrap();
            paths
                .iter()
                .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(names("*.yml"), ["a.yml", "b.yml"]);
        assert_eq!(names("b.*"), ["b.json", "b.yml"]);
        assert_eq!(names("c[0-9].rules"), ["c1.rules"]);
        assert_eq!(names("?.yml"), ["a.yml", "b.yml"]);
        assert_eq!(names("missing.yml"), [""; 0]);
        assert_eq!(names("a.yml"), ["a.yml"]);
        assert_eq!(names("nowhere/*.yml"), [""; 0]);
        assert!(expand(dir.path(), "*/x.yml").is_err());
        assert!(expand(dir.path(), "[.yml").is_err());
    }
}
