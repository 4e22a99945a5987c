//! Tests of the state machine's table, row by row.

use super::*;
use crate::config::{Duration, OutlierDetection};
use crate::endpoint::evidence::ClusterView;
use crate::endpoint::rule::Rule;
use StreakKind::{GatewayError, Http5xx, LocalOrigin};

const NOW: Millis = 1_000_000;

/// A cluster of ten endpoints.
struct Ten {
    ejected: u32,
}

impl ClusterView for Ten {
    fn ejected(&self) -> u32 {
        self.ejected
    }

    fn endpoints(&self) -> u32 {
        10
    }

    fn recent_max_ejected(&self, _: Millis) -> u32 {
        self.ejected
    }
    fn ends_early(&self) -> bool {
        false
    }
}

/// One ejection of ten endpoints is allowed, the first lasts two seconds, and Envoy ticks every second.
fn rules() -> OutlierDetection {
    OutlierDetection {
        interval: Duration::from_millis(1_000),
        base_ejection_time: Duration::from_millis(2_000),
        max_ejection_percent: 10,
        ..OutlierDetection::default()
    }
}

/// Input of the state machine besides the evidence.
#[derive(Clone, Copy)]
struct Scene {
    now: Millis,
    ejected: u32,
    has_witness: bool,
    keeps_counts: bool,
    has_unconfirmed: bool,
    panic_until: Millis,
    counts_asked: Millis,
    sees_successes: bool,
    /// Whether Envoy has said that rates eject too.
    ejects_by_rate: bool,
    /// Whether gateway errors eject too.
    has_several_kinds: bool,
}

const ALONE: Scene = Scene {
    now: NOW,
    ejected: 0,
    has_witness: false,
    keeps_counts: false,
    has_unconfirmed: false,
    panic_until: 0,
    counts_asked: 0,
    sees_successes: true,
    ejects_by_rate: false,
    has_several_kinds: false,
};
const WITNESS: Scene = Scene { has_witness: true, ..ALONE };
const COUNTS: Scene = Scene { keeps_counts: true, ..WITNESS };

impl Scene {
    fn at(self, now: Millis) -> Self {
        Self { now, ..self }
    }

    fn apply(self, rotation: Rotation, evidence: Evidence) -> (Rotation, Vec<Transition>) {
        let (mut rules, cluster) = (rules(), Ten { ejected: self.ejected });
        rules.consecutive_gateway_errors = if self.has_several_kinds { 4 } else { 0 };
        let by_envoy = self.ejects_by_rate;
        let rule = Rule { by_rate: by_envoy, by_envoy, ..Rule::configured(&rules) };
        rotation.apply(
            &evidence,
            &RotationContext {
                now: self.now,
                rules: &rules,
                rule: &rule,
                cluster: &cluster,
                has_witness: self.has_witness,
                panic_until: self.panic_until,
                has_unconfirmed: self.has_unconfirmed,
                keeps_counts: self.keeps_counts,
                counts_asked: self.counts_asked,
                sees_successes: self.sees_successes,
            },
        )
    }

    fn after(self, rotation: Rotation, evidence: &[Evidence]) -> Rotation {
        evidence.iter().fold(rotation, |rotation, evidence| self.apply(rotation, *evidence).0)
    }
}

const fn threshold(kind: StreakKind) -> Evidence {
    Evidence::Threshold { kind, first: true, at: NOW }
}

/// Envoy's list of hosts, asked for at `asked`, with this many requests to the endpoint.
const fn listed(ejected: bool, asked: Millis, requests: u64) -> Evidence {
    let counts = Some(HostCounts { requests, errors: 0 });
    Evidence::Listed(Listed { ejected, asked, previous: 0, counts, cluster_ejected: 0 })
}

const fn ejected(reason: EjectReason, basis: Basis, ejection: u32) -> Transition {
    Transition::Ejected { reason, basis, ejection }
}

const fn returned(basis: Basis) -> Transition {
    Transition::Returned { basis, since: NOW, ejection: 1 }
}

fn suspected(kind: StreakKind) -> Rotation {
    WITNESS.after(Rotation::default(), &[threshold(kind)])
}

fn awaiting_cause() -> Rotation {
    COUNTS.after(Rotation::default(), &[listed(true, NOW, 7)])
}

/// An endpoint ejected at `NOW` for two seconds.
fn out() -> Rotation {
    ALONE.after(Rotation::default(), &[threshold(Http5xx)])
}

