//! A recorded session with Alertmanager, played again. The clock follows the recording: before a call that changes
//! something it goes on to the next moment at which, by later answers, something was updated.

use std::collections::BTreeMap;

use axum::body::to_bytes;
use http::HeaderMap;
use jiff::Timestamp;
use model::time::{Clock as _, ManualClock};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::config::{AlertmanagerConfig, MatcherMode};
use crate::rule::testing::conformance;
use crate::server::AlertmanagerOptions;

/// An API with a clock of its own.
pub(super) struct World {
    router: Router,
    pub(super) clock: ManualClock,
}

impl World {
    pub(super) fn new(config: &str, now_ms: i64) -> Self {
        Self::with_matchers_in(MatcherMode::Fallback, config, now_ms)
    }

    pub(super) fn with_matchers_in(mode: MatcherMode, config: &str, now_ms: i64) -> Self {
        let clock = ManualClock::at(now_ms);
        let registry = Registry::new();
        let options = AlertmanagerOptions {
            clock: Arc::new(clock.clone()),
            registry: registry.clone(),
            external_url: "http://am".to_owned(),
            ..AlertmanagerOptions::for_test()
        };
        let config = AlertmanagerConfig::parse_in(config, mode).unwrap();
        let alertmanager = Arc::new(Alertmanager::start(config, options).unwrap());
        let options = ApiOptions {
            gets_max: 8,
            prefix: String::new(),
            started_at_ms: now_ms,
        };
        World {
            router: router(alertmanager, &registry, options),
            clock,
        }
    }

    /// Sends a request and returns status, headers and text of the answer.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, String) {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (parts.status.as_u16(), parts.headers, text)
    }

    /// Posts JSON and returns status and text.
    pub(super) async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let headers = [("content-type", "application/json")];
        let (status, _, text) = self.send("POST", path, &headers, body).await;
        (status, text.trim_end().to_owned())
    }
}

fn updates(value: &Value, out: &mut Vec<i64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| updates(item, out)),
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "updatedAt" => {
                        let time: Timestamp = text.parse().unwrap();
                        out.push(time.as_millisecond());
                    }
                    other => updates(other, out),
                }
            }
        }
        _ => {}
    }
}

/// Takes out what differs from run to run.
fn without_variables(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_variables),
        Value::Object(map) => {
            map.retain(|key, _| !["updatedAt", "uptime", "versionInfo"].contains(&key.as_str()));
            map.values_mut().for_each(without_variables);
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_recorded_session() {
    let Some(directory) = conformance("alertmanager") else {
        return;
    };
    let config = std::fs::read_to_string(directory.join("api/config.yml")).unwrap();
    let transcript = std::fs::read_to_string(directory.join("api/transcript.jsonl")).unwrap();
    let calls = transcript
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let calls: Vec<Value> = calls
        .filter(|call: &Value| call["path"].as_str().unwrap().starts_with("/api/v2/"))
        .collect();
    let start: Timestamp = "2026-11-20T12:59:47.511Z".parse().unwrap();
    let world = World::new(&config, start.as_millisecond());
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut surprises = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        if ["POST", "DELETE"].contains(&call["method"].as_str().unwrap()) {
            // The first answer that tells when something was updated is the one that this call may have changed.
            let later = calls[at..].iter().map(|call| {
                let mut later = Vec::new();
                updates(&call["json"], &mut later);
                later
            });
            let later = later.into_iter().find(|later| !later.is_empty());
            let later = later.into_iter().flatten();
            if let Some(next) = later.filter(|&ms| world.clock.now_ms() < ms).min() {
                world.clock.set(next);
            }
        }
        let fill = |text: String| {
            let fill = |text: String, (name, id): (&String, &String)| text.replace(name, id);
            ids.iter().fold(text, fill)
        };
        let body = match &call["request"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let headers = call["request_headers"].as_object().unwrap();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let path = fill(call["path"].as_str().unwrap().to_owned());
        let method = call["method"].as_str().unwrap();
        let (status, found_headers, text) = world.send(method, &path, &headers, &fill(body)).await;
        let mut found: Value = match text.as_str() {
            "" => Value::String(String::new()),
            text => serde_json::from_str(text).unwrap(),
        };
        if status == 200
            && let Some(id) = found["silenceID"].as_str()
            && !ids.values().any(|known| known == id)
        {
            ids.insert(format!("{{sid{}}}", ids.len() + 1), id.to_owned());
        }
        let known = ids.iter().find(|(_, id)| found["silenceID"] == id.as_str());
        let expected = match call.get("json") {
            // A new id differs from run to run; one that stays is written as such.
            Some(json) if json.get("silenceID").is_some() => {
                let name = json["silenceID"].as_str().unwrap();
                let is_right = name.starts_with('{') == (known.unwrap().0 == name);
                assert!(is_right, "{call}: {found}");
                found.clone()
            }
            Some(json) => json.clone(),
            None => call["text"].clone(),
        };
        let filled = ids.iter().fold(expected.to_string(), |text, (name, id)| {
            text.replace(name, id)
        });
        let mut expected: Value = serde_json::from_str(&filled).unwrap();
        without_variables(&mut expected);
        without_variables(&mut found);
        let headers = call["headers"].as_object().into_iter().flatten();
        let headers_agree = headers.into_iter().all(|(name, value)| {
            found_headers
                .get(name)
                .is_some_and(|found| found == value.as_str().unwrap())
        });
        let content_type = found_headers
            .get("content-type")
            .map(|v| v.to_str().unwrap());
        if status != call["status"]
            || found != expected
            || !headers_agree
            || content_type != call["content_type"].as_str()
        {
            surprises.push(format!(
                "{method} {path}: {status} {found_headers:?}\n  found    {found}\n  expected {} {expected}",
                call["status"]
            ));
        }
    }
    assert!(!calls.is_empty());
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}
