//! What is scraped: targets, pools, and what targets say about their families.

use std::collections::{BTreeMap, HashSet};

use model::labels::Labels;
use model::{Duration, LabelsBuilder, Matcher};
use net::json::LabelsJson;
use scraper::config::RelabelConfig;
use scraper::metadata::FamilyMetadata;
use scraper::{DroppedTarget, TargetMetadata, TargetState, TargetsSnapshot, relabel};
use serde::{Serialize, Serializer};

use super::error::ApiError;
use super::json;
use super::params::Params;
use super::series::matches_everything;
use super::status::{GO_ZERO_TIME, rfc3339};
use super::{Handled, Ready, blocking};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TargetsJson<'a> {
    active_targets: Vec<ActiveJson<'a>>,
    dropped_targets: Vec<DroppedJson<'a>>,
    /// `null` when only active targets are asked for.
    dropped_target_counts: Option<BTreeMap<&'a str, usize>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveJson<'a> {
    discovered_labels: LabelsJson<'a>,
    labels: LabelsJson<'a>,
    scrape_pool: &'a str,
    scrape_url: &'a str,
    global_url: &'a str,
    last_error: &'a str,
    last_scrape: String,
    /// In seconds.
    last_scrape_duration: f64,
    health: &'static str,
    #[serde(serialize_with = "as_text")]
    scrape_interval: Duration,
    #[serde(serialize_with = "as_text")]
    scrape_timeout: Duration,
}

fn as_text<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(duration)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DroppedJson<'a> {
    discovered_labels: LabelsJson<'a>,
    scrape_pool: &'a str,
}

impl<'a> ActiveJson<'a> {
    fn new(target: &'a TargetState) -> Self {
        let is_scraped = 0 < target.last_scrape_ms;
        ActiveJson {
            discovered_labels: LabelsJson(&target.discovered_labels),
            labels: LabelsJson(&target.labels),
            scrape_pool: &target.pool,
            scrape_url: &target.scrape_url,
            global_url: &target.global_url,
            last_error: &target.last_error,
            last_scrape: if is_scraped {
                rfc3339(target.last_scrape_ms)
            } else {
                GO_ZERO_TIME.to_owned()
            },
            last_scrape_duration: target.last_duration_s,
            health: target.health.as_str(),
            scrape_interval: target.interval,
            scrape_timeout: target.timeout,
        }
    }
}

impl<'a> DroppedJson<'a> {
    fn new(target: &'a DroppedTarget) -> Self {
        DroppedJson {
            discovered_labels: LabelsJson(&target.discovered_labels),
            scrape_pool: &target.pool,
        }
    }
}

/// Returns the targets of `snapshot` that `params` ask for.
fn shown<'a>(snapshot: &'a TargetsSnapshot, params: &Params) -> TargetsJson<'a> {
    let state = params.first("state").to_lowercase();
    let wants = |kind: &str| state.is_empty() || state == "any" || state == kind;
    let pool = params.given("scrapePool");
    let is_in_pool = |name: &str| pool.is_none_or(|pool| pool == name);
    let active = snapshot
        .active
        .iter()
        .filter(|target| wants("active") && is_in_pool(&target.pool));
    let dropped = snapshot
        .dropped
        .iter()
        .filter(|target| wants("dropped") && is_in_pool(&target.pool));
    let counts = snapshot
        .dropped_counts
        .iter()
        .map(|(pool, count)| (pool.as_str(), *count));
    TargetsJson {
        active_targets: active.map(ActiveJson::new).collect(),
        dropped_targets: dropped.map(DroppedJson::new).collect(),
        dropped_target_counts: wants("dropped").then(|| counts.collect()),
    }
}

/// `/api/v1/targets`: what is scraped and how that goes, and what relabelling dropped.
pub(super) async fn targets(Ready(api): Ready, params: Params) -> Handled {
    blocking(move || Ok(json::success_of(&shown(&api.scraper.targets(), &params)))).await
}

#[derive(Serialize)]
struct StepsJson<'a> {
    steps: Vec<StepJson<'a>>,
}

#[derive(Serialize)]
struct StepJson<'a> {
    rule: RelabelConfig,
    output: LabelsJson<'a>,
    keep: bool,
}

