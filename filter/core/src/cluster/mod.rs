//! One cluster as all workers of a proxy know it together: endpoints in trouble, where traffic goes, a failover.
//!
//! It is one value. A worker that has news takes the shared value, applies the news, and puts it back if nobody else
//! was faster; otherwise it starts over. So each event is made by exactly one worker, whichever was first. The value
//! holds only endpoints that are in trouble or were recently, and sums; the full list of endpoints is [`members`].
//!
//! News comes from traffic (`on_traffic`), from Envoy's answers (`on_host_list`, `on_ejection_counts`) and with time
//! (`on_tick`). All of them change the value (`state`) by evidence about an endpoint, its streaks (`streaks`) and the
//! failover's next step (`failovers`).
//!
//! Deliberately not here: how the value is shared, and healthy traffic one by one: it arrives in sums, by
//! [`add_traffic`].

mod ejection_counts;
mod endpoint;
mod failovers;
mod input;
mod localities;
pub mod members;
mod on_ejection_counts;
mod on_host_list;
mod on_tick;
mod on_traffic;
mod state;
mod streaks;

pub use input::{AttemptObservation, EvaluationContext};
pub use localities::MAX_LOCALITIES;
pub use on_ejection_counts::{on_ejection_counts, on_ejection_counts_failed, wants_counts};
pub use on_host_list::{ask_again_in, on_host_list};
pub use on_tick::on_tick;
pub use on_traffic::{add_traffic, on_attempt, on_no_healthy_upstream, set_members};
pub use state::{ClusterState, ENCODING};
