//! Tests of clusters whose endpoints and ejections only Envoy itself can tell: endpoints behind internal listeners, of
//! aggregate, ORIGINAL_DST and mirrored clusters, under the address of another one; ejections by success rate, and for
//! longer than configured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::endpoints::Behaviour::Answer;
use lab::endpoints::Upstream;
use lab::envoy::bootstrap::{Bootstrap, Cluster};
use lab::envoy::events::Event;
use lab::envoy::kinds;
use lab::envoy::outlier::{Action, OutlierDetection, Record};
use lab::envoy::proxy::Envoy;
use lab::envoy::topology::{Endpoint, Locality};
use lab::net::load::Load;
use lab::programs::tools::Tool;
use lab::zones::{CLUSTER, HOST, ZONES, Zones};
use serde_json::{Value, json};

use crate::decided::{decided, listed, told, until_ejected, until_told_as_decided};

const HOME: &str = ZONES[0];
const NEAR: &str = ZONES[1];

/// Three errors eject for two seconds.
fn rules() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx_errors: 3,
        split_external_local_origin_errors: false,
        interval: Duration::from_millis(500),
        base_ejection_time: Duration::from_secs(2),
        ..OutlierDetection::first_error()
    }
}

fn config(rules: &OutlierDetection) -> Value {
    json!({
        "outlierDetection": rules.to_istio(),
        "failover": { "window": "1s", "endAfter": "1s" },
        "witness": {},
    })
}

fn start(clusters: Vec<Cluster>, config: &Value, change: impl FnOnce(&mut Bootstrap)) -> Result<Envoy> {
    let mut bootstrap =
        Bootstrap::new(&Zones::home(), clusters).with_filter(&Tool::Module.path()?, &config.to_string());
    change(&mut bootstrap);
    Envoy::start(&bootstrap)
}

/// Endpoints fail until each has been ejected, and are well again.
fn fail_and_recover(envoy: &Envoy, load: &mut Load, failing: &[&Upstream]) -> Result<()> {
    load.send(40);
    failing.iter().try_for_each(|upstream| upstream.set(Answer(503)))?;
    until_ejected(envoy, load, failing.len())?;
    failing.iter().try_for_each(|upstream| upstream.set(Answer(200)))?;
    until_told_as_decided(envoy, load)
}

#[test]
fn endpoints_behind_internal_listeners_are_witnessed() -> Result<()> {
    for failing in [1, 2] {
        let zones = Zones::start_at(&[HOME, HOME, NEAR])?;
        let envoy = start(vec![zones.cluster(rules())], &config(&rules()), kinds::behind_internal_listener)?;
        let mut load = envoy.load(HOST, 4)?;
        let failing: Vec<&Upstream> = zones.0[..failing].iter().collect();
        fail_and_recover(&envoy, &mut load, &failing).with_context(|| listed(&envoy))?;
        let address = format!("envoy://{}/{}", kinds::INTERNAL_LISTENER, failing[0].address());
        let ejected = |event: &Event| event.is("endpoint_ejected", &address);
        assert!(envoy.events().any(ejected), "{address}: {}", listed(&envoy));
    }
    Ok(())
}

/// A cluster without a priority for the proxy's locality.
fn cluster_of(name: &str, upstreams: &[Upstream]) -> Cluster {
    let endpoint = |u: &Upstream| Endpoint { address: u.address(), locality: Locality::new(u.name()) };
    Cluster::new(name, upstreams.iter().map(endpoint).collect(), Some(rules()))
}

#[test]
fn endpoints_of_aggregate_clusters_are_told_of_their_own_cluster() -> Result<()> {
    for failing in [1, 2] {
        let zones = Zones::start_at(&[HOME, HOME, NEAR])?;
        let clusters = vec![
            kinds::aggregate("agg", &["near", "far"]),
            cluster_of("near", &zones.0[..2]),
            cluster_of("far", &zones.0[2..]),
        ];
        let envoy = start(clusters, &config(&rules()), |_| {})?;
        let mut load = envoy.load("agg", 4)?;
        let failing: Vec<&Upstream> = zones.0[..failing].iter().collect();
        fail_and_recover(&envoy, &mut load, &failing)?;
        assert!(told(&envoy).iter().all(|line| line.ends_with("of near")), "{}", listed(&envoy));
        // An unbroken streak is told once.
        let ejections = envoy.events().named("endpoint_ejected").len();
        let streaks = envoy.events().named("error_streak").len();
        assert!(streaks <= ejections, "{streaks} streaks, {ejections} ejections\n{}", listed(&envoy));
    }
    Ok(())
}

