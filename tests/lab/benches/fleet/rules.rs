//! How long a real Prometheus takes for each group of the shipped rules, as a share of the group's interval: while all
//! is well, and while a zone of three is lost.
//!
//! It has scraped for some minutes only, so a range of an hour holds those minutes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::monitoring::prometheus::{Prometheus, shipped_rules};
use serde_json::{Value, json};

use super::metrics::{Fleet, PAGES};

/// The time between two scrapes, as many fleets have it.
const SCRAPED_EACH: &str = "30s";
/// How many evaluations of each group are measured in each state.
const ROUNDS: usize = 4;
/// How long these may take, and how long a state lasts before they count: then every range has samples.
const LONGEST: Duration = Duration::from_secs(900);
const SETTLED_AFTER: Duration = Duration::from_secs(120);

/// What was seen of a group: its interval and the seconds of each evaluation, by when it was.
#[derive(Debug, Default)]
struct Group {
    interval: f64,
    seconds: BTreeMap<String, f64>,
}

/// Runs and prints; true if an evaluation takes longer than its interval.
pub(crate) fn measure(proxies: u32) -> Result<bool> {
    let fleet = Fleet::start(proxies)?;
    // Another file than the shipped one, to compare.
    let file = std::env::var_os("FAULTLINE_RULES").map_or_else(shipped_rules, Into::into);
    let rules = std::fs::read_to_string(file)?;
    let prometheus = Prometheus::run(&rules, |rules| {
        let job = |page: u32| {
            json!({
                "job_name": format!("page{page}"), "honor_labels": true, "metrics_path": format!("/{page}"),
                "static_configs": [{ "targets": [fleet.address().to_string()], "labels": { "job": "envoy" } }],
            })
        };
        json!({
            "global": { "scrape_interval": SCRAPED_EACH, "scrape_timeout": "25s" }, "rule_files": [rules],
            "scrape_configs": (0..PAGES).map(job).collect::<Vec<_>>(),
        })
    })?;
    println!("\nseconds that a real Prometheus takes for the rules; {proxies} proxies, median of {ROUNDS} evaluations");
    let mut over = false;
    for state in ["well", "a zone is lost"] {
        if state != "well" {
            fleet.break_zone();
        }
        let began = Instant::now();
        let mut groups = BTreeMap::new();
        while began.elapsed() < SETTLED_AFTER || !is_measured(&groups) {
            ensure!(began.elapsed() < LONGEST, "no {ROUNDS} evaluations in {LONGEST:?}: {groups:?}");
            std::thread::sleep(Duration::from_secs(1));
            let seen = prometheus.groups()?;
            if began.elapsed() >= SETTLED_AFTER {
                note(&mut groups, &seen);
            }
        }
        over |= print(state, &groups);
    }
    let missed = prometheus.missed_rounds()?;
    println!("rounds missed, over all: {missed:.0}");
    Ok(over)
}

fn is_measured(groups: &BTreeMap<String, Group>) -> bool {
    !groups.is_empty() && groups.values().all(|group| group.seconds.len() > ROUNDS)
}

fn note(groups: &mut BTreeMap<String, Group>, seen: &[Value]) {
    for group in seen {
        let text = |key: &str| group[key].as_str().unwrap_or_default().to_owned();
        let noted = groups.entry(text("name")).or_default();
        noted.interval = group["interval"].as_f64().unwrap_or(0.0);
        noted.seconds.insert(text("lastEvaluation"), group["evaluationTime"].as_f64().unwrap_or(0.0));
    }
}

fn print(state: &str, groups: &BTreeMap<String, Group>) -> bool {
    let mut over = false;
    for (name, Group { interval, seconds }) in groups {
        // The first was seen after it began, perhaps before the state.
        let mut seconds: Vec<f64> = seconds.values().skip(1).copied().collect();
        seconds.sort_by(f64::total_cmp);
        let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
        let ratio = median / interval;
        over |= ratio > 1.0;
        let mark = if ratio > 1.0 { "   OVER" } else { "" };
        println!("{state:<16} {name:<24} {median:>7.2} s of {interval:>3.0} s   {ratio:>6.3}{mark}");
    }
    over
}
