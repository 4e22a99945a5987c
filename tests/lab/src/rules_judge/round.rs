//! A round: one set of rules, and what was compared.

use std::fmt;

use anyhow::Result;
use serde_json::{Value, json};

use super::compare::{self, Difference};
use super::derived;
use super::ingredient::Ingredient;
use super::stage::{Refusal, Stage, View};
use super::write::RuleSet;
use crate::programs::publisher::Publisher;

/// What came of a round.
#[derive(Debug)]
pub struct Round {
    pub(super) set: RuleSet,
    pub(super) clusters: usize,
    pub(super) differences: Vec<Difference>,
}

/// Plays a round.
///
/// # Errors
/// If the lab or the publisher does not work.
pub(super) fn play(stage: &mut Stage, publisher: &Publisher, set: RuleSet) -> Result<Round> {
    let (refused, views) = match written(stage, &set) {
        Ok(both) => both,
        // A machine that stood still, or an Envoy that waits for what istiod does not send again.
        Err(_) => written(stage, &set)?,
    };
    let dir = tempfile::tempdir()?;
    let (applied, written) = (dir.path().join("applied.json"), dir.path().join("written.json"));
    std::fs::write(&applied, stage.dump()?.to_string())?;
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": set.objects() });
    std::fs::write(&written, list.to_string())?;
    let findings = derived::validate(publisher, &written)?;
    let mut differences = compare::refusals(&set, &refused, &findings);
    let mut clusters = 0;
    for view in &views {
        let derived = derived::config(publisher, &applied, &view.client)?;
        let compared = compare::view(&set, &refused, view, &derived, &findings);
        clusters += compared.clusters;
        differences.extend(compared.differences);
    }
    Ok(Round { set, clusters, differences })
}

/// Writes a set and waits until every Envoy has it.
fn written(stage: &mut Stage, set: &RuleSet) -> Result<(Vec<Refusal>, Vec<View>)> {
    Ok((stage.write(set)?, stage.views()?))
}

impl Round {
    /// The set's seed.
    pub fn seed(&self) -> u64 {
        self.set.seed
    }

    /// How many clusters were compared, over all Envoys.
    pub fn clusters(&self) -> usize {
        self.clusters
    }

    /// What is in the set.
    pub fn ingredients(&self) -> impl Iterator<Item = Ingredient> {
        self.set.ingredients.iter().copied()
    }

    /// How many differences were said, and how many were not.
    pub fn counts(&self) -> (usize, usize) {
        let said = self.differences.iter().filter(|difference| difference.said.is_some()).count();
        (said, self.differences.len() - said)
    }

    /// The differences that were said, with what said them.
    pub fn said(&self) -> impl fmt::Display {
        let lines = self.differences.iter().filter(|difference| difference.said.is_some());
        lines.map(|difference| format!("  {difference}\n")).collect::<String>()
    }

    /// The differences that were not said, with the rules and services that they are about.
    pub fn faults(&self) -> impl fmt::Display {
        let faults = self.differences.iter().filter(|difference| difference.said.is_none());
        let mut text: String = faults.clone().map(|difference| format!("  {difference}\n")).collect();
        let concerned = |object: &&Value| {
            faults.clone().any(|fault| fault.concerns.iter().any(|title| *title == super::stage::title(object)))
        };
        for object in self.set.objects().iter().filter(concerned) {
            text.push_str(&format!("    {object}\n"));
        }
        text
    }
}
