//! Claims in shared data for work that only one worker should do, or only so often per proxy: notices about a
//! configuration, and the log lines of a second. Not here: events of clusters ([`super::cluster_states`]).

use super::compare_and_swap;
use filter_core::encoding;
use filter_core::time::Millis;

/// Claims work that is done once per proxy, such as the report of a bad configuration (`token` identifies it). True for
/// only one of the workers that ask within `millis` of each other.
pub(crate) fn claim(what: &str, token: u64, now: Millis, millis: Millis) -> bool {
    let claimed = compare_and_swap::update(&compare_and_swap::key(&format!("claim.{what}")), |bytes| {
        let last = encoding::decode::<(u64, Millis)>(bytes);
        let is_mine = last.is_none_or(|(known, at)| known != token || now.abs_diff(at) >= millis);
        (is_mine.then(|| encoding::encode(&(token, now))), is_mine)
    });
    // If nothing can be shared, every worker does it: twice is better than never.
    claimed.unwrap_or(true)
}

/// Takes one of the log lines of a `class` allowed in the current second; false if they are used up.
pub(crate) fn take_log_line(class: &str, now: Millis, per_second: u32) -> bool {
    let second = now / 1000;
    let taken = compare_and_swap::update(&compare_and_swap::key(&format!("lines.{class}")), |bytes| {
        let (at, used) = encoding::decode::<(u64, u32)>(bytes).unwrap_or_default();
        let used = if at == second { used } else { 0 };
        let is_free = used < per_second;
        (is_free.then(|| encoding::encode(&(second, used.saturating_add(1)))), is_free)
    });
    // If nothing can be shared, nothing can be counted: a line too many is better than a missing one.
    taken.unwrap_or(true)
}
