//! Webhooks: the notification as JSON, version "4" of Alertmanager's format.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::http::{to_json, traced};
use super::{Message, SendError};
use crate::alert::{NotifiedAlert, ZERO_TIME_MS};
use crate::config::WebhookConfig;
use crate::http::{ClientError, HttpClient, chain, secret};
use crate::template::Mode;
use crate::template::time::rfc3339;

/// A webhook with its client.
pub(crate) struct Webhook {
    config: WebhookConfig,
    client: HttpClient,
}

impl Webhook {
    pub(crate) fn new(config: WebhookConfig, base_dir: &Path) -> Result<Self, ClientError> {
        Ok(Webhook {
            client: HttpClient::new(config.http.clone(), base_dir, config.timeout)?,
            config,
        })
    }

    pub(crate) async fn send(&self, message: &Message) -> Result<(), SendError> {
        let other = |error: ClientError| SendError::fatal(chain(&error), "other");
        let url = secret(self.config.url.as_ref(), self.config.url_file.as_deref())
            .map_err(|error| other(error.into()))?
            .unwrap_or_default();
        let url = message.expand(&url, Mode::Text)?;
        let body = match &self.config.payload {
            Some(payload) => to_json(&message.expand_json(payload)?)? + "\n",
            None => body(message, self.config.max_alerts, "4"),
        };
        let request = self
            .client
            .post(url.trim())
            .await
            .map_err(other)?
            .header("Content-Type", "application/json")
            .body(body);
        let mut span = message.begin_request("POST");
        let response = traced(request, &span).send().await.map_err(|error| {
            // The URL may hold a token.
            let error = SendError::retryable(chain(&error.without_url()), "other");
            span.fail(&error);
            error
        })?;
        net::trace::note_status(&mut span, response.status(), true);
        super::http::judge(response.status().as_u16(), false)
    }
}

/// The body; the order of the fields is Alertmanager's.
#[derive(Serialize)]
struct Body<'a> {
    receiver: &'a str,
    status: &'a str,
    alerts: Vec<BodyAlert<'a>>,
    notification_reason: &'a str,
    #[serde(rename = "groupLabels")]
    group_labels: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "commonLabels")]
    common_labels: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "commonAnnotations")]
    common_annotations: BTreeMap<&'a str, &'a str>,
    // Alertmanager has it since 0.34, always; as 0.33 it is not there where no route has labels.
    #[serde(rename = "routeLabels", skip_serializing_if = "BTreeMap::is_empty")]
    route_labels: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'a str,
    #[serde(rename = "groupKey")]
    group_key: &'a str,
    #[serde(rename = "truncatedAlerts")]
    truncated_alerts: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyAlert<'a> {
    status: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl<'a> BodyAlert<'a> {
    fn new(alert: &'a NotifiedAlert) -> Self {
        BodyAlert {
            status: alert.status(),
            labels: alert.labels.iter().collect(),
            annotations: alert.annotations.iter().collect(),
            starts_at: rfc3339(alert.starts_at_ms),
            ends_at: rfc3339(alert.ended_at_ms.unwrap_or(ZERO_TIME_MS)),
            generator_url: &alert.generator_url,
            fingerprint: format!("{:016x}", alert.fingerprint),
        }
    }
}

