//! Programs that are run for what they print: credentials.
//!
//! A program has so much time and may print so much. When it is over that, or nobody waits for it any more, it is ended, and
//! with it whatever it started and did not put into another process group.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

/// How much of its complaints is kept, in bytes.
const SAID_BYTES_MAX: u64 = 1024;
/// How much of them is shown, in characters.
const SHOWN_CHARS_MAX: usize = 256;

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub struct ProgramLimits {
    /// How long it may run.
    pub time: Duration,
    /// How much it may print, in bytes.
    pub output_bytes: usize,
}

/// Why a program printed nothing that can be used; continues "the program …".
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there, or may not be run.
    #[error("cannot be started: {0}")]
    Start(io::Error),
    /// It did not end.
    #[error("was not done within {0:?}")]
    Slow(Duration),
    /// It printed more than so many bytes.
    #[error("printed more than {0} bytes")]
    Long(usize),
    /// What it printed did not come, or its end.
    #[error("cannot be listened to: {0}")]
    Io(#[from] io::Error),
    /// It says that it failed.
    #[error("failed ({status}){}{said}", if .said.is_empty() { "" } else { ": " })]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The first line of its complaints, cut.
        said: String,
    },
}

/// Runs a program, which has nothing to read, and returns what it printed.
///
/// Cancelling the future ends the program.
///
/// # Errors
///
/// When it cannot be started, fails, or is over one of the limits. What it printed is in no error, but the first line of its
/// complaints is.
pub async fn output(mut command: Command, limits: ProgramLimits) -> Result<Vec<u8>, ProgramError> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(ProgramError::Start)?;
    // Dropped before the child is, so that nobody else can have its id.
    let mut group = Group::of(&child);
    let ended = tokio::time::timeout(limits.time, wait(&mut child, limits.output_bytes));
    let (printed, said, status) = ended.await.map_err(|_| ProgramError::Slow(limits.time))??;
    group.forget();
    if status.success() {
        return Ok(printed);
    }
    Err(ProgramError::Failed {
        status,
        said: beginning(&said),
    })
}

/// Returns what a program printed, what it complained of, and how it ended.
async fn wait(
    child: &mut Child,
    bytes_max: usize,
) -> Result<(Vec<u8>, Vec<u8>, ExitStatus), ProgramError> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (printed, said) = tokio::try_join!(whole(stdout, bytes_max), start(stderr))?;
    Ok((printed, said, child.wait().await?))
}

/// Reads everything.
async fn whole(
    stream: Option<impl AsyncRead + Unpin>,
    bytes_max: usize,
) -> Result<Vec<u8>, ProgramError> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let mut stream = stream.take(bytes_max as u64 + 1);
        stream.read_to_end(&mut bytes).await?;
    }
    match bytes_max < bytes.len() {
        true => Err(ProgramError::Long(bytes_max)),
        false => Ok(bytes),
    }
}

/// Reads everything and keeps the beginning.
async fn start(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, ProgramError> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        (&mut stream)
            .take(SAID_BYTES_MAX)
            .read_to_end(&mut bytes)
            .await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

/// Returns the first line of a text, cut.
fn beginning(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.trim().lines().next().unwrap_or_default();
    line.chars().take(SHOWN_CHARS_MAX).collect()
}

/// The processes of a program, which are ended with this.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Group(id.and_then(Pid::from_raw))
    }

    /// Lets them be: the program has ended, what it left running was meant to go on.
    fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It fails if none is left, which is as well.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ProgramLimits = ProgramLimits {
        time: Duration::from_secs(60),
        output_bytes: 100,
    };

    async fn run(script: &str, limits: ProgramLimits) -> Result<Vec<u8>, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let output = output(command, limits).await;
        output.map_err(|error| error.to_string())
    }

    async fn check(script: &str, limits: ProgramLimits, expected: &str) {
        assert_eq!(run(script, limits).await.unwrap_err(), expected);
    }

    #[tokio::test]
    async fn what_is_printed_is_returned_whole() {
        let all = run(
            "head -c 100 /dev/zero; head -c 1000000 /dev/zero >&2",
            LIMITS,
        )
        .await;
        assert_eq!(all, Ok(vec![0; 100]));
        assert_eq!(
            run("read line || echo nothing", LIMITS).await,
            Ok(b"nothing\n".to_vec())
        );
    }

    #[tokio::test]
    async fn what_goes_wrong() {
        check("exit 3", LIMITS, "failed (exit status: 3)").await;
        let complaint = "echo out; echo 'no login\nmore' >&2; exit 2";
        check(complaint, LIMITS, "failed (exit status: 2): no login").await;
        // One that does not mind that nobody reads.
        let stubborn = "trap '' PIPE; while :; do echo yes; done 2>/dev/null";
        check(stubborn, LIMITS, "printed more than 100 bytes").await;
        let command = Command::new("/nonexistent/program");
        let error = output(command, LIMITS).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot be started: "), "{error}");
    }

    #[tokio::test]
    async fn what_hangs_is_ended_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("id");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let limits = ProgramLimits {
            time: Duration::from_millis(200),
            ..LIMITS
        };
        check(&script, limits, "was not done within 200ms").await;
        let id: i32 = std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let id = Pid::from_raw(id).unwrap();
        for _ in 0..1_000 {
            // Until it is collected, it is there, but no longer runs.
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
            if stat.map_or(true, |stat| stat.contains(") Z ")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it still runs");
    }
}
