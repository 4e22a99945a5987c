//! Service-level failover across zones and regions, with the sidecars of mocka and mockb in four zones (scenario S1).
//!
//! One instance that listens on nothing, without and with retries; the near zone too, so that traffic goes to the other
//! region and comes back step by step; faults in two services in two regions at once, where no switch of a whole cluster
//! could help. Each sidecar has its own story, and those that have none are silent.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::caller::Caller;
use super::reckoning::{Outcome, reckon};
use super::screen::Screen;
use super::services::{ONCE, SERVICES, Services, chain, cluster_name, host, short};
use super::stage::{Expected, Stage};
use crate::endpoints::Behaviour::{Answer, Refuse};
use crate::envoy::outlier::OutlierDetection;
use crate::programs::tools::Tool;
use crate::zones::ZONES;

const MOCKA: usize = 0;
const MOCKB: usize = 1;
const MOCKC: usize = 2;

/// Indices of [`ZONES`]: ap-northeast-1a and 1b, cn-hangzhou-h and k.
const A: usize = 0;
const B: usize = 1;
const H: usize = 2;
const K: usize = 3;

/// Plays it.
pub(super) fn play(envoy: Option<PathBuf>, screen: Screen) -> Result<Outcome> {
    let rules = OutlierDetection { base_ejection_time: Duration::from_secs(3), ..OutlierDetection::first_error() };
    screen.heading("Twelve instances in four zones of two regions, eight sidecars with the filter");
    let mut services = Services::start()?;
    let sidecars = services.start_sidecars(&Tool::Module.path()?, envoy, &rules)?;
    services.connect(&sidecars);
    screen.note("One error ejects an endpoint for 3 s (S1 has 5 min), Envoy looks every second (30 s). Calls are retried twice,");
    screen.note(
        "as Istio has it, but where it is said. Each sidecar asks its Envoy's admin interface when it has a suspicion.",
    );
    let client = |(zone, place): (usize, &&str)| {
        let name = format!("a client in {}", short(place));
        Caller::new(&name, services.at(MOCKA, zone).address(), &host(MOCKA))
    };
    let callers = ZONES.iter().enumerate().map(client).collect();
    let mut stage = Stage::new(screen, sidecars, callers);

    stage.say("All is well: every call stays in its zone, and the filters are silent");
    stage.rounds(40);
    for (zone, place) in ZONES.iter().enumerate() {
        let right = stage.callers[zone].gets(&chain([zone; 3]));
        stage.check(right, || format!("in health a call from {place} left its zone"));
    }
    stage.end_act(&[]);

    without_retries(&mut stage, &services)?;
    with_retries(&mut stage, &mut services)?;
    the_region(&mut stage, &services)?;
    two_services(&mut stage, &services)?;
    reckon(stage)
}

/// The sidecar of an instance, by index: as [`Services::start_sidecars`] orders them.
fn sidecar(service: usize, zone: usize) -> usize {
    service * ZONES.len() + zone
}

fn between(from: usize, to: usize) -> String {
    format!("{} > {}", ZONES[from], ZONES[to])
}

/// What a sidecar tells of an endpoint that fails and comes back.
fn outage(proxy: usize, endpoint: impl ToString) -> Vec<Expected> {
    let endpoint = endpoint.to_string();
    vec![
        Expected::must(proxy, "endpoint_ejected", &endpoint),
        Expected::must(proxy, "endpoint_returned", &endpoint),
        Expected::may(proxy, "error_streak", &endpoint),
    ]
}

/// Ends an act, in which the callers in `quiet` must have had no error and no other zone.
fn end_act(stage: &mut Stage, errors: &[u64], quiet: &[usize], expected: &[Expected]) {
    stage.end_act(expected);
    for zone in quiet {
        let caller = &stage.callers[*zone];
        let right = caller.errors == errors[*zone] && caller.gets(&chain([*zone; 3]));
        let complaint = format!("{} noticed something: {:?}", caller.name(), caller.last());
        stage.check(right, || complaint);
    }
}

