//! Tests of Envoy's failovers: priorities by locality, partial spill, chains, panic, clusters that change. The filter's
//! reports are compared with Envoy's view of its endpoints and with what the endpoints themselves counted.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::endpoints::Behaviour::{Answer, Refuse};
use lab::envoy::bootstrap::{Bootstrap, Cluster};
use lab::envoy::events::Event;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::net::load::Load;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{CLUSTER, HOST, ZONES, Zones};
use serde_json::{Value, json};

const HOME: &str = ZONES[0];
const NEAR: &str = ZONES[1];
const FAR: &str = ZONES[2];
const FARTHER: &str = ZONES[3];

/// The failovers' window, and how long traffic must be back before a failover ends.
const WINDOW: Duration = Duration::from_secs(1);

/// One error ejects for `base`.
fn rules(base: Duration) -> OutlierDetection {
    OutlierDetection {
        interval: Duration::from_millis(500),
        base_ejection_time: base,
        ..OutlierDetection::first_error()
    }
}

/// Long enough that workers learn of an ejection, which can take a second.
const SHORT: Duration = Duration::from_millis(1_500);
const FOR_GOOD: Duration = Duration::from_secs(300);

fn config(rules: &OutlierDetection, witness: bool) -> Value {
    let mut config = json!({
        "outlierDetection": rules.to_istio(),
        "failover": { "window": "1s", "endAfter": "1s" },
        "limits": { "eventsPerSecond": 10_000 },
    });
    if witness {
        config["witness"] = json!({});
    }
    config
}

fn start(clusters: Vec<Cluster>, config: &Value) -> Result<Envoy> {
    Envoy::start(&Bootstrap::new(&Zones::home(), clusters).with_filter(&Tool::Module.path()?, &config.to_string()))
}

fn is_failover(event: &Event) -> bool {
    event.name().starts_with("failover_")
}

/// A cluster's failovers so far, each with its name and the last letters of its source and destination: `started
/// 1a>1b`.
fn story(envoy: &Envoy, cluster: &str) -> Vec<String> {
    let zone = |name: &str| name.rsplit('-').next().unwrap_or_default().to_owned();
    let mut events: Vec<Event> = envoy.events().all();
    events.retain(|event| is_failover(event) && event.text("cluster") == cluster);
    // Workers write their lines in any order; `ts` has the order of the events.
    events.sort_by_cached_key(|event| event.text("ts").to_owned());
    let line = |e: &Event| format!("{} {}>{}", &e.name()[9..], zone(e.text("from")), zone(e.text("to")));
    events.iter().map(line).collect()
}

/// Sends requests until the cluster's failovers so far are these.
fn until_story(envoy: &Envoy, load: &mut Load, cluster: &str, expected: &[&str]) -> Result<()> {
    let told = load.until("the failovers", |_| story(envoy, cluster).len() >= expected.len());
    assert_eq!(story(envoy, cluster), expected, "{:?}: {:#?}", told.err(), listed(envoy));
    Ok(())
}

fn listed(envoy: &Envoy) -> Vec<String> {
    envoy.events().all().iter().map(Event::to_string).collect()
}

fn ejected(envoy: &Envoy, zones: &Zones, locality: &str) -> Result<usize> {
    let ejected = envoy.ejected(CLUSTER)?;
    Ok(zones.0.iter().filter(|u| u.name() == locality && ejected.contains(&u.address().to_string())).count())
}

/// Sends requests until this many endpoints of the locality are ejected.
fn until_ejected(envoy: &Envoy, load: &mut Load, zones: &Zones, locality: &str, count: usize) -> Result<()> {
    load.until("the ejections", |_| ejected(envoy, zones, locality).is_ok_and(|n| n == count))?;
    Ok(())
}

fn counted(zones: &Zones, locality: &str) -> u64 {
    zones.0.iter().filter(|u| u.name() == locality).map(|u| u.requests()).sum()
}

