//! Tests of which endpoint an ejection belongs to that Envoy has counted and no list has shown: where health checks end
//! ejections early, where rates eject, and when others follow.

use super::ejection_counts::{BACK_MEANWHILE, BY_5XX, RETURNED, ejected, ejected_again, short, told};
use super::story::{HOME, NEAR, REFUSED, Story};
use filter_core::cluster::{self, Origin};
use filter_core::endpoint::reason::{Basis, EjectReason};
use filter_core::endpoint::rule::Rule;

/// Two endpoints: whether each is ejected, and how many requests went to it.
fn ab(a: (bool, u64), b: (bool, u64)) -> [(&'static str, bool, u64); 2] {
    [("a:1", a.0, a.1), ("b:1", b.0, b.1)]
}

/// A cluster in which a health check has ended an ejection of `a`, a while ago.
fn with_early_returns() -> Story {
    let mut story = short();
    story.list(0, &ab((false, 1), (false, 1)));
    story.count(&[]);
    story.attempt_with_witness("a:1", HOME, REFUSED);
    story.list(5, &ab((true, 2), (false, 1)));
    assert_eq!(told(&story.list(50, &ab((false, 2), (false, 1)))), [RETURNED], "long before its time");
    story.now += 5_000;
    story
}

#[test]
fn where_health_checks_end_ejections_requests_under_way_prove_nothing() {
    let mut story = short();
    story.list(0, &ab((false, 1), (false, 1)));
    story.count(&[]);
    story.attempt_with_witness("a:1", HOME, REFUSED);
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(5, &ab((true, 2), (true, 2)))), [ejected(BY_5XX); 2]);
    story.count(&[BY_5XX; 2]);
    assert_eq!(told(&story.list(50, &ab((true, 2), (false, 2)))), [RETURNED], "long before its time");
    assert_eq!(told(&story.list(1_200, &ab((false, 2), (false, 2)))), [RETURNED], "in time");
    story.attempt_with_witness("a:1", HOME, REFUSED);
    assert_eq!(told(&story.list(5, &ab((true, 3), (false, 2)))), [ejected(BY_5XX)]);
    story.count(&[BY_5XX; 3]);
    // Meanwhile `a` is back and out again; then `b` is ejected while requests are under way to it.
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(300, &ab((true, 3), (true, 3)))), [ejected(BY_5XX)]);
    for requests in [5, 6, 7] {
        story.list(20, &ab((true, 3), (true, requests)));
        story.count(&[BY_5XX; 5]);
        assert_eq!(told(&story.list(5, &ab((true, 3), (true, requests)))), []);
    }
}

#[test]
fn what_ends_one_endpoints_ejection_early_may_end_anothers() {
    let mut story = with_early_returns();
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(5, &ab((false, 2), (true, 2)))), [ejected(BY_5XX)]);
    story.count(&[BY_5XX; 2]);
    story.list(300, &ab((false, 2), (true, 3)));
    story.count(&[BY_5XX; 3]);
    assert_eq!(told(&story.list(5, &ab((false, 2), (true, 3)))), [BACK_MEANWHILE, ejected_again(BY_5XX)]);
}

#[test]
fn an_endpoint_that_a_health_check_has_just_returned_is_not_the_one_that_was_back_unseen() {
    let mut story = short();
    story.list(0, &ab((false, 1), (false, 1)));
    story.count(&[]);
    story.attempt_with_witness("a:1", HOME, REFUSED);
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    story.list(5, &ab((true, 2), (true, 2)));
    story.count(&[BY_5XX; 2]);
    story.list(250, &ab((true, 2), (true, 2)));
    // The check that returns `b` returns `a` too, which is out again when Envoy lists them.
    assert_eq!(told(&story.list(50, &ab((true, 3), (false, 2)))), [RETURNED], "long before its time");
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(5, &ab((true, 4), (true, 3)))), [ejected(BY_5XX)]);
    story.list(20, &ab((true, 5), (true, 4)));
    story.count(&[BY_5XX; 4]);
    let found = story.list(5, &ab((true, 6), (true, 5)));
    assert_eq!(told(&found), [BACK_MEANWHILE, ejected_again(BY_5XX)]);
    assert!(found.iter().all(|event| event.endpoint.as_deref() == Some("a:1")), "{found:?}");
}

#[test]
fn an_endpoint_that_two_rates_eject_in_one_tick_was_not_back_meanwhile() {
    let found = |by_percentage: bool| {
        let mut story = short();
        story.list(0, &[("a:1", false, 1), ("b:1", false, 1)]);
        story.count(&[]);
        story.with(|state, context| {
            let rule = Rule { by_rate: true, by_percentage, ..Rule::configured(context.outlier) };
            cluster::on_rule(state, Some((Origin::ControlPlane, &rule, &[])), context.now)
        });
        story.list(100, &[("a:1", true, 6), ("b:1", false, 1)]);
        story.count(&[EjectReason::Other]);
        // The other one is ejected while the first one's time is over.
        story.list(550, &[("a:1", true, 6), ("b:1", false, 6)]);
        story.list(50, &[("a:1", true, 6), ("b:1", true, 6)]);
        story.count(&[EjectReason::Other; 3]);
        told(&story.list(5, &[("a:1", true, 6), ("b:1", true, 6)]))
    };
    assert_eq!(found(false), [BACK_MEANWHILE, ejected_again(EjectReason::Other)]);
    assert_eq!(found(true), []);
}

