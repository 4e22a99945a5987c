//! A namespace's own rule: its callers' proxies eject by it, whatever the service's namespace says, and events have its
//! thresholds.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::demo::{AP_1A, AP_1B, deployment, endpoint, locality};
use super::expected::Expected;
use super::scene::{MOCK, PORT, Place, Scene};

const CALLER: Place<'static> = ("own-rules", "caller");

/// The container of the application.
const APPLICATION: &str = "mock";

/// The errors after which the namespace's own rule ejects; the service's own says 1.
const THRESHOLD: u64 = 3;

pub(super) fn play(scene: &mut Scene) -> Result<()> {
    scene.say("A caller in another namespace, with a rule of its own for mockb");
    for object in objects() {
        scene.mesh.api().apply(&object)?;
    }
    scene.until("its pod runs", |scene| Ok(scene.proxy(CALLER).is_ok()))?;
    scene.types("kubectl -n own-rules rollout status deployment")?;
    let service = scene.mesh.api().get("/api/v1/namespaces/mock/services/mockb")?;
    let address = service.pointer("/spec/clusterIP").and_then(Value::as_str).context("mockb has an address")?;
    let target: SocketAddr = format!("{address}:{PORT}").parse()?;
    let call = |scene: &mut Scene| scene.call(CALLER, target, "mockb.mock.svc.cluster.local:8000");
    let started = std::time::Instant::now();
    scene.until("the own zone serves", |scene| {
        let at_home = call(scene)?.text.starts_with(&format!("mockb({AP_1A})"));
        Ok(at_home && started.elapsed().as_secs() > 3)
    })?;
    let at = endpoint(scene, "mockb", AP_1A)?;
    scene.begin("own-rules");

    scene.say("The application of mockb in ap-northeast-1a ends: it is ejected after three errors, not after one");
    let pod = scene.proxy((MOCK, &deployment("mockb", AP_1A)))?;
    pod.pod().break_container(APPLICATION)?;
    let expected = [
        Expected::must(json!({
            "faultline": "error_streak", "endpoint": at, "streak": THRESHOLD, "threshold": THRESHOLD,
        })),
        Expected::must(json!({ "faultline": "endpoint_ejected", "endpoint": at, "basis": "witnessed" })),
        Expected::must(json!({
            "faultline": "failover_started", "from": locality(AP_1A), "to": locality(AP_1B), "cause": "ejected",
        })),
    ];
    let proxy = scene.proxy(CALLER)?;
    let mut told = Ok(());
    for one in &expected {
        told = told.and(scene.until(&format!("{one} from the caller"), |scene| {
            call(scene)?;
            Ok(scene.of_step(&proxy)?.iter().any(|event| one.is_about(event)))
        }));
    }
    pod.pod().repair_container(APPLICATION)?;
    told?;
    scene.expect(CALLER, &expected)?;
    scene.expect_silence_except(&[CALLER])?;
    scene.mesh.api().delete("/apis/apps/v1/namespaces/own-rules/deployments/caller")
}

fn objects() -> [Value; 3] {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": CALLER.0, "labels": { "istio-injection": "enabled" } },
    });
    let rule = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
        "metadata": { "name": "mockb", "namespace": CALLER.0 },
        "spec": {
            "host": "mockb.mock.svc.cluster.local",
            "trafficPolicy": { "outlierDetection": {
                "consecutive5xxErrors": THRESHOLD, "interval": "5s", "baseEjectionTime": "1m",
                "maxEjectionPercent": 100,
            } },
        },
    });
    let labels = json!({ "app": CALLER.1, "istio-locality": locality(AP_1A).replace('/', ".") });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": CALLER.1, "namespace": CALLER.0 },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": CALLER.1 } },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "automountServiceAccountToken": false,
                    "nodeSelector": { "topology.kubernetes.io/zone": AP_1A },
                    "containers": [{
                        "name": "curl", "image": "docker.io/curlimages/curl:8.11.1", "command": ["sleep", "infinity"],
                    }],
                },
            },
        },
    });
    [namespace, rule, deployment]
}