/// `/api/v1/targets/relabel_steps`: what each relabelling rule of a pool leaves of the labels of a target.
pub(super) async fn relabel_steps(Ready(api): Ready, params: Params) -> Handled {
    let given = |name| {
        let missing = || ApiError::BadData(format!("no {name} parameter provided"));
        params.given(name).ok_or_else(missing)
    };
    let (pool, labels) = (given("scrapePool")?, given("labels")?);
    let pairs: BTreeMap<String, String> = serde_json::from_str(labels)
        .map_err(|error| ApiError::BadData(format!("error parsing labels: {error}")))?;
    let rules = api.scraper.relabel_configs(pool).ok_or_else(|| {
        ApiError::BadData(format!(
            "error getting scrape config: scrape pool {pool:?} not found"
        ))
    })?;
    let mut labels = LabelsBuilder::new();
    for (name, value) in &pairs {
        labels.set(name, value);
    }
    let steps = relabel::steps(&rules, labels);
    let steps = rules.iter().zip(&steps).map(|(rule, step)| StepJson {
        rule: rule.filled(),
        output: LabelsJson(&step.output),
        keep: step.is_kept,
    });
    Ok(json::success_of(&StepsJson {
        steps: steps.collect(),
    }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolsJson {
    scrape_pools: Vec<String>,
}

/// `/api/v1/scrape_pools`: the names of the pools, sorted.
pub(super) async fn scrape_pools(Ready(api): Ready) -> Handled {
    Ok(json::success_of(&PoolsJson {
        scrape_pools: api.scraper.scrape_pools(),
    }))
}

#[derive(PartialEq, Eq, Hash, Serialize)]
struct FamilyJson<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    unit: &'a str,
    help: &'a str,
}

impl<'a> FamilyJson<'a> {
    fn new(family: &'a FamilyMetadata) -> Self {
        FamilyJson {
            kind: family.kind.as_str(),
            unit: &family.unit,
            help: &family.help,
        }
    }
}

/// Which families are wanted; a negative limit is none.
struct MetadataFilter<'a> {
    metric: Option<&'a str>,
    /// Families at most; 0 is none at all.
    limit: Option<usize>,
    /// Different metadata of one family at most.
    per_metric: Option<usize>,
}

impl<'a> MetadataFilter<'a> {
    fn of(params: &'a Params) -> Result<Self, ApiError> {
        let limit = |name| {
            params
                .number_or(name, -1)
                .map(|limit| usize::try_from(limit).ok())
        };
        Ok(MetadataFilter {
            metric: params.given("metric"),
            limit: limit("limit")?,
            per_metric: limit("limit_per_metric")?.filter(|&limit| 0 < limit),
        })
    }

    fn takes(&self, family: &FamilyMetadata) -> bool {
        self.metric.is_none_or(|metric| metric == &*family.name)
    }
}

/// Returns what the targets say about each family, every saying once, the first one first.
fn by_family<'a>(
    targets: &'a [TargetMetadata],
    filter: &MetadataFilter<'_>,
) -> BTreeMap<&'a str, Vec<FamilyJson<'a>>> {
    let mut seen = HashSet::new();
    let mut families: BTreeMap<&str, Vec<FamilyJson<'_>>> = BTreeMap::new();
    for target in targets {
        // Targets that say the same share one set.
        if !seen.insert(target.families.as_ptr()) {
            continue;
        }
        for family in target.families.iter().filter(|family| filter.takes(family)) {
            let sayings = families.entry(&family.name).or_default();
            let saying = FamilyJson::new(family);
            if filter.per_metric.is_none_or(|limit| sayings.len() < limit)
                && !sayings.contains(&saying)
            {
                sayings.push(saying);
            }
        }
    }
    if let Some(limit) = filter.limit
        && let Some((&first_cut, _)) = families.iter().nth(limit)
    {
        drop(families.split_off(first_cut));
    }
    families
}

/// `/api/v1/metadata`: type, unit and help by family, from all targets.
pub(super) async fn metadata(Ready(api): Ready, params: Params) -> Handled {
    MetadataFilter::of(&params)?;
    blocking(move || {
        Ok(json::success_of(&by_family(
            &api.scraper.metadata(),
            &MetadataFilter::of(&params)?,
        )))
    })
    .await
}

#[derive(Serialize)]
struct TargetFamilyJson<'a> {
    target: LabelsJson<'a>,
    /// Left out when one metric was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'static str,
    help: &'a str,
    unit: &'a str,
}

/// Returns the matchers of `match_target`, none if it is absent.
fn target_matchers(params: &Params) -> Result<Vec<Matcher>, ApiError> {
    let Some(text) = params.given("match_target") else {
        return Ok(Vec::new());
    };
    match promql::parse_selector(text) {
        Ok(matchers) => Ok(matchers),
        // Unlike with `match[]`, all targets may be asked for.
        Err(error) if matches_everything(&error) => Ok(Vec::new()),
        Err(error) => Err(ApiError::parameter("match_target", error)),
    }
}

