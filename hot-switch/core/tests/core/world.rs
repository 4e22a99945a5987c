//! A pod, its proxy and its kernel, as the core sees them.

use hot_switch_core::Moment;
use hot_switch_core::node::Node;
use hot_switch_core::pod::{Consent, Facts, Intent, Kernel, News, Pod, State};
use hot_switch_core::settings::Settings;
use hot_switch_core::sighting::{Answer, App, Container, Sighting};
use hot_switch_core::standing::{Mode, Standing};

/// What a proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Well,
    Slow,
    Dead,
    Hung,
    Frozen,
    Starting,
    StandIn,
}

impl Proxy {
    pub(crate) fn sighting(self, app: App) -> Sighting {
        use Answer::{Bad, Good, Late, Refused, Silent, StandIn};
        let (health, agent, admin, container) = match self {
            Self::Well => (Good, Good, Good, Container::Running),
            Self::Slow => (Late, Good, Late, Container::Running),
            Self::Dead => (Refused, Refused, Refused, Container::Down),
            Self::Hung => (Silent, Good, Silent, Container::Running),
            Self::Frozen => (Silent, Silent, Silent, Container::Running),
            Self::Starting => (Bad, Bad, Good, Container::Running),
            Self::StandIn => (StandIn, StandIn, Refused, Container::Running),
        };
        Sighting { health, agent, admin, container, app }
    }
}

pub(crate) const ACT: Standing = Standing {
    mode: Mode::Act,
    directions: hot_switch_core::standing::Directions::Both,
    kind: hot_switch_core::standing::Kind::Sidecar,
    life: hot_switch_core::standing::Life::Lives,
    protection: hot_switch_core::standing::Protection::None,
};

pub(crate) fn secs(seconds: u64) -> Moment {
    Moment::from_secs(seconds)
}

/// One pod, its agent and a controller that consents when it is asked.
pub(crate) struct World {
    pub(crate) now: Moment,
    pub(crate) pod: Pod,
    pub(crate) kernel: Kernel,
    pub(crate) standing: Standing,
    pub(crate) proxy: Proxy,
    pub(crate) app: App,
    pub(crate) node: Node,
    pub(crate) consent: Consent,
    pub(crate) direct_flows_cut: u32,
    pub(crate) proxy_sockets_cut: u32,
    pub(crate) news: Vec<(Moment, News)>,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            now: Moment::ZERO,
            pod: Pod::new(settings),
            kernel: Kernel { captured: true, ..Kernel::default() },
            standing: ACT,
            proxy: Proxy::Well,
            app: App::Answers,
            node: Node { proxies: 10, ..Node::default() },
            consent: Consent::Granted,
            direct_flows_cut: 0,
            proxy_sockets_cut: 0,
            news: Vec::new(),
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts {
            now: self.now,
            sighting: self.proxy.sighting(self.app),
            kernel: self.kernel,
            standing: self.standing,
            node: self.node,
            patience: Moment::from_millis(250),
            consent: self.consent,
        }
    }

    /// Does what is wanted, and whatever follows from what the kernel then shows.
    pub(crate) fn apply(&mut self, intents: Vec<Intent>) {
        let acted = intents.iter().any(|intent| !matches!(intent, Intent::Tell(_)));
        for intent in intents {
            self.apply_one(intent);
        }
        if acted {
            let more = self.pod.settle(self.now, &self.kernel);
            self.apply(more);
        }
    }

    pub(crate) fn apply_one(&mut self, intent: Intent) {
        match intent {
            Intent::TakeProbes => self.kernel.probes = true,
            Intent::TakeReady => self.kernel.ready = true,
            Intent::ReturnProbes => (self.kernel.probes, self.kernel.ready) = (false, false),
            Intent::GateOn(_, since) => {
                self.kernel.gate = Some(self.kernel.gate.unwrap_or(since));
                self.kernel.half = false;
            }
            Intent::GateOff => self.kernel.gate = None,
            Intent::CutProxySockets => self.proxy_sockets_cut += 1,
            Intent::CutDirectFlows => self.direct_flows_cut += 1,
            Intent::Tell(news) => self.news.push((self.now, news)),
        }
    }

    /// One round: a step, and the controller's word if it was asked for.
    pub(crate) fn round(&mut self) {
        let intents = self.pod.step(&self.facts());
        self.apply(intents);
        if self.pod.state() == State::Confirmed {
            let intents = self.pod.hear(&self.facts());
            self.apply(intents);
        }
        self.now += secs(1);
    }

    pub(crate) fn rounds(&mut self, rounds: u64) {
        for _ in 0..rounds {
            self.round();
        }
    }

    /// Rounds until this holds; how many it took.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> u64 {
        for rounds in 0..10_000 {
            if holds(self) {
                return rounds;
            }
            self.round();
        }
        panic!("{what} does not come: {:?}", self.pod);
    }

    pub(crate) fn told(&self) -> Vec<News> {
        self.news.iter().map(|(_, news)| *news).collect()
    }
}
