//! The judge's tables: the sums of all rounds of a mode on an Envoy, and of all rounds with an ingredient.

use std::collections::BTreeMap;
use std::fmt;

use super::compare::Disagreement;
use super::ingredient::Ingredient;
use super::mode::Mode;
use super::round::Round;
use crate::envoy::outlier::Action;

/// Sums of rounds.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Rounds.
    pub rounds: usize,
    /// How often rounds were played again because the machine stood still.
    pub repeats: usize,
    /// Ejections in Envoy's record.
    pub ejections: usize,
    /// Returns in Envoy's record.
    pub returns: usize,
    /// Ejections and returns that the filter did not report.
    pub missed: usize,
    /// Returns and ejections right before an endpoint left that no list could show; not wrong.
    pub unseen: usize,
    /// Ejections of failures at the same time, which only Envoy can know of, that the filter did not tell or that Envoy
    /// did not do; not wrong.
    pub undecided: usize,
    /// Reports of what Envoy did not do.
    pub invented: usize,
    /// Reports that the filter repeated.
    pub twice: usize,
    /// Reports with another reason or number.
    pub details: usize,
    /// Failovers that were told.
    pub failovers: usize,
    /// What was wrong with failovers.
    pub failover_faults: usize,
    /// Anything else that was wrong.
    pub complaints: usize,
    /// Delays of ejections after Envoy's record, in milliseconds, sorted.
    pub ejection_delays: Vec<i64>,
    /// Delays of returns after Envoy's record, in milliseconds, sorted.
    pub return_delays: Vec<i64>,
}

impl Sums {
    fn add(&mut self, round: &Round) {
        self.rounds += 1;
        self.repeats += round.repeats;
        self.ejections += round.count(Action::Eject);
        self.returns += round.count(Action::Return);
        self.unseen += round.unseen;
        self.undecided += round.undecided;
        for wrong in &round.verdict.wrong {
            match wrong {
                Disagreement::Missed(_) => self.missed += 1,
                Disagreement::Invented(_) => self.invented += 1,
                Disagreement::Twice(_) => self.twice += 1,
                Disagreement::Details(_) => self.details += 1,
            }
        }
        self.failovers += round.failovers;
        self.failover_faults += round.failover_faults.len();
        self.complaints += round.complaints.len();
        self.ejection_delays.extend(&round.verdict.ejection_delays);
        self.return_delays.extend(&round.verdict.return_delays);
        self.ejection_delays.sort_unstable();
        self.return_delays.sort_unstable();
    }

    /// Whether nothing was wrong.
    pub fn is_right(&self) -> bool {
        self.missed + self.invented + self.twice + self.details + self.failover_faults + self.complaints == 0
    }

    /// The columns that both tables have.
    fn columns(&self) -> String {
        let counts = [
            self.rounds,
            self.repeats,
            self.ejections,
            self.returns,
            self.unseen,
            self.undecided,
            self.missed,
            self.invented,
            self.twice,
            self.details,
            self.failovers,
            self.failover_faults,
            self.complaints,
        ];
        counts.map(|count| count.to_string()).join(" | ")
    }
}

/// The sums by Envoy's version and mode, and by ingredient; `None` is a plain scene.
#[derive(Clone, Debug, Default)]
pub struct Table {
    by_mode: BTreeMap<(String, Mode), Sums>,
    by_ingredient: BTreeMap<Option<Ingredient>, Sums>,
}

impl Table {
    /// Adds a round.
    pub fn add(&mut self, round: &Round) {
        self.by_mode.entry((round.version.clone(), round.scene.mode)).or_default().add(round);
        let ingredients = round.scene.ingredients.iter().copied().map(Some);
        let plain = round.scene.ingredients.is_empty().then_some(None);
        for ingredient in ingredients.chain(plain) {
            self.by_ingredient.entry(ingredient).or_default().add(round);
        }
    }

    /// Whether nothing was wrong in any round.
    pub fn is_right(&self) -> bool {
        self.by_mode.values().all(Sums::is_right)
    }

    /// The sums of every mode on every Envoy.
    pub fn sums(&self) -> impl Iterator<Item = (Mode, &Sums)> {
        self.by_mode.iter().map(|((_, mode), sums)| (*mode, sums))
    }
}

const TITLES: &str = "rounds | repeated | ejections | returns | left at once | at the same time | missed | invented \
                      | twice | told otherwise | failovers | faults of failovers | other faults";

const DELAYS: &str = "ejections, ms after Envoy: median, p99, max | returns, ms after Envoy: median, p99, max";

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| Envoy | position | {TITLES} | {DELAYS} |\n|{}", "---|".repeat(17))?;
        for ((version, mode), sums) in &self.by_mode {
            let (ejections, returns) = (spread(&sums.ejection_delays), spread(&sums.return_delays));
            writeln!(f, "| {version} | {} | {} | {ejections} | {returns} |", mode.as_str(), sums.columns())?;
        }
        writeln!(f, "\n| rounds with | {TITLES} |\n|{}", "---|".repeat(14))?;
        for (ingredient, sums) in &self.by_ingredient {
            writeln!(f, "| {} | {} |", ingredient.map_or("none of these", Ingredient::as_str), sums.columns())?;
        }
        Ok(())
    }
}

/// Median, 99th percentile and maximum of sorted values; by nearest rank, so each is a measured value.
fn spread(sorted: &[i64]) -> String {
    let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1));
    match (rank(50), rank(99), sorted.last()) {
        (Some(median), Some(p99), Some(max)) => format!("{median}, {p99}, {max}"),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(spread(&[]), "-");
        assert_eq!(spread(&[4]), "4, 4, 4");
        assert_eq!(spread(&(1..=200).collect::<Vec<_>>()), "100, 198, 200");
    }
}
