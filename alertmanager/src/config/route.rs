//! The routing tree: which receivers hear of an alert, and in which groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::name::{Quoted, is_legacy_label_name};
use model::{Duration, Labels, Matcher};

use super::matchers::print_matchers;
use super::text::{RouteFields, all_matchers, matcher_mode};
use crate::timeinterval::TimeInterval;

/// Routes inside routes, at most.
const DEPTH_MAX: usize = 50;

/// One node of the routing tree, inherited settings filled in.
#[derive(Clone, Debug)]
pub struct Route {
    /// What tells this route from others: the path of matchers from the root.
    pub key: String,
    /// Who hears of its alerts.
    pub receiver: String,
    /// Which alerts go into one notification.
    pub group_by: GroupBy,
    /// How long a new group waits for further alerts.
    pub group_wait: Duration,
    /// How long a group waits before it tells of changes.
    pub group_interval: Duration,
    /// How long a group waits before it tells the same again.
    pub repeat_interval: Duration,
    /// Which alerts it takes; all must match.
    pub matchers: Vec<Matcher>,
    /// Whether later siblings are tried after this one took an alert.
    pub continues: bool,
    /// The time intervals in which its groups tell nothing; not inherited.
    pub mute_time_intervals: Vec<String>,
    /// The only time intervals in which its groups tell something, if there are any; not inherited.
    pub active_time_intervals: Vec<String>,
    /// Its labels and those of the routes above it; the values are templates.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Its children, in order.
    pub routes: Vec<Route>,
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
            && self.receiver == other.receiver
            && self.group_by == other.group_by
            && (self.group_wait, self.group_interval, self.repeat_interval)
                == (
                    other.group_wait,
                    other.group_interval,
                    other.repeat_interval,
                )
            && self.continues == other.continues
            && self.mute_time_intervals == other.mute_time_intervals
            && self.active_time_intervals == other.active_time_intervals
            && self.labels == other.labels
            && self.routes == other.routes
    }
}

/// Which labels make alerts one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupBy {
    /// All of them: every alert is a group.
    All,
    /// These; none means one group for all alerts of the route.
    Labels(BTreeSet<String>),
}

impl GroupBy {
    /// Returns the labels of the group that an alert belongs to.
    pub fn group_labels(&self, labels: &Labels) -> Labels {
        match self {
            GroupBy::All => labels.clone(),
            GroupBy::Labels(names) => labels.without(|name| !names.contains(name)),
        }
    }
}

impl Route {
    /// Returns the routes that take an alert: depth first; a node takes it itself only when none of its children does.
    pub fn matching(&self, labels: &Labels) -> Vec<&Route> {
        if !self
            .matchers
            .iter()
            .all(|matcher| matcher.matches_labels(labels))
        {
            return Vec::new();
        }
        let mut found = Vec::new();
        for route in &self.routes {
            let deeper = route.matching(labels);
            let is_taken = !deeper.is_empty();
            found.extend(deeper);
            if is_taken && !route.continues {
                break;
            }
        }
        if found.is_empty() {
            found.push(self);
        }
        found
    }
}

/// Builds the tree and checks it.
pub(super) fn root(
    text: &RouteFields,
    receivers: &BTreeSet<&str>,
    intervals: &BTreeMap<String, Vec<TimeInterval>>,
    warnings: &mut Vec<String>,
) -> Result<Route, String> {
    if text.receiver.is_empty() {
        return Err("root route must specify a default receiver".to_owned());
    }
    if !text.matchers.list.is_empty() || !text.equal.is_empty() || !text.regex.is_empty() {
        return Err("root route must not have any matchers".to_owned());
    }
    if !text.mute_time_intervals.is_empty() {
        return Err("root route must not have any mute time intervals".to_owned());
    }
    if !text.active_time_intervals.is_empty() {
        return Err("root route must not have any active time intervals".to_owned());
    }
    if text.continues {
        return Err("cannot have continue in root route".to_owned());
    }
    let parent = Route {
        key: String::new(),
        receiver: String::new(),
        group_by: GroupBy::Labels(BTreeSet::new()),
        group_wait: Duration::from_secs(30),
        group_interval: Duration::from_secs(300),
        repeat_interval: Duration::from_secs(4 * 3_600),
        matchers: Vec::new(),
        continues: false,
        mute_time_intervals: Vec::new(),
        active_time_intervals: Vec::new(),
        labels: Arc::default(),
        routes: Vec::new(),
    };
    let mut builder = Builder {
        receivers,
        intervals,
        warnings,
    };
    builder.route(text, &parent, 0)
}

