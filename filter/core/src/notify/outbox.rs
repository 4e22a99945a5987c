//! What waits to be sent, as the workers of a proxy share it: one value, changed like that of a cluster.
//!
//! One worker at a time sends, whichever finds that it is time; what it sends stays at the front until it is answered, so
//! a worker that dies with it is waited for no longer than an answer may take. That there is one at a time keeps the
//! order. An alert that waits and has news is sent once, as it is then.
//!
//! While an alert is open it is told again now and then: Alertmanager takes one that it does not hear of for over.

use super::message::{Alert, Message};
use crate::config::notify::{Format, Notify};
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// Messages that wait; what comes when there are more is dropped.
pub const MAX_WAITING: usize = 256;

/// Alerts that are told again while they are open; the others end at the receiver, some minutes after they began.
pub const MAX_OPEN: usize = 256;

/// Alerts that are sent at a time.
const MAX_TOGETHER: usize = 64;

/// An open alert is told again after so long: well within Alertmanager's default `resolve_timeout` of five minutes, so
/// that one or two may be lost.
pub const REMIND: Millis = 60_000;

/// What is under way is waited for as long as an answer may take and this much longer.
const GRACE: Millis = 1_000;

/// The first wait after a failure, which doubles with each, and the longest.
const FIRST_WAIT: Millis = 500;
const LONGEST_WAIT: Millis = 30_000;

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    waiting: Vec<Message>,
    open: Vec<Alert>,
    reminded: Millis,
    /// How many of those that wait, from the front, are under way.
    under_way: usize,
    under_way_until: Millis,
    /// Numbers what is sent, so that an answer that comes late is not taken for another's.
    round: u32,
    failures: u32,
    rest_from: Millis,
    rest: Millis,
    /// Whether the receiver has been given up on: then nothing is tried twice.
    silent: bool,
}

/// How sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The receiver has it.
    Ok,
    /// There was no answer, or one that says to try again.
    Failed,
    /// The receiver does not want it.
    Refused,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Messages that the receiver has.
    pub delivered: usize,
    /// Messages that were given up.
    pub given_up: usize,
    /// Whether the receiver has just become silent, or answers again.
    pub turned: bool,
}

impl Outbox {
    /// Reads what [`Outbox::encode`] wrote; anything else is an empty one.
    pub fn decode(bytes: &[u8]) -> Self {
        postcard::from_bytes(bytes).unwrap_or_default()
    }

    /// The value as bytes.
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, Vec::new()).unwrap_or_default()
    }

    /// Takes in a message; false when there is no room for it.
    pub fn push(&mut self, mut message: Message, now: Millis) -> bool {
        if let Message::Alert(alert) = &mut message {
            self.note(alert, now);
        }
        let Message::Alert(alert) = &message else { return self.append(message) };
        let is_old = |old: &&mut Message| matches!(old, Message::Alert(old) if old.is_about_the_same(alert));
        match self.waiting.iter_mut().skip(self.under_way).find(is_old) {
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

    /// Notes whether the alert is open, and gives one that ended the beginning that was told.
    fn note(&mut self, alert: &mut Alert, now: Millis) {
        if self.open.is_empty() {
            self.reminded = now;
        }
        if let Some(at) = self.open.iter().position(|open| open.is_about_the_same(alert)) {
            let before = self.open.swap_remove(at);
            alert.starts_at = before.starts_at;
        }
        if alert.ends_at.is_none() && self.open.len() < MAX_OPEN {
            self.open.push(alert.clone());
        }
    }

    /// Whether open alerts should be told again.
    pub fn should_remind(&self, now: Millis) -> bool {
        !self.open.is_empty() && now.abs_diff(self.reminded) >= REMIND
    }

    /// Has the open alerts told again of which `holds` says that they still hold; the others are forgotten.
    pub fn remind(&mut self, now: Millis, holds: impl FnMut(&Alert) -> bool) {
        self.reminded = now;
        self.open.retain(holds);
        for alert in self.open.clone() {
            self.push(Message::Alert(alert), now);
        }
    }

    /// In how many milliseconds there is something to send; `None` when nothing waits.
    pub fn wait(&self, notify: &Notify, now: Millis) -> Option<Millis> {
        if self.waiting.is_empty() {
            return None;
        }
        Some(match self.under_way {
            0 => self.rest.saturating_sub(now.abs_diff(self.rest_from)),
            _ => self.left(notify, now),
        })
    }

    /// How much longer what is under way is waited for. A clock that went back must not make that long.
    fn left(&self, notify: &Notify, now: Millis) -> Millis {
        let left = self.under_way_until.saturating_sub(now);
        if left <= notify.timeout.millis().saturating_add(GRACE) { left } else { 0 }
    }

    /// Takes what is to be sent together now, if anything, with a number for [`Outbox::settle`].
    pub fn take(&mut self, notify: &Notify, now: Millis) -> Option<(u32, Vec<Message>)> {
        if self.under_way > 0 || self.wait(notify, now)? > 0 {
            return None;
        }
        self.waiting.retain(|message| message.is_of(notify.format));
        let together = if notify.format == Format::Alertmanager { MAX_TOGETHER } else { 1 };
        let taken: Vec<Message> = self.waiting.iter().take(together).cloned().collect();
        self.under_way = taken.len();
        self.under_way_until = now.saturating_add(notify.timeout.millis()).saturating_add(GRACE);
        self.round = self.round.wrapping_add(1);
        (!taken.is_empty()).then_some((self.round, taken))
    }

    /// Gives up waiting for an answer that nobody came back with.
    pub fn give_up_waiting(&mut self, notify: &Notify, now: Millis) -> Settled {
        let lost = self.under_way > 0 && self.left(notify, now) == 0;
        if lost { self.settle(self.round, Ended::Failed, notify, now) } else { Settled::default() }
    }

    /// Takes in how sending ended.
    pub fn settle(&mut self, round: u32, ended: Ended, notify: &Notify, now: Millis) -> Settled {
        if round != self.round || self.under_way == 0 {
            return Settled::default();
        }
        let count = std::mem::take(&mut self.under_way).min(self.waiting.len());
        let was_silent = self.silent;
        let tries = if was_silent { 0 } else { notify.retries };
        self.failures = if ended == Ended::Failed { self.failures.saturating_add(1) } else { 0 };
        let over = ended != Ended::Failed || self.failures > tries;
        if over {
            self.waiting.drain(..count);
            self.failures = 0;
            self.silent = ended != Ended::Ok;
        }
        self.rest_from = now;
        self.rest = match ended {
            Ended::Failed if over => LONGEST_WAIT,
            Ended::Failed => {
                let doubled = FIRST_WAIT.saturating_mul(2_u64.saturating_pow(self.failures.saturating_sub(1)));
                doubled.min(LONGEST_WAIT)
            }
            Ended::Ok | Ended::Refused => 0,
        };
        let (delivered, given_up) = match ended {
            Ended::Ok => (count, 0),
            _ if over => (0, count),
            _ => (0, 0),
        };
        Settled { delivered, given_up, turned: was_silent != self.silent }
    }
}
