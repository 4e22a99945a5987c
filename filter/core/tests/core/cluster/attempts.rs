//! Tests of what attempts show without a witness.

use super::story::{FAR, HOME, NEAR, REFUSED, Story, names};
use filter_core::cluster::members::endpoint_hash;
use filter_core::cluster::{self, AttemptObservation, ClusterState};
use filter_core::endpoint::detector::AttemptTimes;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::event::{EventKind, FailoverEnd, LastAttempt};
use filter_core::locality::Locality;
use filter_core::metric::Metric;

#[test]
fn a_zone_that_fails_gives_each_event_once_with_localities_and_durations() {
    let mut story = Story::s1();
    assert!(story.ok("a:1", HOME).is_empty());
    assert_eq!(names(&story.attempt("a:1", HOME, REFUSED)), ["error_streak", "endpoint_ejected"]);
    let started = story.ok("b:1", NEAR);
    assert_eq!(names(&started), ["failover_started"]);
    let EventKind::FailoverStarted(route) = &started[0].kind else { panic!("no route") };
    assert_eq!((route.from.as_str(), route.to.as_str(), route.tier.as_str()), (HOME, NEAR, "same_region"));
    assert_eq!((route.share, route.healthy_at_home, route.endpoints_at_home), (1.0, 0, 1));
    for _ in 0..9 {
        assert!(story.pass(500).is_empty());
        assert!(story.ok("b:1", NEAR).is_empty());
    }
    assert!(story.pass(700).is_empty(), "5.2 s: due, but Envoy returns it on a tick of its interval");
    let returned = story.ok("a:1", HOME);
    assert_eq!(names(&returned), ["endpoint_returned"]);
    let EventKind::EndpointReturned { ejected_seconds, ejection } = returned[0].kind else { panic!("no return") };
    assert_eq!((ejected_seconds, ejection), (5.2, 1));
    let mut events = Vec::new();
    for _ in 0..10 {
        events.extend(story.pass(500));
        events.extend(story.ok("a:1", HOME));
    }
    assert_eq!(names(&events), ["failover_ended"]);
    let EventKind::FailoverEnded { seconds, requests_away, because, .. } = &events[0].kind else { panic!("no end") };
    assert_eq!((*requests_away, *because), (10, FailoverEnd::Recovered));
    assert_eq!(*seconds, 4.5, "to the last attempt served away");
    assert_eq!(story.open(), 0);
}

#[test]
fn without_traffic_an_ejection_ends_when_envoy_must_have_ended_it() {
    let mut story = Story::s1();
    story.attempt("a:1", HOME, REFUSED);
    assert!(story.pass(6_000).is_empty(), "Envoy's tick may be a little late");
    assert_eq!(names(&story.pass(100)), ["endpoint_returned"]);
}

#[test]
fn an_attempt_soon_after_an_ejection_shows_no_return_even_when_that_is_due() {
    let mut story = Story::new(
        r#"{"consecutive5xxErrors": 1, "interval": "1s", "baseEjectionTime": "500ms", "maxEjectionPercent": 100}"#,
    );
    story.attempt("a:1", HOME, DetectorInput::answered(500));
    story.now += 800;
    assert!(story.ok("a:1", HOME).is_empty(), "workers may not have heard of the ejection yet");
}

#[test]
fn an_endpoint_that_still_fails_is_ejected_again_for_longer() {
    let mut story = Story::s1();
    story.attempt("a:1", HOME, REFUSED);
    story.pass(5_100);
    let again = story.attempt("a:1", HOME, REFUSED);
    assert_eq!(names(&again), ["endpoint_returned", "error_streak", "endpoint_ejected"]);
    let EventKind::EndpointEjected { ejection, .. } = again[2].kind else { panic!("not ejected") };
    assert_eq!(ejection, 2);
    assert!(story.pass(11_000).is_empty());
    assert_eq!(names(&story.pass(100)), ["endpoint_returned"]);
}

#[test]
fn attempts_under_way_when_it_was_ejected_show_no_return() {
    let mut story = Story::s1();
    story.attempt("a:1", HOME, REFUSED);
    story.now += 1_000;
    assert!(story.ok("a:1", HOME).is_empty());
    story.now += 2_000;
    assert_eq!(names(&story.ok("a:1", HOME)), ["endpoint_returned"], "chosen long after: active health checks do that");
}

