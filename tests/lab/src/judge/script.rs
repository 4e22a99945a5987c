//! A scene's script: outages and what the control plane does, in order.

use std::time::Duration;

use fastrand::Rng;

use crate::endpoints::Behaviour;
use crate::envoy::topology::EdsHealth;

/// Some endpoints change for a while.
#[derive(Clone, Debug)]
pub struct Step {
    /// Their indices.
    pub endpoints: Vec<usize>,
    /// What they, or the control plane, do from now on.
    pub doing: Doing,
    /// How long it lasts until the next step.
    pub lasts: Duration,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// They behave like this.
    Behave(Behaviour),
    /// Their health checks fail, but not their requests.
    Ill,
    /// They leave their cluster.
    Leave,
    /// They leave, and come back at once: to Envoy, new hosts.
    Replace,
    /// They move to the zone of this index.
    Move(usize),
    /// The control plane says this of them.
    Say(EdsHealth),
    /// They serve, are healthy, and are where they were at first.
    Recover,
}

impl Doing {
    /// Whether the control plane delivers it.
    fn is_delivered(self) -> bool {
        matches!(self, Self::Leave | Self::Replace | Self::Move(_) | Self::Say(_))
    }
}

/// What a script is made for.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    /// For each endpoint, the index of its zone.
    pub(super) zones: Vec<usize>,
    /// For each cluster, the indices of its endpoints.
    pub(super) clusters: Vec<Vec<usize>>,
    /// Endpoints of clusters that get them by discovery.
    pub(super) discovered: Vec<usize>,
    /// Endpoints with active health checks.
    pub(super) checked: Vec<usize>,
    /// Whether rates of errors eject.
    pub(super) rates: Rates,
}

/// Whether rates of errors eject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rates {
    /// They do not.
    Ignored,
    /// In some cluster they do.
    Eject,
}

impl Cast {
    /// Those `among` these endpoints of a cluster that are nearest to home; all of them, if there is no such cluster.
    fn home(&self, among: &[usize], rng: &mut Rng) -> Vec<usize> {
        let own = |cluster: &Vec<usize>| cluster.iter().copied().filter(|i| among.contains(i)).collect::<Vec<_>>();
        let clusters: Vec<Vec<usize>> = self.clusters.iter().map(own).filter(|own| !own.is_empty()).collect();
        if clusters.is_empty() {
            return among.to_vec();
        }
        let cluster = &clusters[rng.usize(0..clusters.len())];
        let nearest = cluster.iter().map(|i| self.zones[*i]).min().unwrap_or(0);
        cluster.iter().copied().filter(|i| self.zones[*i] == nearest).collect()
    }

    /// The nearest zone such that every cluster of these endpoints has one there or nearer.
    fn nearest(&self, endpoints: &[usize]) -> usize {
        let own = self.clusters.iter().filter(|cluster| cluster.iter().any(|i| endpoints.contains(i)));
        let nearest = own.filter_map(|cluster| cluster.iter().map(|i| self.zones[*i]).min());
        nearest.max().unwrap_or(0)
    }
}

/// Every way to fail, and 404, which the detector does not count as a failure.
const FAILURES: [Behaviour; 13] = [
    Behaviour::Refuse,
    Behaviour::Refuse,
    Behaviour::ResetOnConnect,
    Behaviour::ResetOnRequest,
    Behaviour::CloseBeforeHeaders,
    Behaviour::Hang,
    Behaviour::ResetAfterHeaders,
    Behaviour::HoldBody,
    Behaviour::Answer(500),
    Behaviour::Answer(502),
    Behaviour::Answer(503),
    Behaviour::Answer(503),
    Behaviour::Answer(404),
];

/// What the control plane delivers stays so for at least so long, in milliseconds: what the filter should have seen is
/// sampled twenty times a second.
const SHORTEST_DELIVERED_MS: u64 = 150;

