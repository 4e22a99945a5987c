//! Answers of Envoy's admin interface: a file for each kind. An answer that is late, cut or no answer at all changes
//! nothing beyond what could be read of it, and the filter goes on with what it knows.

mod answer;
mod counts;
mod host_lists;
mod rules;
mod unseen;

use crate::host;
use crate::vm::pending::Topic;
use crate::vm::state::Vm;
use answer::Answer;

/// Handles an answer with a body of `size` bytes, or a failed call.
pub(crate) fn on_admin_response(vm: &mut Vm, call: u32, size: usize) {
    let Some(asked) = vm.question.take_if(|question| question.call == call) else { return };
    let Ok(now) = host::now() else { return };
    let answer = Answer::receive(size, asked.asked_at, now);
    match asked.topic.clone() {
        Topic::Rules { origin, is_last } => rules::on_rules(vm, &asked, origin, is_last, answer),
        Topic::HostLists => host_lists::on_host_lists(vm, &asked, answer),
        Topic::Sweep => host_lists::on_sweep(vm, &asked, answer),
        Topic::EndpointConfigs => host_lists::on_endpoint_configs(vm, &asked, answer),
        Topic::Counts(follow_up) => counts::on_ejection_counts(vm, asked.asked_at, follow_up, answer),
    }
}
