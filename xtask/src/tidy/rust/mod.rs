//! Rust sources as modules that name each other: parsed and resolved as text, without compiling.
//!
//! Names are resolved as rustc does, as far as the text allows: by paths, imports, re-exports and globs. The expansion
//! of macros and the types of expressions are not known; only a call on `self` is followed to its method.

pub(crate) mod graph;
pub(crate) mod module_tree;
mod resolve;
pub(crate) mod scan;
