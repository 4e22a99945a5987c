//! One pod: the failure matrix, a row for each test.

use hot_switch_core::Moment;
use hot_switch_core::node::Node;
use hot_switch_core::pod::{Consent, Image, Intent, Kernel, News, Pod, State};
use hot_switch_core::refusal::Refusal;
use hot_switch_core::settings::{OnFlap, OnOverdue, Settings};
use hot_switch_core::sighting::{App, Condition};
use hot_switch_core::standing::{Directions, Life, Mode, Protection, Standing};

use crate::world::{ACT, Proxy, World, secs};

fn world() -> World {
    let mut world = World::new(Settings::default());
    world.rounds(5);
    assert_eq!(world.pod.state(), State::Well);
    world
}

fn bypassed(proxy: Proxy) -> World {
    let mut world = world();
    world.proxy = proxy;
    world.until("the bypass", |world| world.kernel.gate.is_some());
    world
}

#[test]
fn a_dead_proxy_is_bypassed_three_seconds_after_its_first_sighting() {
    let mut world = world();
    world.proxy = Proxy::Dead;
    world.round();
    assert!(world.kernel.probes, "probes are taken over at the first suspicion");
    assert_eq!((world.kernel.gate, world.kernel.ready), (None, false), "its readiness is its own before the gate");
    let rounds = 1 + world.until("the gate", |world| world.kernel.gate.is_some());
    assert_eq!(rounds, 4, "seen at 0, 1, 2 and 3 s");
    assert!(world.kernel.ready, "with the gate the pod serves, and says so");
    assert_eq!(world.pod.state(), State::Bypassed);
    assert_eq!(world.proxy_sockets_cut, 0, "a dead proxy has no sockets");
    assert_eq!(world.told(), [News::Suspected(Condition::Dead), News::Bypassed(Condition::Dead, secs(3))]);
}

#[test]
fn a_hung_or_frozen_proxy_is_bypassed_after_the_set_time_and_its_sockets_are_cut() {
    for (proxy, condition) in [(Proxy::Hung, Condition::Hung), (Proxy::Frozen, Condition::Frozen)] {
        let world = bypassed(proxy);
        assert_eq!(world.proxy_sockets_cut, 1);
        assert!(world.told().contains(&News::Bypassed(condition, secs(3))), "{:?}", world.told());
    }
}

#[test]
fn a_proxy_that_comes_back_within_two_seconds_is_left_alone() {
    let mut world = world();
    world.proxy = Proxy::Dead;
    world.round();
    world.proxy = Proxy::Well;
    world.rounds(5);
    assert_eq!(world.kernel, Kernel { captured: true, ..Kernel::default() }, "its probes are its own again");
    assert_eq!(world.told(), []);
}

#[test]
fn it_is_restored_when_the_proxy_has_been_well_for_ten_seconds_and_the_bypass_has_been_held() {
    let mut world = bypassed(Proxy::Dead);
    let on = world.kernel.gate.unwrap();
    world.rounds(60);
    world.proxy = Proxy::Well;
    let rounds = world.until("the restore", |world| world.kernel.gate.is_none());
    assert_eq!(rounds, 11, "well at 0 … 10 s");
    assert_eq!(world.pod.state(), State::Well);
    assert_eq!(world.pod.wish(), None, "label and image go back");
    assert!(!world.kernel.probes);
    assert_eq!(world.direct_flows_cut, 0, "direct connections have their grace");
    world.rounds(31);
    assert_eq!(world.direct_flows_cut, 1);
    let (at, last) = *world.news.last().unwrap();
    assert_eq!(last, News::Restored(at - on));
}

#[test]
fn a_proxy_that_is_well_for_a_moment_is_not_trusted() {
    let mut world = bypassed(Proxy::Dead);
    world.rounds(60);
    for _ in 0..10 {
        world.proxy = Proxy::Well;
        world.rounds(9);
        assert_eq!(world.pod.state(), State::Recovering);
        world.proxy = Proxy::Dead;
        world.rounds(3);
        assert_eq!(world.pod.state(), State::Bypassed);
    }
    assert!(world.kernel.gate.is_some());
}

#[test]
fn a_slow_proxy_is_not_a_dead_one() {
    let mut world = world();
    world.proxy = Proxy::Slow;
    world.rounds(600);
    assert_eq!(world.told(), []);
    assert!(!world.kernel.probes);
}

