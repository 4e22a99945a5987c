//! Service-level failover across zones and regions, with the sidecars of mocka and mockb in four zones (scenario S1).
//!
//! First, one instance stops listening, without and with retries. Then the near zone fails too, so that traffic goes to
//! the other region and comes back step by step. Then there are faults in two services in two regions at once, which no
//! switch of a whole cluster could solve. Each sidecar reports only its own failures and ejections; the others report
//! nothing.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::caller::Caller;
use super::reckoning::{Outcome, reckon};
use super::screen::Screen;
use super::services::Service::{MockA, MockB, MockC};
use super::services::Zone::{self, ApNortheast1a as A, ApNortheast1b as B, HangzhouH as H, HangzhouK as K};
use super::services::{ONCE, Services, chain, short, sidecar_index};
use super::stage::{Expected, Stage};
use crate::endpoints::Behaviour::{Answer, Refuse};
use crate::envoy::outlier::OutlierDetection;
use crate::programs::tools::Tool;

/// Plays the drill.
pub(super) fn play(envoy: Option<PathBuf>, screen: Screen) -> Result<Outcome> {
    let rules = OutlierDetection { base_ejection_time: Duration::from_secs(3), ..OutlierDetection::first_error() };
    screen.heading("Twelve instances in four zones of two regions, eight sidecars with the filter");
    let mut services = Services::start()?;
    let sidecars = services.start_sidecars(&Tool::Module.path()?, envoy, &rules)?;
    services.connect(&sidecars);
    screen.note(
        "One error ejects an endpoint for 3 s (S1 has 5 min), Envoy looks every second (30 s). Calls are retried \
         twice,",
    );
    screen.note(
        "as Istio has it, but where it is said. Each sidecar asks its Envoy's admin interface when it has a suspicion.",
    );
    let client = |zone: Zone| {
        let name = format!("a client in {}", short(zone.locality()));
        Caller::new(&name, services.at(MockA, zone).address(), &MockA.host())
    };
    let callers = Zone::ALL.into_iter().map(client).collect();
    let mut stage = Stage::new(screen, sidecars, callers);

    stage.say("All is well: every call stays in its zone, and the filters are silent");
    stage.rounds(40);
    for zone in Zone::ALL {
        let right = caller(&stage, zone).gets(&chain([zone; 3]));
        stage.check(right, || format!("in health a call from {} left its zone", zone.locality()));
    }
    stage.end_act(&[]);

    without_retries(&mut stage, &services)?;
    with_retries(&mut stage, &mut services)?;
    the_region(&mut stage, &services)?;
    two_services(&mut stage, &services)?;
    reckon(stage)
}

fn caller(stage: &Stage, zone: Zone) -> &Caller {
    &stage.callers[zone as usize]
}

fn between(from: Zone, to: Zone) -> String {
    format!("{} > {}", from.locality(), to.locality())
}

/// The events that a sidecar reports when an endpoint fails and comes back.
fn outage(proxy: usize, endpoint: impl ToString) -> Vec<Expected> {
    let endpoint = endpoint.to_string();
    vec![
        Expected::must(proxy, "endpoint_ejected", &endpoint),
        Expected::must(proxy, "endpoint_returned", &endpoint),
        Expected::may(proxy, "error_streak", &endpoint),
    ]
}

/// Ends an act in which the callers in `quiet` must have had no error and no answer from another zone.
fn end_act(stage: &mut Stage, errors: &[u64], quiet: &[Zone], expected: &[Expected]) {
    stage.end_act(expected);
    for zone in quiet {
        let caller = caller(stage, *zone);
        let right = caller.errors == errors[*zone as usize] && caller.gets(&chain([*zone; 3]));
        let complaint = format!("{} noticed something: {:?}", caller.name(), caller.last());
        stage.check(right, || complaint);
    }
}

fn errors(stage: &Stage) -> Vec<u64> {
    stage.callers.iter().map(|caller| caller.errors).collect()
}

fn without_retries(stage: &mut Stage, services: &Services) -> Result<()> {
    let before = errors(stage);
    let (broken, proxy) = (services.at(MockB, A), sidecar_index(MockA, A));
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
    stage.until("the next zone serves", |stage| caller(stage, A).gets(&chain([A, B, B])))?;
    let failed = caller(stage, A).errors > before[A as usize];
    stage.check(failed, || "no call failed, although nothing was retried".to_owned());
    stage.until_reported(&outage)?;
    stage.say("It is repaired; it comes back when its ejection time is over");
    broken.set(Answer(200))?;
    stage.until_reported(&repair)?;
    stage.until("the own zone serves again", |stage| caller(stage, A).gets(&chain([A; 3])))?;
    stage.until_over()?;
    end_act(stage, &before, &[B, H, K], &[&outage[..], &repair].concat());
    Ok(())
}

