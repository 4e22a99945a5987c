//! A small OpenSearch: as much of its language of queries and aggregations as is asked of it, over a fleet's events.
//! The same tests ask a real node, where there is one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::fleet::{self, Line};
use crate::stub::Asked;

/// How the events are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Their lines alone.
    AsText,
    /// With their keys as fields beside them.
    TakenApart,
}

/// A record, as a shipper sends it.
pub(crate) fn record(line: &Line, stored: Stored) -> Value {
    let mut record = json!({"@timestamp": fleet::time(line.at), "message": line.text(),
        "kubernetes": {"pod": {"name": line.pod}, "namespace": "shop"},
        "orchestrator": {"cluster": {"name": line.kubernetes_cluster}}});
    if stored == Stored::TakenApart {
        let mut event = line.event.clone();
        let keys = event.as_object_mut().unwrap();
        let name = keys.remove("faultline").unwrap();
        keys.insert("event".to_owned(), name);
        record["faultline"] = event;
    }
    record
}

/// Records by their fields.
pub(crate) struct Index(Vec<BTreeMap<String, Value>>);

impl Index {
    pub(crate) fn of(lines: &[Line], stored: Stored) -> Self {
        let fields = |line: &Line| {
            let mut fields = BTreeMap::new();
            flatten("", &record(line, stored), &mut fields);
            fields.insert("@timestamp".to_owned(), line.at.into());
            fields
        };
        Self(lines.iter().map(fields).collect())
    }

    /// As [`Index::of`], but one record that begins a failover lacks this key.
    pub(crate) fn of_but(lines: &[Line], stored: Stored, key: &str) -> Self {
        let mut index = Self::of(lines, stored);
        let is_start = |fields: &&mut Fields| fields.get("faultline.event") == Some(&"failover_started".into());
        index.0.iter_mut().find(is_start).unwrap().retain(|name, _| !name.split('.').any(|part| part == key));
        index
    }

    /// The answer to a request but those that read records; none to what is no such request.
    pub(crate) fn answer(&self, asked: &Asked) -> Option<Value> {
        let body = || serde_json::from_str::<Value>(&asked.body).expect("it is JSON");
        match asked.target.split('?').next()? {
            "POST /logs-*/_count" => Some(json!({"count": self.passing(&body()["query"]).len()})),
            "GET /logs-*/_field_caps" => Some(json!({"fields": self.caps()})),
            "POST /_search" => {
                let body = body();
                let all: Vec<_> = self.passing(&body["query"]).into_iter().map(|n| &self.0[n]).collect();
                Some(json!({"hits": {"hits": []}, "aggregations": computed(&all, body.get("aggs")?)}))
            }
            _ => None,
        }
    }

    /// The numbers of the records that pass a query.
    pub(crate) fn passing(&self, query: &Value) -> Vec<usize> {
        (0..self.0.len()).filter(|n| passes(&self.0[*n], query)).collect()
    }

    /// Texts are for searches, and have a part for aggregations: so it is where nobody said otherwise.
    fn caps(&self) -> Value {
        let mut caps = Map::new();
        for (name, value) in self.0.iter().flatten() {
            if value.is_string() {
                caps.insert(name.clone(), json!({"text": {"aggregatable": false}}));
                caps.insert(format!("{name}.keyword"), json!({"keyword": {"aggregatable": true}}));
            } else {
                caps.insert(name.clone(), json!({"float": {"aggregatable": true}}));
            }
        }
        caps.into()
    }
}

type Fields = BTreeMap<String, Value>;

fn flatten(path: &str, value: &Value, into: &mut Fields) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                flatten(&format!("{path}.{key}"), value, into);
            }
        }
        value => drop(into.insert(path.trim_start_matches('.').to_owned(), value.clone())),
    }
}

fn of<'f>(fields: &'f Fields, name: &str) -> Option<&'f Value> {
    fields.get(name.trim_end_matches(".keyword"))
}

fn words(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    format!(" {} ", words.collect::<Vec<_>>().join(" "))
}

