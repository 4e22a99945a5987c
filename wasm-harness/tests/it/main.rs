//! Tests of the harness's public interface: what a module gets from it, rule by rule, as from Envoy.

mod attributes;
mod calls;
mod lifecycle;
mod probe;
mod process;
mod sdk;
#[path = "../../../tests/lab/src/skip.rs"]
mod skip;
mod traffic;
