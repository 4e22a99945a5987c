//! The drill in a real Istio: what deploy/istio tells an operator to type, and what happens in meshes besides. See
//! [`crate::istio`] for what is real.
//!
//! Each step says what must be reported, by which proxy, with which keys, and that nothing else is. A step that fails
//! does not stop the next.

mod demo;
mod expected;
mod external;
mod home;
mod module;
mod plane;
mod readiness;
mod rules;
mod scene;
mod zones;

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use super::screen::Screen;
use crate::istio::{Branch, Mesh};
use crate::programs::tools::target_dir;
use scene::Scene;

/// A step of the drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Step {
    /// The documents' drill 1: services fail in two regions at once
    Zones,
    /// The documents' drill 2: an endpoint outside the mesh fails
    External,
    /// A pod's readiness fails, then the pod goes: no call fails, and nothing is ejected
    Readiness,
    /// The filter's tag is pushed again
    MovedTag,
    /// The filter is upgraded while the registry is away
    RegistryAway,
    /// istiod goes away during an outage
    IstiodAway,
    /// A proxy does not know its own locality
    NoLocality,
    /// A namespace has a rule of its own for another's service
    OwnRules,
}

impl Step {
    /// All steps, in their order.
    pub const ALL: [Self; 8] = [
        Self::Zones,
        Self::External,
        Self::Readiness,
        Self::MovedTag,
        Self::RegistryAway,
        Self::IstiodAway,
        Self::NoLocality,
        Self::OwnRules,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Zones => "zones",
            Self::External => "external",
            Self::Readiness => "readiness",
            Self::MovedTag => "moved-tag",
            Self::RegistryAway => "registry-away",
            Self::IstiodAway => "istiod-away",
            Self::NoLocality => "no-locality",
            Self::OwnRules => "own-rules",
        }
    }

    fn play(self, scene: &mut Scene) -> Result<()> {
        match self {
            Self::Zones => zones::play(scene),
            Self::External => external::play(scene),
            Self::Readiness => readiness::play(scene),
            Self::MovedTag => module::moved_tag(scene),
            Self::RegistryAway => module::registry_away(scene),
            Self::IstiodAway => plane::play(scene),
            Self::NoLocality => home::play(scene),
            Self::OwnRules => rules::play(scene),
        }
    }
}

/// The result of the drill.
#[derive(Debug)]
pub struct Outcome {
    /// Each step, how many seconds it took, and how much was wrong.
    steps: Vec<(&'static str, u64, usize)>,
    /// Everything that was wrong, a line each.
    pub wrong: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| step | seconds | wrong |\n|---|---|---|")?;
        self.steps.iter().try_for_each(|(name, seconds, wrong)| writeln!(f, "| {name} | {seconds} | {wrong} |"))
    }
}

/// Plays these steps in a mesh with this branch of Istio.
///
/// # Errors
/// If the mesh cannot be brought up, or the demo not be started in it. What was wrong in a step is in the [`Outcome`].
pub fn play(branch: Branch, steps: &[Step], screen: Screen) -> Result<Outcome> {
    screen.heading(&format!("A mesh with Istio {branch} in network namespaces of this machine"));
    let started = Instant::now();
    let mesh = Mesh::start(branch, |step| screen.note(step))?;
    let mut scene = Scene::new(mesh, screen);
    let mut played = Vec::new();
    scene.begin("set-up");
    let set_up = demo::set_up(&mut scene);
    if let Err(error) = &set_up {
        scene.complain(&format!("{error:#}"));
    }
    played.push(("set-up", started.elapsed().as_secs(), scene.wrong.len()));
    for step in steps.iter().filter(|_| set_up.is_ok()) {
        let (started, before) = (Instant::now(), scene.wrong.len());
        scene.begin(step.name());
        if let Err(error) = step.play(&mut scene) {
            scene.complain(&format!("{error:#}"));
        }
        played.push((step.name(), started.elapsed().as_secs(), scene.wrong.len() - before));
    }
    let outcome = Outcome { steps: played, wrong: std::mem::take(&mut scene.wrong) };
    for line in outcome.to_string().lines() {
        scene.screen.note(line);
    }
    if !outcome.wrong.is_empty() {
        let logs = logs()?;
        scene.mesh.keep_logs(&logs)?;
        scene.screen.note(&format!("the logs of all servers and pods are in {}", logs.display()));
    }
    Ok(outcome)
}

/// Where the logs of a drill that failed are kept.
fn logs() -> Result<PathBuf> {
    Ok(target_dir()?.join("istio-drill-logs"))
}
