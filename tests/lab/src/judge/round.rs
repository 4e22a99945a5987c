//! One round: an Envoy with the scene's set-up, its outages under traffic, the repair, and the comparison at the end.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::compare::{Report, Verdict, compare};
use super::complaints::{complaints, foreign_answers, in_order};
use super::failover::{self, Failovers, History, Sources};
use super::observe::{Observer, Sample};
use super::removals::with_removals;
use super::same_tick::{with_doubles_as_one, without_untold};
use super::scene::{SHADOW_INTERVAL, Scene};
use super::script::Doing;
use super::service::Role;
use super::short_return::{with_unseen_as_removals, without_unseen_ejections};
use super::simultaneous::Decidable;
pub use super::stage::Change;
use super::stage::Stage;
use super::traffic::Traffic;
use crate::envoy::attempts::{Attempt, Kind};
use crate::envoy::outlier::{Action, Record};
use crate::envoy::proxy::Envoy;
use crate::wait::eventually;
use crate::zones::Zones;

/// How long the filter may take to agree after Envoy has done something for the last time; then the round fails. Delays
/// of ejections are measured, not judged.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long nothing happens at first: the filter learns of clusters from their requests, and then asks for their rules.
const CALM_BEFORE: Duration = Duration::from_secs(1);

/// If the machine stands still for longer than this, in milliseconds, all times are off by as much, Envoy's and the
/// filter's; a round that is wrong then shows nothing and is played again, at most [`REPEATS`] times.
const STALL: i64 = 250;

/// How often a round is played again.
const REPEATS: usize = 3;

/// The number of good answers to each client that shows that nothing fails any more.
const WELL: u64 = 5;

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
    /// How many returns and ejections of endpoints that left at once were not told.
    pub unseen: usize,
    /// How many ejections only one of them has, of which attempts at the same time leave open whether they happened.
    pub undecided: usize,
    /// The filter's reports.
    pub reports: Vec<Report>,
    /// Both compared.
    pub verdict: Verdict,
    /// How many failovers were told.
    pub failovers: usize,
    /// What is wrong with failovers, a line each.
    pub failover_faults: Vec<String>,
    /// Everything else that is wrong, a line each.
    pub complaints: Vec<String>,
    /// Every attempt and request, if anything is wrong.
    pub attempts: Vec<Attempt>,
    /// Envoy's complete log, if anything is wrong.
    pub log: Vec<String>,
    /// How often it was played before on a machine that stood still, see [`STALL`].
    pub repeats: usize,
    /// For how long the machine stood still, in milliseconds.
    pub stall: i64,
    /// How long the round took.
    pub took: Duration,
}

impl Round {
    /// Whether the filter agreed with Envoy in everything.
    pub fn is_right(&self) -> bool {
        self.verdict.wrong.is_empty() && self.failover_faults.is_empty() && self.complaints.is_empty()
    }

    /// Envoy's ejections, returns or removals.
    pub fn count(&self, action: Action) -> usize {
        self.records.iter().filter(|record| record.action == action).count()
    }
}

/// What is known at some moment after the repair.
struct Findings {
    records: Vec<Record>,
    unseen: usize,
    undecided: usize,
    reports: Vec<Report>,
    verdict: Verdict,
    failovers: Failovers,
    complaints: Vec<String>,
}

impl Findings {
    fn is_right(&self) -> bool {
        self.verdict.wrong.is_empty() && self.failovers.wrong.is_empty() && self.complaints.is_empty()
    }
}

/// Plays the scene; again, if the filter disagrees on a machine that stood still.
///
/// # Errors
/// If it cannot be played; a filter that is wrong is not an error here.
pub fn play(scene: &Scene) -> Result<Round> {
    let mut repeats = 0;
    loop {
        let round = play_once(scene)?;
        if round.is_right() || round.stall <= STALL || repeats == REPEATS {
            return Ok(Round { repeats, ..round });
        }
        repeats += 1;
    }
}

fn play_once(scene: &Scene) -> Result<Round> {
    let begun = Instant::now();
    let mut stage = Stage::start(scene)?;
    let observer = Observer::start(stage.envoy.admin_address(), stage.upstreams.clone());
    let traffic = Traffic::start(&stage.envoy, scene);
    traffic.all_well(WELL).context("before the outages")?;
    thread::sleep(CALM_BEFORE);
    for step in &scene.script {
        stage.perform(&step.endpoints, step.doing)?;
        thread::sleep(step.lasts);
    }
    let all: Vec<usize> = (0..stage.upstreams.len()).collect();
    stage.perform(&all, Doing::Recover)?;
    traffic.ease();

    eventually("Envoy holds nothing ejected", || Ok(stage.envoy.all_ejected()?.is_empty().then_some(())))?;
    traffic
        .all_well(WELL)
        .with_context(|| format!("after the repair; the last answers: {:?}", last_answers(&stage.envoy)))?;
    let mut findings = settle(scene, &stage, &observer)?;
    drop(traffic);
    findings.complaints.extend(foreign_answers(&stage.envoy)?);

    let right = findings.is_right();
    let (attempts, log) =
        if right { Default::default() } else { (stage.envoy.attempts()?, stage.envoy.events().lines()) };
    Ok(Round {
        scene: scene.clone(),
        version: version(&stage.envoy)?,
        addresses: addresses(&stage),
        changes: stage.changes,
        records: findings.records,
        unseen: findings.unseen,
        undecided: findings.undecided,
        reports: findings.reports,
        verdict: findings.verdict,
        failovers: findings.failovers.told,
        failover_faults: findings.failovers.wrong,
        complaints: findings.complaints,
        attempts,
        log,
        repeats: 0,
        stall: observer.stall(),
        took: begun.elapsed(),
    })
}