#[test]
fn a_partial_failover_has_the_share_that_the_endpoints_counted() -> Result<()> {
    let zones = Zones::start_at(&[HOME, HOME, HOME, HOME, NEAR, NEAR])?;
    let rules = rules(Duration::from_secs(8));
    let mut config = config(&rules, false);
    // Enough requests that the share is not that of only the first ones.
    config["failover"] = json!({ "window": "1s", "minRequests": 60, "startShare": 0.2, "endAfter": "1s" });
    let envoy = start(vec![zones.cluster(rules)], &config)?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(100);
    assert_eq!(counted(&zones, HOME), 100);
    for upstream in &zones.0[..2] {
        upstream.set(Answer(500))?;
    }
    until_ejected(&envoy, &mut load, &zones, HOME, 2)?;
    for upstream in &zones.0[..2] {
        upstream.set(Answer(200))?;
    }
    let away = load.until("the other zone serves", |t| t.from(NEAR) > 0)?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b"])?;
    let started = envoy.events().wait_for("the start", |e| e.name() == "failover_started")?;
    let number = |key: &str| started.number(key).unwrap_or(f64::NAN);
    assert_eq!((number("healthy_at_home"), number("endpoints_at_home")), (2.0, 4.0), "{started}");
    assert_eq!(started.text("tier"), "same_region", "{started}");
    assert!((0.2..0.45).contains(&number("share")), "{started}, {away:?}");

    // Half of the endpoints at home, multiplied by 140 %.
    let before = (counted(&zones, HOME), counted(&zones, NEAR));
    load.send(300);
    let (home, near) = (counted(&zones, HOME) - before.0, counted(&zones, NEAR) - before.1);
    assert!((180..240).contains(&home), "Envoy kept {home} at home and sent {near} away");

    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b", "ended 1a>1b"])?;
    let ended = envoy.events().wait_for("the end", |e| e.name() == "failover_ended")?;
    let (told, really) = (ended.number("requests_away").unwrap_or(f64::NAN), counted(&zones, NEAR) as f64);
    assert!((really * 0.9..=really).contains(&told), "{really} were served away: {ended}");
    assert_eq!(ended.text("because"), "recovered", "{ended}");
    Ok(())
}

#[test]
fn clusters_that_fail_at_once_have_each_their_own_story() -> Result<()> {
    let names = ["mocka", "mockb", "mockc", "mockd"].map(|s| format!("outbound|8000||{s}.default.svc.cluster.local"));
    let all: Vec<Zones> = names.iter().map(|_| Zones::start()).collect::<Result<_>>()?;
    let rules = rules(FOR_GOOD);
    let cluster = |(name, zones): (&String, &Zones)| Cluster::new(name, zones.endpoints(), Some(rules.clone()));
    let clusters: Vec<Cluster> = names.iter().zip(&all).map(cluster).collect();
    let hosts: Vec<String> = clusters.iter().map(|c| c.host().to_owned()).collect();
    let envoy = start(clusters, &config(&rules, false))?;
    let mut loads: Vec<Load> = hosts.iter().map(|host| envoy.load(host, 2)).collect::<Result<_>>()?;
    loads.iter_mut().for_each(|load| drop(load.send(20)));
    all[0].set(&[HOME], Answer(503))?;
    all[1].set(&[HOME, NEAR, FARTHER], Refuse)?;
    all[2].set(&[FAR, NEAR], Answer(500))?;
    // All at the same time, so each gets requests in turn.
    let mut turns = 0;
    while loads[1].total.from(FAR) == 0 {
        loads.iter_mut().for_each(|load| drop(load.send(1)));
        turns += 1;
        assert!(turns < 20_000, "the second service is not served far away: {:?}", loads[1].total);
    }
    // The second cluster's traffic goes first to the next zone, which serves none of it.
    let expected: [&[&str]; 4] = [&["started 1a>1b"], &["started 1a>h"], &[], &[]];
    for ((name, expected), load) in names.iter().zip(expected).zip(&mut loads) {
        load.until("the failover", |_| story(&envoy, name).len() >= expected.len())?;
        assert_eq!(story(&envoy, name), expected, "{name}: {:#?}", listed(&envoy));
    }
    Ok(())
}

