//! Tests of failovers, step by step, from a cluster's home and its traffic.

use filter_core::config;
use filter_core::event::{EventKind, FailoverCause, FailoverEnd};
use filter_core::failover::Count;
use filter_core::failover::{Active, Home, StepContext, Traffic, step};
use filter_core::locality::{Locality, Tier};
use filter_core::time::Millis;

fn at(text: &str) -> Locality {
    Locality::parse(text)
}

fn home(healthy: u32, endpoints: u32) -> Home {
    let troubled = healthy < endpoints;
    Home { tier: Tier::SameZone, locality: at("r/a"), endpoints, healthy, cause: FailoverCause::Ejected, troubled }
}

fn traffic(attempts: u32, away: u32, to: &str) -> Traffic {
    let away = (away > 0).then(|| (at(to), Tier::SameRegion, Count { attempts: away, errors: 0 }));
    Traffic { attempts, away: away.into_iter().collect() }
}

/// A step of a cluster that has been in trouble for long.
fn at_time(now: Millis) -> StepContext {
    StepContext { now, troubled_since: 0, baseline_spill_permille: 0 }
}

fn rules() -> config::Failover {
    config::Failover::default()
}

#[test]
fn starts_at_once_when_nothing_at_home_is_healthy() {
    let mut active = None;
    let to = at("r/b");
    let away = Some((&to, Tier::SameRegion));
    assert_eq!(step(&mut active, Some(&home(1, 1)), &traffic(1, 0, ""), away, &rules(), at_time(1_000)), None);
    let kind = step(&mut active, Some(&home(0, 1)), &traffic(1, 0, ""), away, &rules(), at_time(1_000));
    assert!(matches!(kind, Some(EventKind::FailoverStarted(route)) if route.share == 1.0 && route.to == to));
}

#[test]
fn a_partial_failover_needs_trouble_requests_and_share() {
    for (home, traffic, starts) in [
        (home(2, 3), traffic(100, 7, "r/b"), true),
        (home(2, 3), traffic(100, 4, "r/b"), false),
        (home(2, 3), traffic(4, 4, "r/b"), false),
        (home(3, 3), traffic(100, 50, "r/b"), false),
    ] {
        let mut active = None;
        let kind = step(&mut active, Some(&home), &traffic, None, &rules(), at_time(1_000));
        assert_eq!(kind.is_some(), starts, "{home:?} {traffic:?}");
    }
}

fn started() -> Option<Active> {
    let mut active = None;
    step(&mut active, Some(&home(0, 1)), &traffic(10, 10, "r/b"), None, &rules(), at_time(1_000)).unwrap();
    active
}

#[test]
fn ends_when_home_is_whole_and_calm_for_long_enough() {
    let mut active = started();
    active.as_mut().unwrap().count_away(7, 2, 6_000);
    let mut next =
        |home: Home, traffic: Traffic, now| step(&mut active, Some(&home), &traffic, None, &rules(), at_time(now));
    assert_eq!(next(home(1, 1), traffic(10, 5, "r/b"), 10_000), None);
    assert_eq!(next(home(1, 1), traffic(100, 1, "r/b"), 20_000), None);
    assert_eq!(next(home(1, 1), traffic(100, 50, "r/b"), 25_000), None, "not calm after all");
    assert_eq!(next(home(1, 1), traffic(1, 0, ""), 40_000), None);
    assert_eq!(next(home(1, 1), traffic(0, 0, ""), 49_000), None);
    let Some(EventKind::FailoverEnded { seconds, requests_away, errors_away, because, .. }) =
        next(home(1, 1), traffic(0, 0, ""), 50_000)
    else {
        panic!("not over")
    };
    assert_eq!((seconds, requests_away, errors_away, because), (5.0, 10 + 7, 2, FailoverEnd::Recovered));
}

#[test]
fn ends_for_topology_when_home_has_left() {
    let farther = Home { tier: Tier::SameRegion, locality: at("r/b"), ..home(1, 1) };
    let mut active = started();
    let kind = step(&mut active, Some(&farther), &traffic(10, 0, ""), None, &rules(), at_time(5_000));
    assert!(matches!(kind, Some(EventKind::FailoverEnded { because: FailoverEnd::Topology, .. })));
    assert_eq!(active, None);
}

#[test]
fn moves_on_when_another_locality_leads_for_a_window() {
    let mut active = started();
    let mut next = |to: &str, now| {
        step(&mut active, Some(&home(0, 1)), &traffic(10, 10, to), None, &rules(), at_time(now)).map(|kind| kind.name())
    };
    assert_eq!(next("q/c", 5_000), None);
    assert_eq!(next("r/b", 10_000), None, "a flicker");
    assert_eq!(next("q/c", 12_000), None);
    assert_eq!(next("q/c", 21_000), None);
    assert_eq!(next("q/c", 22_000), Some("failover_changed"));
    assert_eq!(next("q/c", 40_000), None);
}

#[test]
fn a_share_that_grows_for_good_is_told_once() {
    let mut active = None;
    step(&mut active, Some(&home(3, 4)), &traffic(100, 30, "r/b"), None, &rules(), at_time(1_000)).unwrap();
    let mut told = |healthy, away: u32, now| {
        let home = home(healthy, 4);
        let kind = step(&mut active, Some(&home), &traffic(100, away, "r/b"), None, &rules(), at_time(now));
        kind.map(|kind| match kind {
            EventKind::FailoverChanged { route, left: None } => route.share,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(told(2, 55, 2_000), None, "not twice as much");
    assert_eq!(told(2, 60, 3_000), None);
    assert_eq!(told(2, 70, 12_000), None);
    assert_eq!(told(2, 70, 13_000), Some(0.7));
    assert_eq!(told(0, 71, 14_000), Some(1.0), "nothing is left at home");
    assert_eq!(told(0, 100, 40_000), None);
    assert_eq!(told(4, 100, 60_000), None, "home is whole");
}

#[test]
fn zones_that_share_evenly_do_not_take_turns_but_a_farther_tier_is_told() {
    let mut active = started();
    let shared = |b: u32, c: u32, d: u32| Traffic {
        attempts: b + c + d,
        away: vec![
            (at("r/b"), Tier::SameRegion, Count { attempts: b, errors: 0 }),
            (at("q/c"), Tier::Elsewhere, Count { attempts: c, errors: 0 }),
            (at("q/d"), Tier::Elsewhere, Count { attempts: d, errors: 0 }),
        ],
    };
    let mut next = |traffic: Traffic, now| {
        let kind = step(&mut active, Some(&home(0, 1)), &traffic, None, &rules(), at_time(now));
        kind.map(|kind| match kind {
            EventKind::FailoverChanged { route, .. } => route.to.as_str().to_owned(),
            other => other.name().to_owned(),
        })
    };
    // The lead changes hands, but each leader is farther away than the present destination.
    for (i, now) in (10_000..20_000).step_by(1_000).enumerate() {
        let flicker = u32::try_from(i % 2).unwrap();
        assert_eq!(next(shared(0, 50 + flicker, 51 - flicker), now), None);
    }
    assert_eq!(next(shared(0, 51, 50), 20_000).as_deref(), Some("q/c"));
    for now in (21_000..60_000).step_by(1_000) {
        assert_eq!(next(shared(0, 45, 55), now), None, "no clear lead");
    }
}
