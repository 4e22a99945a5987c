//! Tests of Envoy's ejections: the cap on their number, what is not enforced, how long they last, when they end, and
//! endpoints that are replaced in the meantime. Envoy's event log and its admin interface are the ground truth.

use std::time::Duration;

use anyhow::{Context, Result};
use lab::endpoints::Behaviour::{Answer, Refuse};
use lab::envoy::bootstrap::{Bootstrap, Cluster};
use lab::envoy::events::Event;
use lab::envoy::outlier::{Action, OutlierDetection, Record};
use lab::envoy::proxy::Envoy;
use lab::envoy::timestamp::millis;
use lab::net::load::Load;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{CLUSTER, HOST, ZONES, Zones};
use serde_json::{Value, json};

const HOME: &str = ZONES[0];
const NEAR: &str = ZONES[1];

/// How far Envoy's clock and ours may differ for the same event, in milliseconds.
const SLACK: i64 = 20;

fn rules(base: Duration) -> OutlierDetection {
    OutlierDetection {
        interval: Duration::from_millis(500),
        base_ejection_time: base,
        ..OutlierDetection::first_error()
    }
}

const FOR_GOOD: Duration = Duration::from_secs(300);

fn start(cluster: Cluster, rules: &OutlierDetection, witness: bool) -> Result<(Envoy, Load)> {
    let mut config = json!({
        "outlierDetection": rules.to_istio(),
        "failover": { "window": "1s", "endAfter": "1s" },
    });
    if witness {
        config["witness"] = json!({});
    }
    let bootstrap = Bootstrap::new(&Zones::home(), vec![cluster]);
    let envoy = Envoy::start(&bootstrap.with_filter(&Tool::Module.path()?, &config.to_string()))?;
    let load = envoy.load(HOST, 4)?;
    Ok((envoy, load))
}

fn listed(envoy: &Envoy) -> String {
    envoy.events().all().iter().map(|event| format!("{event}\n")).collect()
}

fn overflows(envoy: &Envoy) -> Result<u64> {
    Ok(envoy.stats("ejections_overflow$")?.iter().map(|(_, n)| n).sum())
}

fn ejected_now(envoy: &Envoy) -> Result<f64> {
    Ok(envoy.metrics()?.sum("faultline_ejected_endpoints", &[("upstream_cluster", CLUSTER)]))
}

#[test]
fn beyond_the_cap_nothing_is_ejected_and_the_witness_says_so() -> Result<()> {
    for witness in [false, true] {
        let zones = Zones::start_at(&[HOME; 5])?;
        let rules = OutlierDetection { max_ejection_percent: 40, ..rules(FOR_GOOD) };
        let (envoy, mut load) = start(zones.cluster(rules.clone()), &rules, witness)?;
        assert_eq!(load.send(50).status(200), 50);
        for upstream in &zones.0[..2] {
            upstream.set(Answer(500))?;
        }
        load.until("two are ejected", |_| envoy.ejected(CLUSTER).is_ok_and(|ejected| ejected.len() == 2))?;
        // 40 % are ejected; a third would make it 60 %.
        zones.0[2].set(Answer(500))?;
        load.until("the cap", |_| overflows(&envoy).is_ok_and(|n| n > 0))?;
        let third = zones.0[2].address();
        if witness {
            let blocked =
                load.until("the blocked ejection", |_| envoy.events().any(|e| e.is("ejection_blocked", third)));
            blocked.with_context(|| listed(&envoy))?;
            let blocked = envoy.events().named("ejection_blocked").remove(0);
            assert_eq!(blocked.text("reason"), "max_ejection_percent", "{blocked}");
            let numbers = (blocked.number("max_ejection_percent"), blocked.number("endpoints"));
            assert_eq!(numbers, (Some(40.0), Some(5.0)), "{blocked}");
        }
        load.until("its streak", |_| envoy.events().any(|e| e.is("error_streak", third)))?;
        load.send(200);
        let told: Vec<Event> = envoy.events().named("endpoint_ejected");
        assert_eq!(told.len(), 2, "{}", listed(&envoy));
        assert!(told.iter().all(|e| !e.is("endpoint_ejected", third)), "{}", listed(&envoy));
        assert_eq!(envoy.ejected(CLUSTER)?.len(), 2);
    }
    Ok(())
}