/// Outages of 1.5 to 3.5 seconds in all; up to 7 with what takes longer than a streak.
pub(super) fn script(cast: &Cast, rng: &mut Rng) -> Vec<Step> {
    let is_slow = !cast.discovered.is_empty() || !cast.checked.is_empty() || cast.rates == Rates::Eject;
    let mut left = Duration::from_millis(if is_slow { rng.u64(3_000..=7_000) } else { rng.u64(1_500..=3_500) });
    let mut failing: Vec<usize> = Vec::new();
    let mut script = Vec::new();
    while !left.is_zero() {
        let repairs = !failing.is_empty() && rng.u32(0..3) == 0;
        let (endpoints, doing) =
            if repairs { (std::mem::take(&mut failing), Doing::Recover) } else { trouble(cast, &failing, rng) };
        if !repairs {
            failing.extend(endpoints.iter().filter(|i| !failing.contains(i)).copied().collect::<Vec<_>>());
        }
        // Bursts that end within a streak are as instructive as outages.
        let is_long = is_slow && rng.u32(0..3) == 0;
        let lasts = match rng.bool() {
            _ if is_long => rng.u64(800..=2_000),
            true => rng.u64(5..=60),
            false => rng.u64(60..=900),
        };
        let lasts = Duration::from_millis(if doing.is_delivered() { lasts.max(SHORTEST_DELIVERED_MS) } else { lasts });
        left = left.saturating_sub(lasts);
        script.push(Step { endpoints, doing, lasts });
    }
    script
}

fn trouble(cast: &Cast, failing: &[usize], rng: &mut Rng) -> (Vec<usize>, Doing) {
    let is_at_random = |some: &[usize], of: u32, rng: &mut Rng| !some.is_empty() && rng.u32(0..of) == 0;
    if is_at_random(&cast.discovered, 2, rng) {
        // Endpoints leave while they fail more often than by chance; and unready pods leave, those of a zone together.
        let failing: Vec<usize> = cast.discovered.iter().copied().filter(|i| failing.contains(i)).collect();
        let picked = match rng.u32(0..5) {
            0..=1 if !failing.is_empty() => failing,
            2 => cast.home(&cast.discovered, rng),
            _ => pick(cast, &cast.discovered, rng),
        };
        // None moves nearer than any was: that would be another home.
        let nearest = cast.nearest(&picked);
        let doing = match rng.u32(0..8) {
            0..=1 => Doing::Leave,
            2..=3 => Doing::Replace,
            4 => Doing::Move(rng.usize(nearest..4)),
            5 => Doing::Say(EdsHealth::Draining),
            _ => Doing::Say(EdsHealth::Unhealthy),
        };
        return (picked, doing);
    }
    if is_at_random(&cast.checked, 3, rng) {
        return (pick(cast, &cast.checked, rng), Doing::Ill);
    }
    let all: Vec<usize> = (0..cast.zones.len()).collect();
    let behaviour = if cast.rates == Rates::Eject && rng.u32(0..3) == 0 {
        Behaviour::AnswerAlternately([500, 503][rng.usize(0..2)])
    } else {
        FAILURES[rng.usize(0..FAILURES.len())]
    };
    (pick(cast, &all, rng), Doing::Behave(behaviour))
}

/// Some of `among`: one, several or all of those of a cluster, mostly of those nearest to home.
fn pick(cast: &Cast, among: &[usize], rng: &mut Rng) -> Vec<usize> {
    let everywhere = rng.u32(0..12) == 0;
    let own = |cluster: &Vec<usize>| cluster.iter().copied().filter(|i| among.contains(i)).collect::<Vec<_>>();
    let clusters: Vec<Vec<usize>> = cast.clusters.iter().map(own).filter(|own| !own.is_empty()).collect();
    if everywhere || clusters.is_empty() {
        return among.to_vec();
    }
    let cluster = &clusters[rng.usize(0..clusters.len())];
    let nearest = cluster.iter().map(|i| cast.zones[*i]).min().unwrap_or(0);
    let home: Vec<usize> = cluster.iter().copied().filter(|i| cast.zones[*i] == nearest).collect();
    match rng.u32(0..11) {
        0..=4 => vec![home[rng.usize(0..home.len())]],
        5..=6 => some_of(cluster, rng),
        7..=8 => some_of(&home, rng),
        9 => home,
        _ => cluster.clone(),
    }
}

fn some_of(all: &[usize], rng: &mut Rng) -> Vec<usize> {
    let mut some = all.to_vec();
    rng.shuffle(&mut some);
    some.truncate(rng.usize(1..=all.len()));
    some
}
