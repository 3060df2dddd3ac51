//! Answers good and bad.

use std::path::Path;

use super::*;
use crate::discovery::testing::{Answer, Api, printed};
use net::http_config::UrlText;

async fn ask(api: &Api) -> Result<Vec<TargetGroup>, RefreshError> {
    let config = HttpSdConfig {
        url: UrlText::new(api.url("/targets?x=1")),
        ..HttpSdConfig::default()
    };
    let client = HttpClient::new(config.http_config(), Path::new(""), None).unwrap();
    let metrics = DiscoveryMetrics::new(&metrics::Registry::new());
    let mut source = HttpSource::new(&config, client, metrics.clone());
    let groups = source.groups().await;
    assert_eq!(
        metrics.http_failures.value(),
        f64::from(groups.is_err() as u8)
    );
    groups
}

#[tokio::test]
async fn groups_say_where_they_are_from() {
    let api = Api::start(|_| {
        let body = r#"[{"targets": ["a:1", "b:2"], "labels": {"env": "x"}}, {"targets": []}]"#;
        Answer::Whole(200, "application/json; charset=utf-8", body.to_owned())
    })
    .await;
    let groups = ask(&api).await.unwrap();
    let url = api.url("/targets?x=1");
    assert_eq!(
        printed(&groups),
        [
            format!("a:1 url={url:?} env=\"x\""),
            format!("b:2 url={url:?} env=\"x\"")
        ]
    );
    assert_eq!(groups[1].source, format!("{url}:1"));
    let asked = &api.asked()[0];
    assert_eq!(
        (asked.path.as_str(), asked.query.as_str()),
        ("/targets", "x=1")
    );
    assert_eq!(asked.headers["accept"], "application/json");
    assert_eq!(asked.headers["x-prometheus-refresh-interval-seconds"], "60");
}

#[tokio::test]
async fn bad_answers_say_what_is_bad() {
    for (answer, expected) in [
        (
            (503, "text/plain", "busy\nmore"),
            "server returned HTTP status 503 Service Unavailable: busy",
        ),
        (
            (200, "text/html", "[]"),
            "unsupported content type \"text/html\"",
        ),
        (
            (200, "application/json; charset=latin1", "[]"),
            "unsupported content type",
        ),
        (
            (200, "application/json", "["),
            "the answer is no list of target groups: EOF while parsing",
        ),
        (
            (200, "application/json", "[null]"),
            "nil target group item found (index 0)",
        ),
    ] {
        let api = Api::start(move |_| Answer::Whole(answer.0, answer.1, answer.2.to_owned())).await;
        let error = ask(&api).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
