//! Rules and services that never get into a mesh, because the API server or Istio's webhook refuses them.

use super::remarks;
use mesh::{Mesh, refused};

/// What was taken out of the mesh, by name, with the first reason of each.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    /// How many of them are DestinationRules.
    pub(crate) rules: usize,
    told: Vec<String>,
}

impl Refused {
    /// Takes them out. What was applied before them stays in force, and files do not tell it; of a resource that is
    /// there in several versions, an earlier one may hold.
    pub(crate) fn take(mesh: &mut Mesh) -> Self {
        let mut taken = Self::default();
        mesh.resources.retain(|resource| {
            let is_rule = resource.is_istio("DestinationRule");
            if !is_rule && !resource.is_istio("ServiceEntry") && !resource.is_istio("WorkloadEntry") {
                return true;
            }
            let Some(reason) = refused::first(resource) else { return true };
            taken.rules += usize::from(is_rule);
            taken.told.push(format!("{} ({}: {})", resource.title(), reason.path, reason.problem));
            false
        });
        taken
    }

    /// Whether nothing was taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// What was taken out, as a sentence.
    pub(crate) fn named(&self) -> Option<String> {
        remarks::list(self.told.iter().cloned(), |count, titles| {
            let count = count.replacen("rule", "resource", 1);
            format!("left out, {count} that the API server or Istio refuses: {titles}; `faultline validate` says more")
        })
    }
}
