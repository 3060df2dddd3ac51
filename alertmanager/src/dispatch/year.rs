//! A year of alerts, against a plain model of what people are told: no index, no cache, nothing forgotten.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::config::parse_matchers;
use crate::silence::Silence;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const YEAR: i64 = 365 * DAY;

const CONFIG: &str = "
route:
  receiver: all
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
  - matchers: [severity=page]
    receiver: page
    group_by: ['...']
    group_wait: 0s
    group_interval: 1m
    repeat_interval: 1d
    continue: true
  - matchers: [severity=low]
    receiver: low
    group_by: []
    group_interval: 1h
    repeat_interval: 5d
    mute_time_intervals: [nights]
time_intervals:
- name: nights
  time_intervals: [{times: [{start_time: '00:00', end_time: '07:00'}]}, {weekdays: [sunday]}]
inhibit_rules:
- source_matchers: [severity=page]
  target_matchers: [severity=low]
  equal: [job]
receivers:
- name: all
  webhook_configs: [{url: 'http://x/'}, {url: 'http://x/', send_resolved: false}]
- name: page
  webhook_configs: [{url: 'http://x/'}]
- name: low
  webhook_configs: [{url: 'http://x/'}]
";

/// Something that comes from outside.
#[derive(Clone, Debug)]
enum Event {
    /// An alert fires, and goes on for this long if it is not heard of again.
    Fire(usize, i64),
    Resolve(usize),
    /// A silence for alerts with this job, from now on for this long.
    Silence(usize, i64),
    /// The end of all silences.
    Unsilence,
    Reload,
}

fn labels(alert: usize) -> Labels {
    let name = ["A", "B"][alert % 2];
    let severity = ["page", "low", "none"][alert / 2 % 3];
    let job = ["x", "y"][alert / 6 % 2];
    Labels::from_pairs([("alertname", name), ("job", job), ("severity", severity)])
}

const ALERTS: usize = 12;

#[derive(Clone, Copy, Debug)]
struct Plain {
    start: i64,
    end: i64,
}

struct PlainGroup {
    route: usize,
    labels: Labels,
    members: BTreeMap<usize, Plain>,
    due: i64,
    is_flushed: bool,
}

/// When who was told what: firing and resolved ones.
type Told = (i64, String, Vec<usize>, Vec<usize>);

/// The model. Routes are numbered: 0 the root, 1 and 2 its children.
struct Model {
    config: Arc<AlertmanagerConfig>,
    alerts: BTreeMap<usize, Plain>,
    groups: Vec<PlainGroup>,
    silences: Vec<(usize, i64, i64)>,
    /// All log entries there ever were: receiver and index, route and labels, time, firing, resolved.
    history: Vec<(String, i64, Vec<usize>, Vec<usize>)>,
    told: Vec<Told>,
}

impl Model {
    fn route(&self, route: usize) -> &Route {
        match route {
            0 => &self.config.route,
            child => &self.config.route.routes[child - 1],
        }
    }

    /// Page goes to its own route and on; nothing else takes it, as the root is for what no child takes.
    fn routes(alert: usize) -> Vec<usize> {
        match alert / 2 % 3 {
            0 => vec![1],
            1 => vec![2],
            _ => vec![0],
        }
    }

    fn hear(&mut self, alert: usize, mut new: Plain, now: i64) {
        if let Some(old) = self.alerts.get(&alert) {
            let inside = |t: i64| old.start < t && t < old.end;
            if inside(new.start) || inside(new.end) || old.start == new.start {
                new.start = new.start.min(old.start);
                let keeps_later_end = if new.end <= now { old.end <= now } else { true };
                if keeps_later_end {
                    new.end = new.end.max(old.end);
                }
            }
        }
        self.alerts.insert(alert, new);
        self.group(alert, new, now);
    }

    fn group(&mut self, alert: usize, plain: Plain, now: i64) {
        for route in Self::routes(alert) {
            let of = self.route(route);
            let wait = of.group_wait.as_ms();
            let labels = of.group_by.group_labels(&labels(alert));
            let known = self.groups.iter_mut();
            let mut known = known.filter(|g| g.route == route && g.labels == labels);
            let group = match known.next() {
                Some(group) => group,
                None => {
                    self.groups.push(PlainGroup {
                        route,
                        labels,
                        members: BTreeMap::new(),
                        due: now + wait,
                        is_flushed: false,
                    });
                    self.groups.last_mut().unwrap()
                }
            };
            group.members.insert(alert, plain);
            if !group.is_flushed && plain.start + wait < now {
                group.due = now;
            }
        }
    }

