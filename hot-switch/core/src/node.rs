//! Whether a node, and the agent on it, may be believed.

use crate::Moment;
use crate::refusal::Refusal;

/// From this many failing proxies on, more than half of a node's proxies failing together is the node's failure.
const TOGETHER: usize = 3;

/// What is known of the node in this round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// By how much the agent's own round began late, or a probe of a socket of its own took: its own slowness.
    pub delay: Moment,
    /// Proxies that fail in this round.
    pub failing: usize,
    /// Proxies that were asked, or are bypassed because they failed.
    pub proxies: usize,
}

impl Node {
    /// Why nothing that was seen on this node in this round may lead to a bypass. `patience` is the delay from which on
    /// the agent does not believe itself.
    #[must_use]
    pub fn refusal(&self, patience: Moment) -> Option<Refusal> {
        if self.delay > patience {
            return Some(Refusal::NodeLate);
        }
        let more_than_half = self.failing.saturating_mul(2) > self.proxies;
        (self.failing >= TOGETHER && more_than_half).then_some(Refusal::NodeFails)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_agent_does_not_believe_itself() {
        let patience = Moment::from_millis(250);
        let node =
            |delay, failing, proxies| Node { delay: Moment::from_millis(delay), failing, proxies }.refusal(patience);
        assert_eq!(node(0, 1, 1), None, "a node with one proxy can have a dead one");
        assert_eq!(node(0, 2, 2), None);
        assert_eq!(node(251, 1, 10), Some(Refusal::NodeLate));
        assert_eq!(node(0, 3, 6), None);
        assert_eq!(node(0, 4, 6), Some(Refusal::NodeFails));
    }
}
