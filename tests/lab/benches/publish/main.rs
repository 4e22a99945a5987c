//! What pushing and pulling costs, beside oras and crane in the same run: time and peak memory for a small module and a
//! large one, in a registry on this machine.
//!
//! The others get the artifact packed; the publisher gets the module, which it has packed before, so that the layer is
//! in its cache. Its first push, which packs, is printed too. Each round pushes to a new repository, and the order of
//! the tools changes from round to round. Figures over budget make the bench fail.

#![expect(clippy::print_stdout, reason = "the figures are what this program is run for")]

mod module;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::programs::client::{CRANE, ORAS};
use lab::programs::publisher::Publisher;
use lab::registry::Registry;
use serde_json::Value;
use wait4::Wait4;

/// Modules: a name, the size in bytes, and the number of rounds.
const MODULES: [(&str, usize, usize); 2] = [("0.5 MB", 500_000, 21), ("64 MB", 64_000_000, 7)];

/// How many times as long as oras a push or pull may take, and how many times as much memory it may use. A pull of ours
/// also unpacks and checks the module.
const TIME: f64 = 1.0;
const MEMORY: f64 = 1.0;

/// What oras pushes: file and media type.
const CONFIG: &str = "config.json:application/vnd.oci.image.config.v1+json";
const LAYER: &str = "plugin.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip";

/// How many MiB the memory may grow from the small module to the large one.
const GROWTH: f64 = 4.0;

/// What is measured, in the order in which it is done in a round.
const DONE: [&str; 3] = ["fresh push", "unchanged push", "pull"];

/// A program that pushes and pulls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Ours,
    Oras,
    Crane,
}

/// What a run took.
#[derive(Clone, Copy)]
struct Cost {
    milliseconds: f64,
    mebibytes: f64,
}

/// One module, published and packed.
struct Artifact {
    dir: tempfile::TempDir,
    module: PathBuf,
    registry: Registry,
    publisher: Publisher,
    tools: Vec<(Program, PathBuf)>,
}

