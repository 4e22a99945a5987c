//! Tests that an answer or a log that says itself that it is a part is not told as the whole: pages, searches that ran
//! out of time, errors of engines and of kubectl.

use serde_json::{Value, json};

use crate::log_shapes::{THREE, each, report};
use crate::support::run_with_input;

/// The records of the three pods, in an answer with more beside them.
fn answer(wrap: impl Fn(Vec<Value>) -> Value) -> Vec<u8> {
    wrap(each(|line| json!({"message": line.text, "kubernetes": {"pod_name": line.pod}}))).to_string().into_bytes()
}

fn of_search(more: Value) -> Vec<u8> {
    answer(|records| {
        let hits: Vec<Value> = records.into_iter().map(|record| json!({"_source": record})).collect();
        let count = hits.len();
        let mut answer = json!({"timed_out": false, "_shards": {"failed": 0}, "hits": {"total": count, "hits": hits}});
        for (key, value) in more.as_object().unwrap() {
            match value.as_object().zip(answer[key].as_object_mut()) {
                Some((new, old)) => old.extend(new.clone()),
                None => answer[key] = value.clone(),
            }
        }
        answer
    })
}

#[test]
fn an_answer_that_is_not_all_is_said() {
    for whole in [
        of_search(json!({})),
        answer(|records| json!({"events": records, "nextForwardToken": "f/1", "nextBackwardToken": "b/1"})),
        answer(|records| json!({"entries": records})),
    ] {
        report(&whole).exits(0);
    }
    for (part, reason) in [
        (of_search(json!({"hits": {"total": {"value": 10_000, "relation": "gte"}}})), "of at least 10000 records"),
        (of_search(json!({"timed_out": true})), "the search ran out of time"),
        (of_search(json!({"_shards": {"failed": 2}})), "shards that failed: 2"),
        (answer(|records| json!({"events": records, "nextToken": "x"})), "there are more pages"),
        (answer(|records| json!({"entries": records, "nextPageToken": "x"})), "there are more pages"),
        (answer(|records| json!({"data": records, "meta": {"page": {"after": "x"}}})), "there are more pages"),
        (answer(|records| json!({"results": records, "preview": true})), "it is a preview"),
    ] {
        let told = report(&part).exits(3).json();
        assert_eq!(told["events"], 10, "{reason}");
        let headline = told["headline"].as_str().unwrap();
        assert!(headline.contains("is only a part of the log: ") && headline.contains(reason), "{headline}");
    }
}

#[test]
fn an_error_in_place_of_an_answer_is_no_quiet_log() {
    let dir = tempfile::tempdir().unwrap();
    let events = |input: &[u8]| run_with_input(dir.path(), &["events"], input);
    let ran = events(br#"{"status": "error", "errorType": "timeout", "error": "context deadline exceeded"}"#).exits(3);
    assert!(ran.stderr.contains("it is an error of the engine (`context deadline exceeded`)"), "{ran:?}");
    // A program's own record is none.
    events(b"{\"status\": 500, \"error\": \"no database\"}\n{\"status\": 200}\n").exits(0);
}

#[test]
fn errors_of_kubectl_among_the_lines_are_told() {
    for error in [
        "error: unexpected EOF",
        "Error from server (NotFound): pods \"x\" not found",
        "unable to retrieve container logs for containerd://abc",
    ] {
        for log in [format!("{THREE}{error}\n"), format!("{error}\n{THREE}")] {
            let told = report(log.as_bytes()).exits(3).json();
            assert_eq!(told["events"], 10, "{error}");
            let headline = told["headline"].as_str().unwrap();
            assert!(headline.contains(&format!("is only a part of the log: kubectl says `{error}`")), "{headline}");
        }
    }
}
