//! Many rounds, some of them in parallel, and the table of all.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail};

use super::ingredient::Ingredient;
use super::mode::Mode;
use super::round::{self, Round};
use super::scene::Scene;
use super::table::Table;

/// The rounds that the judge plays.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The first round's seed; each further round has the next.
    pub seed: u64,
    /// Rounds in each mode on each Envoy.
    pub rounds: u64,
    /// The modes.
    pub modes: Vec<Mode>,
    /// Ingredients of every round, besides the random ones.
    pub with: BTreeSet<Ingredient>,
    /// The Envoys; if empty, the one that set-up installed for the tests.
    pub envoys: Vec<PathBuf>,
    /// How many rounds run in parallel.
    pub jobs: usize,
}

impl Trial {
    /// Runs all rounds. Each is passed to `watch` when it ends, one at a time.
    ///
    /// # Errors
    /// If a round could not be run: no Envoy, no module, no ports.
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
                        failed.push(format!("{error:#}; the round was\n{scene}"));
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
                scenes.extend(seeds.map(|seed| Scene::from_seed(seed, *mode, envoy.clone(), &self.with)));
            }
        }
        scenes
    }
}
