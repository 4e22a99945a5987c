//! The filter's costs next to their budgets: size of the module, host calls and fuel of a healthy request on the
//! harness, and CPU time of a real Envoy compared with the empty filter on the Rust SDK.
//!
//! Figures over budget are marked and make the bench fail. CPU time is in `cpu`, memory and the cost of many endpoints
//! are in `endpoints`, the main thread's part in `witness`.

#![expect(clippy::print_stdout, reason = "the figures are what this program is run for")]

mod cpu;
mod endpoints;
mod figure;
mod witness;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use figure::print;
use flate2::Compression;
use flate2::write::GzEncoder;
use lab::envoy::outlier::OutlierDetection;
use lab::programs::tools::Tool;
use lab::zones::{CLUSTER, ZONES, plugin_config};
use wasm_harness::{Exchange, Harness, Module, Node, Upstream};

/// Requests before the count starts: they define the metrics and make the endpoints known.
const WARM_UP: u64 = 1_000;

/// The number of requests that are counted on the harness.
const COUNTED: u64 = 10_000;

fn main() -> Result<ExitCode> {
    let ours = Tool::Module.path()?;
    let baseline = Tool::Baseline.path()?;
    // `cargo bench -p lab --bench budgets -- witness cpu` measures these parts only.
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    let mut over = wants("size") && size(&ours)?;
    over |= wants("request") && healthy_request(&ours, &baseline)?;
    over |= wants("endpoints") && endpoints::measure(&ours)?;
    over |= wants("witness") && witness::measure(&ours)?;
    over |= wants("cpu") && cpu::measure(&ours, &baseline)?;
    Ok(if over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn size(module: &Path) -> Result<bool> {
    let bytes = std::fs::read(module)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let gzipped = gzip.finish()?;
    let kilobytes = |n: usize| n as f64 / 1000.0;
    let raw = print("module", kilobytes(bytes.len()), 300.0, "kB");
    Ok(print("module, gzipped", kilobytes(gzipped.len()), 125.0, "kB") | raw)
}

fn healthy_request(ours: &Path, baseline: &Path) -> Result<bool> {
    let (calls, fuel) = on_harness(ours, &plugin_config(&OutlierDetection::first_error()))?;
    let (base_calls, base_fuel) = on_harness(baseline, "")?;
    // Two, and two more for one in sixteen, which is read whole.
    let over = print("host calls of a healthy request", calls, 2.2, "");
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
