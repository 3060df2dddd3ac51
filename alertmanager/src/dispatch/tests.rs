//! The groups' timing, on a clock made of numbers. Times are in seconds for reading's sake.

use super::*;

struct World {
    dispatcher: Dispatcher,
    told: Vec<String>,
}

fn config(more: &str, webhooks: &str) -> Arc<AlertmanagerConfig> {
    let text = format!(
        "route: {{receiver: a, group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 1h{more}}}\n\
         receivers: [{{name: a, webhook_configs: [{webhooks}]}}, {{name: b, webhook_configs: [{{url: 'http://b/'}}]}}]"
    );
    Arc::new(AlertmanagerConfig::parse(&text).unwrap())
}

impl World {
    fn new(more: &str) -> Self {
        World {
            dispatcher: Dispatcher::new(config(more, "{url: 'http://a/'}")),
            told: Vec::new(),
        }
    }

    /// An alert of group `name` fires until far in the future, or ended at `end`.
    fn alert(&mut self, now: i64, name: &str, instance: &str, start: i64, end: Option<i64>) {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", name), ("instance", instance)]),
            annotations: Labels::empty(),
            starts_at_ms: start * 1_000,
            ends_at_ms: Some(end.unwrap_or(1_000_000) * 1_000),
            generator_url: String::new(),
        };
        assert_eq!(self.dispatcher.insert([alert], now * 1_000), 0);
    }

    /// Runs the clock up to `until`, and writes down what is told when.
    fn run(&mut self, until: i64, is_sent: bool) {
        while let Some(due_ms) = self
            .dispatcher
            .next_due()
            .filter(|&due_ms| due_ms <= until * 1_000)
        {
            for notification in self.dispatcher.due(due_ms) {
                let alerts: Vec<_> = notification
                    .alerts
                    .iter()
                    .map(|alert| {
                        format!(
                            "{}{}",
                            alert.labels.value("instance"),
                            if alert.ended_at_ms.is_some() {
                                "-"
                            } else {
                                "+"
                            }
                        )
                    })
                    .collect();
                let receiver = format!(
                    "{}{}",
                    notification.integration.receiver, notification.integration.index
                );
                self.told.push(format!(
                    "{} {receiver} {}: {}",
                    due_ms / 1_000,
                    notification.reason,
                    alerts.join(" ")
                ));
                self.dispatcher.finish(&notification, is_sent, due_ms);
            }
        }
    }

    #[track_caller]
    fn check(&self, expected: &[&str]) {
        assert_eq!(self.told, expected);
    }
}

#[test]
fn a_group_waits_then_tells_changes_each_interval() {
    let mut world = World::new("");
    world.alert(100, "A", "x", 100, None);
    world.run(120, true);
    world.alert(120, "A", "y", 120, None);
    world.run(200, true);
    world.alert(200, "A", "z", 200, None);
    world.run(1_000, true);
    world.check(&[
        "130 a0 first notification: x+ y+",
        "430 a0 new alerts added: x+ y+ z+",
    ]);
}

#[test]
fn resolved_alerts_are_told_once_and_forgotten() {
    let mut world = World::new("");
    world.alert(100, "A", "x", 100, None);
    world.alert(100, "A", "y", 100, None);
    world.run(150, true);
    world.alert(200, "A", "x", 100, Some(190));
    world.run(450, true);
    world.alert(500, "A", "y", 100, Some(490));
    world.run(5_000, true);
    world.check(&[
        "130 a0 first notification: x+ y+",
        "430 a0 some alerts resolved: x- y+",
        "730 a0 all alerts resolved: y-",
    ]);
    assert_eq!(world.dispatcher.next_due(), None);
    assert_eq!(world.dispatcher.group_count(), 0);
}

#[test]
fn the_same_is_told_again_after_the_repeat_interval() {
    let mut world = World::new("");
    world.alert(100, "A", "x", 100, None);
    world.run(8_000, true);
    // The repeat interval is looked at on flushes only, and must have passed.
    world.check(&[
        "130 a0 first notification: x+",
        "4030 a0 repeat interval elapsed: x+",
        "7930 a0 repeat interval elapsed: x+",
    ]);
}

#[test]
fn failures_are_tried_again_at_the_next_flush() {
    let mut world = World::new("");
    world.alert(100, "A", "x", 100, None);
    world.run(131, false);
    world.run(500, true);
    world.check(&[
        "130 a0 first notification: x+",
        "430 a0 first notification: x+",
    ]);
}

