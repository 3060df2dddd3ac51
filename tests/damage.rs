//! A disk that is full, and one that cannot be written to: what an operator sees of it.
//!
//! Needs the right to mount a file system of its own, as root has it; otherwise it says so and passes.

mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::http::{Response, Server};
use support::monitor::{Monitor, free_address, hearth_binary};
use support::process::Process;
use support::wait::{PATIENCE, eventually, now_ms};

/// A small file system in memory, unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    const BYTES: usize = 2 << 20;

    /// Mounts it at `path`; `None`, after a word about it, when that is not allowed.
    fn mount(test: &str, path: &Path) -> Option<Self> {
        fs::create_dir_all(path).expect("a directory of the test's own");
        let size = format!("size={}", Self::BYTES);
        let args = ["-t", "tmpfs", "-o", &size, "tmpfs"];
        let mounted = Command::new("mount").args(args).arg(path).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(SmallDisk(path.to_owned()));
        }
        // Past the test runner's capture, which would show it to nobody as the test passes.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {test}: mounting a tmpfs needs root"
        );
        None
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut ballast = fs::File::create(self.0.join("ballast")).expect("a file on it");
        while ballast.write_all(&[7; 512]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).expect("the ballast is there");
    }

    fn make_read_only(&self) {
        let args = ["-o", "remount,ro"];
        let done = Command::new("mount").args(args).arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // At once for those to come, even if somebody still has a file open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Returns the newest value of `answer`, which counts the scrapes.
fn newest(hearth: &Monitor) -> Result<f64, String> {
    hearth.query("answer", now_ms())?.only_value()
}

/// Returns how many batches could not be logged.
fn failed_writes(hearth: &Monitor) -> usize {
    let page = hearth.page("/metrics").expect("the page answers");
    let count = page
        .lines()
        .find_map(|line| line.strip_prefix("prometheus_tsdb_wal_writes_failed_total "));
    count
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("no count in {page}"))
}

#[test]
fn a_full_disk_costs_the_scrapes_that_find_it_full() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let Some(disk) = SmallDisk::mount("a full disk", &data) else {
        return;
    };
    let scrapes = std::sync::atomic::AtomicUsize::new(0);
    let target = Server::start(move |_| {
        let number = scrapes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // More than the page of the file system that the log has begun has room for.
        let filler =
            (0..1_000).map(|i| format!("filler{{i=\"{i}\"}} {}\n", (number * i) as f64 / 7.0));
        Response::text(format!("answer {number}\n{}", filler.collect::<String>()))
    });
    let address = target.address();
    let config = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n- job_name: one\n  static_configs:\n  - targets: ['{address}']\n"
    );
    fs::write(dir.path().join("hearth.yml"), config).unwrap();
    let hearth = Monitor::hearth(dir.path(), &["--config.file=hearth.yml"]);
    eventually("samples are stored", PATIENCE, || newest(&hearth));

    disk.fill();
    let lines = || {
        let log = hearth.process.log();
        let lines = log.lines().filter(|line| line.contains("No space left"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    eventually("the log says so of three scrapes", PATIENCE, || {
        let count = lines().len();
        (3 <= count)
            .then_some(())
            .ok_or_else(|| format!("{count} lines"))
    });
    for line in lines() {
        for part in ["level=ERROR", "a scrape could not be stored", "data/wal"] {
            assert!(line.contains(part), "`{part}` is not in {line}");
        }
    }
    // One line for each scrape, and one count.
    let (told, counted, told_then) = (lines().len(), failed_writes(&hearth), lines().len());
    assert!(
        told <= counted && counted <= told_then + 1,
        "{counted} for {told} to {told_then}"
    );
    let before = newest(&hearth).expect("queries go on");

    disk.free();
    eventually("new samples are stored", PATIENCE, || {
        let newest = newest(&hearth)?;
        (before + 2.0 < newest)
            .then_some(())
            .ok_or_else(|| format!("{newest} after {before}"))
    });
}

#[test]
fn a_read_only_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let Some(disk) = SmallDisk::mount("a read-only directory", &data) else {
        return;
    };
    disk.make_read_only();
    let args = [
        "server".to_owned(),
        format!("--web.listen-address={}", free_address()),
    ];
    let ended = Process::start("refused", &hearth_binary(), &args, dir.path()).wait(PATIENCE);
    let last = ended.output.lines().last().unwrap_or_default();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(last.contains("data directory data"), "{last}");
    assert_eq!(last.matches("Read-only file system").count(), 1, "{last}");
}
