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

/// Of many names the first are written.
const MOST_NAMES: usize = 20;

/// Writes names, of many only the first.
pub(super) fn few<S: Serializer>(names: impl AsRef<[String]>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(names.as_ref().iter().take(MOST_NAMES))
}

/// Things that are alike: the first one, when the last one was, and how many there are.
#[derive(Serialize)]
struct Alike<'a, T> {
    #[serde(flatten)]
    first: &'a T,
    #[serde(serialize_with = "time")]
    until: Millis,
    times: usize,
}

/// Writes things that are in order of time, those that are alike once.
pub(super) fn alike<T: Serialize, S: Serializer>(
    things: &[T],
    same: impl Fn(&T, &T) -> bool,
    at: impl Fn(&T) -> Millis,
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut groups: Vec<Alike<'_, T>> = Vec::new();
    for thing in things {
        match groups.iter_mut().find(|group| same(group.first, thing)) {
            Some(group) => (group.until, group.times) = (at(thing), group.times + 1),
            None => groups.push(Alike { first: thing, until: at(thing), times: 1 }),
        }
    }
    to.collect_seq(groups)
}