#[test]
fn a_threshold_ejects_where_nobody_can_be_asked() {
    for rotation in [Rotation::default(), suspected(GatewayError), awaiting_cause()] {
        let (rotation, transitions) = ALONE.apply(rotation, threshold(Http5xx));
        assert_eq!(transitions, [ejected(EjectReason::Consecutive5xx, Basis::Inferred, 1)]);
        assert_eq!(rotation.ejection().map(|it| (it.at, it.due)), Some((NOW, NOW + 2_000)));
    }
}

#[test]
fn a_streak_explains_an_ejection_unless_rates_may_and_there_are_no_counts() {
    let reason = |scene: Scene| match scene.apply(suspected(Http5xx), listed(true, NOW, 7)).1[..] {
        [Transition::Ejected { reason, .. }] => reason,
        _ => panic!("not ejected"),
    };
    let by_rate = Scene { ejects_by_rate: true, ..WITNESS };
    let lean = Scene { sees_successes: false, ..WITNESS };
    for scene in [WITNESS, lean] {
        assert_eq!(reason(scene), EjectReason::Consecutive5xx);
    }
    for scene in [by_rate, Scene { sees_successes: false, ..by_rate }] {
        assert_eq!(reason(scene), EjectReason::Other);
    }
}

#[test]
fn an_ejection_that_was_blocked_before_may_be_for_any_kind_of_streak() {
    let again = Evidence::Threshold { kind: Http5xx, first: false, at: NOW };
    let reason = |scene: Scene, first: Evidence| match scene
        .apply(scene.after(Rotation::default(), &[first]), listed(true, NOW, 7))
        .1[..]
    {
        [Transition::Ejected { reason, .. }] => reason,
        _ => panic!("not ejected"),
    };
    let several = Scene { has_several_kinds: true, ..WITNESS };
    assert_eq!(reason(several, again), EjectReason::Other);
    assert_eq!(reason(several, threshold(Http5xx)), EjectReason::Consecutive5xx);
    assert_eq!(reason(WITNESS, again), EjectReason::Consecutive5xx);
}

#[test]
fn a_threshold_beyond_the_percent_cap_ejects_nobody() {
    let capped = Scene { ejected: 1, ..ALONE };
    assert_eq!(capped.apply(Rotation::default(), threshold(Http5xx)), (Rotation::default(), vec![]));
}

#[test]
fn an_unconfirmed_threshold_means_nothing_where_nobody_can_be_asked() {
    let evidence = Evidence::UnconfirmedThreshold { kind: LocalOrigin, first: true };
    assert_eq!(ALONE.apply(Rotation::default(), evidence), (Rotation::default(), vec![]));
}

#[test]
fn a_threshold_is_a_suspicion_where_envoy_can_be_asked() {
    for evidence in [threshold(LocalOrigin), Evidence::UnconfirmedThreshold { kind: LocalOrigin, first: true }] {
        let (rotation, transitions) = WITNESS.apply(Rotation::default(), evidence);
        assert!(rotation.is_undecided() && rotation.ejection().is_none() && transitions.is_empty());
    }
}

#[test]
fn a_threshold_of_another_kind_leaves_the_cause_open() {
    let mixed = WITNESS.after(suspected(Http5xx), &[threshold(GatewayError)]);
    assert!(COUNTS.after(mixed, &[listed(true, NOW, 7)]).awaits_cause());
    let same = WITNESS.after(suspected(Http5xx), &[threshold(Http5xx)]);
    assert!(!COUNTS.after(same, &[listed(true, NOW, 7)]).awaits_cause());
}

#[test]
fn a_broken_unconfirmed_streak_is_no_suspicion_any_more() {
    assert_eq!(WITNESS.apply(suspected(LocalOrigin), Evidence::StreakBroken), (Rotation::default(), vec![]));
    assert_eq!(WITNESS.apply(suspected(Http5xx), Evidence::StreakBroken), (suspected(Http5xx), vec![]));
    let waiting = WITNESS.after(awaiting_cause(), &[threshold(LocalOrigin), Evidence::StreakBroken]);
    assert_eq!(waiting, awaiting_cause());
}

#[test]
fn a_list_that_was_asked_for_too_early_decides_nothing() {
    let (rotation, transitions) = WITNESS.at(NOW + 60).apply(suspected(Http5xx), listed(false, NOW + 50, 0));
    assert!(rotation.is_undecided() && transitions.is_empty());
}

