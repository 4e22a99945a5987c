//! Scripted endpoints, which simulate real servers and their failures.

mod behaviour;
mod serve;
mod state;
pub mod tls;
mod upstream;

pub use behaviour::{Behaviour, HEALTH_PATH};
pub use upstream::Upstream;
