//! Envoy as the judge of the filter: random outages from a seed, and the filter's ejections and returns against the outlier
//! detector's own record of what it did.
//!
//! A round is one Envoy with a random set-up and a random script of outages ([`scene`]), steady traffic ([`traffic`]), and
//! a comparison when all is over ([`round`], [`compare`]). The same seed gives the same set-up and the same script; the
//! interleaving of threads differs, so a rare disagreement may take several runs of its seed to show again.
//!
//! Not here: single situations with one right answer; those are tests of their own.

pub mod compare;
pub mod picture;
pub mod round;
pub mod scene;
pub mod table;
pub mod traffic;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail};

use round::Round;
use scene::Scene;
use table::Table;

/// How the filter stands in Envoy, and so what it can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// HTTP filter, no retries: each request's only attempt. Returns may be inferred late.
    Http,
    /// HTTP filter and the router's upstream log, with retries.
    UpstreamLog,
    /// HTTP filter and witness, with retries.
    Witness,
    /// All three, with retries.
    Both,
}

impl Mode {
    /// Every mode, as they are run by default.
    pub const ALL: [Self; 4] = [Self::Http, Self::UpstreamLog, Self::Witness, Self::Both];

    /// The mode as the command line writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::UpstreamLog => "upstream-log",
            Self::Witness => "witness",
            Self::Both => "both",
        }
    }

    /// Whether the filter is in the router's upstream log.
    pub const fn sees_attempts(self) -> bool {
        matches!(self, Self::UpstreamLog | Self::Both)
    }

    /// Whether the filter asks Envoy's admin interface.
    pub const fn has_witness(self) -> bool {
        matches!(self, Self::Witness | Self::Both)
    }
}

/// What is to be judged.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The first round's seed; each further round has the next.
    pub seed: u64,
    /// Rounds in each mode on each Envoy.
    pub rounds: u64,
    /// The modes.
    pub modes: Vec<Mode>,
    /// The Envoys; none is the tests' own.
    pub envoys: Vec<PathBuf>,
    /// Rounds that run at the same time.
    pub jobs: usize,
}

impl Trial {
    /// Runs all rounds. Each is handed to `watch` as it ends, one at a time.
    ///
    /// # Errors
    /// When a round could not be run: no Envoy, no module, no ports.
    pub fn run(&self, watch: impl FnMut(&Round) + Send) -> Result<Table> {
        let scenes = self.scenes();
        let next = AtomicU64::new(0);
        let state = Mutex::new((Table::default(), watch, Vec::new()));
        let work = || {
            while let Some(scene) =
                usize::try_from(next.fetch_add(1, Ordering::Relaxed)).ok().and_then(|i| scenes.get(i))
            {
                let played = round::play(scene);
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let (table, watch, failed) = &mut *state;
                match played {
                    Ok(round) => {
                        watch(&round);
                        table.add(&round);
                    }
                    Err(error) => {
                        failed.push(format!("{}: {error:#}", scene.again()));
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(work);
            }
        });
        let (table, _, failed) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = failed.first() {
            bail!("{failed}");
        }
        Ok(table)
    }

    fn scenes(&self) -> Vec<Scene> {
        let none = vec![None];
        let envoys = if self.envoys.is_empty() { none } else { self.envoys.iter().cloned().map(Some).collect() };
        let mut scenes = Vec::new();
        for envoy in &envoys {
            for mode in &self.modes {
                let seeds = self.seed..self.seed.saturating_add(self.rounds);
                scenes.extend(seeds.map(|seed| Scene::from_seed(seed, *mode, envoy.clone())));
            }
        }
        scenes
    }
}
