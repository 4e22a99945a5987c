//! A proxy that does not know its own locality, as on most clusters without a cloud's metadata: failovers are told all
//! the same, because Envoy's priorities show which endpoints are near.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::demo::{AP_1A, AP_1B, chain, change, deployment, endpoint, locality};
use super::expected::Expected;
use super::scene::{MOCK, Scene};

/// The container of the application.
const APPLICATION: &str = "mock";

/// The label that tells a proxy its locality.
const LABEL: &str = "istio-locality";

pub(super) fn play(scene: &mut Scene) -> Result<()> {
    let (caller, callee) = (deployment("mocka", AP_1B), deployment("mockb", AP_1B));
    scene.say("mocka in ap-northeast-1b loses the label that tells its proxy where it is");
    change(scene, &caller, |deployment| {
        let labels = &mut deployment["spec"]["template"]["metadata"]["labels"];
        labels.as_object_mut().and_then(|labels| labels.remove(LABEL));
    })?;
    scene.types("kubectl -n mock rollout status deployment")?;
    let proxy = scene.proxy((MOCK, &caller))?;
    let info: Value = serde_json::from_str(&proxy.admin("/server_info")?)?;
    let parts = info.pointer("/node/locality").and_then(Value::as_object);
    let is_known = parts.is_some_and(|parts| parts.values().any(|part| part.as_str() != Some("")));
    scene.check(!is_known, || format!("the proxy knows its locality: {}", info["node"]["locality"]));
    scene.until_answered((MOCK, &caller), &chain([AP_1B; 3]))?;
    scene.ask_for((MOCK, &caller), Duration::from_secs(3))?;
    scene.begin("no-locality");
    let at = endpoint(scene, "mockb", AP_1B)?;

    scene.say("The application of mockb in ap-northeast-1b ends");
    let pod = scene.proxy((MOCK, &callee))?;
    pod.pod().break_container(APPLICATION)?;
    let began = [
        Expected::must(json!({ "faultline": "error_streak", "endpoint": at, "threshold": 1 })),
        Expected::must(json!({ "faultline": "endpoint_ejected", "endpoint": at, "basis": "witnessed" })),
        Expected::must(json!({
            "faultline": "failover_started", "from": locality(AP_1B), "to": locality(AP_1A), "tier": "same_region",
            "cause": "ejected",
        })),
    ];
    let told = scene.until_reported((MOCK, &caller), &began);
    scene.until_answered((MOCK, &caller), &chain([AP_1B, AP_1A, AP_1A]))?;
    if told.is_ok() {
        // Before its pod is replaced.
        scene.expect((MOCK, &caller), &began)?;
        scene.expect_silence_except(&[(MOCK, &caller)])?;
    }

    scene.say("Everything is as it was: the application by a new pod, the label by the documents' own resource");
    scene.types_of_document("kubectl --context ap apply -k deploy/istio/demo/ap-northeast-1")?;
    scene.types(&format!("kubectl -n mock rollout restart deployment {callee}"))?;
    scene.types("kubectl -n mock rollout status deployment")?;
    told
}