/// How the last requests ended, and how many of each.
fn last_answers(envoy: &Envoy) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    let attempts = envoy.attempts().unwrap_or_default();
    for request in attempts.iter().rev().filter(|a| a.kind == Kind::Request).take(100) {
        *answers.entry(format!("{} {}", request.endpoint, request.text)).or_default() += 1;
    }
    answers
}

/// Waits until the filter agrees with Envoy, or [`PATIENCE`] is over since Envoy's last record.
fn settle(scene: &Scene, stage: &Stage, observer: &Observer) -> Result<Findings> {
    let (mut quiet, mut known) = (Instant::now(), 0);
    loop {
        // Requests in progress at the repair have ended by now; endpoints that they ejected must have returned too.
        let samples = observer.samples();
        let reports = Report::all(&stage.envoy.events().lines());
        let records = with_doubles_as_one(stage.envoy.outlier_records()?, &reports);
        let records = with_removals(&records, &samples);
        if records.len() != known {
            (quiet, known) = (Instant::now(), records.len());
        }
        let records = without_untold(records, &reports);
        let (records, returned) = with_unseen_as_removals(records, &reports, &samples);
        let (records, ejected) = without_unseen_ejections(records, &reports, &samples);
        let unseen = returned + ejected;
        let is_told = scene.mode.has_witness() || compare(&records, &reports).wrong.is_empty();
        let attempts = if is_told { Vec::new() } else { stage.envoy.attempts()? };
        let Decidable { records, reports, missed, invented } = Decidable::of(records, reports, &attempts);
        let verdict = compare(&records, &reports);
        let counted = records.iter().filter(|record| record.action == Action::Eject).count() + invented;
        let complaints = complaints(&stage.envoy, scene, counted)?;
        let undecided = missed + invented;
        let is_late = quiet.elapsed() > PATIENCE;
        let mut findings =
            Findings { records, unseen, undecided, reports, verdict, failovers: Failovers::default(), complaints };
        if is_late || (is_balanced(&findings.records) && findings.is_right()) {
            // Judged last, because it takes longest.
            findings.failovers = failovers(scene, stage, &samples)?;
            if is_late || findings.is_right() {
                return Ok(findings);
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Whether every ejection is over.
fn is_balanced(records: &[Record]) -> bool {
    let ejections = records.iter().filter(|record| record.action == Action::Eject).count();
    2 * ejections == records.len()
}

/// Judges the failovers of every cluster that has endpoints, where the filter can know them.
fn failovers(scene: &Scene, stage: &Stage, samples: &[Sample]) -> Result<Failovers> {
    let mut all = Failovers::default();
    if !scene.mode.has_witness() {
        return Ok(all);
    }
    let records = stage.envoy.outlier_records()?;
    let (attempts, addresses) = (stage.envoy.attempts()?, addresses(stage));
    let events = stage.envoy.events().all();
    let names = ["failover_started", "failover_changed", "failover_ended"];
    let home = Zones::home();
    let delivered: Vec<i64> = stage.changes.iter().map(|change| change.at).collect();
    let sources = Sources {
        samples,
        records: &records,
        attempts: &attempts,
        addresses: &addresses,
        home: &home,
        delivered: &delivered,
        unnoticed: 0,
    };
    for (index, service) in scene.services.iter().enumerate() {
        let own: Vec<usize> = (0..addresses.len()).filter(|i| scene.endpoints[*i].service == index).collect();
        let events = in_order(&events, &service.name, &names);
        if service.role == Role::Aggregate {
            all.wrong.extend(events.iter().map(|event| format!("a failover of no cluster's own endpoints: {event}")));
            continue;
        }
        let is_seen = service.role == Role::Routed || scene.mode.sees_attempts();
        let unnoticed = if is_seen { 0 } else { i64::try_from(SHADOW_INTERVAL.as_millis())? + 500 };
        let judged = failover::judge(&History::of(&service.name, &own, Sources { unnoticed, ..sources }), &events);
        all.told += judged.told;
        all.wrong.extend(judged.wrong.iter().map(|wrong| format!("{}: {wrong}", service.host())));
    }
    Ok(all)
}

fn addresses(stage: &Stage) -> Vec<String> {
    stage.upstreams.iter().map(|upstream| upstream.address().to_string()).collect()
}

fn version(envoy: &Envoy) -> Result<String> {
    let server: serde_json::Value = serde_json::from_str(&envoy.admin("/server_info")?)?;
    // <commit>/1.40.0/Clean/RELEASE/BoringSSL
    let version = server["version"].as_str().and_then(|version| version.split('/').nth(1));
    version.map(str::to_owned).context("Envoy does not say its version")
}
