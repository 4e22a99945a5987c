//! Real kernels: rules of every backend in network namespaces of the test's own. Needs root; skipped without.

#[path = "../../../tests/lab/src/skip.rs"]
mod skip;

mod command_line;
mod flows;
mod hostile;
mod rules;
mod space;