#[test]
fn a_proxy_that_was_never_well_is_never_bypassed() {
    let mut world = World::new(Settings::default());
    for proxy in [Proxy::Starting, Proxy::Dead, Proxy::Hung, Proxy::Frozen, Proxy::Starting] {
        world.proxy = proxy;
        world.rounds(100);
        assert_eq!(world.pod.state(), State::Unborn);
    }
    assert_eq!((world.told(), world.kernel.probes), (Vec::new(), false));
}

#[test]
fn a_proxy_that_fell_and_cannot_start_again_is_bypassed() {
    // It crashed while the control plane is away: its agent has no configuration to give it.
    let mut world = world();
    world.proxy = Proxy::Dead;
    world.rounds(2);
    world.proxy = Proxy::Starting;
    world.rounds(5);
    assert_eq!(world.kernel.gate, None, "starting takes its time");
    world.proxy = Proxy::Dead;
    world.round();
    assert!(world.kernel.gate.is_some());
}

#[test]
fn where_the_application_does_not_answer_a_bypass_would_change_nothing() {
    for (app, refusal) in [(App::Fails, Refusal::AppFails), (App::Unknown, Refusal::AppUnknown)] {
        let mut world = world();
        (world.proxy, world.app) = (Proxy::Dead, app);
        world.rounds(20);
        assert_eq!(world.pod.state(), State::Refused(refusal));
        let refusals = world.told().iter().filter(|news| matches!(news, News::Refused(..))).count();
        assert_eq!(refusals, 1, "it is told once, not every second");
        world.app = App::Answers;
        world.rounds(2);
        assert!(world.kernel.gate.is_some(), "and not held against it later");
    }
}

#[test]
fn a_late_agent_and_a_failing_node_bypass_nothing() {
    let late = Node { delay: Moment::from_secs(1), failing: 1, proxies: 10 };
    let together = Node { delay: Moment::ZERO, failing: 8, proxies: 10 };
    for (node, refusal) in [(late, Refusal::NodeLate), (together, Refusal::NodeFails)] {
        let mut world = world();
        (world.proxy, world.node) = (Proxy::Frozen, node);
        world.rounds(60);
        assert_eq!(world.pod.state(), State::Refused(refusal));
        assert_eq!((world.kernel.gate, world.kernel.probes), (None, false));
    }
}

#[test]
fn report_says_what_it_would_do_and_does_nothing() {
    let mut world = world();
    world.standing = Standing { mode: Mode::Report, ..ACT };
    world.proxy = Proxy::Dead;
    world.rounds(60);
    assert_eq!(world.told(), [News::Suspected(Condition::Dead), News::Refused(Refusal::ReportOnly, Condition::Dead)]);
    assert_eq!((world.kernel.gate, world.kernel.probes, world.pod.wish()), (None, false, None));
}

#[test]
fn the_owner_ends_a_bypass_by_a_word() {
    let mut world = bypassed(Proxy::Dead);
    world.standing = Standing { mode: Mode::Off, ..ACT };
    world.round();
    assert_eq!((world.kernel.gate, world.kernel.probes), (None, false));
}

#[test]
fn who_takes_back_that_protection_may_be_lost_ends_the_bypass() {
    let allowed = Standing { protection: Protection::MayBeLost, ..ACT };
    let mut world = world();
    (world.standing, world.proxy) = (allowed, Proxy::Dead);
    world.until("the bypass", |world| world.kernel.gate.is_some());
    world.rounds(5);
    // Whether a policy would be lost, the controller is asked anew.
    (world.standing, world.consent) = (Standing { protection: Protection::Unknown, ..ACT }, Consent::Waiting);
    world.round();
    assert_eq!((world.kernel.gate, world.kernel.answers(), world.pod.wish()), (None, false, None));
    world.consent = Consent::Denied(Refusal::Unprotected);
    world.rounds(20);
    assert_eq!((world.pod.state(), world.kernel.gate), (State::Refused(Refusal::Unprotected), None));
}

#[test]
fn other_directions_during_a_bypass_hold_at_once() {
    let mut world = bypassed(Proxy::Hung);
    world.rounds(5);
    let gate = world.kernel.gate;
    world.standing = Standing { directions: Directions::Outbound, ..ACT };
    // The gate in the inbound chains is what differs.
    world.kernel.half = true;
    world.rounds(2);
    assert_eq!((world.kernel.gate, world.kernel.half), (gate, false));
    assert_eq!((world.kernel.probes, world.kernel.ready), (true, false), "inbound is the proxy's matter again");
    world.standing = ACT;
    world.rounds(2);
    assert!(world.kernel.ready);
}

