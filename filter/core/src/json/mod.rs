//! JSON: what Envoy and the configuration say, and what events and alerts say.
//!
//! It is not serde_json because of its size: with its maps and its two ways from and to floating-point numbers that
//! took some 40 kB of the module. Here a number keeps its text until somebody wants it, and what is written has three
//! decimals.

mod read;
mod value;
mod write;

pub use read::parse;
pub(crate) use value::member;
pub use value::{Value, decimal};
pub use write::{Object, object, quoted};
