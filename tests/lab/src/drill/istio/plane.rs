//! istiod goes away during an outage, and comes back after it: Envoy goes on by itself, and so does what is reported.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::demo::{AP_1A, AP_1B, chain, deployment, endpoint, locality};
use super::expected::Expected;
use super::scene::{MOCK, Scene};
use crate::istio::State;

/// The container of the application.
const APPLICATION: &str = "mock";

/// How long istiod is away at least: longer than the agent takes to notice.
const AWAY: Duration = Duration::from_secs(31);

pub(super) fn play(scene: &mut Scene) -> Result<()> {
    let (caller, callee) = (deployment("mocka", AP_1A), deployment("mockb", AP_1A));
    scene.say("mockb's rule ejects for ten seconds, so that the endpoint comes back soon");
    eject_for(scene, "10s")?;
    let proxy = scene.proxy((MOCK, &caller))?;
    scene.until("the proxy has the rule", |scene| {
        scene.ask((MOCK, &caller))?;
        let clusters = proxy.admin("/config_dump?resource=dynamic_active_clusters&name_regex=.*mockb.*")?;
        Ok(clusters.contains("\"base_ejection_time\": \"10s\""))
    })?;
    scene.until_answered((MOCK, &caller), &chain([AP_1A; 3]))?;
    scene.begin("istiod-away");
    let at = endpoint(scene, "mockb", AP_1A)?;
    let pod = scene.proxy((MOCK, &callee))?;

    scene.say("The application of mockb in ap-northeast-1a ends; its pod stays");
    pod.pod().break_container(APPLICATION)?;
    let began = [
        Expected::must(json!({ "faultline": "error_streak", "endpoint": at, "kind": "5xx", "threshold": 1 })),
        Expected::must(json!({ "faultline": "endpoint_ejected", "endpoint": at, "basis": "witnessed" })),
        Expected::must(json!({
            "faultline": "failover_started", "from": locality(AP_1A), "to": locality(AP_1B), "cause": "ejected",
        })),
    ];
    scene.until_reported((MOCK, &caller), &began)?;
    scene.say("istiod goes away in the middle of it; the application is repaired meanwhile");
    scene.mesh.set_istiod(State::Away)?;
    let repaired = pod.pod().repair_container(APPLICATION);
    let ended = [
        Expected::must(json!({ "faultline": "endpoint_returned", "endpoint": at, "ejection": 1 })),
        Expected::must(json!({ "faultline": "failover_ended", "from": locality(AP_1A), "because": "recovered" })),
    ];
    let told = scene.until_reported((MOCK, &caller), &ended);
    scene.ask_for((MOCK, &caller), AWAY)?;
    scene.say("istiod is back: nothing is told twice");
    scene.mesh.set_istiod(State::There)?;
    repaired?;
    told?;
    eject_for(scene, "5m")?;
    scene.ask_for((MOCK, &caller), Duration::from_secs(5))?;
    scene.expect((MOCK, &caller), &[&began[..], &ended].concat())?;
    scene.expect_silence_except(&[(MOCK, &caller)])
}

/// Changes mockb's rule.
fn eject_for(scene: &Scene, time: &str) -> Result<()> {
    let path = "/apis/networking.istio.io/v1/namespaces/mock/destinationrules/mockb";
    let interval = if time == "10s" { "2s" } else { "30s" };
    let detection: Value = json!({ "baseEjectionTime": time, "interval": interval });
    scene.mesh.api().merge(path, &json!({ "spec": { "trafficPolicy": { "outlierDetection": detection } } }))?;
    Ok(())
}
