//! The publisher against crane and oras, both ways round, in a real registry: what one writes, the other reads.
//!
//! Without Go to build them the tests are skipped. cosign is in `signatures.rs`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::programs::client::{CRANE, Client, ORAS};
use lab::programs::publisher::Publisher;
use lab::programs::run::stdout_of;
use lab::programs::tools::Tool;
use lab::registry::Registry;
use lab::skip::{Tool as Installed, skip};
use serde_json::Value;

/// A client, found or built; `None`, with the skipped test reported, if it cannot be had.
fn client(test: &str, client: Client) -> Option<PathBuf> {
    client.path().map_err(|error| skip(test, Installed::Optional, &format!("{error:#}"))).ok()
}

/// A registry with an artifact in each form, under the form's name.
struct Bench {
    registry: Registry,
    publisher: Publisher,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(forms: &[&str]) -> Result<Self> {
        let bench = Self { registry: Registry::start(None)?, publisher: Publisher::new()?, dir: tempfile::tempdir()? };
        let module = Tool::Module.path()?;
        let module = module.to_str().context("a path")?;
        for form in forms {
            bench.publisher.ok(&["push", &bench.reference(form), "--wasm", module, "--format", form])?;
        }
        Ok(bench)
    }

    fn reference(&self, tag: &str) -> String {
        format!("{}/mesh/faultline:{tag}", self.registry.address())
    }

    fn file(&self, name: &str) -> Result<String> {
        Ok(self.dir.path().join(name).to_str().context("a path")?.to_owned())
    }

    fn pulls(&self, reference: &str) -> Result<()> {
        let file = self.file("pulled.wasm")?;
        self.publisher.ok(&["pull", reference, "-o", &file])?;
        ensure!(std::fs::read(&file)? == std::fs::read(Tool::Module.path()?)?, "{reference}: byte for byte");
        Ok(())
    }
}

#[test]
fn crane_reads_what_we_write_and_we_what_it_writes() -> Result<()> {
    let Some(crane) = client("crane_reads_what_we_write_and_we_what_it_writes", CRANE) else { return Ok(()) };
    let forms = ["oci", "docker", "solo", "cncf"];
    let bench = Bench::new(&forms)?;
    let run = |args: &[&str]| stdout_of(Command::new(&crane).args(args).arg("--insecure"), "");
    for form in forms {
        let reference = bench.reference(form);
        let digest = bench.publisher.ok(&["digest", &reference])?;
        assert_eq!(run(&["digest", &reference])?.trim_end(), digest.trim_end());
        // The report says what crane really does. Istio would not load the CNCF's form, so the exit code is not looked
        // at.
        let report = bench.publisher.run(&["inspect", &reference, "--output", "json"], "")?;
        let report: Value = serde_json::from_slice(&report.stdout)?;
        let verdict = report["consumers"].as_array().context("a list")?.iter().find(|one| one["consumer"] == "crane");
        let valid = run(&["validate", "--remote", &reference]).is_ok();
        assert_eq!(verdict.context("crane's verdict")?["loads"], valid, "{form}");

        let layout = bench.file(form)?;
        run(&["pull", "--format=oci", "--annotate-ref", &reference, &layout])?;
        bench.pulls(&format!("oci:{layout}:{form}"))?;
        let back = bench.reference(&format!("{form}-back"));
        run(&["push", &layout, &back])?;
        assert_eq!(bench.publisher.ok(&["digest", &back])?, digest);
    }
    Ok(())
}

#[test]
fn oras_reads_what_we_write_and_we_what_it_writes() -> Result<()> {
    let Some(oras) = client("oras_reads_what_we_write_and_we_what_it_writes", ORAS) else { return Ok(()) };
    let bench = Bench::new(&["oci"])?;
    let run = |args: &[&str]| stdout_of(Command::new(&oras).args(args).current_dir(bench.dir.path()), "");
    let reference = bench.reference("oci");
    let digest = bench.publisher.ok(&["digest", &reference])?;

    run(&["cp", "--from-plain-http", "--to-oci-layout", &reference, "theirs:oci"])?;
    bench.pulls(&format!("oci:{}:oci", bench.file("theirs")?))?;
    for (ours, theirs) in [("oci", "ours:oci"), ("oci-archive", "ours.tar:oci")] {
        bench.publisher.ok(&["copy", &reference, &format!("{ours}:{}", bench.file(theirs)?)])?;
        let back = bench.reference(&format!("{ours}-back"));
        run(&["cp", "--from-oci-layout", "--to-plain-http", theirs, &back])?;
        assert_eq!(bench.publisher.ok(&["digest", &back])?, digest);
    }

    std::fs::write(bench.file("note.txt")?, "seen")?;
    run(&["attach", "--plain-http", "--artifact-type", "text/x-theirs", &reference, "note.txt:text/plain"])?;
    let file = bench.file("got.txt")?;
    bench.publisher.ok(&["pull", &reference, "--attached", "text/x-theirs", "-o", &file])?;
    assert_eq!(std::fs::read_to_string(&file)?, "seen");
    bench.publisher.ok(&["attach", &reference, &bench.file("note.txt")?, "--type", "text/x-ours"])?;
    let discovered = run(&["discover", "--plain-http", "--format", "json", &reference])?;
    assert!(discovered.contains("text/x-ours") && discovered.contains("text/x-theirs"), "{discovered}");
    Ok(())
}
