//! What OpenSearch and Elasticsearch compute of all events, where there are too many to be read: the numbers of a
//! fleet's story, and whose logs are worth reading whole.
//!
//! Proxies are counted from pages of a composite aggregation, which leave nothing out; `terms` gives only the largest,
//! and `cardinality` estimates. Only how many proxies ejected an endpoint is estimated, as it would be a row for each
//! proxy and endpoint.

use std::collections::{BTreeMap, BTreeSet};

use filter_core::time::Millis;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::Http;
use super::open_search::Snapshot;
use super::open_search_fields::{BEGINS, EJECTED, ENDS, Fields, NOTHING_HEALTHY};
use super::question::Question;
use crate::incident::fleet::{Fleet, FleetEndpoint, FleetIncident, FleetRoute};

/// Rows on a page; a cluster refuses answers of more than 65,535.
const PAGE: usize = 5_000;

/// Rows on a page with the shares that each proxy told, which count as rows too, and of one proxy the most of them.
const PAGE_OF_SHARES: usize = 2_000;
const MOST_SHARES: usize = 1_000;

/// Rows on a page with estimates, each of which takes the engine some 16 kB.
const PAGE_OF_ESTIMATES: usize = 1_000;

/// Up to so many, an estimate is hardly ever wrong.
const PRECISION: u64 = 3_000;

/// So many proxies that were first, and so many that were hit worst, are read whole; and of all Kubernetes clusters
/// together so many, at most so many of each.
const FIRST: usize = 10;
const WORST: usize = 10;
const OF_CLUSTERS: usize = 30;
const OF_EACH: usize = 3;

/// The Kubernetes cluster and Envoy's.
type Key = (String, String);

/// By what proxies are told apart: the values of their names' fields.
type Names = Vec<String>;

/// A proxy that was heard of.
#[derive(Default)]
struct Proxy {
    kubernetes_cluster: String,
    /// Its first event; none where it has other lines only.
    first: Option<Millis>,
    worst_share: f64,
}

/// Who went a way, and the shares that they told.
#[derive(Default)]
struct Shares {
    proxies: BTreeSet<Names>,
    told: Vec<f64>,
}

/// A row of a composite aggregation, by the fields' names.
#[derive(Deserialize)]
struct Row {
    key: BTreeMap<String, Value>,
    #[serde(flatten)]
    computed: BTreeMap<String, Value>,
}

impl Row {
    /// The value of a field, empty where it has none.
    fn text(&self, field: &str) -> String {
        self.key.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// What was computed, by the names of aggregations one in another.
    fn value(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.computed.get(*first)?, |value, name| value.get(name))
    }

    fn number(&self, path: &[&str]) -> Option<f64> {
        self.value(path)?.as_f64()
    }

