//! Each kind alone: what it sends, and which answers are worth another attempt.

use std::path::Path;

use super::Integration;
use super::testing::{HttpSink, Request, message};
use crate::config::AlertmanagerConfig;

/// Each kind's least configuration, with `@` for the sink, and whether it retries 429.
const KINDS: [(&str, &str, bool); 14] = [
    (
        "sns",
        "api_url: 'http://@/x', topic_arn: t, sigv4: {region: r, access_key: a, secret_key: s}",
        true,
    ),
    ("discord", "webhook_url: 'http://@/x'", false),
    (
        "incidentio",
        "url: 'http://@/x', alert_source_token: t",
        true,
    ),
    ("mattermost", "webhook_url: 'http://@/x'", false),
    ("msteams", "webhook_url: 'http://@/x'", false),
    ("msteamsv2", "webhook_url: 'http://@/x'", false),
    ("opsgenie", "api_url: 'http://@/x', api_key: k", true),
    ("pagerduty", "url: 'http://@/x', routing_key: k", true),
    (
        "rocketchat",
        "api_url: 'http://@/x', token: t, token_id: i",
        false,
    ),
    ("slack", "api_url: 'http://@/x'", false),
    (
        "telegram",
        "api_url: 'http://@/x', bot_token: t, chat_id: 1",
        true,
    ),
    (
        "victorops",
        "api_url: 'http://@/x', api_key: k, routing_key: r",
        false,
    ),
    (
        "webex",
        "api_url: 'http://@/x', room_id: r, http_config: {authorization: {credentials: t}}",
        false,
    ),
    (
        "wechat",
        "api_url: 'http://@/x', api_secret: s, corp_id: c",
        false,
    ),
];

fn integration(kind: &str, fields: &str, address: &str) -> Integration {
    let fields = fields.replace('@', address);
    let text =
        format!("route: {{receiver: a}}\nreceivers: [{{name: a, {kind}_configs: [{{{fields}}}]}}]");
    let config = AlertmanagerConfig::parse(&text).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let mut made = Integration::of(&config.receivers[0], Path::new("")).unwrap();
    assert_eq!(made.len(), 1);
    made.remove(0).2
}

async fn sent(kind: &str, fields: &str) -> Vec<Request> {
    let mut sink = HttpSink::start(200).await;
    integration(kind, fields, &sink.address)
        .send(&message())
        .await
        .unwrap();
    sink.requests()
}

#[tokio::test]
async fn answers_decide_about_retries() {
    for (kind, fields, retries_429) in KINDS {
        for (status, reason, is_retryable) in [
            (500, "serverError", true),
            (429, "clientError", retries_429),
            (400, "clientError", kind == "telegram"),
        ] {
            let sink = HttpSink::start(status).await;
            let error = integration(kind, fields, &sink.address)
                .send(&message())
                .await
                .unwrap_err();
            assert_eq!(
                (error.reason, error.is_retryable),
                (reason, is_retryable),
                "{kind} {status}"
            );
            assert!(!error.message.contains("http://"), "{kind}: {error}");
        }
    }
}

#[tokio::test]
async fn each_kind_tells() {
    for (kind, fields, _) in KINDS {
        let requests = sent(kind, fields).await;
        let expected = if kind == "wechat" { 2 } else { 1 };
        assert_eq!(requests.len(), expected, "{kind}");
        let body = &requests[expected - 1].body;
        if kind == "sns" {
            let start = "Action=Publish&Message=%0A";
            let end = "&Subject=%5BFIRING%3A1%5D+A+%28api%29&TopicArn=t&Version=2010-03-31";
            assert!(body.starts_with(start) && body.ends_with(end), "{body}");
            continue;
        }
        assert!(
            body.ends_with("}\n") && body.contains("A"),
            "{kind}: {body}"
        );
        assert!(
            body.contains("[FIRING:1] A (api)")
                || matches!(kind, "telegram" | "webex" | "incidentio"),
            "{kind}: {body}"
        );
    }
}

#[tokio::test]
async fn files_are_read_at_each_send() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("url");
    let mut sink = HttpSink::start(200).await;
    let fields = format!("webhook_url_file: '{}'", path.display());
    let discord = integration("discord", &fields, "");
    let error = discord.send(&message()).await.unwrap_err();
    assert!(
        !error.is_retryable && error.message.contains("unable to read"),
        "{error}"
    );
    for way in ["first", "second"] {
        std::fs::write(&path, format!("http://{}/{way}\n", sink.address)).unwrap();
        discord.send(&message()).await.unwrap();
        assert!(sink.next().await.head.starts_with(&format!("POST /{way} ")));
    }
}

#[tokio::test]
async fn long_texts_are_cut() {
    let fields = "webhook_url: 'http://@/x', title: '{{ printf \"%300s\" \"x\" }}'";
    let requests = sent("discord", fields).await;
    let body: serde_json::Value = serde_json::from_str(&requests[0].body).unwrap();
    let title = body["embeds"][0]["title"].as_str().unwrap();
    assert_eq!(title.chars().count(), 256);
    assert!(title.ends_with('…'));
}

#[tokio::test]
async fn pagerduty_drops_the_details_of_large_events() {
    let big = "x".repeat(600_000);
    let fields = format!("url: 'http://@/x', routing_key: k, details: {{big: {big}}}");
    let body = &sent("pagerduty", &fields).await[0].body;
    assert!(
        body.len() < 2_000 && body.contains("larger than 512000 bytes"),
        "{body}"
    );
}
