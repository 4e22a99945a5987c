//! VictoriaLogs: LogsQL over HTTP, answers as JSON lines.
//!
//! `/select/logsql/query` streams without a limit and without pages. A cluster that misses a storage node answers 502,
//! unless it was told that a part will do: with `allow_partial_response` it gives what is left without any sign, so
//! that is forbidden with every question. Seen with 1.52.1, single and with two storage nodes.

use anyhow::Context;
use filter_core::time::rfc3339;
use reqwest::RequestBuilder;
use serde::Deserialize;

use super::http::{Http, form};
use super::identity::{CLUSTERS, CONTAINERS, NAMESPACES, PODS};
use super::pipe::{Demand, Writer};
use super::question::Question;

const QUERY: &str = "/select/logsql/query";

/// What every event's line has, and what a line of the filter's that is no event has.
/// What takes events apart may put their keys in another order, so the key is looked for wherever it stands.
const EVENTS: &str = r#"("\"faultline\":\"" or ("wasm log" "faultline: "))"#;

/// A field's name as LogsQL takes it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The filter for the records that are wanted.
pub(super) fn filter(question: &Question) -> String {
    match &question.filter {
        Some(own) => format!("({own}) {EVENTS}"),
        None => EVENTS.to_owned(),
    }
}

/// A query that comes before pipes.
pub(super) fn request(http: &Http, question: &Question, query: &str) -> RequestBuilder {
    let (from, to) = (rfc3339(question.from), rfc3339(question.to));
    let body = form(&[("query", query), ("start", &from), ("end", &to), ("allow_partial_response", "0")]);
    http.post(QUERY).header("content-type", "application/x-www-form-urlencoded").body(body)
}

/// How many records there are.
///
/// # Errors
/// When it cannot be asked, refuses, or answers something else.
pub(super) async fn count(http: &Http, question: &Question) -> anyhow::Result<u64> {
    #[derive(Deserialize)]
    struct Row {
        records: String,
    }
    let query = format!("{} | stats count() records", filter(question));
    let rows: Vec<Row> = http.json_lines("count the events", request(http, question, &query)).await?;
    let first = rows.first().context("cannot count the events: the answer is empty")?;
    first.records.parse().with_context(|| format!("cannot count the events: `{}` is no number", first.records))
}

/// Writes all records.
///
/// # Errors
/// As [`count`].
pub(super) async fn pull(http: &Http, question: &Question, to: &mut Writer<'_>) -> anyhow::Result<()> {
    let names = [&["_time", "_msg"][..], &PODS, &NAMESPACES, &CLUSTERS, &CONTAINERS].concat();
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    let query = format!("{} | fields {}", filter(question), names.join(", "));
    let mut answer = http.send("read the events", request(http, question, &query)).await?;
    // It may be packed: who reads logs unpacks them.
    while let Some(piece) = answer.chunk().await.context("cannot read the events: the answer broke off")? {
        if to.write(piece).await? == Demand::Nothing {
            break;
        }
    }
    Ok(())
}
