//! The gate and the probes' redirection in every backend: on, off, twice, half, and what is there when they are gone.

use hot_switch::kernel::reading::Reading;
use hot_switch_core::standing::Directions;

use crate::space::{NATIVE, REDIRECT, REDIRECT6, Space, TPROXY_DNS};

/// Every way in which Istio's rules come.
const WAYS: [(&str, &[(&str, &str)]); 7] = [
    ("nft", &[("iptables-nft-restore", REDIRECT)]),
    ("nft with IPv6", &[("iptables-nft-restore", REDIRECT), ("ip6tables-nft-restore", REDIRECT6)]),
    ("legacy", &[("iptables-legacy-restore", REDIRECT)]),
    ("legacy with IPv6", &[("iptables-legacy-restore", REDIRECT), ("ip6tables-legacy-restore", REDIRECT6)]),
    ("both backends at once", &[("iptables-nft-restore", REDIRECT), ("iptables-legacy-restore", REDIRECT)]),
    ("TPROXY with DNS capture", &[("iptables-nft-restore", TPROXY_DNS)]),
    ("native nftables", &[("nft", NATIVE)]),
];

/// Runs `check` for each way, in a namespace of its own.
fn in_every_way(test: &str, check: impl Fn(&str, &Space)) {
    for (way, rules) in WAYS {
        let Some(space) = Space::create(test) else { return };
        for (program, text) in rules {
            space.set(program, text);
        }
        check(way, &space);
    }
}

fn read(space: &Space) -> Reading {
    space.netns().inside(Reading::take).unwrap()
}

fn apply(space: &Space, change: impl Fn(&Reading) -> anyhow::Result<()> + Send + Sync) {
    space.netns().inside(|| change(&Reading::take()?)).unwrap();
}

#[test]
fn gate_and_probes_leave_the_rules_byte_for_byte_what_they_were() {
    in_every_way("gate_and_probes_leave_the_rules_byte_for_byte_what_they_were", |way, space| {
        let before = space.rules();
        let calm = read(space).found(Directions::Both);
        assert!(calm.captured && calm.gate.is_none() && !calm.probes, "{way}: {calm:?}");
        for _ in 0..3 {
            apply(space, |reading| reading.take_probes());
            assert!(!read(space).found(Directions::Both).ready, "{way}: the sidecar's readiness is taken by itself");
            apply(space, |reading| reading.gate_on(Directions::Both, 1_764_423_000_123));
        }
        (0..2).for_each(|_| apply(space, Reading::take_ready));
        let on = read(space).found(Directions::Both);
        assert_eq!((on.gate, on.half), (Some(1_764_423_000_123), false), "{way}: the rule keeps the moment");
        assert!(on.probes && on.ready, "{way}: {}", space.rules());
        for _ in 0..2 {
            apply(space, Reading::gate_off);
            apply(space, Reading::return_probes);
        }
        assert_eq!(space.rules(), before, "{way}");
    });
}

#[test]
fn other_directions_take_the_gate_from_the_chains_that_they_leave_out() {
    in_every_way("other_directions_take_the_gate_from_the_chains_that_they_leave_out", |way, space| {
        apply(space, |reading| reading.gate_on(Directions::Outbound, 5));
        let outbound = space.rules();
        apply(space, |reading| reading.gate_on(Directions::Both, 5));
        assert!(read(space).found(Directions::Outbound).half, "{way}");
        apply(space, |reading| reading.gate_on(Directions::Outbound, 7));
        assert_eq!(space.rules(), outbound, "{way}");
        assert!(!read(space).found(Directions::Outbound).half, "{way}");
    });
}

#[test]
fn each_chain_has_one_gate_and_it_is_first() {
    in_every_way("each_chain_has_one_gate_and_it_is_first", |way, space| {
        for _ in 0..3 {
            apply(space, |reading| reading.gate_on(Directions::Both, 7));
        }
        for rules in read(space).parts() {
            for (_, chain) in rules.chains().filter(|(_, chain)| chain.way().is_some()) {
                assert_eq!(chain.gate(), Some(7), "{way}: {}", chain.name);
                assert_eq!(chain.ours(|_| true).count(), 1, "{way}: {}", chain.name);
            }
        }
    });
}

