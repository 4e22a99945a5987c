//! Measures what Envoy reports to its detector for one request, and compares it with what the filter concludes.
//!
//! Every row of a table is played once for each streak that Envoy keeps, with and without split mode, each time in a
//! separate cluster with one endpoint: [`PRIMED`] errors, the row's request, and then errors again until Envoy ejects
//! the endpoint at [`THRESHOLD`]. The number of errors that this takes shows how long the streak was, so one ejection
//! distinguishes an error, a reset and neither. All clusters take each step together, and after each step Envoy's main
//! thread is asked which endpoints are ejected.

mod streak;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use lab::endpoints::{Behaviour, Upstream};
use lab::envoy::bootstrap::{Bootstrap, Cluster};
use lab::envoy::metrics::Metrics;
use lab::envoy::outlier::Action;
use lab::envoy::proxy::Envoy;
use lab::envoy::timestamp::millis;
use lab::envoy::topology::{Endpoint, Locality};
use lab::net::http::Client;
use lab::programs::tools::Tool;
use lab::wait::eventually;
use lab::zones::{ZONES, Zones};
use serde_json::{Map, Value, json};
pub(crate) use streak::DetectorInput;
use streak::{PRIMED, READINGS, Reading, Streak, THRESHOLD};

/// How long the filter may take to agree with Envoy after each step; then the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// With these headers.
    With(&'static [(&'static str, &'static str)]),
    /// The client leaves once the endpoint has the request.
    AndLeave,
}

/// One row: a request, and what Envoy should report to its detector for it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub name: &'static str,
    /// The endpoint's behaviour.
    pub does: Behaviour,
    pub ask: Ask,
    /// The status that the client gets; `None` if it gets no complete answer.
    pub status: Option<u16>,
    pub inputs: Vec<DetectorInput>,
    /// The outcome that the filter counts for each of its attempts.
    pub outcomes: Vec<&'static str>,
    /// Further fields of the request's route.
    pub route: Value,
    /// Further fields of the cluster.
    pub cluster: Value,
    /// Whether Envoy finds no healthy endpoint in the cluster.
    pub no_healthy_upstream: bool,
    /// Whether the filter cannot see which attempt failed before the next connection was established and which after
    /// it; then its streak of failures to reach the endpoint is not compared.
    pub hides_order: bool,
}

impl Row {
    /// A plain request; its one attempt counts as `outcome`.
    pub(crate) fn new(name: &'static str, does: Behaviour, status: u16, outcome: &'static str) -> Self {
        Self {
            name,
            does,
            ask: Ask::With(&[]),
            status: Some(status),
            inputs: Vec::new(),
            outcomes: vec![outcome],
            route: json!({}),
            cluster: json!({}),
            no_healthy_upstream: false,
            hides_order: false,
        }
    }

    /// Sets these detector inputs, in this order.
    pub(crate) fn with_inputs(self, inputs: &[DetectorInput]) -> Self {
        Self { inputs: inputs.to_vec(), ..self }
    }

    /// Sets further fields of the route.
    pub(crate) fn route(self, route: Value) -> Self {
        Self { route, ..self }
    }

    /// Sets further fields of the cluster.
    pub(crate) fn cluster(self, cluster: Value) -> Self {
        Self { cluster, ..self }
    }
}

/// The filter's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    HttpFilter,
    UpstreamLog,
}

/// A row for one streak, with its endpoint and a client.
struct Case {
    row: Row,
    reading: Reading,
    cluster: String,
    upstream: Upstream,
    /// The number of the request at which Envoy ejected, and that of the request at which the filter reported it.
    ejected: Option<u32>,
    reported: Option<u32>,
}

impl Case {
    fn new((index, row): (usize, &Row), reading: Reading) -> Result<Self> {
        let cluster = format!("outbound|8000|{reading}|row-{index}.{reading}");
        Ok(Self {
            row: row.clone(),
            reading,
            cluster,
            upstream: Upstream::start("one")?,
            ejected: None,
            reported: None,
        })
    }

    fn host(&self) -> &str {
        self.cluster.rsplit('|').next().unwrap_or_default()
    }

