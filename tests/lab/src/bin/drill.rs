//! Plays one of the drills and shows it as it runs; fails if a filter did not report what happened. See [`lab::drill`].

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use lab::drill::hot_switch;
use lab::drill::istio::{self, Step};
use lab::drill::{Drill, Screen};
use lab::istio::{Branch, obstacle};
use lab::terminal::paint;

/// Plays one of the situations that faultline is made for, with real Envoys
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    drill: Chosen,
}

#[derive(Subcommand)]
enum Chosen {
    /// Service-level failover across zones and regions
    Zones(Own),
    /// Failover between endpoints outside the mesh
    External(Own),
    /// The configuration source and the admin interface go away during an outage
    ControlPlaneLoss(Own),
    /// A sidecar dies, hangs and crash-loops, and its service goes on. Needs root
    HotSwitch,
    /// A real Istio: what deploy/istio says to type, and what happens in meshes besides
    Istio(InMesh),
}

#[derive(Args)]
struct Own {
    /// An Envoy, instead of the tests' own
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
}

#[derive(Args)]
struct InMesh {
    /// The branch of Istio
    #[arg(long, value_enum, default_value = "1.31")]
    istio: Branch,
    /// Only this step; may be given several times
    #[arg(long, value_enum)]
    step: Vec<Step>,
}

fn main() -> ExitCode {
    let screen = Screen::shown();
    let played = match Arguments::parse().drill {
        Chosen::Zones(own) => Drill::Zones.play(own.envoy, screen).map(|outcome| outcome.wrong),
        Chosen::External(own) => Drill::External.play(own.envoy, screen).map(|outcome| outcome.wrong),
        Chosen::ControlPlaneLoss(own) => Drill::ControlPlaneLoss.play(own.envoy, screen).map(|outcome| outcome.wrong),
        Chosen::HotSwitch => with_all_ways(&screen),
        Chosen::Istio(options) => in_mesh(&options, screen),
    };
    match played {
        Ok(wrong) => {
            for wrong in &wrong {
                eprintln!("{} {wrong}", paint::red("error:"));
            }
            if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{} {error:#}", paint::red("error:"));
            ExitCode::FAILURE
        }
    }
}

fn with_all_ways(screen: &Screen) -> Result<Vec<String>> {
    let mut wrong = hot_switch::play(screen, hot_switch::Times::Judged)?;
    wrong.extend(hot_switch::ways::play(screen)?.wrong);
    Ok(wrong)
}

fn in_mesh(options: &InMesh, screen: Screen) -> Result<Vec<String>> {
    if let Some(why) = obstacle(options.istio) {
        anyhow::bail!("{why}");
    }
    let steps = if options.step.is_empty() { &Step::ALL[..] } else { &options.step };
    Ok(istio::play(options.istio, steps, screen)?.wrong)
}
