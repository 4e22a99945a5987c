//! A zone loses its endpoint without a failed call, the usual way in which a zone fails in Kubernetes: its pod's
//! readiness fails, or the pod is gone. Nothing is ejected, and traffic goes elsewhere all the same.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::demo::{AP_1A, AP_1B, chain, change, deployment, locality};
use super::expected::Expected;
use super::scene::{MOCK, Scene};
use crate::istio::Branch;

/// The container of the application.
const APPLICATION: &str = "mock";

/// While this file is there, the application says that it is not ready.
const UNREADY: &str = "/tmp/unready";

pub(super) fn play(scene: &mut Scene) -> Result<()> {
    let (caller, callee) = (deployment("mocka", AP_1A), deployment("mockb", AP_1A));
    scene.say("mockb in ap-northeast-1a gets a readiness probe");
    change(scene, &callee, |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] =
            json!({ "exec": { "command": ["sh", "-c", format!("test ! -e {UNREADY}")] }, "periodSeconds": 1 });
    })?;
    scene.types("kubectl -n mock rollout status deployment")?;
    scene.until_answered((MOCK, &caller), &chain([AP_1A; 3]))?;
    scene.ask_for((MOCK, &caller), Duration::from_secs(3))?;

    scene.begin("readiness");
    scene.say("Its readiness fails, and no call does");
    let file = scene.proxy((MOCK, &callee))?.pod().path(APPLICATION, Path::new(UNREADY))?;
    fs::write(&file, "")?;
    // From 1.31 on, Istio tells Envoy of unready endpoints, as unhealthy; before, it leaves them out.
    let cause = match scene.mesh.branch() {
        Branch::V1_31 => "unhealthy",
        Branch::V1_30 => "endpoints_left",
    };
    outage(scene, &caller, cause, |_| Ok(fs::remove_file(&file)?))?;

    scene.begin("readiness");
    scene.say("Its pod goes, as from a node that is drained");
    scene.types(&format!("kubectl -n mock scale deployment {callee} --replicas=0"))?;
    outage(scene, &caller, "endpoints_left", |scene| {
        scene.types(&format!("kubectl -n mock scale deployment {callee} --replicas=1"))?;
        scene.types("kubectl -n mock rollout status deployment").map(drop)
    })
}

/// Waits until the failover is told with this cause, repairs, and waits for its end.
fn outage(scene: &mut Scene, caller: &str, cause: &str, repair: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    let started = Expected::must(json!({
        "faultline": "failover_started", "from": locality(AP_1A), "to": locality(AP_1B), "tier": "same_region",
        "cause": cause, "healthy_at_home": 0,
    }));
    scene.until_answered((MOCK, caller), &chain([AP_1A, AP_1B, AP_1B]))?;
    let told = scene.until_reported((MOCK, caller), std::slice::from_ref(&started));
    scene.say("It is back");
    repair(scene)?;
    scene.until_answered((MOCK, caller), &chain([AP_1A; 3]))?;
    told?;
    let ended = Expected::must(json!({
        "faultline": "failover_ended", "from": locality(AP_1A), "because": "recovered", "errors_away": 0,
    }));
    scene.until_reported((MOCK, caller), std::slice::from_ref(&ended))?;
    scene.expect((MOCK, caller), &[started, ended])?;
    scene.expect_silence_except(&[(MOCK, caller)])
}
