//! Tests that need a real registry and other tools that read from it: skopeo, crane, oras, cosign, Envoy.

mod clients;
mod publish;
mod registry;
mod signatures;
