//! From a line's labels and its target's to those of the series: needed once per series.

use std::borrow::Cow;

use model::LabelsBuilder;
use model::labels::METRIC_NAME;
use model::metadata::MetricType;
use model::name::{is_legacy_label_name, is_legacy_metric_name};
use model::storage::{AppendError, Appender};

use super::ScrapeError;
use crate::cache::Destination;
use crate::config::{ScrapeConfig, ValidationScheme};
use crate::exposition::labels::{self, Pair};
use crate::relabel;
use crate::target::Target;

/// What a label of the target's own is renamed to when ours has the same name.
const EXPORTED_PREFIX: &str = "exported_";

/// How many labels a line may have, whatever the job allows: collecting and relabelling them is quadratic.
const LABELS_MAX: usize = 10_000;

/// Returns where the samples of a line go.
///
/// * `series`: the line's series as written; `kind`: the type of its family.
pub(super) fn resolve(
    config: &ScrapeConfig,
    target: &Target,
    series: &str,
    kind: MetricType,
    appender: &mut dyn Appender,
) -> Result<Destination, ScrapeError> {
    let mut exposed = Vec::with_capacity(16);
    labels::decode(series, kind, &mut exposed);
    check_unique(&mut exposed)?;
    check_count(config, target, &exposed)?;
    let mut builder = LabelsBuilder::new();
    for (name, value) in &exposed {
        builder.set(name, value);
    }
    attach(config, target, &exposed, &mut builder);
    if !relabel::apply(&config.metric_relabel_configs, &mut builder) || builder.is_empty() {
        return Ok(Destination::Dropped);
    }
    let mut pairs: Vec<(&str, &str)> = builder.iter().collect();
    pairs.sort_unstable();
    check(config, &pairs)?;
    appender
        .series(&pairs)
        .map(Destination::Series)
        .map_err(|error| match error {
            AppendError::InvalidLabels(why) => ScrapeError::InvalidLabels(why),
            other => ScrapeError::Storage(other),
        })
}

/// Two labels of one name mean that the target is confused, and Prometheus refuses the scrape too.
fn check_unique(exposed: &mut [Pair<'_>]) -> Result<(), ScrapeError> {
    exposed.sort_unstable();
    match exposed.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => {
            let message = format!("label name {:?} is not unique: invalid sample", pair[0].0);
            Err(ScrapeError::InvalidLabels(message))
        }
        None => Ok(()),
    }
}

/// Refuses a line with too many labels before anything is done with them.
///
/// * `exposed`: sorted.
fn check_count(
    config: &ScrapeConfig,
    target: &Target,
    exposed: &[Pair<'_>],
) -> Result<(), ScrapeError> {
    let metric = exposed
        .binary_search_by(|(name, _)| (**name).cmp(METRIC_NAME))
        .map_or("", |at| &*exposed[at].1);
    if LABELS_MAX < exposed.len() {
        let (metric, count) = (cut(metric), exposed.len());
        return Err(ScrapeError::LabelLimit(format!(
            "too many labels (metric: {metric}, number of labels: {count}, limit: {LABELS_MAX})"
        )));
    }
    // Rules may drop labels, and the limit is on what they leave.
    if !config.metric_relabel_configs.is_empty() {
        return Ok(());
    }
    let theirs = exposed.iter().filter(|(_, value)| !value.is_empty());
    let is_added = |name: &str| {
        config.honor_labels != Some(true)
            || exposed
                .binary_search_by(|(exposed, _)| (**exposed).cmp(name))
                .is_err()
    };
    let ours = target.labels.iter().filter(|(name, _)| is_added(name));
    check_label_limit(config, metric, theirs.count() + ours.count())
}

/// Adds the target's labels to those that were exposed.
///
/// Source: Prometheus' `mutateSampleLabels`.
fn attach(
    config: &ScrapeConfig,
    target: &Target,
    exposed: &[Pair<'_>],
    builder: &mut LabelsBuilder,
) {
    let value_of = |name: &str| {
        exposed
            .iter()
            .find(|(exposed, _)| exposed == name)
            .map(|(_, value)| value)
    };
    if config.honor_labels == Some(true) {
        for (name, value) in &target.labels {
            // An empty value of theirs counts: it says that the label must not be there.
            if value_of(name).is_none() {
                builder.set(name, value);
            }
        }
        return;
    }
    let mut conflicts: Vec<(&str, &Cow<'_, str>)> = Vec::new();
    for (name, value) in &target.labels {
        if let Some(theirs) = value_of(name).filter(|theirs| !theirs.is_empty()) {
            conflicts.push((name, theirs));
        }
        builder.set(name, value);
    }
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, theirs) in conflicts {
        let mut renamed = format!("{EXPORTED_PREFIX}{name}");
        while builder.get(&renamed).is_some() {
            renamed.insert_str(0, EXPORTED_PREFIX);
        }
        builder.set(&renamed, theirs);
    }
}

/// Checks the labels of a series against what the job allows.
fn check(config: &ScrapeConfig, pairs: &[(&str, &str)]) -> Result<(), ScrapeError> {
    let metric = pairs
        .iter()
        .find(|(name, _)| *name == METRIC_NAME)
        .map(|(_, value)| *value);
    let Some(metric) = metric else {
        return Err(ScrapeError::InvalidLabels(
            "missing metric name (__name__ label)".to_owned(),
        ));
    };
    if config.metric_name_validation_scheme == Some(ValidationScheme::Legacy) {
        let is_bad = |&&(name, _): &&(&str, &str)| !is_legacy_label_name(name);
        if !is_legacy_metric_name(metric) || pairs.iter().find(is_bad).is_some() {
            let message = format!("invalid metric name or label names: {metric}");
            return Err(ScrapeError::InvalidLabels(message));
        }
    }
    check_limits(config, metric, pairs)
}

fn check_limits(
    config: &ScrapeConfig,
    metric: &str,
    pairs: &[(&str, &str)],
) -> Result<(), ScrapeError> {
    check_label_limit(config, metric, pairs.len())?;
    let metric = cut(metric);
    for (name, value) in pairs {
        if let Some(limit) = exceeds(name.len(), config.label_name_length_limit) {
            let (label, length) = (cut(name), name.len());
            return Err(ScrapeError::LabelLimit(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {label}, length: {length}, limit: {limit})"
            )));
        }
        if let Some(limit) = exceeds(value.len(), config.label_value_length_limit) {
            let (label, length, value) = (cut(name), value.len(), cut(value));
            return Err(ScrapeError::LabelLimit(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {label}, value: {value:?}, length: {length}, limit: {limit})"
            )));
        }
    }
    Ok(())
}

fn check_label_limit(config: &ScrapeConfig, metric: &str, count: usize) -> Result<(), ScrapeError> {
    let Some(limit) = exceeds(count, config.label_limit) else {
        return Ok(());
    };
    let metric = cut(metric);
    Err(ScrapeError::LabelLimit(format!(
        "label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})"
    )))
}

/// Returns `limit` if there is one and `size` exceeds it.
fn exceeds(size: usize, limit: Option<u64>) -> Option<u64> {
    limit.filter(|&limit| limit != 0 && limit < size as u64)
}

/// Returns the first 50 characters.
fn cut(text: &str) -> &str {
    text.char_indices()
        .nth(50)
        .map_or(text, |(end, _)| &text[..end])
}
