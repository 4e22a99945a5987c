//! Tests of when failovers are told, from what a proxy's workers and its witness see.

use super::world::{FAR, HOME, NEAR, World, host};
use filter_core::admin::host_lists::HostStatus;
use filter_core::cluster;
use filter_core::cluster::host_totals::Growth;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::event::{EventKind, FailoverCause, FailoverEnd};
use filter_core::failover::Count;
use filter_core::locality::{Locality, Tier};

/// Window and `endAfter` of 2 s.
const SHORT: &str = r#"{"window": "2s", "endAfter": "2s"}"#;
/// The defaults: both are 10 s.
const DEFAULT: &str = "{}";

/// Two hosts at home and two in the next zone, which Envoy chooses only when those at home fail.
fn two_zones() -> Vec<HostStatus> {
    vec![host("a:1", HOME, 0), host("a:2", HOME, 0), host("b:1", NEAR, 1), host("b:2", NEAR, 1)]
}

fn set_healthy(world: &mut World, at: &str, healthy: bool) {
    let locality = Locality::parse(at);
    world.hosts.iter_mut().filter(|host| host.locality == locality).for_each(|host| host.healthy = healthy);
}

#[test]
fn trouble_of_which_the_witness_learns_late_is_told_at_once_and_whole() {
    // The control plane marks home unhealthy; no request fails, and the list comes every 6 s.
    let mut world = World::new(SHORT, HOME, Some(6_000), two_zones());
    world.learn();
    world.run(6_500, 60, |world| world.random(2));
    set_healthy(&mut world, HOME, false);
    let learned = world.now.next_multiple_of(6_000);
    world.run(20_000, 60, |world| 2 + world.random(2));
    let (route, at) = world.started();
    assert!((learned..learned + 50).contains(&at), "learned at {learned}, told at {at}");
    assert_eq!((route.share, route.cause, route.healthy_at_home), (1.0, FailoverCause::Unhealthy, 0));
    set_healthy(&mut world, HOME, true);
    let last = world.now;
    world.run(10_000, 60, |world| world.random(2));
    assert_eq!(world.failovers(), ["failover_started", "failover_ended"]);
    let (_, at) = world.ended();
    assert!((last + 4_000..last + 4_500).contains(&at), "the last went away at {last}, ended at {at}");
    assert_eq!(world.open(), 0);
}

#[test]
fn a_failover_to_where_everything_answers_with_an_error_is_told_with_the_first_answer() {
    for witness in [Some(2_000), None] {
        let mut world = World::new(SHORT, HOME, witness, two_zones());
        world.learn();
        world.run(3_000, 60, |world| world.random(2));
        for _ in 0..5 {
            world.request(0, DetectorInput::answered(503));
            world.request(1, DetectorInput::answered(503));
        }
        if witness.is_some() {
            world.hosts[..2].iter_mut().for_each(|host| host.ejected = true);
            world.now += 200;
            world.learn();
        }
        world.request(2, DetectorInput { connected: false, status: None, failure: Some(503) });
        assert_eq!(world.failovers(), [""; 0], "an endpoint that cannot be reached serves nobody");
        world.request(2, DetectorInput::answered(503));
        let (route, at) = world.started();
        assert_eq!((route.to.as_str(), route.share, at), (NEAR, 1.0, world.now), "{witness:?}");
    }
}

#[test]
fn a_part_that_goes_where_everything_fails_is_told_with_its_share() {
    let mut world = World::new(SHORT, HOME, Some(500), two_zones());
    world.learn();
    world.run(3_000, 60, |world| world.random(2));
    world.hosts[0].healthy = false;
    world.learn();
    for request in 0..400 {
        let at = if request % 4 == 0 { 2 + request % 8 / 4 } else { 1 };
        world.request(at, DetectorInput::answered(503));
        world.run(10, 0, |_| 0);
    }
    let (route, _) = world.started();
    assert_eq!((route.to.as_str(), route.healthy_at_home), (NEAR, 1));
    assert!((route.share - 0.25).abs() < 0.05, "{}", route.share);
}

#[test]
fn sums_alone_show_it_where_no_attempt_is_seen_by_itself() {
    let mut world = World::new(SHORT, HOME, Some(60_000), two_zones());
    world.learn();
    set_healthy(&mut world, HOME, false);
    world.learn();
    let near = Locality::parse(NEAR);
    let sums = [(near, Count { attempts: 3, errors: 0 })];
    let mut told = |since: u64, now: u64| {
        world.now = now;
        let events = world.with(|state, context| {
            cluster::add_traffic(state, &sums, since, context);
            cluster::on_tick(state, context)
        });
        events.len()
    };
    assert_eq!(told(999_500, 1_000_500), 0, "begun before the trouble: where they went after it is not known");
    assert_eq!(told(1_000_500, 1_001_500), 1);
    assert_eq!(world.open(), 1);
}

