//! Plays one of the drills and shows it as it goes; fails when a filter did not tell what happened. See `tests/src/drill`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use tests::drill::Drill;
use tests::paint;

/// Plays one of the situations that faultline is made for, with real Envoys
#[derive(Parser)]
struct Arguments {
    /// Which
    #[arg(value_enum)]
    drill: Situation,
    /// An Envoy, instead of the tests' own
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Situation {
    /// Service-level failover across zones and regions
    S1,
    /// Failover between endpoints outside the mesh
    S2,
    /// Configuration source and admin interface go away in mid-outage
    S4,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let drill = match arguments.drill {
        Situation::S1 => Drill::S1,
        Situation::S2 => Drill::S2,
        Situation::S4 => Drill::S4,
    };
    match drill.play(arguments.envoy, false) {
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