#[test]
fn where_health_checks_end_ejections_one_that_has_just_failed_may_have_been_out_and_be_back() {
    for is_seen in [false, true] {
        let mut story = short();
        let abc = |a: (bool, u64), b: (bool, u64), c| [("a:1", a.0, a.1), ("b:1", b.0, b.1), ("c:1", false, c)];
        story.list(0, &abc((false, 1), (false, 1), 1));
        story.count(&[]);
        story.attempt_with_witness("b:1", NEAR, REFUSED);
        story.list(5, &abc((false, 1), (true, 2), 1));
        assert_eq!(told(&story.list(50, &abc((false, 1), (false, 2), 1))), [RETURNED], "long before its time");
        story.now += 5_000;
        story.attempt_with_witness("a:1", HOME, REFUSED);
        assert_eq!(told(&story.list(5, &abc((true, 2), (false, 2), 1))), [ejected(BY_5XX)]);
        story.count(&[BY_5XX; 2]);
        story.now += 150;
        if is_seen {
            // Envoy ejects it, and a check returns it before the next list.
            story.attempt_with_witness("c:1", NEAR, REFUSED);
        }
        story.list(150, &abc((true, 3), (false, 2), 2));
        story.count(&[BY_5XX; 3]);
        let found = told(&story.list(5, &abc((true, 3), (false, 2), 2)));
        assert_eq!(found.is_empty(), is_seen, "{found:?}");
    }
}

#[test]
fn a_health_check_may_return_an_endpoint_again_soon_after_its_return_was_seen() {
    let mut story = with_early_returns();
    story.attempt_with_witness("a:1", HOME, REFUSED);
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(5, &ab((true, 3), (true, 2)))), [ejected(BY_5XX); 2]);
    story.count(&[BY_5XX; 3]);
    // Checks of `b` pass 10 ms after this list and, as it has failed again, 300 ms later.
    assert_eq!(told(&story.list(200, &ab((true, 3), (false, 2)))), [RETURNED]);
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(5, &ab((true, 4), (true, 3)))), [ejected(BY_5XX)]);
    story.list(150, &ab((true, 4), (true, 5)));
    story.count(&[BY_5XX; 5]);
    assert_eq!(told(&story.list(5, &ab((true, 4), (true, 5)))), [], "`a` was not back");
}

