//! From proxies' logs to the incident. A line flows one way: [`logs`] reads it, `trace` follows each proxy,
//! [`assemble`] puts the proxies together into the facts ([`model`]), [`wording`] says them once ([`view`]), [`render`]
//! lays them out as text, JSON or a page. [`live`] does the same for one event at a time. Nothing here asks a cluster
//! or a metric, prints, or reads the environment: a report can be written long after, from what was kept.

pub(crate) mod assemble;
mod away;
pub(crate) mod bypass;
mod failure;
pub(crate) mod fleet;
pub(crate) mod live;
pub(crate) mod logs;
pub(crate) mod model;
pub(crate) mod names;
mod observation;
pub(crate) mod render;
mod restarts;
mod span;
mod timeline;
mod trace;
pub(crate) mod units;
mod view;
pub(crate) mod window;
pub(crate) mod wording;
mod written;