fn errors(stage: &Stage) -> Vec<u64> {
    stage.callers.iter().map(|caller| caller.errors).collect()
}

fn without_retries(stage: &mut Stage, services: &Services) -> Result<()> {
    let before = errors(stage);
    let (broken, proxy) = (services.at(MOCKB, A), sidecar(MOCKA, A));
    stage.callers.iter_mut().for_each(|caller| caller.ask_for(ONCE));
    let outage = [
        Expected::must(proxy, "error_streak", broken.address()),
        Expected::must(proxy, "endpoint_ejected", broken.address()),
        Expected::must(proxy, "failover_started", between(A, B)),
    ];
    let repair = [
        Expected::must(proxy, "endpoint_returned", broken.address()),
        Expected::must(proxy, "failover_ended", between(A, B)),
    ];
    stage.say("The drill, without retries: mockb in ap-northeast-1a listens on nothing");
    broken.set(Refuse)?;
    stage.until("the next zone serves", |stage| stage.callers[A].gets(&chain([A, B, B])))?;
    let failed = stage.callers[A].errors > before[A];
    stage.check(failed, || "no call failed, although nothing was retried".to_owned());
    stage.until_told(&outage)?;
    stage.say("It is repaired; it comes back when its ejection time is over");
    broken.set(Answer(200))?;
    stage.until_told(&repair)?;
    stage.until("the own zone serves again", |stage| stage.callers[A].gets(&chain([A; 3])))?;
    stage.until_over()?;
    end_act(stage, &before, &[B, H, K], &[&outage[..], &repair].concat());
    Ok(())
}

fn with_retries(stage: &mut Stage, services: &mut Services) -> Result<()> {
    let before = errors(stage);
    let proxy = sidecar(MOCKA, A);
    let broken = services.at(MOCKB, A).address();
    stage.callers.iter_mut().for_each(|caller| caller.ask_for("/"));
    let expected = [
        Expected::must(proxy, "endpoint_ejected", broken),
        Expected::must(proxy, "failover_started", between(A, B)),
        Expected::must(proxy, "failover_ended", between(A, B)),
        // If Envoy lets it back before its replacement is there.
        Expected::may(proxy, "endpoint_returned", broken),
        Expected::may(proxy, "error_streak", broken),
    ];
    stage.say("The same with Istio's retries: callers do not feel it, and no answer shows who failed; Envoy is asked");
    services.at(MOCKB, A).set(Refuse)?;
    stage.until_told(&expected[..2])?;
    stage.until("the next zone serves", |stage| stage.callers[A].gets(&chain([A, B, B])))?;

    stage.say("It is repaired by a new pod: a new address, and the old one is gone from every sidecar's endpoints");
    let old = services.replace(MOCKB, A, Some(&stage.proxies[sidecar(MOCKB, A)].envoy))?;
    for proxy in &mut stage.proxies {
        proxy.envoy.set_endpoints(&cluster_name(MOCKB), services.endpoints(MOCKB))?;
    }
    stage.until("the own zone serves again", |stage| stage.callers[A].gets(&chain([A; 3])))?;
    stage.until_told(&expected)?;
    stage.until_over()?;
    drop(old);
    end_act(stage, &before, &[B, H, K], &expected);
    Ok(())
}

