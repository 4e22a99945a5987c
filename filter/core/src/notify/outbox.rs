//! The messages that wait to be sent, as the workers of a proxy share them: one value, changed in the same way as a
//! cluster's.
//!
//! One worker at a time sends, which keeps the order. Any worker that finds a request due may do it. Its messages stay
//! at the front until they are answered. If that worker dies, the others wait no longer than an answer may take. An
//! alert that changes while it waits is sent once, in its last state.
//!
//! Open alerts are repeated regularly: Alertmanager resolves an alert that is not repeated.

use super::message::{Alert, Message};
use crate::config::notify::{Format, Notify};
use crate::encoded;
use crate::encoding::{decode, encode};
use crate::time::Millis;

/// The maximum number of waiting messages; further ones are dropped.
pub const MAX_WAITING: usize = 256;

/// The maximum number of open alerts that are repeated; further ones end at the receiver some minutes after they began.
pub const MAX_OPEN: usize = 256;

/// The maximum number of alerts in one request.
const MAX_BATCH: usize = 64;

/// The time after which an open alert is repeated, in milliseconds: well within Alertmanager's default
/// `resolve_timeout` of five minutes, so that one or two repetitions may be lost.
pub const REPEAT_INTERVAL_MS: Millis = 60_000;

/// How much longer than its timeout a request in progress is waited for, in milliseconds.
const GRACE_MS: Millis = 1_000;

/// The wait after the first failure, which doubles with each further one, and the longest wait, in milliseconds.
const FIRST_WAIT_MS: Millis = 500;
const LONGEST_WAIT_MS: Millis = 30_000;

/// The messages to be sent, and the alerts to be repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    waiting: Vec<Message>,
    open: Vec<Alert>,
    repeated_at: Millis,
    /// How many of the waiting messages, from the front, are in progress.
    in_progress: usize,
    in_progress_until: Millis,
    /// The number of the last request, so that a late answer is not taken for the answer to another request.
    round: u32,
    failures: u32,
    last_ended_at: Millis,
    /// How long the next request waits after the last one, in milliseconds.
    wait_ms: Millis,
    /// Whether the filter gave up on the receiver; then no request is retried.
    silent: bool,
}

encoded!(struct Outbox {
    waiting, open, repeated_at, in_progress, in_progress_until, round, failures, last_ended_at, wait_ms, silent,
});

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The receiver accepted it.
    Ok,
    /// There was no answer, or one that asks for a retry.
    Failed,
    /// The receiver rejected it.
    Refused,
}

/// What a response changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// How many messages were delivered.
    pub delivered: usize,
    /// How many messages were given up.
    pub given_up: usize,
    /// Whether the receiver has just stopped answering or has just answered again.
    pub reachability_changed: bool,
}

impl Outbox {
    /// Decodes what [`Outbox::encode`] wrote; anything else gives an empty outbox.
    pub fn decode(bytes: &[u8]) -> Self {
        decode(bytes).unwrap_or_default()
    }

    /// Encodes the value as bytes.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Adds a message; false if there is no room for it.
    pub fn push(&mut self, mut message: Message, now: Millis) -> bool {
        if let Message::Alert(alert) = &mut message {
            self.note(alert, now);
        }
        let Message::Alert(alert) = &message else { return self.append(message) };
        let is_old = |old: &&mut Message| matches!(old, Message::Alert(old) if old.is_about_the_same(alert));
        match self.waiting.iter_mut().skip(self.in_progress).find(is_old) {
            Some(old) => {
                *old = message;
                true
            }
            None => self.append(message),
        }
    }

    fn append(&mut self, message: Message) -> bool {
        let has_room = self.waiting.len() < MAX_WAITING;
        if has_room {
            self.waiting.push(message);
        }
        has_room
    }

    /// Keeps track of open alerts. An alert that has ended gets the start that was sent for it.
    fn note(&mut self, alert: &mut Alert, now: Millis) {
        if self.open.is_empty() {
            self.repeated_at = now;
        }
        if let Some(at) = self.open.iter().position(|open| open.is_about_the_same(alert)) {
            let before = self.open.swap_remove(at);
            alert.starts_at = before.starts_at;
        }
        if alert.ends_at.is_none() && self.open.len() < MAX_OPEN {
            self.open.push(alert.clone());
        }
    }

