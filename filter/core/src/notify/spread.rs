//! When, and whether, one proxy of a fleet sends: thousands that see the same outage in the same second would else post
//! all at once, and again in each minute.
//!
//! A hash of the node id decides, so that a proxy keeps its turn over all alerts, workers and reloads.

use crate::time::Millis;

/// The longest time that the start of a failover waits, in milliseconds.
pub const MAX_START_DELAY_MS: Millis = 10_000;

/// The mean time after which an open alert is repeated, in milliseconds; each proxy has a time of its own, from half of
/// it to half as much again. All are well within Alertmanager's default `resolve_timeout` of five minutes, so that one
/// or two repetitions may be lost.
pub const REPEAT_INTERVAL_MS: Millis = 60_000;

/// A proxy's turn among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How long the start of a failover waits, in milliseconds.
    pub start_delay: Millis,
    /// The time after which open alerts are repeated, in milliseconds.
    pub repeat_interval: Millis,
    /// Whether the proxy sends failovers.
    pub sends_failovers: bool,
}

impl Spread {
    /// The turn of the proxy with this [`node_hash`](crate::names::node_hash), if one proxy in `one_in` sends
    /// failovers. One without a node id sends all, and at once.
    pub fn new(node_hash: u32, one_in: u32) -> Self {
        let (hash, shifted) = (Millis::from(node_hash), Millis::from(node_hash.rotate_left(16)));
        let half = REPEAT_INTERVAL_MS / 2;
        Self {
            start_delay: hash % (MAX_START_DELAY_MS + 1),
            repeat_interval: (half.saturating_add(shifted) % (REPEAT_INTERVAL_MS + 1)).saturating_add(half),
            sends_failovers: node_hash.is_multiple_of(one_in),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::node_hash;

    fn fleet(one_in: u32) -> Vec<Spread> {
        let id = |pod: u32| format!("sidecar~10.0.0.1~caller-{pod}.shop~shop.svc.cluster.local");
        (0..10_000).map(|pod| Spread::new(node_hash(&id(pod)), one_in)).collect()
    }

    #[test]
    fn a_fleet_does_not_send_in_one_second() {
        let fleet = fleet(1);
        for second in 0..10 {
            let starts = fleet.iter().filter(|spread| spread.start_delay / 1_000 == second).count();
            assert!((850..1_150).contains(&starts), "{starts} start in second {second}");
            let interval = 30_000 + second * 6_000;
            let repeats = fleet.iter().filter(|spread| (interval..interval + 6_000).contains(&spread.repeat_interval));
            assert!((850..1_150).contains(&repeats.count()), "repeated after {interval} ms");
        }
        let is_bounded = |spread: &Spread| {
            spread.start_delay <= 10_000
                && (30_000..=90_000).contains(&spread.repeat_interval)
                && spread.sends_failovers
        };
        assert!(fleet.iter().all(is_bounded));
    }

    #[test]
    fn about_one_proxy_in_so_many_sends_failovers() {
        for (one_in, about) in [(10, 850..1_150), (100, 60..140), (10_000, 0..5)] {
            let count = fleet(one_in).iter().filter(|spread| spread.sends_failovers).count();
            assert!(about.contains(&count), "{count} of 10,000 with oneIn {one_in}");
        }
    }

    #[test]
    fn a_proxy_without_a_node_id_sends_at_once() {
        let alone = Spread { start_delay: 0, repeat_interval: REPEAT_INTERVAL_MS, sends_failovers: true };
        assert_eq!(Spread::new(node_hash(""), 500), alone);
    }
}
