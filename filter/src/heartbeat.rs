//! What time leads to: counts are handed on, ejections and failovers end, and what was to be said is said.
//!
//! Every root context ticks on its own; the one configured last is the VM's heartbeat, and when it falls silent (its
//! listener was removed) another takes over. The heart beats every second, and ten times as fast while anything is open.

use crate::plugin::{Notice, Plugin};
use crate::{host, known, request, shared};
use filter_core::event::{Event, EventKind};
use filter_core::metric::Metric;
use filter_core::time::Millis;

/// Between two beats while nothing is open.
const CALM: u32 = 1_000;
/// Between two beats while anything is open, and before the first.
const QUICK: u32 = 100;
/// Between two beats while anything is open and Envoy is asked about it: its answers are reported within this.
const ASKING: u32 = 20;
/// A heartbeat that was silent for so long is replaced.
const SILENT: Millis = 5_000;
/// Beats between two hand-overs of a cluster's endpoints when nothing about them changed.
const MEMBERS_EVERY: u64 = 30;
/// Beats between two looks at clusters that had nothing open when last seen, while anything is open in the proxy.
const LOOK_EVERY: u64 = 10;
/// Within so long, what was said of a configuration is not said again by another worker.
const SAID: Millis = 10_000;

/// The root context whose ticks count, and when it last ticked.
#[derive(Debug, Default)]
pub struct Heartbeat {
    root: u32,
    last: Millis,
    period: u32,
    told_version: bool,
}

impl Heartbeat {
    /// Makes `root`, whose configuration is being set, the heartbeat.
    pub fn follow(&mut self, root: u32) {
        self.root = root;
        self.set_period(QUICK);
    }

    /// The root context whose ticks count.
    pub fn root(&self) -> u32 {
        self.root
    }

    fn set_period(&mut self, millis: u32) {
        self.period = millis;
        let _ = host::set_tick_period(millis);
    }

    /// Beats faster from now on, called in a request's name.
    fn hurry(&mut self, millis: u32) {
        if self.period > millis {
            let _ = host::set_effective_context(self.root);
            self.set_period(millis);
            let _ = host::set_effective_context(0);
        }
    }

    /// Whether a tick of `root` at `now` is a beat.
    fn is_beat(&mut self, root: u32, now: Millis) -> bool {
        if root != self.root {
            if self.last.abs_diff(now) < SILENT {
                return false;
            }
            self.follow(root);
        }
        self.last = now;
        true
    }
}

impl Plugin {
    /// A root context ticks.
    pub fn tick(&mut self, root: u32) {
        let Ok(now) = host::now_nanoseconds() else { return };
        let now = now / 1_000_000;
        if !self.heartbeat.is_beat(root, now) {
            return;
        }
        let beat = self.known.next_beat();
        if self.home.is_unknown() || beat.is_multiple_of(60) {
            self.home = request::home();
        }
        if !self.heartbeat.told_version {
            self.heartbeat.told_version = true;
            self.reporter.metrics.set(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
        }
        self.say_notices(now);
        let open = self.reporter.metrics.anything_open();
        for cluster in 0..self.known.len() {
            self.hand_on_members(cluster, beat, now);
            self.hand_on_counts(cluster, open, beat, now);
        }
        self.reporter.sum_up(now, &self.config.limits);
        let asking = self.ask(now);
        let period = if open || asking { self.open_period() } else { CALM };
        if period != self.heartbeat.period {
            self.heartbeat.set_period(period);
        }
    }

    /// Something was found: what follows from it is not left to wait for a calm heartbeat.
    pub fn hurry(&mut self) {
        self.heartbeat.hurry(self.open_period());
    }

    fn open_period(&self) -> u32 {
        if self.config.witness.is_some() { ASKING } else { QUICK }
    }

    fn say_notices(&mut self, now: Millis) {
        for (number, notice) in std::mem::take(&mut self.notices) {
            match notice {
                Notice::Rejected(error) => {
                    if shared::claim("rejected", number, now, SAID, &mut self.reporter.metrics) {
                        let event = Event::of_cluster(now, "", EventKind::ConfigRejected { error });
                        self.reporter.report(&[event], &self.config.limits);
                    }
                }
                Notice::InForce(unknown) => {
                    if shared::claim("in_force", number, now, SAID, &mut self.reporter.metrics) {
                        log::info!("{} watches, its configuration is in force", env!("CARGO_PKG_VERSION"));
                        for field in unknown {
                            log::warn!("configuration: {field}: no such field, ignored; check its spelling and place");
                        }
                    }
                }
            }
        }
    }

    /// Hands on the endpoints that were met.
    fn hand_on_members(&mut self, cluster: usize, beat: u64, now: Millis) {
        let Some(known) = self.known.get_mut(cluster).filter(|known| known.outlier.is_some()) else { return };
        if !known.members_changed && !beat.is_multiple_of(MEMBERS_EVERY) {
            return;
        }
        known.members_changed = false;
        let (name, total) = (known.name.clone(), known.total);
        let seen = self.known.take_seen(cluster);
        if seen.is_empty() && total.is_none() {
            return;
        }
        let (limit, witness) = (self.config.limits.endpoints, self.has_witness());
        let metrics = &mut self.reporter.metrics;
        let merged = shared::change_members(&name, metrics, |members| {
            let before = members.len();
            let left = members.merge(&seen, total, limit, now);
            let grown = i64::try_from(members.len()).unwrap_or(0).saturating_sub(i64::try_from(before).unwrap_or(0));
            (left, grown, members.counts())
        });
        let Some((left, grown, counts)) = merged else { return };
        metrics.change(Metric::TrackedEndpoints, &[], grown);
        let Some(known) = self.known.get(cluster) else { return };
        let Some(setting) = known.setting(&self.config, &self.home, now, witness) else { return };
        let changes = shared::change_cluster(&name, metrics, |state| state.set_members(&counts, &left, &setting));
        for change in changes.unwrap_or_default() {
            metrics.apply(&change);
        }
    }

    /// Hands on what was counted, and lets time pass for the cluster.
    fn hand_on_counts(&mut self, cluster: usize, open: bool, beat: u64, now: Millis) {
        let witness = self.has_witness();
        let Some(known) = self.known.get_mut(cluster) else { return };
        let counts = known.take_counts();
        let retried = std::mem::take(&mut known.retried);
        let metrics = &mut self.reporter.metrics;
        for (locality, outcome, count) in &counts {
            let values = [known.name.as_str(), locality.as_str(), outcome.as_str()];
            metrics.change(Metric::Attempts, &values, i64::from(*count));
        }
        metrics.change(Metric::RetriedRequests, &[&known.name], i64::from(retried));
        let look = open && (known.troubled || beat.is_multiple_of(LOOK_EVERY));
        if counts.is_empty() && !look {
            return;
        }
        let Some(setting) = known.setting(&self.config, &self.home, now, witness) else { return };
        let sums = known::charged(&counts);
        let changed = shared::change_cluster(&known.name, metrics, |state| {
            state.add_traffic(&sums, &setting);
            (state.tick(&setting), state.open_findings() > 0)
        });
        let Some((events, troubled)) = changed else { return };
        if let Some(known) = self.known.get_mut(cluster) {
            known.troubled = troubled;
        }
        self.reporter.report(&events, &self.config.limits);
    }
}
