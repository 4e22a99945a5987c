//! A cluster's story from attempts to events, on the pure core: scenario S1's four zones, seen from `ap-northeast-1a`.

use filter_core::cluster::{ClusterState, Observed, Setting};
use filter_core::config::{Config, parse};
use filter_core::detector::Moments;
use filter_core::event::{Event, EventKind, LastAttempt};
use filter_core::locality::Locality;
use filter_core::members::endpoint_hash;
use filter_core::outcome::Charges;
use filter_core::window::Count;

const HOME: &str = "ap-northeast-1/ap-northeast-1a";
const NEAR: &str = "ap-northeast-1/ap-northeast-1b";
const FAR: &str = "cn-hangzhou/cn-hangzhou-h";
const REFUSED: Charges = Charges { connected: false, status: None, failure: Some(503) };

/// A cluster, its configuration and the time; every observation goes through the encoded form, as between workers.
struct Story {
    bytes: Vec<u8>,
    config: Config,
    home: Locality,
    now: u64,
    total: Option<u32>,
}

impl Story {
    fn new(outlier: &str) -> Self {
        let text = format!(r#"{{"outlierDetection": {outlier}, "failover": {{"window": "2s", "endAfter": "2s"}}}}"#);
        let config = parse(text.as_bytes()).expect("configuration").config;
        Self { bytes: Vec::new(), config, home: Locality::parse(HOME), now: 1_000_000, total: Some(4) }
    }

    fn s1() -> Self {
        Self::new(
            r#"{"splitExternalLocalOriginErrors": true, "consecutiveLocalOriginFailures": 1, "consecutive5xxErrors": 1,
                "interval": "1s", "baseEjectionTime": "5s", "maxEjectionPercent": 100}"#,
        )
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut ClusterState, &Setting<'_>) -> R) -> R {
        let mut state = ClusterState::decode(&self.bytes);
        let setting = Setting {
            cluster: "mockb",
            outlier: &self.config.outlier_detection,
            failover: &self.config.failover,
            home: &self.home,
            now: self.now,
            witness: false,
        };
        let result = act(&mut state, &setting);
        self.bytes = state.encode();
        result
    }

    /// One attempt, counted as a worker's flush would count it.
    fn attempt(&mut self, endpoint: &str, locality: &str, charges: Charges) -> Vec<Event> {
        let locality = Locality::parse(locality);
        let (started, total) = (Some(self.now), self.total);
        let errors = u32::from(charges.outcome().is_error());
        self.with(|state, setting| {
            let last = LastAttempt::default();
            let (workload, moments) = (None, Moments::at_once(setting.now * 1_000));
            let seen = Observed { endpoint, locality: &locality, workload, charges, moments, started, last, total };
            let events = state.attempt(&seen, setting);
            state.add_traffic(&[(locality.clone(), Count { attempts: 1, errors })], setting);
            events
        })
    }

    fn ok(&mut self, endpoint: &str, locality: &str) -> Vec<Event> {
        self.attempt(endpoint, locality, Charges::answered(200))
    }

    fn pass(&mut self, millis: u64) -> Vec<Event> {
        self.now += millis;
        self.with(ClusterState::tick)
    }

    fn open(&mut self) -> u32 {
        self.with(|state, _| state.open_findings())
    }
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}

