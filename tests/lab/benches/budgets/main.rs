//! The filter's costs next to their budgets: size of the module, host calls and fuel of a healthy request on the
//! harness, and CPU time of a real Envoy compared with the empty filter on the Rust SDK.
//!
//! CPU time is that of the Envoy process, so neither the load nor the endpoints count. Each round loads all three
//! Envoys (no filter, the empty one, ours) in turn, so that a temporary slowdown of the machine affects all three.
//! Figures over budget are marked and make the bench fail, except for the CPU ratio, which is a measurement and has a
//! spread. Memory and the cost of many endpoints are in `endpoints`, the main thread's part in `witness`.

#![expect(clippy::print_stdout, reason = "the figures are what this program is run for")]

mod endpoints;
mod figure;
mod witness;

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use figure::print;
use flate2::Compression;
use flate2::write::GzEncoder;
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::Locality;
use lab::net::load::Load;
use lab::programs::run::output_of;
use lab::programs::tools::Tool;
use lab::zones::{CLUSTER, HOST, ZONES, Zones, plugin_config};
use wasm_harness::{Exchange, Harness, Module, Node, Upstream};

/// Requests before the count starts: they define the metrics and make the endpoints known.
const WARM_UP: u64 = 1_000;

/// The number of requests that are counted on the harness.
const COUNTED: u64 = 10_000;

/// Rounds of the CPU measurement, and the number of requests to each Envoy in a round.
const ROUNDS: usize = 32;
const REQUESTS_PER_CONNECTION: u64 = 400;
const CONNECTIONS: usize = 8;

/// Envoy has a core to itself; the load and the endpoints have the other.
const ENVOYS_CORE: usize = 0;
const OUR_CORE: usize = 1;

fn main() -> Result<ExitCode> {
    let ours = Tool::Module.path()?;
    let baseline = Tool::Baseline.path()?;
    let mut over = size(&ours)?;
    over |= healthy_request(&ours, &baseline)?;
    over |= endpoints::measure(&ours)?;
    over |= witness::measure(&ours)?;
    cpu(&ours, &baseline)?;
    Ok(if over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn size(module: &Path) -> Result<bool> {
    let bytes = std::fs::read(module)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let gzipped = gzip.finish()?;
    let kilobytes = |n: usize| n as f64 / 1000.0;
    let raw = print("module", kilobytes(bytes.len()), 200.0, "kB");
    Ok(print("module, gzipped", kilobytes(gzipped.len()), 80.0, "kB") | raw)
}

fn healthy_request(ours: &Path, baseline: &Path) -> Result<bool> {
    let (calls, fuel) = on_harness(ours, &plugin_config(&OutlierDetection::first_error()))?;
    let (base_calls, base_fuel) = on_harness(baseline, "")?;
    let over = print("host calls of a healthy request", calls, 4.0, "");
    println!("{:<44} {base_calls:>10.1}", "  of the empty filter");
    println!("{:<44} {fuel:>10.0} fuel", "instructions of a healthy request");
    println!("{:<44} {base_fuel:>10.0} fuel", "  of the empty filter");
    Ok(over)
}

/// Host calls and fuel of one healthy request, on average over two workers without a tick in between.
fn on_harness(module: &Path, config: &str) -> Result<(f64, f64)> {
    let load = |e: wasm_harness::LoadError| anyhow::anyhow!("{}: {e:?}", module.display());
    let compiled = Module::compile(&std::fs::read(module)?).map_err(load)?;
    let harness = Harness::builder().workers(2).node(Node::at(ZONES[0])).config(config).build(&compiled);
    let mut harness = harness.map_err(load)?;
    let upstream = Upstream::new(CLUSTER, "127.0.1.1:8000").locality(ZONES[0]).endpoints(4);
    let healthy = Exchange::ok(&upstream);
    for n in 0..WARM_UP {
        harness.exchange(usize::from(n % 2 == 0), &healthy);
    }
    harness.advance(Duration::from_secs(1));
    harness.reset_costs();
    for n in 0..COUNTED {
        harness.exchange(usize::from(n % 2 == 0), &healthy);
    }
    let costs = harness.costs();
    ensure!(costs.exchanges.times == COUNTED, "the harness counted {} exchanges", costs.exchanges.times);
    let each = |n: u64| n as f64 / COUNTED as f64;
    Ok((each(costs.exchanges.host_calls), each(costs.exchanges.fuel)))
}

fn cpu(ours: &Path, baseline: &Path) -> Result<()> {
    pin(std::process::id(), OUR_CORE);
    let zones = Zones::start()?;
    let rules = OutlierDetection::default();
    let mut plain = Bootstrap::new(&Locality::new(ZONES[0]), vec![zones.cluster(rules.clone())]);
    plain.workers = 1;
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
    ];
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let mut used = [0.0; 3];
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
    let requests = ROUNDS as u64 * CONNECTIONS as u64 * REQUESTS_PER_CONNECTION;
    println!(
        "CPU of a real Envoy with one worker, {ROUNDS} rounds, {requests} healthy requests to each; medians, quartiles"
    );
    for (name, index) in [("  extra of the empty filter", 1), ("  extra of faultline", 2)] {
        let [low, median, high] = quartiles(rounds.iter().map(|used| used[index] - used[0]))?;
        println!("{name:<44} {median:>10.2} us     from {low:.2} to {high:.2}");
    }
    // The ratio of the medians, and its spread over parts of the rounds.
    let parts = rounds.chunks(ROUNDS.div_ceil(4)).map(ratio_of_medians).collect::<Result<Vec<_>>>()?;
    let ratio = ratio_of_medians(&rounds)?;
    let least = parts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = parts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let over = if ratio > 1.0 { "   OVER" } else { "" };
    println!(
        "{:<44} {ratio:>10.2} x      budget 1.0, in quarters of the run from {least:.2} to {most:.2}{over}",
        "  ratio"
    );
    Ok(())
}

fn ratio_of_medians(rounds: &[[f64; 3]]) -> Result<f64> {
    let [_, base, _] = quartiles(rounds.iter().map(|used| used[1] - used[0]))?;
    let [_, ours, _] = quartiles(rounds.iter().map(|used| used[2] - used[0]))?;
    Ok(ours / base)
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