fn the_region(stage: &mut Stage, services: &Services) -> Result<()> {
    let before = errors(stage);
    let [a, b] = [A, B].map(|zone| services.at(MOCKB, zone));
    let [of_a, of_b] = [A, B].map(|zone| sidecar(MOCKA, zone));
    let far = [H, K];
    let mut expected: Vec<Expected> = Vec::new();
    for proxy in [of_a, of_b] {
        expected.extend(outage(proxy, a.address()));
        expected.extend(outage(proxy, b.address()));
    }
    expected.push(Expected::must(of_a, "failover_started", between(A, B)));
    // Which of the other region's zones gets most is up to Envoy's dice, and may change.
    for proxy in [of_a, of_b] {
        for name in ["failover_started", "failover_changed", "failover_ended"] {
            let from = if proxy == of_a { A } else { B };
            let to = far.iter().map(|to| Expected::may(proxy, name, between(from, *to)));
            expected.extend(to);
            expected.push(Expected::may(proxy, name, between(from, if from == A { B } else { A })));
        }
    }
    let told = |stage: &Stage, proxy: usize, name: &str, to: &[usize]| {
        let events = stage.of_act(proxy);
        events.iter().any(|e| e.name() == name && to.iter().any(|to| e.text("to") == ZONES[*to]))
    };

    stage.say("mockb in ap-northeast-1a is gone again");
    a.set(Refuse)?;
    stage.until("a failover to the next zone", |stage| told(stage, of_a, "failover_started", &[B]))?;
    stage.say("And in ap-northeast-1b: the other region serves both zones");
    b.set(Refuse)?;
    stage.until("the failover moves on to the other region", |stage| told(stage, of_a, "failover_changed", &far))?;
    let far_from_b =
        |stage: &Stage| ["failover_started", "failover_changed"].iter().any(|name| told(stage, of_b, name, &far));
    stage.until("a failover to the other region", far_from_b)?;

    stage.say("ap-northeast-1b is repaired: it serves its own callers, and those of the next zone");
    b.set(Answer(200))?;
    let back = |stage: &Stage| stage.callers[A].gets(&chain([A, B, B])) && stage.callers[B].gets(&chain([B; 3]));
    stage.until("ap-northeast-1b serves both zones", back)?;
    stage.until("the failover comes back to the region", |stage| told(stage, of_a, "failover_changed", &[B]))?;
    stage.say("ap-northeast-1a is repaired: everybody is at home");
    a.set(Answer(200))?;
    stage.until("ap-northeast-1a serves its own", |stage| stage.callers[A].gets(&chain([A; 3])))?;
    for proxy in [of_a, of_b] {
        stage
            .until("the failover is over", |stage| stage.of_act(proxy).iter().any(|e| e.name() == "failover_ended"))?;
    }
    stage.until_over()?;
    end_act(stage, &before, &[H, K], &expected);
    Ok(())
}

fn two_services(stage: &mut Stage, services: &Services) -> Result<()> {
    let before = errors(stage);
    let (b, c) = (services.at(MOCKB, A), services.at(MOCKC, H));
    let (of_b, of_c) = (sidecar(MOCKA, A), sidecar(MOCKB, H));
    let mut expected = outage(of_b, b.address());
    expected.extend(outage(of_c, c.address()));
    expected.extend(["failover_started", "failover_ended"].map(|name| Expected::must(of_b, name, between(A, B))));
    expected.extend(["failover_started", "failover_ended"].map(|name| Expected::must(of_c, name, between(H, K))));

    stage.say(&format!(
        "Two faults at once: {} in {} and {} in {}",
        SERVICES[MOCKB],
        short(ZONES[A]),
        SERVICES[MOCKC],
        short(ZONES[H])
    ));
    stage.screen.note("No cluster is well as a whole, so no switch from one to the other would help. Each service fails over by itself:");
    b.set(Refuse)?;
    c.set(Refuse)?;
    let served = |stage: &Stage| stage.callers[A].gets(&chain([A, B, B])) && stage.callers[H].gets(&chain([H, H, K]));
    stage.until("both are served by the next zone", served)?;
    for proxy in [of_b, of_c] {
        stage.until("a failover", |stage| stage.of_act(proxy).iter().any(|e| e.name() == "failover_started"))?;
    }
    stage.say("Both are repaired");
    b.set(Answer(200))?;
    c.set(Answer(200))?;
    stage.until_told(&expected)?;
    stage.until_over()?;
    end_act(stage, &before, &[B, K], &expected);
    Ok(())
}
