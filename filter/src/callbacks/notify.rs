//! Telling a receiver at once of failovers and of clusters without a healthy endpoint, for `notify`.
//!
//! Whoever reports an event puts it into the outbox, which all workers share, and has its own heartbeat tick within
//! milliseconds. Only ticks send: never a callback of a request. One worker at a time sends, whichever finds that it is
//! time; so what it sends keeps its order and comes once per proxy.
//!
//! Not here: what is told of an event, and what waits how long (`filter_core::notify`).

use crate::host::exchange as request;
use crate::vm::Plugin;
use crate::{host, shared};
use filter_core::config::notify::Notify;
use filter_core::event::Event;
use filter_core::metric::Metric;
use filter_core::notify::outbox::{Ended, Settled};
use filter_core::notify::{Alert, Message, proxy_name};
use filter_core::time::Millis;

/// For so long, no healthy endpoint is told again without a word of its end: as long as the alert of `deploy/prometheus`.
const NONE_HEALTHY_FOR: Millis = 3_600_000;

/// Something that was sent and not answered.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    call: u32,
    round: u32,
}

impl Plugin {
    /// Reports events in their order, and has told at once what is to be told at once.
    pub(crate) fn report(&mut self, events: &[Event]) {
        self.reporter.report(events, &self.config.limits);
        let Some(notify) = &self.config.notify else { return };
        let messages: Vec<(Message, Millis)> = events
            .iter()
            .flat_map(|event| Message::of(event, notify.format).into_iter().map(|message| (message, event.at)))
            .collect();
        if messages.is_empty() {
            return;
        }
        let metrics = &mut self.reporter.metrics;
        let lost = shared::change_outbox(metrics, |outbox| {
            messages.iter().filter(|(message, at)| !outbox.push(message.clone(), *at)).count()
        });
        count(metrics, "dropped", lost.unwrap_or(messages.len()));
        self.hurry(Some(0));
    }

    /// Sends what waits if it is time to, called in a root's tick. Returns in how many milliseconds to look again, if
    /// anything waits.
    pub(crate) fn notify(&mut self, now: Millis) -> Option<Millis> {
        let notify = self.config.notify.clone()?;
        // A look without a change first: most workers find most of the time that it is not time.
        let outbox = shared::outbox();
        let remind = outbox.should_remind(now);
        match outbox.wait(&notify, now) {
            None if !remind => return None,
            Some(wait) if wait > 0 && !remind => return Some(wait),
            _ => {}
        }
        let changed = shared::change_outbox(&mut self.reporter.metrics, |outbox| {
            let lost = outbox.give_up_waiting(&notify, now);
            if outbox.should_remind(now) {
                outbox.remind(now, |alert| holds(alert, now));
            }
            (lost, outbox.take(&notify, now), outbox.wait(&notify, now))
        });
        let (lost, taken, wait) = changed?;
        self.settled(lost, &notify, "no answer came");
        let Some((round, messages)) = taken else { return wait };
        let body = body(&messages, &notify);
        let timeout = u32::try_from(notify.timeout.millis()).unwrap_or(u32::MAX);
        let _ = host::set_effective_context(self.heartbeat.root());
        let sent = host::post(&notify.cluster, notify.host(), notify.path(), &body, timeout);
        let _ = host::set_effective_context(0);
        match sent {
            Ok(call) => {
                self.sent = Some(Sent { call, round });
                wait
            }
            Err(_) => {
                self.settle(round, Ended::Failed, &notify, now, "there is no such cluster, or it has no endpoint")
            }
        }
    }

    /// A call was answered, or given up; false when it was not one of these.
    pub(crate) fn told(&mut self, call: u32) -> bool {
        let Some(sent) = self.sent.take_if(|sent| sent.call == call) else { return false };
        let (Some(notify), Ok(now)) = (self.config.notify.clone(), host::now_nanoseconds()) else { return true };
        let status = host::header(host::CALL_HEADERS, ":status").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        let ended = match status.as_ref() {
            "" | "408" | "429" => Ended::Failed,
            status if status.starts_with('2') => Ended::Ok,
            status if status.starts_with('5') => Ended::Failed,
            _ => Ended::Refused,
        };
        let why = if status.is_empty() { "no answer came".to_owned() } else { format!("it answers {status}") };
        let wait = self.settle(sent.round, ended, &notify, now / 1_000_000, &why);
        if wait.is_some() {
            self.hurry(wait);
        }
        true
    }

    fn settle(&mut self, round: u32, ended: Ended, notify: &Notify, now: Millis, why: &str) -> Option<Millis> {
        let changed = shared::change_outbox(&mut self.reporter.metrics, |outbox| {
            (outbox.settle(round, ended, notify, now), outbox.wait(notify, now))
        });
        let (settled, wait) = changed?;
        self.settled(settled, notify, why);
        wait
    }

    /// Counts what came of an answer, and says it once when the receiver falls silent or answers again.
    fn settled(&mut self, settled: Settled, notify: &Notify, why: &str) {
        count(&mut self.reporter.metrics, "ok", settled.delivered);
        count(&mut self.reporter.metrics, "failed", settled.given_up);
        let cluster = &notify.cluster;
        match settled {
            Settled { turned: true, given_up: 0, .. } => log::info!("notify: cluster {cluster} answers again"),
            Settled { turned: true, .. } => log::warn!(
                "notify: cluster {cluster}: {why}. What is to be told is tried once each until it answers; \
                 look at notify.cluster, notify.host and notify.path"
            ),
            _ => {}
        }
    }
}

/// Whether an alert that was told still holds: by what the workers share, as the gauges show it.
fn holds(alert: &Alert, now: Millis) -> bool {
    let Some((from, to)) = alert.route() else { return now.abs_diff(alert.starts_at()) < NONE_HEALTHY_FOR };
    let levels = shared::cluster(alert.cluster()).map(|state| state.levels(alert.cluster())).unwrap_or_default();
    levels.iter().any(|level| {
        level.metric == Metric::FailoverActive && level.values.get(1..).is_some_and(|values| values == [from, to])
    })
}

fn body(messages: &[Message], notify: &Notify) -> Vec<u8> {
    let node = request::node();
    let mut alerts = Vec::new();
    for message in messages {
        match message {
            Message::Event(json) => return json.as_bytes().to_vec(),
            Message::Alert(alert) => alerts.push(alert.to_json(notify, proxy_name(&node))),
        }
    }
    format!("[{}]", alerts.join(",")).into_bytes()
}

fn count(metrics: &mut crate::output::reporter::Metrics, result: &str, count: usize) {
    metrics.change(Metric::Notifications, &[result], i64::try_from(count).unwrap_or(i64::MAX));
}
