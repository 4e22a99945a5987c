//! Plays a few of the judge's rounds; `cargo xtask judge` runs more. See [`lab::judge`].
//!
//! The events are compared, but not their delays, which are in the judge's table.

use std::collections::BTreeSet;

use anyhow::Result;
use lab::judge::{Mode, Trial, picture};

fn agree(mode: Mode) -> Result<()> {
    let _machine = crate::machine();
    let (with, modes) = (BTreeSet::new(), vec![mode]);
    let trial = Trial { seed: 600, rounds: 2, modes, with, envoys: Vec::new(), jobs: 2 };
    let mut wrong = Vec::new();
    trial.run(|round| {
        if !round.is_right() {
            wrong.push(picture::draw(round));
        }
    })?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_http_filter_agrees_with_envoy_when_nothing_is_retried() -> Result<()> {
    agree(Mode::Http)
}

#[test]
fn the_upstream_log_agrees_with_envoy_under_retries() -> Result<()> {
    agree(Mode::UpstreamLog)
}

#[test]
fn the_witness_agrees_with_envoy_under_retries() -> Result<()> {
    agree(Mode::Witness)
}

#[test]
fn all_positions_together_agree_with_envoy_under_retries() -> Result<()> {
    agree(Mode::Both)
}

#[test]
fn logs_of_failures_agree_with_envoy_under_retries() -> Result<()> {
    agree(Mode::Lean)
}