    fn list(&self, path: &[&str]) -> &[Value] {
        self.value(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn whole(&self, path: &[&str]) -> u64 {
        self.number(path).unwrap_or_default() as u64
    }
}

/// The numbers of all proxies, and the question about those whose whole logs tell most: the first, those hit worst,
/// some of each Kubernetes cluster.
///
/// # Errors
/// When the engine cannot be asked, refuses, answers in part, or cannot compute numbers of the events as they are
/// stored.
pub(super) async fn numbers(http: &Http, question: &Question) -> anyhow::Result<(Fleet, Question)> {
    let snapshot = Snapshot::open(http).await?;
    let told = tell(http, &snapshot, question).await;
    snapshot.close().await;
    told
}

async fn tell(http: &Http, snapshot: &Snapshot<'_>, question: &Question) -> anyhow::Result<(Fleet, Question)> {
    let fields = Fields::of(http, snapshot, question).await?;
    let asked = Asked { snapshot, question, fields };
    let mut told = Told::default();
    told.take_proxies(&asked).await?;
    told.take_routes(&asked).await?;
    told.take_endpoints(&asked).await?;
    let sample = asked.sample(&told.proxies);
    Ok((told.fleet(), sample))
}

/// How it is asked.
struct Asked<'a> {
    snapshot: &'a Snapshot<'a>,
    question: &'a Question,
    fields: Fields,
}

impl Asked<'_> {
    /// Has every row of a composite aggregation over these fields taken.
    async fn rows(
        &self,
        query: Value,
        by: &[String],
        (computed, page): (Value, usize),
        mut take: impl FnMut(&Row),
    ) -> anyhow::Result<()> {
        const DOING: &str = "compute the numbers of all events";
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            after_key: Value,
            buckets: Vec<Row>,
        }
        let source = |field: &String| json!({field: {"terms": {"field": field, "missing_bucket": true}}});
        let sources: Vec<Value> = by.iter().map(source).collect();
        let mut after = Value::Null;
        loop {
            let mut composite = json!({"size": page, "sources": sources});
            if !after.is_null() {
                composite["after"] = after;
            }
            let body = json!({"size": 0, "query": query, "aggs": {"rows": {"composite": composite, "aggs": computed}}});
            let mut answer = self.snapshot.search(DOING, body).await?;
            let answer: Page = serde_json::from_value(answer.aggregations["rows"].take())
                .map_err(|why| anyhow::anyhow!("cannot {DOING}: the answer has no rows ({why})"))?;
            answer.buckets.iter().for_each(&mut take);
            // A page need not be full to have another one after it.
            if answer.buckets.is_empty() || answer.after_key.is_null() {
                return Ok(());
            }
            after = answer.after_key;
        }
    }

    /// What is computed of the events of one proxy about one service.
    fn of_a_proxy(&self) -> Value {
        let of = |kind: &str, field: &str| json!({kind: {"field": field}});
        let key = |kind: &str, key: &str| of(kind, &self.fields.key(key));
        let last = json!({"last": of("max", "@timestamp")});
        json!({
            "first": of("min", "@timestamp"),
            "last": of("max", "@timestamp"),
            "worst": key("max", "share"),
            "away": key("sum", "requests_away"),
            "errors": key("sum", "errors_away"),
            "without": {"filter": self.fields.is_one_of(&[NOTHING_HEALTHY])},
            "begun": {"filter": self.fields.is_one_of(&BEGINS), "aggs": last},
            "ended": {"filter": self.fields.is_one_of(&[ENDS]), "aggs": last},
        })
    }

    fn events_of(&self, kinds: &[&str]) -> Value {
        json!({"bool": {"filter": [self.fields.events(self.question), self.fields.is_one_of(kinds)]}})
    }

    /// The fields by which proxies are told apart.
    fn names(&self) -> Vec<String> {
        [&self.fields.clusters[..], &self.fields.namespaces, std::slice::from_ref(&self.fields.pod)].concat()
    }

    /// The proxy that a row is of.
    fn proxy(&self, row: &Row) -> Names {
        self.names().iter().map(|field| row.text(field)).collect()
    }

    /// The Kubernetes cluster that a row names; a field of that name may hold Envoy's cluster, which has bars in it.
    fn kubernetes_cluster(&self, row: &Row) -> String {
        let values = self.fields.clusters.iter().map(|field| row.text(field));
        values.into_iter().find(|value| !value.is_empty() && !value.contains('|')).unwrap_or_default()
    }

    /// The question about the proxies whose whole logs tell most.
    fn sample(&self, proxies: &BTreeMap<Names, Proxy>) -> Question {
        /// What no record passes.
        const NOTHING: &str = "NOT *:*";
        let filters = chosen(proxies).into_iter().map(|names| {
            let told = self.names().into_iter().zip(names).filter(|(_, value)| !value.is_empty());
            let told: Vec<String> = told.map(|(field, value)| format!("{field}:{}", quoted(value))).collect();
            format!("({})", told.join(" AND "))
        });
        let filters: Vec<String> = filters.collect();
        let mut filter = if filters.is_empty() { NOTHING.to_owned() } else { filters.join(" OR ") };
        filter = format!("({filter})");
        if let Some(own) = &self.question.filter {
            filter = format!("({own}) AND {filter}");
        }
        Question { filter: Some(filter), ..self.question.clone() }
    }
}

/// What was told so far.
#[derive(Default)]
struct Told {
    events: u64,
    proxies: BTreeMap<Names, Proxy>,
    incidents: BTreeMap<Key, FleetIncident>,
}

