//! One endpoint without its cluster: how its attempts count, its streaks, and its rotation.
//!
//! An attempt's attributes become an outcome (`outcome`, `response_flags`), and outcomes grow or break streaks
//! (`detector`, `streak`); where successes are not seen, Envoy's counts show them (`successes`). A streak that reaches
//! its threshold, Envoy's answers and the clock move the endpoint in and out of rotation (`rotation`, `ejection`). Not
//! here: the percent cap and panic, which concern the whole cluster.

pub mod detector;
pub mod ejection;
pub mod evidence;
pub mod outcome;
pub mod reason;
pub mod response_flags;
pub mod rotation;
pub mod rule;
pub mod streak;
pub mod successes;