fn with_retries(stage: &mut Stage, services: &mut Services) -> Result<()> {
    let before = errors(stage);
    let proxy = sidecar_index(MockA, A);
    let broken = services.at(MockB, A).address();
    stage.callers.iter_mut().for_each(|caller| caller.ask_for("/"));
    let expected = [
        Expected::must(proxy, "endpoint_ejected", broken),
        Expected::must(proxy, "failover_started", between(A, B)),
        Expected::must(proxy, "failover_ended", between(A, B)),
        // Envoy may return it before its replacement is there.
        Expected::may(proxy, "endpoint_returned", broken),
        Expected::may(proxy, "error_streak", broken),
    ];
    stage.say("The same with Istio's retries: callers do not feel it, and no answer shows who failed; Envoy is asked");
    services.at(MockB, A).set(Refuse)?;
    stage.until_reported(&expected[..2])?;
    stage.until("the next zone serves", |stage| caller(stage, A).gets(&chain([A, B, B])))?;

    stage.say("It is repaired by a new pod: a new address, and the old one is gone from every sidecar's endpoints");
    let old = services.replace(MockB, A, Some(&stage.proxies[sidecar_index(MockB, A)].envoy))?;
    for proxy in &mut stage.proxies {
        proxy.envoy.set_endpoints(&MockB.cluster_name(), services.endpoints(MockB))?;
    }
    stage.until("the own zone serves again", |stage| caller(stage, A).gets(&chain([A; 3])))?;
    stage.until_reported(&expected)?;
    stage.until_over()?;
    drop(old);
    end_act(stage, &before, &[B, H, K], &expected);
    Ok(())
}

fn the_region(stage: &mut Stage, services: &Services) -> Result<()> {
    let before = errors(stage);
    let [a, b] = [A, B].map(|zone| services.at(MockB, zone));
    let [of_a, of_b] = [A, B].map(|zone| sidecar_index(MockA, zone));
    let far = [H, K];
    let mut expected: Vec<Expected> = Vec::new();
    for proxy in [of_a, of_b] {
        expected.extend(outage(proxy, a.address()));
        expected.extend(outage(proxy, b.address()));
    }
    expected.push(Expected::must(of_a, "failover_started", between(A, B)));
    // Which zone of the other region gets most traffic depends on Envoy's random choices, and may change.
    for proxy in [of_a, of_b] {
        for name in ["failover_started", "failover_changed", "failover_ended"] {
            let from = if proxy == of_a { A } else { B };
            let to = far.iter().map(|to| Expected::may(proxy, name, between(from, *to)));
            expected.extend(to);
            expected.push(Expected::may(proxy, name, between(from, if from == A { B } else { A })));
        }
    }
    let told = |stage: &Stage, proxy: usize, name: &str, to: &[Zone]| {
        let events = stage.of_act(proxy);
        events.iter().any(|e| e.name() == name && to.iter().any(|to| e.text("to") == to.locality()))
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
    let back = |stage: &Stage| caller(stage, A).gets(&chain([A, B, B])) && caller(stage, B).gets(&chain([B; 3]));
    stage.until("ap-northeast-1b serves both zones", back)?;
    stage.until("the failover comes back to the region", |stage| told(stage, of_a, "failover_changed", &[B]))?;
    stage.say("ap-northeast-1a is repaired: everybody is at home");
    a.set(Answer(200))?;
    stage.until("ap-northeast-1a serves its own", |stage| caller(stage, A).gets(&chain([A; 3])))?;
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
    let (b, c) = (services.at(MockB, A), services.at(MockC, H));
    let (of_b, of_c) = (sidecar_index(MockA, A), sidecar_index(MockB, H));
    let mut expected = outage(of_b, b.address());
    expected.extend(outage(of_c, c.address()));
    expected.extend(["failover_started", "failover_ended"].map(|name| Expected::must(of_b, name, between(A, B))));
    expected.extend(["failover_started", "failover_ended"].map(|name| Expected::must(of_c, name, between(H, K))));

    let [first, second] = [A, H].map(|zone| short(zone.locality()));
    stage.say(&format!("Two faults at once: {} in {first} and {} in {second}", MockB.name(), MockC.name()));
    stage.screen.note(
        "No cluster is well as a whole, so no switch from one to the other would help. Each service fails over by \
         itself:",
    );
    b.set(Refuse)?;
    c.set(Refuse)?;
    let served = |stage: &Stage| caller(stage, A).gets(&chain([A, B, B])) && caller(stage, H).gets(&chain([H, H, K]));
    stage.until("both are served by the next zone", served)?;
    for proxy in [of_b, of_c] {
        stage.until("a failover", |stage| stage.of_act(proxy).iter().any(|e| e.name() == "failover_started"))?;
    }
    stage.say("Both are repaired");
    b.set(Answer(200))?;
    c.set(Answer(200))?;
    stage.until_reported(&expected)?;
    stage.until_over()?;
    end_act(stage, &before, &[B, K], &expected);
    Ok(())
}
