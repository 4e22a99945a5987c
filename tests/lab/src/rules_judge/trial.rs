//! Many rounds in one lab, and the table of all.

use std::collections::BTreeSet;

use anyhow::Result;

use super::ingredient::Ingredient;
use super::round::{self, Round};
use super::stage::Stage;
use super::table::Table;
use super::write::RuleSet;
use crate::istio::Branch;
use crate::programs::publisher::Publisher;

/// The rounds that the judge plays.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The first round's seed; each further round has the next.
    pub seed: u64,
    /// Rounds.
    pub rounds: u64,
    /// The branch of Istio.
    pub branch: Branch,
    /// Ingredients of every round, besides the random ones.
    pub with: BTreeSet<Ingredient>,
}

impl Trial {
    /// Runs all rounds. `say` is told how the lab comes up; each round is passed to `watch` when it ends.
    ///
    /// # Errors
    /// If the lab or the publisher does not work.
    pub fn run(&self, say: impl Fn(&str), mut watch: impl FnMut(&Round)) -> Result<Table> {
        let publisher = Publisher::new()?;
        let mut stage = Stage::start(self.branch, say)?;
        let mut table = Table::default();
        for seed in self.seed..self.seed.saturating_add(self.rounds) {
            let round = round::play(&mut stage, &publisher, RuleSet::from_seed(seed, &self.with))?;
            watch(&round);
            table.add(&round);
        }
        Ok(table)
    }
}
