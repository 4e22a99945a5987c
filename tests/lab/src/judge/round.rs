//! One round: an Envoy with the scene's set-up, its outages under traffic, the repair, and the reckoning when all is over.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::compare::{Told, Verdict, compare};
use super::scene::Scene;
use super::traffic::Traffic;
use crate::endpoints::{Behaviour, Upstream};
use crate::envoy::attempts::{Attempt, Kind};
use crate::envoy::bootstrap::Bootstrap;
use crate::envoy::events::Event;
use crate::envoy::outlier::{Action, Record};
use crate::envoy::proxy::Envoy;
use crate::programs::tools::Tool;
use crate::wait::eventually;
use crate::zones::{CLUSTER, ZONES, Zones};

/// How long the filter has to agree once Envoy holds nothing ejected any more; every delay is measured, so this ends a
/// round that will not agree and judges nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Good answers to each client that show that nothing fails any more.
const WELL: u64 = 5;

/// A change of behaviour, as it was made.
#[derive(Clone, Debug)]
pub struct Change {
    /// When, in milliseconds since the Unix epoch, once it was complete.
    pub at: i64,
    /// Of which endpoints: their indices.
    pub endpoints: Vec<usize>,
    /// To what.
    pub behaviour: Behaviour,
}

/// What came of a round.
#[derive(Debug)]
pub struct Round {
    /// What was played.
    pub scene: Scene,
    /// The version of the Envoy, `1.40.0`.
    pub version: String,
    /// The endpoints' addresses, by index.
    pub addresses: Vec<String>,
    /// What was done to them.
    pub changes: Vec<Change>,
    /// Envoy's record.
    pub did: Vec<Record>,
    /// What the filter told.
    pub told: Vec<Told>,
    /// Both compared.
    pub verdict: Verdict,
    /// What else is wrong, a line each.
    pub complaints: Vec<String>,
    /// Every attempt and request, when anything is wrong.
    pub attempts: Vec<Attempt>,
    /// Envoy's whole log, when anything is wrong.
    pub log: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Round {
    /// Whether the filter agreed with Envoy in everything.
    pub fn is_right(&self) -> bool {
        self.verdict.wrong.is_empty() && self.complaints.is_empty()
    }

    /// Envoy's ejections or returns.
    pub fn count(&self, action: Action) -> usize {
        self.did.iter().filter(|record| record.action == action).count()
    }
}

/// Plays the scene.
///
/// # Errors
/// When it cannot be played; a filter that is wrong is no error here.
pub fn play(scene: &Scene) -> Result<Round> {
    let begun = Instant::now();
    let name = |(index, zone): (usize, &usize)| format!("{}#{index}", ZONES[*zone]);
    let upstreams =
        scene.endpoints.iter().enumerate().map(|e| Upstream::start(&name(e))).collect::<Result<Vec<_>>>()?;
    let mut bootstrap = Bootstrap::new(&Zones::home(), vec![scene.cluster(&upstreams)])
        .with_filter(&Tool::Module.path()?, &scene.plugin_config());
    bootstrap.workers = scene.workers;
    bootstrap.retries = scene.retries.clone();
    bootstrap.route_timeout = Some(scene.route_timeout);
    bootstrap.filter_in_upstream_log = scene.mode.sees_attempts();
    bootstrap.record_attempts = true;
    bootstrap.program = scene.envoy.clone();
    let envoy = Envoy::start(&bootstrap)?;

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
    // What was under way at the repair has ended by now; if it ejected anything, that is over here too.
    let balanced = |records: &[Record]| {
        let count = |action| records.iter().filter(|r| r.action == action).count();
        count(Action::Eject) == count(Action::Return)
    };
    let repaired = Instant::now();
    let (did, told, verdict, mut complaints) = loop {
        let did = envoy.wait_for_records("Envoy returns what it ejected", balanced)?;
        let told = Told::all(&envoy.events().lines());
        let verdict = compare(&did, &told);
        let complaints = complaints(&envoy)?;
        if (verdict.wrong.is_empty() && complaints.is_empty()) || repaired.elapsed() > PATIENCE {
            break (did, told, verdict, complaints);
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
        did,
        told,
        verdict,
        complaints,
        attempts,
        log,
        took: begun.elapsed(),
    })
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

fn stat(envoy: &Envoy, name: &str) -> Result<u64> {
    let stats = envoy.stats(&format!("outlier_detection.{name}$"))?;
    Ok(stats.iter().filter(|(stat, _)| stat.contains(CLUSTER)).map(|(_, value)| value).sum())
}

/// What must hold at the end beside ejections and returns, and does not.
fn complaints(envoy: &Envoy) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    let metrics = envoy.metrics()?;
    let failing = failing_to_the_last(envoy)?;
    let gauges =
        [("faultline_ejected_endpoints", 0), ("faultline_failover_active", 0), ("faultline_open_findings", failing)];
    for (gauge, most) in gauges {
        let value = metrics.sum(gauge, &[]).abs();
        if value > most as f64 {
            complaints.push(format!("{gauge} is {value} when all is over, at most {most} is right"));
        }
    }
    let (counted, enforced) =
        (metrics.sum("faultline_ejections_total", &[]).abs(), stat(envoy, "ejections_enforced_total")?);
    if counted != enforced as f64 {
        complaints.push(format!("faultline_ejections_total is {counted}, ejections_enforced_total {enforced}"));
    }
    // The scene's detectors enforce every streak, so the cap alone can block an ejection.
    let overflows = stat(envoy, "ejections_overflow")?;
    let events = envoy.events().all();
    let mut blocked = events.iter().filter(|event| event.name() == "ejection_blocked");
    if let Some(wrong) = blocked.find(|event| event.text("reason") != "max_ejection_percent" || overflows == 0) {
        complaints.push(format!("Envoy blocked nothing like it ({overflows} by the cap): {wrong}"));
    }
    for (begin, end) in [("failover_started", "failover_ended"), ("no_healthy_upstream", "upstream_recovered")] {
        // Workers write their lines as they come to it; `ts` has the order.
        let mut told = envoy.events().all();
        told.retain(|event| [begin, end].contains(&event.name()));
        told.sort_by_cached_key(|event| event.text("ts").to_owned());
        let told: Vec<&str> = told.iter().map(Event::name).collect();
        let in_turn = told.chunks(2).all(|pair| pair == [begin, end]);
        if !in_turn {
            complaints.push(format!("{begin} and {end} do not take turns: {told:?}"));
        }
    }
    let trapped = |line: &&String| line.contains("wasm") && (line.contains("[critical]") || line.contains("[error]"));
    complaints.extend(envoy.events().lines().iter().find(trapped).map(|line| format!("the VM failed: {line}")));
    Ok(complaints)
}

/// Endpoints that no attempt shows well that began after they last failed: farther ones get no request any more once the
/// nearer ones are back, so their streaks stay open, in Envoy too.
fn failing_to_the_last(envoy: &Envoy) -> Result<usize> {
    let mut failed = BTreeMap::new();
    let mut attempts = envoy.attempts()?;
    attempts.retain(|attempt| attempt.kind == Kind::Attempt);
    attempts.sort_by_key(|attempt| attempt.ended);
    for attempt in attempts {
        if !attempt.text.starts_with("200 -") {
            failed.insert(attempt.endpoint, attempt.ended);
        } else if failed.get(&attempt.endpoint).is_some_and(|failed| attempt.started > *failed) {
            failed.remove(&attempt.endpoint);
        }
    }
    Ok(failed.len())
}

/// How an answer of 5xx ends that Envoy's router gave or let through.
const ROUTER: [&str; 4] = ["via_upstream", "upstream_", "response_timeout", "no_healthy_upstream"];

/// An answer of 5xx that somebody else than the router gave: a filter whose VM is dead does.
pub(crate) fn foreign_answers(envoy: &Envoy) -> Result<Option<String>> {
    let details = |text: &str| text.rsplit(' ').next().unwrap_or_default().to_owned();
    let requests = envoy.attempts()?.into_iter().filter(|a| a.kind == Kind::Request && a.text.starts_with('5'));
    let mut foreign = requests.filter(|a| !ROUTER.iter().any(|router| details(&a.text).starts_with(router)));
    Ok(foreign.next().map(|a| format!("an answer that the router did not give: {a}")))
}
