//! Tests that need a registry. They use the fake one, which runs inside the test and misbehaves on command.

#[path = "../../../tests/lab/src/skip.rs"]
mod skip;
#[path = "../support/mod.rs"]
mod support;

mod copy;
mod credentials;
mod doubtful;
mod forms;
mod hostile;
mod istio_agent;
mod kyverno;
mod login;
mod manifest;
mod manners;
mod push_and_pull;
mod quirks;
mod signature;
mod validate;
mod validate_plugins;
mod words;