#[test]
fn a_pod_that_is_being_deleted_keeps_its_bypass_and_gets_none() {
    let mut old = bypassed(Proxy::Dead);
    old.standing = Standing { life: Life::Terminating, ..ACT };
    old.rounds(60);
    assert!(old.kernel.gate.is_some(), "its requests are served to the end");
    let mut new = world();
    new.standing = Standing { life: Life::Terminating, ..ACT };
    new.proxy = Proxy::Dead;
    new.rounds(60);
    assert_eq!(new.pod.state(), State::Refused(Refusal::Terminating));
}

#[test]
fn without_a_controller_nothing_is_bypassed_and_restores_go_on() {
    let mut world = world();
    (world.proxy, world.consent) = (Proxy::Dead, Consent::NoController);
    world.rounds(60);
    assert_eq!(world.pod.state(), State::Refused(Refusal::NoController));
    assert!(!world.kernel.answers(), "kubelet has to see it");
    let mut world = bypassed(Proxy::Dead);
    world.consent = Consent::NoController;
    world.proxy = Proxy::Well;
    world.until("the restore", |world| world.kernel.gate.is_none());
}

#[test]
fn a_refusal_gives_the_probes_back_and_a_later_grant_takes_them_again() {
    for refusal in [Refusal::Budget, Refusal::Breaker, Refusal::Rate, Refusal::Unprotected] {
        let mut world = world();
        (world.proxy, world.consent) = (Proxy::Hung, Consent::Denied(refusal));
        world.rounds(3);
        assert_eq!((world.kernel.probes, world.kernel.ready), (true, false));
        for _ in 0..60 {
            world.rounds(2);
            assert_eq!(world.pod.state(), State::Refused(refusal));
            assert!(!world.kernel.answers(), "a ready pod would lose whatever is sent to it");
        }
        world.consent = Consent::Granted;
        world.rounds(2);
        assert!(world.kernel.gate.is_some() && world.kernel.probes && world.kernel.ready);
    }
}

#[test]
fn where_inbound_traffic_stays_with_the_proxy_its_readiness_does_too() {
    let mut world = world();
    world.standing = Standing { directions: Directions::Outbound, ..ACT };
    world.proxy = Proxy::Frozen;
    world.rounds(60);
    assert!(world.kernel.gate.is_some());
    assert_eq!((world.kernel.probes, world.kernel.ready), (true, false));
}

#[test]
fn a_consent_that_comes_between_two_rounds_is_acted_on_at_once() {
    let mut world = world();
    (world.proxy, world.consent) = (Proxy::Hung, Consent::Waiting);
    world.rounds(4);
    assert_eq!((world.pod.state(), world.kernel.gate), (State::Confirmed, None));
    world.consent = Consent::Granted;
    let intents = world.pod.hear(&world.facts());
    world.apply(intents);
    assert!(world.kernel.gate.is_some());
}

#[test]
fn the_agent_that_comes_next_goes_on_with_what_is_in_the_kernel() {
    let mut world = bypassed(Proxy::Dead);
    world.rounds(10);
    let gate = world.kernel.gate;
    world.pod = Pod::new(Settings::default());
    world.news.clear();
    world.round();
    assert_eq!((world.pod.state(), world.kernel.gate), (State::Bypassed, gate));
    assert_eq!(world.told(), [News::Adopted]);
    world.proxy = Proxy::Well;
    world.until("the restore", |world| world.kernel.gate.is_none());
}

#[test]
fn half_a_gate_is_made_whole() {
    let mut world = bypassed(Proxy::Dead);
    world.pod = Pod::new(Settings::default());
    world.kernel.half = true;
    world.round();
    assert!(!world.kernel.half);
}

#[test]
fn a_gate_that_a_person_took_away_does_not_come_back() {
    let mut world = bypassed(Proxy::Dead);
    world.rounds(5);
    world.kernel.gate = None;
    world.rounds(60);
    assert_eq!((world.pod.state(), world.kernel.gate), (State::Refused(Refusal::ByHand), None));
    world.proxy = Proxy::Well;
    world.rounds(20);
    world.proxy = Proxy::Dead;
    world.until("a new bypass", |world| world.kernel.gate.is_some());
}