#[test]
fn a_failed_resolution_is_not_forgotten() {
    let mut world = World::new("");
    world.alert(100, "A", "x", 100, None);
    world.run(131, true);
    world.alert(200, "A", "x", 100, Some(190));
    world.run(431, false);
    world.run(1_000, true);
    world.check(&[
        "130 a0 first notification: x+",
        "430 a0 all alerts resolved: x-",
        "730 a0 all alerts resolved: x-",
    ]);
}

#[test]
fn old_alerts_do_not_wait() {
    let mut world = World::new("");
    world.alert(1_000, "A", "x", 100, None);
    world.run(1_000, true);
    world.check(&["1000 a0 first notification: x+"]);
}

#[test]
fn an_alert_that_is_not_heard_of_any_more_resolves() {
    let mut world = World::new("");
    world.alert(100, "A", "x", 100, Some(300));
    world.run(1_000, true);
    world.check(&[
        "130 a0 first notification: x+",
        "430 a0 all alerts resolved: x-",
    ]);
}

#[test]
fn without_send_resolved_only_the_log_is_written() {
    let mut world = World::new("");
    world.dispatcher = Dispatcher::new(config("", "{url: 'http://a/', send_resolved: false}"));
    world.alert(100, "A", "x", 100, None);
    world.run(131, true);
    world.alert(200, "A", "x", 100, Some(190));
    world.run(431, true);
    world.alert(1_000, "A", "x", 1_000, None);
    world.run(2_000, true);
    world.check(&[
        "130 a0 first notification: x+",
        "1030 a0 first notification: x+",
    ]);
}

#[test]
fn groups_and_routes_are_apart() {
    let mut world =
        World::new(", routes: [{receiver: b, matchers: ['alertname=\"B\"'], group_wait: 10s}]");
    world.alert(100, "A", "x", 100, None);
    world.alert(100, "B", "x", 100, None);
    world.alert(100, "C", "x", 100, None);
    world.run(200, true);
    world.check(&[
        "110 b0 first notification: x+",
        "130 a0 first notification: x+",
        "130 a0 first notification: x+",
    ]);
}

#[test]
fn a_slow_integration_holds_nobody_back() {
    let mut dispatcher = Dispatcher::new(config("", "{url: 'http://a/'}, {url: 'http://slow/'}"));
    let mut world = World {
        dispatcher: Dispatcher::new(config("", "")),
        told: Vec::new(),
    };
    std::mem::swap(&mut world.dispatcher, &mut dispatcher);
    world.alert(100, "A", "x", 100, None);
    let first = world.dispatcher.due(130_000);
    assert_eq!(first.len(), 2);
    world.dispatcher.finish(&first[0], true, 130_000);
    world.alert(200, "A", "y", 200, None);
    let second = world.dispatcher.due(430_000);
    assert_eq!(second.len(), 1);
    assert_eq!(
        (second[0].integration.index, second[0].reason),
        (0, "new alerts added")
    );
    world.dispatcher.finish(&second[0], true, 430_000);
    world.dispatcher.finish(&first[1], true, 440_000);
    let third = world.dispatcher.due(730_000);
    assert_eq!((third.len(), third[0].integration.index), (1, 1));
}

#[test]
fn a_reload_does_not_tell_again() {
    let mut world = World::new("");
    world.alert(100, "A", "x", 100, None);
    world.run(200, true);
    world
        .dispatcher
        .apply(config("", "{url: 'http://a/'}"), 300_000);
    world.run(1_000, true);
    world.check(&["130 a0 first notification: x+"]);
}

#[test]
fn what_is_on_its_way_at_a_reload_is_not_told_twice() {
    let mut world = World::new("");
    world.alert(100, "A", "x", 100, None);
    let sending = world.dispatcher.due(130_000);
    world
        .dispatcher
        .apply(config("", "{url: 'http://a/'}"), 140_000);
    assert_eq!(world.dispatcher.due(140_000), []);
    world.dispatcher.finish(&sending[0], true, 150_000);
    world.run(1_000, true);
    world.check(&[]);
}

#[test]
fn keys_are_spelled_as_alertmanager_does() {
    let mut world = World::new(
        ", routes: [{matchers: ['instance=~\"x.*\"', 'alertname!=\"B\"'], group_by: [alertname, job]}]",
    );
    world.alert(100, "A", "x1", 100, None);
    let key = &world.dispatcher.due(200_000)[0].integration.group_key;
    assert_eq!(
        key,
        "{}/{alertname!=\"B\",instance=~\"x.*\"}:{alertname=\"A\"}"
    );
}

