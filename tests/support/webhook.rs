//! A receiver of notifications that keeps what it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::http::{Response, Server};
use super::wait::{PATIENCE, eventually};

const CONFIG: &str = "
route:
  receiver: people
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 500ms
  repeat_interval: 1h
receivers:
- name: people
  webhook_configs: [{url: 'http://WEBHOOK/'}]
";

/// Listens on loopback until it is dropped, and is content with everything.
pub(crate) struct Webhook {
    server: Server,
    posts: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    /// Starts on a free port.
    pub(crate) fn start() -> Self {
        let posts = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&posts);
        let server = Server::start(move |request| {
            let post = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(post);
            Response::text("")
        });
        Webhook { server, posts }
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns an Alertmanager's configuration that has it told of everything, soon, and once.
    pub(crate) fn config(&self) -> String {
        CONFIG.replace("WEBHOOK", &self.address().to_string())
    }

    /// Returns the posts so far, null where one was no JSON.
    pub(crate) fn posts(&self) -> Vec<Value> {
        let posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.clone()
    }

    /// Returns how often it was told of the group of alerts of that name with this status.
    pub(crate) fn times_told(&self, alertname: &str, status: &str) -> usize {
        let posts = self.posts();
        let of_alert = posts.iter().filter(|post| {
            post["groupLabels"]["alertname"] == alertname && post["status"] == status
        });
        of_alert.count()
    }

    /// Waits until it was told so.
    #[track_caller]
    pub(crate) fn wait_until_told(&self, alertname: &str, status: &str) {
        let what = format!("the webhook hears of {alertname} as {status}");
        eventually(&what, PATIENCE, || {
            match self.times_told(alertname, status) {
                0 => Err(format!("told {:?}", self.posts())),
                _ => Ok(()),
            }
        });
    }
}
