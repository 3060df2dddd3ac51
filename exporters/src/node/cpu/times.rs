//! The CPU lines of `/proc/stat`, and how they are kept from going back.

use std::collections::BTreeMap;

use super::super::error::{CollectError, number};

/// The columns of a CPU line behind its name. Guest time is in `user` and `nice` too, and is not taken out of them.
const COLUMNS: usize = 10;
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const IDLE: usize = 3;

/// `USER_HZ`, the unit of the columns: 100 per second wherever we run.
const TICKS_PER_SECOND: f64 = 100.0;

/// Idle time that goes back this far is a CPU that was unplugged and came back with its counters at zero.
const HOTPLUG_SECONDS: f64 = 3.0;

/// Seconds that one CPU spent in each mode since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Times([f64; COLUMNS]);

impl Times {
    pub(super) fn modes(&self) -> impl Iterator<Item = (&'static str, f64)> {
        MODES.into_iter().zip(self.0)
    }

    /// Seconds spent running guests at normal and at low priority.
    pub(super) fn guest_modes(&self) -> impl Iterator<Item = (&'static str, f64)> {
        GUEST_MODES
            .into_iter()
            .zip(self.0.into_iter().skip(MODES.len()))
    }
}

/// Reads the lines `cpu0`, `cpu1`, …; old kernels have fewer columns, and the rest is 0.
pub(super) fn parse_stat(text: &str) -> Result<BTreeMap<u32, Times>, CollectError> {
    let mut cpus = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(cpu) = fields.next().and_then(|name| name.strip_prefix("cpu")) else {
            continue;
        };
        if cpu.is_empty() {
            continue;
        }
        let mut times = Times::default();
        for (seconds, ticks) in times.0.iter_mut().zip(fields) {
            *seconds = number::<f64>("stat", ticks)? / TICKS_PER_SECOND;
        }
        cpus.insert(number("stat", cpu)?, times);
    }
    Ok(cpus)
}

/// Takes over what is new: each time only upwards, all of them if idle time says that the CPU started again, and no CPU
/// that is gone.
pub(super) fn settle(settled: &mut BTreeMap<u32, Times>, fresh: BTreeMap<u32, Times>) {
    settled.retain(|cpu, _| fresh.contains_key(cpu));
    for (cpu, fresh) in fresh {
        let kept = settled.entry(cpu).or_default();
        if HOTPLUG_SECONDS <= kept.0[IDLE] - fresh.0[IDLE] {
            *kept = Times::default();
        }
        for (kept, fresh) in kept.0.iter_mut().zip(fresh.0) {
            *kept = kept.max(fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(user: f64, idle: f64) -> Times {
        let mut times = Times::default();
        (times.0[0], times.0[IDLE]) = (user, idle);
        times
    }

    #[track_caller]
    fn check(before: Times, fresh: Times, after: Times) {
        let mut settled = BTreeMap::from([(0, before), (7, before)]);
        settle(&mut settled, BTreeMap::from([(0, fresh)]));
        assert_eq!(settled, BTreeMap::from([(0, after)]));
    }

    #[test]
    fn a_small_step_back_is_not_shown() {
        check(times(5.0, 10.0), times(4.9, 8.0), times(5.0, 10.0));
        check(times(5.0, 10.0), times(6.0, 8.0), times(6.0, 10.0));
    }

    #[test]
    fn a_large_step_back_is_a_new_start() {
        check(times(5.0, 10.0), times(1.0, 7.0), times(1.0, 7.0));
    }

    #[test]
    fn numbered_cpus_only() {
        let parsed = parse_stat("cpu  9 9 9 9\ncpu0 100 0 0 200\ncpu12 300\nctxt 5\n").unwrap();
        assert_eq!(
            parsed,
            BTreeMap::from([(0, times(1.0, 2.0)), (12, times(3.0, 0.0))])
        );
        assert!(parse_stat("cpux 1\n").is_err());
        assert!(parse_stat("cpu0 many\n").is_err());
    }
}