#[test]
fn an_endpoint_that_two_rates_eject_in_one_tick_is_out_for_twice_the_time() {
    for (by_percentage, told_at) in [(false, Some(42)), (true, None)] {
        let mut story = Story::new(r#"{"maxEjectionPercent": 100}"#);
        story.with(|state, context| {
            let rule = Rule { by_percentage, ..Rule::configured(context.outlier) };
            cluster::on_rule(state, Some((Origin::ControlPlane, &rule, &[])), context.now)
        });
        story.list(0, &[("a:1", false, 1), ("b:1", false, 1)]);
        story.counted(None);
        let out = [("a:1", true, 60), ("b:1", false, 90)];
        assert_eq!(told(&story.list(100, &out)), [ejected(EjectReason::Other)]);
        let first = (1..=69).find(|_| !story.list(1_000, &out).is_empty());
        assert_eq!(first, told_at, "by percentage too: {by_percentage}");
        let back = told(&story.list(1_000, &[("a:1", false, 60), ("b:1", false, 90)]));
        assert_eq!(back, [RETURNED]);
    }
}

#[test]
fn ejections_that_follow_an_unseen_one_do_not_make_it_a_later_one() {
    let mut story = short();
    story.list(0, &["a:1", "b:1", "c:1", "d:1"].map(|address| (address, false, 1)));
    story.count(&[]);
    story.with(|state, context| {
        let rule = Rule { jitter_millis: 1_500, ..Rule::configured(context.outlier) };
        cluster::on_rule(state, Some((Origin::ControlPlane, &rule, &[])), context.now)
    });
    let list = |a, b, c, d| [("a:1", a, 2), ("b:1", b, 2), ("c:1", c, 2), ("d:1", d, 2)];
    story.list(100, &list(true, true, false, false));
    story.count(&[EjectReason::Other; 2]);
    // `b` is ejected again in the tick that returns it; `a` may have been, and has only more jitter.
    story.list(600, &list(true, true, false, false));
    story.count(&[EjectReason::Other; 3]);
    assert_eq!(told(&story.list(5, &list(true, true, false, false))), [], "which of them?");
    for (millis, d, counted) in [(10, false, 4), (550, true, 5)] {
        story.list(millis, &list(true, true, true, d));
        story.count(&vec![EjectReason::Other; counted]);
    }
    let events = story.list(5, &list(false, true, true, true));
    assert_eq!(told(&events), [RETURNED, BACK_MEANWHILE, ejected_again(EjectReason::Other)]);
    let endpoints: Vec<_> = events.iter().map(|event| event.endpoint.as_deref().unwrap_or("")).collect();
    assert_eq!(endpoints, ["a:1", "b:1", "b:1"]);
}

#[test]
fn an_ejection_whose_cause_is_asked_for_is_told_of_an_endpoint_that_leaves_meanwhile() {
    let mut story = short();
    story.list(0, &[("a:1", false, 1), ("b:1", false, 1)]);
    story.count(&[]);
    assert_eq!(told(&story.list(50, &[("a:1", true, 2), ("b:1", false, 1)])), []);
    let removed = ("endpoint_removed", Some(Basis::Witnessed), None);
    assert_eq!(told(&story.list(20, &[("b:1", false, 1)])), [ejected(EjectReason::Other), removed]);
    assert_eq!(told(&story.count(&[BY_5XX])), []);
    assert_eq!(story.open(), 0);
}

#[test]
fn an_ejection_that_was_found_late_is_not_over_before_its_time() {
    let rules =
        r#"{"consecutive5xxErrors": 1, "interval": "500ms", "baseEjectionTime": "2s", "maxEjectionPercent": 100}"#;
    let mut story = Story::new(rules);
    story.list(0, &[("a:1", false, 1), ("b:1", false, 1)]);
    story.count(&[]);
    story.attempt_with_witness("a:1", HOME, REFUSED);
    assert_eq!(told(&story.list(5, &[("a:1", true, 2), ("b:1", false, 1)])), [ejected(BY_5XX)]);
    story.list(1_900, &[("a:1", true, 2), ("b:1", false, 1)]);
    // It is back after 2.1 s, is ejected again at once, and that is found 0.3 s later.
    story.list(500, &[("a:1", true, 4), ("b:1", false, 1)]);
    story.count(&[BY_5XX; 2]);
    assert_eq!(told(&story.list(5, &[("a:1", true, 4), ("b:1", false, 1)])), [BACK_MEANWHILE, ejected_again(BY_5XX)]);
    assert_eq!(told(&story.list(3_850, &[("a:1", false, 4), ("b:1", false, 1)])), [RETURNED], "4 s are over");
    // Nothing ends early here, so that one which leaves soon was out to the end.
    story.attempt_with_witness("a:1", HOME, REFUSED);
    assert_eq!(told(&story.list(5, &[("a:1", true, 5), ("b:1", false, 1)])), [ejected(BY_5XX)]);
    let removed = ("endpoint_removed", Some(Basis::Witnessed), None);
    assert_eq!(told(&story.list(100, &[("b:1", false, 1)])), [removed]);
}

#[test]
fn of_two_that_may_have_been_back_it_is_the_one_that_is_out_for_too_long() {
    let mut story = short();
    story.with(|state, context| {
        let rule = Rule { by_rate: false, ..Rule::configured(context.outlier) };
        cluster::on_rule(state, Some((Origin::ControlPlane, &rule, &[])), context.now)
    });
    story.list(0, &ab((false, 1), (false, 1)));
    story.count(&[]);
    story.attempt_with_witness("a:1", HOME, REFUSED);
    assert_eq!(told(&story.list(5, &ab((true, 2), (false, 1)))), [ejected(BY_5XX)]);
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(450, &ab((true, 2), (true, 2)))), [ejected(BY_5XX)]);
    // `a` is back and out again; `b` has requests that were under way.
    story.list(520, &ab((true, 4), (true, 3)));
    story.count(&[BY_5XX; 3]);
    assert_eq!(told(&story.list(5, &ab((true, 4), (true, 3)))), [], "which of them?");
    let found = story.list(150, &ab((true, 4), (true, 3)));
    assert_eq!(told(&found), [BACK_MEANWHILE, ejected_again(BY_5XX)]);
    assert!(found.iter().all(|event| event.endpoint.as_deref() == Some("a:1")), "{found:?}");
}

#[test]
fn where_health_checks_end_ejections_it_is_not_asked_for_long_which_of_two_was_back() {
    let mut story = with_early_returns();
    story.attempt_with_witness("a:1", HOME, REFUSED);
    story.attempt_with_witness("b:1", NEAR, REFUSED);
    assert_eq!(told(&story.list(5, &ab((true, 3), (true, 2)))), [ejected(BY_5XX); 2]);
    story.count(&[BY_5XX; 3]);
    story.list(300, &ab((true, 4), (true, 3)));
    story.count(&[BY_5XX; 4]);
    assert_eq!(told(&story.list(5, &ab((true, 4), (true, 3)))), [], "which of them?");
    assert_eq!(told(&story.list(700, &ab((true, 4), (true, 3)))), []);
    // The one that was back returns once more.
    assert_eq!(told(&story.list(5, &ab((true, 4), (false, 3)))), [RETURNED]);
    assert_eq!(told(&story.list(5, &ab((true, 4), (false, 3)))), []);
}
