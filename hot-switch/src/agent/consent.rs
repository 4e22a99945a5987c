//! Who consents to a bypass on a node without a controller: the limits themselves, applied to the node's own pods.

use std::collections::BTreeMap;

use hot_switch_core::Moment;
use hot_switch_core::fleet::{Ask, Fleet, Limits};
use hot_switch_core::pod::Consent;

/// The limits, and what is known of the pods.
#[derive(Debug)]
pub(super) struct LocalConsent {
    fleet: Fleet,
    workloads: BTreeMap<String, String>,
    down: BTreeMap<String, bool>,
}

impl LocalConsent {
    pub(super) fn new(limits: Limits) -> Self {
        Self { fleet: Fleet::new(limits), workloads: BTreeMap::new(), down: BTreeMap::new() }
    }

    /// These are the pods, with their workloads.
    pub(super) fn sizes(&mut self, pods: impl Iterator<Item = (String, String)>) {
        self.workloads = pods.collect();
    }

    /// Whether a pod's proxy fails or the pod is bypassed.
    pub(super) fn stands(&mut self, now: Moment, pod: &str, down: bool) {
        if down && !self.fleet.is_granted(pod) {
            self.fleet.fails(now, pod);
        }
        self.down.insert(pod.to_owned(), down);
    }

    /// A pod that was found bypassed.
    pub(super) fn adopt(&mut self, pod: &str, workload: &str) {
        self.fleet.adopt(pod, workload);
    }

    pub(super) fn ask(&mut self, now: Moment, pod: &str, workload: &str) -> Consent {
        let of = || self.workloads.iter().filter(|(_, of)| *of == workload).map(|(pod, _)| pod);
        let ask = Ask {
            pod,
            workload,
            workload_pods: of().count(),
            workload_down: of().filter(|pod| self.down.get(*pod).copied().unwrap_or(false)).count(),
            proxies: self.workloads.len(),
        };
        match self.fleet.ask(now, &ask) {
            Ok(()) => Consent::Granted,
            Err(refusal) => Consent::Denied(refusal),
        }
    }

    pub(super) fn release(&mut self, pod: &str) {
        self.fleet.release(pod);
    }

    pub(super) fn forget(&mut self, pod: &str) {
        self.fleet.release(pod);
        self.down.remove(pod);
    }
}
