//! The documents' drill 1, as it is typed: two services fail in two clusters, each fails over by itself, and both are
//! repaired by new pods.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::demo::{AP_1A, AP_1B, HANGZHOU_H, HANGZHOU_K, chain, deployment, endpoint, locality};
use super::expected::Expected;
use super::scene::{MOCK, Scene};

/// How long the filters may take to learn the endpoints; they share what they saw once a second.
const LEARNING: Duration = Duration::from_secs(3);

pub(super) fn play(scene: &mut Scene) -> Result<()> {
    let (caller, of_hangzhou) = (deployment("mocka", AP_1A), deployment("mocka", HANGZHOU_H));
    let next = deployment("mockb", HANGZHOU_H);
    scene.say("While all is well, everything stays in the zone");
    for (place, zone) in [(&caller, AP_1A), (&of_hangzhou, HANGZHOU_H)] {
        scene.until_answered((MOCK, place), &chain([zone; 3]))?;
        scene.ask_for((MOCK, place), LEARNING)?;
    }
    let broken = [endpoint(scene, "mockb", AP_1A)?, endpoint(scene, "mockc", HANGZHOU_H)?];

    scene.say("Break mockb in ap-northeast-1a: its new image listens on nothing");
    scene.types_of_document("kubectl --context ap apply -k deploy/istio/demo/faults/mockb-ap-northeast-1a")?;
    scene.types_of_document("kubectl --context ap -n mock rollout status deployment")?;
    let new = endpoint(scene, "mockb", AP_1A)?;
    scene.check(new != broken[0], || format!("mockb is still at {new}"));
    let began = outage(&new, AP_1A, AP_1B);
    scene.until_reported((MOCK, &caller), &began)?;
    scene.until_answered((MOCK, &caller), &chain([AP_1A, AP_1B, AP_1B]))?;

    scene.say("Break more: mockc in cn-hangzhou-h, at the same time");
    scene.types_of_document("kubectl --context hangzhou apply -k deploy/istio/demo/faults/mockc-cn-hangzhou-h")?;
    scene.types("kubectl --context hangzhou -n mock rollout status deployment")?;
    let other = endpoint(scene, "mockc", HANGZHOU_H)?;
    let other_began = outage(&other, HANGZHOU_H, HANGZHOU_K);
    scene.until_answered((MOCK, &of_hangzhou), &chain([HANGZHOU_H, HANGZHOU_H, HANGZHOU_K]))?;
    let proxy = scene.proxy((MOCK, &next))?;
    for one in &other_began {
        scene.until(&format!("{one} from {next}"), |scene| {
            scene.ask((MOCK, &of_hangzhou))?;
            Ok(scene.of_step(&proxy)?.iter().any(|event| one.is_about(event)))
        })?;
    }

    scene.say("Repair both by applying what was there before: new pods have new addresses");
    scene.types_of_document("kubectl --context ap apply -k deploy/istio/demo/ap-northeast-1")?;
    scene.types_of_document("kubectl --context hangzhou apply -k deploy/istio/demo/cn-hangzhou")?;
    scene.types_of_document("kubectl --context ap -n mock rollout status deployment")?;
    scene.until_answered((MOCK, &caller), &chain([AP_1A; 3]))?;
    scene.until_answered((MOCK, &of_hangzhou), &chain([HANGZHOU_H; 3]))?;
    let ended = |zone| {
        Expected::must(json!({
            "faultline": "failover_ended", "from": locality(zone), "because": "recovered",
        }))
    };
    let removed = |endpoint: &str| Expected::must(json!({ "faultline": "endpoint_removed", "endpoint": endpoint }));
    scene.until("both failovers are over", |scene| {
        scene.ask((MOCK, &caller))?;
        scene.ask((MOCK, &of_hangzhou))?;
        let mut over = true;
        for (place, zone) in [(&caller, AP_1A), (&next, HANGZHOU_H)] {
            let events = scene.of_step(&scene.proxy((MOCK, place))?)?;
            over &= events.iter().any(|event| ended(zone).is_about(event));
        }
        Ok(over)
    })?;
    scene.expect((MOCK, &caller), &[&began[..], &[ended(AP_1A), removed(&new)]].concat())?;
    scene.expect((MOCK, &next), &[&other_began[..], &[ended(HANGZHOU_H), removed(&other)]].concat())?;
    scene.expect_silence_except(&[(MOCK, &caller), (MOCK, &next)])?;
    report(scene)
}

/// The documents' incident report, from the proxies' logs as `kubectl logs` has them.
fn report(scene: &mut Scene) -> Result<()> {
    scene.say("Write the incident report");
    let report = scene.types_of_document("kubectl --context ap -n mock logs -l app=mocka -c istio-proxy --prefix")?;
    let told = ["mockb.mock", AP_1A, AP_1B].iter().all(|word| report.contains(word));
    scene.check(told, || format!("the report does not tell of mockb's failover:\n{report}"));
    let page = std::fs::read_to_string(scene.mesh.operators_file("incident.html")).unwrap_or_default();
    scene.check(page.contains(AP_1B), || "incident.html does not tell of mockb's failover".to_owned());
    Ok(())
}

/// What a caller in `zone` reports when the only endpoint there fails and the next zone takes over.
fn outage(endpoint: &str, zone: &str, to: &str) -> Vec<Expected> {
    vec![
        Expected::must(json!({
            "faultline": "error_streak", "endpoint": endpoint, "locality": locality(zone), "kind": "5xx",
            "streak": 1, "threshold": 1,
        })),
        Expected::must(json!({
            "faultline": "endpoint_ejected", "endpoint": endpoint, "locality": locality(zone), "basis": "witnessed",
            "reason": "consecutive_5xx", "ejection": 1,
        })),
        Expected::must(json!({
            "faultline": "failover_started", "from": locality(zone), "to": locality(to), "tier": "same_region",
            "cause": "ejected", "healthy_at_home": 0, "endpoints_at_home": 1,
        })),
    ]
}
