//! How many endpoints were ejected, and why. It is asked after a list that leaves a question open: why an endpoint was
//! ejected, or whether it was back in the meantime.

use super::answer::{Answer, rest_in_calm};
use crate::shared::question;
use crate::vm::asking;
use crate::vm::pending::FollowUp;
use crate::vm::state::{Moment, Vm};
use filter_core::admin::stats;
use filter_core::cluster;
use filter_core::time::Millis;

/// The next count waits this many times as long as the last one took: Envoy goes through all its statistics for it, on
/// its main thread.
const REST_PER_COUNT_TIME: Millis = 9;

/// Applies the counts of ejections, if Envoy keeps any.
pub(super) fn on_ejection_counts(vm: &mut Vm, asked_at: Millis, mut follow_up: FollowUp, answer: Answer) {
    let now = answer.now;
    let rest = now.saturating_sub(asked_at).saturating_mul(REST_PER_COUNT_TIME);
    let longest = vm.config.witness.as_ref().map_or(0, |witness| witness.max_interval.millis());
    let has_long_lists = question::change(|question| {
        question.counted = (now, rest.min(longest));
        question.has_long_lists()
    });
    if has_long_lists == Some(true) {
        // In calm, the count and the list before it share what they may cost.
        let for_both = rest_in_calm(now.saturating_sub(asked_at)).saturating_add(follow_up.rest.calm);
        follow_up.rest.calm = for_both.min(longest);
    }
    let counts = answer.body.ok().and_then(|body| stats::read(body).ok());
    for name in std::mem::take(&mut follow_up.uncounted) {
        let in_stats = stats::name_in_stats(&name);
        let count = counts.iter().flatten().find(|(name, _)| *name == in_stats).map(|(_, count)| *count);
        let Some(cluster) = vm.cluster_of_answer(&name, now) else { continue };
        let changed = vm.change_cluster(cluster, Moment { now, has_witness: true }, |state, context| {
            let events = match counts {
                Some(_) => cluster::on_ejection_counts(state, count, asked_at, context),
                // Without a count, an ejection that waits for its cause is reported with the next list.
                None => {
                    cluster::on_ejection_counts_failed(state, asked_at);
                    Vec::new()
                }
            };
            (events, cluster::ask_again_in(state, context))
        });
        let (events, wait) = changed.unwrap_or_default();
        vm.report(&events);
        follow_up.ask_again(&name, wait);
    }
    asking::finish(vm, now, follow_up);
}
