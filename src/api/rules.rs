//! Rule groups, alerts, and where alerts are sent.

pub(super) mod backtest;

use std::hash::{DefaultHasher, Hash, Hasher};

use alertmanager::rule::status::{
    AlertState, AlertStatus, AlertingStatus, GroupStatus, RuleStatus,
};
use model::{Matcher, float};
use net::json::LabelsJson;
use serde::Serialize;

use super::error::ApiError;
use super::json;
use super::params::{Params, parse_bool, parse_int};
use super::series::match_sets;
use super::status::{GO_ZERO_TIME, rfc3339};
use super::{Handled, Ready, blocking};

#[derive(Serialize)]
struct AlertJson<'a> {
    labels: LabelsJson<'a>,
    annotations: LabelsJson<'a>,
    state: &'static str,
    #[serde(rename = "activeAt")]
    active_at: String,
    #[serde(rename = "keepFiringSince", skip_serializing_if = "Option::is_none")]
    keep_firing_since: Option<String>,
    value: String,
}

impl<'a> AlertJson<'a> {
    fn new(alert: &'a AlertStatus) -> Self {
        AlertJson {
            labels: LabelsJson(&alert.labels),
            annotations: LabelsJson(&alert.annotations),
            state: alert.state.as_str(),
            active_at: rfc3339(alert.active_at_ms),
            keep_firing_since: alert.keep_firing_since_ms.map(rfc3339),
            value: float::format_exponent(alert.value),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum RuleJson<'a> {
    Alerting(AlertingRuleJson<'a>),
    Recording(RecordingRuleJson<'a>),
}

#[derive(Serialize)]
struct AlertingRuleJson<'a> {
    state: &'static str,
    name: &'a str,
    query: &'a str,
    duration: f64,
    #[serde(rename = "keepFiringFor")]
    keep_firing_for: f64,
    labels: LabelsJson<'a>,
    annotations: LabelsJson<'a>,
    /// `null` when alerts are excluded.
    alerts: Option<Vec<AlertJson<'a>>>,
    #[serde(flatten)]
    evaluation: EvaluationJson<'a>,
}

#[derive(Serialize)]
struct RecordingRuleJson<'a> {
    name: &'a str,
    query: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<LabelsJson<'a>>,
    #[serde(flatten)]
    evaluation: EvaluationJson<'a>,
}

#[derive(Serialize)]
struct EvaluationJson<'a> {
    health: &'static str,
    #[serde(rename = "lastError", skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a str>,
    #[serde(rename = "evaluationTime")]
    evaluation_seconds: f64,
    #[serde(rename = "lastEvaluation")]
    last_evaluation: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    name: &'a str,
    file: &'a str,
    rules: Vec<RuleJson<'a>>,
    interval: f64,
    limit: usize,
    #[serde(rename = "evaluationTime")]
    evaluation_seconds: f64,
    #[serde(rename = "lastEvaluation")]
    last_evaluation: String,
}

#[derive(Serialize)]
struct RulesJson<'a> {
    groups: Vec<GroupJson<'a>>,
    #[serde(rename = "groupNextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// Returns the time of the last evaluation, or Go's zero time.
fn evaluated(ms: Option<i64>) -> String {
    ms.map_or_else(|| GO_ZERO_TIME.to_owned(), rfc3339)
}

impl<'a> RuleJson<'a> {
    fn new(rule: &'a RuleStatus, excludes_alerts: bool) -> Self {
        let evaluation = EvaluationJson {
            health: rule.health.as_str(),
            last_error: rule.last_error.as_deref().filter(|error| !error.is_empty()),
            evaluation_seconds: rule.evaluation_seconds,
            last_evaluation: evaluated(rule.last_evaluation_ms),
            kind: if rule.alerting.is_some() {
                "alerting"
            } else {
                "recording"
            },
        };
        let (name, query) = (rule.name.as_str(), rule.query.as_str());
        match &rule.alerting {
            Some(alerting) => RuleJson::Alerting(AlertingRuleJson {
                state: alerting.state.as_str(),
                name,
                query,
                duration: alerting.duration.as_secs_f64(),
                keep_firing_for: alerting.keep_firing_for.as_secs_f64(),
                labels: LabelsJson(&rule.labels),
                annotations: LabelsJson(&alerting.annotations),
                alerts: (!excludes_alerts).then(|| alerts_of(alerting)),
                evaluation,
            }),
            None => RuleJson::Recording(RecordingRuleJson {
                name,
                query,
                labels: (!rule.labels.is_empty()).then_some(LabelsJson(&rule.labels)),
                evaluation,
            }),
        }
    }
}

fn alerts_of(alerting: &AlertingStatus) -> Vec<AlertJson<'_>> {
    let active = alerting
        .alerts
        .iter()
        .filter(|alert| AlertState::Inactive < alert.state);
    active.map(AlertJson::new).collect()
}

