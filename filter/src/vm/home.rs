//! Where the proxy itself is: as it was told, else by its labels, else as Envoy's priorities show.

use crate::host::exchange;
use crate::output::remark::Remark;
use crate::output::reporter::Reporter;
use crate::shared::{claims, home};
use filter_core::locality::Locality;
use filter_core::locality::home_from_labels;
use filter_core::time::Millis;

/// For how long a remark about home is not repeated, in milliseconds.
const REMARK_AGAIN_MS: Millis = 86_400_000;

/// How the proxy's locality is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Source {
    /// It is not known.
    #[default]
    Nothing,
    /// The node's locality in the bootstrap.
    Node,
    /// The labels in the node's metadata.
    Labels,
    /// The priorities of Envoy's hosts.
    Priorities,
}

/// The proxy's locality.
#[derive(Debug, Default)]
pub(crate) struct Home {
    pub(crate) locality: Locality,
    source: Source,
}

impl Home {
    /// Reads the proxy's locality.
    pub(crate) fn read() -> Self {
        let node = exchange::home_locality();
        if !node.is_unknown() {
            return Self { locality: node, source: Source::Node };
        }
        let labels = home_from_labels(exchange::label);
        match (labels.is_unknown(), home::read()) {
            (false, _) => Self { locality: labels, source: Source::Labels },
            (true, Some(locality)) => Self { locality, source: Source::Priorities },
            (true, None) => Self::default(),
        }
    }

    /// Whether the proxy was told its locality, so that nothing needs to be concluded.
    pub(crate) fn is_told(&self) -> bool {
        matches!(self.source, Source::Node | Source::Labels)
    }

    /// Says once per proxy where home is and how that is known; with localities that cannot be told apart (`is_blind`),
    /// that no failover can be told.
    pub(crate) fn remark(&self, reporter: &Reporter, is_blind: bool, now: Millis) {
        let Self { locality, source } = self;
        let (token, remark) = match source {
            Source::Nothing if !is_blind => return,
            Source::Nothing => (0, Remark::NoHome),
            Source::Node => (1, Remark::Home { locality, how: "node.locality" }),
            Source::Labels => (2, Remark::Home { locality, how: "the labels in node.metadata" }),
            Source::Priorities => (3, Remark::Home { locality, how: "concluded from Envoy's priorities" }),
        };
        if claims::claim("home", token, now, REMARK_AGAIN_MS) {
            reporter.remark(remark);
        }
    }
}
