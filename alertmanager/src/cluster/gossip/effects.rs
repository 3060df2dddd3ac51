//! How foca is configured, and what it wants to be done.

use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Notification, PeriodicParams, Runtime, Timer};

use super::{FANOUT, GossipOptions, Output, millis};
use crate::cluster::member::Member;
use crate::cluster::wire::{self, Kind, PACKET_BYTES_MAX};

/// Timers of the membership that may wait; beyond that a member that was lost is not forgotten, or found lost later.
const TIMERS_MAX: usize = 16_384;

/// How often a change of the membership is sent: who is taken for lost must hear of it, or it cannot contradict.
const TRANSMISSIONS: u8 = 10;

/// What foca wants to be done.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) now_ms: u64,
    pub(super) out: Vec<Output>,
    pub(super) label: String,
    pub(super) timers: BTreeMap<(u64, u64), Timer<Member>>,
    pub(super) timers_begun: u64,
    pub(super) changes: Vec<Change>,
}

/// A change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Joined(Member),
    Left(Member),
    Renewed,
}

impl Runtime<Member> for &mut Effects {
    fn notify(&mut self, notification: Notification<'_, Member>) {
        match notification {
            Notification::MemberUp(member) => self.changes.push(Change::Joined(member.clone())),
            Notification::MemberDown(member) => self.changes.push(Change::Left(member.clone())),
            Notification::Rename(..) => self.changes.push(Change::Renewed),
            _ => {}
        }
    }

    fn send_to(&mut self, to: Member, data: &[u8]) {
        let packet = wire::seal(&self.label, Kind::Membership, data);
        self.out.push(Output::Packet(to.address(), packet));
    }

    fn submit_after(&mut self, event: Timer<Member>, after: Duration) {
        let is_about_one = matches!(
            event,
            Timer::RemoveDown(_) | Timer::ChangeSuspectToDown { .. }
        );
        if is_about_one && TIMERS_MAX <= self.timers.len() {
            return;
        }
        let due_ms = self.now_ms.saturating_add(millis(after));
        self.timers_begun += 1;
        self.timers.insert((due_ms, self.timers_begun), event);
    }
}

/// Returns foca's configuration: that of memberlist in a local network, with the times of the flags.
pub(super) fn configuration(options: &GossipOptions) -> foca::Config {
    let gossip = PeriodicParams {
        frequency: options.gossip_interval,
        num_members: NonZeroUsize::MIN.saturating_add(FANOUT - 1),
    };
    let room = PACKET_BYTES_MAX - wire::overhead(&options.label);
    foca::Config {
        probe_period: options.probe_interval,
        probe_rtt: options.probe_timeout,
        max_transmissions: NonZeroU8::MIN.saturating_add(TRANSMISSIONS - 1),
        suspect_to_down_after: options.probe_interval.saturating_mul(4),
        remove_down_after: Some(options.reconnect_timeout),
        max_packet_size: NonZeroUsize::new(room).unwrap_or(NonZeroUsize::MIN),
        // foca 2.0.0 tells members too that they are down who have proven just in time that they are not; exchanges tell the
        // others.
        notify_down_members: false,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(gossip),
        ..foca::Config::simple()
    }
}
