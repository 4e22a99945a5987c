//! The tools that set-up finds or, if missing, installs: one file for each kind of tool or of installation.

mod apt;
pub(crate) mod cargo_tools;
pub(crate) mod envoy;
pub(crate) mod istio;
pub(crate) mod mesh;
pub(crate) mod programs;
pub(crate) mod pypi;
pub(crate) mod toolchain;
mod version;
pub(crate) mod wasm_opt;
pub(crate) mod zigbuild;