#[test]
fn a_bypass_is_told_when_the_kernel_shows_it_not_when_it_was_meant() {
    let mut world = world();
    world.proxy = Proxy::Dead;
    for _ in 0..10 {
        // A kernel that takes no rules: nothing is applied.
        let intents = world.pod.step(&world.facts());
        let told = intents.iter().any(|intent| matches!(intent, Intent::Tell(News::Bypassed(..))));
        assert!(!told);
        let intents = world.pod.hear(&world.facts());
        assert!(!intents.iter().any(|intent| matches!(intent, Intent::Tell(_))));
        world.now += secs(1);
    }
    assert_eq!(world.pod.state(), State::Confirmed);
    assert_eq!(world.pod.bypassed_since(), None);
    world.proxy = Proxy::Well;
    world.rounds(2);
    assert_eq!((world.pod.state(), world.pod.wish()), (State::Well, None));
}

#[test]
fn after_three_bypasses_within_ten_minutes_it_stays_off_or_bypassed() {
    for (on_flap, gate) in [(OnFlap::StayOff, false), (OnFlap::StayBypassed, true)] {
        let hold = secs(0);
        let mut world = World::new(Settings { on_flap, hold, ..Settings::default() });
        world.rounds(5);
        let mut switches = 0;
        for _ in 0..20 {
            let before = world.kernel.gate.is_some();
            world.proxy = Proxy::Dead;
            world.rounds(5);
            switches += u32::from(!before && world.kernel.gate.is_some());
            world.proxy = Proxy::Well;
            world.rounds(15);
        }
        assert_eq!(switches, 3, "{on_flap:?} in 400 s");
        assert_eq!(world.kernel.gate.is_some(), gate, "{on_flap:?}");
    }
}

#[test]
fn a_bypass_that_lasts_too_long_is_told_and_ends_if_so_chosen() {
    for (on_overdue, ends) in [(OnOverdue::Alarm, false), (OnOverdue::Restore, true)] {
        let mut world = World::new(Settings { on_overdue, ..Settings::default() });
        world.rounds(5);
        world.proxy = Proxy::Dead;
        world.rounds(4000);
        let overdue = world.told().iter().filter(|news| matches!(news, News::Overdue(_))).count();
        assert_eq!(overdue, 1);
        assert_eq!(world.kernel.gate.is_none(), ends);
        if ends {
            assert_eq!(world.pod.state(), State::Refused(Refusal::Overdue));
        }
    }
}

#[test]
fn a_container_that_stays_down_gets_the_stand_in_and_its_own_image_again_later() {
    let mut world = bypassed(Proxy::Dead);
    let image = |world: &World| world.pod.wish().unwrap().image;
    world.rounds(9);
    assert_eq!(image(&world), Image::Real);
    world.rounds(3);
    assert_eq!(image(&world), Image::StandIn);
    world.proxy = Proxy::StandIn;
    let first = world.until("the first trial", |world| image(world) == Image::Real);
    assert!((58..=61).contains(&first), "{first}");
    world.proxy = Proxy::Dead;
    world.until("the stand-in again", |world| image(world) == Image::StandIn);
    world.proxy = Proxy::StandIn;
    let second = world.until("the second trial", |world| image(world) == Image::Real);
    assert!((118..=121).contains(&second), "gaps grow: {second}");
    world.proxy = Proxy::Well;
    world.until("the restore", |world| world.kernel.gate.is_none());
    assert_eq!(world.pod.wish(), None);
}

#[test]
fn an_application_that_is_dead_behind_a_well_proxy_is_no_matter_of_ours() {
    let mut world = world();
    world.app = App::Fails;
    world.rounds(600);
    assert_eq!((world.told(), world.pod.state()), (Vec::new(), State::Well));
    assert!(!world.kernel.probes, "the application's probes fail as they should");
}

#[test]
fn where_nothing_redirects_traffic_there_is_nothing_to_bypass() {
    let mut world = world();
    (world.proxy, world.kernel.captured) = (Proxy::Dead, false);
    world.rounds(60);
    assert_eq!(world.pod.state(), State::Refused(Refusal::NotCaptured));
    assert_eq!((world.kernel.gate, world.kernel.probes), (None, false));
}