#[test]
fn the_drill_of_s1_gives_each_event_once_with_places_and_durations() {
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
    assert_eq!((*requests_away, *because), (10, "recovered"));
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
    story.attempt("a:1", HOME, Charges::answered(500));
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
fn the_percent_cap_keeps_endpoints_in_rotation() {
    let mut story = Story::new(r#"{"consecutive5xxErrors": 2}"#);
    story.total = Some(9);
    let error = Charges::answered(500);
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
        names(&story.with(|state, setting| state.no_healthy_upstream(Some(4), setting))),
        ["no_healthy_upstream"]
    );
    assert!(story.with(|state, setting| state.no_healthy_upstream(None, setting)).is_empty());
    assert!(story.ok("a:1", HOME).is_empty(), "under way on another worker");
    story.now += 2_500;
    let events = story.ok("a:1", HOME);
    assert!(matches!(events[0].kind, EventKind::UpstreamRecovered { seconds: 2.5 }));
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
    story.with(|state, setting| state.set_members(&[place(HOME, 1)], &[], setting));
    story.attempt("a:1", HOME, REFUSED);
    story.ok("b:1", NEAR);
    let changes = story
        .with(|state, setting| state.set_members(&[place(HOME, 0), place(NEAR, 1)], &[endpoint_hash("a:1")], setting));
    assert_eq!(changes.len(), 1, "the gauge of ejected endpoints goes down without a return");
    let events = story.pass(100);
    assert!(matches!(events[0].kind, EventKind::FailoverEnded { because: "topology", .. }));
}

#[test]
fn one_of_several_endpoints_lost_is_no_failover_until_traffic_spills() {
    let mut story = Story::s1();
    let counts = [(Locality::parse(HOME), 3), (Locality::parse(NEAR), 3)];
    story.with(|state, setting| state.set_members(&counts, &[], setting));
    story.attempt("a:1", HOME, REFUSED);
    assert!(story.ok("b:1", NEAR).is_empty());
    let mut events = Vec::new();
    for i in 0..10 {
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
    story.with(|state, setting| {
        for i in 0..1_200 {
            let (endpoint, locality) =
                (format!("10.0.{}.{}:80", i / 250, i % 250), Locality::parse(&format!("r/z{i}")));
            let charges = Charges::answered(500);
            let last = LastAttempt::default();
            let (endpoint, moments) = (endpoint.as_str(), Moments::at_once(setting.now * 1_000));
            let (workload, started, total) = (None, None, None);
            let seen = Observed { endpoint, locality: &locality, workload, charges, moments, started, last, total };
            state.attempt(&seen, setting);
        }
    });
    assert!(story.bytes.len() < 200_000, "{}", story.bytes.len());
}

mod witnessed {
    use super::*;
    use filter_core::event::Basis;
    use filter_core::witness::Witnessed;

    fn host(address: &str, locality: &str, ejected: bool) -> Witnessed {
        Witnessed { address: address.into(), locality: Locality::parse(locality), ejected, healthy: true }
    }

    impl Story {
        /// Envoy's answer of now, asked for `ago` milliseconds before.
        fn answer(&mut self, ago: u64, hosts: &[Witnessed]) -> Vec<Event> {
            let asked = self.now - ago;
            self.with(|state, setting| state.witness(hosts, asked, &Setting { witness: true, ..*setting }).0)
        }

        fn attempt_with_witness(&mut self, endpoint: &str, locality: &str, charges: Charges) -> Vec<Event> {
            let locality = Locality::parse(locality);
            let (workload, started, total) = (None, Some(self.now), self.total);
            self.with(|state, setting| {
                let (last, moments) = (LastAttempt::default(), Moments::at_once(setting.now * 1_000));
                let seen = Observed { endpoint, locality: &locality, workload, charges, moments, started, last, total };
                state.attempt(&seen, &Setting { witness: true, ..*setting })
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
        assert_eq!(reason, "consecutive_local_origin_failure");
        assert!(story.answer(1, &[host("a:1", HOME, true), host("b:1", NEAR, false)]).is_empty());
        story.now += 5_000;
        let events = story.answer(1, &[host("a:1", HOME, false), host("b:1", NEAR, false)]);
        assert_eq!(bases(&events), [("endpoint_returned", Some(Basis::Witnessed))]);
        assert_eq!(story.open(), 0);
    }

    #[test]
    fn a_threshold_without_an_ejection_is_blocked_and_says_why() {
        for (cap, reason) in [(10, "max_ejection_percent"), (100, "not_enforced")] {
            let mut story = Story::new(&format!(r#"{{"consecutive5xxErrors": 1, "maxEjectionPercent": {cap}}}"#));
            story.attempt_with_witness("a:1", HOME, Charges::answered(500));
            story.now += 50;
            let hosts = [host("a:1", HOME, false), host("b:1", NEAR, false)];
            assert!(story.answer(10, &hosts).is_empty(), "asked too early to tell");
            story.now += 100;
            let events = story.answer(10, &hosts);
            assert!(
                matches!(events[0].kind, EventKind::EjectionBlocked { reason: r, .. } if r == reason),
                "{events:?}"
            );
        }
    }

    #[test]
    fn ejections_that_no_attempt_showed_are_found() {
        let mut story = Story::s1();
        let events = story.answer(1, &[host("a:1", HOME, true), host("b:1", NEAR, false)]);
        assert!(matches!(events[0].kind, EventKind::EndpointEjected { reason: "other", endpoints: 2, .. }));
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
    fn an_ejection_that_outlasts_its_time_is_the_next_one() {
        let mut story = Story::s1();
        let hosts = [host("a:1", HOME, true)];
        story.answer(1, &hosts);
        story.now += 6_100;
        assert!(story.answer(1, &hosts).is_empty(), "Envoy's tick may be a little late");
        story.now += 10;
        assert_eq!(names(&story.answer(1, &hosts)), ["endpoint_returned", "endpoint_ejected"]);
    }

    #[test]
    fn without_an_answer_for_long_the_rules_decide() {
        let mut story = Story::s1();
        story.attempt_with_witness("a:1", HOME, REFUSED);
        story.now += 2_900;
        assert!(story.with(|state, setting| state.tick(&Setting { witness: true, ..*setting })).is_empty());
        story.now += 100;
        let events = story.with(|state, setting| state.tick(&Setting { witness: true, ..*setting }));
        assert_eq!(bases(&events), [("endpoint_ejected", Some(Basis::Inferred))]);
    }

    #[test]
    fn envoys_list_tells_home_from_away() {
        let mut story = Story::s1();
        let hosts = [host("a:1", HOME, true), host("a:2", HOME, false), host("b:1", NEAR, false)];
        story.answer(1, &hosts);
        assert!(story.ok("b:1", NEAR).is_empty(), "one is healthy at home, and the share is not known yet");
        let hosts = [host("a:1", HOME, true), host("a:2", HOME, true), host("b:1", NEAR, false)];
        story.answer(1, &hosts);
        assert_eq!(names(&story.ok("b:1", NEAR)), ["failover_started"]);
        story.now += 1_000;
        let hosts = [host("b:1", NEAR, false)];
        let events = story.answer(1, &hosts);
        assert!(matches!(events[0].kind, EventKind::FailoverEnded { because: "topology", .. }), "{events:?}");
    }

    #[test]
    fn envoys_list_outweighs_what_traffic_shows() {
        let mut story = Story::s1();
        story.answer(1, &[host("a:1", HOME, true), host("a:2", HOME, false), host("b:1", NEAR, false)]);
        let seen = [(Locality::parse(HOME), 1), (Locality::parse(NEAR), 1)];
        story.with(|state, setting| state.set_members(&seen, &[], &Setting { witness: true, ..*setting }));
        assert!(story.ok("b:1", NEAR).is_empty(), "a:2 is healthy at home, although it was not seen yet");
    }

    #[test]
    fn a_return_that_was_seen_tells_when_envoy_ticks() {
        let mut story = Story::s1();
        let (a, b) = (host("a:1", HOME, true), host("b:1", NEAR, true));
        story.answer(1, &[a.clone(), host("b:1", NEAR, false)]);
        story.now += 5_280;
        story.answer(1, &[a, host("b:1", NEAR, false)]);
        story.now += 20;
        // a:1 is back: Envoy ticked within the last 21 ms, and does so every second.
        assert_eq!(
            names(&story.answer(1, &[host("a:1", HOME, false), host("b:1", NEAR, false)])),
            ["endpoint_returned"]
        );
        story.now += 600;
        assert_eq!(names(&story.answer(1, &[host("a:1", HOME, false), b.clone()])), ["endpoint_ejected"]);
        // b:1's time is over 5 s later; the tick after that comes 400 ms later, and a little is allowed for.
        story.now += 5_000 + 400 + 113;
        assert_eq!(names(&story.answer(1, &[host("a:1", HOME, false), b.clone()])), Vec::<&str>::new());
        story.now += 1;
        let events = story.answer(1, &[host("a:1", HOME, false), b]);
        assert_eq!(names(&events), ["endpoint_returned", "endpoint_ejected"]);
    }
}
