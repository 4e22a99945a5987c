//! A cluster of which only attempts that failed are seen: Envoy's counts of its hosts show the others.

use super::host_list::host;
use super::story::{HOME, NEAR, Story, names};
use filter_core::admin::host_lists::HostStatus;
use filter_core::admin::stats;
use filter_core::cluster::host_totals::HostTotals;
use filter_core::cluster::{self, AttemptObservation, EvaluationContext};
use filter_core::endpoint::detector::AttemptTimes;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::endpoint::reason::EjectReason;
use filter_core::event::{Event, EventKind, LastAttempt};
use filter_core::locality::Locality;

/// The cluster, and what Envoy has counted of its two hosts, one at home and one away.
struct Lean {
    story: Story,
    totals: HostTotals,
    hosts: [HostStatus; 2],
}

impl Lean {
    fn new(outlier: &str) -> Self {
        let hosts = [host("a:1", HOME, false), host("b:1", NEAR, false)];
        let mut lean = Self { story: Story::new(outlier), totals: HostTotals::default(), hosts };
        lean.list();
        lean
    }

    fn with_context<R>(&mut self, act: impl FnOnce(&mut cluster::ClusterState, &EvaluationContext<'_>) -> R) -> R {
        self.story.with(|state, context| {
            act(state, &EvaluationContext { has_witness: true, sees_successes: false, ..*context })
        })
    }

    /// Envoy's list comes in.
    fn list(&mut self) -> Vec<Event> {
        let now = self.story.now;
        let growth = self.totals.grow(&self.hosts, now, now).unwrap_or_default();
        let hosts = self.hosts.clone();
        self.with_context(|state, context| cluster::on_host_list(state, &hosts, &growth, now, context))
    }

    /// Nobody but Envoy sees these.
    fn succeed(&mut self, host: usize, attempts: u64) {
        self.hosts[host].total += attempts;
        self.hosts[host].successes += attempts;
        self.hosts[host].requests += attempts;
    }

    fn fail(&mut self) -> Vec<Event> {
        self.hosts[0].total += 1;
        self.hosts[0].errors += 1;
        self.hosts[0].requests += 2;
        let locality = Locality::parse(HOME);
        self.with_context(|state, context| {
            let seen = AttemptObservation {
                endpoint: "a:1",
                locality: &locality,
                workload: None,
                input: DetectorInput::answered(503),
                times: AttemptTimes::at_once(context.now * 1_000),
                started: Some(context.now),
                last: LastAttempt::default(),
                total: Some(2),
            };
            cluster::on_attempt(state, &seen, context)
        })
    }

    fn pass(&mut self, millis: u64) {
        self.story.now += millis;
    }
}

const THREE: &str = r#"{"consecutive5xxErrors": 3, "maxEjectionPercent": 10}"#;

#[test]
fn a_streak_that_successes_broke_is_none() {
    let mut lean = Lean::new(THREE);
    for _ in 0..20 {
        assert_eq!(names(&lean.fail()), [""; 0]);
        lean.pass(20);
        lean.fail();
        lean.succeed(0, 1);
        lean.pass(100);
        assert_eq!(names(&lean.list()), [""; 0]);
    }
}

#[test]
fn a_streak_without_a_success_is_told_and_that_nothing_came_of_it() {
    let mut lean = Lean::new(THREE);
    lean.pass(10);
    lean.succeed(0, 50);
    lean.fail();
    lean.pass(10);
    assert_eq!(names(&lean.list()), [""; 0], "successes may have come after it");
    for _ in 0..3 {
        lean.pass(10);
        assert_eq!(names(&lean.fail()), [""; 0], "nobody knows yet");
    }
    lean.pass(110);
    let events = lean.list();
    assert_eq!(names(&events), ["error_streak", "ejection_blocked"]);
    lean.fail();
    lean.pass(150);
    assert_eq!(names(&lean.list()), [""; 0], "once");
}

#[test]
fn a_list_from_before_the_ejection_does_not_make_it_a_blocked_one() {
    let stats = r#"{"stats": [
      {"name": "cluster.c.outlier_detection.ejections_enforced_total", "value": 0},
      {"name": "cluster.c.outlier_detection.ejections_detected_consecutive_5xx", "value": 0}]}"#;
    let (_, none) = stats::read(stats.as_bytes()).unwrap().remove(0);
    let mut lean = Lean::new(THREE);
    lean.with_context(|state, context| cluster::on_ejection_counts(state, Some(none), context.now, context));
    for _ in 0..3 {
        lean.pass(10);
        lean.fail();
    }
    lean.pass(110);
    assert_eq!(names(&lean.list()), [""; 0], "Envoy's count decides");
    // Envoy has seen a success in between, and one more failure since.
    lean.fail();
    lean.hosts[0].ejected = true;
    lean.pass(20);
    assert_eq!(names(&lean.list()), ["error_streak", "endpoint_ejected"]);
}

