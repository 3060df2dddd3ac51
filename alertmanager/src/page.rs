//! The page at `/`: alerts by group, silences and the status, without other files and readable without scripts.
//!
//! It is a template of HTML like those of e-mails, so that no label leaves its place. A small script makes and ends silences
//! through the API, and follows the links that templates make (`#/alerts?receiver=…`, `#/silences/new?filter=…`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::api::{ALERTMANAGER_VERSION, print_time};
use crate::config::print_matchers;
use crate::dispatch::{AlertFilter, AlertSnapshot, GroupSnapshot};
use crate::server::Alertmanager;
use crate::silence::{Silence, SilenceState};
use crate::template::alertmanager::NOTIFICATION_FUNCTIONS;
use crate::template::{Environment, Limits, Mode, Template, Value};

/// Alerts on the page; how many more there are is said.
const ALERTS_MAX: usize = 500;
/// Silences on the page, expired ones left out.
const SILENCES_MAX: usize = 500;

/// What the page may cost: labels may be long.
const LIMITS: Limits = Limits {
    output_bytes: 16 << 20,
    steps: 5_000_000,
    depth: 10,
};

static PAGE: LazyLock<Template> = LazyLock::new(|| {
    let parsed = Template::parse("page", include_str!("page.html"), NOTIFICATION_FUNCTIONS);
    parsed.expect("the page is a template: tests run it")
});

/// The page asks for nothing but its data.
struct Nothing;

impl Environment for Nothing {
    fn now_ms(&self) -> i64 {
        0
    }

    fn external_url(&self) -> &str {
        ""
    }
}

/// Returns the page.
///
/// * `started_at_ms`: when the process started, milliseconds since the epoch.
///
/// # Errors
///
/// When it would be larger than 16 MiB.
pub fn render(alertmanager: &Alertmanager, started_at_ms: i64) -> Result<String, String> {
    let all = AlertFilter {
        labels: &|_| true,
        receiver: &|_| true,
        active: true,
        silenced: true,
        inhibited: true,
        muted: true,
    };
    let (groups, silences) = alertmanager.look(|dispatcher, now_ms| {
        let silences = dispatcher.silences().iter();
        let kept = silences.filter(|silence| silence.state(now_ms) != SilenceState::Expired);
        let mut kept: Vec<_> = kept.cloned().map(|s| (s.state(now_ms), s)).collect();
        kept.sort_by_key(|(state, silence)| {
            let is_pending = *state == SilenceState::Pending;
            (is_pending, silence.ends_at_ms, silence.id.clone())
        });
        (dispatcher.groups(now_ms, &all), kept)
    });
    let config = alertmanager.config();
    let cluster = alertmanager.cluster_status();
    let count = groups.iter().map(|group| group.alerts.len()).sum::<usize>();
    let (cluster, peers) = match &cluster {
        None => ("disabled", Vec::new()),
        Some(cluster) => {
            let peers = cluster.peers.iter();
            let peers = peers.map(|(name, address)| Value::from(format!("{name} {address}")));
            let state = if cluster.is_settled {
                "ready"
            } else {
                "settling"
            };
            (state, peers.collect())
        }
    };
    let data = map([
        ("firing", number(count)),
        ("groups", list(shown_groups(&groups))),
        ("more_alerts", number(count.saturating_sub(ALERTS_MAX))),
        (
            "silences",
            list(
                silences
                    .iter()
                    .take(SILENCES_MAX)
                    .map(shown_silence)
                    .collect(),
            ),
        ),
        (
            "more_silences",
            number(silences.len().saturating_sub(SILENCES_MAX)),
        ),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("api_version", ALERTMANAGER_VERSION.into()),
        ("started", print_time(started_at_ms).into()),
        ("cluster", cluster.into()),
        ("peers", list(peers)),
        ("config", config.original.as_str().into()),
    ]);
    PAGE.execute_within(&data, &Nothing, Mode::Html, LIMITS)
        .map_err(|error| error.to_string())
}

/// Returns the groups, as far as their alerts fit on the page.
fn shown_groups(groups: &[GroupSnapshot]) -> Vec<Value> {
    let mut left = ALERTS_MAX;
    let mut shown = Vec::new();
    for group in groups {
        if left == 0 {
            break;
        }
        let alerts: Vec<_> = group.alerts.iter().take(left).collect();
        left -= alerts.len();
        let is_muted = !group.muted_by.is_empty();
        let alerts = alerts.into_iter().map(|alert| shown_alert(alert, is_muted));
        shown.push(map([
            ("labels", Value::string_map(group.labels.iter())),
            ("receiver", group.receiver.as_str().into()),
            ("muted", strings(&group.muted_by)),
            ("alerts", list(alerts.collect())),
        ]));
    }
    shown
}

