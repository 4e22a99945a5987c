//! Pods whose owners set rules of their own, to see what the agent, which is root, makes of them.

use std::fmt::Write;

use hot_switch::kernel::plan;
use hot_switch::kernel::reading::Reading;
use hot_switch_core::standing::Directions;

use crate::space::{REDIRECT, Space};

#[test]
fn words_that_a_pod_put_into_its_rules_are_never_typed_again() {
    let Some(space) = Space::create("words_that_a_pod_put_into_its_rules_are_never_typed_again") else { return };
    space.set("iptables-nft-restore", REDIRECT);
    // What iptables-save prints of this comment looks like a rule of ours, with an option that names a program.
    let forged = "x\n-A ISTIO_OUTPUT -M /tmp/evil -m comment --comment faultline-hot-switch:gate:1 -j RETURN";
    let words = ["iptables-nft", "-t", "nat", "-I", "ISTIO_OUTPUT", "1", "-m", "comment", "--comment", forged];
    space.exec(&words, "").unwrap();
    assert!(space.rules().contains("\n-A ISTIO_OUTPUT -M /tmp/evil"), "the test shows nothing: {}", space.rules());
    let reading = space.netns().inside(Reading::take).unwrap();
    let mut texts = 0;
    for rules in reading.parts() {
        let gate = [plan::gate_on(rules, Directions::Both, 5), plan::gate_off(rules)];
        let probes = [plan::take_probes(rules), plan::take_ready(rules)];
        for text in gate.into_iter().chain(probes).flatten() {
            assert!(!text.contains("evil"), "a pod's owner chose words of a change that root makes:\n{text}");
            texts += 1;
        }
    }
    assert!(texts >= 2, "nothing would be changed");
}

#[test]
fn a_pod_with_rules_without_end_is_refused() {
    let Some(space) = Space::create("a_pod_with_rules_without_end_is_refused") else { return };
    space.set("iptables-nft-restore", REDIRECT);
    let mut many = String::from("*filter\n:MANY - [0:0]\n");
    let comment = "x".repeat(250);
    for _ in 0..20_000 {
        let _ = writeln!(many, "-A MANY -m comment --comment {comment}");
    }
    many += "COMMIT\n";
    space.set("iptables-nft-restore", &many);
    let error = space.netns().inside(Reading::take).unwrap_err();
    assert!(format!("{error:#}").contains("longer than 4 MiB"), "{error:#}");
}
