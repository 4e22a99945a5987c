//! What time leads to: counts are handed on, ejections and failovers end, and what was to be said is said.
//!
//! Every root context ticks on its own; the one configured last is the VM's heartbeat, and when it falls silent (its
//! listener was removed) another takes over. The heart beats every second, and ten times as fast while anything is open.
//! Between two beats it may tick just to ask Envoy in time.

use crate::host::exchange as request;
use crate::vm::known;
use crate::vm::{Notice, Plugin};
use crate::{host, shared};
use filter_core::event::{Event, EventKind};
use filter_core::metric::Metric;
use filter_core::time::Millis;

/// Between two beats while nothing is open.
const CALM: u32 = 1_000;
/// Between two beats while anything is open, and before the first.
const QUICK: u32 = 100;
/// The shortest time between two ticks, for a question to Envoy that is due.
const ASKING: u32 = 5;
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
    /// When it last beat.
    beat: Millis,
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

    /// Whether a tick of `root` at `now` counts.
    fn counts(&mut self, root: u32, now: Millis) -> bool {
        if root != self.root {
            if self.last.abs_diff(now) < SILENT {
                return false;
            }
            self.follow(root);
        }
        self.last = now;
        true
    }

    /// Whether a tick at `now` is a beat, and not just for a question.
    fn is_beat(&mut self, now: Millis) -> bool {
        let is_beat = self.period >= QUICK || self.beat.abs_diff(now) >= Millis::from(QUICK - ASKING);
        if is_beat {
            self.beat = now;
        }
        is_beat
    }
}

impl Plugin {
    /// A root context ticks.
    pub fn tick(&mut self, root: u32) {
        let Ok(now) = host::now_nanoseconds() else { return };
        let now = now / 1_000_000;
        if !self.heartbeat.counts(root, now) {
            return;
        }
        let open = shared::open_findings();
        if self.heartbeat.is_beat(now) {
            self.beat(open, now);
        }
        let open = open > 0;
        let due = [self.ask(now), self.notify(now)].into_iter().flatten().min();
        let period = match due {
            Some(wait) => period_of(wait),
            None if open => QUICK,
            None => CALM,
        };
        if period != self.heartbeat.period {
            self.heartbeat.set_period(period);
        }
    }

    fn beat(&mut self, open: u64, now: Millis) {
        self.reporter.metrics.set_open_findings(open);
        let beat = self.known.next_beat();
        if self.home.is_unknown() || beat.is_multiple_of(60) {
            self.home = request::home();
        }
        if !self.heartbeat.told_version {
            self.heartbeat.told_version = true;
            self.reporter.metrics.set(Metric::BuildInfo, &[env!("CARGO_PKG_VERSION")], 1);
        }
        self.say_notices(now);
        let witness = self.has_witness();
        for cluster in 0..self.known.count_clusters() {
            self.hand_on_members(cluster, witness, beat, now);
            self.hand_on_counts(cluster, witness, open > 0, beat, now);
        }
        self.reporter.metrics.set(Metric::TrackedEndpoints, &[], shared::tracked_endpoints());
        self.reporter.sum_up(now, &self.config.limits);
    }

    /// Something was found: what follows from it is not left to wait for a calm heartbeat, nor a question that is due
    /// in `wait` milliseconds.
    pub fn hurry(&mut self, wait: Option<Millis>) {
        self.heartbeat.hurry(wait.map_or(QUICK, period_of));
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
    fn hand_on_members(&mut self, cluster: usize, witness: bool, beat: u64, now: Millis) {
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
        let limit = self.config.limits.endpoints;
        let metrics = &mut self.reporter.metrics;
        let merged = shared::change_members(&name, metrics, |members| {
            let before = members.len();
            let left = members.merge(&seen, total, limit, now);
            let grown = i64::try_from(members.len()).unwrap_or(0).saturating_sub(i64::try_from(before).unwrap_or(0));
            (left, grown, members.counts())
        });
        let Some((left, grown, counts)) = merged else { return };
        if grown != 0 {
            shared::add_tracked_endpoints(grown);
        }
        let Some(known) = self.known.get(cluster) else { return };
        let Some(setting) = known.setting(&self.config, &self.home, now, witness) else { return };
        shared::change_cluster(&name, metrics, |state| state.set_members(&counts, &left, &setting));
    }

    /// Hands on what was counted, and lets time pass for the cluster.
    fn hand_on_counts(&mut self, cluster: usize, witness: bool, open: bool, beat: u64, now: Millis) {
        let Some(known) = self.known.get_mut(cluster) else { return };
        let counts = known.take_counts();
        let retried = std::mem::take(&mut known.retried);
        let metrics = &mut self.reporter.metrics;
        for (locality, outcome, count) in &counts {
            let values = [known.name.as_str(), locality.as_str(), outcome.as_str()];
            metrics.change(Metric::Attempts, &values, i64::from(*count));
        }
        metrics.change(Metric::RetriedRequests, &[&known.name], i64::from(retried));
        let look = known.troubled || metrics.has_raised(&known.name) || (open && beat.is_multiple_of(LOOK_EVERY));
        if counts.is_empty() && !look {
            return;
        }
        let Some(setting) = known.setting(&self.config, &self.home, now, witness) else { return };
        let sums = known::charged(&counts);
        let changed = shared::change_cluster(&known.name, metrics, |state| {
            state.add_traffic(&sums, &setting);
            (state.tick(&setting), state.open_findings() > 0, state.levels(&known.name))
        });
        let Some((events, troubled, levels)) = changed else { return };
        metrics.show_all(&known.name, &levels);
        if let Some(known) = self.known.get_mut(cluster) {
            known.troubled = troubled;
        }
        self.report(&events);
    }
}

/// The period of ticks with which something is done in time that is due in `wait` milliseconds.
fn period_of(wait: Millis) -> u32 {
    u32::try_from(wait).unwrap_or(QUICK).clamp(ASKING, QUICK)
}
