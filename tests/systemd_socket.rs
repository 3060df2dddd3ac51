//! Socket activation: each program listens on the socket that it is passed, and says so when there is none.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::http;
use support::monitor::hearth_binary;
use support::wait::{PATIENCE, eventually};

/// A program that is ended when its handle goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts Hearth as systemd does: with a socket as file descriptor 3, and the environment that says so.
fn start(dir: &Path, socket: TcpListener, flags: &[&str]) -> Running {
    let script = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@""#;
    let child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(hearth_binary())
        .args(flags)
        .current_dir(dir)
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Running(child)
}

const PROGRAMS: [&[&str]; 3] = [
    &["server"],
    &[
        "alertmanager",
        "--config.file=am.yml",
        "--cluster.listen-address=",
    ],
    &["exporter", "node"],
];

#[test]
fn each_program_listens_on_the_socket_that_it_is_passed() {
    let dir = tempfile::tempdir().unwrap();
    let config = "route: {receiver: a}\nreceivers: [{name: a}]\n";
    std::fs::write(dir.path().join("am.yml"), config).unwrap();
    for program in PROGRAMS {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        // Who connects before the program runs is answered too.
        let url = format!("http://{address}/metrics");
        let early = std::thread::spawn(move || http::get(&url));
        let flags = [program, &["--web.systemd-socket"]].concat();
        let mut running = start(dir.path(), socket, &flags);
        let early = early.join().unwrap().unwrap();
        assert_eq!(early.status, 200, "{program:?}");
        eventually("it answers", PATIENCE, || {
            let reply = http::get(&format!("http://{address}/metrics"))?;
            assert!(running.0.try_wait().unwrap().is_none());
            (reply.status == 200)
                .then_some(())
                .ok_or_else(|| reply.status.to_string())
        });
    }
}

#[test]
fn without_a_socket_it_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    for program in PROGRAMS {
        let output = Command::new(hearth_binary())
            .args(program)
            .arg("--web.systemd-socket")
            .current_dir(dir.path())
            .env_remove("LISTEN_FDS")
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("--web.systemd-socket: no socket was passed"),
            "{text}"
        );
    }
}
