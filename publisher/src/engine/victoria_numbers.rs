//! What VictoriaLogs computes of all events, where there are too many to be read: the numbers of a fleet's story, and
//! whose logs are worth reading whole.
//!
//! Events that the shipper has taken apart (`faultline.event`, as `deploy/otel` does) are counted from their fields.
//! Others are taken apart by the engine, which costs it some ten times as much.

use std::collections::BTreeMap;

use filter_core::time::{Millis, rfc3339};

use super::http::{Http, form};
use super::identity::{CLUSTERS, NAMESPACES, PODS};
use super::question::Question;
use super::victoria_logs::{self, quoted};
use crate::incident::fleet::{Fleet, FleetEndpoint, FleetIncident, FleetRoute, MOST_ENDPOINTS};
use crate::incident::logs::event::parse_time;

/// Every event's line has it.
const EVENTS: &str = r#""\"faultline\":\"""#;

/// Takes an event apart that the shipper left whole.
const UNPACK: &str = r#"| extract_regexp "(?P<fl>\\{\".*\\})" from _msg | unpack_json from fl fields (faultline, cluster, endpoint, locality, from, to, tier, share, requests_away, errors_away) result_prefix "fl_""#;

/// So many proxies that were first, and so many that were hit worst, are read whole; and of all Kubernetes clusters
/// together so many.
const FIRST: usize = 10;
const WORST: usize = 10;
const OF_CLUSTERS: usize = 30;

/// A row of an answer; VictoriaLogs writes every value as a text.
type Row = BTreeMap<String, String>;

/// How the fields of events are called.
struct Fields {
    /// What comes before the statistics.
    prepare: &'static str,
    prefix: &'static str,
    event: &'static str,
}

/// Asks for numbers.
pub(super) struct Numbers<'h> {
    http: &'h Http,
    question: &'h Question,
    fields: Fields,
}

impl<'h> Numbers<'h> {
    /// Finds out how the events are stored.
    ///
    /// # Errors
    /// When the engine cannot be asked, refuses, or answers something else, as for all that follows.
    pub(super) async fn of(http: &'h Http, question: &'h Question) -> anyhow::Result<Self> {
        let parsed = Fields { prepare: "", prefix: "faultline.", event: "faultline.event" };
        let whole = Fields { prepare: UNPACK, prefix: "fl_", event: "fl_faultline" };
        let asked = Self { http, question, fields: parsed };
        let query = r#"| stats count() all, count() if ("faultline.event":*) parsed"#;
        let rows = asked.rows(query).await?;
        let same = rows.first().is_some_and(|row| number(row, "all") == number(row, "parsed"));
        Ok(if same { asked } else { Self { fields: whole, ..asked } })
    }

    /// The numbers of all proxies.
    ///
    /// # Errors
    /// As [`Numbers::of`].
    pub(super) async fn fleet(&self) -> anyhow::Result<Fleet> {
        let everyone = list(&[&PODS, &NAMESPACES, &CLUSTERS]);
        let rows = self.rows(&format!("| stats count() events, count_uniq({everyone}) proxies")).await?;
        let total = |key: &str| rows.first().map_or(0, |row| number(row, key));
        let mut incidents = self.incidents().await?;
        self.routes(&mut incidents).await?;
        self.endpoints(&mut incidents).await?;
        self.open(&mut incidents).await?;
        let mut fleet = Fleet {
            events: total("events"),
            proxies: total("proxies"),
            is_of_engine: true,
            link: self.link(""),
            incidents: incidents.into_values().collect(),
            ..Fleet::default()
        };
        fleet.hear(&self.heard_of().await?);
        fleet.sort();
        Ok(fleet)
    }

    async fn incidents(&self) -> anyhow::Result<BTreeMap<Key, FleetIncident>> {
        let (of, event, proxies) = (self.field("cluster"), quoted(self.fields.event), list(&[&PODS, &NAMESPACES]));
        let (endpoint, away, errors) = (self.field("endpoint"), self.field("requests_away"), self.field("errors_away"));
        let query = format!(
            "| filter {of}:* | stats by ({}, {of}) count() events, count_uniq({proxies}) proxies, min(_time) first, \
             max(_time) last, sum({away}) away, sum({errors}) errors, \
             count_uniq({endpoint}) if ({event}:=endpoint_ejected) ejected, \
             count_uniq({proxies}) if ({event}:=no_healthy_upstream) without",
            list(&[&CLUSTERS])
        );
        let mut incidents: BTreeMap<Key, FleetIncident> = BTreeMap::new();
        for row in self.rows(&query).await? {
            let key = self.key(&row);
            let filter = self.filter_of(&row);
            incidents.insert(
                key.clone(),
                FleetIncident {
                    kubernetes_cluster: key.0,
                    cluster: key.1,
                    proxies: number(&row, "proxies"),
                    events: number(&row, "events"),
                    first: at(&row, "first"),
                    last: at(&row, "last"),
                    requests_away: number(&row, "away"),
                    errors_away: number(&row, "errors"),
                    ejected_endpoints: number(&row, "ejected"),
                    without_healthy: number(&row, "without"),
                    link: self.link(&filter),
                    ..FleetIncident::default()
                },
            );
        }
        Ok(incidents)
    }

