//! `bypass`, `status` and `restore` as they are typed.

use std::process::{Command, Output};

use crate::space::{REDIRECT, Space};

fn hot_switch(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hot-switch")).args(words).output().unwrap()
}

#[test]
fn by_hand_there_and_back() {
    let Some(space) = Space::create("by_hand_there_and_back") else { return };
    space.set("iptables-nft-restore", REDIRECT);
    let before = space.rules();
    let path = space.path().display().to_string();
    let said = |words: &[&str]| {
        let output = hot_switch(&[words, &["--netns", &path]].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(said(&["status"]).contains("through the proxy"));
    said(&["bypass"]);
    assert!(said(&["status"]).contains("bypassed for "), "{}", said(&["status"]));
    assert!(said(&["status", "--output", "json"]).contains("\"bypassed\":true"));
    said(&["restore"]);
    assert_eq!(space.rules(), before);
}

#[test]
fn what_cannot_be_done_is_said_in_a_line() {
    let Some(space) = Space::create("what_cannot_be_done_is_said_in_a_line") else { return };
    let path = space.path().display().to_string();
    for (words, why) in [
        (["bypass", "--netns", &path], "nothing redirects this pod's traffic"),
        (["bypass", "--netns", "/no/such"], "/no/such: cannot be opened"),
        (["restore", "--netns", "/proc/self/ns/net"], "never touched"),
        (["bypass", "--uid", "../../etc"], "is no UID of a pod"),
    ] {
        let output = hot_switch(&words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why) && said.lines().count() == 1, "{words:?}: {said}");
    }
    // A machine without the programs.
    let mut command = Command::new(env!("CARGO_BIN_EXE_hot-switch"));
    let output = command.args(["status", "--netns", &path]).env("PATH", "/nowhere").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("put iptables and nftables into the image"), "{output:?}");
}