    fn to_cluster(&self) -> Cluster {
        let endpoint = Endpoint { address: self.upstream.address(), locality: Locality::new(ZONES[0]) };
        let mut cluster = Cluster::new(&self.cluster, vec![endpoint], Some(self.reading.rules()));
        let mut route = json!({
            "match": { "path": "/row" },
            "route": { "cluster": self.cluster, "timeout": "0s" },
        });
        if self.row.route.get("direct_response").is_some() {
            route["direct_response"] = self.row.route["direct_response"].clone();
            route.as_object_mut().map(|route| route.remove("route"));
        } else {
            merge(&mut route["route"], &self.row.route);
        }
        cluster.routes.push(route);
        cluster.more = fields(&self.row.cluster);
        cluster
    }

    /// Makes the `number`-th request, from 1.
    fn step(&self, envoy: &Envoy, number: u32) -> Result<()> {
        let mut client = Client::new(envoy.address(), self.host());
        if number != PRIMED + 1 {
            let (error, ..) = self.reading.error();
            self.upstream.set(error)?;
            let answer = client.get("/")?;
            let wanted = if let Behaviour::Answer(status) = error { status } else { 503 };
            ensure!(answer.status == wanted, "request {number}: {} {}", answer.status, answer.text());
            return Ok(());
        }
        self.upstream.set(self.row.does)?;
        match self.row.ask {
            Ask::With(headers) => {
                let answer = client.get_with("/row", headers);
                let status = answer.as_ref().ok().filter(|answer| answer.complete).map(|answer| answer.status);
                ensure!(status == self.row.status, "{:?} instead of {:?}: {answer:?}", status, self.row.status);
            }
            Ask::AndLeave => {
                let before = self.upstream.requests();
                client.send("/row")?;
                eventually("the endpoint has the request", || Ok((self.upstream.requests() > before).then_some(())))?;
            }
        }
        Ok(())
    }

    /// The number of the request at which Envoy ejects by its rules.
    fn expected(&self) -> u32 {
        PRIMED + 1 + THRESHOLD - self.reading.after(&self.row.inputs)
    }

    /// What is wrong with the filter's count of attempts.
    fn miscounted(&self, metrics: &Metrics) -> Option<String> {
        let mut expected = BTreeMap::from([(self.reading.error().1, f64::from(self.ejected? - 1))]);
        for outcome in &self.row.outcomes {
            *expected.entry(outcome).or_default() += 1.0;
        }
        let of_cluster = [("upstream_cluster", self.cluster.as_str())];
        let samples = metrics.matching("faultline_attempts_total", &of_cluster);
        let counted: BTreeMap<&str, f64> = samples.map(|s| (s.labels["outcome"].as_str(), s.value)).collect();
        (counted != expected).then(|| format!("attempts are counted as {counted:?}, {expected:?} was expected"))
    }
}

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn merge(into: &mut Value, from: &Value) {
    for (field, value) in fields(from) {
        into[field] = value;
    }
}

/// Plays the table, and returns a line for everything that is wrong.
///
/// # Errors
/// If it cannot be played; wrong inputs and wrong reports are not errors here.
pub(crate) fn play(rows: &[Row], position: Position) -> Result<Vec<String>> {
    let mut cases = Vec::new();
    for reading in READINGS {
        for row in rows.iter().enumerate() {
            cases.push(Case::new(row, reading)?);
        }
    }
    let clusters = cases.iter().map(Case::to_cluster).collect();
    let rule = |reading: &Reading| {
        let clusters = format!("outbound|8000|{reading}|*");
        json!({ "match": clusters, "outlierDetection": reading.rules().to_istio() })
    };
    let mut config = json!({
        "clusters": READINGS.iter().map(rule).collect::<Vec<_>>(),
        "limits": { "eventsPerSecond": 10_000 },
    });
    let mut bootstrap = Bootstrap::new(&Zones::home(), clusters);
    if position == Position::UpstreamLog {
        config["attempts"] = json!("upstreamLog");
        bootstrap.filter_in_upstream_log = true;
    }
    let bootstrap = bootstrap.with_filter(&Tool::Module.path()?, &config.to_string());
    let envoy = Envoy::start(&bootstrap)?;

    let mut wrong = Vec::new();
    let mut began = Vec::new();
    for number in 1..=PRIMED + 1 + THRESHOLD {
        began.push(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?);
        step(&mut cases, &envoy, number, &mut wrong)?;
    }
    // Workers share their counts once a second.
    let started = Instant::now();
    let metrics = loop {
        let metrics = Metrics::parse(&envoy.admin("/stats/prometheus?filter=faultline_attempts_total")?);
        if cases.iter().all(|case| case.miscounted(&metrics).is_none()) || started.elapsed() > PATIENCE {
            break metrics;
        }
        thread::sleep(Duration::from_millis(50));
    };
    for case in &cases {
        wrong.extend(
            judge(case, &envoy, &metrics, &began)?
                .iter()
                .map(|what| format!("{} ({}): {what}", case.row.name, case.reading)),
        );
    }
    Ok(wrong)
}

