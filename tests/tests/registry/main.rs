//! Tests that need a real registry and other tools that read from it: skopeo, cosign, Envoy.

mod publish;
mod registry;
mod signatures;
