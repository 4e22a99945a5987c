//! Tests `faultline watch`: a stream that ends, and files that grow and are rotated until Ctrl-C.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{faultline, run, run_with_input};

const OUTAGE: &str = include_str!("../logs/zone-outage.log");
const THREE: &str = include_str!("../logs/three-proxies.log");

#[test]
fn a_stream_is_told_line_by_line_and_summed_up_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_with_input(dir.path(), &["watch"], OUTAGE.as_bytes()).exits(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 23, "{}", ran.stdout);
    assert_eq!(
        lines[0],
        "15:43:09.567  failing           mockb.default: 10.8.1.15:8000 in ap-northeast-1a: connection refused, once \
         (Envoy ejects at 1)"
    );
    assert!(!ran.stdout.contains('\u{1b}'), "no colours and no status line in a pipe");
    assert_eq!(
        ran.stderr.trim(),
        "23 events of 1 proxy, 15:43:09 to 15:43:42 UTC: 5 ejections, 2 failovers; now: all is well"
    );

    // The summary names what is still open. Events repeated after a broken connection are not printed again.
    let some: String = OUTAGE.lines().take(5).map(|line| format!("{line}\n")).collect();
    let ran = run_with_input(dir.path(), &["watch", "-"], some.repeat(2).as_bytes()).exits(0);
    assert_eq!(ran.stdout.lines().count(), 3);
    assert_eq!(
        ran.stderr.trim(),
        "3 events of 1 proxy, at 15:43:09 UTC: 1 ejection, 1 failover; now: away: mockb.default → ap-northeast-1b \
         (up to 100 %); 1 \
         endpoint ejected"
    );
    run(dir.path(), &["watch", "absent.log"]).fails_with(&["cannot read the log `absent.log`"]);
}

#[test]
fn all_is_well_is_said_only_where_events_tell_it() {
    let dir = tempfile::tempdir().unwrap();
    let summary = |log: &str| run_with_input(dir.path(), &["watch"], log.as_bytes()).exits(0).stderr;
    // Nothing at all is no good news: the events may go elsewhere.
    for log in ["", "a line of another program\n"] {
        let report = run_with_input(dir.path(), &["report"], log.as_bytes()).exits(0).stdout;
        assert!(report.contains("Either nothing happened, or the events are not in this log."), "{report}");
        assert_eq!(summary(log), report);
    }
    let rejected = r#"{"faultline":"config_rejected","v":1,"ts":"2026-11-20T15:59:00.000Z","error":"limits: got 5"}"#;
    assert_eq!(
        summary(&format!("{OUTAGE}\n{rejected}\n")).trim(),
        "24 events of 1 proxy, 15:43:09 to 15:59:00 UTC: 5 ejections, 2 failovers; now: \
         configuration rejected by 1 proxy"
    );
}