/// Which rules are wanted.
#[derive(Debug)]
struct Filter {
    /// Whether it is alerting rules (`true`) or recording rules.
    alerting: Option<bool>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    /// A rule passes when its labels pass all matchers of one of these, or when there is none.
    matcher_sets: Vec<Vec<Matcher>>,
    excludes_alerts: bool,
    /// Groups per page; 0 is all.
    page_groups: usize,
    /// Where the page starts.
    token: Option<String>,
}

impl Filter {
    fn of(params: &Params) -> Result<Self, ApiError> {
        let list = |name: &str| params.all(name).map(str::to_owned).collect::<Vec<_>>();
        let kind = params.first("type").to_lowercase();
        let alerting = match kind.as_str() {
            "" => None,
            "alert" => Some(true),
            "record" => Some(false),
            other => {
                let quoted = model::name::Quoted(other);
                return Err(ApiError::parameter(
                    "type",
                    format_args!("not supported value {quoted}"),
                ));
            }
        };
        let excludes_alerts = match params.given("exclude_alerts") {
            None => false,
            Some(text) => parse_bool(text).map_err(|what| {
                ApiError::parameter(
                    "exclude_alerts",
                    format_args!("error converting exclude_alerts: {what}"),
                )
            })?,
        };
        let (page_groups, token) = page_of(params)?;
        Ok(Filter {
            alerting,
            names: list("rule_name[]"),
            groups: list("rule_group[]"),
            files: list("file[]"),
            matcher_sets: match_sets(params).map_err(ApiError::BadData)?,
            excludes_alerts,
            page_groups,
            token,
        })
    }

    fn takes_group(&self, group: &GroupStatus) -> bool {
        let among = |list: &[String], name: &str| {
            list.is_empty() || list.iter().any(|wanted| wanted == name)
        };
        among(&self.groups, &group.name) && among(&self.files, &group.file)
    }

    fn takes_rule(&self, rule: &RuleStatus) -> bool {
        let passes = |matchers: &Vec<Matcher>| {
            matchers
                .iter()
                .all(|matcher| matcher.matches_labels(&rule.labels))
        };
        self.alerting
            .is_none_or(|alerting| alerting == rule.alerting.is_some())
            && (self.names.is_empty() || self.names.contains(&rule.name))
            && (self.matcher_sets.is_empty() || self.matcher_sets.iter().any(passes))
    }
}

/// Returns the page's size, 0 for all, and the token that it starts at.
fn page_of(params: &Params) -> Result<(usize, Option<String>), ApiError> {
    let token = params.given("group_next_token").map(str::to_owned);
    let Some(text) = params.given("group_limit") else {
        return match token {
            None => Ok((0, None)),
            Some(_) => Err(ApiError::parameter(
                "group_next_token",
                "group_limit needs to be present in order to paginate over the groups",
            )),
        };
    };
    let limit = parse_int(text, "ParseInt").map_err(|what| {
        ApiError::parameter(
            "group_limit",
            format_args!("group_limit needs to be a valid number: {what}"),
        )
    })?;
    match usize::try_from(limit) {
        Ok(limit) if 0 < limit => Ok((limit, token)),
        _ => Err(ApiError::parameter(
            "group_limit",
            "group_limit needs to be greater than 0",
        )),
    }
}

/// Returns the token of the page that starts at `group`; opaque to clients, stable while this build runs.
fn token_of(group: &GroupStatus) -> String {
    let mut hasher = DefaultHasher::new();
    (&group.file, &group.name).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn page<'a>(
    groups: &'a [impl AsRef<GroupStatus>],
    filter: &Filter,
) -> Result<RulesJson<'a>, ApiError> {
    let from = match &filter.token {
        None => 0,
        Some(token) => groups
            .iter()
            .position(|group| token_of(group.as_ref()) == *token)
            .ok_or_else(|| {
                let what =
                    format_args!("invalid group_next_token '{token}'. were rule groups changed?")
                        .to_string();
                ApiError::parameter("group_next_token", what)
            })?,
    };
    let mut shown = RulesJson {
        groups: Vec::new(),
        next_token: None,
    };
    for group in groups[from..]
        .iter()
        .map(AsRef::as_ref)
        .filter(|group| filter.takes_group(group))
    {
        let rules = group.rules.iter().filter(|rule| filter.takes_rule(rule));
        let rules: Vec<_> = rules
            .map(|rule| RuleJson::new(rule, filter.excludes_alerts))
            .collect();
        if rules.is_empty() {
            continue;
        }
        if 0 < filter.page_groups && shown.groups.len() == filter.page_groups {
            shown.next_token = Some(token_of(group));
            break;
        }
        shown.groups.push(GroupJson {
            name: &group.name,
            file: &group.file,
            rules,
            interval: group.interval.as_secs_f64(),
            limit: group.limit,
            evaluation_seconds: group.evaluation_seconds,
            last_evaluation: evaluated(group.last_evaluation_ms),
        });
    }
    Ok(shown)
}

