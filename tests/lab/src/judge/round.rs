//! One round: an Envoy with the scene's set-up, its outages under traffic, the repair, and the comparison at the end.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::compare::{Report, Verdict, compare};
use super::complaints::{complaints, foreign_answers, stat};
use super::scene::Scene;
use super::traffic::Traffic;
use crate::endpoints::{Behaviour, Upstream};
use crate::envoy::attempts::Attempt;
use crate::envoy::bootstrap::Bootstrap;
use crate::envoy::outlier::{Action, Record};
use crate::envoy::proxy::Envoy;
use crate::programs::tools::Tool;
use crate::wait::eventually;
use crate::zones::{ZONES, Zones};

/// How long the filter may take to agree after Envoy has returned everything; then the round fails. Delays are
/// measured, not judged.
const PATIENCE: Duration = Duration::from_secs(10);

/// The number of good answers to each client that shows that nothing fails any more.
const WELL: u64 = 5;

/// A change of behaviour.
#[derive(Clone, Debug)]
pub struct Change {
    /// When the change was complete, in milliseconds since the Unix epoch.
    pub at: i64,
    /// The indices of the endpoints that changed.
    pub endpoints: Vec<usize>,
    /// The new behaviour.
    pub behaviour: Behaviour,
}

/// The result of a round.
#[derive(Debug)]
pub struct Round {
    /// What was played.
    pub scene: Scene,
    /// The version of the Envoy, `1.40.0`.
    pub version: String,
    /// The endpoints' addresses, by index.
    pub addresses: Vec<String>,
    /// The changes to them.
    pub changes: Vec<Change>,
    /// Envoy's record.
    pub records: Vec<Record>,
    /// The filter's reports.
    pub reports: Vec<Report>,
    /// Both compared.
    pub verdict: Verdict,
    /// Everything else that is wrong, a line each.
    pub complaints: Vec<String>,
    /// Every attempt and request, if anything is wrong.
    pub attempts: Vec<Attempt>,
    /// Envoy's complete log, if anything is wrong.
    pub log: Vec<String>,
    /// How long the round took.
    pub took: Duration,
}

impl Round {
    /// Whether the filter agreed with Envoy in everything.
    pub fn is_right(&self) -> bool {
        self.verdict.wrong.is_empty() && self.complaints.is_empty()
    }

    /// Envoy's ejections or returns.
    pub fn count(&self, action: Action) -> usize {
        self.records.iter().filter(|record| record.action == action).count()
    }
}

/// Plays the scene.
///
/// # Errors
/// If it cannot be played; a filter that is wrong is not an error here.
pub fn play(scene: &Scene) -> Result<Round> {
    let begun = Instant::now();
    let name = |(index, zone): (usize, &usize)| format!("{}#{index}", ZONES[*zone]);
    let upstreams =
        scene.endpoints.iter().enumerate().map(|e| Upstream::start(&name(e))).collect::<Result<Vec<_>>>()?;
    let envoy = start(scene, &upstreams)?;
    let traffic = Traffic::start(&envoy, scene);
    let mut changes = Vec::new();
    traffic.all_well(WELL).context("before the outages")?;
    for step in &scene.script {
        change(&upstreams, &step.endpoints, step.behaviour, &mut changes)?;
        thread::sleep(step.lasts);
    }
    let all: Vec<usize> = (0..upstreams.len()).collect();
    change(&upstreams, &all, Behaviour::Answer(200), &mut changes)?;

    eventually("Envoy holds nothing ejected", || Ok((stat(&envoy, "ejections_active")? == 0).then_some(())))?;
    traffic.all_well(WELL).context("after the repair")?;
    // Requests in progress at the repair have ended by now; endpoints that they ejected must have returned too.
    let balanced = |records: &[Record]| {
        let count = |action| records.iter().filter(|r| r.action == action).count();
        count(Action::Eject) == count(Action::Return)
    };
    let repaired = Instant::now();
    let (records, reports, verdict, mut complaints) = loop {
        let records = envoy.wait_for_records("Envoy returns what it ejected", balanced)?;
        let reports = Report::all(&envoy.events().lines());
        let verdict = compare(&records, &reports);
        let complaints = complaints(&envoy)?;
        if (verdict.wrong.is_empty() && complaints.is_empty()) || repaired.elapsed() > PATIENCE {
            break (records, reports, verdict, complaints);
        }
        thread::sleep(Duration::from_millis(20));
    };
    drop(traffic);
    complaints.extend(foreign_answers(&envoy)?);

    let right = verdict.wrong.is_empty() && complaints.is_empty();
    let (attempts, log) = if right { Default::default() } else { (envoy.attempts()?, envoy.events().lines()) };
    Ok(Round {
        scene: scene.clone(),
        version: version(&envoy)?,
        addresses: upstreams.iter().map(|u| u.address().to_string()).collect(),
        changes,
        records,
        reports,
        verdict,
        complaints,
        attempts,
        log,
        took: begun.elapsed(),
    })
}

fn start(scene: &Scene, upstreams: &[Upstream]) -> Result<Envoy> {
    let mut bootstrap = Bootstrap::new(&Zones::home(), vec![scene.cluster(upstreams)])
        .with_filter(&Tool::Module.path()?, &scene.plugin_config());
    bootstrap.workers = scene.workers;
    bootstrap.retries = scene.retries.clone();
    bootstrap.route_timeout = Some(scene.route_timeout);
    bootstrap.filter_in_upstream_log = scene.mode.sees_attempts();
    bootstrap.record_attempts = true;
    bootstrap.program = scene.envoy.clone();
    Envoy::start(&bootstrap)
}

fn change(upstreams: &[Upstream], of: &[usize], behaviour: Behaviour, changes: &mut Vec<Change>) -> Result<()> {
    for index in of {
        upstreams[*index].set(behaviour)?;
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    changes.push(Change { at: i64::try_from(at)?, endpoints: of.to_vec(), behaviour });
    Ok(())
}

fn version(envoy: &Envoy) -> Result<String> {
    let server: serde_json::Value = serde_json::from_str(&envoy.admin("/server_info")?)?;
    // <commit>/1.40.0/Clean/RELEASE/BoringSSL
    let version = server["version"].as_str().and_then(|version| version.split('/').nth(1));
    version.map(str::to_owned).context("Envoy does not say its version")
}
