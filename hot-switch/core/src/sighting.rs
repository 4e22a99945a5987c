//! What one round of probes saw inside a pod's network namespace, and what it means for the proxy.
//!
//! Three ports are asked over loopback, where no redirection, policy or network is in between. 15021 is Envoy's own
//! listener, routed to pilot-agent's 15020 `/healthz/ready`; 15000 is Envoy's admin interface. One port alone proves
//! nothing: a condition that leads to a bypass needs two that agree.

/// How a port answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 in time.
    Good,
    /// 200, but later than a healthy proxy answers.
    Late,
    /// Another status, such as 503.
    Bad,
    /// Nothing listens.
    Refused,
    /// No answer in time, or the connection broke while the answer was awaited.
    Silent,
    /// hot-switch's own stand-in answered: the image was changed, and no proxy runs.
    StandIn,
}

/// What kubelet says of the proxy's container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// It runs.
    Running,
    /// It waits to be started or has ended.
    Down,
    /// Nobody said.
    Unknown,
}

/// Whether the application answers on its own port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Its probe or port answers.
    Answers,
    /// It does not.
    Fails,
    /// The pod names neither probe nor port that could be asked.
    Unknown,
}

/// What one round of probes saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// `:15021/healthz/ready`: Envoy, and through it pilot-agent.
    pub health: Answer,
    /// `:15020/healthz/ready`: pilot-agent.
    pub agent: Answer,
    /// `:15000/ready`: Envoy's admin interface.
    pub admin: Answer,
    /// The container's status.
    pub container: Container,
    /// The application.
    pub app: App,
}

/// What a sighting means for the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Envoy's data path and pilot-agent live.
    Well,
    /// It answers, late: overloaded, not dead.
    Slow,
    /// Nothing of it listens.
    Dead,
    /// Envoy answers nothing, pilot-agent does.
    Hung,
    /// Neither answers: the container is frozen.
    Frozen,
    /// It starts, or waits for its first configuration.
    Starting,
    /// The stand-in is in its place.
    StandIn,
    /// The ports contradict each other.
    Unclear,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Well, Self::Slow, Self::Dead, Self::Hung, Self::Frozen, Self::Starting, Self::StandIn, Self::Unclear];

    /// The condition of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.word() == word)
    }

    /// The same for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Well => "the proxy is well",
            Self::Slow => "the proxy is slow",
            Self::Dead => "the proxy is dead",
            Self::Hung => "the proxy hangs",
            Self::Frozen => "the proxy is frozen",
            Self::Starting => "the proxy starts and does not come up",
            Self::StandIn => "the stand-in is in the proxy's place",
            Self::Unclear => "the proxy's ports contradict each other",
        }
    }

    /// Whether traffic that is redirected to this proxy is lost.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Dead | Self::Hung | Self::Frozen)
    }

    /// The word of events and metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Well => "proxy_well",
            Self::Slow => "proxy_slow",
            Self::Dead => "proxy_dead",
            Self::Hung => "proxy_hung",
            Self::Frozen => "proxy_frozen",
            Self::Starting => "proxy_starting",
            Self::StandIn => "stand_in",
            Self::Unclear => "unclear",
        }
    }
}

impl Sighting {
    /// What it means. The table is in the documents, a row for each arm.
    #[must_use]
    pub fn condition(&self) -> Condition {
        use Answer::{Bad, Good, Late, Refused, Silent, StandIn};
        match (self.health, self.agent, self.admin) {
            (StandIn, _, _) | (_, StandIn, _) => Condition::StandIn,
            (Good, _, _) => Condition::Well,
            (Late, _, _) => Condition::Slow,
            (Refused, Refused | Silent, Refused) => Condition::Dead,
            // Kubelet's word is the second signal where one port is still held, by a process that is about to end.
            (Refused, _, _) if self.container == Container::Down => Condition::Dead,
            // pilot-agent outlives its Envoy for a moment, or restarts it.
            (Refused, Good | Late, Refused) => Condition::Dead,
            (Silent, Good | Late | Bad, Silent) => Condition::Hung,
            (Silent, Silent | Refused, Silent) => Condition::Frozen,
            (Bad | Refused, Bad, _) => Condition::Starting,
            _ => Condition::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Answer::{Bad, Good, Late, Refused, Silent, StandIn};

    fn seen(health: Answer, agent: Answer, admin: Answer) -> Condition {
        Sighting { health, agent, admin, container: Container::Running, app: App::Answers }.condition()
    }

    #[test]
    fn the_table_of_conditions() {
        assert_eq!(seen(Good, Good, Good), Condition::Well);
        assert_eq!(seen(Late, Good, Late), Condition::Slow);
        assert_eq!(seen(Refused, Refused, Refused), Condition::Dead);
        assert_eq!(seen(Silent, Good, Silent), Condition::Hung);
        assert_eq!(seen(Silent, Silent, Silent), Condition::Frozen);
        assert_eq!(seen(Bad, Bad, Good), Condition::Starting);
        assert_eq!(seen(Refused, Bad, Refused), Condition::Starting);
        assert_eq!(seen(StandIn, StandIn, Refused), Condition::StandIn);
    }

    #[test]
    fn one_signal_alone_is_no_failure() {
        // 15021 alone says nothing while Envoy's admin interface answers: a listener, not the proxy.
        assert_eq!(seen(Refused, Good, Good), Condition::Unclear);
        assert_eq!(seen(Silent, Good, Good), Condition::Unclear);
        // pilot-agent gone, Envoy alive: traffic flows.
        assert_eq!(seen(Bad, Refused, Good), Condition::Unclear);
        // An admin interface that hangs while the data path answers.
        assert_eq!(seen(Good, Good, Silent), Condition::Well);
    }

    #[test]
    fn kubelets_word_is_a_second_signal() {
        let held =
            Sighting { health: Refused, agent: Good, admin: Silent, container: Container::Down, app: App::Answers };
        assert_eq!(held.condition(), Condition::Dead);
    }
}
