//! A child process with its output in a file, ended when its handle goes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::wait::eventually;

/// How much of a log a failure shows, in bytes.
const LOG_SHOWN: usize = 8_000;

/// A running program.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// What a program left that has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it wrote, standard output and standard error together.
    pub(crate) output: String,
}

impl Process {
    /// Starts `program` in `dir`; what it writes is appended to `dir/NAME.log`.
    pub(crate) fn start(name: &str, program: &Path, args: &[String], dir: &Path) -> Self {
        let log = dir.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file in the test's own directory");
        let child = Command::new(program)
            .args(args)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle of the log"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Returns what the program has written so far, over all its lives in the same directory.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Returns the most memory that the program has had so far, in MiB; it must be running.
    #[track_caller]
    pub(crate) fn peak_mib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).expect("the program is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number")
            / 1024
    }

    /// Tells the program something; it must be running.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process ids are small");
        let pid = Pid::from_raw(pid).expect("a child's id is not 0");
        kill_process(pid, signal).expect("the program is running");
    }

    /// Ends the program by SIGKILL: it gets no chance to write anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// The test fails if the program has ended.
    #[track_caller]
    pub(crate) fn assert_running(&mut self) {
        let status = self.child.try_wait().expect("our own child can be asked");
        assert!(status.is_none(), "{} has ended: {status:?}", self.name);
    }

    /// Waits for the program to end by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> Ended {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        let status = eventually(&what, limit, || {
            child
                .try_wait()
                .map_err(|error| error.to_string())?
                .ok_or_else(|| "it is still running".to_owned())
        });
        Ended {
            status,
            output: self.log(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
        if std::thread::panicking() {
            let log = self.log();
            let mut from = log.len().saturating_sub(LOG_SHOWN);
            while !log.is_char_boundary(from) {
                from += 1;
            }
            show(&format!("--- log of {} ---\n{}\n", self.name, &log[from..]));
        }
    }
}

/// Writes beside a test's failure.
#[expect(clippy::print_stderr, reason = "the failure report of a test")]
fn show(text: &str) {
    eprintln!("{text}");
}
