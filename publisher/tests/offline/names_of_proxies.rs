//! Tests that one file is called the same by `events` and `report`, however it came, and that who may be a proxy or not
//! is said.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{run, run_with_input};

fn event(endpoint: &str, second: u32) -> String {
    format!(
        r#"{{"faultline":"endpoint_ejected","v":1,"ts":"2026-11-20T15:43:{second:02}.405Z","cluster":"c","endpoint":"{endpoint}","locality":"r/a","basis":"witnessed","reason":"consecutive_5xx","ejection":1,"ejected_endpoints":1,"endpoints":4}}"#
    ) + "\n"
}

/// An archive of files, each with its text.
fn archive(files: &[(&str, String)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn by_events(dir: &Path, files: &[&str]) -> BTreeSet<String> {
    let ran = run(dir, &[&["events"], files].concat()).exits(0);
    let pod = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["pod"].as_str().unwrap().to_owned();
    ran.stdout.lines().map(pod).collect()
}

fn by_report(dir: &Path, files: &[&str]) -> BTreeSet<String> {
    let json = run(dir, &[&["report", "--output", "json"], files].concat()).exits(0).json();
    json["proxies"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn files_in_archives_have_the_same_names_in_events_as_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, files: &[(&str, String)]| std::fs::write(dir.path().join(name), archive(files)).unwrap();
    write("two.tar", &[("n1/app.log", event("10.0.0.1:80", 1)), ("n2/app.log", event("10.0.0.2:80", 2))]);
    write("one.tar", &[("n1/web.log", event("10.0.0.3:80", 3))]);
    write("a.tar", &[("app.log", event("10.0.0.4:80", 4))]);
    write("b.tar", &[("app.log", event("10.0.0.5:80", 5))]);
    std::fs::write(dir.path().join("app.log"), event("10.0.0.6:80", 6)).unwrap();
    for (files, wanted) in [
        (&["two.tar"][..], &["two/n1/app", "two/n2/app"][..]),
        (&["one.tar"], &["web"]),
        // Two archives' files of one name are two proxies'.
        (&["a.tar", "b.tar"], &["a/app", "b/app"]),
        (&["b.tar", "one.tar"], &["app", "web"]),
        (&["app.log", "one.tar"], &["app", "web"]),
    ] {
        let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(by_report(dir.path(), files), wanted, "report {files:?}");
        assert_eq!(by_events(dir.path(), files), wanted, "events {files:?}");
    }
    for files in [&["a.tar", "app.log"][..], &["app.log", "a.tar", "two.tar"]] {
        assert_eq!(by_events(dir.path(), files), by_report(dir.path(), files), "{files:?}");
    }
}

#[test]
fn who_may_be_a_proxy_or_not_is_said_and_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let record = |pod: &str, log: &str| serde_json::json!({"pod": pod, "log": log}).to_string() + "\n";
    let told = record("a", event("10.0.0.1:80", 1).trim());
    let said = |text: &str| {
        let ran = run_with_input(dir.path(), &["report"], text.as_bytes()).exits(0);
        assert!(ran.stdout.contains("1 event of 1 proxy"), "{ran:?}");
        ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let doubt = "named without a container";
    assert!(!said(&told).contains(doubt));
    let one = said(&(told.clone() + &record("b", "ready")));
    assert!(one.contains("1 pod or machine named without a container tells no event"), "{one}");
    let two = said(&(told.clone() + &record("b", "ready") + &record("c", "ready") + &record("c", "ready")));
    assert!(two.contains("2 pods or machines named without a container tell no event"), "{two}");
    // What a request carries names nobody.
    let header = "{\"stream\": \"stdout\", \"http\": {\"headers\": {\"pod-name\": \"x\"}}}\n";
    assert!(!said(&(told + header)).contains(doubt));
}

#[test]
fn a_directory_is_told_from_a_log() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("logs")).unwrap();
    for command in ["report", "events"] {
        run(dir.path(), &[command, "logs"]).fails_with(&["`logs`", "is a directory: name the files in it"]);
    }
}
