//! The product's main job in a minute: publish the filter, write its manifest, pull it back by digest, run it in a real
//! Envoy, break a service zone by zone, repair it, and read the events and metrics as an operator would.
//!
//! It ends with an error that names each event that is missing, duplicated or unexpected. The tests check more closely,
//! and with every kind of failure.

mod figures;
mod story;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use lab::endpoints::Behaviour;
use lab::envoy::bootstrap::Bootstrap;
use lab::envoy::outlier::OutlierDetection;
use lab::envoy::proxy::Envoy;
use lab::programs::run::stdout_of;
use lab::programs::tools::{Tool, target_dir};
use lab::terminal::paint;
use lab::zones::{CLUSTER, ZONES, Zones, plugin_config};

use story::{Expected, Story};

/// Shows an outage as faultline reports it: publish, run, break, repair.
#[derive(Parser)]
struct Arguments {
    /// Push to this repository, such as localhost:5000/faultline:demo, instead of an OCI layout directory
    #[arg(long, value_name = "REF")]
    registry: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(complaints) if complaints.is_empty() => {
            let verdict = "Every event of the outage came, once, and Envoy's own log agrees.";
            paint::line(&format!("\n{}", paint::green(verdict)));
            ExitCode::SUCCESS
        }
        Ok(complaints) => {
            for complaint in &complaints {
                eprintln!("{} {complaint}", paint::red("error:"));
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{} {error:#}", paint::red("error:"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Vec<String>> {
    let rules = OutlierDetection { base_ejection_time: Duration::from_secs(12), ..OutlierDetection::first_error() };
    let config = plugin_config(&rules);
    let dir = target_dir()?.join("demo");
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let module = dir.join("pulled.wasm");
    publish(arguments, &dir, &config, &module)?;

    paint::heading("Run it in Envoy");
    let zones = Zones::start()?;
    let bootstrap = Bootstrap::new(&Zones::home(), vec![zones.cluster(rules)]).with_filter(&module, &config);
    let envoy = Envoy::start(&bootstrap)?;
    paint::note(&format!("A caller's proxy in {}, two workers; the service {CLUSTER} is in four zones:", ZONES[0]));
    for zone in &zones.0 {
        paint::note(&format!("  {:<16} {}", zone.address().to_string(), zone.name()));
    }
    paint::note("One error ejects an endpoint for 12 s. No retries: a client feels the first error of each endpoint.");

    let mut story = Story::begin(envoy)?;
    paint::heading("All is well: traffic stays in the caller's zone, and the filter is silent");
    story.send(200);
    story.end_act(&[], &[]);
    one_zone(&mut story, &zones)?;
    everything(&mut story, &zones)?;

    paint::heading("The metrics, under /stats/prometheus");
    figures::print_metrics(&story.envoy.metrics()?);
    paint::heading("Envoy's own record of what it did");
    story.compare_with_envoy()?;
    Ok(story.complaints().to_vec())
}

/// Pushes the module, shows the manifest, and pulls the module back by digest.
fn publish(arguments: &Arguments, dir: &Path, config: &str, pulled: &Path) -> Result<()> {
    // With the user's own credentials, which a real registry requires.
    let program = Tool::Publisher.path()?;
    let faultline = |args: &[&str]| -> Result<String> {
        paint::note(&paint::dim(&format!("$ faultline {}", args.join(" "))));
        let stdout = stdout_of(Command::new(&program).args(args), "")?;
        paint::quoted(&stdout);
        Ok(stdout)
    };
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is not UTF-8");
    let layout = dir.join("layout");
    let reference = match &arguments.registry {
        Some(reference) => reference.clone(),
        None => format!("oci:{}:demo", text(&layout)?),
    };
    if arguments.registry.is_none() && layout.exists() {
        std::fs::remove_dir_all(&layout)?;
    }

    paint::heading("Publish the filter");
    let module = text(&Tool::Module.path()?)?;
    let by_digest = faultline(&["push", &reference, "--wasm", &module])?;

    paint::heading("The manifest that puts it into a mesh");
    let config_file = dir.join("plugin-config.json");
    std::fs::write(&config_file, config)?;
    let config_file = text(&config_file)?;
    let mut manifest = vec!["manifest", &reference, "--namespace", "istio-system", "--config", &config_file];
    if arguments.registry.is_none() {
        manifest.extend(["--image", "registry.example.com/mesh/faultline:demo"]);
    }
    faultline(&manifest)?;

    paint::heading("Pull it back by digest, as a proxy would");
    faultline(&["pull", &by_digest, "-o", &text(pulled)?])?;
    Ok(())
}

/// The caller's own zone stops listening and is repaired.
fn one_zone(story: &mut Story, zones: &Zones) -> Result<()> {
    let home = zones.at(ZONES[0])?;
    let address = home.address().to_string();
    let outage = [
        Expected::of("error_streak", &address),
        Expected::of("endpoint_ejected", &address),
        Expected::of_cluster("failover_started"),
    ];
    let repair = [Expected::of("endpoint_returned", &address), Expected::of_cluster("failover_ended")];

    paint::heading(&format!("Nothing listens any more in {}", ZONES[0]));
    home.set(Behaviour::Refuse)?;
    story.send_until(&outage);
    story.send(100);
    paint::heading("It is repaired; Envoy lets it back when its ejection time is over");
    home.set(Behaviour::Answer(200))?;
    story.send_until(&repair);
    story.end_act(&[&outage[..], &repair].concat(), &[]);
    Ok(())
}

/// The region fails zone by zone, then the other region too, and everything is repaired.
fn everything(story: &mut Story, zones: &Zones) -> Result<()> {
    let all = &zones.0;
    let of_each = |name: &'static str| all.iter().map(move |u| Expected::of(name, &u.address().to_string()));
    let away = Expected::of_cluster("failover_started");
    let outage: Vec<Expected> = of_each("error_streak")
        .chain(of_each("endpoint_ejected"))
        .chain([away.clone(), Expected::of_cluster("no_healthy_upstream")])
        .collect();
    let repair: Vec<Expected> = of_each("endpoint_returned")
        .chain(["upstream_recovered", "failover_ended"].map(Expected::of_cluster))
        .collect();

    paint::heading("The same zone fails again, now with answers of 500, and then the other zone of the region");
    all[0].set(Behaviour::Answer(500))?;
    story.send_until(&[away]);
    all[1].set(Behaviour::Answer(500))?;
    story.send_until(&[Expected::of_cluster("failover_changed")]);
    paint::heading("The other region fails too: nothing is left");
    all[2].set(Behaviour::Answer(500))?;
    all[3].set(Behaviour::Answer(500))?;
    story.send_until(&outage);
    paint::heading("All is repaired");
    for zone in all {
        zone.set(Behaviour::Answer(200))?;
    }
    story.send_until(&repair);
    // How often the destination changes while endpoints return one by one depends on Envoy's random choices.
    story.end_act(&[outage, repair].concat(), &["failover_changed"]);
    Ok(())
}
