//! Envoy's clusters, as far as the filter sees them: hosts by priority that serve in turn, a detector of consecutive
//! errors, and counters. It is what the filter's events are compared with, and what the admin interface tells.
//!
//! Not here: panic, spill by health, jitter, success rates; a test ejects by hand where it needs another cause.

use serde_json::{Value, json};

/// A host of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// As the attribute `upstream.address` writes it.
    pub(crate) address: String,
    /// `region/zone`.
    pub(crate) locality: String,
    pub(crate) priority: u32,
    /// What the control plane says of it.
    pub(crate) eds: &'static str,
    /// The statuses with which it answers, in turn.
    pub(crate) answers: Vec<u16>,
    /// When the detector puts it back, in milliseconds of virtual time.
    pub(crate) ejected_until: Option<u64>,
    /// Further fields of its entry in `/clusters`; they replace those that are derived here.
    pub(crate) more: Vec<(&'static str, Value)>,
    pub(crate) successes: u64,
    pub(crate) errors: u64,
    streak: u32,
}

impl Host {
    /// A healthy host.
    pub(crate) fn new(address: &str, locality: &str, priority: u32) -> Self {
        Self {
            address: address.to_owned(),
            locality: locality.to_owned(),
            priority,
            eds: "HEALTHY",
            answers: vec![200],
            ejected_until: None,
            more: Vec::new(),
            successes: 0,
            errors: 0,
            streak: 0,
        }
    }

    /// Whether it gets requests.
    pub(crate) fn is_in_rotation(&self) -> bool {
        self.ejected_until.is_none() && self.eds == "HEALTHY"
    }

    /// The host as a new one under the same address: without a past.
    pub(crate) fn renewed(&self) -> Self {
        Self { more: self.more.clone(), ..Self::new(&self.address, &self.locality, self.priority) }
    }
}

/// Who sends requests to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Requests that pass the filter.
    Seen,
    /// Requests that do not: mirrored ones, those of other protocols.
    Unseen,
    /// Nobody.
    None,
}

/// A cluster.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) hosts: Vec<Host>,
    /// `outlier_detection` as `/config_dump` shows it, if there is any.
    pub(crate) rule: Option<Value>,
    /// Ejections in the statistics.
    pub(crate) ejections: u64,
    /// What the detector did, in the filter's words.
    pub(crate) record: Vec<(String, u64)>,
    pub(crate) traffic: Traffic,
    /// Where hosts are not chosen in turn, the state of the random numbers by which they are.
    pub(crate) random: Option<u64>,
    threshold: u32,
    base_ms: u64,
    interval_ms: u64,
    requests: usize,
}

impl Cluster {
    /// A cluster whose detector ejects after `threshold` errors for `base_ms`, looks every 500 ms whether an ejection
    /// is over, and may eject every host.
    pub(crate) fn new(name: &str, hosts: Vec<Host>, threshold: u32, base_ms: u64) -> Self {
        let seconds = |ms: u64| format!("{}.{:03}s", ms / 1_000, ms % 1_000);
        let rule = json!({
            "consecutive_5xx": threshold, "enforcing_consecutive_5xx": 100, "interval": "0.500s",
            "base_ejection_time": seconds(base_ms), "max_ejection_time": seconds(base_ms),
            "max_ejection_percent": 100, "enforcing_success_rate": 0,
        });
        Self {
            name: name.to_owned(),
            hosts,
            rule: Some(rule),
            ejections: 0,
            record: Vec::new(),
            traffic: Traffic::Seen,
            random: None,
            threshold,
            base_ms,
            interval_ms: 500,
            requests: 0,
        }
    }

    /// Chooses a host, has it answer, and judges the answer; `None` if no host is in rotation.
    pub(crate) fn serve(&mut self, now: u64) -> Option<(Host, u16)> {
        let nearest = self.hosts.iter().filter(|host| host.is_in_rotation()).map(|host| host.priority).min()?;
        let in_turn = self.hosts.iter().enumerate().filter(|(_, h)| h.is_in_rotation() && h.priority == nearest);
        let in_turn: Vec<usize> = in_turn.map(|(index, _)| index).collect();
        self.requests += 1;
        let turn = self.random_number().unwrap_or(self.requests);
        let index = in_turn[turn % in_turn.len()];
        Some(self.serve_by(index, now))
    }

    /// The next random number, from Knuth's linear congruential generator.
    fn random_number(&mut self) -> Option<usize> {
        let state = self.random.as_mut()?;
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).ok()
    }

    fn serve_by(&mut self, index: usize, now: u64) -> (Host, u16) {
        let host = &mut self.hosts[index];
        let answered = usize::try_from(host.successes + host.errors).unwrap_or(0);
        let status = host.answers[answered % host.answers.len()];
        if status < 500 {
            host.successes += 1;
            host.streak = 0;
        } else {
            host.errors += 1;
            host.streak += 1;
        }
        if host.streak == self.threshold {
            self.eject(index, now);
        }
        (self.hosts[index].clone(), status)
    }

    /// Ejects a host.
    pub(crate) fn eject(&mut self, index: usize, now: u64) {
        let host = &mut self.hosts[index];
        host.streak = 0;
        host.ejected_until = Some(now + self.base_ms);
        self.ejections += 1;
        self.record.push((format!("endpoint_ejected {}", host.address), now));
    }

    /// Puts hosts back whose ejection is over, on the ticks of the detector's interval.
    pub(crate) fn tick(&mut self, now: u64) {
        if !now.is_multiple_of(self.interval_ms) {
            return;
        }
        for host in &mut self.hosts {
            if host.ejected_until.is_some_and(|until| now >= until) {
                host.ejected_until = None;
                self.record.push((format!("endpoint_returned {}", host.address), now));
            }
        }
    }
}
