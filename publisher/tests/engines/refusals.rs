//! What is refused before or instead of an answer, in words that say what to do; and that no password is shown.

use std::path::Path;

use crate::stub::Stub;
use crate::support::{faultline, run};

fn report(logs: &str, more: &[&str]) -> crate::support::Ran {
    run(Path::new("."), &[&["report", "--logs", logs, "--since", "1h"][..], more].concat())
}

#[test]
fn an_address_with_a_password_or_of_no_engine_is_refused() {
    let ran = report("victorialogs+https://me:hunter2@logs.example.com", &[]);
    let ran = ran.refuses_usage_with(&["has credentials in it", "FAULTLINE_LOGS_PASSWORD", "--logs-credentials"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    report("https://logs.example.com", &[]).refuses_usage_with(&["names no engine", "victorialogs+https://"]);
    report("opensearch+https://h", &[]).refuses_usage_with(&["names no index", "logs-*"]);
    report("victorialogs+http://h", &["--tenant", "x"]).refuses_usage_with(&["ACCOUNT:PROJECT"]);
    report("victorialogs+http://h", &["--until", "2h"]).refuses_usage_with(&["is not before"]);
}

#[test]
fn what_an_engine_refuses_is_said_in_its_words_with_what_to_do() {
    for (status, said, words) in [
        (401, "who are you", &["401", "who are you", "FAULTLINE_LOGS_TOKEN"][..]),
        (403, "", &["403", "check the credentials"]),
        (404, "", &["404", "check the path"]),
        (503, "a node is away", &["503", "a node is away", "nothing is told"]),
        (200, "<html>", &["does not answer as VictoriaLogs does", "<html>"]),
    ] {
        let stub = Stub::answering(move |_| (status, said.to_owned()));
        let logs = format!("victorialogs+http://{}", stub.host);
        for command in ["report", "events", "watch"] {
            run(Path::new("."), &[command, "--logs", &logs, "--since", "1h"]).fails_with(words);
        }
    }
    report("victorialogs+http://127.0.0.1:1", &[]).fails_with(&["cannot be reached"]);
}

#[test]
fn credentials_go_in_a_header_and_are_not_shown() {
    let stub = Stub::answering(|_| (200, r#"{"records":"0"}"#.to_owned()));
    let logs = format!("victorialogs+http://{}", stub.host);
    let mut command = faultline(Path::new("."), &["report", "--verbose", "--logs", &logs, "--since", "1h"]);
    let ran = command.env("FAULTLINE_LOGS_USER", "me").env("FAULTLINE_LOGS_PASSWORD", "hunter2").output().unwrap();
    let asked = stub.asked();
    assert!(!asked.is_empty() && asked.iter().all(|asked| asked.header("authorization") == "Basic bWU6aHVudGVyMg=="));
    let shown = [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(shown.contains("/select/logsql/query -> 200"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
}

#[test]
fn an_engine_that_gives_less_than_it_counted_is_refused() {
    let stub = Stub::answering(|asked| {
        let counts = asked.body.contains("stats");
        (200, if counts { r#"{"records":"7"}"#.to_owned() } else { String::new() })
    });
    let logs = format!("victorialogs+http://{}", stub.host);
    for command in ["report", "events"] {
        run(Path::new("."), &[command, "--logs", &logs, "--since", "1h"])
            .fails_with(&["counted 7 records and gave 0 records"]);
    }
}

#[test]
fn an_answer_without_an_end_is_not_read_to_the_end() {
    let piece = "x".repeat(1 << 20);
    // What went wrong stands at the beginning.
    let more = piece.clone();
    let stub = Stub::endless(move |_| (503, "a node is away".to_owned(), Some(more.clone())));
    let logs = format!("victorialogs+http://{}", stub.host);
    report(&logs, &[]).fails_with(&["503", "a node is away"]);
    // A number has no such length.
    let more = piece.clone();
    let stub = Stub::endless(move |_| (200, String::new(), Some(more.clone())));
    for engine in ["victorialogs+http", "loki+http"] {
        report(&format!("{engine}://{}", stub.host), &[]).fails_with(&[&stub.host, "more than 268435456 bytes"]);
    }
    // Nor have seven records.
    let stub = Stub::endless(move |asked| match asked.body.contains("stats") {
        true => (200, r#"{"records":"7"}"#.to_owned(), None),
        false => (200, String::new(), Some(piece.clone())),
    });
    let logs = format!("victorialogs+http://{}", stub.host);
    for command in ["report", "events"] {
        run(Path::new("."), &[command, "--logs", &logs, "--since", "1h"])
            .fails_with(&["the answer has more than 268435456 bytes", "--query"]);
    }
}
