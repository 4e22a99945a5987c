//! The receiver of `notify` has answered or failed.

use crate::host::{self, call_response};
use crate::vm::notifying;
use crate::vm::state::Vm;
use filter_core::notify::outbox::Ended;
use filter_core::text::lossy;

/// Handles a call that was answered or failed; false if the call was not a notification.
pub(crate) fn on_notify_response(vm: &mut Vm, call: u32) -> bool {
    let Some(delivery) = vm.delivery.take_if(|delivery| delivery.call == call) else { return false };
    let (Some(notify), Ok(now)) = (vm.config.notify.clone(), host::now()) else { return true };
    let status = call_response::status();
    let status = lossy(&status);
    let ended = match status.as_ref() {
        "" | "408" | "429" => Ended::Failed,
        status if status.starts_with('2') => Ended::Ok,
        status if status.starts_with('5') => Ended::Failed,
        _ => Ended::Refused,
    };
    let why = if status.is_empty() { "no answer came".to_owned() } else { format!("it answers {status}") };
    let wait = notifying::record_delivery(vm, delivery.round, ended, &notify, now, &why);
    if wait.is_some() {
        vm.heartbeat.shorten_tick(wait);
    }
    true
}
