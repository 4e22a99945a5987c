//! Where the work is: instructions and host calls on the harness, by what Envoy asks of the filter.
//!
//! A minute of load at 10,000 clusters shows what many clusters cost while all is well; a thousand endpoints in trouble
//! show what an attempt costs while everything is judged.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use lab::zones::ZONES;
use serde_json::json;
use wasm_harness::{Exchange, Harness, Module, Node, Upstream};

use crate::figure::{Noise, Sheet};

const CLUSTERS: usize = 10_000;
/// Requests in each second of the minute; every cluster gets one every four seconds.
const A_SECOND: usize = 2_500;
const SECONDS: usize = 60;

/// Endpoints in trouble, and attempts that are counted meanwhile.
const TROUBLED: [usize; 2] = [10, 1_000];
const JUDGED: usize = 2_000;

/// Prints both profiles.
pub(crate) fn measure(module: &Path, sheet: &mut Sheet) -> Result<()> {
    let compiled = Module::compile(&std::fs::read(module)?).map_err(|e| anyhow!("{}: {e:?}", module.display()))?;
    many_clusters(&compiled, sheet)?;
    TROUBLED.into_iter().try_for_each(|troubled| much_trouble(&compiled, troubled, sheet))
}

fn start(module: &Module) -> Result<Harness> {
    let config = json!({ "limits": { "endpoints": 100_000 } }).to_string();
    let harness = Harness::builder().workers(1).node(Node::at(ZONES[0])).config(config.as_str()).build(module);
    harness.map_err(|e| anyhow!("the module does not start: {e:?}"))
}

fn many_clusters(module: &Module, sheet: &mut Sheet) -> Result<()> {
    let mut harness = start(module)?;
    let healthy = |n: usize| {
        let name = format!("outbound|80||service-{n}.shop.svc.cluster.local");
        let address = format!("10.{}.{}.1:8000", n >> 8, n & 255);
        Exchange::ok(&Upstream::new(&name, &address).locality(ZONES[n % 2]).endpoints(4))
    };
    let healthy: Vec<Exchange> = (0..CLUSTERS).map(healthy).collect();
    let mut sent = 0;
    let mut minute = |harness: &mut Harness| {
        for _ in 0..SECONDS {
            for _ in 0..A_SECOND {
                harness.exchange(0, &healthy[sent % CLUSTERS]);
                sent += 1;
            }
            harness.advance(Duration::from_secs(1));
        }
    };
    // The first minute meets the clusters.
    minute(&mut harness);
    harness.reset_costs();
    minute(&mut harness);
    let costs = harness.costs();
    println!("a minute at {CLUSTERS} clusters, {} requests:", SECONDS * A_SECOND);
    let all = costs.fuel() as f64;
    for (callback, cost) in costs.callbacks.iter().filter(|(_, cost)| cost.fuel > 0) {
        let share = 100.0 * cost.fuel as f64 / all;
        let calls = cost.host_calls as f64 / SECONDS as f64;
        println!("  {callback:<42} {share:>5.1} % of the instructions, {calls:>8.0} host calls a second");
    }
    let each = all / (SECONDS * A_SECOND) as f64;
    sheet.print("instructions a request, 10,000 clusters", each, None, "fuel", Noise::Exact);
    let ticks = costs.callback("proxy_on_tick").fuel as f64 / all;
    sheet.print("  share of the ticks in it", 100.0 * ticks, None, "%", Noise::Exact);
    Ok(())
}

fn much_trouble(module: &Module, troubled: usize, sheet: &mut Sheet) -> Result<()> {
    let mut harness = start(module)?;
    let upstream = |n: usize| {
        let address = format!("10.0.{}.{}:8000", n >> 8, n & 255);
        Upstream::new(lab::zones::CLUSTER, &address).locality(ZONES[n % 4]).endpoints(troubled as u64)
    };
    let upstreams: Vec<Upstream> = (0..troubled).map(upstream).collect();
    // One error each opens a streak at every endpoint; a success ends it, and the next error opens another.
    let failing: Vec<Exchange> = upstreams.iter().map(|upstream| Exchange::status(upstream, 503)).collect();
    let healthy: Vec<Exchange> = upstreams.iter().map(Exchange::ok).collect();
    failing.iter().for_each(|exchange| {
        harness.exchange(0, exchange);
    });
    harness.advance(Duration::from_secs(1));
    harness.reset_costs();
    for n in 0..JUDGED {
        let exchanges = if n % 2 == 0 { &healthy } else { &failing };
        harness.exchange(0, &exchanges[n / 2 % troubled]);
    }
    let costs = harness.costs();
    let each = |n: u64| n as f64 / JUDGED as f64;
    let what = format!("host calls of an attempt, {troubled} endpoints in trouble");
    sheet.print(&what, each(costs.exchanges.host_calls), None, "", Noise::Exact);
    let what = format!("instructions of an attempt, {troubled} endpoints in trouble");
    sheet.print(&what, each(costs.exchanges.fuel), None, "fuel", Noise::Exact);
    Ok(())
}