fn by_target<'a>(
    targets: &'a [TargetMetadata],
    matchers: &[Matcher],
    filter: &MetadataFilter<'_>,
) -> Vec<TargetFamilyJson<'a>> {
    let passes = |labels: &Labels| {
        matchers
            .iter()
            .all(|matcher| matcher.matches_labels(labels))
    };
    let matching = targets.iter().filter(|target| passes(&target.target));
    let families =
        matching.flat_map(|target| target.families.iter().map(move |family| (target, family)));
    let wanted = families
        .filter(|(_, family)| filter.takes(family))
        .map(|(target, family)| TargetFamilyJson {
            target: LabelsJson(&target.target),
            metric: filter.metric.is_none().then_some(&*family.name),
            kind: family.kind.as_str(),
            help: &family.help,
            unit: &family.unit,
        });
    wanted.take(filter.limit.unwrap_or(usize::MAX)).collect()
}

/// `/api/v1/targets/metadata`: type, help and unit by target and family.
pub(super) async fn target_metadata(Ready(api): Ready, params: Params) -> Handled {
    let matchers = target_matchers(&params)?;
    MetadataFilter::of(&params)?;
    blocking(move || {
        let filter = MetadataFilter::of(&params)?;
        Ok(json::success_of(&by_target(
            &api.scraper.metadata(),
            &matchers,
            &filter,
        )))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Api, error, params};
    use model::metadata::MetricType;
    use scraper::Health;
    use std::sync::Arc;

    fn serialized(data: &impl Serialize) -> String {
        let mut out = Vec::new();
        json::append_serialized(&mut out, data);
        String::from_utf8(out).unwrap()
    }

    fn snapshot() -> TargetsSnapshot {
        let active = |pool: &str, last_scrape_ms| TargetState {
            pool: pool.to_owned(),
            discovered_labels: Labels::from_pairs([("__address__", "127.0.0.1:1"), ("job", pool)]),
            labels: Labels::from_pairs([("instance", "127.0.0.1:1"), ("job", pool)]),
            scrape_url: "http://127.0.0.1:1/metrics".to_owned(),
            global_url: "http://vm:1/metrics".to_owned(),
            last_error: String::new(),
            last_scrape_ms,
            last_duration_s: 0.000_490_841,
            health: if last_scrape_ms == 0 {
                Health::Unknown
            } else {
                Health::Up
            },
            interval: Duration::from_ms(2_000),
            timeout: Duration::from_ms(1_500),
        };
        let dropped = DroppedTarget {
            pool: "b".to_owned(),
            discovered_labels: Labels::from_pairs([("job", "b")]),
        };
        TargetsSnapshot {
            active: vec![active("a", 1_500), active("b", 0)],
            dropped: vec![dropped],
            dropped_counts: vec![("a".to_owned(), 0), ("b".to_owned(), 1)],
        }
    }

    #[test]
    fn golden() {
        let expected = concat!(
            r#"{"activeTargets":[{"discoveredLabels":{"__address__":"127.0.0.1:1","job":"a"},"#,
            r#""labels":{"instance":"127.0.0.1:1","job":"a"},"scrapePool":"a","scrapeUrl":"http://127.0.0.1:1/metrics","#,
            r#""globalUrl":"http://vm:1/metrics","lastError":"","lastScrape":"1970-01-01T00:00:01.5Z","#,
            r#""lastScrapeDuration":0.000490841,"health":"up","scrapeInterval":"2s","scrapeTimeout":"1s500ms"}],"#,
            r#""droppedTargets":[],"droppedTargetCounts":null}"#,
        );
        assert_eq!(
            serialized(&shown(&snapshot(), &params("state=active&scrapePool=a"))),
            expected
        );
        let expected = concat!(
            r#"{"activeTargets":[],"droppedTargets":[{"discoveredLabels":{"job":"b"},"scrapePool":"b"}],"#,
            r#""droppedTargetCounts":{"a":0,"b":1}}"#,
        );
        assert_eq!(
            serialized(&shown(&snapshot(), &params("state=DROPPED"))),
            expected
        );
        let never = serialized(&shown(&snapshot(), &params("scrapePool=b")));
        assert!(
            never.contains(r#""lastScrape":"0001-01-01T00:00:00Z""#)
                && never.contains(r#""health":"unknown""#),
            "{never}"
        );
    }

    #[track_caller]
    fn check_shown(query: &str, active: usize, dropped: usize) {
        let snapshot = snapshot();
        let shown = shown(&snapshot, &params(query));
        assert_eq!(
            (shown.active_targets.len(), shown.dropped_targets.len()),
            (active, dropped),
            "{query}"
        );
    }

    #[test]
    fn targets_are_filtered() {
        check_shown("", 2, 1);
        check_shown("state=any", 2, 1);
        check_shown("state=active", 2, 0);
        check_shown("state=dropped", 0, 1);
        check_shown("state=x", 0, 0);
        check_shown("scrapePool=nope", 0, 0);
    }

    fn metadata_of(pool: &str, families: &[(&str, &str)]) -> TargetMetadata {
        let family = |&(name, help): &(&str, &str)| {
            Arc::new(FamilyMetadata {
                name: name.into(),
                kind: MetricType::Counter,
                help: help.into(),
                unit: "".into(),
            })
        };
        TargetMetadata {
            pool: pool.to_owned(),
            target: Labels::from_pairs([("job", pool)]),
            families: families.iter().map(family).collect(),
        }
    }

    fn metadata() -> Vec<TargetMetadata> {
        vec![
            metadata_of("x", &[("b", "B."), ("a", "A.")]),
            metadata_of("y", &[("a", "Other."), ("b", "B.")]),
        ]
    }

    #[track_caller]
    fn check_families(query: &str, expected: &str) {
        let (params, metadata) = (params(query), metadata());
        assert_eq!(
            serialized(&by_family(&metadata, &MetadataFilter::of(&params).unwrap())),
            expected,
            "{query}"
        );
    }

    #[test]
    fn metadata_by_family() {
        let a = r#"{"type":"counter","unit":"","help":"A."}"#;
        let other = r#"{"type":"counter","unit":"","help":"Other."}"#;
        let b = r#""b":[{"type":"counter","unit":"","help":"B."}]"#;
        check_families("", &format!(r#"{{"a":[{a},{other}],{b}}}"#));
        check_families("limit=1", &format!(r#"{{"a":[{a},{other}]}}"#));
        check_families("limit=0", "{}");
        check_families("limit=-1&metric=b", &format!("{{{b}}}"));
        check_families("limit_per_metric=1", &format!(r#"{{"a":[{a}],{b}}}"#));
        check_families("limit_per_metric=0&metric=nope", "{}");
    }

    #[track_caller]
    fn check_targets(query: &str, expected: &str) {
        let (params, metadata) = (params(query), metadata());
        let (matchers, filter) = (
            target_matchers(&params).unwrap(),
            MetadataFilter::of(&params).unwrap(),
        );
        assert_eq!(
            serialized(&by_target(&metadata, &matchers, &filter)),
            expected,
            "{query}"
        );
    }

    #[test]
    fn metadata_by_target() {
        check_targets(
            "limit=1",
            r#"[{"target":{"job":"x"},"metric":"b","type":"counter","help":"B.","unit":""}]"#,
        );
        check_targets(
            "match_target={job=\"y\"}&metric=a",
            r#"[{"target":{"job":"y"},"type":"counter","help":"Other.","unit":""}]"#,
        );
        check_targets("match_target={}&limit=0", "[]");
        check_targets("match_target=x", "[]");
    }

    #[tokio::test]
    async fn endpoints_answer() {
        let api = Api::new();
        let data = |data: &str| format!(r#"{{"status":"success","data":{data}}}"#);
        api.check(
            "/api/v1/targets",
            200,
            &data(r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#),
        )
        .await;
        api.check("/api/v1/scrape_pools", 200, &data(r#"{"scrapePools":[]}"#))
            .await;
        api.check("/api/v1/metadata", 200, &data("{}")).await;
        api.check("/api/v1/targets/metadata", 200, &data("[]"))
            .await;
        for (query, reason) in [
            ("", "no scrapePool parameter provided"),
            ("?scrapePool=a", "no labels parameter provided"),
            (
                "?scrapePool=a&labels={}",
                r#"error getting scrape config: scrape pool \"a\" not found"#,
            ),
        ] {
            let path = format!("/api/v1/targets/relabel_steps{query}");
            api.check(&path, 400, &error("bad_data", reason)).await;
        }
        let number = error("bad_data", "limit must be a number");
        api.check("/api/v1/metadata?limit=x", 400, &number).await;
        api.check("/api/v1/targets/metadata?limit=x", 400, &number)
            .await;
        api.check(
            "/api/v1/metadata?limit_per_metric=x",
            400,
            &error("bad_data", "limit_per_metric must be a number"),
        )
        .await;
        let brace = error(
            "bad_data",
            r#"invalid parameter \"match_target\": 1:2: parse error: unexpected end of input inside braces"#,
        );
        api.check("/api/v1/targets/metadata?match_target={", 400, &brace)
            .await;
    }
}