struct Builder<'a> {
    receivers: &'a BTreeSet<&'a str>,
    intervals: &'a BTreeMap<String, Vec<TimeInterval>>,
    warnings: &'a mut Vec<String>,
}

impl Builder<'_> {
    fn route(&mut self, text: &RouteFields, parent: &Route, depth: usize) -> Result<Route, String> {
        if DEPTH_MAX < depth {
            return Err(format!("routes are nested deeper than {DEPTH_MAX}"));
        }
        let receiver = match text.receiver.as_str() {
            "" => parent.receiver.clone(),
            name => name.to_owned(),
        };
        if !self.receivers.contains(receiver.as_str()) {
            return Err(format!(
                "undefined receiver {} used in route",
                Quoted(&receiver)
            ));
        }
        self.check_names(text)?;
        let matchers = all_matchers(&text.equal, &text.regex, &text.matchers)?;
        self.warnings.extend(text.matchers.warnings.iter().cloned());
        let key = match depth {
            0 => print_matchers(&matchers),
            _ => format!("{}/{}", parent.key, print_matchers(&matchers)),
        };
        let mut route = Route {
            key,
            receiver,
            group_by: match &text.group_by {
                Some(names) => group_by(names)?,
                None => parent.group_by.clone(),
            },
            group_wait: text.group_wait.unwrap_or(parent.group_wait),
            group_interval: text.group_interval.unwrap_or(parent.group_interval),
            repeat_interval: text.repeat_interval.unwrap_or(parent.repeat_interval),
            matchers,
            continues: text.continues,
            mute_time_intervals: text.mute_time_intervals.clone(),
            active_time_intervals: text.active_time_intervals.clone(),
            labels: merged(&parent.labels, &text.labels),
            routes: Vec::new(),
        };
        if route.repeat_interval < route.group_interval {
            self.warnings.push(format!(
                "route {}: repeat_interval {} is below group_interval {}, which decides then",
                route.key, route.repeat_interval, route.group_interval
            ));
        }
        for child in &text.routes {
            let child = self.route(&child.0, &route, depth + 1)?;
            route.routes.push(child);
        }
        Ok(route)
    }

    fn check_names(&mut self, text: &RouteFields) -> Result<(), String> {
        let names = text.mute_time_intervals.iter();
        for name in names.chain(&text.active_time_intervals) {
            if !self.intervals.contains_key(name) {
                return Err(format!(
                    "undefined time interval {} used in route",
                    Quoted(name)
                ));
            }
        }
        Ok(())
    }
}

/// Returns the labels of a route: its own, and those of its parent that it does not have itself.
fn merged(
    parent: &Arc<BTreeMap<String, String>>,
    own: &BTreeMap<String, String>,
) -> Arc<BTreeMap<String, String>> {
    if own.is_empty() {
        return Arc::clone(parent);
    }
    let mut labels = BTreeMap::clone(parent);
    labels.extend(own.clone());
    Arc::new(labels)
}

fn group_by(names: &[String]) -> Result<GroupBy, String> {
    let mut labels = BTreeSet::new();
    let is_all = names.iter().any(|name| name == "...");
    for name in names.iter().filter(|name| *name != "...") {
        if !labels.insert(name.clone()) {
            return Err(format!("duplicated label {} in group_by", Quoted(name)));
        }
    }
    match (is_all, labels.is_empty()) {
        (true, true) => Ok(GroupBy::All),
        (true, false) => Err(
            "cannot have wildcard group_by (`...`) and other labels at the same time".to_owned(),
        ),
        (false, _) => Ok(GroupBy::Labels(labels)),
    }
}

/// Checks what can be said of a route by itself.
pub(super) fn check(text: &RouteFields) -> Result<(), String> {
    let names = text.group_by.as_deref().unwrap_or_default();
    let is_bad = |name: &&String| *name != "..." && !matcher_mode().is_label_name(name);
    if let Some(name) = names.iter().find(is_bad) {
        return Err(format!(
            "invalid label name {} in group_by list",
            Quoted(name)
        ));
    }
    group_by(names)?;
    if let Some(name) = text.labels.keys().find(|name| !is_legacy_label_name(name)) {
        return Err(format!("invalid label name {} in labels", Quoted(name)));
    }
    for (what, duration) in [
        ("group_interval", text.group_interval),
        ("repeat_interval", text.repeat_interval),
    ] {
        if duration == Some(Duration::ZERO) {
            return Err(format!("{what} cannot be zero"));
        }
    }
    Ok(())
}
