//! Tests of failovers, step by step, from a cluster's home and its traffic.

use filter_core::config;
use filter_core::event::{EventKind, FailoverCause, FailoverEnd};
use filter_core::failover::Count;
use filter_core::failover::{Active, Before, Home, Measured, StepContext, Traffic, Usual, step};
use filter_core::locality::{Locality, Tier};
use filter_core::time::Millis;

fn at(text: &str) -> Locality {
    Locality::parse(text)
}

fn home(healthy: u32, endpoints: u32) -> Home {
    let cause = (healthy < endpoints).then_some(FailoverCause::Ejected);
    Home { tier: Tier::SameZone, locality: at("r/a"), endpoints, healthy, cause, has_refuge: true }
}

fn traffic(attempts: u32, away: u32, to: &str) -> Traffic {
    let away = (away > 0).then(|| (at(to), Tier::SameRegion, Count { attempts: away, errors: 0 }));
    Traffic { attempts, away: away.into_iter().collect(), last_away: None }
}

/// A step of a cluster that has been in trouble for long, and whose traffic all stays at home in calm times.
fn at_time(now: Millis) -> StepContext<'static> {
    let usual = Usual::Nothing(Tier::SameZone);
    StepContext { now, troubled_since: 0, usual, is_current: true, before: Before::default() }
}

/// Such a step, with this traffic away since the trouble began.
fn after(before: &[(Locality, Tier, Count)], now: Millis) -> StepContext<'_> {
    StepContext { before: Before { seen: before, listed: &[] }, ..at_time(now) }
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
    let (mut active, traffic) = (None, traffic(10, 10, "r/b"));
    step(&mut active, Some(&home(0, 1)), &traffic, None, &rules(), after(&traffic.away, 1_000)).unwrap();
    // Envoy is not asked.
    active.as_mut().unwrap().note_lists_lack();
    active
}

/// Steps with an attempt served by `to`, as a worker sees it and as it is later in the worker's sums.
fn serve(active: &mut Option<Active>, to: &str, now: Millis) {
    let to = at(to);
    let served = Some((&to, Tier::SameRegion));
    assert_eq!(step(active, Some(&home(0, 1)), &traffic(9, 9, "r/b"), served, &rules(), at_time(now)), None);
    active.as_mut().unwrap().count_away(&to, Count { attempts: 1, errors: 0 }, now.saturating_sub(500), now + 500);
}

#[test]
fn ends_when_a_window_has_been_clear_for_long_enough() {
    let mut active = started();
    serve(&mut active, "r/b", 6_000);
    let mut next = |home: Home, now| step(&mut active, Some(&home), &traffic(9, 0, ""), None, &rules(), at_time(now));
    assert_eq!(next(home(1, 1), 7_000), None);
    assert_eq!(next(home(1, 1), 25_950), None, "the window of 10 s was clear at 16.0 s, and that for 10 s");
    let Some(EventKind::FailoverEnded { seconds, requests_away, because, .. }) = next(home(1, 1), 26_000) else {
        panic!("not over")
    };
    assert_eq!((seconds, requests_away, because), (5.0, 10 + 1, FailoverEnd::Recovered));
}

#[test]
fn a_time_that_only_sums_show_is_the_middle_of_theirs() {
    let mut active = started();
    active.as_mut().unwrap().count_away(&at("r/b"), Count { attempts: 1, errors: 1 }, 5_000, 6_000);
    let mut next = |now| step(&mut active, Some(&home(1, 1)), &traffic(9, 0, ""), None, &rules(), at_time(now));
    assert_eq!([next(7_000), next(25_490)], [None, None]);
    let Some(EventKind::FailoverEnded { seconds, .. }) = next(25_500) else { panic!("not over") };
    assert_eq!(seconds, 4.5);
}

#[test]
fn does_not_end_before_home_is_whole_nor_while_it_fails_again() {
    let mut active = started();
    let mut next = |home: Home, now| step(&mut active, Some(&home), &traffic(9, 0, ""), None, &rules(), at_time(now));
    assert_eq!(next(home(0, 1), 60_000), None);
    assert_eq!(next(home(1, 1), 61_000), None);
    assert_eq!(next(home(0, 1), 70_000), None);
    assert_eq!(next(home(1, 1), 71_000), None);
    assert_eq!(next(home(1, 1), 80_990), None);
    assert!(matches!(next(home(1, 1), 81_000), Some(EventKind::FailoverEnded { .. })));
}

