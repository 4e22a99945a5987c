//! Loki: LogQL over HTTP, as its documentation has it; a running Loki was not asked.
//!
//! A page has at most 5,000 entries, or fewer where the server says so. The next one begins at the last time of the one
//! before, inclusive, so entries of that time come twice and are told apart here.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Context, bail};
use bytes::Bytes;
use filter_core::time::Millis;
use serde::Deserialize;
use serde_json::json;

use super::http::Http;
use super::pipe::{Demand, Writer};
use super::question::Question;

/// Entries on a page: the most that a server allows unless it is told otherwise.
const PAGE: usize = 5_000;

/// Whose lines, if nothing else is asked for.
const SELECTOR: &str = r#"{container="istio-proxy"}"#;

/// What every event's line has, and what a line of the filter's that is no event has.
const LINES: &str = r#" |~ `"faultline":"|wasm log.*faultline: `"#;

/// Why it is not asked for numbers of proxies.
pub(super) const NO_NUMBERS: &str = "an answer of Loki's to a question about numbers has 500 series at most, so that \
    it cannot count proxies";

#[derive(Deserialize)]
struct Answer<T> {
    data: Data<T>,
    /// What the server says of its own answer, such as that a part is missing.
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data<T> {
    result: Vec<T>,
}

/// Lines of the same labels.
#[derive(Deserialize)]
struct Stream {
    stream: BTreeMap<String, String>,
    values: Vec<Entry>,
}

/// The time in nanoseconds, the line, and labels of this line alone.
#[derive(Deserialize)]
struct Entry(String, String, #[serde(default)] serde_json::Value);

#[derive(Deserialize)]
struct Sample {
    value: (f64, String),
}

fn query(question: &Question) -> String {
    format!("{}{LINES}", question.filter.as_deref().unwrap_or(SELECTOR))
}

/// The data of an answer that is whole.
fn whole<T>(http: &Http, answer: Answer<T>) -> anyhow::Result<Vec<T>> {
    if let Some(warning) = answer.warnings.first() {
        bail!("Loki at `{}` warns of its answer, so nothing is told: {warning}", http.address.base);
    }
    Ok(answer.data.result)
}

/// How many records there are.
///
/// # Errors
/// When it cannot be asked, refuses, or warns of its answer.
pub(super) async fn count(http: &Http, question: &Question) -> anyhow::Result<u64> {
    // A range ends with its last time and leaves its first moment out; its unit is a millisecond at least.
    let (end, length) = (nanoseconds(question.to), question.to.saturating_sub(question.from));
    let query = format!("sum(count_over_time({} [{length}ms]))", query(question));
    let request = http.get("/loki/api/v1/query", &[("query", &query), ("time", &end.to_string())]);
    let samples = whole::<Sample>(http, http.json("count the events", request).await?)?;
    // Nothing is no sample.
    let Some(sample) = samples.first() else { return Ok(0) };
    let number = &sample.value.1;
    whole_number(number).with_context(|| format!("cannot count the events: `{number}` is no whole number"))
}

fn nanoseconds(millis: Millis) -> u128 {
    u128::from(millis) * 1_000_000
}

/// The number in a sample, which is a float whatever it counts; none where it does not tell how many there are.
fn whole_number(number: &str) -> Option<u64> {
    /// Above this, a float leaves numbers out.
    const MOST_EXACT: f64 = (1_u64 << 53) as f64;
    let whole = |number: f64| (number.fract() == 0.0 && (0.0..=MOST_EXACT).contains(&number)).then_some(number as u64);
    number.parse().ok().or_else(|| number.parse().ok().and_then(whole))
}

/// Writes all records.
///
/// # Errors
/// As [`count`], and where more entries than a page holds have the same time.
pub(super) async fn pull(http: &Http, question: &Question, to: &mut Writer<'_>) -> anyhow::Result<()> {
    let end = nanoseconds(question.to) + 1;
    let mut start = nanoseconds(question.from);
    let mut limit = PAGE;
    let mut known: HashSet<u64> = HashSet::new();
    loop {
        let streams = match page(http, question, (start, end), limit).await {
            Err(error) => match allowed(&format!("{error:#}")).filter(|allowed| *allowed < limit) {
                Some(allowed) => {
                    limit = allowed;
                    continue;
                }
                None => return Err(error),
            },
            streams => streams?,
        };
        let (mut lines, mut entries, mut latest) = (String::new(), 0, start);
        let mut of_latest = HashSet::new();
        for Stream { stream, values } in &streams {
            for Entry(at, line, own) in values {
                entries += 1;
                let time: u128 = at.parse().with_context(|| format!("cannot read the events: `{at}` is no time"))?;
                let mut hasher = DefaultHasher::new();
                (at, line, stream, own.to_string()).hash(&mut hasher);
                let hash = hasher.finish();
                if time > latest {
                    (latest, of_latest) = (time, HashSet::new());
                }
                if time == latest {
                    of_latest.insert(hash);
                }
                if !known.contains(&hash) {
                    lines.push_str(&json!({"stream": stream, "own": own, "ts": at, "line": line}).to_string());
                    lines.push('\n');
                }
            }
        }
        if to.write(Bytes::from(lines)).await? == Demand::Nothing || entries < limit {
            return Ok(());
        }
        if latest == start {
            bail!("more than {limit} entries have the time {start} ns, so Loki gives no page after it: narrow --query");
        }
        (start, known) = (latest, of_latest);
    }
}

async fn page(
    http: &Http,
    question: &Question,
    (start, end): (u128, u128),
    limit: usize,
) -> anyhow::Result<Vec<Stream>> {
    let (start, end, limit) = (start.to_string(), end.to_string(), limit.to_string());
    let asked = [
        ("query", query(question)),
        ("start", start),
        ("end", end),
        ("limit", limit),
        ("direction", "forward".to_owned()),
    ];
    let asked: Vec<(&str, &str)> = asked.iter().map(|(key, value)| (*key, value.as_str())).collect();
    whole(http, http.json("read the events", http.get("/loki/api/v1/query_range", &asked)).await?)
}

/// How many entries a server allows that refused more: `max entries limit per query exceeded, limit >
/// max_entries_limit_per_query (5000 > 1000)`.
fn allowed(error: &str) -> Option<usize> {
    let (_, rest) = error.split_once("max_entries_limit")?;
    let (_, rest) = rest.split_once('>')?;
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|allowed| *allowed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_whole_however_the_engine_writes_it() {
        for (number, wanted) in [
            ("10", Some(10)),
            ("10.0", Some(10)),
            ("1.5e+06", Some(1_500_000)),
            ("1.5", None),
            ("NaN", None),
            ("-1", None),
        ] {
            assert_eq!(whole_number(number), wanted, "{number}");
        }
        assert_eq!([whole_number("1e300"), whole_number("+Inf"), whole_number("")], [None; 3]);
    }

    #[test]
    fn a_server_that_allows_less_says_how_much() {
        let said = "max entries limit per query exceeded, limit > max_entries_limit_per_query (5000 > 1000)";
        assert_eq!(allowed(said), Some(1000));
        assert_eq!(allowed("max_entries_limit"), None);
        assert_eq!(allowed("parse error"), None);
    }
}
