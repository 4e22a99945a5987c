//! Compares the filter with Envoy over random outages, and prints how often and how far they disagreed, by position and
//! by what the scenes contained.
//!
//! The tables go to stdout, rounds and what is wrong with them to stderr. The program fails if any ejection, return,
//! removal or failover was missed, invented, reported twice or otherwise wrong, whatever the delays of ejections.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use lab::envoy::outlier::Action;
use lab::judge::{Ingredient, Mode, Trial, picture};

/// Compares the filter's ejections and returns with Envoy's own record, over random outages
#[derive(Parser)]
struct Arguments {
    /// The first round's seed; each further round has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds in each mode on each Envoy
    #[arg(long, default_value_t = 10)]
    rounds: u64,
    /// An Envoy, instead of the tests' own; may be given several times
    #[arg(long, value_name = "PATH")]
    envoy: Vec<PathBuf>,
    /// The filter's position in Envoy
    #[arg(long, value_enum, default_value_t = Position::All)]
    mode: Position,
    /// An ingredient of every round besides the random ones, such as eds-churn; may be given several times
    #[arg(long, value_name = "INGREDIENT", value_parser = ingredient)]
    with: Vec<Ingredient>,
    /// Rounds that run at the same time
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Print every round's set-up too, and what was reported late in it
    #[arg(long)]
    verbose: bool,
}

/// Reports later than this, in milliseconds, are listed: the budget of the 99th percentile.
const LATE: i64 = 200;

#[derive(Clone, Copy, ValueEnum)]
enum Position {
    /// HTTP filter, retries off
    Http,
    /// HTTP filter and the router's upstream log, retries on
    UpstreamLog,
    /// HTTP filter and witness, retries on
    Witness,
    /// HTTP filter, upstream log and witness, retries on
    Both,
    /// The logs, behind Envoy's own filter for failures, and witness, retries on
    Lean,
    /// All of them
    All,
}

impl Position {
    fn modes(self) -> Vec<Mode> {
        match self {
            Self::Http => vec![Mode::Http],
            Self::UpstreamLog => vec![Mode::UpstreamLog],
            Self::Witness => vec![Mode::Witness],
            Self::Both => vec![Mode::Both],
            Self::Lean => vec![Mode::Lean],
            Self::All => Mode::ALL.to_vec(),
        }
    }
}

fn ingredient(name: &str) -> Result<Ingredient, String> {
    let known = || Ingredient::ALL.map(Ingredient::option).join(", ");
    Ingredient::of_option(name).ok_or_else(|| format!("the ingredients are {}", known()))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the table is the output of this program")]
fn run(arguments: &Arguments) -> Result<bool> {
    let trial = Trial {
        seed: arguments.seed,
        rounds: arguments.rounds,
        modes: arguments.mode.modes(),
        envoys: arguments.envoy.clone(),
        with: arguments.with.iter().copied().collect(),
        jobs: arguments.jobs,
    };
    let table = trial.run(|round| {
        eprintln!(
            "{} {} {}, seed {}: {} ejections, {} returns, {} failovers, {} s",
            if round.is_right() { "right" } else { "WRONG" },
            round.version,
            round.scene.mode.as_str(),
            round.scene.seed,
            round.count(Action::Eject),
            round.count(Action::Return),
            round.failovers,
            round.took.as_secs(),
        );
        if !round.is_right() {
            eprintln!("{}", picture::draw(round));
        } else if arguments.verbose {
            eprint!("{}{}", round.scene, picture::late(round, LATE));
        }
    })?;
    print!("{table}");
    Ok(table.is_right())
}