#[test]
fn where_some_traffic_always_goes_away_it_ends_with_the_usual_share() {
    let measured = Measured { tier: Tier::SameZone, away: 500, attempts: 1_000, whole_at: Some(1) };
    let mut active = started();
    let mut next = |away, now| {
        let context = StepContext { usual: Usual::Measured(measured), ..at_time(now) };
        step(&mut active, Some(&home(3, 3)), &traffic(1_000, away, "r/b"), None, &rules(), context).is_some()
    };
    assert_eq!([next(700, 20_000), next(600, 25_000), next(550, 26_000), next(540, 35_990)], [false; 4]);
    assert!(next(530, 36_000), "half, as far as 1,000 requests can tell, for 10 s");
}

#[test]
fn stragglers_of_very_many_requests_do_not_keep_it_open_for_good() {
    let mut active = started();
    let mut ended_at = None;
    for now in (2_000..200_000).step_by(1_000) {
        if let Some(going) = &mut active {
            going.count_away(&at("r/b"), Count { attempts: 1, errors: 0 }, now - 1_000, now);
            let kind = step(&mut active, Some(&home(1, 1)), &traffic(9_999, 10, "r/b"), None, &rules(), at_time(now));
            ended_at = ended_at.or(kind.map(|_| now));
        }
    }
    assert_eq!(ended_at, Some(72_000), "after six windows single ones of ten thousand are let pass");
}

#[test]
fn the_end_tells_each_destination() {
    let mut active = started();
    let stays = [("r/b", 2_000), ("r/b", 3_000), ("q/c", 3_500), ("q/c", 4_500), ("q/c", 5_500), ("r/b", 9_000)];
    for (to, now) in stays.into_iter().chain([("r/b", 9_500), ("q/c", 9_700), ("q/c", 9_800)]) {
        serve(&mut active, to, now);
    }
    active.as_mut().unwrap().count_away(&at("q/c"), Count { attempts: 20, errors: 3 }, 9_750, 10_750);
    let kind = step(&mut active, None, &traffic(0, 0, ""), None, &rules(), at_time(11_000));
    let Some(EventKind::FailoverEnded { destinations, requests_away, errors_away, because, .. }) = kind else {
        panic!("not over")
    };
    let told: Vec<_> =
        destinations.iter().map(|told| (told.to.as_str(), told.seconds, told.requests, told.errors)).collect();
    assert_eq!(told, [("q/c", 2.1, 25, 3), ("r/b", 2.5, 14, 0)], "2 s and 0.1 s; 2 s and 0.5 s");
    assert_eq!((requests_away, errors_away, because), (39, 3, FailoverEnd::Topology));
}

#[test]
fn a_share_must_exceed_the_usual_one_by_more_than_chance_and_have_settled() {
    let measured =
        |away, attempts| Usual::Measured(Measured { tier: Tier::SameZone, away, attempts, whole_at: Some(1) });
    for (usual, attempts, away, starts) in [
        (measured(75, 150), 150, 93, false),
        (measured(75, 150), 150, 103, true),
        (measured(5_000, 10_000), 10_000, 5_400, false),
        (measured(5_000, 10_000), 10_000, 5_600, true),
        (measured(0, 10), 10, 3, false),
        (measured(0, 10), 10, 5, true),
        (Usual::Unknown, 10, 1, true),
    ] {
        let traffic = traffic(attempts, away, "r/b");
        let context = StepContext { usual, ..at_time(1_000) };
        let start = |context| step(&mut None, Some(&home(2, 3)), &traffic, None, &rules(), context).is_some();
        assert_eq!(start(context), starts, "{away} of {attempts}, usually {usual:?}");
        assert!(!start(StepContext { troubled_since: 1, ..context }), "not a second since the trouble began");
    }
}

#[test]
fn ends_for_topology_when_another_tier_is_home() {
    let mut active = started();
    let farther = Home { tier: Tier::Elsewhere, ..home(1, 1) };
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
fn what_is_lost_at_home_goes_nowhere_if_nothing_away_is_in_rotation() {
    let told = |has_refuge| {
        let mut active = None;
        step(&mut active, Some(&home(3, 4)), &traffic(100, 30, "r/b"), None, &rules(), at_time(1_000)).unwrap();
        let lost = Home { has_refuge, ..home(0, 4) };
        step(&mut active, Some(&lost), &traffic(100, 30, "r/b"), None, &rules(), at_time(2_000)).is_some()
    };
    assert_eq!([told(true), told(false)], [true, false]);
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
        last_away: None,
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
