//! Answers that were evaluated when their headers passed, until the upstream log shows that they are over.

use fnv::FnvHashMap;

/// The maximum number of answers that are remembered; further ones are evaluated when logged.
const MAX_ANSWERED: u32 = 65_536;

/// The maximum number of failed attempts that are remembered. Their requests end soon, many at the same moment.
const MAX_FAILED: usize = 512;

/// Answers in progress, by their connection.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// The number of answers on each connection. HTTP/2 has several at a time, which need not be distinguished.
    by_connection: FnvHashMap<u64, u32>,
    total: u32,
    /// The latest attempts that failed by themselves, oldest first.
    failed: Vec<u64>,
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

    /// Remembers that an attempt failed by itself, and not by its request's end.
    pub(crate) fn note_failed(&mut self, attempt: Option<u64>) {
        let Some(attempt) = attempt else { return };
        if self.failed.len() >= MAX_FAILED {
            self.failed.remove(0);
        }
        self.failed.push(attempt);
    }

    /// Forgets an attempt that failed by itself; true if it was remembered. Calls `attempt` only if any is.
    pub(crate) fn take_failed(&mut self, attempt: impl FnOnce() -> Option<u64>) -> bool {
        if self.failed.is_empty() {
            return false;
        }
        let Some(attempt) = attempt() else { return false };
        let position = self.failed.iter().position(|known| *known == attempt);
        position.map(|position| self.failed.remove(position)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_failed_are_told_apart_whatever_ends_in_between() {
        let mut answered = Answered::default();
        (1..=3).for_each(|attempt| answered.note_failed(Some(attempt)));
        assert!(!answered.take_failed(|| Some(9)), "one that was cut off by its request's timeout");
        assert!(answered.take_failed(|| Some(1)));
        assert!(!answered.take_failed(|| Some(1)), "once");
        assert!(answered.take_failed(|| Some(3)) && answered.take_failed(|| Some(2)));
        (0..10_000).for_each(|attempt| answered.note_failed(Some(attempt)));
        assert!(answered.failed.len() <= MAX_FAILED);
    }
}
