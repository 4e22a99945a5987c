//! The documents' demo: mocka calls mockb calls mockc, a pod of each in every zone.

use anyhow::Result;
use serde_json::Value;

use super::scene::{MOCK, PORT, Scene};
use crate::istio::Proxy;
use crate::zones::ZONES;

pub(super) const AP_1A: &str = "ap-northeast-1a";
pub(super) const AP_1B: &str = "ap-northeast-1b";
pub(super) const HANGZHOU_H: &str = "cn-hangzhou-h";
pub(super) const HANGZHOU_K: &str = "cn-hangzhou-k";

/// The name of the plugin's resource, which is part of its name in every proxy.
pub(super) const PLUGIN: &str = "faultline";

/// A service's Deployment in a zone.
pub(super) fn deployment(service: &str, zone: &str) -> String {
    format!("{service}-{zone}")
}

/// The locality of a zone, `region/zone`.
pub(super) fn locality(zone: &str) -> &'static str {
    let found = ZONES.iter().find(|locality| locality.ends_with(zone));
    found.copied().unwrap_or_default()
}

/// The answer of a call that was served in these zones.
pub(super) fn chain(zones: [&str; 3]) -> String {
    let links = ["mocka", "mockb", "mockc"].iter().zip(zones);
    links.map(|(service, zone)| format!("{service}({zone})")).collect::<Vec<_>>().join(" -> ")
}

/// The endpoint of a service in a zone: its pod's address and port.
pub(super) fn endpoint(scene: &Scene, service: &str, zone: &str) -> Result<String> {
    let proxy = scene.proxy((MOCK, &deployment(service, zone)))?;
    Ok(format!("{}:{PORT}", proxy.pod().address))
}

/// Pushes the filter, applies its manifest and the demo, all as the documents type it, and waits until every proxy runs
/// the filter.
pub(super) fn set_up(scene: &mut Scene) -> Result<()> {
    scene.say("The operator pushes the filter and applies it to the mesh");
    for line in scene.mesh.block("faultline push")? {
        scene.types(&line)?;
    }
    scene.say("The demo starts: twelve pods, each with a sidecar");
    scene.types_of_document("kubectl --context ap apply -k deploy/istio/demo/ap-northeast-1")?;
    scene.types_of_document("kubectl --context hangzhou apply -k deploy/istio/demo/cn-hangzhou")?;
    scene.types_of_document("kubectl --context ap -n mock rollout status deployment")?;
    scene.until("every proxy runs the filter", |scene| {
        let proxies = scene.mesh.proxies();
        Ok(proxies.iter().filter(|proxy| proxy.pod().namespace == MOCK).all(runs_filter))
    })
}

/// Whether a proxy runs the filter.
pub(super) fn runs_filter(proxy: &Proxy) -> bool {
    let is_one = |stats: Vec<(String, u64)>| stats.iter().any(|(_, value)| *value == 1);
    proxy.stats("faultline_build_info").is_ok_and(is_one)
}

/// Changes a Deployment of the demo through the API server.
pub(super) fn change(scene: &Scene, name: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
    let path = format!("/apis/apps/v1/namespaces/{MOCK}/deployments/{name}");
    let mut deployment = scene.mesh.api().get(&path)?;
    change(&mut deployment);
    scene.mesh.api().replace(&path, &deployment).map(drop)
}
