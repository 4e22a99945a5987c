//! One cluster as all workers of a proxy see it: endpoints in trouble, where traffic goes, a failover.
//!
//! It is one shared value. A worker that has news takes the value, applies the news, and writes it back if no other
//! worker was faster; otherwise it starts over. So each event is reported by exactly one worker. The value holds only
//! sums and the endpoints that are in trouble or were recently; the full list of endpoints is in [`members`].
//!
//! News comes from traffic (`on_traffic`), from Envoy's answers (`on_host_list`, `on_ejection_counts`) and from the
//! clock (`on_tick`). All of it changes the value (`state`) through evidence about an endpoint, its streaks (`streaks`)
//! and the next step of the failover (`failovers`).
//!
//! Deliberately not here: how the value is shared; successful attempts one by one, which arrive in sums by
//! [`add_traffic`].

mod departures;
mod ejection_counts;
mod endpoint;
mod endpoints;
mod failovers;
pub mod host_totals;
mod input;
mod known_rule;
mod localities;
pub mod members;
mod on_ejection_counts;
mod on_host_list;
mod on_rule;
mod on_tick;
mod on_traffic;
mod state;
mod streaks;
mod unseen_successes;

pub use input::{AttemptObservation, EvaluationContext};
pub use known_rule::Origin;
pub use localities::MAX_LOCALITIES;
pub use on_ejection_counts::{on_ejection_counts, on_ejection_counts_failed, wants_counts};
pub use on_host_list::{
    ask_again_in, asks_at_once, on_endpoint_configs, on_host_list, on_owned, on_served, wants_list,
};
pub use on_rule::{RuleNews, on_rule, on_rule_failed, settings};
pub use on_tick::on_tick;
pub use on_traffic::{add_traffic, on_attempt, on_no_healthy_upstream, set_members};
pub use state::{ClusterState, ENCODING};