fn passes(fields: &Fields, query: &Value) -> bool {
    let (kind, of_it) = query.as_object().unwrap().iter().next().unwrap();
    let each = |name: &str| match &of_it[name] {
        Value::Array(all) => all.clone(),
        Value::Null => vec![],
        one => vec![one.clone()],
    };
    match kind.as_str() {
        "bool" => {
            let should = each("should");
            each("filter").iter().all(|query| passes(fields, query))
                && !each("must_not").iter().any(|query| passes(fields, query))
                && (should.is_empty() || should.iter().any(|query| passes(fields, query)))
        }
        "range" | "match_all" => true,
        "exists" => of(fields, of_it["field"].as_str().unwrap()).is_some(),
        "terms" => {
            let (name, wanted) = of_it.as_object().unwrap().iter().next().unwrap();
            of(fields, name).is_some_and(|value| wanted.as_array().unwrap().contains(value))
        }
        "multi_match" => words(fields["message"].as_str().unwrap()).contains(&words(of_it["query"].as_str().unwrap())),
        "query_string" => of_it["query"].as_str().unwrap().split(" OR ").any(|all| {
            all.split(" AND ").all(|one| {
                let (name, value) = one.trim_matches(['(', ')']).split_once(':').unwrap();
                of(fields, name).and_then(Value::as_str) == Some(value.trim_matches('"'))
            })
        }),
        other => panic!("{other} is not known here"),
    }
}

fn computed(all: &[&Fields], aggs: &Value) -> Value {
    let compute = |(name, agg): (&String, &Value)| {
        let value = |kind: &str| agg[kind]["field"].as_str();
        let numbers = |field: &str| all.iter().filter_map(|fields| of(fields, field)?.as_f64()).collect::<Vec<f64>>();
        let answer = if let Some(query) = agg.get("filter") {
            let all: Vec<_> = all.iter().copied().filter(|fields| passes(fields, query)).collect();
            let mut answer = agg.get("aggs").map_or_else(|| json!({}), |aggs| computed(&all, aggs));
            answer["doc_count"] = all.len().into();
            answer
        } else if let Some(field) = value("min") {
            json!({"value": numbers(field).into_iter().reduce(f64::min)})
        } else if let Some(field) = value("max") {
            json!({"value": numbers(field).into_iter().reduce(f64::max)})
        } else if let Some(field) = value("sum") {
            json!({"value": numbers(field).into_iter().sum::<f64>()})
        } else if let Some(field) = value("cardinality") {
            let values: BTreeSet<_> = all.iter().filter_map(|fields| Some(of(fields, field)?.to_string())).collect();
            json!({"value": values.len()})
        } else if let Some(field) = value("terms") {
            let mut counts: BTreeMap<String, (f64, usize)> = BTreeMap::new();
            for number in numbers(field) {
                counts.entry(number.to_string()).or_insert((number, 0)).1 += 1;
            }
            let bucket = |(number, count): &(f64, usize)| json!({"key": number, "doc_count": count});
            json!({"sum_other_doc_count": 0, "buckets": counts.values().map(bucket).collect::<Vec<_>>()})
        } else {
            composite(all, &agg["composite"], &agg["aggs"])
        };
        (name.clone(), answer)
    };
    Value::Object(aggs.as_object().unwrap().iter().map(compute).collect())
}

/// A page of rows, in the order of their values as texts.
fn composite(all: &[&Fields], composite: &Value, aggs: &Value) -> Value {
    let sources: Vec<&String> =
        composite["sources"].as_array().unwrap().iter().flat_map(|source| source.as_object().unwrap().keys()).collect();
    assert_eq!(sources.iter().collect::<BTreeSet<_>>().len(), sources.len(), "names of sources must be unique");
    let mut rows: BTreeMap<Vec<String>, Vec<&Fields>> = BTreeMap::new();
    for fields in all {
        // An index that has no such field takes it for a text, and refuses to go on after a number.
        let value = |name: &&String| match of(fields, name) {
            Some(value) => value.as_str().map(|_| value.to_string()).expect("it is a text"),
            None => String::new(),
        };
        rows.entry(sources.iter().map(value).collect()).or_default().push(fields);
    }
    let key = |values: &[String]| {
        let value = |text: &String| if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() };
        let pairs = sources.iter().zip(values).map(|(name, text)| ((*name).clone(), value(text)));
        Value::Object(pairs.collect())
    };
    let after = composite.get("after").map(|after| {
        let text = |name: &&String| if after[*name].is_null() { String::new() } else { after[*name].to_string() };
        sources.iter().map(text).collect::<Vec<_>>()
    });
    let rows = rows.iter().filter(|(values, _)| after.as_ref().is_none_or(|after| *values > after));
    // A page need not be full to have another one after it.
    let page: Vec<_> = rows.take(composite["size"].as_u64().unwrap().min(200) as usize).collect();
    let row = |(values, all): &(&Vec<String>, &Vec<&Fields>)| {
        let mut row = computed(all, aggs);
        (row["key"], row["doc_count"]) = (key(values), all.len().into());
        row
    };
    let mut answer = json!({"buckets": page.iter().map(row).collect::<Vec<_>>()});
    if let Some((values, _)) = page.last() {
        answer["after_key"] = key(values);
    }
    answer
}