#[test]
fn an_aggregate_cluster_recovers_with_its_members() -> Result<()> {
    let zones = Zones::start_at(&[HOME, NEAR])?;
    let clusters = vec![
        kinds::aggregate("agg", &["near", "far"]),
        cluster_of("near", &zones.0[..1]),
        cluster_of("far", &zones.0[1..]),
    ];
    let envoy = start(clusters, &config(&rules()), |_| {})?;
    let mut load = envoy.load("agg", 4)?;
    fail_and_recover(&envoy, &mut load, &[&zones.0[0]])?;
    zones.set(&[HOME, NEAR], Answer(503))?;
    let tells = |name: &str| envoy.events().any(|event| event.name() == name && event.text("cluster") == "agg");
    load.until("nothing healthy", |_| tells("no_healthy_upstream"))?;
    zones.set(&[HOME, NEAR], Answer(200))?;
    load.until("the recovery", |_| tells("upstream_recovered")).with_context(|| listed(&envoy))?;
    Ok(())
}

#[test]
fn an_address_that_each_worker_has_for_itself_is_ejected_while_any_of_it_is() -> Result<()> {
    for workers in [1, 2, 3] {
        let zones = Zones::start_at(&[HOME, HOME])?;
        let mut cluster = kinds::original_dst("pass", &rules());
        let route = |prefix: &str, upstream: &Upstream| {
            kinds::route_to_address("pass", prefix, &upstream.address().to_string())
        };
        cluster.routes = vec![route("/other", &zones.0[1]), route("/", &zones.0[0])];
        let envoy = start(vec![cluster], &config(&rules()), |bootstrap| bootstrap.workers = workers)?;
        let mut load = envoy.load("pass", 6)?;
        // Workers that meet the address at the same time each list it.
        load.send_at_once(10);
        load.get("/other")?;
        zones.0[0].set(Answer(503))?;
        // Long enough that the address is ejected again after its return, or by another worker.
        until_ejected(&envoy, &mut load, 2)?;
        zones.0[0].set(Answer(200))?;
        let is_back = || {
            let records = envoy.outlier_records().unwrap_or_default();
            records.iter().filter(|r| r.action == Action::Return).count() * 2 == records.len()
        };
        load.until("the returns", |_| is_back())?;
        let is_told = || envoy.outlier_records().is_ok_and(|records| told(&envoy) == decided(&of_addresses(records)));
        let met = load.until("what Envoy decided is told", |_| is_told());
        met.with_context(|| format!("{workers} workers: {:#?}\n{}", envoy.outlier_records(), listed(&envoy)))?;
        let since = Instant::now();
        load.until("some ticks", |_| since.elapsed().as_millis() > 1_200)?;
        assert_eq!(told(&envoy), decided(&of_addresses(envoy.outlier_records()?)), "{workers}: {}", listed(&envoy));
    }
    Ok(())
}

/// The records of a single address without those of a host while another of the same address is ejected.
fn of_addresses(records: Vec<Record>) -> Vec<Record> {
    let mut ejected = 0;
    let mut shows = |record: &Record| {
        let before = ejected;
        ejected = if record.action == Action::Eject { before + 1 } else { before - 1 };
        before == 0 || ejected == 0
    };
    records.into_iter().filter(|record| shows(record)).collect()
}

/// Has an endpoint answer every other request with 503 while the flag is set.
fn fail_every_other(upstream: &Upstream) -> Arc<AtomicBool> {
    let fails = Arc::new(AtomicBool::new(false));
    let (flag, count) = (Arc::clone(&fails), AtomicU64::new(0));
    upstream.run(move |_| {
        let is_odd = count.fetch_add(1, Ordering::SeqCst) % 2 == 1;
        (if flag.load(Ordering::SeqCst) && is_odd { 503 } else { 200 }, String::new())
    });
    fails
}

