//! The figures of one run, each next to its budget and to what was measured last.
//!
//! Budgets are ratchets: a figure that is within its budget but worse than the accepted one, by more than chance, fails
//! as well. What was accepted is in `accepted.json`; `--accept` writes this run's figures there.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// What was measured when the figures were last accepted, by name.
const ACCEPTED: &str = include_str!("accepted.json");

/// The same file, to be written.
const ACCEPTED_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budgets/accepted.json");

/// How far chance takes a figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Noise {
    /// It is a count that repeats exactly; a hundredth is for other compilers.
    Exact,
    /// The lowest value that it may have had in this run.
    From(f64),
    /// By this factor, on another day or machine.
    Factor(f64),
}

/// All figures so far.
#[derive(Debug)]
pub(crate) struct Sheet {
    accepted: BTreeMap<String, f64>,
    measured: BTreeMap<String, f64>,
    has_failed: bool,
}

impl Sheet {
    /// An empty sheet.
    ///
    /// # Errors
    /// If `accepted.json` is no object of numbers.
    pub(crate) fn new() -> Result<Self> {
        let accepted = serde_json::from_str(ACCEPTED).context("accepted.json")?;
        Ok(Self { accepted, measured: BTreeMap::new(), has_failed: false })
    }

    /// Prints a figure next to its budget, if it has one, and notes whether it is over it or worse than before.
    pub(crate) fn print(&mut self, what: &str, value: f64, budget: Option<f64>, unit: &str, noise: Noise) {
        let (least, factor) = match noise {
            Noise::Exact => (value, 1.01),
            Noise::From(least) => (least, 1.1),
            Noise::Factor(factor) => (value, factor),
        };
        let name = what.trim().to_owned();
        let before = self.accepted.get(&name).copied();
        let is_over = budget.is_some_and(|budget| least > budget);
        // A hundredth of a unit is no change, whatever the factor.
        let is_worse = before.is_some_and(|before| least > before * factor + 0.01);
        let mut line = format!("{what:<52} {value:>10.2} {unit:<8}");
        if let Some(budget) = budget {
            line += &format!(" budget {budget:.2}{}", if is_over { " OVER" } else { "" });
        }
        if let Some(before) = before {
            line += &format!(" accepted {before:.2}{}", if is_worse { " WORSE" } else { "" });
        }
        println!("{}", line.trim_end());
        self.has_failed |= is_over || is_worse;
        self.measured.insert(name, (value * 100.0).round() / 100.0);
    }

    /// Whether a figure was over its budget or worse than accepted.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Writes this run's figures over the accepted ones; those of parts that were not measured stay.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn accept(mut self) -> Result<()> {
        self.accepted.append(&mut self.measured);
        let text = serde_json::to_string_pretty(&self.accepted)? + "\n";
        std::fs::write(Path::new(ACCEPTED_FILE), text).with_context(|| ACCEPTED_FILE.to_owned())
    }
}

/// The quartiles of some values.
///
/// # Errors
/// If there are none.
pub(crate) fn quartiles(values: impl Iterator<Item = f64>) -> Result<[f64; 3]> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values.get((values.len() * quarter / 4).min(values.len().saturating_sub(1))).copied();
    Ok([at(1).context("no values")?, at(2).context("no values")?, at(3).context("no values")?])
}
