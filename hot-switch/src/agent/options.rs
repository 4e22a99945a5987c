//! What an agent needs to know.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hot_switch_core::fleet::Limits;
use hot_switch_core::settings::Settings;

use crate::probe::round::Patience;

/// What an agent needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's name.
    pub node: String,
    /// Where the node's processes are seen.
    pub proc: PathBuf,
    /// From the beginning of one round to that of the next.
    pub interval: Duration,
    /// How long answers may take.
    pub patience: Patience,
    /// By how much the agent may be late before it believes nothing that it sees.
    pub own_delay: Duration,
    /// The limits of each pod's decisions.
    pub settings: Settings,
    /// The limits of all together.
    pub limits: Limits,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
}
