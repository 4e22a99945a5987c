//! The filter's costs next to their budgets: size of the module, host calls and fuel of a healthy request on the
//! harness, and CPU time of a real Envoy compared with the empty filter on the Rust SDK.
//!
//! Figures over budget, or worse than those accepted last, are marked and make the bench fail (`figure`). CPU time is
//! in `cpu`, what a start takes in `startup`, the cost of many endpoints in `endpoints`, of many clusters and of an
//! outage in `profile`, the main thread's part in `witness`.

#![expect(clippy::print_stdout, reason = "the figures are what this program is run for")]

mod cpu;
mod endpoints;
mod figure;
mod profile;
mod startup;
mod witness;

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use figure::{Noise, Sheet};
use flate2::Compression;
use flate2::write::GzEncoder;
use lab::envoy::outlier::OutlierDetection;
use lab::programs::run::output_of;
use lab::programs::tools::Tool;
use lab::zones::{CLUSTER, ZONES, plugin_config};
use time::OffsetDateTime;
use wasm_harness::{Exchange, Harness, Module, Node, Upstream};

/// Requests before the count starts: they define the metrics and make the endpoints known.
const WARM_UP: u64 = 1_000;

/// The number of requests that are counted on the harness.
const COUNTED: u64 = 10_000;

/// The parts, each with what measures it.
type Part = (&'static str, fn(&Path, &Path, &mut Sheet) -> Result<()>);
const PARTS: [Part; 7] = [
    ("size", |ours, _, sheet| size(ours, sheet)),
    ("request", healthy_request),
    ("endpoints", |ours, _, sheet| endpoints::measure(ours, sheet)),
    ("profile", |ours, _, sheet| profile::measure(ours, sheet)),
    ("startup", startup::measure),
    ("witness", |ours, _, sheet| witness::measure(ours, sheet)),
    ("cpu", cpu::measure),
];

fn main() -> Result<ExitCode> {
    let ours = Tool::Module.path()?;
    let baseline = Tool::Baseline.path()?;
    // `cargo bench -p lab --bench budgets -- witness cpu` measures these parts only.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parts: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    ensure!(
        parts.iter().all(|named| PARTS.iter().any(|(part, _)| named == part)),
        "the parts are {}",
        PARTS.map(|(part, _)| part).join(", ")
    );
    println!("{}", head(&ours)?);
    let mut sheet = Sheet::new()?;
    for (part, measure) in PARTS {
        if parts.is_empty() || parts.iter().any(|named| *named == part) {
            measure(&ours, &baseline, &mut sheet)?;
        }
    }
    let has_failed = sheet.has_failed();
    if arguments.iter().any(|argument| argument == "--accept") {
        sheet.accept()?;
    }
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is measured, where and when.
fn head(module: &Path) -> Result<String> {
    let digest = ring::digest::digest(&ring::digest::SHA256, &std::fs::read(module)?);
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let envoy = output_of(Command::new(Tool::Envoy.path()?).arg("--version"), "")?;
    let version = String::from_utf8_lossy(&envoy.stdout);
    // `…/envoy  version: <commit>/<version>/<state of its tree>/…`
    let version = version.split('/').rev().nth(3).unwrap_or("unknown").to_owned();
    let cores = std::thread::available_parallelism().context("cores")?;
    let date = OffsetDateTime::now_utc().date();
    Ok(format!("{date}, Envoy {version}, module sha256:{digest}, {cores} cores"))
}

fn size(module: &Path, sheet: &mut Sheet) -> Result<()> {
    let bytes = std::fs::read(module)?;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes)?;
    let gzipped = gzip.finish()?;
    let kilobytes = |n: usize| n as f64 / 1000.0;
    sheet.print("module", kilobytes(bytes.len()), Some(300.0), "kB", Noise::Exact);
    sheet.print("module, gzipped", kilobytes(gzipped.len()), Some(125.0), "kB", Noise::Exact);
    Ok(())
}

fn healthy_request(ours: &Path, baseline: &Path, sheet: &mut Sheet) -> Result<()> {
    let (calls, fuel) = on_harness(ours, &plugin_config(&OutlierDetection::first_error()))?;
    let (_, empty) = on_harness(baseline, "")?;
    // Two, and two more for one in sixteen, which is read whole.
    sheet.print("host calls of a healthy request", calls, Some(2.2), "", Noise::Exact);
    sheet.print("instructions of a healthy request", fuel / empty, None, "x empty", Noise::Exact);
    Ok(())
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
