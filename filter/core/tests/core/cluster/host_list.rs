//! Tests of Envoy's list of hosts against what attempts showed.

use super::story::{HOME, NEAR, REFUSED, Story, names};
use filter_core::admin::endpoint_configs::EndpointConfig;
use filter_core::admin::host_lists::HostStatus;
use filter_core::cluster::host_totals::Growth;
use filter_core::cluster::{self, AttemptObservation, ClusterState, EvaluationContext, Origin};
use filter_core::endpoint::detector::AttemptTimes;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::endpoint::reason::{Basis, BlockedReason, EjectReason};
use filter_core::endpoint::rule::Rule;
use filter_core::event::{Event, EventKind, FailoverEnd, LastAttempt};
use filter_core::failover::Count;
use filter_core::locality::Locality;

pub(super) fn host(address: &str, locality: &str, ejected: bool) -> HostStatus {
    HostStatus {
        address: address.into(),
        locality: Locality::parse(locality),
        ejected,
        healthy: true,
        ..HostStatus::default()
    }
}

impl Story {
    /// Envoy's current answer, asked for `ago` milliseconds earlier.
    pub(super) fn answer(&mut self, ago: u64, hosts: &[HostStatus]) -> Vec<Event> {
        let asked = self.now - ago;
        self.with(|state, context| {
            cluster::on_host_list(
                state,
                hosts,
                &Growth::default(),
                asked,
                &EvaluationContext { has_witness: true, ..*context },
            )
        })
    }

    /// Envoy's answer after some milliseconds, with the attempts that each locality got since the answer before.
    fn list_with_counts(&mut self, millis: u64, hosts: &[HostStatus], attempts: &[(&str, u32)]) -> Vec<Event> {
        let count = |attempts: u32| Count { attempts, errors: 0 };
        let sums = attempts.iter().map(|(at, attempts)| (Locality::parse(at), count(*attempts))).collect();
        let growth = Growth { since: self.now, sums, ..Growth::default() };
        self.now += millis;
        self.with(|state, context| {
            let context = EvaluationContext { has_witness: true, ..*context };
            cluster::on_host_list(state, hosts, &growth, context.now, &context)
        })
    }

    pub(super) fn attempt_with_witness(&mut self, endpoint: &str, locality: &str, input: DetectorInput) -> Vec<Event> {
        let locality = Locality::parse(locality);
        let (workload, started, total) = (None, Some(self.now), self.total);
        self.with(|state, context| {
            let (last, times) = (LastAttempt::default(), AttemptTimes::at_once(context.now * 1_000));
            let seen =
                AttemptObservation { endpoint, locality: &locality, workload, input, times, started, last, total };
            cluster::on_attempt(state, &seen, &EvaluationContext { has_witness: true, ..*context })
        })
    }
}

fn bases(events: &[Event]) -> Vec<(&'static str, Option<Basis>)> {
    events.iter().map(|event| (event.kind.name(), event.basis)).collect()
}

#[test]
fn an_ejection_waits_for_envoys_word_and_then_has_its_reason() {
    let mut story = Story::s1();
    assert_eq!(names(&story.attempt_with_witness("a:1", HOME, REFUSED)), ["error_streak"]);
    story.now += 5;
    let events = story.answer(4, &[host("a:1", HOME, true), host("b:1", NEAR, false)]);
    assert_eq!(bases(&events), [("endpoint_ejected", Some(Basis::Witnessed))]);
    let EventKind::EndpointEjected { reason, .. } = events[0].kind else { panic!("not ejected") };
    assert_eq!(reason, EjectReason::ConsecutiveLocalOriginFailure);
    assert!(story.answer(1, &[host("a:1", HOME, true), host("b:1", NEAR, false)]).is_empty());
    story.now += 5_000;
    let events = story.answer(1, &[host("a:1", HOME, false), host("b:1", NEAR, false)]);
    assert_eq!(bases(&events), [("endpoint_returned", Some(Basis::Witnessed))]);
    assert_eq!(story.open(), 0);
}

