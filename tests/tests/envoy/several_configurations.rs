//! Tests of two configurations of the module in one proxy: on two listeners, and twice in one filter chain.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use lab::endpoints::Behaviour::Answer;
use lab::envoy::bootstrap::{Bootstrap, Filter};
use lab::envoy::edit::{http_filters, listener};
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::socket_address;
use lab::net::load::Load;
use lab::net::ports::HeldPort;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{HOST, ZONES, Zones};
use serde_json::{Value, json};

use crate::decided::{decided, listed, told, until_ejected};

const HOME: &str = ZONES[0];

fn rules() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx_errors: 3,
        split_external_local_origin_errors: false,
        interval: Duration::from_millis(500),
        base_ejection_time: Duration::from_secs(2),
        ..OutlierDetection::first_error()
    }
}

fn config(threshold: u32) -> Value {
    let rules = OutlierDetection { consecutive_5xx_errors: threshold, ..rules() };
    json!({ "outlierDetection": rules.to_istio(), "failover": { "window": "1s", "endAfter": "1s" } })
}

/// An Envoy with the filter twice: `second` with a configuration of its own.
fn start(zones: &Zones, first: &Value, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Result<Envoy> {
    let mut bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(rules())])
        .with_filter(&Tool::Module.path()?, &first.to_string());
    bootstrap.edits.add(change);
    Envoy::start(&bootstrap)
}

fn filter(config: &Value) -> Result<Value> {
    let filter = Filter { module: Tool::Module.path()?, config: config.to_string() };
    Ok(filter.http_filter("another plugin"))
}

/// An endpoint fails until it is ejected, and returns; both are told.
fn assert_told(envoy: &Envoy, load: &mut Load, zones: &Zones, what: &str) -> Result<()> {
    load.send(40);
    zones.0[0].set(Answer(503))?;
    until_ejected(envoy, load, 1)?;
    zones.0[0].set(Answer(200))?;
    load.until("the return", |_| envoy.outlier_records().is_ok_and(|records| records.len() == 2))?;
    let met = load.until("both are told", |_| told(envoy).len() >= 2);
    met.with_context(|| format!("{what}: {}", listed(envoy)))?;
    load.send(200);
    assert_eq!(told(envoy), decided(&envoy.outlier_records()?), "{what}: {}", listed(envoy));
    Ok(())
}

#[test]
fn each_listeners_requests_are_evaluated_by_its_own_configuration() -> Result<()> {
    let ignores = json!({ "clusters": [{ "match": "*", "ignore": true }] });
    for (what, first, second, uses_second) in [
        ("through the first", config(3), config(9), false),
        ("through the second", config(9), config(3), true),
        ("the second ignores all", config(3), ignores, false),
    ] {
        let zones = Zones::start_at(&[HOME; 3])?;
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let (address, another) = (port.address(), filter(&second)?);
        let envoy = start(&zones, &first, move |json| {
            let mut copy = listener(json).clone();
            copy["name"] = json!("second");
            copy["address"] = socket_address(address);
            http_filters(&mut copy)[0] = another.clone();
            json["static_resources"]["listeners"].as_array_mut().into_iter().for_each(|list| list.push(copy.clone()));
        })?;
        let target = if uses_second { address } else { envoy.address() };
        let mut load = Load::open(target, HOST, 4)?;
        assert_told(&envoy, &mut load, &zones, what)?;
        // A listener without traffic gets some, and its configuration does not change the other's.
        let mut both = Load::open(if uses_second { envoy.address() } else { address }, HOST, 2)?;
        assert_eq!(both.send(20).status(200), 20, "{what}");
    }
    Ok(())
}

#[test]
fn a_request_that_passes_the_filter_twice_counts_once() -> Result<()> {
    let witnessed = |threshold| {
        let mut config = config(threshold);
        config["witness"] = json!({});
        config
    };
    // Which of two configurations counts matters only where Envoy cannot be asked.
    for (what, first, second) in
        [("the same", config(3), config(3)), ("another configuration", witnessed(3), witnessed(9))]
    {
        let zones = Zones::start_at(&[HOME; 2])?;
        let another = filter(&second)?;
        let envoy = start(&zones, &first, move |json| http_filters(listener(json)).insert(1, another.clone()))?;
        let mut load = envoy.load(HOST, 4)?;
        load.send(20);
        let count = AtomicU64::new(0);
        zones.0[0].run(move |_| {
            let n = count.fetch_add(1, Ordering::SeqCst);
            (if n % 3 < 2 { 503 } else { 200 }, "a body".to_owned())
        });
        load.send(400);
        let sent = load.total.total() as f64;
        eventually("the attempts are counted", || {
            let counted = envoy.metrics()?.sum("faultline_attempts_total", &[]);
            anyhow::ensure!(counted <= sent, "{what}: {counted} attempts were counted of {sent} requests");
            Ok((counted == sent).then_some(()))
        })?;
        assert_eq!(envoy.events().all(), [], "{what}: two errors in a row are no streak of three");
        assert_told(&envoy, &mut load, &zones, what)?;
    }
    Ok(())
}