#[test]
fn an_endpoint_in_rotation_after_its_threshold_is_blocked_if_that_is_certain() {
    let late = WITNESS.at(NOW + 200);
    let in_rotation = listed(false, NOW + 100, 0);
    let (rotation, transitions) = late.apply(suspected(Http5xx), in_rotation);
    assert_eq!((rotation.is_undecided(), transitions), (false, vec![Transition::Refuted]), "a success came between");
    let (_, transitions) = Scene { ejected: 1, ..late }.apply(suspected(Http5xx), in_rotation);
    assert_eq!(transitions, [Transition::Refuted, Transition::Blocked(BlockedReason::MaxEjectionPercent)]);
    let again = Evidence::Threshold { kind: Http5xx, first: false, at: NOW };
    let repeated = WITNESS.after(Rotation::default(), &[again]);
    let (_, transitions) = late.apply(repeated, in_rotation);
    assert_eq!(transitions, [Transition::Refuted, Transition::Blocked(BlockedReason::NotEnforced)]);
    let (_, transitions) = Scene { has_unconfirmed: true, ..late }.apply(repeated, in_rotation);
    assert_eq!(transitions, [Transition::Refuted], "the streak may have been none");
}

#[test]
fn an_ejection_without_a_known_cause_waits_for_the_count() {
    let (rotation, transitions) = COUNTS.apply(Rotation::default(), listed(true, NOW, 7));
    assert!(rotation.awaits_cause() && rotation.ejection().is_none() && transitions.is_empty());
}

#[test]
fn an_ejection_that_the_list_shows_is_witnessed_and_has_the_cause_of_the_suspicion() {
    let (_, transitions) = WITNESS.apply(Rotation::default(), listed(true, NOW, 7));
    assert_eq!(transitions, [ejected(EjectReason::Other, Basis::Witnessed, 1)], "no count can tell");
    for scene in [WITNESS, COUNTS] {
        let (_, transitions) = scene.apply(suspected(GatewayError), listed(true, NOW, 7));
        assert_eq!(transitions, [ejected(EjectReason::ConsecutiveGatewayFailure, Basis::Witnessed, 1)]);
    }
}

#[test]
fn a_list_from_before_the_last_return_is_stale() {
    let back = WITNESS.at(NOW + 3_000).after(out(), &[listed(false, NOW + 2_990, 7)]);
    let (rotation, transitions) = WITNESS.at(NOW + 3_010).apply(back, listed(true, NOW + 3_000, 7));
    assert_eq!((rotation.ejection(), transitions), (None, vec![Transition::ViewStale]));
}

#[test]
fn without_an_answer_for_long_the_rules_decide() {
    for (wait, missing) in [(2_999, false), (3_000, true)] {
        let (rotation, transitions) = WITNESS.at(NOW + wait).apply(suspected(Http5xx), Evidence::AnswerMissing);
        assert_eq!((rotation.is_undecided(), transitions.is_empty()), (!missing, !missing), "{wait}");
    }
    let capped = Scene { ejected: 1, ..WITNESS.at(NOW + 3_000) };
    assert_eq!(capped.apply(suspected(Http5xx), Evidence::AnswerMissing), (Rotation::default(), vec![]));
    let unconfirmed = Scene { has_unconfirmed: true, ..WITNESS.at(NOW + 3_000) };
    assert!(unconfirmed.apply(suspected(LocalOrigin), Evidence::AnswerMissing).0.is_undecided());
}

#[test]
fn the_count_tells_the_cause_or_else_the_streak_does() {
    let seen = WITNESS.after(awaiting_cause(), &[threshold(Http5xx)]);
    for (rotation, cause, reason) in [
        (awaiting_cause(), Some(EjectReason::Consecutive5xx), EjectReason::Consecutive5xx),
        (awaiting_cause(), None, EjectReason::Other),
        (seen, None, EjectReason::Consecutive5xx),
        (seen, Some(EjectReason::ConsecutiveGatewayFailure), EjectReason::ConsecutiveGatewayFailure),
    ] {
        let (_, transitions) = COUNTS.apply(rotation, Evidence::Cause(cause));
        assert_eq!(transitions, [ejected(reason, Basis::Witnessed, 1)]);
    }
}

