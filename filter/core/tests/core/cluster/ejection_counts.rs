//! Tests of what Envoy's count of ejections adds to its list of endpoints.

use super::host_list::host;
use super::story::{HOME, NEAR, REFUSED, Story, names};
use filter_core::admin::host_lists::HostStatus;
use filter_core::admin::stats::Ejections;
use filter_core::cluster::{self, EvaluationContext};
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::endpoint::reason::{Basis, BlockedReason, EjectReason};
use filter_core::event::{Event, EventKind};

pub(super) const BY_5XX: EjectReason = EjectReason::Consecutive5xx;
const BY_REFUSAL: EjectReason = EjectReason::ConsecutiveLocalOriginFailure;

/// Ejections of half a second, which may be over before all workers even know of them.
pub(super) fn short() -> Story {
    Story::new(
        r#"{"consecutive5xxErrors": 1, "interval": "500ms", "baseEjectionTime": "500ms", "maxEjectionPercent": 100}"#,
    )
}

impl Story {
    /// Envoy's current count: one ejection for each of these reasons since counting began.
    pub(super) fn count(&mut self, reasons: &[EjectReason]) -> Vec<Event> {
        let mut count = Ejections::default();
        reasons.iter().for_each(|reason| count.add(*reason, 1));
        self.counted(Some(count))
    }

    pub(super) fn counted(&mut self, count: Option<Ejections>) -> Vec<Event> {
        self.now += 2;
        let asked = self.now - 1;
        self.with(|state, context| {
            cluster::on_ejection_counts(state, count, asked, &EvaluationContext { has_witness: true, ..*context })
        })
    }

    fn wants_count(&mut self) -> bool {
        self.with(|state, context| cluster::wants_counts(state, context.now))
    }

    /// Envoy's list after some milliseconds: endpoints, whether each is ejected, and how many requests went to it.
    pub(super) fn list(&mut self, millis: u64, hosts: &[(&str, bool, u64)]) -> Vec<Event> {
        self.now += millis;
        let place = |address: &str| if address.starts_with('a') { HOME } else { NEAR };
        let hosts: Vec<HostStatus> = hosts
            .iter()
            .map(|(address, ejected, requests)| HostStatus {
                requests: *requests,
                ..host(address, place(address), *ejected)
            })
            .collect();
        self.answer(1, &hosts)
    }
}