/// All clusters that have not ejected their endpoint take their next request in parallel.
fn step(cases: &mut [Case], envoy: &Envoy, number: u32, wrong: &mut Vec<String>) -> Result<()> {
    thread::scope(|scope| {
        let going = cases.iter().filter(|case| case.ejected.is_none());
        let steps: Vec<_> = going.map(|case| (case, scope.spawn(move || case.step(envoy, number)))).collect();
        for (case, step) in steps {
            let result = step.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a step panicked")));
            wrong.extend(result.err().map(|error| format!("{} ({}): {error:#}", case.row.name, case.reading)));
        }
    });
    // Requests whose client has left are over too, so everything has been reported to the detector.
    eventually("all requests are over", || {
        let active = envoy.stats("upstream_rq_active$")?;
        Ok(active.iter().all(|(_, active)| *active == 0).then_some(()))
    })?;
    let ejected = envoy.all_ejected()?;
    for case in cases.iter_mut().filter(|case| case.ejected.is_none()) {
        case.ejected = ejected.iter().any(|(cluster, _)| *cluster == case.cluster).then_some(number);
    }
    let started = Instant::now();
    loop {
        let events = envoy.events().named("endpoint_ejected");
        for case in cases.iter_mut().filter(|case| case.reported.is_none()) {
            case.reported = events.iter().any(|e| e.text("cluster") == case.cluster).then_some(number);
        }
        if cases.iter().all(|case| case.reported.is_some() || case.ejected != Some(number))
            || started.elapsed() > PATIENCE
        {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// What is wrong with a case at the end. `began` contains the start of each step, in milliseconds since the Unix epoch.
fn judge(case: &Case, envoy: &Envoy, metrics: &Metrics, began: &[i64]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let (_, kind, reason) = case.reading.error();
    if case.ejected != Some(case.expected()) {
        wrong.push(format!("Envoy ejected at request {:?}, {} was expected", case.ejected, case.expected()));
    }
    if case.row.hides_order && case.reading.streak == Streak::Local {
        return Ok(wrong);
    }
    if case.reported != case.ejected {
        wrong.push(format!("Envoy ejected at request {:?}, the filter says {:?}", case.ejected, case.reported));
    }
    let Some(requests) = case.ejected else { return Ok(wrong) };
    let record = envoy.wait_for_records("the ejection", |r| r.iter().any(|r| r.cluster == case.cluster))?;
    let record = record.iter().find(|r| r.cluster == case.cluster).context("the record")?;
    ensure!(record.action == Action::Eject, "{record:?}");
    if record.reason != reason {
        wrong.push(format!("Envoy's reason is {}, {reason} was expected", record.reason));
    }
    let told: Vec<_> = envoy.events().all().into_iter().filter(|e| e.text("cluster") == case.cluster).collect();
    let names: Vec<&str> = told.iter().map(|event| event.name()).collect();
    let all = ["no_healthy_upstream", "error_streak", "endpoint_ejected"];
    if names != all[usize::from(!case.row.no_healthy_upstream)..] {
        wrong.push(format!("told: {names:?}"));
    }
    for event in told.iter().filter(|event| event.name() != "no_healthy_upstream") {
        let as_it_was = event.text("endpoint") == record.endpoint
            && event.text("locality") == ZONES[0]
            && [event.text("kind"), event.text("reason")].iter().any(|text| [kind, reason].contains(text))
            && event.number("streak").is_none_or(|streak| streak == f64::from(THRESHOLD));
        let step = began.get(usize::try_from(requests)? - 1).context("the step")?;
        if !as_it_was || millis(event.text("ts")).is_none_or(|ts| ts < *step) {
            wrong.push(format!("after request {requests} at {step}: {event}"));
        }
    }
    wrong.extend(case.miscounted(metrics));
    Ok(wrong)
}