impl Told {
    /// Every proxy with what it says of every service.
    async fn take_proxies(&mut self, asked: &Asked<'_>) -> anyhow::Result<()> {
        let fields = &asked.fields;
        let cluster = fields.key("cluster");
        let by = [std::slice::from_ref(&cluster), &asked.names()].concat();
        let computed = json!({"told": {"filter": {"exists": {"field": fields.event}}, "aggs": asked.of_a_proxy()}});
        let take = |row: &Row| {
            // Lines beside the events may name no pod.
            if !row.text(&fields.pod).is_empty() {
                let kubernetes_cluster = asked.kubernetes_cluster(row);
                self.take(row, asked.proxy(row), (kubernetes_cluster, row.text(&cluster)));
            }
        };
        asked.rows(fields.lines(asked.question), &by, (computed, PAGE), take).await
    }

    /// What one proxy says of one service, or of none.
    fn take(&mut self, row: &Row, names: Names, (kubernetes_cluster, cluster): Key) {
        let proxy = self.proxies.entry(names).or_default();
        proxy.kubernetes_cluster.clone_from(&kubernetes_cluster);
        let events = row.whole(&["told", "doc_count"]);
        if events == 0 {
            return;
        }
        let at = |name| row.number(&["told", name, "value"]).unwrap_or_default();
        let (first, last) = (at("first") as Millis, at("last") as Millis);
        proxy.first = Some(proxy.first.map_or(first, |known| known.min(first)));
        proxy.worst_share = proxy.worst_share.max(at("worst"));
        self.events += events;
        if cluster.is_empty() {
            return;
        }
        let one = self
            .incidents
            .entry((kubernetes_cluster.clone(), cluster.clone()))
            .or_insert_with(|| FleetIncident { kubernetes_cluster, cluster, first, ..FleetIncident::default() });
        (one.first, one.last) = (one.first.min(first), one.last.max(last));
        one.proxies += 1;
        one.events += events;
        one.requests_away = one.requests_away.saturating_add(at("away") as u64);
        one.errors_away = one.errors_away.saturating_add(at("errors") as u64);
        one.without_healthy += u64::from(row.whole(&["told", "without", "doc_count"]) > 0);
        let [begun, ended] = ["begun", "ended"].map(|name| row.number(&["told", name, "last", "value"]));
        one.open += u64::from(begun > ended);
    }

    /// Where traffic went, with every share that a proxy told.
    async fn take_routes(&mut self, asked: &Asked<'_>) -> anyhow::Result<()> {
        let keys = ["cluster", "from", "to", "tier"].map(|key| asked.fields.key(key));
        let [cluster, from, to, tier] = &keys;
        let by = [&keys[..], &asked.names()].concat();
        // No row of its own: an index without that field takes it for a text, and refuses to go on after a number.
        let shares = json!({"shares": {"terms": {"field": asked.fields.key("share"), "size": MOST_SHARES}}});
        let mut routes: BTreeMap<(Key, [String; 3]), Shares> = BTreeMap::new();
        let mut left_out = 0;
        let take = |row: &Row| {
            let key = (asked.kubernetes_cluster(row), row.text(cluster));
            let route = routes.entry((key, [from, to, tier].map(|field| row.text(field)))).or_default();
            route.proxies.insert(asked.proxy(row));
            left_out += row.whole(&["shares", "sum_other_doc_count"]);
            for told in row.list(&["shares", "buckets"]) {
                let (share, times) = (told["key"].as_f64().unwrap_or_default(), told["doc_count"].as_u64());
                route.told.extend(std::iter::repeat_n(shortest(share), times.unwrap_or_default() as usize));
            }
        };
        asked.rows(asked.events_of(&BEGINS), &by, (shares, PAGE_OF_SHARES), take).await?;
        anyhow::ensure!(
            left_out == 0,
            "a proxy told more than {MOST_SHARES} different shares, so that a median would be of a part"
        );
        for ((key, [from, to, tier]), Shares { proxies, told: mut shares }) in routes {
            shares.sort_by(f64::total_cmp);
            let worst_share = shares.last().copied().unwrap_or_default();
            let median_share = shares.get(shares.len() / 2).copied().unwrap_or_default();
            if let Some(one) = self.incidents.get_mut(&key) {
                let proxies = proxies.len() as u64;
                one.failovers.push(FleetRoute { from, to, tier, proxies, worst_share, median_share });
            }
        }
        Ok(())
    }

