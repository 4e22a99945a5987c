//! Compares what istiod makes of random rules with what faultline says of them, and prints how often they differed, by
//! what the rules contained.
//!
//! The table goes to stdout, rounds and what is wrong with them to stderr. The program fails if a difference was not
//! said.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use lab::istio::{Branch, obstacle};
use lab::rules_judge::{Ingredient, Trial};

/// Compares what istiod makes of random rules with what faultline says of them
#[derive(Parser)]
struct Arguments {
    /// The first round's seed; each further round has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// The branch of Istio
    #[arg(long, value_enum, default_value = "1.31")]
    istio: Branch,
    /// An ingredient of every round besides the random ones, such as short-host; may be given several times
    #[arg(long, value_name = "INGREDIENT", value_parser = ingredient)]
    with: Vec<Ingredient>,
    /// Print the differences that were said too, and by what
    #[arg(long)]
    verbose: bool,
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
    if let Some(why) = obstacle(arguments.istio) {
        bail!("{why}");
    }
    let trial = Trial {
        seed: arguments.seed,
        rounds: arguments.rounds,
        branch: arguments.istio,
        with: arguments.with.iter().copied().collect(),
    };
    let table = trial.run(
        |step| eprintln!("{step}"),
        |round| {
            let (said, not_said) = round.counts();
            let word = if not_said == 0 { "right" } else { "WRONG" };
            let (seed, clusters) = (round.seed(), round.clusters());
            eprintln!("{word} seed {seed}: {clusters} clusters, {said} differences said, {not_said} not");
            if arguments.verbose {
                eprint!("{}", round.said());
            }
            eprint!("{}", round.faults());
        },
    )?;
    print!("{table}");
    Ok(table.is_right())
}
