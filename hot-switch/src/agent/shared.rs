//! What a node's threads share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hot_switch_core::Moment;
use hot_switch_core::node::Node;
use hot_switch_core::pod::State;

use super::clock::Clock;
use super::consent::{Authority, Trouble};
use super::options::Options;
use crate::cluster::notices::Notices;
use crate::pods::{Place, Pod};
use crate::told::metrics::Metrics;
use crate::told::notice::Notice;

/// What a node's threads share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Mutex<Metrics>>,
    /// Where Kubernetes Events go, if there is Kubernetes.
    notices: Option<Notices>,
    consent: Mutex<Authority>,
    /// Whether each pod's proxy fails, and is not bypassed.
    failing: Mutex<BTreeMap<String, bool>>,
    delay: Mutex<Moment>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(options: Options, authority: Authority, notices: Option<Notices>) -> Self {
        let consent = Mutex::new(authority);
        Self {
            options,
            clock: Clock::new(),
            metrics: Arc::default(),
            notices,
            consent,
            failing: Mutex::default(),
            delay: Mutex::default(),
        }
    }

    pub(super) fn consent(&self) -> MutexGuard<'_, Authority> {
        locked(&self.consent)
    }

    pub(super) fn metrics(&self) -> MutexGuard<'_, Metrics> {
        locked(&self.metrics)
    }

    /// Says it of a pod to whoever looks at its Events.
    pub(super) fn say(&self, pod: &Pod, notice: Notice) {
        if let (Some(notices), Place::Uid(uid)) = (&self.notices, &pod.place) {
            notices.say(&pod.name, uid, notice);
        }
    }

    pub(super) fn sizes(&self, pods: &[Pod]) {
        self.consent().sizes(pods.iter().map(|pod| (pod.name.clone(), pod.workload.clone())));
    }

    /// Where a pod stands after a round.
    pub(super) fn stands(&self, pod: &str, state: State, trouble: Trouble) {
        locked(&self.failing).insert(pod.to_owned(), trouble == Trouble::Failing);
        self.consent().stands(self.clock.now(), pod, trouble);
        self.metrics().stands(pod, state);
    }

    pub(super) fn forget(&self, pod: &str) {
        locked(&self.failing).remove(pod);
        self.consent().forget(pod);
        self.metrics().forget(pod);
    }

    /// The agent's own delay lately.
    pub(super) fn set_delay(&self, delay: Moment) {
        *locked(&self.delay) = delay;
    }

    /// The node, as a thread whose own round began this late sees it.
    pub(super) fn node(&self, own: Moment) -> Node {
        let failing = locked(&self.failing);
        Node {
            delay: (*locked(&self.delay)).max(own),
            failing: failing.values().filter(|fails| **fails).count(),
            proxies: failing.len(),
        }
    }
}