#[test]
fn a_cause_is_waited_for_until_the_next_list_or_the_clock() {
    let expected = [ejected(EjectReason::Other, Basis::Witnessed, 1)];
    let late = COUNTS.at(NOW + 100);
    assert_eq!(late.apply(awaiting_cause(), listed(true, NOW + 99, 7)).1, expected);
    assert_eq!(COUNTS.at(NOW + 99).apply(awaiting_cause(), listed(true, NOW + 98, 7)).1, [], "it may still come");
    assert_eq!(late.apply(awaiting_cause(), Evidence::Clock).1, expected);
    let asked_in_vain = Scene { counts_asked: NOW, ..COUNTS.at(NOW + 5) };
    assert_eq!(asked_in_vain.apply(awaiting_cause(), listed(true, NOW + 4, 7)).1, expected);
}

#[test]
fn an_attempt_that_the_balancer_sent_to_an_ejected_endpoint_shows_its_return() {
    let attempt = |started| Evidence::Attempt { started };
    assert_eq!(ALONE.at(NOW + 2_100).apply(out(), attempt(NOW + 1_500)).1, [], "in progress when it was ejected");
    assert_eq!(ALONE.at(NOW + 2_100).apply(out(), attempt(NOW + 1_501)).1, [returned(Basis::Inferred)]);
    assert_eq!(WITNESS.at(NOW + 2_100).apply(out(), attempt(NOW + 2_000)), (out(), vec![Transition::ViewStale]));
    let panic = Scene { panic_until: NOW + 9_000, ..ALONE.at(NOW + 2_100) };
    assert_eq!(panic.apply(out(), attempt(NOW + 2_000)), (out(), vec![]), "in panic it shows nothing");
    let none_left = Scene { ejected: 10, ..ALONE };
    assert_eq!(none_left.at(NOW + 1_900).apply(out(), attempt(NOW + 1_600)).1, [], "and with all ejected, too early");
    assert_eq!(none_left.at(NOW + 2_000).apply(out(), attempt(NOW + 1_600)).1, [returned(Basis::Inferred)]);
}

#[test]
fn a_list_that_shows_it_in_rotation_is_a_witnessed_return() {
    let (rotation, transitions) = WITNESS.at(NOW + 2_500).apply(out(), listed(false, NOW + 2_490, 7));
    assert_eq!((rotation.ejection(), transitions), (None, vec![returned(Basis::Witnessed)]));
    let (rotation, transitions) = WITNESS.at(NOW + 10).apply(out(), listed(false, NOW, 7));
    assert_eq!((rotation.ejection(), transitions), (out().ejection(), vec![]), "asked for before the ejection");
}

#[test]
fn one_that_is_still_ejected_past_its_time_is_rechecked_where_envoy_keeps_counts() {
    let known = COUNTS.at(NOW + 1_600).after(out(), &[listed(true, NOW + 1_600, 7)]);
    assert_eq!(known.recheck_asked(), None);
    let late = COUNTS.at(NOW + 2_100);
    assert_eq!(late.after(known, &[listed(true, NOW + 2_100, 7)]).recheck_asked(), None, "no request went to it");
    let (rotation, transitions) = late.apply(known, listed(true, NOW + 2_100, 8));
    assert_eq!((rotation.recheck_asked(), transitions), (Some((NOW + 2_100, NOW + 2_100)), vec![]));
    let overdue = COUNTS.at(NOW + 3_200).after(rotation, &[listed(true, NOW + 3_200, 8)]);
    assert_eq!(overdue.recheck_asked(), Some((NOW + 2_100, NOW + 3_200)), "its time is over for sure");
}

#[test]
fn one_that_is_still_ejected_past_its_time_was_back_where_envoy_keeps_no_counts() {
    let next = [returned(Basis::Inferred), ejected(EjectReason::Other, Basis::Inferred, 2)];
    let known = WITNESS.at(NOW + 1_600).after(out(), &[listed(true, NOW + 1_600, 7)]);
    let after = |rotation, since: Millis, requests| {
        WITNESS.at(NOW + since).apply(rotation, listed(true, NOW + since, requests)).1
    };
    assert_eq!(after(known, 2_100, 8), next, "requests went to it");
    assert_eq!(after(known, 2_100, 7), []);
    assert_eq!(after(out(), 2_100, 7), [], "counts from before all workers knew say little");
    assert_eq!(after(known, 60_000, 7), [], "nobody tried it: the ejection lasts longer than the rule says");
    let panic = Scene { panic_until: NOW + 9_000, ..WITNESS.at(NOW + 2_100) };
    assert_eq!(panic.apply(known, listed(true, NOW + 2_100, 8)).1, [], "in panic requests go to ejected endpoints");
}

