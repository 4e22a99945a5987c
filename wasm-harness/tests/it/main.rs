//! The harness as its users see it: what a module gets from it, rule by rule, as from Envoy.

mod attributes;
mod calls;
mod lifecycle;
mod probe;
mod process;
mod sdk;
mod traffic;
