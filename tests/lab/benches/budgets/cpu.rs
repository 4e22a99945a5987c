//! CPU time of a real Envoy for a healthy request, as a multiple of what the empty filter on the Rust SDK takes.
//!
//! CPU time is that of the Envoy process, so neither the load nor the endpoints count. Each round loads all Envoys in
//! turn, so that a temporary slowdown of the machine affects all of them. Two processes of one program differ by a
//! microsecond and more for as long as they run, by where their memory lies, so every few rounds all are started anew.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::Locality;
use lab::net::load::Load;
use lab::programs::run::output_of;
use lab::zones::{HOST, ZONES, Zones, plugin_config};

use crate::figure::{Noise, Sheet, quartiles};

/// How often all Envoys are started, the rounds of each start, and the number of requests to each Envoy in a round.
const STARTS: usize = 10;
const ROUNDS: usize = 4;
const REQUESTS_PER_CONNECTION: u64 = 400;
const CONNECTIONS: usize = 8;

/// Envoy has a core to itself; the load and the endpoints have the other.
const ENVOYS_CORE: usize = 0;
const OUR_CORE: usize = 1;

/// What is measured, and its budget as a multiple of the empty filter.
const OURS: [(&str, Option<f64>); 3] =
    [("the HTTP filter", Some(1.2)), ("lean", Some(0.05)), ("the HTTP filter in an outage", None)];

/// Microseconds for a request in one round: without a filter, with the empty one, and with ours.
type Round = [f64; 5];

/// Prints the figures. One is over its budget only if three quarters of the rounds are.
pub(crate) fn measure(ours: &Path, baseline: &Path, sheet: &mut Sheet) -> Result<()> {
    let rounds = rounds(ours, baseline)?;
    let requests = rounds.len() as u64 * CONNECTIONS as u64 * REQUESTS_PER_CONNECTION;
    let (starts, rounds_each) = (STARTS, ROUNDS);
    println!(
        "CPU of a real Envoy with one worker, {starts} starts of {rounds_each} rounds, {requests} requests to each; \
         medians, quartiles"
    );
    let [_, empty, _] = extra(&rounds, 1)?;
    println!("{:<52} {empty:>10.2} us", "  extra of the empty filter");
    for (index, (name, budget)) in OURS.into_iter().enumerate() {
        let [low, median, high] = extra(&rounds, index + 2)?.map(|extra| extra / empty);
        sheet.print(&format!("  CPU for a request, {name}"), median, budget, "x empty", Noise::From(low));
        println!("{:<52} {low:>10.2} to {high:.2}", "    half of the rounds from");
    }
    Ok(())
}

fn rounds(ours: &Path, baseline: &Path) -> Result<Vec<Round>> {
    pin(std::process::id(), OUR_CORE);
    let mut rounds = Vec::new();
    for _ in 0..STARTS {
        rounds.extend(rounds_of_one_start(ours, baseline)?);
    }
    Ok(rounds)
}

fn rounds_of_one_start(ours: &Path, baseline: &Path) -> Result<Vec<Round>> {
    let zones = Zones::start()?;
    let rules = OutlierDetection::default();
    let mut plain = Bootstrap::new(&Locality::new(ZONES[0]), vec![zones.cluster(rules.clone())]);
    plain.workers = 1;
    let mut lean = plain.clone().with_filter(ours, r#"{"attempts": "failed"}"#);
    lean.is_lean = true;
    let mut envoys = [
        start(&plain)?,
        start(&plain.clone().with_filter(baseline, ""))?,
        start(&plain.clone().with_filter(ours, &plugin_config(&rules)))?,
        start(&lean)?,
        start_in_outage(ours, &zones)?,
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

fn start(bootstrap: &Bootstrap) -> Result<(Envoy, Load)> {
    let envoy = Envoy::start(bootstrap)?;
    pin(envoy.pid(), ENVOYS_CORE);
    let load = envoy.load(HOST, CONNECTIONS)?;
    Ok((envoy, load))
}

/// An Envoy whose home has been ejected, for longer than the measurement takes: every request goes away, and the filter
/// judges it.
fn start_in_outage(ours: &Path, zones: &Zones) -> Result<(Envoy, Load)> {
    let hours = Duration::from_secs(3_600);
    let rules = OutlierDetection { base_ejection_time: hours, ..OutlierDetection::first_error() };
    let mut bootstrap = Bootstrap::new(&Locality::new(ZONES[0]), vec![zones.cluster(rules.clone())]);
    bootstrap.workers = 1;
    let mut out = start(&bootstrap.with_filter(ours, &plugin_config(&rules)))?;
    zones.set(&ZONES[..1], Behaviour::Answer(503))?;
    out.1.send_at_once(1);
    zones.set(&ZONES[..1], Behaviour::Answer(200))?;
    out.1.send_at_once(20);
    out.0.events().wait_for("failover_started", |event| event.name() == "failover_started")?;
    Ok(out)
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
