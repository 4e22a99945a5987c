//! Reads and changes values in Envoy's shared data without losing what another worker changes at the same time.
//!
//! Shared data is process-wide and never freed, and plugins with the same bytes share it. So keys have a prefix, and
//! there are at most four for each cluster and a few more.

use crate::host::{self, Status};
use filter_core::cluster::ENCODING;
use filter_core::encoding::{decode, encode};

/// How often a change is tried when other workers are faster.
pub(super) const MAX_TRIES: u32 = 32;

/// The number for a key that does not exist yet: the host then accepts any number, and no existing value has this one.
const ABSENT: u32 = u32::MAX;

/// The result of writing a value back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// Another worker changed the value after it was taken.
    Overtaken,
    /// Nothing can be shared.
    Failed,
}

/// A key. It contains the version of the encoding, so a module with another encoding starts with empty values, totals
/// included.
pub(super) fn key(name: &str) -> String {
    format!("faultline.{ENCODING}.{name}")
}

/// Reads a value; `None` if there is none, or if nothing can be shared.
pub(super) fn read(key: &str) -> Option<Vec<u8>> {
    host::shared_data(key).ok().flatten().map(|(bytes, _)| bytes)
}

/// Takes a value in order to change it, with the number by which [`put`] knows whether it is still the latest. The
/// value is empty if there is none yet; `None` if nothing can be shared.
pub(super) fn take(key: &str) -> Option<(Vec<u8>, u32)> {
    Some(host::shared_data(key).ok()?.unwrap_or((Vec::new(), ABSENT)))
}

/// Writes back a value that was taken with the number `cas`.
pub(super) fn put(key: &str, value: &[u8], cas: u32) -> Put {
    match host::set_shared_data(key, value, cas) {
        Ok(()) => Put::Done,
        Err(Status::CAS_MISMATCH) => Put::Overtaken,
        Err(_) => Put::Failed,
    }
}

/// Changes a value. `change` returns the new value, or `None` to leave the old one; it may run several times, each time
/// on the latest value. Returns the result of the run that was written back; `None` if none was.
pub(super) fn update<R>(key: &str, mut change: impl FnMut(&[u8]) -> (Option<Vec<u8>>, R)) -> Option<R> {
    let mut result = None;
    let is_written = update_bytes(key, &mut |before| {
        let (after, of_run) = change(before);
        result = Some(of_run);
        after
    });
    result.filter(|_| is_written)
}

/// Changes a value; false if nothing can be shared. It is the same code for all types of results.
#[inline(never)]
fn update_bytes(key: &str, change: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> bool {
    for _ in 0..MAX_TRIES {
        let Some((before, cas)) = take(key) else { return false };
        let Some(after) = change(&before).filter(|after| *after != before) else { return true };
        match put(key, &after, cas) {
            Put::Done => return true,
            Put::Overtaken => {}
            Put::Failed => return false,
        }
    }
    false
}

/// Reads a total; 0 if there is none.
pub(super) fn total(key: &str) -> u64 {
    read(key).and_then(|bytes| decode(&bytes)).unwrap_or_default()
}

/// Adds to a total and returns it; `None` if nothing can be shared.
pub(super) fn add(key: &str, by: i64) -> Option<u64> {
    for _ in 0..MAX_TRIES {
        let (before, cas) = take(key)?;
        let total = decode::<u64>(&before).unwrap_or_default().saturating_add_signed(by);
        match put(key, &encode(&total), cas) {
            Put::Done => return Some(total),
            Put::Overtaken => {}
            Put::Failed => return None,
        }
    }
    None
}
