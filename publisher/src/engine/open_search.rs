//! OpenSearch and Elasticsearch: pages of a point in time, so that nothing is read twice or missed while more comes.
//!
//! Every search forbids partial results, and what says all the same that shards failed or that time ran out is refused.
//! OpenSearch 2.19 was asked; Elasticsearch's calls are as its documentation has them.

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::address::Kind;
use super::http::{Http, JsonBody as _};
use super::pipe::{Demand, Writer};
use super::question::Question;

/// Records on a page; what an index allows unless it is told otherwise.
const PAGE: usize = 10_000;

/// For how long the engine keeps a point in time after each page.
const KEEP_ALIVE: &str = "2m";

/// Where shippers put the line.
pub(super) const MESSAGES: [&str; 6] = ["message", "body", "body.text", "log", "event.original", "msg"];

/// What is fetched of a record: the line and who wrote it.
const WANTED: [&str; 12] = [
    "@timestamp",
    "message",
    "body*",
    "log",
    "event.original",
    "msg",
    "*pod*",
    "*namespace*",
    "*cluster.name",
    "*cluster_name",
    "*container*",
    "resource*",
];

/// Which shards took part.
#[derive(Deserialize)]
struct Shards {
    failed: u64,
    total: u64,
}

#[derive(Deserialize)]
struct Counted {
    count: u64,
    #[serde(rename = "_shards")]
    shards: Shards,
}

/// What a search answers.
#[derive(Deserialize)]
pub(super) struct Answer {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits,
    /// What was computed, by name.
    #[serde(default)]
    pub(super) aggregations: Value,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_source")]
    source: Box<RawValue>,
    #[serde(default)]
    sort: Value,
}

/// The identifier of a point in time, by either engine's key.
#[derive(Deserialize)]
struct PointInTime {
    #[serde(alias = "pit_id")]
    id: String,
}

/// What an index had when it was opened: what comes later is in none of its answers.
pub(super) struct Snapshot<'h> {
    http: &'h Http,
    id: String,
}

impl<'h> Snapshot<'h> {
    /// Opens it.
    ///
    /// # Errors
    /// When the engine cannot be asked, or refuses.
    pub(super) async fn open(http: &'h Http) -> anyhow::Result<Self> {
        let open = if is_elastic(http) { "_pit" } else { "_search/point_in_time" };
        let path = format!("/{}/{open}?keep_alive={KEEP_ALIVE}", http.address.index);
        let PointInTime { id } = http.json("begin to read the events", http.post(&path)).await?;
        Ok(Self { http, id })
    }

    /// Searches it.
    ///
    /// # Errors
    /// When the engine cannot be asked, refuses, or answers in part.
    pub(super) async fn search(&self, doing: &str, mut body: Value) -> anyhow::Result<Answer> {
        body["pit"] = json!({"id": self.id, "keep_alive": KEEP_ALIVE});
        body["track_total_hits"] = false.into();
        let request = self.http.post("/_search?allow_partial_search_results=false").json_body(&body);
        let answer: Answer = self.http.json(doing, request).await?;
        whole(self.http, &answer.shards, answer.timed_out)?;
        Ok(answer)
    }

    /// Gives it back.
    pub(super) async fn close(self) {
        let (path, body) = match is_elastic(self.http) {
            true => ("/_pit", json!({"id": self.id})),
            false => ("/_search/point_in_time", json!({"pit_id": [self.id]})),
        };
        // It ends by itself soon; an error in telling so takes nothing from what was read.
        let _ = self.http.send("end reading", self.http.delete(path).json_body(&body)).await;
    }
}

fn is_elastic(http: &Http) -> bool {
    http.address.kind == Kind::Elasticsearch
}

/// The records that are wanted.
pub(super) fn query(question: &Question) -> Value {
    // A word is found at once; phrases would make each page cost several times as much. What has the word and is no
    // event is a line of the filter's, or left out by the reader.
    let word = json!({"multi_match": {"query": "faultline", "fields": MESSAGES, "lenient": true}});
    let mut filter = vec![
        json!({"range": {"@timestamp": {"gte": question.from, "lt": question.to, "format": "epoch_millis"}}}),
        word,
    ];
    if let Some(own) = &question.filter {
        filter.push(json!({"query_string": {"query": own}}));
    }
    json!({"bool": {"filter": filter}})
}

/// Refuses what only a part of the shards answered.
fn whole(http: &Http, shards: &Shards, timed_out: bool) -> anyhow::Result<()> {
    if shards.failed > 0 || timed_out {
        let (name, at) = (http.address.kind.name(), &http.address.base);
        let why = if timed_out { "ran out of time".to_owned() } else { format!("has {} failed shards", shards.failed) };
        bail!(
            "{name} at `{at}` {why} of {}: what is left would be a part of the truth, so nothing is told; try again, \
             or ask for a shorter time",
            shards.total
        );
    }
    Ok(())
}

/// How many records there are.
///
/// # Errors
/// When it cannot be asked, refuses, or shards fail.
pub(super) async fn count(http: &Http, question: &Question) -> anyhow::Result<u64> {
    let path = format!("/{}/_count", http.address.index);
    let request = http.post(&path).json_body(&json!({"query": query(question)}));
    let counted: Counted = http.json("count the events", request).await?;
    whole(http, &counted.shards, false)?;
    Ok(counted.count)
}

/// Writes all records.
///
/// # Errors
/// As [`count`].
pub(super) async fn pull(http: &Http, question: &Question, to: &mut Writer<'_>) -> anyhow::Result<()> {
    let snapshot = Snapshot::open(http).await?;
    let pages = pages(&snapshot, question, to).await;
    snapshot.close().await;
    pages
}

async fn pages(snapshot: &Snapshot<'_>, question: &Question, to: &mut Writer<'_>) -> anyhow::Result<()> {
    let last = if is_elastic(snapshot.http) { json!({"_shard_doc": "asc"}) } else { json!({"_id": "asc"}) };
    let mut after = Value::Null;
    loop {
        let sort = json!([{"@timestamp": "asc"}, last]);
        let mut body = json!({"size": PAGE, "query": query(question), "sort": sort, "_source": WANTED});
        if !after.is_null() {
            body["search_after"] = after;
        }
        let page = snapshot.search("read the events", body).await?;
        let Some(hit) = page.hits.hits.last() else { return Ok(()) };
        after = hit.sort.clone();
        if after.is_null() {
            return Err(anyhow::anyhow!("the answer has no `sort`")).context("cannot read the events");
        }
        let lines: String = page.hits.hits.iter().map(|hit| format!("{{\"_source\":{}}}\n", hit.source)).collect();
        if to.write(Bytes::from(lines)).await? == Demand::Nothing || page.hits.hits.len() < PAGE {
            return Ok(());
        }
    }
}