#[test]
fn ejections_by_success_rate_or_failure_percentage_are_told() -> Result<()> {
    let success_rate = json!({
        "enforcing_success_rate": 100, "success_rate_minimum_hosts": 5, "success_rate_request_volume": 5,
        "success_rate_stdev_factor": 1_000,
    });
    let percentage = json!({
        "enforcing_failure_percentage": 100, "failure_percentage_threshold": 30,
        "failure_percentage_minimum_hosts": 5, "failure_percentage_request_volume": 5,
    });
    for (what, fields, in_upstream_log) in [
        ("success rate", &success_rate, false),
        ("success rate, upstream log", &success_rate, true),
        ("failure percentage", &percentage, false),
    ] {
        let zones = Zones::start_at(&[HOME; 6])?;
        let fails = fail_every_other(&zones.0[0]);
        let rules = OutlierDetection { consecutive_5xx_errors: 50, max_ejection_percent: 30, ..rules() };
        let mut cluster = zones.cluster(rules.clone());
        let mut detection = rules.to_envoy();
        for (key, value) in fields.as_object().context("fields")? {
            detection[key] = value.clone();
        }
        cluster.more.insert("outlier_detection".into(), detection);
        let mut config = config(&rules);
        if in_upstream_log {
            config["attempts"] = json!("upstreamLog");
        }
        let envoy = start(vec![cluster], &config, |bootstrap| bootstrap.filter_in_upstream_log = in_upstream_log)?;
        let mut load = envoy.load(HOST, 4)?;
        load.send(100);
        fails.store(true, Ordering::SeqCst);
        until_ejected(&envoy, &mut load, 2)?;
        fails.store(false, Ordering::SeqCst);
        until_told_as_decided(&envoy, &mut load).context(what)?;
        let streaks = envoy.events().named("error_streak");
        assert_eq!(streaks, [], "{what}");
    }
    Ok(())
}

#[test]
fn a_new_endpoint_under_an_ejected_ones_address_is_told_as_removed() -> Result<()> {
    for waits_until_seen in [false, true] {
        let zones = Zones::start_at(&[HOME, HOME, HOME, NEAR])?;
        let rules = OutlierDetection { base_ejection_time: Duration::from_secs(60), ..rules() };
        let mut cluster = zones.cluster(rules.clone());
        cluster.discovered = true;
        let mut envoy = start(vec![cluster], &config(&rules), |_| {})?;
        let mut load = envoy.load(HOST, 4)?;
        load.send(40);
        let first = &zones.0[0];
        first.set(Answer(503))?;
        load.until("the ejection is told", |_| envoy.events().any(|e| e.is("endpoint_ejected", first.address())))?;
        first.set(Answer(200))?;
        envoy.set_endpoints(CLUSTER, zones.endpoints().split_off(1))?;
        if waits_until_seen {
            load.until("it is missed", |_| envoy.events().any(|e| e.is("endpoint_removed", first.address())))?;
        }
        envoy.set_endpoints(CLUSTER, zones.endpoints())?;
        let before = first.requests();
        load.until("it serves", |_| first.requests() > before + 20)?;
        let removed = |envoy: &Envoy| envoy.events().named("endpoint_removed").len();
        let met = load.until("the end of the ejection is told", |_| removed(&envoy) > 0);
        met.with_context(|| listed(&envoy))?;
        load.send(200);
        assert_eq!(removed(&envoy), 1, "{}", listed(&envoy));
        assert_eq!(envoy.events().named("endpoint_returned"), [], "{}", listed(&envoy));
        assert_eq!(envoy.outlier_records()?.len(), 1, "Envoy's record has no return");
    }
    Ok(())
}

#[test]
fn clusters_of_mirrored_requests_are_witnessed() -> Result<()> {
    for failing in [1, 2] {
        let zones = Zones::start_at(&[HOME, HOME, NEAR, NEAR])?;
        let mut cluster = cluster_of(CLUSTER, &zones.0[..2]);
        cluster.routes = vec![json!({
            "match": { "prefix": "/" },
            "route": { "cluster": CLUSTER, "request_mirror_policies": [{ "cluster": "shadow" }] },
        })];
        let envoy = start(vec![cluster, cluster_of("shadow", &zones.0[2..])], &config(&rules()), |_| {})?;
        let mut load = envoy.load(HOST, 4)?;
        let failing: Vec<&Upstream> = zones.0[2..2 + failing].iter().collect();
        fail_and_recover(&envoy, &mut load, &failing)?;
        assert!(told(&envoy).iter().all(|line| line.ends_with("of shadow")), "{}", listed(&envoy));
    }
    Ok(())
}

