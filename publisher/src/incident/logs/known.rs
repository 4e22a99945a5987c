//! The names that an event can have: the filter's, and those of hot-switch's agents.

use filter_core::event::EventKind;

/// All of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    EventKind::TABLE.iter().map(|(name, _)| *name).chain(hot_switch_core::event::NAMES)
}

/// Whether this version knows an event of this name.
pub(super) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}