/// `/api/v1/rules`: the groups by file and name.
pub(super) async fn rules(Ready(api): Ready, params: Params) -> Handled {
    let filter = Filter::of(&params)?;
    blocking(move || {
        let groups = api.rules.groups();
        Ok(json::success_of(&page(&groups, &filter)?))
    })
    .await
}

#[derive(Serialize)]
struct AlertsJson<'a> {
    alerts: Vec<AlertJson<'a>>,
}

/// `/api/v1/alerts`: all pending and firing alerts.
pub(super) async fn alerts(Ready(api): Ready) -> Handled {
    blocking(move || {
        let alerts = api.rules.alerts();
        let active = alerts
            .iter()
            .filter(|alert| AlertState::Inactive < alert.state);
        Ok(json::success_of(&AlertsJson {
            alerts: active.map(AlertJson::new).collect(),
        }))
    })
    .await
}

#[derive(Serialize)]
struct AlertmanagerJson {
    url: String,
}

#[derive(Serialize)]
struct AlertmanagersJson {
    #[serde(rename = "activeAlertmanagers")]
    active: Vec<AlertmanagerJson>,
    #[serde(rename = "droppedAlertmanagers")]
    dropped: Vec<AlertmanagerJson>,
}

/// `/api/v1/alertmanagers`: where alerts are sent, and where they would be without relabelling.
pub(super) async fn alertmanagers(Ready(api): Ready) -> Handled {
    let urls = (api.alertmanagers)();
    let list = |urls: Vec<String>| {
        let urls = urls.into_iter();
        urls.map(|url| AlertmanagerJson { url }).collect()
    };
    Ok(json::success_of(&AlertmanagersJson {
        active: list(urls.active),
        dropped: list(urls.dropped),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, params};
    use alertmanager::rule::status::Health;
    use model::{Duration, Labels};
    use std::sync::Arc;

    fn alert(state: AlertState, keep_firing_since_ms: Option<i64>) -> AlertStatus {
        AlertStatus {
            labels: Labels::from_pairs([("alertname", "Dead"), ("job", "x")]),
            annotations: Labels::from_pairs([("summary", "a < b")]),
            state,
            active_at_ms: 1_500,
            keep_firing_since_ms,
            value: 0.0,
        }
    }

    fn rule(name: &str, alerting: Option<AlertingStatus>) -> RuleStatus {
        RuleStatus {
            name: name.to_owned(),
            query: "up > 0".to_owned(),
            labels: Labels::from_pairs([("severity", "page")]),
            health: Health::Ok,
            last_error: None,
            evaluation_seconds: 0.000_306_153,
            last_evaluation_ms: Some(2_000),
            alerting,
        }
    }

    fn group(name: &str, rules: Vec<RuleStatus>) -> Arc<GroupStatus> {
        Arc::new(GroupStatus {
            name: name.to_owned(),
            file: "rules.yml".to_owned(),
            interval: Duration::from_ms(1_500),
            query_offset: Duration::ZERO,
            limit: 10,
            rules,
            evaluation_seconds: 0.5,
            last_evaluation_ms: None,
        })
    }

    fn groups() -> Vec<Arc<GroupStatus>> {
        let alerting = AlertingStatus {
            state: AlertState::Firing,
            duration: Duration::from_secs(4),
            keep_firing_for: Duration::ZERO,
            annotations: Labels::empty(),
            alerts: vec![
                alert(AlertState::Firing, Some(3_000)),
                alert(AlertState::Inactive, None),
            ],
        };
        let failed = RuleStatus {
            labels: Labels::empty(),
            health: Health::Err,
            last_error: Some("bad".to_owned()),
            ..rule("c:d", None)
        };
        vec![
            group("g1", vec![rule("a:b", None), rule("Dead", Some(alerting))]),
            group("g2", vec![failed]),
            group("g3", vec![rule("e:f", None)]),
        ]
    }

    fn shown(query: &str) -> Result<String, ApiError> {
        let groups = groups();
        let mut out = Vec::new();
        json::append_serialized(&mut out, &page(&groups, &Filter::of(&params(query))?)?);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn golden() {
        let expected = concat!(
            r#"{"groups":[{"name":"g1","file":"rules.yml","rules":["#,
            r#"{"name":"a:b","query":"up \u003e 0","labels":{"severity":"page"},"health":"ok","#,
            r#""evaluationTime":0.000306153,"lastEvaluation":"1970-01-01T00:00:02Z","type":"recording"},"#,
            r#"{"state":"firing","name":"Dead","query":"up \u003e 0","duration":4,"keepFiringFor":0,"#,
            r#""labels":{"severity":"page"},"annotations":{},"#,
            r#""alerts":[{"labels":{"alertname":"Dead","job":"x"},"annotations":{"summary":"a \u003c b"},"state":"firing","#,
            r#""activeAt":"1970-01-01T00:00:01.5Z","keepFiringSince":"1970-01-01T00:00:03Z","value":"0e+00"}],"#,
            r#""health":"ok","evaluationTime":0.000306153,"lastEvaluation":"1970-01-01T00:00:02Z","type":"alerting"}],"#,
            r#""interval":1.5,"limit":10,"evaluationTime":0.5,"lastEvaluation":"0001-01-01T00:00:00Z"}]}"#,
        );
        assert_eq!(shown("rule_group[]=g1").unwrap(), expected);
        let expected = concat!(
            r#"{"groups":[{"name":"g2","file":"rules.yml","rules":[{"name":"c:d","query":"up \u003e 0","health":"err","#,
            r#""lastError":"bad","evaluationTime":0.000306153,"lastEvaluation":"1970-01-01T00:00:02Z","type":"recording"}],"#,
            r#""interval":1.5,"limit":10,"evaluationTime":0.5,"lastEvaluation":"0001-01-01T00:00:00Z"}]}"#,
        );
        assert_eq!(shown("rule_group[]=g2").unwrap(), expected);
        assert!(
            shown("type=alert&exclude_alerts=true")
                .unwrap()
                .contains(r#""alerts":null"#)
        );
    }

    /// Checks which rules are shown, by name.
    #[track_caller]
    fn check(query: &str, expected: &[&str]) {
        let shown = shown(query).unwrap();
        let names: Vec<_> = ["a:b", "Dead", "c:d", "e:f"]
            .into_iter()
            .filter(|name| shown.contains(&format!("\"name\":\"{name}\"")))
            .collect();
        assert_eq!(names, expected, "{query}");
    }

    #[test]
    fn filters() {
        check("", &["a:b", "Dead", "c:d", "e:f"]);
        check("type=ALERT", &["Dead"]);
        check("type=record", &["a:b", "c:d", "e:f"]);
        check("rule_name[]=a:b&rule_name[]=c:d", &["a:b", "c:d"]);
        check("rule_group[]=g2&file[]=x", &[]);
        check("match[]={severity=\"page\"}", &["a:b", "Dead", "e:f"]);
    }

    #[test]
    fn pages_follow_one_another() {
        let groups = groups();
        let first = shown("group_limit=2").unwrap();
        let token = token_of(&groups[2]);
        assert!(
            first.ends_with(&format!(r#","groupNextToken":"{token}"}}"#)),
            "{first}"
        );
        check("group_limit=2", &["a:b", "Dead", "c:d"]);
        check(&format!("group_limit=2&group_next_token={token}"), &["e:f"]);
        assert!(!shown("group_limit=3").unwrap().contains("groupNextToken"));
    }

    #[tokio::test]
    async fn endpoints_answer() {
        let api = Api::new();
        api.check(
            "/api/v1/rules",
            200,
            r#"{"status":"success","data":{"groups":[]}}"#,
        )
        .await;
        api.check(
            "/api/v1/alerts",
            200,
            r#"{"status":"success","data":{"alerts":[]}}"#,
        )
        .await;
        let expected = r#"{"status":"success","data":{"activeAlertmanagers":[{"url":"http://am:9093/api/v2/alerts"}],"droppedAlertmanagers":[{"url":"http://old:9093/api/v2/alerts"}]}}"#;
        api.check("/api/v1/alertmanagers", 200, expected).await;
    }

    #[test]
    fn bad_parameters() {
        let check = |query: &str, text: &str| {
            assert_eq!(
                shown(query),
                Err(ApiError::BadData(text.to_owned())),
                "{query}"
            );
        };
        check(
            "type=x",
            "invalid parameter \"type\": not supported value \"x\"",
        );
        check(
            "exclude_alerts=x",
            "invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"x\": invalid syntax",
        );
        check(
            "match[]={",
            "1:2: parse error: unexpected end of input inside braces",
        );
        check(
            "group_limit=0",
            "invalid parameter \"group_limit\": group_limit needs to be greater than 0",
        );
        check(
            "group_limit=x",
            "invalid parameter \"group_limit\": group_limit needs to be a valid number: strconv.ParseInt: parsing \"x\": invalid syntax",
        );
        check(
            "group_next_token=abc",
            "invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups",
        );
        check(
            "group_limit=1&group_next_token=abc",
            "invalid parameter \"group_next_token\": invalid group_next_token 'abc'. were rule groups changed?",
        );
    }
}