#[test]
fn a_failover_goes_on_zone_by_zone_and_comes_back_step_by_step() -> Result<()> {
    let zones = Zones::start_at(&[HOME, NEAR, FAR])?;
    let rules = rules(SHORT);
    let envoy = start(vec![zones.cluster(rules.clone())], &config(&rules, false))?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);
    // The failing endpoint returns and is ejected again and again; that is still a single failover.
    zones.set(&[HOME], Refuse)?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b"])?;
    zones.set(&[NEAR], Refuse)?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b", "changed 1a>h"])?;
    zones.set(&[NEAR], Answer(200))?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b", "changed 1a>h", "changed 1a>1b"])?;
    zones.set(&[HOME], Answer(200))?;
    let whole = ["started 1a>1b", "changed 1a>h", "changed 1a>1b", "ended 1a>1b"];
    until_story(&envoy, &mut load, CLUSTER, &whole)?;
    assert_eq!(envoy.ejected(CLUSTER)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn an_endpoint_that_flaps_makes_one_story() -> Result<()> {
    let zones = Zones::start_at(&[HOME, NEAR])?;
    let rules = rules(SHORT);
    let envoy = start(vec![zones.cluster(rules.clone())], &config(&rules, false))?;
    let mut load = envoy.load(HOST, 4)?;
    zones.set(&[HOME], Answer(503))?;
    load.until("three ejections", |_| envoy.outlier_records().is_ok_and(|r| r.iter().any(|r| r.ejections == 3)))?;
    zones.set(&[HOME], Answer(200))?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b", "ended 1a>1b"])?;
    let told = envoy.events().named("endpoint_ejected").len();
    let records = envoy.outlier_records()?;
    assert_eq!(told, records.iter().filter(|r| !r.reason.is_empty()).count(), "{records:?}");
    Ok(())
}

#[test]
fn when_everything_is_ejected_it_is_said_and_so_is_the_recovery() -> Result<()> {
    let zones = Zones::start_at(&[HOME, HOME, NEAR])?;
    let rules = rules(SHORT);
    let envoy = start(vec![zones.cluster(rules.clone())], &config(&rules, false))?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);
    zones.set(&[HOME, NEAR], Refuse)?;
    load.until("the lack", |_| envoy.events().any(|e| e.name() == "no_healthy_upstream"))?;
    assert_eq!(envoy.ejected(CLUSTER)?.len(), 3);
    zones.set(&[HOME, NEAR], Answer(200))?;
    load.until("the recovery", |_| envoy.events().any(|e| e.name() == "upstream_recovered"))?;
    load.until("nothing is open", |_| envoy.metrics().is_ok_and(|m| m.sum("faultline_open_findings", &[]) == 0.0))?;
    assert_eq!(envoy.ejected(CLUSTER)?, Vec::<String>::new());
    for name in ["no_healthy_upstream", "upstream_recovered"] {
        assert_eq!(envoy.events().named(name).len(), 1, "{:#?}", listed(&envoy));
    }
    let story = story(&envoy, CLUSTER);
    assert!(story.is_empty() || story == ["started 1a>1b", "ended 1a>1b"], "{story:?}");
    Ok(())
}