    /// What was ejected.
    async fn take_endpoints(&mut self, asked: &Asked<'_>) -> anyhow::Result<()> {
        let fields = &asked.fields;
        let (cluster, endpoint, locality) = (fields.key("cluster"), fields.key("endpoint"), fields.locality());
        let own = [cluster.clone(), endpoint.clone()];
        let by = [&own[..], locality.as_slice(), &fields.clusters, &fields.namespaces].concat();
        let computed = json!({
            "first": {"min": {"field": "@timestamp"}},
            "proxies": {"cardinality": {"field": fields.pod, "precision_threshold": PRECISION}},
        });
        let mut endpoints: BTreeMap<(Key, String), FleetEndpoint> = BTreeMap::new();
        let take = |row: &Row| {
            let key = (asked.kubernetes_cluster(row), row.text(&cluster));
            let (address, first) = (row.text(&endpoint), row.whole(&["first", "value"]));
            let one = endpoints.entry((key, address.clone())).or_insert_with(|| {
                let locality = locality.as_ref().map(|field| row.text(field)).unwrap_or_default();
                FleetEndpoint { address, locality, proxies: 0, estimated: true, first }
            });
            one.first = one.first.min(first);
            one.proxies += row.whole(&["proxies", "value"]);
        };
        asked.rows(asked.events_of(&[EJECTED]), &by, (computed, PAGE_OF_ESTIMATES), take).await?;
        for ((key, _), mut endpoint) in endpoints {
            if let Some(one) = self.incidents.get_mut(&key) {
                endpoint.proxies = endpoint.proxies.min(one.proxies);
                one.ejected_endpoints += 1;
                one.endpoints.push(endpoint);
            }
        }
        Ok(())
    }

    fn fleet(self) -> Fleet {
        let mut heard_of: BTreeMap<String, u64> = BTreeMap::new();
        for proxy in self.proxies.values() {
            *heard_of.entry(proxy.kubernetes_cluster.clone()).or_default() += 1;
        }
        let mut fleet = Fleet {
            events: self.events,
            proxies: self.proxies.values().filter(|proxy| proxy.first.is_some()).count() as u64,
            is_of_engine: true,
            incidents: self.incidents.into_values().collect(),
            ..Fleet::default()
        };
        fleet.hear(&heard_of);
        fleet.sort();
        fleet
    }
}

/// The first proxies, those hit worst, and some of each Kubernetes cluster: one of each before the second of any.
fn chosen(proxies: &BTreeMap<Names, Proxy>) -> BTreeSet<&Names> {
    let mut all: Vec<(Millis, &Names, &Proxy)> =
        proxies.iter().filter_map(|(names, proxy)| Some((proxy.first?, names, proxy))).collect();
    all.sort_by_key(|(first, ..)| *first);
    let mut chosen: BTreeSet<&Names> = all.iter().take(FIRST).map(|(_, names, _)| *names).collect();
    let mut ranks: BTreeMap<&str, usize> = BTreeMap::new();
    let mut of_each = Vec::new();
    for (_, names, proxy) in &all {
        let rank = ranks.entry(&proxy.kubernetes_cluster).or_default();
        if *rank < OF_EACH {
            of_each.push((*rank, *names));
        }
        *rank += 1;
    }
    of_each.sort_by_key(|(rank, _)| *rank);
    chosen.extend(of_each.into_iter().map(|(_, names)| names).take(OF_CLUSTERS));
    all.sort_by(|a, b| b.2.worst_share.total_cmp(&a.2.worst_share));
    chosen.extend(all.iter().take(WORST).map(|(_, names, _)| *names));
    chosen
}

/// A number as it was told: an index may keep it in four bytes, and gives `0.55` as `0.550000011920929`.
fn shortest(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

/// A value as a `query_string` has it.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}