#[test]
fn an_ejection_has_the_reason_that_the_failures_suggest() {
    let mut lean = Lean::new(r#"{"consecutive5xxErrors": 3, "consecutiveGatewayErrors": 2}"#);
    lean.succeed(0, 50);
    for _ in 0..2 {
        lean.pass(10);
        lean.fail();
    }
    lean.hosts[0].ejected = true;
    lean.pass(10);
    let events = lean.list();
    assert_eq!(names(&events), ["error_streak", "endpoint_ejected"]);
    let EventKind::EndpointEjected { reason, .. } = events[1].kind else { panic!("not ejected") };
    assert_eq!(reason, EjectReason::ConsecutiveGatewayFailure);
}

#[test]
fn no_ejection_is_inferred_when_envoy_does_not_answer() {
    let mut lean = Lean::new(THREE);
    for _ in 0..30 {
        lean.pass(500);
        let mut events = lean.fail();
        events.extend(lean.with_context(cluster::on_tick));
        assert_eq!(names(&events), [""; 0]);
    }
}

#[test]
fn a_failover_is_told_by_envoys_counts_alone() {
    for is_degraded in [false, true] {
        failover_by_counts(is_degraded);
    }
}

fn failover_by_counts(is_degraded: bool) {
    let mut lean = Lean::new(r#"{"consecutive5xxErrors": 3, "maxEjectionPercent": 100}"#);
    let mut told = Vec::new();
    for step in 0..400_u64 {
        lean.pass(100);
        let is_out = (100..200).contains(&step);
        (lean.hosts[0].healthy, lean.hosts[0].degraded) = (!is_out || is_degraded, is_out && is_degraded);
        lean.succeed(usize::from(is_out), 5);
        told.extend(lean.list());
        told.extend(lean.with_context(cluster::on_tick));
    }
    assert_eq!(names(&told), ["failover_started", "failover_ended"]);
    let EventKind::FailoverEnded { requests_away, seconds, .. } = told[1].kind else { panic!("not ended") };
    assert_eq!(requests_away, 500);
    assert!((9.5..=10.5).contains(&seconds), "{seconds}");
}

#[test]
fn the_list_that_shows_home_lost_shows_also_what_went_away_until_then() {
    let mut lean = Lean::new(r#"{"consecutive5xxErrors": 3, "maxEjectionPercent": 100}"#);
    lean.hosts[1].priority = 1;
    for _ in 0..20 {
        lean.pass(400);
        lean.succeed(0, 40);
        assert_eq!(names(&lean.list()), [""; 0]);
    }
    lean.pass(400);
    lean.hosts[0].healthy = false;
    lean.succeed(0, 10);
    lean.succeed(1, 30);
    assert_eq!(names(&lean.list()), ["failover_started"]);
    // From now on nothing is served anywhere.
    lean.pass(400);
    assert_eq!(names(&lean.list()), [""; 0]);
}
