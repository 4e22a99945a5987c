//! The outage as it happens: traffic, events as they are logged, and the events that each act must have.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::envoy::events::Event;
use lab::envoy::outlier::{Action, Record};
use lab::envoy::proxy::Envoy;
use lab::net::load::Load;
use lab::terminal::{meaning, paint};
use lab::zones::HOST;

/// The pause between two requests: about the load of a small service, and slow enough to watch.
const PACE: Duration = Duration::from_millis(5);

/// How long an act waits for its events.
const PATIENCE: Duration = Duration::from_secs(30);

/// An event that must occur exactly once in an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    name: &'static str,
    endpoint: Option<String>,
}

impl Expected {
    /// An event of the cluster.
    pub(crate) fn of_cluster(name: &'static str) -> Self {
        Self { name, endpoint: None }
    }

    /// An event of one endpoint (`ip:port`).
    pub(crate) fn of(name: &'static str, endpoint: &str) -> Self {
        Self { name, endpoint: Some(endpoint.to_owned()) }
    }

    fn is(&self, event: &Event) -> bool {
        event.name() == self.name && self.endpoint.as_deref().is_none_or(|e| event.text("endpoint") == e)
    }
}

/// The demo's state: Envoy under load, and what has been shown and found wrong so far.
pub(crate) struct Story {
    /// The Envoy.
    pub envoy: Envoy,
    load: Load,
    started: Instant,
    shown: usize,
    act_began: usize,
    complaints: Vec<String>,
}

impl Story {
    /// Opens connections on every worker.
    pub(crate) fn begin(envoy: Envoy) -> Result<Self> {
        let load = envoy.load(HOST, 4)?;
        Ok(Self { envoy, load, started: Instant::now(), shown: 0, act_began: 0, complaints: Vec::new() })
    }

    /// Sends `requests` requests, shows new events, and prints how the requests were answered.
    pub(crate) fn send(&mut self, requests: u64) {
        let before = self.load.total.clone();
        for _ in 0..requests {
            self.one_request();
        }
        self.say_since(&before);
    }

    /// Sends requests until all of `expected` have occurred in this act or [`PATIENCE`] is over; [`Story::end_act`]
    /// then complains.
    pub(crate) fn send_until(&mut self, expected: &[Expected]) {
        let before = self.load.total.clone();
        let waiting = Instant::now();
        while !expected.iter().all(|e| self.of_act().iter().any(|event| e.is(event))) && waiting.elapsed() < PATIENCE {
            self.one_request();
        }
        self.say_since(&before);
    }

    /// Ends the act: each of `expected` must have occurred once, and no other event but those in `allowed`.
    pub(crate) fn end_act(&mut self, expected: &[Expected], allowed: &[&str]) {
        let events = self.of_act();
        for one in expected {
            let about = one.endpoint.as_ref().map(|e| format!(" of {e}")).unwrap_or_default();
            match events.iter().filter(|event| one.is(event)).count() {
                0 => self.complaints.push(format!("{}{about} did not come", one.name)),
                1 => {}
                n => self.complaints.push(format!("{}{about} came {n} times", one.name)),
            }
        }
        let others = events.iter().filter(|e| !allowed.contains(&e.name()) && !expected.iter().any(|x| x.is(e)));
        self.complaints.extend(others.map(|e| format!("{} came and nothing had happened: {e}", e.name())));
        self.act_began = self.shown;
    }

    /// Compares the events with Envoy's own outlier event log, and shows it.
    pub(crate) fn compare_with_envoy(&mut self) -> Result<()> {
        let events = self.envoy.events().all();
        let ours = |name: &str, endpoint: &str| events.iter().filter(|e| e.is(name, endpoint)).count();
        let records = self.envoy.outlier_records()?;
        for record in &records {
            let what = if record.action == Action::Eject { "ejected" } else { "returned" };
            paint::note(&format!("{}  {} {what} {}", record.timestamp, record.endpoint, record.reason));
        }
        let mut endpoints: Vec<&str> = records.iter().map(|r| r.endpoint.as_str()).collect();
        endpoints.extend(events.iter().map(|e| e.text("endpoint")).filter(|e| !e.is_empty()));
        endpoints.sort_unstable();
        endpoints.dedup();
        for endpoint in endpoints {
            for (action, name) in [(Action::Eject, "endpoint_ejected"), (Action::Return, "endpoint_returned")] {
                let by_envoy = |r: &&Record| r.endpoint == endpoint && r.action == action;
                let (told, done) = (ours(name, endpoint), records.iter().filter(by_envoy).count());
                if told != done {
                    self.complaints
                        .push(format!("{name} of {endpoint}: told {told} times, done by Envoy {done} times"));
                }
            }
        }
        Ok(())
    }

    /// Everything that was wrong.
    pub(crate) fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn of_act(&self) -> Vec<Event> {
        self.envoy.events().all().split_off(self.act_began)
    }

    fn one_request(&mut self) {
        self.load.send(1);
        thread::sleep(PACE);
        let events = self.envoy.events().all();
        for event in &events[self.shown..] {
            let at = format!("{:6.2} s", self.started.elapsed().as_secs_f64());
            paint::line(&format!("\n   {at}  {} {}", meaning::headline(event), meaning::of_event(event)));
            paint::line(&format!("             {}", paint::dim(&event.to_string())));
        }
        self.shown = events.len();
    }

    fn say_since(&self, before: &lab::net::load::Tally) {
        let now = &self.load.total;
        let grown = |(zone, n): (&String, &u64)| {
            let more = n - before.from(zone);
            (more > 0).then(|| format!("{more} by {zone}"))
        };
        let served: Vec<String> = now.by_endpoint.iter().filter_map(grown).collect();
        let failed = (now.total() - now.status(200)) - (before.total() - before.status(200));
        let served = if served.is_empty() {
            "none reached an endpoint".to_owned()
        } else {
            format!("answered {}", served.join(", "))
        };
        paint::line("");
        paint::note(&format!("{} requests: {served}; {failed} errors", now.total() - before.total()));
    }
}
