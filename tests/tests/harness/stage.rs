//! A proxy with the filter, the clusters behind it and its admin interface: requests are played, the filter's questions
//! are answered, and time passes, all in steps of virtual time.

use crate::admin::{Admin, Answer};
use crate::balancer::{Cluster, Host, Traffic};
use crate::on_harness::{HOME, events, lines, module};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use wasm_harness::{CallId, Exchange, Harness, Node, RootId, Upstream, VmId};

/// The length of a step, in milliseconds.
const STEP_MS: u64 = 10;

/// A proxy and what is around it.
pub(crate) struct Stage {
    pub(crate) proxy: Harness,
    pub(crate) admin: Admin,
    /// The roots that each request passes, in order.
    pub(crate) chain: Vec<RootId>,
    /// The root that gets the router's upstream log, if any.
    pub(crate) upstream_log: Option<RootId>,
    /// Requests so far.
    pub(crate) requests: u64,
    /// Questions that get no answer.
    ignored: BTreeSet<CallId>,
}

impl Stage {
    /// A proxy at home with two workers.
    pub(crate) fn new(config: &str, clusters: Vec<Cluster>) -> Self {
        Self::of(Node::at(HOME), config, clusters)
    }

    /// A proxy with two workers.
    pub(crate) fn of(node: Node, config: &str, clusters: Vec<Cluster>) -> Self {
        let builder = Harness::builder().workers(2).node(node).cluster("prometheus_stats").config(config);
        let proxy = builder.build(module()).expect("the module starts");
        let chain = vec![proxy.root()];
        let admin = Admin { clusters, ..Admin::default() };
        Self { proxy, admin, chain, upstream_log: None, requests: 0, ignored: BTreeSet::new() }
    }

