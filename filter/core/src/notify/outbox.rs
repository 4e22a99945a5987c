//! The messages that wait to be sent, as the workers of a proxy share them: one value, changed in the same way as a
//! cluster's.
//!
//! One worker at a time sends, which keeps the order. Any worker that finds a request due may do it. Its messages stay
//! at the front until they are answered. If that worker dies, the others wait no longer than an answer may take. An
//! alert that changes while it waits is sent once, in its last state.
//!
//! The start of a failover waits for the proxy's turn ([`Spread`]). What follows it never overtakes it, and if the
//! failover ends before that, neither is sent.
//!
//! Open alerts are repeated regularly: Alertmanager resolves an alert that is not repeated.

use super::message::Message;
use super::spread::{MAX_START_DELAY_MS, Spread};
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

/// How much longer than its timeout a request in progress is waited for, in milliseconds.
const GRACE_MS: Millis = 1_000;

/// The wait after the first failure, which doubles with each further one, and the longest wait, in milliseconds.
const FIRST_WAIT_MS: Millis = 500;
const LONGEST_WAIT_MS: Millis = 30_000;

/// The messages to be sent, and the alerts to be repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    waiting: Vec<Message>,
    open: Vec<Message>,
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

    /// Adds a message, unless another proxy tells it or it is over before this one's turn; false if there is no room.
    pub fn push(&mut self, mut message: Message, now: Millis, spread: Spread) -> bool {
        let open = self.open.iter().position(|open| open.is_about_the_same(&message));
        if open.is_none() && message.is_failover() && !spread.sends_failovers {
            return true;
        }
        self.note(&mut message, open, now);
        if open.is_none() && message.may_wait {
            message.due = now.saturating_add(spread.start_delay);
        }
        let (mut index, before) = (0_usize, self.waiting.len());
        if message.ends_at.is_some() {
            self.waiting.retain(|old| {
                index = index.saturating_add(1);
                index <= self.in_progress || until(old.due, now) == 0 || !old.is_about_the_same(&message)
            });
        }
        self.waiting.len() < before || self.enqueue(message)
    }

    /// An alert takes the place of the one that waits; an event follows those before it.
    fn enqueue(&mut self, mut message: Message) -> bool {
        let last = self.waiting.iter().rposition(|old| old.is_about_the_same(&message));
        if let Some(old) = last.filter(|at| *at >= self.in_progress).and_then(|at| self.waiting.get_mut(at)) {
            message.due = message.due.max(old.due);
            if message.event().is_none() {
                *old = message;
                return true;
            }
        }
        let count = self.waiting.len();
        let has_room = count < MAX_WAITING;
        if has_room {
            let at =
                self.waiting.iter().rposition(|other| other.due <= message.due).map_or(0, |at| at.saturating_add(1));
            self.waiting.insert(at.max(self.in_progress).min(count), message);
        }
        has_room
    }

    /// Keeps track of open alerts; `open` is where the alert is among them. One that has ended gets the start that was
    /// sent for it.
    fn note(&mut self, alert: &mut Message, open: Option<usize>, now: Millis) {
        if alert.event().is_some() {
            return;
        }
        if self.open.is_empty() {
            self.repeated_at = now;
        }
        if let Some(at) = open {
            let before = self.open.swap_remove(at);
            alert.starts_at = before.starts_at;
        }
        if alert.ends_at.is_none() && self.open.len() < MAX_OPEN {
            self.open.push(alert.clone());
        }
    }

    /// Whether open alerts should be repeated.
    pub fn should_repeat(&self, now: Millis, spread: Spread) -> bool {
        !self.open.is_empty() && now.abs_diff(self.repeated_at) >= spread.repeat_interval
    }

    /// Repeats the open alerts for which `holds` is true, and forgets the others.
    pub fn repeat(&mut self, now: Millis, holds: impl FnMut(&Message) -> bool) {
        self.repeated_at = now;
        self.open.retain(holds);
        for alert in self.open.clone() {
            self.enqueue(alert);
        }
    }

    /// In how many milliseconds the next request is due; `None` if nothing waits.
    pub fn wait(&self, notify: &Notify, now: Millis) -> Option<Millis> {
        let first = self.waiting.first()?;
        Some(match self.in_progress {
            0 => self.wait_ms.saturating_sub(now.abs_diff(self.last_ended_at)).max(until(first.due, now)),
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
        let mut taken = Vec::new();
        for message in self.waiting.iter_mut().take(together) {
            if until(message.due, now) > 0 {
                break;
            }
            // Its turn has come, whatever the clock says when it is tried again.
            message.due = 0;
            taken.push(message.clone());
        }
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

/// How many milliseconds are left. A clock that went back must not make that long.
fn until(due: Millis, now: Millis) -> Millis {
    let left = due.saturating_sub(now);
    if left <= MAX_START_DELAY_MS { left } else { 0 }
}
