//! Answers that were evaluated when their headers passed, until the upstream log shows that they are over.

use rustc_hash::FxHashMap;

/// The maximum number of answers that are remembered; further ones are evaluated when logged.
const MAX_ANSWERED: u32 = 65_536;

/// Answers in progress, by their connection.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// The number of answers on each connection. HTTP/2 has several at a time, which need not be distinguished.
    by_connection: FxHashMap<u64, u32>,
    total: u32,
    /// The connection of the latest attempt that its own timeout ended.
    timed_out: Option<u64>,
}

impl Answered {
    /// Whether no more answers can be remembered.
    pub(crate) fn is_full(&self) -> bool {
        self.total >= MAX_ANSWERED
    }

    /// Remembers an answer that was evaluated.
    pub(crate) fn insert(&mut self, connection: u64) {
        self.total = self.total.saturating_add(1);
        let count = self.by_connection.entry(connection).or_default();
        *count = count.saturating_add(1);
    }

    /// Forgets the answer that has ended; true if it was remembered. Calls `connection` only if any answer is
    /// remembered.
    pub(crate) fn remove(&mut self, connection: impl FnOnce() -> Option<u64>) -> bool {
        if self.total == 0 {
            return false;
        }
        let Some(connection) = connection() else { return false };
        let Some(count) = self.by_connection.get_mut(&connection) else { return false };
        self.total = self.total.saturating_sub(1);
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.by_connection.remove(&connection);
        }
        true
    }

    /// Remembers that an attempt was ended by its own timeout.
    pub(crate) fn set_timed_out(&mut self, connection: Option<u64>) {
        self.timed_out = connection;
    }

    /// Takes the connection of the latest attempt that its own timeout ended.
    pub(crate) fn take_timed_out(&mut self) -> Option<u64> {
        self.timed_out.take()
    }
}
