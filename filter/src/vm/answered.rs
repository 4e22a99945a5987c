//! Answers that were judged when their headers passed, until the upstream log shows that they are over.

use rustc_hash::FxHashMap;

/// Answers that are noted; beyond it they are judged when logged.
const MAX_ANSWERED: u32 = 65_536;

/// Answers under way, by the connection that they come through.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// How many through each; HTTP/2 has several at a time, which need not be told apart.
    by_connection: FxHashMap<u64, u32>,
    total: u32,
    /// The connection of the attempt that ended last by its own time-out.
    timed_out: Option<u64>,
}

impl Answered {
    /// Whether no more answers can be noted.
    pub(crate) fn is_full(&self) -> bool {
        self.total >= MAX_ANSWERED
    }

    /// Notes an answer that was judged.
    pub(crate) fn insert(&mut self, connection: u64) {
        self.total = self.total.saturating_add(1);
        let count = self.by_connection.entry(connection).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether the answer that ended was noted; it is not any more. `connection` is asked only if any is.
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

    /// Notes that an attempt ended by its own time-out.
    pub(crate) fn set_timed_out(&mut self, connection: Option<u64>) {
        self.timed_out = connection;
    }

    /// The connection of the attempt that ended last by its own time-out, asked once.
    pub(crate) fn take_timed_out(&mut self) -> Option<u64> {
        self.timed_out.take()
    }
}
