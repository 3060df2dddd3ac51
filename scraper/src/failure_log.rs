//! `scrape_failure_log_file`: a line of JSON for each scrape that failed, in the files that jobs name.
//!
//! The files are opened anew at each reload: that is how they are rotated.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::{Path, PathBuf};

use metrics::Counter;
use parking_lot::Mutex;
use serde::Serialize;

use crate::line_file::LineFile;

/// One scrape that failed. The names are Prometheus'.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    level: &'static str,
    source: &'static str,
    msg: &'a str,
    job_name: &'a str,
    target: &'a str,
}

/// A scrape that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure<'a> {
    /// When, milliseconds since the epoch.
    pub(crate) at_ms: i64,
    pub(crate) job: &'a str,
    /// The target's URL.
    pub(crate) target: &'a str,
    pub(crate) error: &'a str,
}

/// The open files, by their paths.
pub(crate) struct FailureLogs {
    files: Mutex<OpenFiles>,
    dropped: Counter,
}

/// Files that were opened together.
#[derive(Default)]
pub(crate) struct OpenFiles(BTreeMap<PathBuf, LineFile>);

impl FailureLogs {
    /// Returns a log without files. `dropped` counts lines that could not be written.
    pub(crate) fn new(dropped: Counter) -> Self {
        let files = Mutex::default();
        FailureLogs { files, dropped }
    }

    /// Opens files, made where they are not there yet; lines are added at their ends.
    ///
    /// # Errors
    ///
    /// The first that cannot be opened, and why.
    pub(crate) fn open(
        &self,
        paths: impl Iterator<Item = PathBuf>,
    ) -> Result<OpenFiles, (PathBuf, io::Error)> {
        let mut files = BTreeMap::new();
        for path in paths {
            if let Entry::Vacant(entry) = files.entry(path) {
                let writer = LineFile::open(entry.key(), self.dropped.clone());
                let writer = writer.map_err(|error| (entry.key().clone(), error))?;
                entry.insert(writer);
            }
        }
        Ok(OpenFiles(files))
    }

    /// Writes to `files` from now on; what waits for the ones before is written.
    pub(crate) fn replace(&self, files: OpenFiles) {
        let before = std::mem::replace(&mut *self.files.lock(), files);
        drop(before);
    }

    /// Adds a line to the file at `path`.
    pub(crate) fn write(&self, path: &Path, failure: Failure<'_>) {
        let time = jiff::Timestamp::from_millisecond(failure.at_ms);
        let line = Line {
            time: time.unwrap_or_default().to_string(),
            level: "ERROR",
            source: "scrape",
            msg: failure.error,
            job_name: failure.job,
            target: failure.target,
        };
        let files = self.files.lock();
        match files.0.get(path) {
            Some(file) => file.write(&line),
            // A job that is on its way out may still fail; its file is closed then.
            None => self.dropped.inc(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(error: &str) -> Failure<'_> {
        Failure {
            at_ms: 1_764_127_805_045,
            job: "a \"job\"",
            target: "http://host:1/metrics",
            error,
        }
    }

    fn logs() -> (FailureLogs, Counter) {
        let registry = metrics::Registry::new();
        let dropped = registry.counter("dropped_total", "Lines.");
        (FailureLogs::new(dropped.clone()), dropped)
    }

    #[test]
    fn lines_are_those_of_prometheus() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fail.log");
        let (logs, dropped) = logs();
        // A path that two jobs name is one file.
        let files = logs.open([path.clone(), path.clone()].into_iter()).unwrap();
        logs.replace(files);
        logs.write(&path, failure("no\nway"));
        logs.write(&path, failure("again"));
        logs.replace(OpenFiles::default());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(
            lines[0],
            r#"{"time":"2025-11-26T03:30:05.045Z","level":"ERROR","source":"scrape","msg":"no\nway","job_name":"a \"job\"","target":"http://host:1/metrics"}"#
        );
        assert!(dropped.value() < 1.0);
    }

    #[test]
    fn a_file_that_was_moved_away_comes_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("fail.log"), dir.path().join("old.log"));
        let (logs, _) = logs();
        let reopen = || logs.replace(logs.open([path.clone()].into_iter()).unwrap());
        reopen();
        logs.write(&path, failure("first"));
        std::fs::rename(&path, &moved).unwrap();
        reopen();
        logs.write(&path, failure("second"));
        logs.replace(OpenFiles::default());
        assert!(std::fs::read_to_string(&moved).unwrap().contains("first"));
        assert!(std::fs::read_to_string(&path).unwrap().contains("second"));
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let (logs, dropped) = logs();
        logs.write(Path::new("closed"), failure("lost"));
        assert!((dropped.value() - 1.0).abs() < f64::EPSILON);
        let nowhere = PathBuf::from("/nowhere/at/all");
        let (path, _) = logs.open([nowhere.clone()].into_iter()).err().unwrap();
        assert_eq!(path, nowhere);
    }
}
