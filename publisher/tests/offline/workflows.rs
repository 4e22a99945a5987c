//! Tests the workflows in `.github`: they are YAML, run xtask's commands with its options, take actions of fixed
//! versions, and may do no more than they say. Whether GitHub takes them is not tested here.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/workflows")
}

fn workflow(name: &str) -> Value {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The steps of every job.
fn steps(workflow: &Value) -> Vec<Value> {
    let jobs = workflow["jobs"].as_object().unwrap().values();
    jobs.flat_map(|job| job["steps"].as_array().unwrap().clone()).collect()
}

#[test]
fn every_action_has_a_fixed_version() {
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        for step in steps(&workflow(&name)) {
            let Some(action) = step["uses"].as_str() else { continue };
            let (owner, version) = action.split_once('@').unwrap();
            let numbers: Vec<_> = version.trim_start_matches('v').split('.').collect();
            assert!(numbers.len() == 3 && numbers.iter().all(|it| it.parse::<u32>().is_ok()), "{name}: {action}");
            assert!(owner.starts_with("actions/"), "{name}: {action} is a stranger's");
        }
    }
}

#[test]
fn only_the_job_that_publishes_may_write() {
    let ci = workflow("ci.yml");
    assert_eq!(ci["permissions"], json!({"contents": "read"}));
    assert!(ci["jobs"].as_object().unwrap().values().all(|job| job["permissions"].is_null()));
    let release = workflow("release.yml");
    assert_eq!(release["permissions"], json!({}));
    assert_eq!(release["jobs"]["build"]["permissions"], json!({"contents": "read"}));
    assert_eq!(release["jobs"]["publish"]["permissions"], json!({"contents": "write"}));
    let publishes = release["jobs"]["publish"].to_string();
    assert!(!publishes.contains("secrets.") && !publishes.contains("cargo"), "{publishes}");
}

#[test]
fn what_is_built_and_tested_is_built_and_tested_by_xtask() {
    let runs = |name: &str| -> Vec<String> {
        steps(&workflow(name)).iter().filter_map(|step| step["run"].as_str().map(str::to_owned)).collect()
    };
    let drill = r#"sudo env "PATH=$PATH" "HOME=$HOME" cargo xtask drill istio"#;
    assert_eq!(runs("ci.yml"), ["cargo xtask book", drill, "cargo xtask test"]);
    let release = runs("release.yml");
    assert!(release[0].starts_with("cargo xtask dist --check --key env://"), "{release:?}");
    assert!(release.len() == 2 && release[1].starts_with("gh release create "), "{release:?}");
    // What a stranger can name never becomes a part of a script.
    assert!(!release.concat().contains("${{"), "{release:?}");
    let options = fs::read_to_string(folder().join("../../xtask/src/dist/mod.rs")).unwrap();
    for option in release[0].split_whitespace().filter_map(|word| word.strip_prefix("--")) {
        assert!(options.contains(&format!("    {}: ", option.replace('-', "_"))), "--{option} is none of dist's");
    }
}
