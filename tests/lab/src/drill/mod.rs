//! The drills: the situations for which this project exists, played with real Envoys on one machine for a person to
//! watch.
//!
//! Each drill consists of acts. An act breaks or repairs something, lets callers call until the expected events have
//! occurred, and complains about any other event. At the end, Envoy's own outlier event log is compared with the
//! filters' events, as strictly as in [`crate::judge`]: nothing missed, nothing invented, nothing twice. Nothing waits
//! for a fixed time.
//!
//! Of another kind are [`istio`], which brings up a real Istio and types what the documents say, and [`hot_switch`],
//! which breaks proxies instead of endpoints.
//!
//! Not here: random outages (the judge); the rules by which attempts count, and the details of failover (separate
//! tests).

mod caller;
mod control_plane;
mod control_plane_loss;
mod external;
pub mod hot_switch;
pub mod istio;
mod reckoning;
mod screen;
mod services;
mod stage;
mod zones;

use std::path::PathBuf;

use anyhow::Result;

pub use reckoning::Outcome;
pub use screen::Screen;

/// A situation that needs Envoys only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drill {
    /// Service-level failover across zones and regions.
    Zones,
    /// Failover between endpoints outside the mesh.
    External,
    /// The configuration source and the admin interface go away during an outage.
    ControlPlaneLoss,
}

impl Drill {
    /// Plays it on `screen` with this Envoy, or the one that set-up found.
    ///
    /// # Errors
    /// If it cannot be played to its end: there is no Envoy, no module or no port, or an expected event did not occur.
    /// What was wrong in a completed drill is in its [`Outcome`].
    pub fn play(self, envoy: Option<PathBuf>, screen: Screen) -> Result<Outcome> {
        match self {
            Self::Zones => zones::play(envoy, screen),
            Self::External => external::play(envoy, screen),
            Self::ControlPlaneLoss => control_plane_loss::play(envoy, screen),
        }
    }
}
