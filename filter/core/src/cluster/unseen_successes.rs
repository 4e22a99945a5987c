//! Where the filter sees only attempts that failed: whether successes came between them, by Envoy's counts of each
//! host.
//!
//! In the position `lean` a streak is at most as long as the failures that were seen. It is certain if, by Envoy's
//! counts, no success came since its first failure; until a list shows that, its report is held back.

use super::endpoint::Endpoint;
use super::input::EvaluationContext;
use super::on_ejection_counts::DETECTS_WITHIN_MS;
use super::state::ClusterState;
use crate::admin::host_lists::HostStatus;
use crate::config::OutlierDetection;
use crate::endpoint::detector::Detector;
use crate::endpoint::evidence::Evidence;
use crate::endpoint::reason::Basis;
use crate::endpoint::streak::StreakKind;
use crate::event::Event;
use crate::time::Millis;
use serde::{Deserialize, Serialize};

/// An endpoint that was ejected this long ago may be what a count of detections grew by, in milliseconds.
const RECENTLY_MS: Millis = 2_000;

/// What Envoy's lists show of an endpoint's successes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Successes {
    /// Envoy's count, and when it was asked for it; `None` before the first list.
    last: Option<(u64, Millis)>,
    /// When the last list was asked for that showed more of them than the one before, or was the first.
    grown_at: Millis,
    /// Whether attempts had failed up to the last list.
    was_failing: bool,
    /// Whether successes came after some of the failures in a row, and further failures after them.
    is_intermittent: bool,
}

impl Successes {
    /// Whether all of them came before the endpoint's last failure. Where every attempt is seen, no list needs to show
    /// that.
    pub(super) fn came_before_failures(&self, detector: &Detector) -> bool {
        let since = self.grown_at.saturating_mul(1_000);
        self.last.is_none() || StreakKind::ALL.iter().any(|kind| detector.failed_since(*kind, since) > 0)
    }
}

/// Takes in Envoy's count of a host's successes, in a list that was asked for at `asked`.
pub(super) fn take_in(endpoint: &mut Endpoint, host: &HostStatus, asked: Millis) {
    let before = endpoint.successes.last.replace((host.successes, asked));
    let (has_grown, since) = before.map_or((true, 0), |(count, at)| (host.successes > count, at));
    endpoint.successes.is_intermittent = has_grown && endpoint.successes.was_failing;
    if has_grown {
        endpoint.successes.grown_at = asked;
        // One of them came later than that.
        endpoint.detector.on_success_after(since.saturating_mul(1_000));
    }
    endpoint.successes.was_failing = endpoint.detector.is_failing();
}

/// Drops what the failures suggest of an endpoint that answers in between, where rates eject as well and no count tells
/// why.
pub(super) fn doubt(state: &mut ClusterState, index: usize, context: &EvaluationContext<'_>, events: &mut Vec<Event>) {
    let is_doubtful = context.rule.by_rate && !state.counts.is_kept();
    let Some(endpoint) = state.endpoints.get_mut(index).filter(|it| is_doubtful && it.successes.is_intermittent) else {
        return;
    };
    drop_held(endpoint);
    state.apply(index, &Evidence::StreakDoubtful, context, events);
}

/// Whether the endpoint's streak that is held back is certain.
fn is_certain(endpoint: &Endpoint) -> bool {
    endpoint.reported.held.as_ref().is_some_and(|held| is_streak(endpoint, held.kind, held.threshold))
}

/// Whether a streak of any kind has certainly reached its threshold.
pub(super) fn has_streak(endpoint: &Endpoint, rules: &OutlierDetection) -> bool {
    StreakKind::ALL.iter().any(|kind| is_streak(endpoint, *kind, kind.threshold(rules)))
}

fn is_streak(endpoint: &Endpoint, kind: StreakKind, threshold: u32) -> bool {
    let since = endpoint.successes.grown_at.saturating_mul(1_000);
    threshold > 0 && endpoint.successes.last.is_some() && endpoint.detector.failed_since(kind, since) >= threshold
}

/// Reports the streak that is held back if it is certain, or drops it, by a list that was asked for at `asked`. Where
/// Envoy counts detections, these decide.
pub(super) fn decide_by_list(
    state: &mut ClusterState,
    index: usize,
    asked: Millis,
    context: &EvaluationContext<'_>,
    events: &mut Vec<Event>,
) {
    let is_due = |endpoint: &&mut Endpoint| {
        let held = endpoint.reported.held.as_ref();
        held.is_some_and(|held| asked >= held.since.saturating_add(DETECTS_WITHIN_MS))
    };
    let is_counted = state.counts.detected().is_some();
    let Some(endpoint) = state.endpoints.get_mut(index).filter(is_due) else { return };
    if !is_certain(endpoint) {
        if !is_counted {
            drop_held(endpoint);
        }
    } else if !is_counted {
        state.release_streak(index, Basis::Inferred, context, events);
    }
}

/// Whether Envoy's count of detections, which grew, is about this endpoint's streak: it is certain, or no other
/// endpoint can be meant.
pub(super) fn is_detected(state: &ClusterState, index: usize, now: Millis) -> bool {
    let is_other = |(other, endpoint): (usize, &Endpoint)| {
        let is_ejected_lately =
            endpoint.rotation.ejection().is_some_and(|ejection| now < ejection.at.saturating_add(RECENTLY_MS));
        other != index && (endpoint.reported.held.is_some() || is_ejected_lately)
    };
    state.endpoints.get(index).is_some_and(is_certain) || !state.endpoints.iter().enumerate().any(is_other)
}

/// Drops the streak that is held back. Further failures may make another.
pub(super) fn drop_held(endpoint: &mut Endpoint) {
    if let Some(held) = endpoint.reported.held.take() {
        endpoint.detector.forget_crossing(held.kind);
        endpoint.reported.is_undetected = true;
    }
}