/// Returns the body of a notification with at most `max_alerts` alerts; 0 means all.
pub(super) fn body(message: &Message, max_alerts: usize, version: &str) -> String {
    let all = &message.data.alerts;
    let shown = if max_alerts == 0 {
        all.len()
    } else {
        max_alerts.min(all.len())
    };
    // What alerts have in common is said of those that are shown, as Alertmanager does.
    let data = message.data.with_alerts(all[..shown].to_vec());
    let body = Body {
        receiver: &data.receiver,
        status: data.status(),
        alerts: data.alerts.iter().map(BodyAlert::new).collect(),
        notification_reason: &data.reason,
        group_labels: data.group_labels.iter().collect(),
        common_labels: data.common_labels.iter().collect(),
        common_annotations: data.common_annotations.iter().collect(),
        route_labels: data.route_labels.iter().collect(),
        external_url: &data.external_url,
        version,
        group_key: &message.group_key,
        truncated_alerts: all.len() - shown,
    };
    net::json::to_string(&body).expect("strings and numbers are always JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use model::trace::{KeptSpans, SpanKind};

    use super::*;
    use crate::config::AlertmanagerConfig;
    use crate::receiver::testing::{HttpSink, message};

    fn webhook(address: &str, more: &str) -> Webhook {
        let text = format!(
            "route: {{receiver: a}}\nreceivers: [{{name: a, webhook_configs: [{{url: 'http://{address}/hook'{more}}}]}}]"
        );
        let config = AlertmanagerConfig::parse(&text).unwrap();
        Webhook::new(config.receivers[0].webhooks[0].clone(), Path::new("")).unwrap()
    }

    #[tokio::test]
    async fn posts_version_4() {
        let mut sink = HttpSink::start(200).await;
        webhook(&sink.address, ", max_alerts: 1")
            .send(&message())
            .await
            .unwrap();
        let request = sink.next().await;
        assert!(
            request.head.starts_with("POST /hook HTTP/1.1"),
            "{}",
            request.head
        );
        assert_eq!(
            request.body,
            "{\"receiver\":\"all\\\\.x\",\"status\":\"firing\",\"alerts\":[{\"status\":\"firing\",\"labels\":{\"alertname\":\"A\",\
             \"instance\":\"a:9090\",\"job\":\"api\"},\"annotations\":{\"summary\":\"\\u003chigh\\u003e \\u0026 \\\"rising\\\"\"},\
             \"startsAt\":\"2026-03-01T10:00:00.123Z\",\"endsAt\":\"0001-01-01T00:00:00Z\",\
             \"generatorURL\":\"http://p/graph?g0.expr=up\\u0026g0.tab=1\",\"fingerprint\":\"0000000000000007\"}],\
             \"notification_reason\":\"first notification\",\"groupLabels\":{\"alertname\":\"A\"},\
             \"commonLabels\":{\"alertname\":\"A\",\"instance\":\"a:9090\",\"job\":\"api\"},\
             \"commonAnnotations\":{\"summary\":\"\\u003chigh\\u003e \\u0026 \\\"rising\\\"\"},\
             \"externalURL\":\"http://am.example/am\",\"version\":\"4\",\"groupKey\":\"{}:{alertname=\\\"A\\\"}\",\"truncatedAlerts\":1}\n"
        );
    }

    #[tokio::test]
    async fn a_payload_of_ones_own() {
        let mut sink = HttpSink::start(200).await;
        let more = ", payload: {state: '{{ .Status }}', n: '{{ len .Alerts }}', m: '{{ .Status }}: yes', y: 'on', z: 'firing # c', list: ['<', 1], alerts: '{{ .GroupLabels | toJson }}'}";
        let webhook = webhook(&sink.address, more);
        webhook.send(&message()).await.unwrap();
        assert_eq!(
            sink.next().await.body,
            "{\"alerts\":{\"alertname\":\"A\"},\"list\":[\"\\u003c\",1],\"m\":{\"firing\":true},\"n\":2,\"state\":\"firing\",\"y\":true,\"z\":\"firing # c\"}\n"
        );
    }

    #[tokio::test]
    async fn answers_decide_about_retries() {
        for (status, reason, is_retryable) in
            [(503, "serverError", true), (400, "clientError", false)]
        {
            let sink = HttpSink::start(status).await;
            let error = webhook(&sink.address, "")
                .send(&message())
                .await
                .unwrap_err();
            assert_eq!((error.reason, error.is_retryable), (reason, is_retryable));
        }
    }

    #[test]
    fn labels_of_the_route_stand_before_the_url() {
        let mut message = message();
        assert!(!body(&message, 0, "4").contains("routeLabels"));
        message.data.route_labels = model::Labels::from_pairs([("reason", "why")]);
        let found = body(&message, 0, "4");
        let expected = r#"{},"routeLabels":{"reason":"why"},"externalURL""#;
        assert!(found.contains(expected), "{found}");
    }

    #[tokio::test]
    async fn credentials_are_sent() {
        let mut sink = HttpSink::start(200).await;
        let more = ", http_config: {authorization: {credentials: tok}}";
        webhook(&sink.address, more).send(&message()).await.unwrap();
        assert!(
            sink.next()
                .await
                .head
                .to_lowercase()
                .contains("authorization: bearer tok")
        );
    }

    #[tokio::test]
    async fn it_hears_of_the_span_and_its_url_is_not_told() {
        let mut sink = HttpSink::start(200).await;
        let webhook = webhook(&sink.address, "");
        let (tracer, kept) = KeptSpans::traced();
        let above = tracer.begin("above", SpanKind::Internal, None);
        let message = Message {
            trace: above.context().map(|context| (tracer.clone(), context)),
            ..message()
        };
        webhook.send(&message).await.unwrap();
        let head = sink.next().await.head.to_ascii_lowercase();
        let [span] = &kept.taken()[..] else {
            panic!("{:?}", kept.taken());
        };
        assert!(
            head.contains(&format!("traceparent: {}", span.context)),
            "{head}"
        );
        assert_eq!(
            Some(span.parent),
            above.context().map(|context| context.span)
        );
        assert!(!format!("{span:?}").contains("hook"), "{span:?}");
    }
}
