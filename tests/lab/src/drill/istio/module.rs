//! What happens to the module on its way: its tag moves, and the registry is away while the filter is upgraded.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::demo::{AP_1A, AP_1B, PLUGIN, chain, deployment, runs_filter};
use super::scene::{MOCK, Scene};
use crate::istio::State;
use crate::programs::tools::Tool;

/// The tag that the documents push.
const TAG: &str = "0.1.0";

/// The tag of an upgrade.
const NEXT: &str = "0.1.1";

/// What the agent fetched, by result.
const FETCHES: &str = "istio_agent_wasm_remote_fetch_count";

/// Somebody pushes something else under the same tag. A proxy that starts afterwards must still get what the manifest
/// pinned.
pub(super) fn moved_tag(scene: &mut Scene) -> Result<()> {
    let place = deployment("mocka", AP_1B);
    scene.say("Somebody pushes another module under the same tag");
    write_other_module(scene, "moved.wasm")?;
    push(scene, TAG, "moved.wasm")?;
    scene.say("A pod that starts now gets the module that the manifest names by its digest");
    scene.types(&format!("kubectl -n mock rollout restart deployment {place}"))?;
    scene.types("kubectl -n mock rollout status deployment")?;
    let filter = scene.proxy((MOCK, &place))?.filter(PLUGIN)?;
    scene.check(filter.as_deref() == Some("Wasm"), || {
        format!("the new pod of {place} runs {filter:?} in place of the filter: the tag has moved")
    });
    scene.until_answered((MOCK, &place), &chain([AP_1B; 3]))
}

/// The filter is upgraded while the registry is away. Requests go on; the filter is gone until somebody touches its
/// resource, and the agent's metric says so.
pub(super) fn registry_away(scene: &mut Scene) -> Result<()> {
    let place = deployment("mocka", AP_1A);
    scene.say("An upgrade of the filter is pushed, and its manifest written");
    write_other_module(scene, "next.wasm")?;
    let upgrade = manifest(scene)?;
    push(scene, NEXT, "next.wasm")?;
    scene.types(&upgrade)?;
    let before = failed_fetches(scene, &place)?;
    scene.say("The registry goes away, then the manifest is applied");
    scene.mesh.set_registry(State::Away)?;
    scene.types("kubectl apply -f next.yaml")?;
    let shown = scene.until("the proxy runs something else in place of the filter", |scene| {
        Ok(scene.proxy((MOCK, &place))?.filter(PLUGIN)?.as_deref() == Some("RBAC"))
    });
    let failed = failed_fetches(scene, &place)?;
    scene.check(failed > before, || format!("{FETCHES} counts no failure: {before}, then {failed}"));
    let answers = scene.ask_for((MOCK, &place), Duration::from_secs(3))?;
    let refused = answers.iter().find(|answer| answer.status != 200);
    scene.check(refused.is_none(), || format!("a request was not served without the filter: {refused:?}"));

    scene.say("The registry is back. The agent asks again when somebody touches the resource");
    scene.mesh.set_registry(State::There)?;
    shown?;
    let touch = "annotate wasmplugins.extensions.istio.io faultline fetched-again=1 --overwrite";
    scene.types(&format!("kubectl -n istio-system {touch}"))?;
    scene.until("the proxy runs the filter again", |scene| {
        let proxy = scene.proxy((MOCK, &place))?;
        Ok(proxy.filter(PLUGIN)?.as_deref() == Some("Wasm") && runs_filter(&proxy))
    })?;
    scene.until_answered((MOCK, &place), &chain([AP_1A; 3]))
}

/// The documents' command that writes the manifest, for the next tag and into a file.
fn manifest(scene: &Scene) -> Result<String> {
    let typed = scene.mesh.command("faultline manifest")?;
    let end = typed.find(['>', '|']).unwrap_or(typed.len());
    Ok(format!("{} > next.yaml", typed[..end].trim_end().replace(TAG, NEXT)))
}

fn push(scene: &Scene, tag: &str, module: &str) -> Result<()> {
    let typed = scene.mesh.command("faultline push")?;
    scene.types(&format!("{} --wasm {module}", typed.replace(TAG, tag))).map(drop)
}

/// Fetches of modules by this pod's agent that failed.
fn failed_fetches(scene: &Scene, place: &str) -> Result<f64> {
    let lines = scene.proxy((MOCK, place))?.agent_metrics(FETCHES)?;
    let failed = lines.iter().filter(|line| !line.contains("result=\"success\""));
    Ok(failed.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

/// Writes the module with one more custom section into the operator's folder: it does the same, and its digest is
/// another.
fn write_other_module(scene: &Scene, name: &str) -> Result<()> {
    let mut module = fs::read(Tool::Module.path()?)?;
    let size = u8::try_from(1 + name.len()).context("a short name")?;
    // Section 0, its size, and its name with the length before it.
    module.extend([0, size, size - 1]);
    module.extend(name.as_bytes());
    fs::write(scene.mesh.operators_file(name), module).context("the operator's folder")
}
