//! The cost of many endpoints, measured on the harness: instructions of a healthy request, and the memory of a VM.
//!
//! Requests go to all endpoints in turn, as from a load balancer, and each is read whole: of a sample, the costs would
//! be those of meeting endpoints for the first time. Each endpoint is known before the count starts, and each gets a
//! request at least every second. (An endpoint's locality is read again every thirty heartbeats.)

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use lab::zones::{CLUSTER, ZONES};
use serde_json::json;
use wasm_harness::{Exchange, Harness, Module, Node, Upstream, VmId};

use crate::figure::{Noise, Sheet};

/// The number of requests that are counted for each number of endpoints.
const COUNTED: usize = 10_000;

/// Numbers of endpoints, each with the memory budget of a VM in MiB, if there is one.
const ENDPOINTS: [(usize, Option<f64>); 4] = [(10, None), (1_000, Some(2.0)), (10_000, None), (100_000, Some(16.0))];

/// After this many requests, a VM must not grow any more.
const SETTLED: usize = 10_000;
const MANY: usize = 1_000_000;

/// Prints the figures.
pub(crate) fn measure(module: &Path, sheet: &mut Sheet) -> Result<()> {
    let compiled = Module::compile(&std::fs::read(module)?).map_err(|e| anyhow!("{}: {e:?}", module.display()))?;
    let mut few = None;
    for (endpoints, budget) in ENDPOINTS {
        let mut proxy = Proxy::start(&compiled, endpoints)?;
        proxy.send(2 * endpoints.max(COUNTED));
        proxy.harness.reset_costs();
        proxy.send_without_ticks(COUNTED);
        let costs = proxy.harness.costs();
        let fuel = costs.exchanges.fuel as f64 / costs.exchanges.times as f64;
        let few = *few.get_or_insert(fuel);
        let what = format!("instructions at {endpoints} endpoints, against 10");
        sheet.print(&what, fuel / few, Some(1.1), "x", Noise::Exact);
        let what = format!("  memory of a VM at {endpoints} endpoints");
        sheet.print(&what, proxy.memory(), budget, "MiB", Noise::Exact);
    }
    let mut proxy = Proxy::start(&compiled, 1_000)?;
    proxy.send(SETTLED);
    let settled = proxy.memory();
    proxy.send(MANY - SETTLED);
    let growth = proxy.memory() - settled;
    sheet.print("growth of a VM, request 10^4 to 10^6", growth, Some(0.0), "MiB", Noise::Exact);
    Ok(())
}

struct Proxy {
    harness: Harness,
    healthy: Vec<Exchange>,
    sent: usize,
}

impl Proxy {
    /// A proxy with one worker and this many endpoints in four zones.
    fn start(module: &Module, endpoints: usize) -> Result<Self> {
        let config = json!({ "limits": { "endpoints": 100_000 }, "traffic": { "sample": 1 } }).to_string();
        let harness = Harness::builder().workers(1).node(Node::at(ZONES[0])).config(config.as_str()).build(module);
        let healthy = |n: usize| {
            let address = format!("10.{}.{}.{}:8000", n >> 16, n >> 8 & 255, n & 255);
            let zone = ZONES[n % ZONES.len()];
            Exchange::ok(&Upstream::new(CLUSTER, &address).locality(zone).endpoints(endpoints as u64))
        };
        Ok(Self {
            harness: harness.map_err(|e| anyhow!("{e:?}")).context("the module does not start")?,
            healthy: (0..endpoints).map(healthy).collect(),
            sent: 0,
        })
    }

    fn send_without_ticks(&mut self, requests: usize) {
        for _ in 0..requests {
            self.harness.exchange(0, &self.healthy[self.sent % self.healthy.len()]);
            self.sent += 1;
        }
    }

    /// Sends this many requests.
    fn send(&mut self, requests: usize) {
        let in_a_second = self.healthy.len().max(1_000);
        for _ in 0..requests.div_ceil(in_a_second) {
            self.send_without_ticks(in_a_second);
            self.harness.advance(Duration::from_secs(1));
        }
    }

    /// The memory of the largest VM, in MiB.
    fn memory(&self) -> f64 {
        let bytes = [VmId::Main, VmId::Worker(0)].map(|vm| self.harness.memory_bytes(vm));
        bytes.into_iter().max().unwrap_or_default() as f64 / (1024.0 * 1024.0)
    }
}