    /// Whether open alerts should be repeated.
    pub fn should_repeat(&self, now: Millis) -> bool {
        !self.open.is_empty() && now.abs_diff(self.repeated_at) >= REPEAT_INTERVAL_MS
    }

    /// Repeats the open alerts for which `holds` is true, and forgets the others.
    pub fn repeat(&mut self, now: Millis, holds: impl FnMut(&Alert) -> bool) {
        self.repeated_at = now;
        self.open.retain(holds);
        for alert in self.open.clone() {
            self.push(Message::Alert(alert), now);
        }
    }

    /// In how many milliseconds the next request is due; `None` if nothing waits.
    pub fn wait(&self, notify: &Notify, now: Millis) -> Option<Millis> {
        if self.waiting.is_empty() {
            return None;
        }
        Some(match self.in_progress {
            0 => self.wait_ms.saturating_sub(now.abs_diff(self.last_ended_at)),
            _ => self.left(notify, now),
        })
    }

    /// How much longer a request in progress is waited for. A clock that went back must not make that long.
    fn left(&self, notify: &Notify, now: Millis) -> Millis {
        let left = self.in_progress_until.saturating_sub(now);
        if left <= notify.timeout.millis().saturating_add(GRACE_MS) { left } else { 0 }
    }

    /// Takes the messages of the next request, if one is due, with its number for [`Outbox::on_response`].
    pub fn take(&mut self, notify: &Notify, now: Millis) -> Option<(u32, Vec<Message>)> {
        if self.in_progress > 0 || self.wait(notify, now)? > 0 {
            return None;
        }
        self.waiting.retain(|message| message.is_of(notify.format));
        let together = if notify.format == Format::Alertmanager { MAX_BATCH } else { 1 };
        let taken: Vec<Message> = self.waiting.iter().take(together).cloned().collect();
        self.in_progress = taken.len();
        self.in_progress_until = now.saturating_add(notify.timeout.millis()).saturating_add(GRACE_MS);
        self.round = self.round.wrapping_add(1);
        (!taken.is_empty()).then_some((self.round, taken))
    }

    /// Gives up a request whose worker did not report an answer.
    pub fn give_up_waiting(&mut self, notify: &Notify, now: Millis) -> Delivery {
        let lost = self.in_progress > 0 && self.left(notify, now) == 0;
        if lost { self.on_response(self.round, Ended::Failed, notify, now) } else { Delivery::default() }
    }

    /// Applies the result of request `round`.
    pub fn on_response(&mut self, round: u32, ended: Ended, notify: &Notify, now: Millis) -> Delivery {
        if round != self.round || self.in_progress == 0 {
            return Delivery::default();
        }
        let count = std::mem::take(&mut self.in_progress).min(self.waiting.len());
        let was_silent = self.silent;
        let tries = if was_silent { 0 } else { notify.retries };
        self.failures = if ended == Ended::Failed { self.failures.saturating_add(1) } else { 0 };
        let over = ended != Ended::Failed || self.failures > tries;
        if over {
            self.waiting.drain(..count);
            self.failures = 0;
            self.silent = ended != Ended::Ok;
        }
        self.last_ended_at = now;
        self.wait_ms = match ended {
            Ended::Failed if over => LONGEST_WAIT_MS,
            Ended::Failed => {
                let doubled = FIRST_WAIT_MS.saturating_mul(2_u64.saturating_pow(self.failures.saturating_sub(1)));
                doubled.min(LONGEST_WAIT_MS)
            }
            Ended::Ok | Ended::Refused => 0,
        };
        let (delivered, given_up) = match ended {
            Ended::Ok => (count, 0),
            _ if over => (0, count),
            _ => (0, 0),
        };
        Delivery { delivered, given_up, reachability_changed: was_silent != self.silent }
    }
}
