//! Tests of the example bootstrap for a plain Envoy: Envoy accepts it, and it has a rule for every label.

use std::process::Command;

use anyhow::{Context, Result};
use lab::envoy::tags::{LABELS, plain_bootstrap};
use lab::programs::tools::Tool;

#[test]
fn envoy_accepts_the_example() -> Result<()> {
    let module = Tool::Module.path()?;
    let text = std::fs::read_to_string(plain_bootstrap())?;
    let adapted = text.replace("/etc/envoy/faultline.wasm", module.to_str().context("the module's path")?);
    assert_ne!(adapted, text, "the example loads the module from somewhere else");
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("bootstrap.yaml");
    std::fs::write(&file, adapted)?;
    let output = Command::new(Tool::Envoy.path()?).args(["--mode", "validate", "-c"]).arg(&file).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn the_example_has_a_tag_rule_for_every_label() -> Result<()> {
    let text = std::fs::read_to_string(plain_bootstrap())?;
    for label in LABELS {
        let rule = format!(r"- {{tag_name: {label}, regex: '({label}=\.=(.*?);\.;)'}}");
        assert!(text.contains(&rule), "no line {rule}");
    }
    assert_eq!(text.matches("tag_name:").count(), LABELS.len());
    Ok(())
}
