//! Writes a random set of services and rules from a seed.

mod pen;
mod policy;
mod rule;
mod service;

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::Value;

use super::ingredient::Ingredient;
use super::places::NAMESPACES;
use pen::Pen;
pub(super) use service::{Endpoint, Service};

/// Names of services, each used once in a set; the seed follows, so that no set changes what another had.
const NAMES: [&str; 4] = ["cart", "search", "mail", "stock"];

/// A set of services and rules.
#[derive(Clone, Debug)]
pub(super) struct RuleSet {
    /// Its seed.
    pub(super) seed: u64,
    /// What is in it.
    pub(super) ingredients: BTreeSet<Ingredient>,
    /// Its services.
    pub(super) services: Vec<Service>,
    /// Its DestinationRules.
    pub(super) rules: Vec<Value>,
}

impl RuleSet {
    /// The set of this seed, with these ingredients besides the random ones.
    pub(super) fn from_seed(seed: u64, with: &BTreeSet<Ingredient>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let ingredients = Ingredient::draw(with, &mut rng);
        let namespaces = &NAMESPACES[..rng.usize(1..=NAMESPACES.len())];
        let count = rng.usize(2..=NAMES.len());
        let mut pen = Pen { rng, ingredients: &ingredients, namespaces };
        let names = NAMES[..count].iter().map(|name| format!("{name}-{seed}")).enumerate();
        let services: Vec<Service> = names.map(|(number, name)| service::service(&mut pen, name, number)).collect();
        let rules = rule::rules(&mut pen, &services);
        Self { seed, services, rules, ingredients }
    }

    /// Its objects, as a user would apply them.
    pub(super) fn objects(&self) -> Vec<Value> {
        let of_services = self.services.iter().flat_map(|service| service.objects.iter().cloned());
        of_services.chain(self.rules.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_set_and_every_ingredient_can_be_asked_for() {
        for ingredient in Ingredient::ALL {
            let with = [ingredient].into();
            let (one, other) = (RuleSet::from_seed(7, &with), RuleSet::from_seed(7, &with));
            assert_eq!(one.objects(), other.objects());
            assert!(one.ingredients.contains(&ingredient));
            assert_eq!(Ingredient::of_option(&ingredient.option()), Some(ingredient));
        }
        let none = BTreeSet::new();
        assert_ne!(RuleSet::from_seed(1, &none).objects(), RuleSet::from_seed(2, &none).objects());
    }
}