    /// How many proxies of each Kubernetes cluster have an event, or another line of the filter's.
    async fn heard_of(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let (clusters, proxies) = (list(&[&CLUSTERS]), list(&[&PODS, &NAMESPACES]));
        let pipes = format!("| stats by ({clusters}) count_uniq({proxies}) proxies");
        let mut heard_of: BTreeMap<String, u64> = BTreeMap::new();
        for row in self.answer(&format!("{} {pipes}", victoria_logs::filter(self.question))).await? {
            *heard_of.entry(kubernetes_cluster(&row)).or_default() += number(&row, "proxies");
        }
        Ok(heard_of)
    }

    async fn routes(&self, incidents: &mut BTreeMap<Key, FleetIncident>) -> anyhow::Result<()> {
        let [of, from, to, tier, share] = ["cluster", "from", "to", "tier", "share"].map(|key| self.field(key));
        let query = format!(
            "| filter {}:in(failover_started, failover_changed) | stats by ({}, {of}, {from}, {to}, {tier}) \
             count_uniq({}) proxies, max({share}) worst, quantile(0.5, {share}) median",
            quoted(self.fields.event),
            list(&[&CLUSTERS]),
            list(&[&PODS, &NAMESPACES])
        );
        for row in self.rows(&query).await? {
            let text = |key: &str| self.value(&row, key);
            let route = FleetRoute {
                from: text("from"),
                to: text("to"),
                tier: text("tier"),
                proxies: number(&row, "proxies"),
                worst_share: share_of(&row, "worst"),
                median_share: share_of(&row, "median"),
            };
            if let Some(incident) = incidents.get_mut(&self.key(&row)) {
                incident.failovers.push(route);
            }
        }
        Ok(())
    }

    async fn endpoints(&self, incidents: &mut BTreeMap<Key, FleetIncident>) -> anyhow::Result<()> {
        let [of, endpoint, locality] = ["cluster", "endpoint", "locality"].map(|key| self.field(key));
        let clusters = list(&[&CLUSTERS]);
        let query = format!(
            "| filter {}:=endpoint_ejected | stats by ({clusters}, {of}, {endpoint}, {locality}) \
             count_uniq({}) proxies, min(_time) first | sort by (proxies desc) limit {MOST_ENDPOINTS} \
             partition by ({clusters}, {of})",
            quoted(self.fields.event),
            list(&[&PODS, &NAMESPACES])
        );
        for row in self.rows(&query).await? {
            let (address, locality) = (self.value(&row, "endpoint"), self.value(&row, "locality"));
            let (proxies, first) = (number(&row, "proxies"), at(&row, "first"));
            if let Some(incident) = incidents.get_mut(&self.key(&row)) {
                incident.endpoints.push(FleetEndpoint { address, locality, proxies, estimated: false, first });
            }
        }
        Ok(())
    }

    /// Proxies whose last word on a failover is not its end.
    async fn open(&self, incidents: &mut BTreeMap<Key, FleetIncident>) -> anyhow::Result<()> {
        let (of, event, clusters) = (self.field("cluster"), quoted(self.fields.event), list(&[&CLUSTERS]));
        let query = format!(
            "| filter {event}:in(failover_started, failover_changed, failover_ended) \
             | stats by ({clusters}, {}, {of}) row_max(_time, {event}) last | unpack_json from last \
             | filter {event}:!=failover_ended | stats by ({clusters}, {of}) count() open",
            list(&[&PODS, &NAMESPACES])
        );
        for row in self.rows(&query).await? {
            if let Some(incident) = incidents.get_mut(&self.key(&row)) {
                incident.open = number(&row, "open");
            }
        }
        Ok(())
    }