/// An event's name, basis and reason.
pub(super) type Told = (&'static str, Option<Basis>, Option<EjectReason>);

pub(super) fn told(events: &[Event]) -> Vec<Told> {
    let reason = |kind: &EventKind| match kind {
        EventKind::EndpointEjected { reason, .. } => Some(*reason),
        _ => None,
    };
    events.iter().map(|event| (event.kind.name(), event.basis, reason(&event.kind))).collect()
}

pub(super) const RETURNED: Told = ("endpoint_returned", Some(Basis::Witnessed), None);
/// The count shows that the endpoint was back, but not when.
pub(super) const BACK_MEANWHILE: Told = ("endpoint_returned", Some(Basis::Inferred), None);

/// Which endpoint it was that Envoy has counted is concluded.
pub(super) fn ejected_again(reason: EjectReason) -> Told {
    ("endpoint_ejected", Some(Basis::Inferred), Some(reason))
}

pub(super) fn ejected(reason: EjectReason) -> Told {
    ("endpoint_ejected", Some(Basis::Witnessed), Some(reason))
}

#[test]
fn the_cause_of_an_ejection_that_no_attempt_showed_is_asked_for_and_told() {
    let mut story = Story::s1();
    story.list(0, &[("a:1", false, 1), ("b:1", false, 0)]);
    assert!(story.wants_count(), "there was none yet");
    story.count(&[BY_5XX]);
    assert!(story.list(50, &[("a:1", true, 2), ("b:1", false, 0)]).is_empty());
    assert!(story.wants_count() && story.open() == 1);
    assert_eq!(told(&story.count(&[BY_5XX, BY_REFUSAL])), [ejected(BY_REFUSAL)]);
    assert!(!story.wants_count());
}

#[test]
fn of_two_thresholds_that_were_reached_the_count_tells_which_envoy_ejected_for() {
    let rules = r#"{"consecutive5xxErrors": 2, "consecutiveGatewayErrors": 3, "maxEjectionPercent": 100}"#;
    let mut story = Story::new(rules);
    story.list(0, &[("a:1", false, 1)]);
    story.count(&[]);
    for _ in 0..6 {
        story.now += 3;
        story.attempt_with_witness("a:1", HOME, DetectorInput::answered(503));
    }
    assert!(story.list(5, &[("a:1", true, 7)]).is_empty() && story.wants_count());
    assert_eq!(told(&story.count(&[BY_5XX])), [ejected(BY_5XX)]);
    // Without the count, the first streak is the cause.
    let mut story = Story::new(rules);
    for _ in 0..3 {
        story.attempt_with_witness("a:1", HOME, DetectorInput::answered(503));
    }
    assert_eq!(told(&story.list(5, &[("a:1", true, 7)])), [ejected(BY_5XX)]);
}

#[test]
fn a_cause_that_the_count_does_not_prove_is_not_told() {
    let lists = [("a:1", true, 2), ("b:1", true, 0)];
    let mut story = Story::s1();
    story.list(0, &lists.map(|(address, _, requests)| (address, false, requests)));
    story.count(&[]);
    story.list(50, &lists);
    assert_eq!(
        told(&story.count(&[BY_5XX, BY_REFUSAL])),
        [ejected(EjectReason::Other), ejected(EjectReason::Other)],
        "which is whose?"
    );
    // No count arrives.
    for lose in [true, false] {
        let mut story = Story::s1();
        story.list(0, &[("a:1", false, 1)]);
        story.count(&[]);
        story.list(50, &[("a:1", true, 2)]);
        let events = if lose { story.counted(None) } else { story.list(1_000, &[("a:1", true, 2)]) };
        assert_eq!(told(&events), [ejected(EjectReason::Other)]);
    }
}

#[test]
fn an_endpoint_that_was_back_between_two_lists_is_found_by_the_count() {
    let mut story = short();
    story.list(0, &[("a:1", false, 1), ("b:1", false, 0)]);
    story.count(&[]);
    story.attempt_with_witness("a:1", HOME, REFUSED);
    assert_eq!(told(&story.list(5, &[("a:1", true, 2), ("b:1", false, 0)])), [ejected(BY_5XX)]);
    assert!(story.list(400, &[("a:1", true, 2), ("b:1", false, 0)]).is_empty() && !story.wants_count());
    assert!(story.list(300, &[("a:1", true, 4), ("b:1", false, 0)]).is_empty(), "what was under way may have ended");
    assert!(story.wants_count());
    story.count(&[BY_5XX, BY_5XX]);
    assert_eq!(story.with(cluster::ask_again_in), Some(0));
    assert_eq!(told(&story.list(5, &[("a:1", true, 4), ("b:1", false, 0)])), [BACK_MEANWHILE, ejected_again(BY_5XX)]);
    assert!(story.list(5, &[("a:1", true, 4), ("b:1", false, 0)]).is_empty(), "once");
}

#[test]
fn one_that_the_list_before_had_in_rotation_cannot_have_been_back_meanwhile() {
    let mut story = short();
    story.list(0, &[("a:1", false, 1), ("c:1", false, 0)]);
    story.count(&[]);
    story.attempt_with_witness("a:1", HOME, REFUSED);
    assert_eq!(told(&story.list(5, &[("a:1", true, 2), ("c:1", false, 0)])), [ejected(BY_5XX)]);
    story.list(400, &[("a:1", true, 2), ("c:1", false, 0)]);
    // It has not failed before, so nothing was known of it.
    story.attempt_with_witness("c:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(300, &[("a:1", true, 4), ("c:1", true, 1)])), [ejected(BY_5XX)]);
    // Workers that do not know yet go on sending requests to it.
    assert!(story.list(5, &[("a:1", true, 4), ("c:1", true, 3)]).is_empty());
    story.count(&[BY_5XX; 3]);
    let events = story.list(5, &[("a:1", true, 4), ("c:1", true, 5)]);
    assert_eq!(told(&events), [BACK_MEANWHILE, ejected_again(BY_5XX)]);
    assert!(events.iter().all(|event| event.endpoint.as_deref() == Some("a:1")), "{events:?}");
}

#[test]
fn an_endpoint_that_was_back_just_before_it_left_is_removed_when_that_has_been_told() {
    const REMOVED: Told = ("endpoint_removed", Some(Basis::Witnessed), None);
    // It was due to return, and nothing shows that it did not.
    const CONCLUDED: Told = ("endpoint_removed", Some(Basis::Inferred), None);
    let both = |requests| [("a:1", true, requests), ("b:1", false, 0)];
    let alone = [("b:1", false, 0)];
    let left = || {
        let mut story = short();
        story.list(0, &[("a:1", false, 1), ("b:1", false, 0)]);
        story.count(&[]);
        story.attempt_with_witness("a:1", HOME, REFUSED);
        assert_eq!(told(&story.list(5, &both(2))), [ejected(BY_5XX)]);
        story.list(400, &both(2));
        story.list(300, &both(4));
        assert!(story.list(20, &alone).is_empty() && story.wants_count());
        story
    };
    let mut story = left();
    story.count(&[BY_5XX, BY_5XX]);
    assert_eq!(told(&story.list(5, &alone)), [BACK_MEANWHILE, ejected_again(BY_5XX), REMOVED]);
    let mut story = left();
    story.count(&[BY_5XX]);
    assert_eq!(told(&story.list(5, &alone)), [CONCLUDED], "it was not ejected again");
    let mut story = left();
    story.now += 600;
    let events =
        story.with(|state, context| cluster::on_tick(state, &EvaluationContext { has_witness: true, ..*context }));
    assert_eq!(told(&events), [CONCLUDED], "no count comes");
    let mut story = left();
    assert_eq!(
        told(&story.list(5, &[("a:1", false, 0), ("b:1", false, 0)])),
        [CONCLUDED],
        "another host has its address"
    );
}

#[test]
fn one_that_the_count_does_not_know_of_did_not_happen_however_late_it_is() {
    let mut story = short();
    story.list(0, &[("a:1", false, 1)]);
    story.count(&[]);
    story.list(5, &[("a:1", true, 2)]);
    story.count(&[BY_5XX]);
    let mut counts = 0;
    for requests in 3..90 {
        assert!(story.list(150, &[("a:1", true, requests)]).is_empty());
        assert!(
            story
                .with(|state, context| cluster::on_tick(state, &EvaluationContext { has_witness: true, ..*context }))
                .is_empty()
        );
        if story.wants_count() {
            counts += 1;
            assert!(story.count(&[BY_5XX]).is_empty());
        }
    }
    assert!((4..20).contains(&counts), "{counts}: seldom, in the end");
    assert_eq!(told(&story.list(5, &[("a:1", false, 90)])), [RETURNED]);
}

#[test]
fn of_two_that_may_have_been_back_it_is_the_one_that_got_requests() {
    let mut story = short();
    story.list(0, &[("a:1", false, 1), ("a:2", false, 1)]);
    story.count(&[]);
    story.list(5, &[("a:1", true, 2), ("a:2", true, 2)]);
    story.count(&[BY_5XX, BY_5XX]);
    story.list(600, &[("a:1", true, 2), ("a:2", true, 3)]);
    assert!(story.wants_count());
    story.count(&[BY_5XX, BY_5XX, BY_5XX]);
    let events = story.list(5, &[("a:1", true, 2), ("a:2", true, 3)]);
    assert_eq!(names(&events), ["endpoint_returned", "endpoint_ejected"]);
    assert!(events.iter().all(|event| event.endpoint.as_deref() == Some("a:2")));
}

#[test]
fn two_of_which_one_was_back_are_told_apart_when_the_other_returns() {
    let mut story = short();
    story.list(0, &[("a:1", false, 1), ("a:2", false, 1)]);
    story.count(&[]);
    story.list(5, &[("a:1", true, 2), ("a:2", true, 2)]);
    story.count(&[BY_5XX, BY_5XX]);
    story.list(600, &[("a:1", true, 3), ("a:2", true, 3)]);
    story.count(&[BY_5XX, BY_5XX, BY_5XX]);
    for _ in 0..10 {
        assert!(story.list(150, &[("a:1", true, 3), ("a:2", true, 3)]).is_empty(), "which of them?");
    }
    let events = story.list(5, &[("a:1", false, 3), ("a:2", true, 3)]);
    let endpoints: Vec<_> = events.iter().map(|event| event.endpoint.as_deref().unwrap_or("")).collect();
    assert_eq!(names(&events), ["endpoint_returned", "endpoint_returned", "endpoint_ejected"]);
    assert_eq!(endpoints, ["a:1", "a:2", "a:2"]);
}

#[test]
fn an_ejection_whose_cause_is_asked_for_counts_towards_the_cap() {
    let mut story = Story::new(r#"{"consecutive5xxErrors": 1, "maxEjectionPercent": 50}"#);
    story.list(0, &[("a:1", false, 1), ("b:1", false, 1)]);
    story.count(&[]);
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    let events = story.list(120, &[("a:1", true, 2), ("b:1", false, 2)]);
    assert!(
        matches!(
            events[..],
            [Event { kind: EventKind::EjectionBlocked { reason: BlockedReason::MaxEjectionPercent, .. }, .. }]
        ),
        "{events:?}"
    );
}

#[test]
fn a_count_from_before_an_ejection_that_is_over_makes_no_other_one_unseen() {
    let mut story = short();
    story.list(0, &[("a:1", false, 1)]);
    story.count(&[]);
    for _ in 0..2 {
        story.attempt_with_witness("a:1", HOME, REFUSED);
        assert_eq!(told(&story.list(5, &[("a:1", true, 2)])), [ejected(BY_5XX)]);
        assert_eq!(told(&story.list(900, &[("a:1", false, 2)])), [RETURNED]);
    }
    story.attempt_with_witness("a:1", HOME, REFUSED);
    story.list(5, &[("a:1", true, 3)]);
    story.list(600, &[("a:1", true, 4)]);
    story.count(&[BY_5XX, BY_5XX, BY_5XX]);
    assert!(story.list(5, &[("a:1", true, 4)]).is_empty());
}

#[test]
fn a_count_that_starts_over_is_counted_on() {
    let mut story = short();
    story.list(0, &[("a:1", false, 1)]);
    story.count(&[BY_5XX, BY_5XX]);
    // The cluster was removed and added again.
    story.list(5, &[("a:1", false, 1)]);
    story.count(&[]);
    story.list(5, &[("a:1", true, 2)]);
    assert_eq!(told(&story.count(&[BY_REFUSAL])), [ejected(BY_REFUSAL)]);
    story.list(5, &[("a:1", true, 2)]);
    story.list(700, &[("a:1", true, 3)]);
    story.count(&[BY_REFUSAL, BY_REFUSAL]);
    assert_eq!(told(&story.list(5, &[("a:1", true, 3)])), [BACK_MEANWHILE, ejected_again(BY_REFUSAL)]);
}

#[test]
fn while_all_is_well_the_count_is_asked_for_seldom() {
    let mut story = Story::s1();
    let list = [("a:1", false, 1)];
    story.list(0, &list);
    story.count(&[]);
    story.list(59_000, &list);
    assert!(!story.wants_count());
    story.list(2_000, &list);
    assert!(story.wants_count());
    // Envoy keeps no such statistic; it is still asked for, just as rarely.
    story.counted(None);
    story.list(5, &list);
    assert!(!story.wants_count());
    assert!(story.with(cluster::on_tick).is_empty());
}
