//! Plays one of the drills and shows it as it runs; fails if a filter did not report what happened. See [`lab::drill`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lab::drill::{Drill, Screen};
use lab::terminal::paint;

/// Plays one of the situations that faultline is made for, with real Envoys
#[derive(Parser)]
struct Arguments {
    /// The situation to play
    #[arg(value_enum)]
    drill: Drill,
    /// An Envoy, instead of the tests' own
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.drill.play(arguments.envoy, Screen::shown()) {
        Ok(outcome) => {
            for wrong in &outcome.wrong {
                eprintln!("{} {wrong}", paint::red("error:"));
            }
            if outcome.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{} {error:#}", paint::red("error:"));
            ExitCode::FAILURE
        }
    }
}