fn main() -> Result<ExitCode> {
    let mut over = false;
    let mut largest = Vec::new();
    for (name, size, rounds) in MODULES {
        let artifact = Artifact::new(size)?;
        let first = artifact.first_push()?;
        println!("{name}, {rounds} rounds; least times, median memory");
        println!(
            "  {:<16}{:>9.1} ms {:>7.1} MiB   packs, into an empty cache",
            "first push", first.milliseconds, first.mebibytes
        );
        let mut rows = vec![vec![Vec::new(); DONE.len()]; artifact.tools.len()];
        for round in 0..rounds {
            for turn in 0..artifact.tools.len() {
                let index = (round + turn) % artifact.tools.len();
                for (what, cost) in artifact.round(index, round)?.into_iter().enumerate() {
                    rows[index][what].push(cost);
                }
            }
        }
        over |= artifact.print(&rows)?;
        let ours = rows[0].iter().flatten().map(|cost| cost.mebibytes).fold(first.mebibytes, f64::max);
        largest.push(ours);
    }
    if let [small, .., large] = largest.as_slice() {
        over |= verdict("memory, from the small module to the large one", large - small, GROWTH, "MiB more");
    }
    Ok(if over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Artifact {
    fn new(size: usize) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let module = dir.path().join("plugin.wasm");
        module::write(&module, size)?;
        let publisher = Publisher::new()?;
        let mut tools = vec![(Program::Ours, PathBuf::new())];
        for (program, client) in [(Program::Oras, ORAS), (Program::Crane, CRANE)] {
            match client.path() {
                Ok(path) => tools.push((program, path)),
                Err(error) => println!("not compared with {}: {error:#}", client.name()),
            }
        }
        let artifact = Self { registry: Registry::start(None)?, dir, module, publisher, tools };
        let layout = artifact.layout()?;
        // With a home of its own, so that nothing is in the publisher's cache.
        Publisher::new()?.ok(&["push", &format!("oci:{layout}:1"), "--wasm", artifact.module()?, "--force"])?;
        artifact.unpack_layout(Path::new(&layout))?;
        Ok(artifact)
    }

    /// Puts config and layer where oras finds them.
    fn unpack_layout(&self, layout: &Path) -> Result<()> {
        let blob = |entry: &Value| -> Result<PathBuf> {
            let digest = entry["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
            Ok(layout.join("blobs/sha256").join(digest.context("a digest")?))
        };
        let read = |file: &Path| -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(file)?)?) };
        let manifest = read(&blob(&read(&layout.join("index.json"))?["manifests"][0])?)?;
        for (name, entry) in [(CONFIG, &manifest["config"]), (LAYER, &manifest["layers"][0])] {
            let file = name.split(':').next().unwrap_or(name);
            std::fs::hard_link(blob(entry)?, self.dir.path().join(file))?;
        }
        Ok(())
    }

    fn module(&self) -> Result<&str> {
        self.module.to_str().context("a path")
    }

    fn layout(&self) -> Result<String> {
        Ok(self.dir.path().join("packed").to_str().context("a path")?.to_owned())
    }

    fn reference(&self, repository: &str) -> String {
        format!("{}/{repository}:1", self.registry.address())
    }

    /// The first push, which packs.
    fn first_push(&self) -> Result<Cost> {
        let reference = self.reference("first/ours");
        cost(&mut self.publisher.command(&["push", &reference, "--wasm", self.module()?, "--force"]))
    }

    /// What each of [`DONE`] costs a program in a new repository.
    fn round(&self, program: usize, round: usize) -> Result<Vec<Cost>> {
        let (program, path) = &self.tools[program];
        let name = match program {
            Program::Ours => "ours",
            Program::Oras => "oras",
            Program::Crane => "crane",
        };
        let reference = self.reference(&format!("round{round}/{name}"));
        let target = self.dir.path().join("pulled");
        let target = target.to_str().context("a path")?;
        let (layout, module) = (self.layout()?, self.module()?);
        let (push, pull): (Vec<&str>, Vec<&str>) = match program {
            Program::Ours => {
                (vec!["push", &reference, "--wasm", module, "--force"], vec!["pull", &reference, "-o", target])
            }
            Program::Oras => (
                vec!["push", "--plain-http", "--config", CONFIG, &reference, LAYER],
                vec!["pull", "--plain-http", &reference, "-o", target],
            ),
            Program::Crane => (
                vec!["push", "--insecure", &layout, &reference],
                vec!["pull", "--insecure", "--format=oci", &reference, target],
            ),
        };
        let command = |args: &[&str]| match program {
            Program::Ours => self.publisher.command(args),
            _ => {
                let mut command = Command::new(path);
                command.args(args).current_dir(self.dir.path());
                command
            }
        };
        let costs = [&push, &push, &pull].into_iter().map(|args| cost(&mut command(args))).collect();
        let _ = std::fs::remove_dir_all(target).or_else(|_| std::fs::remove_file(target));
        costs
    }

    /// Prints the costs beside those of the others; true if one of ours is over budget.
    fn print(&self, rows: &[Vec<Vec<Cost>>]) -> Result<bool> {
        let mut over = false;
        for (what, name) in DONE.into_iter().enumerate() {
            let costs: Vec<Cost> = rows.iter().map(|row| typical(&row[what])).collect::<Result<_>>()?;
            for ((program, _), cost) in self.tools.iter().zip(&costs) {
                let who = match program {
                    Program::Ours => "faultline",
                    Program::Oras => "oras",
                    Program::Crane => "crane",
                };
                println!("  {name:<16}{:>9.1} ms {:>7.1} MiB   {who}", cost.milliseconds, cost.mebibytes);
            }
            let oras = self.tools.iter().position(|(program, _)| *program == Program::Oras);
            if let Some(oras) = oras {
                let (ours, theirs) = (costs[0], costs[oras]);
                over |= verdict(&format!("{name}: time"), ours.milliseconds / theirs.milliseconds, TIME, "x oras");
                over |= verdict(&format!("{name}: memory"), ours.mebibytes / theirs.mebibytes, MEMORY, "x oras");
            }
        }
        let reference = self.reference("round0/ours");
        let before = self.requests()?;
        self.publisher.ok(&["push", &reference, "--wasm", self.module()?, "--force"])?;
        over |= verdict("unchanged push", (self.requests()? - before) as f64, 1.0, "requests");
        Ok(over)
    }

    /// How many requests of ours the registry has answered.
    fn requests(&self) -> Result<usize> {
        // Its log is written behind the answer.
        std::thread::sleep(Duration::from_millis(300));
        Ok(self.registry.requests_until("HEAD /v2/first/ours/manifests/1 404")?.len())
    }
}

/// Runs a program, which must succeed.
///
/// Linux counts for a program the memory of the one that started it, so this one reads no large file.
fn cost(command: &mut Command) -> Result<Cost> {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let used = child.wait4()?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
    ensure!(used.status.success(), "{command:?}: {}", used.status);
    Ok(Cost { milliseconds, mebibytes: used.rusage.maxrss as f64 / f64::from(1 << 20) })
}

/// The least time, which is the one that other load on the machine has added least to, and the median memory.
fn typical(costs: &[Cost]) -> Result<Cost> {
    let at = |value: fn(&Cost) -> f64, place: usize| {
        let mut values: Vec<f64> = costs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(place).copied().context("no rounds")
    };
    let milliseconds = at(|cost| cost.milliseconds, 0)?;
    Ok(Cost { milliseconds, mebibytes: at(|cost| cost.mebibytes, costs.len() / 2)? })
}

/// Prints a figure next to its budget; true if it is over.
fn verdict(what: &str, value: f64, budget: f64, unit: &str) -> bool {
    let over = value > budget;
    println!("{what:<46} {value:>8.2} {unit:<10} budget {budget:.1}{}", if over { "   OVER" } else { "" });
    over
}