#[test]
fn the_count_proves_a_return_between_two_lists_or_refutes_it() {
    let evidence = Evidence::EjectedAgain { reason: EjectReason::Consecutive5xx, since: 0 };
    let next = [returned(Basis::Inferred), ejected(EjectReason::Consecutive5xx, Basis::Inferred, 2)];
    assert_eq!(COUNTS.at(NOW + 2_200).apply(out(), evidence).1, next);
    assert_eq!(COUNTS.apply(Rotation::default(), evidence).1, [], "it is not ejected");

    let rechecked = COUNTS.at(NOW + 3_200).after(out(), &[listed(true, NOW + 3_200, 7), listed(true, NOW + 3_400, 7)]);
    let after = |counted| COUNTS.after(rechecked, &[Evidence::NoneUnseen { counted }]).recheck_asked();
    assert_eq!(after(NOW + 3_100), Some((NOW + 3_200, NOW + 3_400)), "a count from before says nothing");
    assert_eq!(after(NOW + 3_300), Some((NOW + 3_400, NOW + 3_400)));
    assert_eq!(after(NOW + 3_400), None);
}

#[test]
fn the_clock_ends_an_ejection_that_must_be_over() {
    assert_eq!(ALONE.at(NOW + 3_099).apply(out(), Evidence::Clock).1, []);
    assert_eq!(ALONE.at(NOW + 3_100).apply(out(), Evidence::Clock).1, [returned(Basis::Inferred)]);
    assert_eq!(WITNESS.at(NOW + 6_099).apply(out(), Evidence::Clock).1, [], "an answer may come yet");
    assert_eq!(WITNESS.at(NOW + 6_100).apply(out(), Evidence::Clock).1, [returned(Basis::Inferred)]);
}

#[test]
fn a_threshold_changes_nothing_at_an_ejected_endpoint() {
    for scene in [ALONE, WITNESS] {
        assert_eq!(scene.at(NOW + 50).apply(out(), threshold(GatewayError)), (out(), vec![]));
    }
}

#[test]
fn an_ejection_begins_when_its_threshold_was_reached() {
    let confirmed = Evidence::Threshold { kind: LocalOrigin, first: true, at: NOW - 200 };
    let (rotation, _) = ALONE.apply(Rotation::default(), confirmed);
    assert_eq!(rotation.ejection().map(|it| (it.at, it.due)), Some((NOW - 200, NOW + 1_800)));
}

#[test]
fn a_suspicion_keeps_its_first_time() {
    let renewed = WITNESS.at(NOW + 80).after(suspected(Http5xx), &[threshold(Http5xx)]);
    let (_, transitions) = WITNESS.at(NOW + 120).apply(renewed, listed(false, NOW + 100, 0));
    assert_eq!(transitions, [Transition::Refuted]);
    let early = WITNESS.at(NOW + 120).apply(suspected(Http5xx), listed(false, NOW + 99, 0));
    assert_eq!(early, (WITNESS.at(NOW + 120).after(suspected(Http5xx), &[listed(false, NOW + 99, 0)]), vec![]));
}

#[test]
fn a_stale_list_decides_nothing_in_any_state() {
    let back = WITNESS.at(NOW + 3_000).after(out(), &[listed(false, NOW + 2_990, 7)]);
    let suspected = WITNESS.at(NOW + 3_001).after(back, &[threshold(Http5xx)]);
    let awaiting = COUNTS.at(NOW + 3_001).after(back, &[listed(true, NOW + 3_001, 7)]);
    assert!(suspected.is_undecided() && awaiting.awaits_cause() && awaiting.is_undecided());
    for rotation in [back, suspected, awaiting] {
        assert!(!rotation.is_ejection_news(NOW + 3_000) && rotation.is_ejection_news(NOW + 3_001));
        let (next, transitions) = WITNESS.at(NOW + 3_010).apply(rotation, listed(true, NOW + 3_000, 7));
        assert_eq!((next.ejection(), transitions), (None, vec![Transition::ViewStale]));
    }
}

#[test]
fn while_a_cause_is_waited_for_further_thresholds_count_as_causes() {
    let one = COUNTS.after(awaiting_cause(), &[threshold(Http5xx)]);
    let (_, transitions) = COUNTS.at(NOW + 10).apply(one, listed(true, NOW + 9, 7));
    assert_eq!(transitions, [ejected(EjectReason::Consecutive5xx, Basis::Witnessed, 1)], "the one that was seen");
    let two = COUNTS.after(one, &[threshold(GatewayError)]);
    let (rotation, transitions) = COUNTS.at(NOW + 10).apply(two, listed(true, NOW + 9, 7));
    assert!(rotation.awaits_cause() && transitions.is_empty(), "either of two");
    let (_, transitions) = COUNTS.at(NOW + 10).apply(rotation, Evidence::Cause(None));
    assert_eq!(transitions, [ejected(EjectReason::Other, Basis::Witnessed, 1)], "nothing tells which");
}

