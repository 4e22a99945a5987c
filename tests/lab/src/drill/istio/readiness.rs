//! A pod's readiness fails, so Kubernetes takes its endpoint out of the service: the usual way in which a zone fails.
//! No call fails, nothing is ejected, and traffic goes elsewhere all the same.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::demo::{AP_1A, AP_1B, chain, change, deployment, locality};
use super::expected::Expected;
use super::scene::{MOCK, Scene};

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

    scene.say("Its readiness fails: its endpoint leaves the service, and no call fails");
    let file = scene.proxy((MOCK, &callee))?.pod().path(APPLICATION, Path::new(UNREADY))?;
    fs::write(&file, "")?;
    let started = Expected::must(json!({
        "faultline": "failover_started", "from": locality(AP_1A), "to": locality(AP_1B), "tier": "same_region",
        "cause": "endpoints_left", "healthy_at_home": 0,
    }));
    scene.until_answered((MOCK, &caller), &chain([AP_1A, AP_1B, AP_1B]))?;
    let told = scene.until_reported((MOCK, &caller), std::slice::from_ref(&started));

    scene.say("It is ready again");
    fs::remove_file(&file)?;
    scene.until_answered((MOCK, &caller), &chain([AP_1A; 3]))?;
    told?;
    let ended = Expected::must(json!({
        "faultline": "failover_ended", "from": locality(AP_1A), "because": "recovered", "errors_away": 0,
    }));
    scene.until_reported((MOCK, &caller), std::slice::from_ref(&ended))?;
    scene.expect((MOCK, &caller), &[started, ended])?;
    scene.expect_silence_except(&[(MOCK, &caller)])
}