#[test]
fn a_streak_for_which_envoy_enforces_nothing_says_that_it_ejects_nobody() -> Result<()> {
    let zones = Zones::start_at(&[HOME, HOME, HOME])?;
    let rules = OutlierDetection { consecutive_5xx_errors: 3, ..rules(FOR_GOOD) };
    let mut cluster = zones.cluster(rules.clone());
    let mut detection = rules.to_envoy();
    for kind in ["5xx", "gateway_failure", "local_origin_failure"] {
        detection[format!("enforcing_consecutive_{kind}")] = json!(0);
    }
    cluster.more.insert("outlier_detection".into(), detection);
    let (envoy, mut load) = start(cluster, &rules, true)?;
    load.send(30);
    zones.0[0].set(Answer(500))?;
    let streak = |e: &Event| e.is("error_streak", zones.0[0].address());
    load.until("the streak", |_| envoy.events().any(streak)).with_context(|| listed(&envoy))?;
    let event = envoy.events().wait_for("the streak", streak)?;
    assert_eq!(event.fields["ejects"], json!(false), "{event}");
    load.send(30);
    assert_eq!(envoy.events().named("ejection_blocked"), [], "nothing was to be ejected");
    let detected: u64 = envoy.stats("ejections_detected_consecutive_5xx$")?.iter().map(|(_, n)| n).sum();
    assert!(detected > 0);
    assert_eq!(envoy.outlier_records()?, [], "Envoy enforced nothing");
    assert_eq!(envoy.events().named("endpoint_ejected"), [], "{}", listed(&envoy));
    Ok(())
}

/// Ejections and returns in order, as `eject 1` and `return 1` with the time.
fn of_envoy(records: &[Record]) -> Vec<(String, i64)> {
    let name = |action| if action == Action::Eject { "eject" } else { "return" };
    records.iter().map(|r| (format!("{} {}", name(r.action), r.ejections), millis(&r.timestamp).unwrap_or(0))).collect()
}

fn of_ours(envoy: &Envoy) -> Vec<(String, i64)> {
    let line = |e: &Event| {
        let name = match e.name() {
            "endpoint_ejected" => "eject",
            "endpoint_returned" => "return",
            _ => return None,
        };
        Some((format!("{name} {}", e.number("ejection").unwrap_or(0.0)), millis(e.text("ts")).unwrap_or(0)))
    };
    let mut told: Vec<_> = envoy.events().all().iter().filter_map(line).collect();
    told.sort_by_key(|(_, at)| *at);
    told
}

/// Long enough that attempts in progress at an ejection are over at the return: traffic alone cannot show shorter ones.
const BASE: Duration = Duration::from_millis(1_600);

#[test]
fn ejections_grow_longer_and_shorter_again_and_end_on_envoys_ticks() -> Result<()> {
    grow_and_shrink(false)
}

#[test]
fn the_witness_sees_ejections_grow_and_shrink_too() -> Result<()> {
    grow_and_shrink(true)
}

fn grow_and_shrink(witness: bool) -> Result<()> {
    let zones = Zones::start_at(&[HOME, NEAR])?;
    let rules = rules(BASE);
    let (envoy, mut load) = start(zones.cluster(rules.clone()), &rules, witness)?;
    load.send(20);
    let fail = |load: &mut Load, ejections: u64, left: bool| -> Result<()> {
        zones.0[0].set(Answer(500))?;
        let is = |r: &Record| (r.action, r.ejections) == (Action::Eject, ejections);
        load.until("an ejection", |_| envoy.outlier_records().is_ok_and(|r| r.iter().any(is)))?;
        if !left {
            return Ok(());
        }
        zones.0[0].set(Answer(200))?;
        let is = |r: &Record| (r.action, r.ejections) == (Action::Return, ejections);
        load.until("a return", |_| envoy.outlier_records().is_ok_and(|r| r.iter().any(is)))?;
        let told = |e: &Event| e.name() == "endpoint_returned" && e.number("ejection") == Some(ejections as f64);
        load.until("the return is told", |_| envoy.events().any(told)).with_context(|| listed(&envoy))?;
        Ok(())
    };
    // Twice in a row, and once more after the endpoint has been healthy for long enough.
    fail(&mut load, 1, false)?;
    fail(&mut load, 2, true)?;
    let well = std::time::Instant::now();
    load.until("it is well for some ticks", |_| well.elapsed() > Duration::from_millis(2_600))?;
    fail(&mut load, 3, true)?;

    let (did, told) = (of_envoy(&envoy.outlier_records()?), of_ours(&envoy));
    let names = |list: &[(String, i64)]| list.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&told), names(&did), "witness {witness}: {}", listed(&envoy));
    let lasted = |n: usize| u128::try_from(did[2 * n + 1].1 - did[2 * n].1).unwrap_or(0);
    let times = [lasted(0), lasted(1), lasted(2)].map(|lasted| lasted / BASE.as_millis());
    assert_eq!(times, [1, 2, 1], "Envoy's ejections lasted so many base times: {did:?}");
    for ((_, did), (what, told)) in did.iter().zip(&told) {
        // Never before Envoy did it, and no later than Envoy's next tick, or the one after if it is inferred.
        let late = told - did;
        assert!((-SLACK..1_500).contains(&late), "witness {witness}: {what} told {late} ms late");
    }
    Ok(())
}