#[test]
fn a_home_that_is_partly_unhealthy_keeps_no_finding_open() {
    let mut world = World::new(SHORT, HOME, Some(6_000), two_zones());
    world.hosts[0].healthy = false;
    world.learn();
    assert_eq!(world.open(), 0);
    world.hosts[1].healthy = false;
    world.learn();
    assert_eq!(world.open(), 1, "the next request starts a failover");
    set_healthy(&mut world, NEAR, false);
    world.learn();
    assert_eq!(world.open(), 0, "there is nowhere to go");
}

#[test]
fn a_failover_in_which_home_returns_and_fails_again_ends_after_the_last_request_away() {
    let hosts = vec![host("a:1", HOME, 0), host("b:1", NEAR, 1)];
    let mut world = World::new(SHORT, HOME, Some(6_000), hosts);
    world.learn();
    world.run(3_000, 100, |_| 0);
    let eject = |world: &mut World, ejected| {
        world.hosts[0].ejected = ejected;
        world.now += 10;
        world.learn();
    };
    eject(&mut world, true);
    world.run(2_500, 100, |_| 1);
    eject(&mut world, false);
    world.run(300, 100, |_| 0);
    eject(&mut world, true);
    world.run(4_000, 100, |_| 1);
    let last = world.now;
    eject(&mut world, false);
    world.run(10_000, 100, |_| 0);
    assert_eq!(world.failovers(), ["failover_started", "failover_ended"]);
    let (_, at) = world.ended();
    assert!((last + 4_000..last + 4_500).contains(&at), "the last went away at {last}, ended at {at}");
}

#[test]
fn endpoints_that_leave_home_are_a_failover_until_they_are_back() {
    // Pods that are not ready leave the cluster, and the other zone's priority becomes 0.
    for witness in [Some(2_000), None] {
        let mut world = World::new(SHORT, HOME, witness, two_zones());
        world.learn();
        world.run(5_000, 60, |world| world.random(2));
        world.hosts = vec![host("b:1", NEAR, 0), host("b:2", NEAR, 0)];
        world.learn();
        world.run(6_000, 60, |world| world.random(2));
        let (route, _) = world.started();
        assert_eq!((route.cause, route.endpoints_at_home, route.share), (FailoverCause::EndpointsLeft, 0, 1.0));
        assert_eq!((route.from.as_str(), route.to.as_str()), (HOME, NEAR));
        world.hosts = two_zones();
        world.learn();
        world.run(6_000, 60, |world| world.random(2));
        assert_eq!(world.failovers(), ["failover_started", "failover_ended"], "{witness:?}");
        let EventKind::FailoverEnded { because, .. } = world.ended().0 else { panic!("no end") };
        assert_eq!(*because, FailoverEnd::Recovered);
    }
}

#[test]
fn after_an_hour_without_endpoints_home_is_elsewhere() {
    let mut world = World::new(SHORT, HOME, Some(30_000), two_zones());
    world.learn();
    world.run(5_000, 20, |world| world.random(2));
    let left = world.now;
    world.hosts = vec![host("b:1", NEAR, 0), host("b:2", NEAR, 0)];
    world.learn();
    world.run(4_000_000, 1, |world| world.random(2));
    assert_eq!(world.failovers(), ["failover_started", "failover_ended"]);
    let (EventKind::FailoverEnded { because, .. }, at) = world.ended() else { panic!("no end") };
    assert_eq!(*because, FailoverEnd::Topology);
    assert!((left + 3_590_000..left + 3_610_000).contains(&at), "{} s", (at - left) / 1_000);
    assert_eq!(world.open(), 0);
}

#[test]
fn endpoints_that_traffic_does_not_show_for_a_while_have_not_left() {
    let mut world = World::new(SHORT, HOME, None, two_zones());
    let seen = |world: &mut World, home: u32, total| {
        let members = [(Locality::parse(HOME), home), (Locality::parse(NEAR), 2)];
        world.with(|state, context| cluster::set_members(state, total, &members, &[], context));
    };
    seen(&mut world, 2, Some(4));
    world.run(5_000, 60, |world| world.random(4));
    seen(&mut world, 0, Some(4));
    world.run(5_000, 60, |world| 2 + world.random(2));
    assert_eq!(world.failovers(), [""; 0], "Envoy still has four");
    world.hosts.drain(..2);
    seen(&mut world, 0, Some(2));
    world.run(5_000, 60, |world| world.random(2));
    assert_eq!(world.failovers(), ["failover_started"]);
}