#[test]
fn an_endpoint_that_fails_and_is_not_ejected_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let summary = |log: &str| run_with_input(dir.path(), &["watch"], log.as_bytes()).exits(0).stderr;
    let event = |name: &str, at: u32, more: &str| {
        format!(
            r#"{{"faultline":"{name}","v":1,"ts":"2026-11-20T15:43:{at:02}.000Z","cluster":"outbound|80||web.shop.svc.cluster.local","endpoint":"10.0.0.1:80","locality":"r/a"{more}}}"#
        ) + "\n"
    };
    let streak = |more: &str| r#","kind":"5xx","streak":5,"threshold":5,"last":{"code":503}"#.to_owned() + more;
    let kept = event("error_streak", 9, &streak(r#","ejects":false"#));
    let open = "now: failing without ejection: 10.0.0.1:80 (last told at 15:43:09)";
    assert!(summary(&kept).trim().ends_with(open), "{}", summary(&kept));
    let blocked =
        event("ejection_blocked", 9, r#","reason":"consecutive_5xx","max_ejection_percent":10,"endpoints":3"#);
    assert!(summary(&blocked).trim().ends_with(open), "{}", summary(&blocked));
    // An endpoint that is gone fails no more.
    let gone = kept + &event("endpoint_removed", 20, r#","ejected_seconds":1.0"#);
    assert!(summary(&gone).trim().ends_with("now: all is well"), "{}", summary(&gone));
    // Where it was ejected, what failed meanwhile is over with the ejection.
    let out = r#","reason":"consecutive_5xx","ejection":1,"ejected_endpoints":1,"endpoints":3"#;
    let late = event("endpoint_ejected", 9, out) + &event("error_streak", 10, &streak(r#","ejects":false"#));
    assert!(summary(&late).trim().ends_with("now: 1 endpoint ejected"), "{}", summary(&late));
    // Where nothing was healthy, it was not in rotation; and no news for long is no news that it fails.
    let kept = event("error_streak", 9, &streak(r#","ejects":false"#));
    let emptied = kept.clone()
        + &event("no_healthy_upstream", 20, r#","endpoints":3"#)
        + &event("upstream_recovered", 30, r#","seconds":10.0"#);
    assert!(summary(&emptied).trim().ends_with("now: all is well"), "{}", summary(&emptied));
    let calm = |at: &str| kept.clone() + &format!("2026-11-20T{at}Z info ready\n");
    assert!(summary(&calm("15:53:00.000")).trim().ends_with(open), "{}", summary(&calm("15:53:00.000")));
    let silent = summary(&calm("15:53:10.000"));
    assert!(silent.trim().ends_with("now: all is well"), "{silent}");
    // A streak for which Envoy ejects is followed by its ejection.
    assert!(summary(&event("error_streak", 9, &streak(""))).trim().ends_with("now: all is well"));
}

#[test]
fn what_is_open_when_a_proxy_stops_is_not_well() {
    let dir = tempfile::tempdir().unwrap();
    let some: String = OUTAGE.lines().take(5).map(|line| format!("{line}\n")).collect();
    let envoy = |at: &str, text: &str| format!("[2026-11-20 {at}][1][warning][main] [source/x.cc:1] {text}\n");
    let stopped = some.clone() + &envoy("15:43:10.000", "caught ENVOY_SIGTERM");
    let open = "away: mockb.default → ap-northeast-1b (up to 100 %); 1 endpoint ejected";
    let watched = |log: &str| run_with_input(dir.path(), &["watch"], log.as_bytes()).exits(0);
    let ran = watched(&stopped);
    assert!(ran.stdout.ends_with(&format!("the proxy ends; open then: {open}\n")), "{}", ran.stdout);
    assert!(ran.stderr.trim().ends_with(&format!("now: open when 1 proxy stopped: {open}")), "{}", ran.stderr);
    // The next process begins with nothing.
    let begun = "wasm log faultline: faultline: 0.1.0 watches, its configuration is in force";
    let ran = watched(&(stopped + &envoy("15:43:12.000", begun)));
    assert!(ran.stderr.trim().ends_with("now: all is well"), "{}", ran.stderr);
    // A proxy that stops when all is well says no more.
    let calm = OUTAGE.to_owned() + &envoy("15:44:00.000", "caught ENVOY_SIGTERM");
    let ran = watched(&calm);
    assert!(ran.stdout.ends_with("the proxy ends\n") && ran.stderr.trim().ends_with("now: all is well"), "{ran:?}");
}

#[test]
fn events_as_json_name_their_proxy_and_can_be_reported() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_with_input(dir.path(), &["watch", "--output", "json"], THREE.as_bytes()).exits(0);
    let events: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((events.len(), &events[0]["proxy"]), (10, &"mocka-7d9c6b5f4-8xkqz".into()));
    assert_eq!((&events[0]["faultline"], &events[0]["last"]["flags"]), (&"error_streak".into(), &"UF".into()));
    let again = run_with_input(dir.path(), &["report", "--output", "json"], ran.stdout.as_bytes()).exits(0).json();
    let direct = run_with_input(dir.path(), &["report", "--output", "json"], THREE.as_bytes()).exits(0).json();
    assert_eq!((&again["headline"], &again["timeline"]), (&direct["headline"], &direct["timeline"]));
}

#[test]
fn an_event_that_names_no_proxy_is_standard_inputs() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_with_input(dir.path(), &["watch", "--output", "json"], OUTAGE.as_bytes()).exits(0);
    assert_eq!(ran.stdout.lines().count(), 23);
    for line in ran.stdout.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["proxy"], "stdin", "{line}");
        // All else stands there as it was logged.
        let logged = line.replace(r#","proxy":"stdin""#, "");
        assert!(OUTAGE.contains(&logged), "{line}");
    }
    let told = |log: &str| run_with_input(dir.path(), &["report", "--output", "json"], log.as_bytes()).exits(0).json();
    assert_eq!(told(&ran.stdout)["proxies"], told(OUTAGE)["proxies"]);
}

#[test]
fn a_file_is_followed_through_rotation_until_ctrl_c() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("proxy.log");
    let lines: Vec<&str> = OUTAGE.lines().collect();
    let append = |text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append(&format!("{}\n", lines[..3].join("\n")));
    let mut child =
        faultline(dir.path(), &["watch", "proxy.log"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || told.next().unwrap().unwrap();
    assert!(next().contains("failing"));
    // Half a line is not printed before the rest has arrived.
    append(&lines[3][..90]);
    append(&format!("{}\n", &lines[3][90..]));
    assert!(next().contains("ejected"));
    std::fs::rename(&log, dir.path().join("proxy.log.1")).unwrap();
    append(&format!("{}\n", lines[4]));
    assert!(next().contains("failover"));
    let _ = std::fs::write(&log, "");
    append(&format!("{}\n", lines[5]));
    assert!(next().contains("ejection over"));

    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.starts_with("4 events of 1 proxy, ")
            && said.contains(" UTC: 1 ejection, 1 failover; now: away: mockb.default"),
        "{said}"
    );
}
