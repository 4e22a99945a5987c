//! What this VM has started and not finished: requests that were evaluated by their headers, a question to Envoy, a
//! notification.

use super::known::{ClusterIndex, LocalityIndex};
use filter_core::cluster::Origin;
use filter_core::endpoint::outcome::Outcome;
use filter_core::time::Millis;

/// A request that was evaluated and will be counted when it is logged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRequest {
    /// The cluster and the locality of its last attempt; `None` if the attempt went to nothing that is watched.
    pub(crate) went_to: Option<(ClusterIndex, LocalityIndex)>,
    pub(crate) outcome: Outcome,
    pub(crate) is_retried: bool,
    /// Whether the response consisted of headers only, so that it cannot break off.
    pub(crate) is_complete: bool,
    /// Whether it is healthy and not read yet.
    pub(crate) is_healthy: bool,
    /// Whether another context of the same request was evaluated, so that this one does not count.
    pub(crate) is_repeated: bool,
}

impl PendingRequest {
    /// A request that went to nothing that is watched.
    pub(crate) const NOWHERE: Self = Self {
        went_to: None,
        outcome: Outcome::NotCharged,
        is_retried: false,
        is_complete: true,
        is_healthy: false,
        is_repeated: false,
    };

    /// A healthy request that changes nothing.
    pub(crate) const HEALTHY: Self = Self { outcome: Outcome::Success, is_healthy: true, ..Self::NOWHERE };

    /// A request that passes the filter for the second time.
    pub(crate) const REPEATED: Self = Self { is_repeated: true, ..Self::NOWHERE };
}

/// What Envoy was asked.
#[derive(Clone, Debug)]
pub(crate) enum Topic {
    /// How these clusters eject; `is_last` if the other origin was asked before.
    Rules { origin: Origin, is_last: bool },
    /// The endpoints of these clusters, with their health and counts; Envoy before 1.38 lists those of all.
    HostLists,
    /// The endpoints of all clusters.
    Sweep,
    /// The endpoints of these clusters, as the balancer uses them.
    EndpointConfigs,
    /// How many endpoints were ejected, after a list.
    Counts(FollowUp),
}

/// A question to Envoy.
#[derive(Clone, Debug)]
pub(crate) struct PendingQuestion {
    /// The id of the HTTP call.
    pub(crate) call: u32,
    pub(crate) asked_at: Millis,
    pub(crate) topic: Topic,
    /// The names of the clusters that the question is about.
    pub(crate) about: Vec<String>,
}

/// What remains to be asked after an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct FollowUp {
    /// Clusters about which Envoy should be asked again.
    pub(crate) open: Vec<String>,
    /// In how many milliseconds Envoy should be asked again.
    pub(crate) wait: Option<Millis>,
    /// Clusters whose ejections should be counted.
    pub(crate) uncounted: Vec<String>,
    /// Clusters whose rule should be read.
    pub(crate) without_rule: Vec<String>,
    /// How long Envoy and this worker should rest before the next question.
    pub(crate) rest: Rest,
}

/// The minimum wait before the next question, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest {
    /// If anything is suspected.
    pub(crate) open: Millis,
    /// If all is well.
    pub(crate) calm: Millis,
}

impl FollowUp {
    /// Notes that Envoy should be asked about a cluster again in `wait` milliseconds, if at all.
    pub(crate) fn ask_again(&mut self, cluster: &str, wait: Option<Millis>) {
        let Some(wait) = wait else { return };
        self.wait = Some(self.wait.map_or(wait, |known| known.min(wait)));
        if !self.open.iter().any(|known| known == cluster) {
            self.open.push(cluster.to_owned());
        }
    }
}

/// Notifications that were sent to the receiver of `notify`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingDelivery {
    /// The id of the HTTP call.
    pub(crate) call: u32,
    /// The number of the outbox's request.
    pub(crate) round: u32,
}