#[test]
fn where_priorities_keep_traffic_at_home_a_few_requests_away_are_enough() {
    let mut world = World::new(DEFAULT, HOME, Some(30_000), two_zones());
    world.learn();
    world.run(20_000, 1, |_| 0);
    world.hosts[1].ejected = true;
    world.learn();
    let mut count = 0;
    world.run(15_000, 1, |_| {
        count += 1;
        if count % 4 == 0 { 2 } else { 0 }
    });
    assert_eq!(world.failovers(), ["failover_started"]);
}

#[test]
fn a_home_that_only_shrinks_is_no_trouble() {
    let mut world = World::new(SHORT, HOME, Some(2_000), two_zones());
    world.learn();
    world.run(5_000, 60, |world| world.random(2));
    world.hosts.remove(0);
    world.run(20_000, 60, |world| world.random(3));
    assert_eq!(world.failovers(), [""; 0], "two thirds go away, but all that is at home is in rotation");
}

#[test]
fn where_home_is_not_known_priorities_tell_near_from_far() {
    let mut world = World::new(SHORT, "", Some(2_000), two_zones());
    world.learn();
    assert!(!world.with(|state, context| state.failover_is_blind(context.home)));
    world.run(4_000, 100, |world| world.random(2));
    for i in [0, 1] {
        world.hosts[i].ejected = true;
    }
    world.run(5_000, 100, |world| 2 + world.random(2));
    let (route, _) = world.started();
    assert_eq!((route.from.as_str(), route.to.as_str(), route.tier), (HOME, NEAR, Tier::SameRegion));
    for i in [0, 1] {
        world.hosts[i].ejected = false;
    }
    world.run(10_000, 100, |world| world.random(2));
    assert_eq!(world.failovers(), ["failover_started", "failover_ended"]);
}

#[test]
fn where_neither_home_nor_priorities_are_known_it_can_be_asked_that_no_failover_is_told() {
    let hosts = two_zones().into_iter().map(|host| HostStatus { priority: 0, ..host }).collect();
    let mut world = World::new(SHORT, "", Some(2_000), hosts);
    world.learn();
    assert!(world.with(|state, context| state.failover_is_blind(context.home)));
    world.hosts[0].ejected = true;
    world.run(4_000, 100, |world| world.random(4));
    assert_eq!(world.failovers(), [""; 0]);
    world.hosts = vec![host("a:1", HOME, 0)];
    world.learn();
    let one_left = world.with(|state, context| state.failover_is_blind(context.home));
    assert!(one_left, "the other zone may come back");
}

/// Two zones of three hosts each, all of one priority.
fn zones_alike() -> Vec<HostStatus> {
    let hosts = |zone: &'static str, at| (1..=3).map(move |i| host(&format!("{zone}:{i}"), at, 0));
    hosts("a", HOME).chain(hosts("b", NEAR)).collect()
}

#[test]
fn zones_that_share_traffic_by_chance_are_no_failover_while_home_is_whole() {
    for (witness, minutes) in [(Some(30_000), 60), (None, 20)] {
        let mut world = World::new(DEFAULT, HOME, witness, zones_alike());
        world.learn();
        // One endpoint at home fails now and then, at most three times in a row: too seldom to be ejected.
        let mut row = 0;
        for _ in 0..minutes * 300 {
            world.run(200, 10, |world| world.random(6));
            if row < 3 && world.random(3) == 0 {
                world.request(0, DetectorInput::answered(503));
                row += 1;
            } else {
                world.request(0, DetectorInput::answered(200));
                row = 0;
            }
        }
        assert!(world.events.is_empty(), "{witness:?}");
        assert_eq!(world.failovers(), [""; 0], "{witness:?}");
    }
}

#[test]
fn where_zones_share_traffic_the_failover_of_one_of_three_endpoints_is_found() {
    for witness in [Some(30_000), None] {
        let mut world = World::new(DEFAULT, HOME, witness, zones_alike());
        world.learn();
        world.run(60_000, 200, |world| world.random(6));
        assert_eq!(world.failovers(), [""; 0]);
        world.hosts[0].ejected = true;
        (0..5).for_each(|_| world.request(0, DetectorInput::answered(503)));
        world.learn();
        world.run(30_000, 200, |world| 1 + world.random(5));
        let (route, _) = world.started();
        assert!((0.55..0.65).contains(&route.share), "{}", route.share);
        assert_eq!((route.cause, route.healthy_at_home), (FailoverCause::Ejected, 2));
        let begun = world.now - 30_000;
        world.hosts[0].ejected = false;
        world.learn();
        world.run(40_000, 200, |world| world.random(6));
        if witness.is_some() {
            assert_eq!(world.failovers(), ["failover_started", "failover_ended"]);
            let (EventKind::FailoverEnded { seconds, destinations, .. }, _) = world.ended() else { panic!("no end") };
            let after = world.started().1 - begun;
            let lasted = 30.0 - after as f64 / 1_000.0;
            assert!((seconds - lasted).abs() < 2.0, "{seconds} of {lasted}: half of all goes away after it too");
            assert!(destinations[0].seconds <= *seconds);
        }
    }
}

