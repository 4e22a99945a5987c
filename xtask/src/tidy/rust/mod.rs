//! Rust sources as modules that name each other: parsed and resolved as text, never compiled.
//!
//! What a name means is found as rustc finds it, as far as text goes: by paths, imports, re-exports and globs. What a
//! macro expands to, and the type of an expression, are not known; only a call on `self` is followed to its method.

pub(crate) mod graph;
pub(crate) mod module_tree;
mod resolve;
pub(crate) mod scan;
