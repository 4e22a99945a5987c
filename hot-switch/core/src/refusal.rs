//! Why a pod whose proxy fails is not bypassed. A refusal always names its reason.

/// The reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The pod did not opt in.
    NotOptedIn,
    /// The mode is `report`: what would be done is said, not done.
    ReportOnly,
    /// The pod shares the node's network: its rules would be the node's.
    HostNetwork,
    /// ztunnel carries its traffic.
    Ambient,
    /// It is a gateway: nothing is behind it on the same pod.
    Gateway,
    /// It is in the mesh's own namespace.
    SystemNamespace,
    /// It is being deleted.
    Terminating,
    /// Its node is cordoned and being drained.
    Draining,
    /// Nothing redirects its traffic.
    NotCaptured,
    /// STRICT or an AuthorizationPolicy would be lost, and the pod does not allow that.
    Unprotected,
    /// The application does not answer: a bypass would change nothing.
    AppFails,
    /// The pod names neither probe nor port by which the application could be asked.
    AppUnknown,
    /// The agent itself is late, so what it calls silence may be its own.
    NodeLate,
    /// More than half of the node's proxies fail together: the node fails, not the proxies.
    NodeFails,
    /// It was bypassed too often within the window.
    Flapping,
    /// It was bypassed for longer than the maximum.
    Overdue,
    /// A person took the gate away: the proxy has to be well before it is bypassed again.
    ByHand,
    /// As many pods of the workload are bypassed as may be.
    Budget,
    /// As many pods were bypassed within the minute as may be.
    Rate,
    /// Much of the mesh fails at once: a person decides.
    Breaker,
    /// The API server refuses the change of the pod that a bypass begins with.
    Denied,
    /// No controller, or no API server: nobody can consent.
    NoController,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::NotOptedIn,
        Self::ReportOnly,
        Self::HostNetwork,
        Self::Ambient,
        Self::Gateway,
        Self::SystemNamespace,
        Self::Terminating,
        Self::Draining,
        Self::NotCaptured,
        Self::Unprotected,
        Self::AppFails,
        Self::AppUnknown,
        Self::NodeLate,
        Self::NodeFails,
        Self::Flapping,
        Self::Overdue,
        Self::ByHand,
        Self::Budget,
        Self::Rate,
        Self::Breaker,
        Self::Denied,
        Self::NoController,
    ];

    /// The word of events, metrics and annotations.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotOptedIn => "not_opted_in",
            Self::ReportOnly => "report_only",
            Self::HostNetwork => "host_network",
            Self::Ambient => "ambient",
            Self::Gateway => "gateway",
            Self::SystemNamespace => "system_namespace",
            Self::Terminating => "terminating",
            Self::Draining => "draining",
            Self::NotCaptured => "not_captured",
            Self::Unprotected => "unprotected",
            Self::AppFails => "app_fails",
            Self::AppUnknown => "app_unknown",
            Self::NodeLate => "node_late",
            Self::NodeFails => "node_fails",
            Self::Flapping => "flapping",
            Self::Overdue => "overdue",
            Self::ByHand => "by_hand",
            Self::Budget => "budget",
            Self::Rate => "rate",
            Self::Breaker => "breaker",
            Self::Denied => "denied",
            Self::NoController => "no_controller",
        }
    }

    /// The same for people, as the end of a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotOptedIn => "the pod did not opt in",
            Self::ReportOnly => "the pod wants to be told only",
            Self::HostNetwork => "the pod shares the node's network",
            Self::Ambient => "the pod is in ambient mode",
            Self::Gateway => "it is a gateway",
            Self::SystemNamespace => "it is in a namespace of the mesh or the system",
            Self::Terminating => "the pod is being deleted",
            Self::Draining => "its node is being drained",
            Self::NotCaptured => "nothing redirects the pod's traffic",
            Self::Unprotected => "policy would be lost, and the pod does not allow that",
            Self::AppFails => "the application does not answer either",
            Self::AppUnknown => "the pod names neither probe nor port by which the application could be asked",
            Self::NodeLate => "the node is overloaded",
            Self::NodeFails => "most proxies of the node fail at once",
            Self::Flapping => "it was bypassed too often lately",
            Self::Overdue => "it was bypassed for longer than it may be",
            Self::ByHand => "a person ended the bypass, and the proxy was not well since",
            Self::Budget => "as many pods of the workload are bypassed as may be",
            Self::Rate => "as many pods were bypassed within the minute as may be",
            Self::Breaker => "much of the mesh fails at once, and a person decides",
            Self::Denied => "the API server refuses the change of the pod (an admission policy, or missing rights)",
            Self::NoController => "nobody could consent",
        }
    }

    /// The refusal of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| refusal.word() == word)
    }

    /// Whether it may be gone a moment later, so that asking again makes sense.
    #[must_use]
    pub fn is_passing(self) -> bool {
        matches!(
            self,
            Self::AppFails
                | Self::NodeLate
                | Self::NodeFails
                | Self::Flapping
                | Self::Budget
                | Self::Rate
                | Self::Breaker
                | Self::Denied
                | Self::NoController
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::of_word(refusal.word()), Some(refusal));
        }
        assert_eq!(Refusal::of_word("no such"), None);
    }
}