    fn is_muted(&self, alert: usize, now: i64) -> bool {
        let job = alert / 6 % 2;
        let is_low = alert / 2 % 3 == 1;
        let fires = |(&other, plain): (&usize, &Plain)| {
            other / 2 % 3 == 0 && other / 6 % 2 == job && now < plain.end
        };
        let is_inhibited = is_low && self.alerts.iter().any(fires);
        let mut silences = self.silences.iter();
        is_inhibited || silences.any(|&(of, from, to)| of == job && from <= now && now < to)
    }

    /// Flushes all groups that are due.
    fn flush(&mut self, now: i64) {
        for at in 0..self.groups.len() {
            if self.groups[at].due <= now {
                self.flush_group(at, now);
            }
        }
        self.groups.retain(|group| !group.members.is_empty());
    }

    fn flush_group(&mut self, at: usize, now: i64) {
        let route = self.route(self.groups[at].route).clone();
        let group = &mut self.groups[at];
        group.due = now + route.group_interval.as_ms();
        group.is_flushed = true;
        let (group_labels, members) = (group.labels.clone(), group.members.clone());
        group.members.retain(|_, plain| now < plain.end);
        if !self
            .config
            .muting(&route.mute_time_intervals, now)
            .is_empty()
        {
            return;
        }
        let shown: Vec<_> = members
            .iter()
            .filter(|(alert, _)| !self.is_muted(**alert, now))
            .collect();
        if shown.is_empty() {
            return;
        }
        let of = |is_firing: bool| -> Vec<usize> {
            let state = shown
                .iter()
                .filter(|(_, plain)| (now < plain.end) == is_firing);
            state.map(|(alert, _)| **alert).collect()
        };
        let (firing, resolved) = (of(true), of(false));
        let count = if route.receiver == "all" { 2 } else { 1 };
        for index in 0..count {
            let sends_resolved = index == 0;
            let who = format!("{}{index} {group_labels}", route.receiver);
            let keep = (2 * route.repeat_interval.as_ms()).min(5 * DAY);
            let last = self.history.iter().rev().find(|entry| entry.0 == who);
            let last = last.filter(|entry| now < entry.1 + keep);
            let is_new = |known: &[usize], now: &[usize]| now.iter().any(|a| !known.contains(a));
            let is_told = match last {
                None => !firing.is_empty(),
                Some((_, _, known, _)) if is_new(known, &firing) => true,
                Some((_, _, known, _)) if firing.is_empty() => !known.is_empty(),
                Some((_, at, _, known)) => {
                    sends_resolved && is_new(known, &resolved)
                        || *at < now - route.repeat_interval.as_ms()
                }
            };
            if !is_told {
                continue;
            }
            self.history
                .push((who.clone(), now, firing.clone(), resolved.clone()));
            let resolved = if sends_resolved {
                resolved.clone()
            } else {
                Vec::new()
            };
            if !firing.is_empty() || !resolved.is_empty() {
                self.told.push((now, who, firing.clone(), resolved));
            }
        }
    }

    fn next_due(&self) -> Option<i64> {
        self.groups.iter().map(|group| group.due).min()
    }
}

/// Both, side by side.
struct Both {
    model: Model,
    dispatcher: Dispatcher,
    told: Vec<Told>,
    alerts: BTreeMap<Labels, usize>,
}

impl Both {
    fn new() -> Self {
        let config = Arc::new(AlertmanagerConfig::parse(CONFIG).unwrap());
        Both {
            dispatcher: Dispatcher::new(Arc::clone(&config)),
            model: Model {
                config,
                alerts: BTreeMap::new(),
                groups: Vec::new(),
                silences: Vec::new(),
                history: Vec::new(),
                told: Vec::new(),
            },
            told: Vec::new(),
            alerts: (0..ALERTS).map(|alert| (labels(alert), alert)).collect(),
        }
    }

