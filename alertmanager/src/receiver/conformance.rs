//! The steps of the conformance data, through dispatcher and integrations, against what Alertmanager sent
//! (`alertmanager/notify`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::testing::{HttpSink, SmtpSink};
use super::{Integration, Message};
use crate::alert::Alert;
use crate::config::AlertmanagerConfig;
use crate::dispatch::Dispatcher;
use crate::rule::testing::conformance;

/// Headers that mean something to the other side; `user-agent` is our own.
const HEADERS: [&str; 4] = ["authorization", "content-type", "x-auth-token", "x-user-id"];

#[tokio::test]
async fn requests_are_alertmanagers() {
    let Some(directory) = conformance("alertmanager/notify") else {
        return;
    };
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap();
    let mut sink = HttpSink::start(200).await;
    let mut mails = SmtpSink::start().await;
    let text = read("config.yml")
        .replace("127.0.0.1:29599", &sink.address)
        .replace("127.0.0.1:29525", &mails.address);
    let config = AlertmanagerConfig::parse(&text).unwrap();
    let mut integrations = BTreeMap::new();
    for (kind, index, made) in Integration::of(&config.receivers[0], Path::new("")).unwrap() {
        integrations.insert((std::borrow::Cow::Borrowed(kind), index), made);
    }
    let mut dispatcher = Dispatcher::new(Arc::new(config));
    let requests: Vec<Value> = read("requests.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut surprises = Vec::new();
    let mut agreeing = 0;
    // The alerts started long before, so that the first flush is immediate; the others follow each group_interval.
    let mut now_ms = 1_795_000_000_000;
    for step in serde_json::from_str::<Vec<Value>>(&read("steps.json")).unwrap() {
        let posted = step["post"].as_array().unwrap();
        assert_eq!(dispatcher.insert(posted.iter().map(alert), now_ms), 0);
        for notification in dispatcher.due(now_ms) {
            let message = Message::new(&notification, "http://am.example/am", now_ms);
            dispatcher.finish(&notification, true, now_ms);
            let key = (
                notification.integration.kind,
                notification.integration.index,
            );
            if let Err(error) = integrations[&key].send(&message).await {
                surprises.push(format!("{key:?}: {error}"));
            }
            if key.0 == "email" {
                mails.next().await;
            }
        }
        let mut found = sink
            .requests()
            .iter()
            .map(|request| shown_found(&request.head, &request.body))
            .collect::<Vec<_>>();
        for request in requests
            .iter()
            .filter(|request| request["step"] == step["step"])
        {
            let path = request["path"].as_str().unwrap();
            if path == "smtp" {
                continue;
            }
            let expected = shown_expected(request);
            match found.iter().position(|found| *found == expected) {
                Some(position) => {
                    found.swap_remove(position);
                    agreeing += 1;
                }
                None => surprises.push(format!("missing {expected}")),
            }
        }
        surprises.extend(found.iter().map(|found| format!("too much {found}")));
        now_ms += 4_500;
    }
    assert!(
        surprises.is_empty(),
        "{} agree, but\n{}",
        agreeing,
        surprises.join("\n")
    );
    assert!(50 < agreeing, "{agreeing} requests");
}

fn shown_expected(request: &Value) -> String {
    let path = request["path"].as_str().unwrap();
    let mut out = format!(
        "{} {}\n",
        request["method"].as_str().unwrap(),
        request["path"].as_str().unwrap()
    );
    for name in HEADERS {
        let is_signature = name == "authorization" && path == "/sns";
        if let Some(value) = request["headers"][name].as_str().filter(|_| !is_signature) {
            out.push_str(&format!("{name}: {value}\n"));
        }
    }
    out + request["body"].as_str().unwrap()
}

fn shown_found(head: &str, body: &str) -> String {
    let mut lines = head.lines();
    let first = lines.next().unwrap().trim_end_matches(" HTTP/1.1");
    let headers: BTreeMap<String, &str> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    let mut out = format!("{first}\n");
    for name in HEADERS {
        // Of other headers than Alertmanager signs; `sns` compares the signatures themselves.
        let is_signature = name == "authorization" && first == "POST /sns";
        if let Some(value) = headers.get(name).filter(|_| !is_signature) {
            out.push_str(&format!("{name}: {value}\n"));
        }
    }
    out + body
}

fn alert(posted: &Value) -> Alert {
    let time = |key: &str| {
        let time = posted[key].as_str().unwrap().parse::<jiff::Timestamp>();
        time.unwrap().as_millisecond()
    };
    let pairs = |key: &str| {
        let pairs = posted[key].as_object().unwrap().iter();
        model::Labels::from_pairs(
            pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap())),
        )
    };
    Alert {
        labels: pairs("labels"),
        annotations: pairs("annotations"),
        starts_at_ms: time("startsAt"),
        ends_at_ms: Some(time("endsAt")),
        generator_url: posted["generatorURL"].as_str().unwrap().to_owned(),
    }
}
