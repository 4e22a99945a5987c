//! The drills: the situations this project exists for, played with real Envoys on one machine, for a person to watch.
//!
//! Each is a story in acts. An act breaks or repairs something, lets callers call until what must be told has been told,
//! and complains about anything told besides. At the end Envoy's own outlier event log is held against the filters' events,
//! as strictly as [`crate::judge`] does: nothing missed, nothing invented, nothing twice. Nothing waits for a time.
//!
//! Not here: random outages (the judge), charging rules and failover's finer points (tests of their own).

mod caller;
mod names;
mod reckoning;
mod relay;
mod s1;
mod s2;
mod s4;
mod screen;
mod secure;
mod services;
mod source;
mod stage;

use std::path::PathBuf;

use anyhow::Result;

pub use reckoning::Outcome;
use screen::Screen;

/// A situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drill {
    /// Service-level failover across zones and regions: three services in four zones, a sidecar for each that calls.
    S1,
    /// Failover between endpoints outside the mesh, found by name, in plain text and with TLS.
    S2,
    /// The configuration source and the admin interface go away in mid-outage, and come back.
    S4,
}

impl Drill {
    /// Plays it with this Envoy, or the tests' own; shows nothing if `quiet`.
    ///
    /// # Errors
    /// When it cannot be played to its end, because there is no Envoy, no module, no port, or something did not come about;
    /// what was wrong in one that was played is in its [`Outcome`].
    pub fn play(self, envoy: Option<PathBuf>, quiet: bool) -> Result<Outcome> {
        let screen = Screen::new(quiet);
        match self {
            Self::S1 => s1::play(envoy, screen),
            Self::S2 => s2::play(envoy, screen),
            Self::S4 => s4::play(envoy, screen),
        }
    }
}