#[test]
fn trouble_that_is_learned_late_does_not_become_the_usual_share() {
    // One of three at home is unhealthy for a while before the next list says so.
    let mut world = World::new(DEFAULT, HOME, Some(30_000), zones_alike());
    world.learn();
    world.run(35_000, 400, |world| world.random(6));
    world.hosts[0].healthy = false;
    world.run(60_000, 400, |world| 1 + world.random(5));
    assert_eq!(world.failovers(), ["failover_started"]);
}

#[test]
fn the_share_at_the_start_is_true_although_sums_reach_back_before_the_trouble() {
    // Two of three at home are ejected: 46 % stays, by Envoy's overprovisioning of 1.4.
    let mut hosts = two_zones();
    hosts.insert(0, host("a:0", HOME, 0));
    let mut world = World::new(DEFAULT, HOME, Some(30_000), hosts);
    world.learn();
    world.run(15_400, 300, |world| world.random(3));
    for i in [0, 1] {
        world.hosts[i].ejected = true;
    }
    world.learn();
    let begun = world.now;
    world.run(5_000, 300, |world| if world.random(1_000) < 467 { 2 } else { 3 + world.random(2) });
    let (route, at) = world.started();
    assert!((0.483..0.583).contains(&route.share), "{}", route.share);
    assert!(at - begun <= 2_000, "{} ms", at - begun);
}

/// Takes in a list in which the hosts away have got so many requests since the one before.
fn list(world: &mut World, attempts: u32, have_changed: bool) {
    world.now += 400;
    let sums = vec![(Locality::parse(NEAR), Count { attempts, errors: 0 })];
    let growth = Growth { since: world.now - 400, sums, have_changed, ..Growth::default() };
    let hosts = world.hosts.clone();
    let events = world.with(|state, context| cluster::on_host_list(state, &hosts, &growth, context.now, context));
    world.events.extend(events);
}

#[test]
fn envoys_counts_tell_how_many_went_away_unless_they_lack_some() {
    // The workers' sums are reckoned from a sample: 30 for Envoy's 10.
    for (have_changed, silent, told) in [(false, 0, 10), (true, 0, 30), (false, 20_000, 30)] {
        let mut world = World::new(SHORT, HOME, Some(60_000), two_zones());
        let count = |world: &mut World, at, attempts| {
            let sums = [(Locality::parse(at), Count { attempts, errors: 0 })];
            world.with(|state, context| cluster::add_traffic(state, &sums, context.now - 300, context));
        };
        count(&mut world, HOME, 9);
        list(&mut world, 0, false);
        world.hosts[..2].iter_mut().for_each(|host| host.ejected = true);
        list(&mut world, 0, false);
        world.request(2, DetectorInput::answered(200));
        assert_eq!(world.failovers(), ["failover_started"]);
        list(&mut world, 10, have_changed);
        world.now += silent;
        count(&mut world, NEAR, 30);
        world.hosts[..2].iter_mut().for_each(|host| host.ejected = false);
        for _ in 0..20 {
            list(&mut world, 0, false);
        }
        let EventKind::FailoverEnded { requests_away, .. } = world.ended().0 else { panic!("no end") };
        assert_eq!(*requests_away, told, "hosts changed: {have_changed}, no list for {silent} ms");
    }
}

#[test]
fn a_short_stay_elsewhere_is_in_the_end() {
    let mut hosts = two_zones();
    hosts.push(host("c:1", FAR, 2));
    let mut world = World::new(SHORT, HOME, Some(6_000), hosts);
    world.learn();
    world.run(3_000, 50, |world| world.random(2));
    for i in [0, 1] {
        world.hosts[i].ejected = true;
    }
    world.learn();
    world.run(5_000, 50, |world| 2 + world.random(2));
    world.run(1_000, 50, |_| 4);
    world.run(4_000, 50, |world| 2 + world.random(2));
    for i in [0, 1] {
        world.hosts[i].ejected = false;
    }
    world.learn();
    world.run(8_000, 50, |world| world.random(2));
    let EventKind::FailoverEnded { destinations, requests_away, seconds, .. } = world.ended().0 else {
        panic!("no end")
    };
    let told: Vec<_> = destinations.iter().map(|told| (told.to.as_str(), told.requests)).collect();
    assert_eq!((told, *requests_away), (vec![(NEAR, 450), (FAR, 50)], 500));
    assert!((destinations[0].seconds - 10.0).abs() < 1.2 && (destinations[1].seconds - 1.0).abs() < 0.1);
    assert!((seconds - 10.0).abs() < 0.1, "{seconds}");
}
