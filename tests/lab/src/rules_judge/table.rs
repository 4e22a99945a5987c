//! The judge's table: the sums of all rounds, and of all rounds with an ingredient.

use std::collections::BTreeMap;
use std::fmt;

use super::ingredient::Ingredient;
use super::round::Round;

/// Sums of rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    rounds: usize,
    clusters: usize,
    said: usize,
    not_said: usize,
}

impl Sums {
    fn add(&mut self, round: &Round) {
        let (said, not_said) = round.counts();
        self.rounds += 1;
        self.clusters += round.clusters();
        self.said += said;
        self.not_said += not_said;
    }
}

/// The sums of all rounds, and by ingredient; `None` is a set without any.
#[derive(Clone, Debug, Default)]
pub struct Table {
    all: Sums,
    by_ingredient: BTreeMap<Option<Ingredient>, Sums>,
}

impl Table {
    /// Adds a round.
    pub fn add(&mut self, round: &Round) {
        self.all.add(round);
        let mut ingredients: Vec<_> = round.ingredients().map(Some).collect();
        if ingredients.is_empty() {
            ingredients.push(None);
        }
        for ingredient in ingredients {
            self.by_ingredient.entry(ingredient).or_default().add(round);
        }
    }

    /// Whether every difference was said.
    pub fn is_right(&self) -> bool {
        self.all.not_said == 0
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| rounds with | rounds | clusters compared | differences said | not said |\n|{}",
            "---|".repeat(5)
        )?;
        let named = |ingredient: &Option<Ingredient>| ingredient.map_or("none of these", Ingredient::as_str);
        let lines = self.by_ingredient.iter().map(|(ingredient, sums)| (named(ingredient), sums));
        for (name, Sums { rounds, clusters, said, not_said }) in lines.chain([("all", &self.all)]) {
            writeln!(f, "| {name} | {rounds} | {clusters} | {said} | {not_said} |")?;
        }
        Ok(())
    }
}
