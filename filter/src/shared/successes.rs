//! Whether the router's upstream log has ever shown an attempt that succeeded. Behind Envoy's own filter for failures
//! it never does.

use super::compare_and_swap;

/// Notes that it has.
pub(crate) fn note() {
    let _ = compare_and_swap::update(&key(), |_| (Some(vec![1]), ()));
}

/// Whether it has.
pub(crate) fn are_seen() -> bool {
    compare_and_swap::read(&key()).is_some()
}

fn key() -> String {
    compare_and_swap::key("successes")
}
