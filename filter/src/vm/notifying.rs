//! Sends notifications of failovers and of clusters without a healthy endpoint to the receiver of `notify`.
//!
//! The worker that reports an event puts it into the outbox, which all workers share, and shortens its own tick to
//! milliseconds. Only ticks send, never the callback of a request. One worker at a time sends (any that finds a request
//! due), so notifications keep their order and are sent once per proxy.
//!
//! Not here: the content of a notification and how long it waits (`filter_core::notify`).

use super::pending::PendingDelivery;
use super::state::Vm;
use crate::host;
use crate::host::exchange;
use crate::output::remark::Remark;
use crate::output::reporter::DeliveryResult;
use crate::shared::{cluster_states, outbox};
use filter_core::config::notify::Notify;
use filter_core::metric::Metric;
use filter_core::names::proxy_name;
use filter_core::notify::Message;
use filter_core::notify::outbox::{Delivery, Ended};
use filter_core::notify::spread::Spread;
use filter_core::text::joined;
use filter_core::time::Millis;

/// How long the alert that no endpoint is healthy is repeated if its end is not seen, in milliseconds: as long as the
/// alert in `deploy/prometheus` lasts.
const REPEAT_NO_HEALTHY_MS: Millis = 3_600_000;

/// Sends the waiting notifications if that is due; called in a root's tick. Returns in how many milliseconds to check
/// again, if anything waits.
pub(crate) fn send_if_due(vm: &mut Vm, now: Millis) -> Option<Millis> {
    let notify = vm.config.notify.clone()?;
    // Read without changing first: mostly, a worker finds that nothing is due.
    let outbox = outbox::read();
    let spread = Spread::new(vm.node_hash, notify.one_in);
    let repeat_is_due = outbox.should_repeat(now, spread);
    match outbox.wait(&notify, now) {
        None if !repeat_is_due => return None,
        Some(wait) if wait > 0 && !repeat_is_due => return Some(wait),
        _ => {}
    }
    let changed = outbox::change(|outbox| {
        let lost = outbox.give_up_waiting(&notify, now);
        if outbox.should_repeat(now, spread) {
            outbox.repeat(now, |alert| still_holds(alert, now));
        }
        (lost, outbox.take(&notify, now), outbox.wait(&notify, now))
    });
    let (lost, taken, wait) = changed?;
    count(vm, lost, &notify, "no answer came");
    let Some((round, messages)) = taken else { return wait };
    let body = body(&messages, &notify);
    let timeout = u32::try_from(notify.timeout.millis()).unwrap_or(u32::MAX);
    let post = || host::post(&notify.cluster, notify.host(), notify.path(), &body, timeout);
    match host::in_context(vm.heartbeat.root(), post) {
        Ok(call) => {
            vm.delivery = Some(PendingDelivery { call, round });
            wait
        }
        Err(_) => {
            let why = "there is no such cluster, or it has no endpoint";
            record_delivery(vm, round, Ended::Failed, &notify, now, why)
        }
    }
}

/// Records how a delivery ended, and `why`. Returns in how many milliseconds to check again, if anything waits.
pub(crate) fn record_delivery(
    vm: &mut Vm,
    round: u32,
    ended: Ended,
    notify: &Notify,
    now: Millis,
    why: &str,
) -> Option<Millis> {
    let changed = outbox::change(|outbox| (outbox.on_response(round, ended, notify, now), outbox.wait(notify, now)));
    let (delivery, wait) = changed?;
    count(vm, delivery, notify, why);
    wait
}

/// Counts what was delivered or given up, and logs once when the receiver stops answering or answers again.
fn count(vm: &mut Vm, delivery: Delivery, notify: &Notify, why: &str) {
    vm.reporter.count_notifications(DeliveryResult::Ok, delivery.delivered);
    vm.reporter.count_notifications(DeliveryResult::Failed, delivery.given_up);
    let cluster = notify.cluster.as_str();
    match delivery {
        Delivery { reachability_changed: true, given_up: 0, .. } => {
            vm.reporter.remark(Remark::ReceiverAnswers { cluster })
        }
        Delivery { reachability_changed: true, .. } => vm.reporter.remark(Remark::ReceiverSilent { cluster, why }),
        _ => {}
    }
}

/// Whether an alert that was sent still holds, according to the shared state.
fn still_holds(alert: &Message, now: Millis) -> bool {
    let Some((from, to)) = alert.route() else { return now.abs_diff(alert.starts_at()) < REPEAT_NO_HEALTHY_MS };
    let levels = cluster_states::read(alert.cluster()).map(|state| state.levels(alert.cluster())).unwrap_or_default();
    levels.iter().any(|level| {
        level.metric == Metric::FailoverActive && level.values.get(1..).is_some_and(|values| values == [from, to])
    })
}

fn body(messages: &[Message], notify: &Notify) -> Vec<u8> {
    let node = exchange::node_id();
    let mut alerts = Vec::new();
    for message in messages {
        match message.event() {
            Some(json) => return json.as_bytes().to_vec(),
            None => alerts.push(message.to_json(notify, proxy_name(&node))),
        }
    }
    let alerts: Vec<&str> = alerts.iter().map(String::as_str).collect();
    format!("[{}]", joined(&alerts, ",")).into_bytes()
}