fn moved(zones: &Zones, to: &str) -> Vec<lab::envoy::topology::Endpoint> {
    let mut endpoints = zones.endpoints();
    endpoints[0].locality = lab::envoy::topology::Locality::new(to);
    endpoints
}

#[test]
fn an_endpoint_that_is_replaced_has_no_past() -> Result<()> {
    leave_and_move(false)
}

#[test]
fn an_endpoint_that_is_replaced_has_no_past_for_the_witness() -> Result<()> {
    leave_and_move(true)
}

fn leave_and_move(witness: bool) -> Result<()> {
    // Without the witness, the filter notices only the loss of endpoints that traffic has shown.
    let zones = Zones::start_at(&[HOME, HOME, HOME])?;
    let rules = rules(FOR_GOOD);
    let mut cluster = zones.cluster(rules.clone());
    cluster.discovered = true;
    let (mut envoy, mut load) = start(cluster, &rules, witness)?;
    load.send(40);
    let first = &zones.0[0];
    let eject = |envoy: &Envoy, load: &mut Load, locality: &str| -> Result<Value> {
        let before = envoy.events().named("endpoint_ejected").len();
        first.set(Refuse)?;
        let told = load.until("the ejection", |_| envoy.events().named("endpoint_ejected").len() > before);
        told.with_context(|| listed(envoy))?;
        first.set(Answer(200))?;
        eventually("the gauge", || Ok((ejected_now(envoy)? == 1.0).then_some(())))?;
        let event = envoy.events().named("endpoint_ejected").pop().context("the event")?;
        assert!(event.is("endpoint_ejected", first.address()), "{event}");
        assert_eq!(event.text("locality"), locality, "{event}");
        assert_eq!(envoy.ejected(CLUSTER)?, [first.address().to_string()]);
        Ok(event.fields)
    };
    eject(&envoy, &mut load, HOME)?;
    // It leaves and comes back as a new endpoint.
    envoy.set_endpoints(CLUSTER, zones.endpoints().split_off(1))?;
    load.until("it is forgotten", |_| ejected_now(&envoy).is_ok_and(|n| n == 0.0)).with_context(|| listed(&envoy))?;
    assert_eq!(envoy.events().named("endpoint_returned"), [], "witness {witness}: it left, it did not return");
    envoy.set_endpoints(CLUSTER, zones.endpoints())?;
    assert_eq!(envoy.ejected(CLUSTER)?, Vec::<String>::new());
    let event = eject(&envoy, &mut load, HOME)?;
    assert_eq!(event["ejection"], 1, "witness {witness}: {event}");
    // It moves, which again makes it a new endpoint, in rotation.
    envoy.set_endpoints(CLUSTER, moved(&zones, NEAR))?;
    assert_eq!(envoy.ejected(CLUSTER)?, Vec::<String>::new());
    zones.0[1].set(Refuse)?;
    zones.0[2].set(Refuse)?;
    let before = first.requests();
    load.until("it serves", |_| first.requests() > before + 50)?;
    load.until("nothing of it is ejected", |_| {
        let home = [("upstream_cluster", CLUSTER), ("upstream_locality", HOME)];
        let near = [home[0], ("upstream_locality", NEAR)];
        envoy.metrics().is_ok_and(|m| {
            let of = |labels| m.sum("faultline_ejected_endpoints", labels);
            (of(&home), of(&near)) == (2.0, 0.0)
        })
    })
    .with_context(|| listed(&envoy))?;
    assert_eq!(envoy.ejected(CLUSTER)?.len(), 2);
    Ok(())
}