#[test]
fn what_is_inhibited_is_told_when_the_source_is_over() {
    let config = AlertmanagerConfig::parse(
        "route: {receiver: a, group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}\n\
         receivers: [{name: a, webhook_configs: [{url: 'http://a/'}]}]\n\
         inhibit_rules: [{source_matchers: [alertname=Down], target_matchers: [alertname=~Slow|Down], equal: [instance]}]",
    );
    let mut world = World {
        dispatcher: Dispatcher::new(Arc::new(config.unwrap())),
        told: Vec::new(),
    };
    world.alert(100, "Down", "x", 100, None);
    world.alert(100, "Slow", "x", 100, None);
    world.alert(100, "Slow", "y", 100, None);
    world.run(200, true);
    world.alert(500, "Down", "x", 100, Some(490));
    world.run(800, true);
    world.check(&[
        "130 a0 first notification: x+",
        "130 a0 first notification: y+",
        "730 a0 all alerts resolved: x-",
        "730 a0 new alerts added: x+ y+",
    ]);
}

#[test]
fn time_intervals_mute_whole_groups() {
    // Muted in the first ten minutes of an hour, or outside of the first two hours of the day.
    let text = "route:\n  receiver: a\n  routes:\n\
        \x20 - {receiver: a, group_wait: 30s, group_interval: 5m, repeat_interval: 1h, mute_time_intervals: [m], active_time_intervals: [d]}\n\
        receivers: [{name: a, webhook_configs: [{url: 'http://a/'}]}]\n\
        mute_time_intervals: [{name: m, time_intervals: [{times: [{start_time: '00:00', end_time: '00:10'}]}]}]\n\
        time_intervals: [{name: d, time_intervals: [{times: [{start_time: '00:00', end_time: '02:00'}]}]}]\n";
    let mut world = World {
        dispatcher: Dispatcher::new(Arc::new(AlertmanagerConfig::parse(text).unwrap())),
        told: Vec::new(),
    };
    world.alert(100, "A", "x", 100, None);
    world.alert(100, "A", "y", 100, None);
    world.run(350, true);
    // Resolved while muted: nobody hears of it.
    world.alert(400, "A", "y", 100, Some(390));
    world.run(4 * 3_600, true);
    world.check(&[
        "730 a0 first notification: x+",
        "4630 a0 repeat interval elapsed: x+",
    ]);
}

#[test]
fn silences_mute_and_are_counted() {
    let mut world = World::new("");
    let silence = crate::silence::Silence {
        matchers: crate::config::parse_matchers("instance=i1").unwrap(),
        ends_at_ms: 400_000,
        ..Default::default()
    };
    world.dispatcher.silences_mut().set(silence, 0).unwrap();
    world.alert(0, "A", "i1", 0, None);
    world.alert(0, "A", "i2", 0, None);
    world.run(700, true);
    world.check(&[
        "30 a0 first notification: i2+",
        "630 a0 new alerts added: i1+ i2+",
    ]);
    assert_eq!(world.dispatcher.suppressed().silence, 2);
}

#[test]
fn alerts_with_a_job_come_first() {
    let label_sets = [
        &[("job", "b")][..],
        &[("instance", "a"), ("job", "b")],
        &[("job", "c"), ("x", "1")],
        &[("instance", "z")],
        &[("x", "1")],
        &[("y", "1")],
        &[("x", "1"), ("y", "0")],
    ];
    let sets: Vec<_> = label_sets
        .iter()
        .map(|pairs| Labels::from_pairs(pairs.iter().copied()))
        .collect();
    let mut sorted = sets.clone();
    sorted.sort_by(order);
    let expected = [1, 0, 2, 3, 5, 4, 6].map(|at| sets[at].clone());
    assert_eq!(sorted, expected);
}

/// Stops a dispatcher at `stop` and starts another one with what it had at `start`, seconds.
fn restarted(mut world: World, stop: i64, start: i64) -> World {
    let changes = world.dispatcher.all_as_changes(stop * 1_000);
    let mut stored = crate::store::Stored::default();
    for change in changes {
        use crate::store::Change;
        match change {
            Change::Silence(_, silence) => stored.silences.extend(silence.map(|s| *s)),
            Change::Entry(key, entry) => stored.entries.extend(entry.map(|entry| (key, entry))),
            Change::Alert(_, alert) => stored.alerts.extend(alert.map(|alert| *alert)),
            Change::Group(key, group) => stored.groups.extend(group.map(|group| (key, group))),
            Change::Alive(at_ms) => stored.alive_at_ms = Some(at_ms),
            Change::Clear => {}
        }
    }
    world.dispatcher = Dispatcher::new(Arc::clone(world.dispatcher.config()));
    world.dispatcher.restore(stored, start * 1_000);
    world
}