#[test]
fn where_rates_eject_too_only_the_count_tells_that_a_streak_was_the_cause() {
    let scene = Scene { ejects_by_rate: true, ..COUNTS };
    let waiting = scene.after(suspected(Http5xx), &[listed(true, NOW, 7)]);
    assert!(waiting.awaits_cause());
    for (counted, told) in
        [(None, EjectReason::Other), (Some(EjectReason::Consecutive5xx), EjectReason::Consecutive5xx)]
    {
        let (_, transitions) = scene.at(NOW + 10).apply(waiting, Evidence::Cause(counted));
        assert_eq!(transitions, [ejected(told, Basis::Witnessed, 1)]);
    }
}

#[test]
fn a_cause_that_is_waited_for_is_decided_without_an_answer_too() {
    let seen = COUNTS.after(awaiting_cause(), &[threshold(Http5xx)]);
    assert_eq!(
        ALONE.apply(seen, Evidence::AnswerMissing).1,
        [ejected(EjectReason::Consecutive5xx, Basis::Inferred, 1)]
    );
    let capped = Scene { ejected: 1, ..WITNESS.at(NOW + 3_000) };
    assert_eq!(capped.apply(seen, Evidence::AnswerMissing), (awaiting_cause(), vec![]));
    assert_eq!(ALONE.apply(awaiting_cause(), Evidence::AnswerMissing), (awaiting_cause(), vec![]), "nothing was seen");
}

#[test]
fn the_cap_counts_what_was_ejected_when_the_threshold_was_reached_and_what_the_list_shows() {
    let then = Scene { ejected: 1, ..WITNESS }.after(Rotation::default(), &[threshold(Http5xx)]);
    let blocked = [Transition::Refuted, Transition::Blocked(BlockedReason::MaxEjectionPercent)];
    assert_eq!(WITNESS.at(NOW + 200).apply(then, listed(false, NOW + 100, 0)).1, blocked);
    let counts = Some(HostCounts::default());
    let shown = Listed { ejected: false, asked: NOW + 100, previous: 0, counts, cluster_ejected: 1 };
    assert_eq!(WITNESS.at(NOW + 200).apply(suspected(Http5xx), Evidence::Listed(shown)).1, blocked);
}

#[test]
fn requests_are_compared_with_those_of_the_last_list_that_told_something() {
    let known = WITNESS.at(NOW + 1_600).after(out(), &[listed(true, NOW + 1_600, 7)]);
    let again = WITNESS.at(NOW + 2_100).after(known, &[listed(true, NOW + 2_100, 8)]);
    assert_eq!(again.ejection().map(|it| it.at), Some(NOW + 2_100));
    assert_eq!(WITNESS.at(NOW + 2_110).apply(again, listed(true, NOW + 2_110, 8)).1, [], "the same requests");

    let rechecked = COUNTS.at(NOW + 2_100).after(
        COUNTS.at(NOW + 1_600).after(out(), &[listed(true, NOW + 1_600, 7)]),
        &[listed(true, NOW + 2_100, 8), Evidence::NoneUnseen { counted: NOW + 2_100 }],
    );
    let later = COUNTS.at(NOW + 2_200).after(rechecked, &[listed(true, NOW + 2_200, 8)]);
    assert_eq!(later.recheck_asked(), None, "no further request went to it");
}

#[test]
fn one_that_left_has_no_past() {
    let gone = |rotation| WITNESS.at(NOW + 500).apply(rotation, Evidence::Gone(Basis::Witnessed));
    let removed = Transition::Removed { basis: Basis::Witnessed, since: NOW, ejection: 1 };
    assert_eq!(gone(out()), (Rotation::default(), vec![removed]));
    assert_eq!(gone(suspected(Http5xx)), (Rotation::default(), vec![]));
}

#[test]
fn a_count_of_requests_that_falls_is_that_of_another_host() {
    let known = WITNESS.after(Rotation::default(), &[listed(false, NOW, 7)]);
    let counts = |requests| Some(HostCounts { requests, errors: 0 });
    assert!(!known.is_of_another_host(counts(7)) && known.is_of_another_host(counts(6)));
    assert!(!known.is_of_another_host(None));
}
