//! How an index of OpenSearch or Elasticsearch keeps what the numbers are made of: an event's keys, and who wrote it.
//!
//! Whatever stored the events decides what their fields are called and how they are mapped, so the index is asked. Its
//! aggregations leave out what has no such field without a word, so it is also asked whether every event has them.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use filter_core::event::EventKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::Http;
use super::identity::{CLUSTERS, NAMESPACES, PODS};
use super::open_search::{self, MESSAGES, Snapshot};
use super::question::Question;

const DOING: &str = "find out how the events are stored";

/// What an event's own fields end with, of which its name is the first to be looked for.
const EVENT: &str = "faultline.event";

/// What to do where an aggregation would leave something out.
const REMEDY: &str = "store each with its keys as fields of their own, as keywords and numbers, as deploy/otel does";

/// Kinds of events in which traffic goes away.
pub(super) const BEGINS: [&str; 2] = ["failover_started", "failover_changed"];
/// The kind in which it is home again.
pub(super) const ENDS: &str = "failover_ended";
/// The kind in which an endpoint is out.
pub(super) const EJECTED: &str = "endpoint_ejected";
/// The kind in which nothing is healthy.
pub(super) const NOTHING_HEALTHY: &str = "no_healthy_upstream";

/// Kinds of events that are about the filter and no cluster.
const OF_NO_CLUSTER: [&str; 2] = ["config_rejected", "events_suppressed"];

/// An event's keys that are needed, and in which kinds each stands.
const NEEDED: [(&str, Class, &[&str]); 7] = [
    ("endpoint", Class::Text, &[EJECTED]),
    ("from", Class::Text, &BEGINS),
    ("to", Class::Text, &BEGINS),
    ("tier", Class::Text, &BEGINS),
    ("share", Class::Number, &BEGINS),
    ("requests_away", Class::Number, &[ENDS]),
    ("errors_away", Class::Number, &[ENDS]),
];

/// What a field can be computed with as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Text,
    Number,
    /// Not at all, or in one index as this and in another as that.
    Neither,
}

/// The names of the fields.
#[derive(Debug)]
pub(super) struct Fields {
    /// What stands before an event's key.
    prefix: String,
    caps: Caps,
    /// The event's name.
    pub(super) event: String,
    /// The pod; every event has it.
    pub(super) pod: String,
    /// Its namespace, where that is told.
    pub(super) namespaces: Vec<String>,
    /// Its Kubernetes cluster, where that is told.
    pub(super) clusters: Vec<String>,
}

/// Every field of the index that may matter.
#[derive(Debug)]
struct Caps(BTreeMap<String, Class>);

impl Caps {
    async fn of(http: &Http) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Answer {
            fields: BTreeMap<String, BTreeMap<String, Cap>>,
        }
        #[derive(Deserialize)]
        struct Cap {
            aggregatable: bool,
        }
        const WANTED: &str = "*faultline.*,*pod*,*proxy*,*instance.id*,*namespace*,*cluster*";
        let path = format!("/{}/_field_caps", http.address.index);
        let answer: Answer = http.json(DOING, http.get(&path, &[("fields", WANTED)])).await?;
        let class = |types: &BTreeMap<String, Cap>| {
            let all = |is: fn(&str) -> bool| types.iter().all(|(name, cap)| cap.aggregatable && is(name));
            match () {
                () if all(|name| matches!(name, "keyword" | "constant_keyword" | "wildcard")) => Class::Text,
                () if all(is_number) => Class::Number,
                () => Class::Neither,
            }
        };
        Ok(Self(answer.fields.iter().map(|(name, types)| (name.clone(), class(types))).collect()))
    }

    /// The field of that name, or its part that can be computed with.
    fn fit(&self, name: &str, wanted: Class) -> Option<String> {
        let names = [name.to_owned(), format!("{name}.keyword")];
        names.into_iter().find(|name| self.0.get(name) == Some(&wanted))
    }

    /// The texts that have one of these names, whatever stands before it; in the order of the names.
    fn called(&self, names: &[&str], but_below: &str) -> Vec<String> {
        let mut found = Vec::new();
        for name in names {
            let is_it = |path: &str| path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            let paths =
                self.0.keys().filter(|path| is_it(path) && (but_below.is_empty() || !path.starts_with(but_below)));
            for field in paths.filter_map(|path| self.fit(path, Class::Text)) {
                // `kubernetes.namespace` is also called `namespace`.
                if !found.contains(&field) {
                    found.push(field);
                }
            }
        }
        found
    }
}

