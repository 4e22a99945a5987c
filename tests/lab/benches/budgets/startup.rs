//! What the module takes once: CPU time until Envoy is ready, which compiles it, and resident memory.
//!
//! Both are compared with the empty filter on the Rust SDK, with one worker and with eight: each worker has a VM of its
//! own. Memory is read after every worker has served requests.

use std::path::Path;

use anyhow::{Context, Result};
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::Locality;
use lab::zones::{HOST, ZONES, Zones};

use crate::figure::{Noise, Sheet, quartiles};

/// How often each Envoy is started.
const STARTS: usize = 5;

/// Connections for each worker, and the requests on each.
const CONNECTIONS: usize = 8;
const REQUESTS: u64 = 100;

/// The budgets: a multiple of the time that the empty filter takes, and MiB more than its memory.
const COMPILING: f64 = 2.0;
const MEMORY: f64 = 8.0;

/// One start: seconds of CPU until ready, and MiB of resident memory after some requests.
#[derive(Clone, Copy, Debug)]
struct Start {
    seconds: f64,
    mebibytes: f64,
}

/// Measures both, for one worker and for eight.
pub(crate) fn measure(ours: &Path, baseline: &Path, sheet: &mut Sheet) -> Result<()> {
    let zones = Zones::start()?;
    for workers in [1, 8] {
        let mut plain = Bootstrap::new(&Locality::new(ZONES[0]), vec![zones.cluster(OutlierDetection::default())]);
        plain.workers = workers;
        let empty = plain.clone().with_filter(baseline, "");
        let filter = plain.clone().with_filter(ours, r#"{"witness": {}}"#);
        let mut all = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..STARTS {
            for (starts, bootstrap) in all.iter_mut().zip([&plain, &empty, &filter]) {
                starts.push(start(bootstrap, workers)?);
            }
        }
        let median = |index: usize, of: fn(&Start) -> f64| -> Result<f64> {
            let starts: &Vec<Start> = all.get(index).context("no starts")?;
            Ok(quartiles(starts.iter().map(of))?[1])
        };
        let seconds = |index| median(index, |start| start.seconds);
        let compiling = (seconds(2)? - seconds(0)?) / (seconds(1)? - seconds(0)?);
        let unit = "x empty";
        let what = format!("CPU until ready, {workers} workers");
        sheet.print(&what, compiling, Some(COMPILING), unit, Noise::Factor(1.25));
        let memory = |index| median(index, |start| start.mebibytes);
        let what = format!("resident memory over an empty filter, {workers} workers");
        sheet.print(&what, memory(2)? - memory(1)?, Some(MEMORY), "MiB", Noise::Factor(1.25));
    }
    Ok(())
}

fn start(bootstrap: &Bootstrap, workers: u32) -> Result<Start> {
    let envoy = Envoy::start(bootstrap)?;
    let seconds = envoy.cpu_time()?.as_secs_f64();
    envoy.load(HOST, CONNECTIONS * workers as usize)?.send_at_once(REQUESTS);
    Ok(Start { seconds, mebibytes: resident(envoy.pid())? })
}

/// A process's resident memory, in MiB.
fn resident(process: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kibibytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes / 1024.0)
}
