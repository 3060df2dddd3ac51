//! Tiny servers that keep what they are sent.

use model::Labels;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::Message;
use crate::alert::NotifiedAlert;
use crate::template::alertmanager::NotificationData;

/// A notification of one firing and one resolved alert.
pub(crate) fn message() -> Message {
    let alert = |instance: &str, summary: &str, ended_at_ms| NotifiedAlert {
        labels: Labels::from_pairs([("alertname", "A"), ("instance", instance), ("job", "api")]),
        annotations: Labels::from_pairs([("summary", summary)]),
        starts_at_ms: 1_772_359_200_123,
        ended_at_ms,
        generator_url: "http://p/graph?g0.expr=up&g0.tab=1".to_owned(),
        fingerprint: 7,
    };
    Message {
        group_key: "{}:{alertname=\"A\"}".to_owned(),
        memory: std::collections::BTreeMap::new(),
        now_ms: 1_772_359_300_000,
        trace: None,
        templates: crate::template::alertmanager::default_templates(),
        data: NotificationData {
            receiver: "all\\.x".to_owned(),
            reason: "first notification".to_owned(),
            alerts: vec![
                alert("a:9090", "<high> & \"rising\"", None),
                alert("b:9090", "other", Some(1_772_359_250_000)),
            ],
            group_labels: Labels::from_pairs([("alertname", "A")]),
            common_labels: Labels::from_pairs([("alertname", "A"), ("job", "api")]),
            common_annotations: Labels::empty(),
            route_labels: Labels::empty(),
            external_url: "http://am.example/am".to_owned(),
        },
    }
}

pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// An HTTP server that answers everything with one status, which may bring headers along.
pub(crate) struct HttpSink {
    pub(crate) address: String,
    requests: mpsc::Receiver<Request>,
}

impl HttpSink {
    pub(crate) async fn start(status: impl ToString) -> Self {
        let status = status.to_string();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, requests) = mpsc::channel(100);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve_http(stream, status.clone(), sender.clone()));
            }
        });
        HttpSink { address, requests }
    }

    /// Returns what came until now.
    pub(crate) fn requests(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }

    pub(crate) async fn next(&mut self) -> Request {
        let wait = std::time::Duration::from_secs(20);
        tokio::time::timeout(wait, self.requests.recv())
            .await
            .expect("a request within 20 s")
            .unwrap()
    }
}

async fn serve_http(
    stream: TcpStream,
    status: String,
    sender: mpsc::Sender<Request>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let lower = head.to_lowercase();
        let length = lower
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).unwrap();
        sender.send(Request { head, body }).await.ok()?;
        let content = match lower.split(' ').nth(1) {
            Some(path) if path.contains("gettoken") => "{\"errcode\":0,\"access_token\":\"TOK\"}",
            _ => "{}",
        };
        let length = content.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{content}");
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// A mail server without TLS.
pub(crate) struct SmtpSink {
    pub(crate) address: String,
    mails: mpsc::Receiver<(Vec<String>, String)>,
}

impl SmtpSink {
    pub(crate) async fn start() -> Self {
        Self::offering("PLAIN LOGIN").await
    }

    /// Starts one with these mechanisms for logging in.
    pub(crate) async fn offering(mechanisms: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, mails) = mpsc::channel(100);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve_smtp(stream, mechanisms, sender.clone()));
            }
        });
        SmtpSink { address, mails }
    }

    pub(crate) async fn next(&mut self) -> (Vec<String>, String) {
        let wait = std::time::Duration::from_secs(20);
        tokio::time::timeout(wait, self.mails.recv())
            .await
            .expect("a mail within 20 s")
            .unwrap()
    }
}

async fn serve_smtp(
    stream: TcpStream,
    mechanisms: &str,
    sender: mpsc::Sender<(Vec<String>, String)>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut dialogue = Vec::new();
    stream.write_all(b"220 sink\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        let word = line.split(' ').next().unwrap_or_default().to_owned();
        if matches!(word.as_str(), "QUIT" | "NOOP" | "RSET") {
            stream.write_all(b"250 ok\r\n").await.ok()?;
            continue;
        }
        let hello = format!("250-sink\r\n250 AUTH {mechanisms}\r\n");
        let asks = |what: &str| dialogue.last().is_some_and(|last: &String| last == what);
        let answer = match word.as_str() {
            "EHLO" => hello.as_str(),
            // The challenge of RFC 2195.
            "AUTH" if line == "AUTH CRAM-MD5" => {
                "334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n"
            }
            "AUTH" if line == "AUTH LOGIN" => "334 VXNlcm5hbWU6\r\n",
            "AUTH" => "235 ok\r\n",
            _ if asks("AUTH LOGIN") => "334 UGFzc3dvcmQ6\r\n",
            _ if asks("AUTH CRAM-MD5") => "235 ok\r\n",
            "DATA" => "354 go on\r\n",
            _ => "250 ok\r\n",
        };
        dialogue.push(line);
        stream.write_all(answer.as_bytes()).await.ok()?;
        if word == "DATA" {
            let mut mail = String::new();
            while !mail.ends_with("\r\n.\r\n") {
                stream.read_line(&mut mail).await.ok()?;
            }
            stream.write_all(b"250 queued\r\n").await.ok()?;
            sender
                .send((std::mem::take(&mut dialogue), mail))
                .await
                .ok()?;
        }
    }
}
