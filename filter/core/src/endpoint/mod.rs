//! One endpoint, without its cluster: what its attempts count as, its streaks, and its rotation.
//!
//! An attempt's attributes become an outcome (`outcome`, `response_flags`), outcomes grow or break streaks (`detector`,
//! `streak`), and a streak that reached its threshold, Envoy's answers and the clock move the endpoint in and out of
//! rotation (`rotation`, `ejection`). Not here: the percent cap and panic, which are the cluster's.

pub mod detector;
pub mod ejection;
pub mod evidence;
pub mod outcome;
pub mod reason;
pub mod response_flags;
pub mod rotation;
pub mod streak;
