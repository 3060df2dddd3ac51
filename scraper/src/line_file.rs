//! A file that lines are added to by a thread of its own, so that a slow disk holds up nobody who has something to say.
//!
//! # Bounds
//!
//! At most [`WAITING_MAX`] lines wait; further ones are dropped and counted. The file itself grows until somebody moves it
//! away, as with Prometheus.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use metrics::Counter;
use serde::Serialize;

/// How many lines may wait for their file.
const WAITING_MAX: usize = 1_024;

/// An open file and the thread that writes it; dropped, it waits until all lines are written.
pub struct LineFile {
    lines: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    dropped: Counter,
}

impl LineFile {
    /// Opens the file at `path`, made if it is not there yet; lines are added at its end.
    ///
    /// * `dropped`: counts lines that could not be written.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, or there is no thread to be had.
    pub fn open(path: &Path, dropped: Counter) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (sender, lines) = sync_channel(WAITING_MAX);
        let failed = dropped.clone();
        let thread = std::thread::Builder::new()
            .name("line-file".to_owned())
            .spawn(move || write_all(file, &lines, &failed))?;
        Ok(LineFile {
            lines: Some(sender),
            thread: Some(thread),
            dropped,
        })
    }

    /// Adds a line of JSON.
    pub fn write(&self, line: &impl Serialize) {
        let sent = serde_json::to_vec(line).ok().is_some_and(|mut bytes| {
            bytes.push(b'\n');
            let lines = self.lines.as_ref();
            lines.is_some_and(|lines| lines.try_send(bytes).is_ok())
        });
        if !sent {
            self.dropped.inc();
        }
    }
}

impl Drop for LineFile {
    fn drop(&mut self) {
        drop(self.lines.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            thread.join().ok();
        }
    }
}

fn write_all(mut file: File, lines: &Receiver<Vec<u8>>, dropped: &Counter) {
    for line in lines {
        if file.write_all(&line).is_err() {
            dropped.inc();
        }
    }
}