    /// Virtual time, in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.proxy.now().as_millis()).unwrap_or(u64::MAX)
    }

    /// The first cluster.
    pub(crate) fn cluster(&mut self) -> &mut Cluster {
        &mut self.admin.clusters[0]
    }

    /// Lets time pass with `rate` requests a second to each cluster.
    pub(crate) fn run(&mut self, millis: u64, rate: u64) {
        self.run_with(millis, rate, |_| {});
    }

    /// As [`Stage::run`], and calls `each` after every step.
    pub(crate) fn run_with(&mut self, millis: u64, rate: u64, mut each: impl FnMut(&mut Self)) {
        for step in 0..millis / STEP_MS {
            let due = |step: u64| step * STEP_MS * rate / 1_000;
            for _ in due(step)..due(step + 1) {
                (0..self.admin.clusters.len()).for_each(|cluster| self.request(cluster));
            }
            self.proxy.advance(Duration::from_millis(STEP_MS));
            let now = self.now();
            self.admin.clusters.iter_mut().for_each(|cluster| cluster.tick(now));
            self.serve();
            each(self);
        }
    }

    /// Plays a request to a cluster.
    pub(crate) fn request(&mut self, cluster: usize) {
        let now = self.now();
        let cluster = &mut self.admin.clusters[cluster];
        match cluster.traffic {
            Traffic::Seen => {}
            Traffic::Unseen => return drop(cluster.serve(now)),
            Traffic::None => return,
        }
        let (name, count) = (cluster.name.clone(), cluster.hosts.len() as u64);
        let upstream =
            |host: &Host| Upstream::new(&name, &host.address).locality(host.locality.as_str()).endpoints(count);
        let exchange = match cluster.serve(now) {
            Some((host, status)) => Exchange::status(&upstream(&host), status),
            None => match cluster.hosts.first() {
                Some(host) => Exchange::no_healthy_upstream(&upstream(host)),
                None => Exchange::no_healthy_upstream(&Upstream::new(&name, "-").endpoints(0)),
            },
        };
        self.play(&exchange);
    }

    /// Plays an exchange through the whole chain: its contexts get each callback one after the other.
    pub(crate) fn play(&mut self, exchange: &Exchange) {
        self.requests += 1;
        let worker = usize::try_from(self.requests).unwrap_or(0) % self.proxy.workers();
        let started = self.proxy.wall_clock() + Duration::from_nanos(self.requests % 1_000);
        let exchange = exchange.clone().set("request.time", started).set("connection.id", self.requests);
        if let Some(root) = self.upstream_log {
            self.proxy.upstream_log(worker, root, &exchange);
        }
        let streams: Vec<_> = self.chain.iter().map(|root| self.proxy.open(worker, *root, &exchange)).collect();
        for stream in &streams {
            self.proxy.request_headers(*stream);
        }
        for stream in &streams {
            self.proxy.response_headers(*stream);
        }
        for stream in &streams {
            self.proxy.response_body(*stream, b"", true);
        }
        for stream in streams {
            self.proxy.finish(stream);
        }
    }

    /// Answers the filter's questions.
    pub(crate) fn serve(&mut self) {
        let calls = self.proxy.calls();
        for call in calls.into_iter().filter(|call| !self.ignored.contains(&call.id)).collect::<Vec<_>>() {
            match self.admin.answer(call.path()) {
                Answer::Given(status, body) => {
                    self.proxy.answer(call.id, status, &[("content-type", "application/json")], &body);
                }
                Answer::Reset => {
                    self.proxy.reset_call(call.id);
                }
                Answer::None => {
                    self.ignored.insert(call.id);
                }
            }
        }
    }

    /// The filter's events of these names, as name and endpoint or localities.
    pub(crate) fn told(&self, names: &[&str]) -> Vec<String> {
        let mut told = events(&self.proxy);
        told.retain(|line| names.iter().any(|name| line.starts_with(name)));
        told
    }

    /// The filter's ejections and returns.
    pub(crate) fn told_of_endpoints(&self) -> Vec<String> {
        self.told(&["endpoint_ejected", "endpoint_returned", "endpoint_removed"])
    }

    /// The detectors' ejections and returns, in the filter's words.
    pub(crate) fn record(&self) -> Vec<String> {
        let mut all: Vec<(String, u64)> = self.admin.clusters.iter().flat_map(|c| c.record.clone()).collect();
        all.sort_by_key(|(_, at)| *at);
        all.into_iter().map(|(what, _)| what).collect()
    }

    /// The virtual time of each event of this name, in milliseconds, with its line.
    pub(crate) fn when(&self, name: &str) -> Vec<(u64, Value)> {
        let at = |line: &wasm_harness::LogLine| {
            let json: Value = serde_json::from_str(&line.message).ok()?;
            (json["faultline"] == name).then(|| (u64::try_from(line.at.as_millis()).unwrap_or(0), json))
        };
        self.proxy.logs().iter().filter_map(at).collect()
    }

    /// How many of the filter's remarks contain a text.
    pub(crate) fn remarks(&self, text: &str) -> usize {
        self.proxy.logs().iter().filter(|line| line.message.contains(text)).count()
    }

    /// Attempts that the filter counted, over all clusters, localities and outcomes. Time passes, because it shows its
    /// counts on a heartbeat.
    pub(crate) fn attempts(&mut self) -> u64 {
        self.run(3_000, 0);
        let metrics = self.proxy.metrics();
        metrics
            .iter()
            .filter(|metric| metric.name.ends_with("faultline_attempts_total"))
            .map(|metric| metric.value)
            .sum()
    }

    /// All events, for messages.
    pub(crate) fn all(&self) -> String {
        lines(&self.proxy).iter().map(|line| format!("{line}\n")).collect()
    }

    /// That no VM has trapped.
    pub(crate) fn assert_alive(&self, when: &str) {
        for vm in [VmId::Main, VmId::Worker(0), VmId::Worker(1)] {
            assert_eq!(self.proxy.failure(vm), None, "{when}");
        }
    }
}