#[test]
fn in_panic_an_attempt_at_an_ejected_endpoint_shows_no_return() {
    for (min_health, returned) in [(50, vec!["endpoint_returned"]), (51, vec![])] {
        let mut story = Story::new(&format!(
            r#"{{"consecutive5xxErrors": 1, "maxEjectionPercent": 100, "minHealthPercent": {min_health}}}"#
        ));
        story.ok("b:1", NEAR);
        let members = [(Locality::parse(HOME), 2), (Locality::parse(NEAR), 2)];
        story.with(|state, context| cluster::set_members(state, None, &members, &[], context));
        story.attempt("a:1", HOME, DetectorInput::answered(500));
        story.now += 2_000;
        assert_eq!(names(&story.ok("a:1", HOME)), returned, "one of two is in rotation at home");
    }
}

#[test]
fn the_percent_cap_keeps_endpoints_in_rotation() {
    let mut story = Story::new(r#"{"consecutive5xxErrors": 2}"#);
    story.total = Some(9);
    let error = DetectorInput::answered(500);
    assert!(story.attempt("a:1", HOME, error).is_empty());
    assert_eq!(names(&story.attempt("a:1", HOME, error)), ["error_streak"]);
    for _ in 0..10 {
        assert!(story.attempt("a:1", HOME, error).is_empty(), "an unbroken streak is told once");
    }
    story.total = Some(10);
    story.ok("a:1", HOME);
    story.attempt("a:1", HOME, error);
    assert_eq!(names(&story.attempt("a:1", HOME, error)), ["error_streak", "endpoint_ejected"]);
}

#[test]
fn no_healthy_upstream_is_told_once_and_ends_with_the_first_success() {
    let mut story = Story::s1();
    assert_eq!(
        names(&story.with(|state, context| cluster::on_no_healthy_upstream(state, Some(4), context))),
        ["no_healthy_upstream"]
    );
    assert!(story.with(|state, context| cluster::on_no_healthy_upstream(state, None, context)).is_empty());
    assert!(story.ok("a:1", HOME).is_empty(), "under way on another worker");
    story.now += 2_500;
    let events = story.ok("a:1", HOME);
    assert!(matches!(events[0].kind, EventKind::UpstreamRecovered { seconds: 2.5 }));
    let empty =
        |story: &mut Story| names(&story.with(|state, context| cluster::on_no_healthy_upstream(state, None, context)));
    assert!(empty(&mut story).is_empty(), "another worker has not yet heard of it");
    story.now += 60;
    assert_eq!(empty(&mut story), ["no_healthy_upstream"]);
}

#[test]
fn a_cluster_that_lives_elsewhere_is_not_in_failover() {
    let mut story = Story::s1();
    for _ in 0..20 {
        assert!(story.ok("f:1", FAR).is_empty());
    }
    let events = story.attempt("f:1", FAR, REFUSED);
    assert_eq!(names(&events), ["error_streak", "endpoint_ejected"]);
    assert!(story.ok("f:2", FAR).is_empty());
}

#[test]
fn home_that_leaves_during_a_failover_ends_it_for_topology() {
    let mut story = Story::s1();
    let place = |text: &str, n| (Locality::parse(text), n);
    story.with(|state, context| cluster::set_members(state, None, &[place(HOME, 1)], &[], context));
    story.attempt("a:1", HOME, REFUSED);
    story.ok("b:1", NEAR);
    let ejected = |story: &mut Story| {
        let levels = story.with(|state, _| state.levels("mockb"));
        levels.iter().filter(|level| level.metric == Metric::EjectedEndpoints).map(|level| level.value).sum::<u64>()
    };
    assert_eq!(ejected(&mut story), 1);
    story.with(|state, context| {
        cluster::set_members(state, None, &[place(HOME, 0), place(NEAR, 1)], &[endpoint_hash("a:1")], context)
    });
    assert_eq!(ejected(&mut story), 0, "it left, and did not return");
    let events = story.pass(100);
    assert!(matches!(events[0].kind, EventKind::FailoverEnded { because: FailoverEnd::Topology, .. }));
}

#[test]
fn one_of_several_endpoints_lost_is_no_failover_until_traffic_spills() {
    let mut story = Story::s1();
    let counts = [(Locality::parse(HOME), 3), (Locality::parse(NEAR), 3)];
    story.with(|state, context| cluster::set_members(state, None, &counts, &[], context));
    story.attempt("a:1", HOME, REFUSED);
    assert!(story.ok("b:1", NEAR).is_empty());
    let mut events = Vec::new();
    for i in 0..10 {
        story.now += 120;
        events.extend(story.ok(if i % 5 == 0 { "b:1" } else { "a:2" }, if i % 5 == 0 { NEAR } else { HOME }));
    }
    assert_eq!(names(&events), ["failover_started"]);
    let EventKind::FailoverStarted(route) = &events[0].kind else { panic!("no route") };
    assert_eq!((route.healthy_at_home, route.endpoints_at_home), (2, 3));
}

#[test]
fn what_cannot_be_decoded_is_nothing_known() {
    for bytes in [&b""[..], b"\x02", b"\x01\xff\xff\xff\xff\xff", b"garbage"] {
        assert_eq!(ClusterState::decode(bytes), ClusterState::default());
    }
}

#[test]
fn the_value_stays_bounded() {
    let mut story = Story::new("{}");
    story.with(|state, context| {
        for i in 0..1_200 {
            let (endpoint, locality) =
                (format!("10.0.{}.{}:80", i / 250, i % 250), Locality::parse(&format!("r/z{i}")));
            let input = DetectorInput::answered(500);
            let last = LastAttempt::default();
            let (endpoint, times) = (endpoint.as_str(), AttemptTimes::at_once(context.now * 1_000));
            let (workload, started, total) = (None, None, None);
            let seen =
                AttemptObservation { endpoint, locality: &locality, workload, input, times, started, last, total };
            cluster::on_attempt(state, &seen, context);
        }
    });
    assert!(story.bytes.len() < 200_000, "{}", story.bytes.len());
}

#[test]
fn a_client_that_leaves_does_not_swallow_a_streak_that_was_not_sure() {
    let mut story = Story::new(
        r#"{"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 3, "maxEjectionPercent": 100}"#,
    );
    let begun = story.now;
    let mut over = |had: u64, ended: u64, failure: Option<u16>| {
        story.now = begun + ended;
        let locality = Locality::parse(HOME);
        story.with(|state, context| {
            let input = DetectorInput { connected: true, status: None, failure };
            let times =
                AttemptTimes { connected: (begun + had) * 1_000, ..AttemptTimes::at_once((begun + ended) * 1_000) };
            let (workload, started, last) = (None, Some(begun + had), LastAttempt::default());
            let (endpoint, total) = ("a:1", Some(4));
            let seen =
                AttemptObservation { endpoint, locality: &locality, workload, input, times, started, last, total };
            cluster::on_attempt(state, &seen, context)
        })
    };
    for (had, ended) in [(10, 210), (20, 220), (30, 230)] {
        assert!(over(had, ended, Some(504)).is_empty());
    }
    assert_eq!(names(&over(240, 460, None)), ["error_streak", "endpoint_ejected"]);
}

#[test]
fn streaks_of_hosts_that_turn_out_to_be_a_members_are_none_of_the_aggregates() {
    let mut story = Story::new(r#"{"consecutive5xxErrors": 5}"#);
    for endpoint in ["a:1", "b:1"] {
        (0..5).for_each(|_| _ = story.attempt(endpoint, HOME, DetectorInput::answered(500)));
    }
    assert!(story.open() > 0);
    let mut owned = [endpoint_hash("a:1"), endpoint_hash("c:1")];
    owned.sort_unstable();
    story.with(|state, _| cluster::on_owned(state, &owned));
    assert!(story.open() > 0, "that of another host goes on");
    let mut owned = [endpoint_hash("a:1"), endpoint_hash("b:1")];
    owned.sort_unstable();
    story.with(|state, _| cluster::on_owned(state, &owned));
    assert_eq!(story.open(), 0);
}
