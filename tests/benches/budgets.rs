//! The filter's price next to its budgets: size of the module, host calls and fuel of a healthy request on the harness, and
//! CPU time of a real Envoy, where the empty filter on the Rust SDK is the measure.
//!
//! CPU time is the Envoy process's own, so that neither the load nor the endpoint counts. The three Envoys (no filter, the
//! empty one, ours) are loaded in turn within each round, and a round gives one ratio: what slows the machine down for a
//! while slows down all three. Figures over budget are marked, and make the bench fail, except for the CPU ratio, which is
//! a measurement and has a spread. Not here: the memory and the flatness over many endpoints.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use tests::bootstrap::Bootstrap;
use tests::envoy::Envoy;
use tests::load::Load;
use tests::outlier::OutlierDetection;
use tests::tools::Tool;
use tests::topology::Locality;
use tests::zones::{CLUSTER, HOST, ZONES, Zones, plugin_config};
use wasm_harness::{Exchange, Harness, Module, Node, Upstream};

/// Requests before anything is counted: definitions of metrics and the first sight of an endpoint are behind then.
const WARM_UP: u64 = 1_000;

/// Requests that are counted on the harness.
const COUNTED: u64 = 10_000;

/// Rounds of the CPU measurement, and requests to each Envoy in a round.
const ROUNDS: usize = 12;
const REQUESTS_PER_CONNECTION: u64 = 2_000;
const CONNECTIONS: usize = 4;

fn main() -> Result<ExitCode> {
    let ours = Tool::Module.path()?;
    let baseline = Tool::Baseline.path()?;
    let mut over = size(&ours)?;
    over |= healthy_request(&ours, &baseline)?;
    cpu(&ours, &baseline)?;
    Ok(if over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints a figure next to its budget; true when it is over.
fn print(what: &str, value: f64, budget: f64, unit: &str) -> bool {
    let over = value > budget;
    println!("{what:<44} {value:>10.1} {unit:<6} budget {budget:.1}{}", if over { "   OVER" } else { "" });
    over
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
    let zones = Zones::start()?;
    let rules = OutlierDetection::default();
    let plain = Bootstrap::new(&Locality::new(ZONES[0]), vec![zones.cluster(rules.clone())]);
    let start = |bootstrap: &Bootstrap| -> Result<(Envoy, Load)> {
        let envoy = Envoy::start(bootstrap)?;
        let load = envoy.load(HOST, CONNECTIONS)?;
        Ok((envoy, load))
    };
    let mut envoys = [
        start(&plain)?,
        start(&plain.clone().with_filter(baseline, ""))?,
        start(&plain.clone().with_filter(ours, &plugin_config(&rules)))?,
    ];
    let mut extra = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    for round in 0..=ROUNDS {
        let mut each = [0.0; 3];
        for ((envoy, load), each) in envoys.iter_mut().zip(&mut each) {
            *each = microseconds_per_request(envoy, load)?;
        }
        // The first round warms up.
        if round > 0 {
            let [none, base, ours] = each;
            extra[0].push(base - none);
            extra[1].push(ours - none);
            ratios.push((ours - none) / (base - none));
        }
    }
    let total = ROUNDS as u64 * CONNECTIONS as u64 * REQUESTS_PER_CONNECTION;
    println!("CPU of a real Envoy, {ROUNDS} rounds, {total} healthy requests to each");
    for (name, values) in ["  extra of the empty filter", "  extra of faultline"].into_iter().zip(&mut extra) {
        let (least, median, most) = spread(values)?;
        println!("{name:<44} {median:>10.2} us     from {least:.2} to {most:.2}");
    }
    let (least, median, most) = spread(&mut ratios)?;
    let over = if median > 1.0 { "   OVER" } else { "" };
    println!("{:<44} {median:>10.2} x      budget 1.00, from {least:.2} to {most:.2}{over}", "  ratio");
    Ok(())
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

/// Least, median and most.
fn spread(values: &mut [f64]) -> Result<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let median = values.get(values.len() / 2).context("no values")?;
    Ok((values[0], *median, values[values.len() - 1]))
}
