//! A mail server that keeps what it is given.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Listens on loopback for as long as the test's process lives.
pub(crate) struct SmtpSink {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
}

impl SmtpSink {
    /// Starts on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let mails = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&mails);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = Arc::clone(&sink);
                // An error here is the other side's going away.
                thread::spawn(move || {
                    let _ = converse(&stream, &sink);
                });
            }
        });
        Self { address, mails }
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the mails so far: headers, an empty line and the body, as sent.
    pub(crate) fn mails(&self) -> Vec<String> {
        let mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        mails.clone()
    }
}

/// One session: RFC 5321's minimum, without TLS and without authentication.
fn converse(mut stream: &TcpStream, sink: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    stream.write_all(b"220 sink.test ESMTP\r\n")?;
    while let Some(line) = lines.next() {
        let verb: String = line?.chars().take(4).collect();
        let reply: &[u8] = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => b"250-sink.test\r\n250 8BITMIME\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let mail = message(&mut lines)?;
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(mail);
                b"250 kept\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => b"250 ok\r\n",
            _ => b"502 not here\r\n",
        };
        stream.write_all(reply)?;
    }
    Ok(())
}

/// Reads up to the line that holds only a dot.
fn message(lines: &mut impl Iterator<Item = io::Result<String>>) -> io::Result<String> {
    let mut message = String::new();
    for line in lines {
        let line = line?;
        if line == "." {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
        message.push('\n');
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
