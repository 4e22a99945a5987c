//! CPU time of a real Envoy for a healthy request, as a multiple of what the empty filter on the Rust SDK takes.
//!
//! CPU time is that of the Envoy process, so neither the load nor the endpoints count. Each round loads all Envoys in
//! turn, so that a temporary slowdown of the machine affects all of them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::Locality;
use lab::net::load::Load;
use lab::programs::run::output_of;
use lab::zones::{HOST, ZONES, Zones, plugin_config};

/// Rounds, and the number of requests to each Envoy in a round.
const ROUNDS: usize = 32;
const REQUESTS_PER_CONNECTION: u64 = 400;
const CONNECTIONS: usize = 8;

/// Envoy has a core to itself; the load and the endpoints have the other.
const ENVOYS_CORE: usize = 0;
const OUR_CORE: usize = 1;

/// What is measured, and its budget as a multiple of the empty filter.
const OURS: [(&str, f64); 2] = [("the HTTP filter", 1.2), ("lean", 0.05)];

/// Microseconds for a request in one round: without a filter, with the empty one, and with ours in each position.
type Round = [f64; 4];

/// Prints the figures; true if one is over its budget. One is only if three quarters of the rounds are.
pub(crate) fn measure(ours: &Path, baseline: &Path) -> Result<bool> {
    let rounds = rounds(ours, baseline)?;
    let requests = ROUNDS as u64 * CONNECTIONS as u64 * REQUESTS_PER_CONNECTION;
    println!(
        "CPU of a real Envoy with one worker, {ROUNDS} rounds, {requests} healthy requests to each; medians, quartiles"
    );
    let [_, empty, _] = extra(&rounds, 1)?;
    println!("{:<44} {empty:>10.2} us", "  extra of the empty filter");
    let mut over = false;
    for (index, (name, budget)) in OURS.into_iter().enumerate() {
        let [low, median, high] = extra(&rounds, index + 2)?.map(|extra| extra / empty);
        let is_over = low > budget;
        over |= is_over;
        println!(
            "{:<44} {median:>10.2} x      budget {budget:.2}, from {low:.2} to {high:.2}{}",
            format!("  {name}, as a multiple of it"),
            if is_over { "   OVER" } else { "" }
        );
    }
    Ok(over)
}

fn rounds(ours: &Path, baseline: &Path) -> Result<Vec<Round>> {
    pin(std::process::id(), OUR_CORE);
    let zones = Zones::start()?;
    let rules = OutlierDetection::default();
    let mut plain = Bootstrap::new(&Locality::new(ZONES[0]), vec![zones.cluster(rules.clone())]);
    plain.workers = 1;
    let mut lean = plain.clone().with_filter(ours, r#"{"attempts": "failed"}"#);
    lean.is_lean = true;
    let start = |bootstrap: &Bootstrap| -> Result<(Envoy, Load)> {
        let envoy = Envoy::start(bootstrap)?;
        pin(envoy.pid(), ENVOYS_CORE);
        let load = envoy.load(HOST, CONNECTIONS)?;
        Ok((envoy, load))
    };
    let mut envoys = [
        start(&plain)?,
        start(&plain.clone().with_filter(baseline, ""))?,
        start(&plain.clone().with_filter(ours, &plugin_config(&rules)))?,
        start(&lean)?,
    ];
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let mut used = Round::default();
        for turn in 0..envoys.len() {
            // The order changes from round to round.
            let index = (round + turn) % envoys.len();
            let (envoy, load) = &mut envoys[index];
            used[index] = microseconds_per_request(envoy, load)?;
        }
        // The first round warms up.
        if round > 0 {
            rounds.push(used);
        }
    }
    Ok(rounds)
}

/// What one Envoy takes more than the one without a filter: quartiles over the rounds.
fn extra(rounds: &[Round], index: usize) -> Result<[f64; 3]> {
    quartiles(rounds.iter().map(|used| used[index] - used[0]))
}

/// Keeps a process, with all its present threads, on one core. Without `taskset` or a second core it runs on any core,
/// and the figures spread more.
fn pin(process: u32, core: usize) {
    let (core, process) = (core.to_string(), process.to_string());
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", &core, &process]);
    let pinned = output_of(&mut taskset, "").is_ok_and(|output| output.status.success());
    if !pinned {
        eprintln!("process {process} is not pinned to a core: no taskset, or one core only");
    }
}

fn microseconds_per_request(envoy: &Envoy, load: &mut Load) -> Result<f64> {
    let before = envoy.cpu_time()?;
    let tally = load.send_at_once(REQUESTS_PER_CONNECTION);
    let used = envoy.cpu_time()?.checked_sub(before).context("CPU time went backwards")?;
    if tally.status(200) != tally.total() {
        bail!("not every answer was a 200: {tally:?}");
    }
    Ok(used.as_secs_f64() * 1e6 / tally.total() as f64)
}

/// The quartiles of some values.
fn quartiles(values: impl Iterator<Item = f64>) -> Result<[f64; 3]> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values.get((values.len() * quarter / 4).min(values.len().saturating_sub(1))).copied();
    Ok([at(1).context("no values")?, at(2).context("no values")?, at(3).context("no values")?])
}