#[test]
fn a_threshold_without_an_ejection_is_blocked_and_says_why() {
    for (cap, reason) in [(10, BlockedReason::MaxEjectionPercent), (100, BlockedReason::NotEnforced)] {
        let mut story = Story::new(&format!(r#"{{"consecutive5xxErrors": 1, "maxEjectionPercent": {cap}}}"#));
        story.attempt_with_witness("a:1", HOME, DetectorInput::answered(500));
        story.now += 50;
        let hosts = [host("a:1", HOME, false), host("b:1", NEAR, false)];
        assert!(story.answer(10, &hosts).is_empty(), "asked too early to tell");
        story.now += 100;
        let mut events = story.answer(10, &hosts);
        if cap == 100 {
            assert!(events.is_empty(), "a success on another worker may have come between");
            assert!(story.attempt_with_witness("a:1", HOME, DetectorInput::answered(500)).is_empty());
            story.now += 150;
            events = story.answer(10, &hosts);
        }
        assert!(matches!(events[0].kind, EventKind::EjectionBlocked { reason: r, .. } if r == reason), "{events:?}");
    }
}

#[test]
fn ejections_that_no_attempt_showed_are_found() {
    let mut story = Story::s1();
    let events = story.answer(1, &[host("a:1", HOME, true), host("b:1", NEAR, false)]);
    assert!(matches!(events[0].kind, EventKind::EndpointEjected { reason: EjectReason::Other, endpoints: 2, .. }));
    assert_eq!(names(&story.ok("b:1", NEAR)), ["failover_started"]);
}

#[test]
fn an_answer_from_before_the_ejection_is_no_return() {
    let mut story = Story::s1();
    story.answer(1, &[host("a:1", HOME, true)]);
    story.now += 1;
    assert!(story.answer(10, &[host("a:1", HOME, false)]).is_empty());
}

#[test]
fn an_ejection_that_outlasts_its_time_is_the_next_one_if_requests_went_to_the_endpoint() {
    let mut story = Story::s1();
    let hosts = |requests| [HostStatus { requests, ..host("a:1", HOME, true) }];
    story.answer(1, &hosts(7));
    story.now += 60_000;
    assert!(story.answer(1, &hosts(7)).is_empty(), "Envoy's rule is another one");
    story.now += 10;
    let events = story.answer(1, &hosts(8));
    assert_eq!(names(&events), ["endpoint_returned", "endpoint_ejected"]);
    assert!(events.iter().all(|event| event.basis == Some(Basis::Inferred)), "no answer shows it");
}

#[test]
fn an_ejected_endpoint_that_leaves_or_is_replaced_is_removed() {
    let counted = |requests, ejected| HostStatus { requests, ..host("a:1", HOME, ejected) };
    for next in
        [vec![], vec![counted(3, false)], vec![HostStatus { locality: Locality::parse(NEAR), ..counted(9, false) }]]
    {
        let mut story = Story::s1();
        story.answer(1, &[counted(7, true)]);
        story.now += 100;
        let events = story.answer(1, &next);
        assert_eq!(names(&events), ["endpoint_removed"], "{next:?}");
        assert_eq!(events[0].basis, Some(Basis::Witnessed));
        assert!(story.answer(1, &next).is_empty());
    }
}

#[test]
fn without_an_answer_for_long_the_rules_decide() {
    let mut story = Story::s1();
    story.attempt_with_witness("a:1", HOME, REFUSED);
    story.now += 2_900;
    assert!(
        story
            .with(|state, context| cluster::on_tick(state, &EvaluationContext { has_witness: true, ..*context }))
            .is_empty()
    );
    story.now += 100;
    let events =
        story.with(|state, context| cluster::on_tick(state, &EvaluationContext { has_witness: true, ..*context }));
    assert_eq!(bases(&events), [("endpoint_ejected", Some(Basis::Inferred))]);
}

#[test]
fn envoys_list_tells_home_from_away() {
    let mut story = Story::s1();
    let hosts = [host("a:1", HOME, true), host("a:2", HOME, false), host("b:1", NEAR, false)];
    story.answer(1, &hosts);
    assert!(story.ok("b:1", NEAR).is_empty(), "one is healthy at home, and the share is not known yet");
    let hosts = [host("a:1", HOME, true), host("a:2", HOME, true), host("b:1", NEAR, false)];
    let events = story.answer(1, &hosts);
    assert_eq!(names(&events).last(), Some(&"failover_started"), "nothing is left at home, and b:1 has served");
    story.now += 1_000;
    let hosts = [host("b:1", NEAR, false)];
    let events = story.answer(1, &hosts);
    let last = events.last().map(|event| &event.kind);
    assert!(matches!(last, Some(EventKind::FailoverEnded { because: FailoverEnd::Topology, .. })), "{events:?}");
}

#[test]
fn envoys_list_outweighs_what_traffic_shows() {
    let mut story = Story::s1();
    story.answer(1, &[host("a:1", HOME, true), host("a:2", HOME, false), host("b:1", NEAR, false)]);
    let seen = [(Locality::parse(HOME), 1), (Locality::parse(NEAR), 1)];
    story.with(|state, context| {
        cluster::set_members(state, None, &seen, &[], &EvaluationContext { has_witness: true, ..*context })
    });
    assert!(story.ok("b:1", NEAR).is_empty(), "a:2 is healthy at home, although it was not seen yet");
}

#[test]
fn an_ejected_endpoint_that_got_requests_when_its_time_was_over_was_back_meanwhile() {
    for (min_health, told) in [(0, vec!["endpoint_returned", "endpoint_ejected"]), (60, vec![])] {
        let mut story = Story::new(&format!(
            r#"{{"interval": "1s", "baseEjectionTime": "5s", "minHealthPercent": {min_health}, "maxEjectionPercent": 100}}"#
        ));
        let requests = |requests| [HostStatus { requests, ..host("a:1", HOME, true) }, host("a:2", HOME, false)];
        story.answer(1, &requests(7));
        story.now += 1_000;
        assert!(story.answer(1, &requests(9)).is_empty(), "under way when it was ejected");
        story.now += 4_500;
        assert!(story.answer(1, &requests(9)).is_empty());
        assert_eq!(names(&story.answer(1, &requests(10))), told, "in panic requests go to it although it is ejected");
    }
}

#[test]
fn where_envoy_can_be_asked_traffic_alone_shows_no_return() {
    let mut story = Story::s1();
    story.answer(1, &[host("a:1", HOME, true), host("b:1", NEAR, false)]);
    story.now += 5_500;
    assert!(story.attempt_with_witness("a:1", HOME, DetectorInput::answered(200)).is_empty());
    assert_eq!(story.with(cluster::ask_again_in), Some(0));
    story.now += 20;
    assert_eq!(names(&story.answer(5, &[host("a:1", HOME, false), host("b:1", NEAR, false)])), ["endpoint_returned"]);
}

#[test]
fn a_witness_that_falls_silent_does_not_keep_a_failover_open() {
    let mut story = Story::s1();
    story.attempt_with_witness("a:1", HOME, REFUSED);
    story.now += 5;
    let unhealthy = HostStatus { healthy: false, ..host("a:2", HOME, false) };
    story.answer(4, &[host("a:1", HOME, true), unhealthy, host("b:1", NEAR, false)]);
    assert_eq!(names(&story.ok("b:1", NEAR)), ["failover_started"]);
    // Answers stop arriving, and the endpoint is repaired.
    assert_eq!(names(&story.pass(6_200)), ["endpoint_returned"]);
    story.ok("a:1", HOME);
    let mut told = Vec::new();
    for _ in 0..60 {
        story.ok("a:1", HOME);
        told.extend(story.pass(100));
    }
    assert_eq!(names(&told), ["failover_ended"]);
}

#[test]
fn one_address_in_two_localities_is_no_host_that_moves() {
    let mut story = Story::new(r#"{"consecutive5xxErrors": 2, "maxEjectionPercent": 100}"#);
    let twice = |ejected| [HostStatus { again: 1, ..host("a:1", HOME, ejected) }, host("b:1", NEAR, false)];
    assert!(story.answer(1, &twice(false)).is_empty());
    let mut told = Vec::new();
    for locality in [HOME, NEAR, HOME, NEAR] {
        story.now += 10;
        told.extend(story.attempt_with_witness("a:1", locality, DetectorInput::answered(503)));
        story.now += 150;
        told.extend(story.answer(1, &twice(told.len() > 1)));
    }
    assert_eq!(names(&told).iter().filter(|name| **name != "error_streak").count(), 1, "{:?}", names(&told));
}

#[test]
fn a_cluster_whose_traffic_only_envoy_counts_is_asked_about_often_while_it_is_away() {
    let mut story = Story::s1();
    let hosts = [host("a:1", HOME, false), host("b:1", NEAR, false)];
    let answer = |story: &mut Story, hosts: &[HostStatus], attempts: &[(&str, u32)]| {
        story.list_with_counts(1_000, hosts, attempts);
        story.with(|state, context| cluster::ask_again_in(state, &EvaluationContext { has_witness: true, ..*context }))
    };
    assert_eq!(answer(&mut story, &hosts, &[(HOME, 100)]), None);
    assert_eq!(answer(&mut story, &hosts[1..], &[(NEAR, 100)]), Some(150));
    // Without traffic there is less to miss.
    let waits = [(); 3].map(|()| answer(&mut story, &hosts[1..], &[]));
    assert_eq!(waits, [Some(150), Some(150), Some(5_000)]);
}

#[test]
fn a_failover_that_takes_a_part_is_told_with_a_list_and_not_by_what_the_one_before_it_showed_of_a_moment() {
    let mut story = Story::s1();
    let mut hosts = [host("a:1", HOME, false), host("a:2", HOME, false), host("b:1", NEAR, false)];
    hosts[2].priority = 1;
    for _ in 0..3 {
        assert_eq!(story.list_with_counts(1_000, &hosts, &[(HOME, 500)]), []);
    }
    hosts[1].healthy = false;
    assert_eq!(story.list_with_counts(1_000, &hosts, &[(HOME, 500), (NEAR, 1)]), []);
    assert_eq!(story.list_with_counts(20, &hosts, &[(HOME, 4), (NEAR, 8)]), []);
    story.now += 990;
    let tick = |state: &mut ClusterState, context: &EvaluationContext<'_>| {
        cluster::on_tick(state, &EvaluationContext { has_witness: true, ..*context })
    };
    assert_eq!(story.with(tick), []);
    let told = story.list_with_counts(10, &hosts, &[(HOME, 350), (NEAR, 150)]);
    let [Event { kind: EventKind::FailoverStarted(route), .. }] = told.as_slice() else { panic!("{told:?}") };
    assert!((0.29..0.33).contains(&route.share), "{}", route.share);
}

/// An endpoint as the balancer uses it.
fn used(address: &str, locality: &str, in_rotation: bool) -> EndpointConfig {
    let (address, locality) = (address.to_owned(), Locality::parse(locality));
    EndpointConfig { address, locality, in_rotation, ..EndpointConfig::default() }
}

impl Story {
    /// Envoy's answer from its configuration dump, and whether it decides all.
    fn dump(&mut self, endpoints: &[EndpointConfig]) -> (Vec<Event>, bool) {
        let asked = self.now - 1;
        self.with(|state, context| {
            let context = EvaluationContext { has_witness: true, ..*context };
            cluster::on_endpoint_configs(state, endpoints, asked, &context)
        })
    }
}

#[test]
fn one_that_is_out_for_longer_than_an_ejection_lasts_may_be_unhealthy() {
    let mut story = Story::new(r#"{"maxEjectionPercent": 100}"#);
    story.with(|state, context| {
        let rule = Rule::configured(context.outlier);
        cluster::on_rule(state, Some((Origin::ControlPlane, &rule, &[])), context.now)
    });
    story.answer(1, &[host("a:1", HOME, true), host("b:1", NEAR, false)]);
    let out = [used("a:1", HOME, false), used("b:1", NEAR, true)];
    // The ejection lasts 30 s, and Envoy ends it up to 10 s later; meanwhile a health check has failed.
    for after in [5, 40, 60, 100] {
        story.now += 1_000 * after;
        let (events, is_decided) = story.dump(&out);
        assert!(events.is_empty() && is_decided == (after < 40), "{events:?}");
    }
    let unhealthy = HostStatus { healthy: false, ..host("a:1", HOME, false) };
    assert_eq!(names(&story.answer(1, &[unhealthy, host("b:1", NEAR, false)])), ["endpoint_returned"]);
    assert!(story.dump(&out).1);
}

#[test]
fn a_degraded_home_is_one_in_the_configuration_dump_too() {
    let mut story = Story::s1();
    story.answer(1, &[host("a:1", HOME, false), host("b:1", NEAR, false)]);
    let degraded = EndpointConfig { degraded: true, ..used("a:1", HOME, true) };
    assert_eq!(story.dump(&[degraded, used("b:1", NEAR, true)]), (vec![], true));
    assert_eq!(names(&story.ok("b:1", NEAR)), ["failover_started"]);
}

#[test]
fn an_attempt_at_the_host_of_before_does_not_remove_the_one_that_was_ejected_since() {
    let mut story = Story::s1();
    let begun = story.now;
    story.answer(1, &[host("a:1", HOME, false)]);
    story.now += 1_000;
    story.answer(1, &[host("a:1", NEAR, true)]);
    for (started, told) in [(begun, vec![]), (begun + 2_000, vec!["endpoint_removed", "error_streak"])] {
        story.now = begun + 3_000;
        let home = Locality::parse(HOME);
        let events = story.with(|state, context| {
            let seen = AttemptObservation {
                endpoint: "a:1",
                locality: &home,
                workload: None,
                input: DetectorInput::answered(503),
                times: AttemptTimes::at_once(context.now * 1_000),
                started: Some(started),
                last: LastAttempt::default(),
                total: Some(1),
            };
            cluster::on_attempt(state, &seen, &EvaluationContext { has_witness: true, ..*context })
        });
        assert_eq!(names(&events), told);
    }
}