#[test]
fn panic_is_neither_a_return_nor_a_recovery() -> Result<()> {
    let zones = Zones::start_at(&[HOME, NEAR])?;
    let rules = rules(FOR_GOOD);
    let mut cluster = zones.cluster(rules.clone());
    cluster.more.insert("common_lb_config".into(), json!({ "healthy_panic_threshold": { "value": 50 } }));
    let envoy = start(vec![cluster], &config(&rules, true))?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);
    zones.set(&[HOME], Answer(500))?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b"])?;
    zones.set(&[NEAR], Answer(500))?;
    until_ejected(&envoy, &mut load, &zones, NEAR, 1)?;
    zones.set(&[HOME, NEAR], Answer(200))?;
    // Both are ejected and both serve, for longer than anything here takes to end.
    let before = load.total.from(HOME);
    let started = std::time::Instant::now();
    load.until("traffic in panic", |t| t.from(HOME) >= 100 && started.elapsed() > WINDOW * 4)?;
    assert!(load.total.from(HOME) > before);
    assert_eq!(envoy.ejected(CLUSTER)?.len(), 2);
    let panics: u64 = envoy.stats("lb_healthy_panic$")?.iter().map(|(_, n)| n).sum();
    assert!(panics >= 100, "{panics} picks in panic");
    assert_eq!(envoy.events().named("endpoint_returned"), [], "{:#?}", listed(&envoy));
    assert_eq!(envoy.events().named("no_healthy_upstream"), []);
    assert!(!story(&envoy, CLUSTER).iter().any(|line| line.starts_with("ended")), "{:#?}", listed(&envoy));
    Ok(())
}

#[test]
fn panic_among_endpoints_at_home_is_no_return_where_the_threshold_is_configured() -> Result<()> {
    let zones = Zones::start_at(&[HOME; 4])?;
    let rules = rules(FOR_GOOD);
    let mut cluster = zones.cluster(rules.clone());
    cluster.more.insert("common_lb_config".into(), json!({ "healthy_panic_threshold": { "value": 50 } }));
    let mut config = config(&rules, false);
    config["outlierDetection"]["minHealthPercent"] = json!(50);
    let envoy = start(vec![cluster], &config)?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);
    for upstream in &zones.0[..3] {
        upstream.set(Answer(500))?;
    }
    until_ejected(&envoy, &mut load, &zones, HOME, 3)?;
    zones.set(&[HOME], Answer(200))?;
    let started = std::time::Instant::now();
    load.until("traffic in panic", |t| t.total() >= 100 && started.elapsed() > WINDOW * 3)?;
    assert_eq!(envoy.ejected(CLUSTER)?.len(), 3);
    assert_eq!(envoy.events().named("endpoint_ejected").len(), 3, "{:#?}", listed(&envoy));
    assert_eq!(envoy.events().named("endpoint_returned"), [], "{:#?}", listed(&envoy));
    assert_eq!(story(&envoy, CLUSTER), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_cluster_without_endpoints_near_by_is_not_in_failover() -> Result<()> {
    let zones = Zones::start_at(&[FAR, FAR, FARTHER])?;
    let rules = rules(FOR_GOOD);
    let envoy = start(vec![zones.cluster(rules.clone())], &config(&rules, false))?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);
    zones.0[0].set(Refuse)?;
    until_ejected(&envoy, &mut load, &zones, FAR, 1)?;
    load.send(200);
    zones.0[1].set(Refuse)?;
    until_ejected(&envoy, &mut load, &zones, FAR, 2)?;
    load.send(200);
    eventually("the ejections are told", || Ok((envoy.events().named("endpoint_ejected").len() == 2).then_some(())))?;
    assert_eq!(story(&envoy, CLUSTER), Vec::<String>::new(), "{:#?}", listed(&envoy));
    Ok(())
}

#[test]
fn a_roll_out_is_no_outage_and_a_home_that_leaves_is_told() -> Result<()> {
    let old = Zones::start_at(&[HOME, HOME, NEAR])?;
    let new = Zones::start_at(&[HOME, HOME, NEAR])?;
    let rules = rules(FOR_GOOD);
    let mut cluster = old.cluster(rules.clone());
    cluster.discovered = true;
    let mut envoy = start(vec![cluster], &config(&rules, false))?;
    let mut load = envoy.load(HOST, 4)?;
    assert_eq!(load.send(100).from(HOME), 100);
    // The endpoints are replaced one by one; each has left once Envoy no longer lists it.
    let mut endpoints = old.endpoints();
    for (index, endpoint) in new.endpoints().into_iter().enumerate() {
        endpoints[index] = endpoint;
        envoy.set_endpoints(CLUSTER, endpoints.clone())?;
        load.send(100);
        old.0[index].set(Refuse)?;
        load.send(100);
    }
    assert_eq!(counted(&new, HOME) + counted(&old, HOME), load.total.status(200));
    let started = std::time::Instant::now();
    load.until("time for the windows", |_| started.elapsed() > WINDOW * 2)?;
    assert_eq!(listed(&envoy), Vec::<String>::new());
    // The nearest zone leaves without any error; its traffic goes to the next one.
    envoy.set_endpoints(CLUSTER, endpoints.split_off(2))?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b"])?;
    let started = envoy.events().wait_for("the failover", |e| e.name() == "failover_started")?;
    assert_eq!(
        (started.text("cause"), started.number("endpoints_at_home")),
        ("endpoints_left", Some(0.0)),
        "{started}"
    );
    assert_eq!(load.total.status(200), load.total.total(), "{:?}", load.total);
    assert_eq!(listed(&envoy).len(), 1, "{:#?}", listed(&envoy));
    Ok(())
}