#[test]
fn a_restart_keeps_the_timers_and_tells_nothing_twice() {
    let mut world = World::new("");
    world.alert(0, "A", "i1", 0, None);
    world.run(29, true);
    // Within group_wait: the group waits on.
    let mut world = restarted(world, 29, 29);
    world.run(30, true);
    world.check(&["30 a0 first notification: i1+"]);
    // Known, and due in 5 minutes from the last flush.
    let mut world = restarted(world, 40, 41);
    world.alert(50, "A", "i2", 50, None);
    world.run(330, true);
    world.check(&[
        "30 a0 first notification: i1+",
        "330 a0 new alerts added: i1+ i2+",
    ]);
    // A resolution that was not told yet is told after the restart, and once.
    world.alert(340, "A", "i1", 0, Some(340));
    world.alert(340, "A", "i2", 50, Some(340));
    let mut world = restarted(world, 350, 351);
    world.run(5_000, true);
    assert_eq!(world.told.len(), 3, "{:?}", world.told);
    assert_eq!(world.told[2], "630 a0 all alerts resolved: i1- i2-");
}

#[test]
fn being_down_resolves_nothing() {
    let mut world = World::new("");
    // The sender says every minute that it goes on for the next four.
    world.alert(100, "A", "i1", 0, Some(340));
    world.run(130, true);
    let mut world = restarted(world, 140, 2_000);
    world.run(2_060, true);
    world.check(&["100 a0 first notification: i1+"]);
    // Heard of again in time.
    world.alert(2_060, "A", "i1", 0, Some(2_300));
    world.run(2_200, true);
    assert_eq!(world.told.len(), 1, "{:?}", world.told);
    // Not heard of any more.
    world.run(3_000, true);
    assert_eq!(world.told.len(), 2, "{:?}", world.told);
    assert!(world.told[1].ends_with("all alerts resolved: i1-"));
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut world = World::new("");
    world.alert(1_000_000, "A", "i1", 1_000_000, Some(9_000_000));
    world.run(1_000_030, true);
    // A day back.
    let now = 1_000_030 - 86_400;
    world.alert(now, "A", "i2", now, Some(9_000_000));
    world.dispatcher.due(now * 1_000);
    assert!(world.dispatcher.next_due().unwrap() <= (now + 300) * 1_000);
}

#[test]
fn a_resolution_that_was_muted_is_told_when_it_is_repeated() {
    let mut world = World::new("");
    world.alert(0, "A", "i1", 0, None);
    world.run(30, true);
    let silence = crate::silence::Silence {
        matchers: crate::config::parse_matchers("instance=i1").unwrap(),
        ends_at_ms: 700_000,
        ..Default::default()
    };
    world
        .dispatcher
        .silences_mut()
        .set(silence, 40_000)
        .unwrap();
    // The group goes with the flush at 330; the sender goes on saying that the alert is over.
    for now in [100, 200, 400, 500] {
        world.alert(now, "A", "i1", 0, Some(100));
    }
    world.run(699, true);
    world.check(&["30 a0 first notification: i1+"]);
    world.alert(710, "A", "i1", 0, Some(100));
    world.run(710, true);
    world.check(&[
        "30 a0 first notification: i1+",
        "710 a0 all alerts resolved: i1-",
    ]);
}

/// What an integration remembers reaches its next notification, until all alerts are resolved.
#[test]
fn memory_lasts_as_long_as_the_alerts() {
    let mut world = World::new("");
    let next = |world: &mut World, now: i64, memory: &str| {
        let notifications = world.dispatcher.due(now * 1_000);
        assert_eq!(notifications.len(), 1, "{now}");
        let memory = Memory::from([("id".to_owned(), memory.to_owned())]);
        let dispatcher = &mut world.dispatcher;
        dispatcher.finish_with(&notifications[0], Some(memory), now * 1_000);
        notifications[0].memory().get("id").cloned()
    };
    let some = |text: &str| Some(text.to_owned());
    world.alert(100, "A", "x", 100, None);
    assert_eq!(next(&mut world, 130, "1"), None);
    world.alert(200, "A", "y", 200, None);
    assert_eq!(next(&mut world, 430, "2"), some("1"));
    for instance in ["x", "y"] {
        world.alert(500, "A", instance, 100, Some(490));
    }
    assert_eq!(next(&mut world, 730, "3"), some("2"));
    world.alert(800, "A", "x", 800, None);
    assert_eq!(next(&mut world, 1_030, "4"), None);
}
