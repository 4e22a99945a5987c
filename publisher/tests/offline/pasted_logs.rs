//! Tests that a log is read in the forms in which it is pasted, saved from a page or exported without names: the same
//! three pods' lines, and the same story.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::log_shapes::{Line, THREE, each, jsonl, lines, report, tells_the_same, text};

fn doubled(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn all(one: impl Fn(&Line) -> String) -> String {
    lines().iter().map(one).collect()
}

/// The story and the two pods with events; the third one's container may not be named.
#[track_caller]
fn tells_the_story(shape: &str, input: &[u8]) {
    let wanted = report(THREE.as_bytes()).exits(0).json();
    let told = report(input).exits(0).json();
    assert_eq!(told["timeline"], wanted["timeline"], "{shape}");
    let pods = told["proxies"].as_array().unwrap();
    assert!(pods.len() >= 2 && pods.iter().all(|pod| wanted["proxies"].as_array().unwrap().contains(pod)), "{told}");
}

#[test]
fn rows_without_names_are_read_by_what_is_in_them() {
    let table = |separator: &str| {
        all(|l| {
            format!(
                "{}\n",
                [&doubled(l.pod), &doubled(l.container), &doubled(l.text)].map(String::as_str).join(separator)
            )
        })
    };
    tells_the_same("CSV without names", table(",").as_bytes());
    tells_the_same("CSV with semicolons, without names", table(";").as_bytes());
    tells_the_same("tabs, without names", table("\t").as_bytes());
    tells_the_same("names that nobody knows", format!("a,b,c\n{}", table(",")).as_bytes());
    let pretty = |l: &Line| {
        let event = l
            .text
            .find("{\"faultline\"")
            .and_then(|at| serde_json::Deserializer::from_str(&l.text[at..]).into_iter().next());
        event.map_or_else(|| doubled(l.text), |event: Result<Value, _>| doubled(&format!("{:#}", event.unwrap())))
    };
    let pretty = all(|l| format!("{},{},{}\n", l.pod, l.container, pretty(l)));
    tells_the_same("events on several lines", pretty.as_bytes());
}

#[test]
fn a_single_column_without_a_name_holds_events() {
    let one = lines().into_iter().filter(|l| l.pod == lines()[0].pod).map(|l| l.text).collect::<Vec<_>>();
    let plain = report((one.join("\n") + "\n").as_bytes()).exits(0).json();
    let rows: String = one.iter().map(|line| doubled(line) + "\n").collect();
    assert_eq!(report(rows.as_bytes()).exits(0).json()["timeline"], plain["timeline"]);
}

#[test]
fn pages_and_documents_in_xml_are_read() {
    let row = |l: &Line, text: &str| format!("<tr><td>{}</td><td>{}</td><td>{text}</td></tr>", l.pod, l.container);
    let head = "<tr><th>pod</th><th>container</th><th>message</th></tr>";
    let coloured =
        |l: &Line| escaped(l.text).replace("&quot;faultline&quot;", "<span class=\"key\">&quot;faultline&quot;</span>");
    let numbered = |l: &Line| escaped(l.text).replace("&quot;", "&#x22;").replace('{', "&#123;").replace('}', "&#125;");
    let xml = |l: &Line| {
        format!(
            "<entry><pod>{}</pod><container>{}</container><message>{}</message></entry>\n",
            l.pod,
            l.container,
            escaped(l.text)
        )
    };
    let properties = |l: &Line| {
        let (pod, container, text) = (l.pod, l.container, escaped(l.text));
        format!(
            "<dict><key>pod</key><string>{pod}</string><key>container</key><string>{container}</string>\n\
            <key>message</key><string>{text}</string></dict>\n"
        )
    };
    let lined = |l: &Line| format!("[pod/{}/{}] {}<br/>", l.pod, l.container, escaped(l.text));
    for (shape, input) in [
        (
            "a table",
            format!("<html><body><table>{head}\n{}</table></body></html>", all(|l| row(l, &escaped(l.text)) + "\n")),
        ),
        ("a table on one line", format!("<!DOCTYPE html><table>{head}{}</table>", all(|l| row(l, &escaped(l.text))))),
        ("a table without names", format!("<table>{}</table>", all(|l| row(l, &escaped(l.text))))),
        ("a table with colours", format!("<table>{head}{}</table>", all(|l| row(l, &coloured(l))))),
        ("a table with numbers for signs", format!("<table>{head}{}</table>", all(|l| row(l, &numbered(l))))),
        ("preformatted text", format!("<html><pre>\n{}</pre></html>", escaped(THREE))),
        ("lines in a block", format!("<div>{}</div>", all(lined))),
        ("XML", format!("<?xml version=\"1.0\"?>\n<logs>\n{}</logs>\n", all(xml))),
        ("a list of properties", format!("<?xml version=\"1.0\"?><plist><array>{}</array></plist>", all(properties))),
    ] {
        tells_the_same(shape, input.as_bytes());
    }
}

#[test]
fn what_was_pasted_keeps_its_pods() {
    let by_pod = |together: bool| {
        let mut pods: Map<String, Value> = Map::new();
        for l in lines() {
            let texts = pods.entry(l.pod).or_insert_with(|| json!([]));
            texts.as_array_mut().unwrap().push(l.text.into());
        }
        let joined = |texts: &Value| {
            texts.as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect::<Vec<_>>().join("\n")
        };
        let text = |(pod, texts): (String, Value)| (pod, if together { joined(&texts).into() } else { texts });
        Value::Object(pods.into_iter().map(text).collect()).to_string()
    };
    let strings = all(|l| format!("{}\n", json!(format!("[pod/{}/{}] {}", l.pod, l.container, l.text))));
    let markdown = all(|l| format!("| {} | `{}` |\n", l.pod, l.text.replace('|', "\\|")));
    let yaml = all(|l| format!("- container: {}\n  message: {}\n  pod: {}\n", l.container, json!(l.text), l.pod));
    let block = all(|l| format!("- message: |-\n    {}\n  pod: {}\n", l.text, l.pod));
    for (shape, input) in [
        ("a JSON string a line", strings),
        ("a quotation", all(|l| format!("> [pod/{}/{}] {}\n", l.pod, l.container, l.text))),
        ("a difference", all(|l| format!("+[pod/{}/{}] {}\n", l.pod, l.container, l.text))),
        ("line ends of old Macintoshes", THREE.replace('\n', "\r")),
        ("blanks of web pages", THREE.replace(' ', "\u{a0}")),
        ("lists by pod", by_pod(false)),
        ("texts by pod", by_pod(true)),
        ("a table of Markdown", format!("| pod | message |\n|---|---|\n{markdown}")),
        (
            "mysql",
            format!(
                "+--+--+\n| pod | message |\n+--+--+\n{}+--+--+\n",
                all(|l| format!("| {} | {} |\n", l.pod, l.text))
            ),
        ),
        ("SQL", all(|l| format!("INSERT INTO logs VALUES ('{}', '{}');\n", l.pod, l.text.replace('\'', "''")))),
        ("aws logs --output text", all(|l| format!("EVENTS\t1\t1795189389567\t{}\t{}\n", l.pod, l.text))),
        ("a list in YAML", yaml),
        ("blocks in YAML", block),
    ] {
        tells_the_story(shape, input.as_bytes());
    }
    // What is no pod's name in a column is none.
    let plain = jsonl(each(|l| json!({"pod": l.pod, "container": l.container, "x-7d9c6b5f4-8xkqz": l.text})));
    assert_eq!(report(&plain).exits(0).json()["proxies"], report(THREE.as_bytes()).json()["proxies"]);
}

/// The events of the first two pods, each with its time, as two processes of one machine write them.
fn journal(process: impl Fn(&str) -> u32) -> String {
    let mut events: Vec<(String, String)> = lines()
        .iter()
        .filter_map(|l| {
            let at = l.text.find("\"ts\":\"")? + 6;
            let process = process(l.pod);
            Some((l.text[at..at + 24].to_owned(), format!("Nov 20 15:43:09 node-1 envoy[{process}]: {}", l.text)))
        })
        .collect();
    events.sort();
    events.into_iter().fold(String::new(), |mut text, (_, line)| {
        let _ = writeln!(text, "{line}");
        text
    })
}

#[test]
fn processes_of_one_machine_are_told_apart_and_what_was_assumed_is_said() {
    let first = lines()[0].pod;
    let told = report(journal(|pod| if pod == first { 12 } else { 13 }).as_bytes()).exits(0).json();
    assert_eq!(told["proxies"], json!(["node-1[12]", "node-1[13]"]));
    let gaps = told["gaps"].to_string();
    assert!(gaps.contains("On 1 machine 2 processes wrote at the same time: told as a proxy each."), "{gaps}");
    // One that was started again goes on as the same proxy.
    let text = |second: u32, process: u32| {
        format!(
            "Nov 20 15:43:{second} node-1 envoy[{process}]: {{\"faultline\":\"no_healthy_upstream\",\"v\":1,\
             \"ts\":\"2026-11-20T15:43:{second}Z\",\"cluster\":\"c\",\"endpoints\":4}}\n"
        )
    };
    let told = report((text(10, 12) + &text(20, 12) + &text(30, 13)).as_bytes()).exits(0).json();
    assert_eq!(told["proxies"], json!(["node-1"]));
    let gaps = told["gaps"].to_string();
    assert!(gaps.contains("On 1 machine 2 processes wrote one after the other"), "{gaps}");
}

#[test]
fn several_envoys_in_one_log_without_names_are_said() {
    let main = |thread: u32, text: &str| {
        format!("[2026-11-20 15:43:08.000][{thread}][info][main] [source/server/server.cc:434] {text}\n")
    };
    let events = String::from_utf8(text(|l| l.text.to_owned())).unwrap();
    let apart =
        main(3000, "initializing epoch 0") + &main(3100, "initializing epoch 0") + &events + &main(3000, "exiting");
    let told = report(apart.as_bytes()).exits(3).json();
    let gaps = told["gaps"].to_string();
    assert!(gaps.contains("1 log holds lines of several Envoys at once"), "{gaps}");
}