fn shown_alert(snapshot: &AlertSnapshot, is_muted: bool) -> Value {
    let alert = &snapshot.alert;
    let state = match snapshot.is_suppressed() || is_muted {
        true => "suppressed",
        false => "active",
    };
    map([
        ("state", state.into()),
        ("labels", Value::string_map(alert.labels.iter())),
        ("annotations", Value::string_map(alert.annotations.iter())),
        ("since", print_time(alert.starts_at_ms).into()),
        ("silences", strings(&snapshot.silenced_by)),
        ("inhibited", Value::Bool(snapshot.inhibited_by.is_some())),
        ("source", alert.generator_url.as_str().into()),
    ])
}

fn shown_silence((state, silence): &(SilenceState, Silence)) -> Value {
    map([
        ("id", silence.id.as_str().into()),
        ("state", state.as_str().into()),
        ("matchers", print_matchers(&silence.matchers).into()),
        ("comment", silence.comment.as_str().into()),
        ("author", silence.created_by.as_str().into()),
        ("from", print_time(silence.starts_at_ms).into()),
        ("to", print_time(silence.ends_at_ms).into()),
    ])
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries.map(|(name, value)| (name.to_owned(), value));
    Value::any_map(BTreeMap::from(entries))
}

fn list(items: Vec<Value>) -> Value {
    Value::list("[]interface {}", items)
}

fn strings(items: &[String]) -> Value {
    Value::strings(items.iter().map(String::as_str))
}

fn number(count: usize) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use model::Labels;
    use model::time::ManualClock;

    use crate::config::{AlertmanagerConfig, parse_matchers};
    use crate::{Alert, AlertmanagerOptions};

    const NOW_MS: i64 = 1_795_683_600_000;

    fn start() -> Alertmanager {
        let text =
            "route: {receiver: 'a<b>', group_by: [alertname]}\nreceivers: [{name: 'a<b>'}]\n";
        let options = AlertmanagerOptions {
            clock: Arc::new(ManualClock::at(NOW_MS)),
            ..AlertmanagerOptions::for_test()
        };
        Alertmanager::start(AlertmanagerConfig::parse(text).unwrap(), options).unwrap()
    }

    fn alert(index: usize) -> Alert {
        Alert {
            labels: Labels::from_pairs([
                ("alertname", "</script><b>"),
                ("index", index.to_string().as_str()),
            ]),
            annotations: Labels::from_pairs([("summary", "\"<i>\" & more")]),
            starts_at_ms: NOW_MS - 60_000,
            ends_at_ms: Some(NOW_MS + 60_000),
            generator_url: "javascript:alert(1)".to_owned(),
        }
    }

    #[tokio::test]
    async fn shows_what_there_is_and_no_markup_of_others() {
        let alertmanager = start();
        let page = render(&alertmanager, NOW_MS).unwrap();
        assert!(
            page.contains("No alerts.") && page.contains("No silences."),
            "{page}"
        );
        assert!(
            page.contains("<pre>route:") || page.contains("receiver: a&lt;b&gt;"),
            "{page}"
        );
        let silence = Silence {
            id: String::new(),
            matchers: parse_matchers("alertname=~\"<.*\", index=\"1\"").unwrap(),
            starts_at_ms: NOW_MS,
            ends_at_ms: NOW_MS + 3_600_000,
            updated_at_ms: 0,
            created_by: "me".to_owned(),
            comment: "<u>why</u>".to_owned(),
            annotations: BTreeMap::new(),
        };
        let id = alertmanager.set_silence(silence).await.unwrap();
        alertmanager.handle().notify(&[alert(1), alert(2)]);
        let page = render(&alertmanager, NOW_MS).unwrap();
        for expected in [
            "<title>Alertmanager: 2 alerts</title>",
            "<h3>alertname=\"&lt;/script&gt;&lt;b&gt;\" → a&lt;b&gt;</h3>",
            "<dd>&#34;&lt;i&gt;&#34; &amp; more</dd>",
            "<article class=\"suppressed\">",
            "<article class=\"active\">",
            "<a href=\"#ZgotmplZ\">source</a>",
            "data-labels=\"{&#34;alertname&#34;:&#34;\\u003c/script",
            "<code>{alertname=~&#34;&lt;.*&#34;,index=&#34;1&#34;}</code>",
            "<p>&lt;u&gt;why&lt;/u&gt;</p>",
        ] {
            assert!(page.contains(expected), "{expected}\n{page}");
        }
        assert!(
            page.contains(&format!("<a href=\"#silence-{id}\">silenced</a>")),
            "{page}"
        );
        for markup in ["<i>", "<u>", "<b>", "javascript:alert"] {
            assert!(!page.contains(markup), "{markup}\n{page}");
        }
    }

    #[tokio::test]
    async fn many_alerts_are_counted() {
        let alertmanager = start();
        let alerts: Vec<_> = (0..ALERTS_MAX + 7).map(alert).collect();
        alertmanager.handle().notify(&alerts);
        let page = render(&alertmanager, NOW_MS).unwrap();
        assert_eq!(page.matches("<article").count(), ALERTS_MAX);
        assert!(page.contains("And 7 more"), "{}", page.len());
    }

    /// The page needs nothing from elsewhere.
    #[test]
    fn the_page_is_whole() {
        let page = include_str!("page.html");
        for foreign in ["http:", "https:", "src=", "<link", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