    /// Lets time pass, for both at their own timers.
    fn run(&mut self, until: i64) {
        while let Some(due) = self.model.next_due().filter(|due| *due <= until) {
            self.model.flush(due);
        }
        while let Some(due) = self.dispatcher.next_due().filter(|due| *due <= until) {
            for notification in self.dispatcher.due(due) {
                self.dispatcher.finish(&notification, true, due);
                let key = &notification.integration;
                let who = format!(
                    "{}{} {}",
                    key.receiver, key.index, notification.group_labels
                );
                let of = |is_over: bool| {
                    let alerts = notification.alerts.iter();
                    let of = alerts.filter(|alert| alert.ended_at_ms.is_some() == is_over);
                    let mut of: Vec<_> = of.map(|alert| self.alerts[&alert.labels]).collect();
                    of.sort_unstable();
                    of
                };
                self.told.push((due, who, of(false), of(true)));
            }
        }
    }

    fn hear(&mut self, alert: usize, plain: Plain, now: i64) {
        self.model.hear(alert, plain, now);
        let alert = Alert {
            labels: labels(alert),
            annotations: Labels::empty(),
            starts_at_ms: plain.start,
            ends_at_ms: Some(plain.end),
            generator_url: String::new(),
        };
        assert_eq!(self.dispatcher.insert([alert], now), 0);
    }

    fn happen(&mut self, event: &Event, now: i64) {
        match *event {
            Event::Fire(alert, hold) => {
                let start = now;
                let end = now + hold;
                self.hear(alert, Plain { start, end }, now);
            }
            Event::Resolve(alert) => {
                let known = self.model.alerts.get(&alert).copied();
                if let Some(plain) = known.filter(|plain| now < plain.end) {
                    let start = plain.start;
                    self.hear(alert, Plain { start, end: now }, now);
                }
            }
            Event::Silence(job, hold) => {
                self.model.silences.push((job, now, now + hold));
                let silence = Silence {
                    matchers: parse_matchers(["job=x", "job=~y|z"][job]).unwrap(),
                    starts_at_ms: now,
                    ends_at_ms: now + hold,
                    ..Silence::default()
                };
                self.dispatcher.silences_mut().set(silence, now).unwrap();
            }
            Event::Unsilence => {
                for silence in &mut self.model.silences {
                    silence.2 = silence.2.min(now);
                }
                let silences = self.dispatcher.silences_mut();
                let ids: Vec<_> = silences.iter().map(|silence| silence.id.clone()).collect();
                for id in ids {
                    silences.expire(&id, now).unwrap();
                }
            }
            Event::Reload => {
                self.model.groups.clear();
                let alerts = self.model.alerts.clone().into_iter();
                for (alert, plain) in alerts.filter(|(_, plain)| now < plain.end) {
                    self.model.group(alert, plain, now);
                }
                self.dispatcher.apply(Arc::clone(&self.model.config), now);
            }
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let alert = 0..ALERTS;
    let hold = prop_oneof![Just(4 * MINUTE), MINUTE..DAY, DAY..30 * DAY];
    prop_oneof![
        8 => (alert.clone(), hold.clone()).prop_map(|(alert, hold)| Event::Fire(alert, hold)),
        6 => alert.prop_map(Event::Resolve),
        2 => (0usize..2, hold).prop_map(|(job, hold)| Event::Silence(job, hold)),
        1 => Just(Event::Unsilence),
        1 => Just(Event::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 5 } else { 100 }))]

    #[test]
    fn a_year_is_as_the_model_has_it(
        events in proptest::collection::vec((1..6 * DAY, event()), 60..120),
        // One alert goes on all the year, so that something repeats.
        steady in 0..ALERTS,
    ) {
        let mut both = Both::new();
        // A Monday.
        let begin = 1_767_571_200_000;
        both.happen(&Event::Fire(steady, YEAR), begin);
        let mut now = begin;
        for (pause, event) in events {
            now += pause;
            if begin + YEAR < now {
                break;
            }
            both.run(now - 1);
            both.happen(&event, now);
        }
        both.run(begin + YEAR);
        let (mut told, mut model) = (both.told, both.model.told);
        // Groups that are due at the same moment have no order among them.
        told.sort();
        model.sort();
        prop_assert_eq!(told.len(), model.len());
        for (told, model) in told.iter().zip(&model) {
            prop_assert_eq!(told, model);
        }
    }
}
