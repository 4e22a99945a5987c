//! Texts from traffic in events: every event is one line with one JSON object, and no label breaks a stat's name.

#![no_main]

use filter_core::endpoint::reason::Basis;
use filter_core::endpoint::streak::StreakKind;
use filter_core::event::{Event, EventKind, LastAttempt};
use filter_core::locality::Locality;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let last =
        LastAttempt { code: Some(503), flags: text.into(), details: text.into(), transport_failure: text.into() };
    let event = Event {
        endpoint: Some(text.into()),
        locality: Some(Locality::parse(text)),
        workload: Some(text.into()),
        basis: Some(Basis::Inferred),
        ..Event::of_cluster(
            text.len() as u64,
            text,
            EventKind::ErrorStreak { kind: StreakKind::Http5xx, streak: 1, threshold: 1, ejects: false, last },
        )
    };
    let line = event.to_json();
    assert!(!line.contains('\n'));
    let json = serde_json::from_str::<serde_json::Value>(&line);
    assert!(json.is_ok_and(|json| json["faultline"] == "error_streak"));
    for change in event.changes() {
        let values: Vec<&str> = change.values.iter().map(String::as_str).collect();
        let name = change.metric.stat_name(&values);
        assert_eq!(name.matches(";.;").count(), values.len());
    }
});
