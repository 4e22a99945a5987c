//! What a set is written with: its random numbers, and what it may contain.

use std::collections::BTreeSet;

use fastrand::Rng;

use crate::rules_judge::ingredient::Ingredient;

/// What a set is made with.
pub(super) struct Pen<'a> {
    /// Where chance comes from.
    pub(super) rng: Rng,
    /// The ingredients of the set.
    pub(super) ingredients: &'a BTreeSet<Ingredient>,
    /// The namespaces of the set's services.
    pub(super) namespaces: &'a [&'static str],
}

impl Pen<'_> {
    /// Whether something happens that does in so many of a hundred cases.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    /// One of these.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())].clone()
    }

    /// Whether the set has the ingredient, and it is used in this place, as in so many of a hundred.
    pub(super) fn uses(&mut self, ingredient: Ingredient, percent: u32) -> bool {
        self.chance(percent) && self.ingredients.contains(&ingredient)
    }
}
