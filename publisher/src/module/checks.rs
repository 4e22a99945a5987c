//! Checks before a module is published that it is probably the right one.
//!
//! A module that no proxy could load is always refused ([`crate::module`]). The rest are doubts: the module may be
//! intended, but more often it is the wrong file or the wrong build, so the user has to confirm it with `--force`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::module::Module;
use crate::module::build_info::NAME;
use crate::terminal::output;

/// In bytes. The filter has well under half of this. A larger module is probably a debug build, and every proxy fetches
/// and compiles it.
const LARGE: usize = 1_000_000;

/// Why a module that a proxy would load should perhaps not be published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It has no build information.
    NoBuildInfo,
    /// Its build information names another module.
    OtherModule(String),
    /// More than [`LARGE`] bytes.
    Large(usize),
    /// It imports a function that only newer proxies provide.
    RecentImport(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBuildInfo => f.write_str(
                "it has no build information of faultline: it is another plugin, or was not built with `cargo xtask \
                    build`",
            ),
            Self::OtherModule(name) => write!(f, "its build information says that it is `{name}`, not `{NAME}`"),
            Self::Large(size) => write!(
                f,
                "it has {}, more than {}: is it a debug build? Every proxy fetches and compiles it",
                output::size(*size as u64),
                output::size(LARGE as u64)
            ),
            Self::RecentImport(name) => write!(f, "it imports `{name}`, which Envoy provides since 1.39 only"),
        }
    }
}

/// What is to be known of a module that is published, in a form that can be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The newest proxy-wasm ABI it declares.
    pub(crate) abi: Option<String>,
    /// The manifest annotations that follow from its content.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Why it should perhaps not be published.
    pub(crate) doubts: Vec<String>,
}

impl Facts {
    /// The facts about a module of this size in bytes.
    pub(crate) fn of(module: &Module, size: u64) -> Self {
        let doubts = doubts(module, usize::try_from(size).unwrap_or(usize::MAX));
        Self {
            abi: module.abi.map(|abi| abi.as_str().to_owned()),
            annotations: module.annotations(),
            doubts: doubts.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The doubts about a module of this size in bytes, if any.
fn doubts(module: &Module, size: usize) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    match &module.build {
        None => doubts.push(Doubt::NoBuildInfo),
        Some(build) if build.name != NAME => doubts.push(Doubt::OtherModule(build.name.clone())),
        Some(_) => {}
    }
    if size > LARGE {
        doubts.push(Doubt::Large(size));
    }
    doubts.extend(module.recent.clone().map(Doubt::RecentImport));
    doubts
}