#[test]
fn one_direction_leaves_the_other_as_it_is() {
    in_every_way("one_direction_leaves_the_other_as_it_is", |way, space| {
        let before = space.rules();
        apply(space, |reading| reading.gate_on(Directions::Outbound, 7));
        let found = read(space).found(Directions::Outbound);
        assert_eq!((found.gate, found.half), (Some(7), false), "{way}");
        assert!(read(space).found(Directions::Both).half, "{way}: seen as a gate for both, a part is missing");
        apply(space, |reading| reading.gate_on(Directions::Both, 9));
        assert!(!read(space).found(Directions::Both).half, "{way}: it is completed");
        apply(space, Reading::gate_off);
        assert_eq!(space.rules(), before, "{way}");
    });
}

#[test]
fn an_agent_that_was_killed_between_two_families_leaves_half_a_gate_that_the_next_completes() {
    let test = "an_agent_that_was_killed_between_two_families_leaves_half_a_gate_that_the_next_completes";
    let Some(space) = Space::create(test) else { return };
    space.set("iptables-nft-restore", REDIRECT);
    space.set("ip6tables-nft-restore", REDIRECT6);
    let before = space.rules();
    let first = Reading::of(read(&space).parts().first().cloned().into_iter().collect());
    space.netns().inside(|| first.gate_on(Directions::Both, 5)).unwrap();
    assert_eq!(read(&space).found(Directions::Both).gate, Some(5));
    assert!(read(&space).found(Directions::Both).half);
    apply(&space, |reading| reading.gate_on(Directions::Both, 5));
    assert!(!read(&space).found(Directions::Both).half);
    apply(&space, Reading::gate_off);
    assert_eq!(space.rules(), before);
}

#[test]
fn rules_of_others_stay_where_they_are() {
    let Some(space) = Space::create("rules_of_others_stay_where_they_are") else { return };
    space.set("iptables-nft-restore", REDIRECT);
    let other = "*nat\n-I PREROUTING 1 -p tcp -m tcp --dport 22 -m comment --comment \"a VPN's own\" -j DNAT \
                 --to-destination 10.1.1.1:22\nCOMMIT\n";
    space.set("iptables-nft-restore", other);
    let before = space.rules();
    apply(&space, |reading| reading.gate_on(Directions::Both, 5));
    // iptables-save writes the apostrophe with a backslash.
    assert!(space.rules().contains(r"a VPN\'s own"), "{}", space.rules());
    apply(&space, Reading::gate_off);
    assert_eq!(space.rules(), before);
}

#[test]
fn looking_makes_no_legacy_tables() {
    let Some(space) = Space::create("looking_makes_no_legacy_tables") else { return };
    space.set("iptables-nft-restore", REDIRECT);
    let _ = read(&space);
    let tables = space.exec(&["cat", "/proc/net/ip_tables_names"], "").unwrap_or_default();
    assert_eq!(tables.trim(), "", "Istio's own program would take the legacy backend from then on");
}

#[test]
fn a_namespace_without_rules_is_no_sidecars() {
    let Some(space) = Space::create("a_namespace_without_rules_is_no_sidecars") else { return };
    let before = space.rules();
    assert!(!read(&space).found(Directions::Both).captured);
    apply(&space, |reading| reading.gate_on(Directions::Both, 5));
    apply(&space, |reading| reading.take_probes());
    assert_eq!(space.rules(), before);
}

#[test]
fn the_nodes_own_network_is_never_opened() {
    use std::path::Path;
    let error = hot_switch::kernel::netns::Netns::open(Path::new("/proc/self/ns/net"), Path::new("/proc")).unwrap_err();
    assert!(error.to_string().contains("never touched"), "{error}");
}
