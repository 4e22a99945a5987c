//! How JSON writes times and durations, for serde's `serialize_with`.

use filter_core::time::{Millis, rfc3339};
use serde::{Serialize, Serializer};

/// Writes a time as events do: RFC 3339, milliseconds, UTC.
///
/// # Errors
/// The serializer's.
pub(super) fn time<S: Serializer>(at: &Millis, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*at))
}

/// Writes a time as [`time`] does, or `null`.
///
/// # Errors
/// The serializer's.
pub(super) fn optional_time<S: Serializer>(at: &Option<Millis>, to: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(to)
}

/// Writes a duration in seconds, with the milliseconds as decimals.
///
/// # Errors
/// The serializer's.
pub(super) fn seconds<S: Serializer>(millis: &Millis, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(*millis as f64 / 1000.0)
}
