//! The notifications that wait to be sent or are being sent.

use super::compare_and_swap;
use filter_core::notify::outbox::Outbox;

/// Reads the outbox; an empty one if there is none.
pub(crate) fn read() -> Outbox {
    compare_and_swap::read(&key()).map_or_else(Outbox::default, |bytes| Outbox::decode(&bytes))
}

/// Changes the outbox. `change` may run several times, each time on the latest one. `None` if no run could be written
/// back.
pub(crate) fn change<R>(mut change: impl FnMut(&mut Outbox) -> R) -> Option<R> {
    compare_and_swap::update(&key(), |bytes| {
        let mut outbox = Outbox::decode(bytes);
        let result = change(&mut outbox);
        (Some(outbox.encode()), result)
    })
}

fn key() -> String {
    compare_and_swap::key("outbox")
}
