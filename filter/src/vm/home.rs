//! Where the proxy itself is: as it was told, else by its labels, else as Envoy's priorities show.

use super::state::Vm;
use crate::host::exchange;
use crate::output::remark::Remark;
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

/// Reads the proxy's locality.
pub(crate) fn read(vm: &mut Vm) {
    let node = exchange::home_locality();
    vm.home = if !node.is_unknown() {
        Home { locality: node, source: Source::Node }
    } else {
        let labels = home_from_labels(exchange::label);
        match (labels.is_unknown(), home::read()) {
            (false, _) => Home { locality: labels, source: Source::Labels },
            (true, Some(locality)) => Home { locality, source: Source::Priorities },
            (true, None) => Home::default(),
        }
    };
}

/// Says once per proxy where home is and how that is known; with localities that cannot be told apart (`is_blind`),
/// that no failover can be told.
pub(crate) fn remark(vm: &Vm, is_blind: bool, now: Millis) {
    let Home { locality, source } = &vm.home;
    let (token, remark) = match source {
        Source::Nothing if !is_blind => return,
        Source::Nothing => (0, Remark::NoHome),
        Source::Node => (1, Remark::Home { locality, how: "node.locality" }),
        Source::Labels => (2, Remark::Home { locality, how: "the labels in node.metadata" }),
        Source::Priorities => (3, Remark::Home { locality, how: "concluded from Envoy's priorities" }),
    };
    if claims::claim("home", token, now, REMARK_AGAIN_MS) {
        vm.reporter.remark(remark);
    }
}
