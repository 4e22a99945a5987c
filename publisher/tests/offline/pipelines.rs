//! Tests that the pipelines in the documents work on the logs that proxies really write: Envoy's text, istio-proxy's
//! text, whose lines end in the thread's number, and istio-proxy's JSON (`logAsJson`), in which the event is a string.
//!
//! Of each pipeline whose first command prints a log, that command is replaced by `cat`; the rest is run as typed, by
//! `sh`. Where jq is not installed, the test is reported as skipped.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::skip::{Tool, skip};
use crate::support::{Ran, run};

/// Envoy's own text: 23 events in 25 lines.
const OUTAGE: &str = include_str!("../logs/zone-outage.log");
const EVENTS: usize = 23;

/// What `kubectl logs --prefix` writes before each line.
const PREFIX: &str = "[pod/mocka-7d9c6b5f4-8xkqz/istio-proxy] ";

/// The lines of a log in each form, by name.
fn forms() -> [(&'static str, Vec<String>); 3] {
    let istio = |line: &str| {
        let message = line.find("wasm log").map_or("starting", |at| &line[at..]);
        format!("2026-11-20T15:43:08.000001Z\twarning\tenvoy wasm external/envoy/x.cc:1198\t{message}\tthread=22")
    };
    let json = |line: &str| {
        let message = line.find("wasm log").map_or("starting", |at| &line[at..]);
        json!({"level": "warning", "time": "2026-11-20T15:43:08.000001Z", "scope": "envoy wasm",
            "msg": format!("external/envoy/x.cc:1198\t{message}"), "thread": "22"})
        .to_string()
    };
    [
        ("Envoy's text", OUTAGE.lines().map(str::to_owned).collect()),
        ("Istio's text", OUTAGE.lines().map(istio).collect()),
        ("Istio's JSON", OUTAGE.lines().map(json).collect()),
    ]
}

/// Every pipeline in a document's console blocks whose first command prints a proxy's log.
fn pipelines(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join(document)).unwrap_or_else(|e| panic!("{document}: {e}"));
    let typed = text.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
    let prints_a_log = |command: &&str| {
        let first = command.split('|').next().unwrap_or_default();
        command.contains('|') && (first.contains(" logs ") || first.contains("envoy -c "))
    };
    typed.filter(prints_a_log).map(str::to_owned).collect()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs a pipeline by `sh` in an empty directory, on these lines in place of its first command.
fn piped(pipeline: &str, lines: &[String]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let (first, rest) = pipeline.split_once('|').expect("it is a pipeline");
    let prefix = if first.contains("--prefix") { PREFIX } else { "" };
    let log: String = lines.iter().map(|line| format!("{prefix}{line}\n")).collect();
    std::fs::write(dir.path().join("the.log"), log).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_faultline")).parent().expect("it is in a directory");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("cat the.log | {rest}")]).current_dir(dir.path()).env("PATH", path).stdin(Stdio::null());
    shell.output().expect("sh runs").into()
}

#[test]
#[cfg(unix)]
fn every_pipeline_in_the_documents_works_on_the_logs_of_real_proxies() {
    if Command::new("jq").arg("--version").output().is_err() {
        return skip("the documents' pipelines", Tool::Optional, "jq is not installed");
    }
    let documents =
        ["README.md", "docs/install.md", "docs/runbooks/README.md", "deploy/istio/README.md", "docs/commands.md"];
    let all: Vec<(&str, String)> =
        documents.iter().flat_map(|file| pipelines(file).into_iter().map(move |line| (*file, line))).collect();
    assert!(all.len() >= 8, "{all:#?}");
    for ((document, pipeline), (form, lines)) in all.iter().flat_map(|one| forms().map(|form| (one, form))) {
        // Of the raw lines of a log in JSON, the page says to use `faultline watch` instead.
        if pipeline.contains("grep -o") && form == "Istio's JSON" {
            continue;
        }
        let ran = piped(pipeline, &lines);
        let what = format!("{document}, {form}: {pipeline}\n{ran:?}");
        assert_eq!(ran.code, 0, "{what}");
        assert!(!ran.stderr.contains("error"), "{what}");
        match pipeline.contains("report") {
            true => assert!(ran.stdout.contains("mockb.default in ap-northeast-1a failed at 15:43:09"), "{what}"),
            false => assert_eq!(ran.stdout.lines().count(), EVENTS, "{what}"),
        }
    }
}

#[test]
#[cfg(unix)]
fn the_search_in_a_manifests_comments_finds_every_event_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["manifest", "ghcr.io/acme/faultline:1.0", "--offline", "--namespace", "shop"];
    let text = run(dir.path(), &args).exits(0).stdout;
    let search = text.lines().find(|line| line.contains(" logs ") && line.contains("| grep ")).expect("it says how");
    for (form, lines) in forms() {
        let ran = piped(search, &lines).exits(0);
        assert_eq!(ran.stdout.lines().count(), EVENTS, "{form}: {search}");
    }
}

#[test]
#[cfg(unix)]
fn the_output_that_the_readme_shows_is_that_of_its_command_on_the_event_that_it_shows() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let event = readme.lines().find(|line| line.starts_with(r#"{"faultline":"endpoint_ejected""#)).expect("an event");
    let first = &pipelines("README.md")[0];
    assert!(first.ends_with("| faultline watch"), "{first}");
    let told = piped(first, &[event.to_owned()]).exits(0).stdout;
    assert!(readme.contains(&format!("\n{told}")), "the README does not show: {told}");
}