#[test]
fn an_ejection_that_is_longer_than_configured_is_one() -> Result<()> {
    for (what, configured) in [("shorter", json!({ "baseEjectionTime": "1s" })), ("nothing", json!({}))] {
        let zones = Zones::start_at(&[HOME, HOME, HOME, NEAR])?;
        let rules = OutlierDetection { base_ejection_time: Duration::from_secs(4), ..rules() };
        let mut config = config(&rules);
        if what == "nothing" {
            config["outlierDetection"] = json!({});
        }
        for (key, value) in configured.as_object().context("fields")? {
            config["outlierDetection"][key] = value.clone();
        }
        let envoy = start(vec![zones.cluster(rules)], &config, |bootstrap| {
            // As in Istio, where no statistics of outlier detection are kept.
            bootstrap.stats_config["stats_matcher"] =
                json!({ "exclusion_list": { "patterns": [{ "contains": "outlier_detection" }] } });
        })?;
        let mut load = envoy.load(HOST, 4)?;
        fail_and_recover(&envoy, &mut load, &[&zones.0[0]]).context(what)?;
    }
    Ok(())
}

/// `HttpProtocolOptions` with which only answers that have this header are errors.
fn only_errors_with(header: &str) -> Value {
    let matching = json!({ "http_response_headers_match": { "headers": [{ "name": header, "present_match": true }] } });
    json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http_protocol_options": {} },
        "outlier_detection": { "error_matcher": matching },
    } })
}

#[test]
fn answers_that_a_cluster_does_not_take_for_errors_are_no_blocked_ejection() -> Result<()> {
    for (what, header, answer) in
        [("a header that is missing", "x-bad", 503), ("another header", "x-worse", 500), ("no 5xx", "x-bad", 404)]
    {
        let zones = Zones::start_at(&[HOME, HOME, HOME, NEAR])?;
        let mut cluster = zones.cluster(rules());
        cluster.more.insert("typed_extension_protocol_options".into(), only_errors_with(header));
        let envoy = start(vec![cluster], &config(&rules()), |_| {})?;
        let mut load = envoy.load(HOST, 4)?;
        load.send(40);
        zones.0[0].set(Answer(answer))?;
        let failing = Instant::now();
        load.until("answers for some ticks", |tally| {
            tally.status(answer) > 50 && failing.elapsed() > Duration::from_millis(2_500)
        })?;
        zones.0[0].set(Answer(200))?;
        load.send(100);
        // That an endpoint answers so may be told; that Envoy detected it and kept the endpoint may not.
        let wrong = |event: &Event| event.name() != "error_streak";
        let wrong: Vec<Event> = envoy.events().all().into_iter().filter(wrong).collect();
        assert_eq!(wrong, [], "{what}: {}", listed(&envoy));
        assert_eq!(envoy.outlier_records()?, [], "{what}");
    }
    Ok(())
}

#[test]
fn an_answer_that_a_cluster_takes_for_an_error_ejects_and_that_is_told() -> Result<()> {
    let zones = Zones::start_at(&[HOME, HOME, HOME, NEAR])?;
    let mut cluster = zones.cluster(rules());
    let mut options = only_errors_with(":status");
    let status = json!({ "name": ":status", "string_match": { "prefix": "4" } });
    let options_of = &mut options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    options_of["outlier_detection"]["error_matcher"]["http_response_headers_match"]["headers"] = json!([status]);
    cluster.more.insert("typed_extension_protocol_options".into(), options);
    let envoy = start(vec![cluster], &config(&rules()), |_| {})?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);
    zones.0[0].set(Answer(404))?;
    until_ejected(&envoy, &mut load, 1)?;
    zones.0[0].set(Answer(200))?;
    until_told_as_decided(&envoy, &mut load)
}