fn is_number(name: &str) -> bool {
    let numbers =
        ["long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long"];
    numbers.contains(&name)
}

impl Fields {
    /// Finds the fields of the events.
    ///
    /// # Errors
    /// When the engine cannot be asked, refuses, or answers in part; and when an event would be left out of the
    /// numbers.
    pub(super) async fn of(http: &Http, snapshot: &Snapshot<'_>, question: &Question) -> anyhow::Result<Self> {
        let caps = Caps::of(http).await?;
        let event = event(&caps, snapshot, question).await?;
        let prefix = event.trim_end_matches(".keyword").trim_end_matches("event").to_owned();
        let names = [&PODS[..], &NAMESPACES, &CLUSTERS].map(|names| caps.called(names, &prefix));
        let mut fields = Self { prefix, caps, event, pod: String::new(), namespaces: vec![], clusters: vec![] };
        let asked: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        let have: Vec<Value> = asked.iter().map(|name| exists(name)).collect();
        let (all, counted) = counts(snapshot, fields.events(question), &have).await?;
        let count: BTreeMap<&str, u64> = asked.into_iter().zip(counted).collect();
        let count = |name: &String| count.get(name.as_str()).copied().unwrap_or_default();
        let [pods, namespaces, clusters] = &names;
        match pods.iter().max_by_key(|name| count(name)) {
            Some(most) if count(most) == all => {
                fields.pod = pods.iter().find(|name| count(name) == all).unwrap_or(most).clone();
            }
            Some(most) => bail!(
                "only {} of {all} events name their pod in `{most}`, in which most do: choose those by --query",
                count(most)
            ),
            None => bail!("the events name their pods in no field that can be counted: {REMEDY}"),
        }
        let told = |names: &[String]| names.iter().filter(|name| count(name) > 0).cloned().collect();
        (fields.namespaces, fields.clusters) = (told(namespaces), told(clusters));
        fields.must_be_in_all(snapshot, question).await?;
        Ok(fields)
    }

    /// Refuses keys that some event has and its field has not.
    async fn must_be_in_all(&self, snapshot: &Snapshot<'_>, question: &Question) -> anyhow::Result<()> {
        let of_a_cluster: Vec<&str> = EventKind::TABLE.iter().map(|(name, _)| *name).collect();
        let of_a_cluster: Vec<&str> = of_a_cluster.into_iter().filter(|name| !OF_NO_CLUSTER.contains(name)).collect();
        let needed = [("cluster", Class::Text, of_a_cluster.as_slice())];
        let needed: Vec<_> = needed.into_iter().chain(NEEDED).collect();
        let lacks = needed.iter().map(|(key, class, kinds)| {
            let mut lacks = json!({"bool": {"filter": [self.is_one_of(kinds)]}});
            if let Some(field) = self.caps.fit(&format!("{}{key}", self.prefix), *class) {
                lacks["bool"]["must_not"] = exists(&field);
            }
            lacks
        });
        let (_, lacking) = counts(snapshot, self.events(question), &lacks.collect::<Vec<_>>()).await?;
        for ((key, class, _), lacking) in needed.iter().zip(lacking) {
            let what = if *class == Class::Number { "a number" } else { "a keyword" };
            ensure!(lacking == 0, "{lacking} of them lack `{}{key}` as {what}: {REMEDY}", self.prefix);
        }
        let locality = format!("{}locality", self.prefix);
        let is_fit = self.locality().is_some() || !self.caps.0.contains_key(&locality);
        ensure!(is_fit, "`{locality}` is not there as a keyword: {REMEDY}");
        Ok(())
    }

    /// The field of an event's key that [`Fields::of`] found; the name that it would have where no event has it.
    pub(super) fn key(&self, key: &str) -> String {
        let name = format!("{}{key}", self.prefix);
        [Class::Text, Class::Number].into_iter().find_map(|class| self.caps.fit(&name, class)).unwrap_or(name)
    }

    /// The field of an endpoint's locality; not every event of an endpoint has one.
    pub(super) fn locality(&self) -> Option<String> {
        self.caps.fit(&format!("{}locality", self.prefix), Class::Text)
    }