    /// The question about the proxies whose whole logs tell most: the first, those hit worst, some of each cluster.
    ///
    /// # Errors
    /// As [`Numbers::of`].
    pub(super) async fn sample(&self) -> anyhow::Result<Question> {
        let (names, clusters, share) =
            (list(&[&PODS, &NAMESPACES, &CLUSTERS]), list(&[&CLUSTERS]), self.field("share"));
        let by_proxy = format!("| stats by ({names}) min(_time) first, max({share}) worst");
        let first = self.rows(&format!("{by_proxy} | sort by (first) limit {FIRST}")).await?;
        let worst = self.rows(&format!("{by_proxy} | sort by (worst desc, first) limit {WORST}")).await?;
        let each = self.rows(&format!("{by_proxy} | sort by (first) limit 3 partition by ({clusters})")).await?;
        let of_clusters = each.len().min(OF_CLUSTERS);
        // One of each cluster comes before the second of any.
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, &Row)> = Vec::new();
        for row in &each {
            let rank = seen.entry(kubernetes_cluster(row)).or_default();
            ranked.push((*rank, row));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        let of_each = ranked.into_iter().map(|(_, row)| row).take(of_clusters);
        let mut filters: Vec<String> = first.iter().chain(&worst).chain(of_each).map(filter_of_proxy).collect();
        filters.sort();
        filters.dedup();
        let own = self.question.filter.as_ref().map(|own| format!("({own}) ")).unwrap_or_default();
        Ok(Question { filter: Some(format!("{own}({})", filters.join(" or "))), ..self.question.clone() })
    }

    /// The address at which the engine's own page shows the events that pass a filter.
    fn link(&self, filter: &str) -> String {
        let own = self.question.filter.as_ref().map(|own| format!("({own}) ")).unwrap_or_default();
        let query = format!("{own}{EVENTS} {filter}");
        let range = format!("{}s", (self.question.to - self.question.from).div_ceil(1000));
        let end = rfc3339(self.question.to);
        let asked = [
            ("query", query.trim()),
            ("g0.range_input", &range),
            ("g0.end_input", end.trim_end_matches('Z')),
            ("g0.relative_time", "none"),
        ];
        format!("{}?{}", self.http.address.at("/select/vmui/#/"), form(&asked))
    }

    async fn rows(&self, pipes: &str) -> anyhow::Result<Vec<Row>> {
        let own = self.question.filter.as_ref().map(|own| format!("({own}) ")).unwrap_or_default();
        self.answer(&format!("{own}{EVENTS} {} {pipes}", self.fields.prepare)).await
    }

    async fn answer(&self, query: &str) -> anyhow::Result<Vec<Row>> {
        let request = victoria_logs::request(self.http, self.question, query);
        self.http.json_lines("compute the numbers of all events", request).await
    }

    /// The name of an event's field, quoted.
    fn field(&self, key: &str) -> String {
        quoted(&format!("{}{key}", self.fields.prefix))
    }

    /// The value of an event's field.
    fn value(&self, row: &Row, key: &str) -> String {
        row.get(&format!("{}{key}", self.fields.prefix)).cloned().unwrap_or_default()
    }

    fn key(&self, row: &Row) -> Key {
        (kubernetes_cluster(row), self.value(row, "cluster"))
    }

    /// A filter for the events of a row's service in its Kubernetes cluster.
    fn filter_of(&self, row: &Row) -> String {
        let service = quoted(&self.value(row, "cluster"));
        let place =
            CLUSTERS.iter().filter_map(|name| row.get_key_value(*name)).map(|(name, value)| exactly(name, value));
        [service].into_iter().chain(place).collect::<Vec<_>>().join(" ")
    }
}

/// The Kubernetes cluster and Envoy's.
type Key = (String, String);

/// The Kubernetes cluster that a row names; a field of that name may hold Envoy's cluster, which has bars in it.
fn kubernetes_cluster(row: &Row) -> String {
    let names = CLUSTERS.iter().filter_map(|name| row.get(*name));
    names.into_iter().find(|value| !value.is_empty() && !value.contains('|')).cloned().unwrap_or_default()
}

fn filter_of_proxy(row: &Row) -> String {
    let names = [&PODS[..], &NAMESPACES, &CLUSTERS].concat();
    let parts = names.iter().filter_map(|name| row.get_key_value(*name)).filter(|(_, value)| !value.is_empty());
    format!("({})", parts.map(|(name, value)| exactly(name, value)).collect::<Vec<_>>().join(" "))
}

fn exactly(name: &str, value: &str) -> String {
    format!("{}:={}", quoted(name), quoted(value))
}

fn list(names: &[&[&str]]) -> String {
    names.concat().iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn number(row: &Row, key: &str) -> u64 {
    // Sums may be written as 1.5e+07, and as NaN where nothing was summed.
    row.get(key).and_then(|value| value.parse::<f64>().ok()).map_or(0, |value| value as u64)
}

fn share_of(row: &Row, key: &str) -> f64 {
    row.get(key).and_then(|value| value.parse().ok()).filter(|share: &f64| share.is_finite()).unwrap_or_default()
}

fn at(row: &Row, key: &str) -> Millis {
    row.get(key).and_then(|time| parse_time(time)).unwrap_or_default()
}