#[test]
fn a_failover_goes_on_when_its_home_leaves_until_it_is_back() -> Result<()> {
    let zones = Zones::start_at(&[HOME, NEAR])?;
    let rules = rules(FOR_GOOD);
    let mut cluster = zones.cluster(rules.clone());
    cluster.discovered = true;
    let mut envoy = start(vec![cluster], &config(&rules, false))?;
    let mut load = envoy.load(HOST, 4)?;
    load.send(40);
    zones.set(&[HOME], Refuse)?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b"])?;
    envoy.set_endpoints(CLUSTER, zones.endpoints().split_off(1))?;
    load.until("nothing is ejected", |_| {
        envoy.metrics().is_ok_and(|m| m.sum("faultline_ejected_endpoints", &[]) == 0.0)
    })?;
    assert_eq!(envoy.events().named("endpoint_returned"), [], "it left, it did not return");
    assert_eq!(envoy.events().named("endpoint_removed").len(), 1, "{}", listed(&envoy).join("\n"));
    assert_eq!(story(&envoy, CLUSTER), ["started 1a>1b"], "traffic still goes elsewhere");
    zones.set(&[HOME], Answer(200))?;
    envoy.set_endpoints(CLUSTER, zones.endpoints())?;
    until_story(&envoy, &mut load, CLUSTER, &["started 1a>1b", "ended 1a>1b"])?;
    let ended = envoy.events().wait_for("the end", |e| e.name() == "failover_ended")?;
    assert_eq!(ended.text("because"), "recovered", "{ended}");
    Ok(())
}

#[test]
fn little_traffic_gets_a_right_answer() -> Result<()> {
    let zones = Zones::start_at(&[HOME, NEAR])?;
    let rules = rules(Duration::from_secs(4));
    let envoy = start(vec![zones.cluster(rules.clone())], &config(&rules, false))?;
    let mut load = envoy.load(HOST, 1)?;
    // Never two requests in the same window.
    let mut one = || -> Result<String> {
        let served = load.get("/")?.header("x-served-by").unwrap_or_default().to_owned();
        sleep(WINDOW + Duration::from_millis(100));
        Ok(served)
    };
    assert_eq!(one()?, HOME);
    zones.set(&[HOME], Refuse)?;
    assert_eq!(one()?, "", "refused");
    zones.set(&[HOME], Answer(200))?;
    assert_eq!(one()?, NEAR);
    envoy.events().wait_for("the start", |e| e.name() == "failover_started")?;
    assert_eq!(story(&envoy, CLUSTER), ["started 1a>1b"], "{:#?}", listed(&envoy));
    let mut home = 0;
    for _ in 0..30 {
        home += usize::from(one()? == HOME);
        if story(&envoy, CLUSTER).len() > 1 {
            break;
        }
    }
    assert!(home > 0);
    assert_eq!(story(&envoy, CLUSTER), ["started 1a>1b", "ended 1a>1b"], "{:#?}", listed(&envoy));
    let ended = envoy.events().named("failover_ended").pop().context("the end")?;
    assert_eq!(ended.number("requests_away"), Some(counted(&zones, NEAR) as f64), "{ended}");
    Ok(())
}