    /// Whether it is an event of one of these kinds.
    pub(super) fn is_one_of(&self, kinds: &[&str]) -> Value {
        json!({"terms": {&self.event: kinds}})
    }

    /// All events.
    pub(super) fn events(&self, question: &Question) -> Value {
        json!({"bool": {"filter": [open_search::query(question), exists(&self.event)]}})
    }

    /// All lines of the filter's, whether they are events or not.
    pub(super) fn lines(&self, question: &Question) -> Value {
        let lines = json!({"bool": {"should": [exists(&self.event), phrase("wasm log")]}});
        json!({"bool": {"filter": [open_search::query(question), lines]}})
    }
}

/// The field of the events' names, which every event must have.
async fn event(caps: &Caps, snapshot: &Snapshot<'_>, question: &Question) -> anyhow::Result<String> {
    let fields = caps.called(&[EVENT], "");
    let phrases: Vec<Value> = EventKind::TABLE.iter().map(|(name, _)| phrase(&format!("faultline {name}"))).collect();
    let is_event = json!({"bool": {"should": phrases}});
    let left_whole = |field: &String| json!({"bool": {"filter": is_event, "must_not": exists(field)}});
    let filters: Vec<Value> = fields.iter().map(left_whole).chain([is_event.clone()]).collect();
    let (_, left) = counts(snapshot, open_search::query(question), &filters).await?;
    let all = left.last().copied().unwrap_or_default();
    match fields.into_iter().zip(left).min_by_key(|(_, left)| *left) {
        Some((field, 0)) => Ok(field),
        Some((field, left)) => bail!("{left} of them are whole texts without `{field}`: {REMEDY}"),
        None if all == 0 => bail!("none of them looks like an event: choose the proxies' lines by --query"),
        None => bail!("{all} of them are events, as whole texts without a keyword `{EVENT}`: {REMEDY}"),
    }
}

/// How many records there are, and how many of them pass each of these filters.
async fn counts(snapshot: &Snapshot<'_>, query: Value, filters: &[Value]) -> anyhow::Result<(u64, Vec<u64>)> {
    let every = json!({"match_all": {}});
    let filters = filters.iter().chain([&every]).enumerate();
    let aggs: BTreeMap<String, Value> = filters.map(|(n, filter)| (n.to_string(), json!({"filter": filter}))).collect();
    let answer = snapshot.search(DOING, json!({"size": 0, "query": query, "aggs": aggs})).await?;
    let mut counts = Vec::new();
    for n in 0..aggs.len() {
        let count = answer.aggregations[n.to_string()]["doc_count"].as_u64();
        counts.push(count.ok_or_else(|| anyhow::anyhow!("cannot {DOING}: the answer has no numbers"))?);
    }
    let all = counts.pop().unwrap_or_default();
    Ok((all, counts))
}

fn exists(field: &str) -> Value {
    json!({"exists": {"field": field}})
}

/// Whether a message has these words, one after the other.
fn phrase(words: &str) -> Value {
    json!({"multi_match": {"query": words, "type": "phrase", "fields": MESSAGES, "lenient": true}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_at_any_depth_and_by_the_part_that_can_be_computed_with() {
        let classes = [
            ("attributes.faultline.event", Class::Neither),
            ("attributes.faultline.event.keyword", Class::Text),
            ("attributes.faultline.cluster", Class::Text),
            ("attributes.faultline.share", Class::Number),
            ("kubernetes.pod.name", Class::Text),
            ("kubernetes.my_pod", Class::Text),
            ("kubernetes.namespace", Class::Text),
            ("resource.cluster", Class::Text),
        ];
        let caps = Caps(classes.map(|(name, class)| (name.to_owned(), class)).into());
        assert_eq!(caps.called(&[EVENT], ""), ["attributes.faultline.event.keyword"]);
        assert_eq!(caps.called(&PODS, "attributes.faultline."), ["kubernetes.pod.name"]);
        assert_eq!(caps.called(&NAMESPACES, "attributes.faultline."), ["kubernetes.namespace"]);
        assert_eq!(caps.called(&CLUSTERS, "attributes.faultline."), ["resource.cluster"]);
        assert_eq!(caps.fit("attributes.faultline.share", Class::Text), None);
    }
}
