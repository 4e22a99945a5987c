//! Bytes that Envoy passes in: locality metadata, and shared values that something else may have written.

#![no_main]

use filter_core::cluster::host_totals::HostTotals;
use filter_core::cluster::members::Members;
use filter_core::cluster::{
    AttemptObservation, ClusterState, EvaluationContext, ask_again_in, asks_at_once, on_attempt, on_tick, settings,
};
use filter_core::config::Config;
use filter_core::config::notify::{Format, Notify};
use filter_core::encoding::{decode, encode};
use filter_core::endpoint::detector::AttemptTimes;
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::event::{Event, EventKind, FailoverCause, LastAttempt, Route};
use filter_core::locality::{Locality, Tier};
use filter_core::names::proxy_name;
use filter_core::notify::Message;
use filter_core::notify::outbox::{Ended, Outbox};
use filter_core::notify::spread::Spread;
use filter_core::text::hash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let locality = Locality::from_proto(bytes);
    assert!(locality.as_str().len() < 400);
    let mut outbox = Outbox::decode(bytes);
    let spread = Spread::new(hash(&String::from_utf8_lossy(bytes)), 1);
    let started = EventKind::FailoverStarted(Route {
        from: Locality::parse("r/a"),
        to: locality.clone(),
        tier: Tier::SameRegion,
        share: 1.0,
        cause: FailoverCause::Ejected,
        healthy_at_home: 0,
        endpoints_at_home: 1,
    });
    let started = Event::of_cluster(1, "c", started);
    for now in [0, 100_000, u64::MAX] {
        for format in [Format::Alertmanager, Format::Webhook] {
            let notify = Notify { format, ..Notify::default() };
            for message in Message::of(&started, format) {
                outbox.push(message, now, spread);
            }
            outbox.give_up_waiting(&notify, now);
            outbox.repeat(now, |_| true);
            let Some((round, messages)) = outbox.take(&notify, now) else { continue };
            for message in &messages {
                message.to_json(&notify, proxy_name(&String::from_utf8_lossy(bytes)));
            }
            outbox.on_response(round, Ended::Failed, &notify, now);
            outbox.encode();
        }
    }
    let mut members: Members = decode(bytes).unwrap_or_default();
    members.merge(&[(1, &locality), (7, &locality), (1, &locality)], Some(5), 10, 1_000_000);
    members.counts();
    assert_eq!(decode(&encode(&members)), Some(members));
    let mut totals: HostTotals = decode(bytes).unwrap_or_default();
    totals.grow(&[], 1_000_000, 1_000_000);
    assert_eq!(decode(&encode(&totals)), Some(totals));
    let mut state = ClusterState::decode(bytes);
    assert_eq!(ClusterState::decode(&state.encode()), state);
    let config = Config::default();
    let (outlier, rule) = settings(&state, &config.outlier_detection);
    let (outlier, rule, failover) = (&outlier, &rule, &config.failover);
    for now in [0, 1_000, u64::MAX] {
        let context = EvaluationContext {
            cluster: "c",
            outlier,
            rule,
            failover,
            home: &locality,
            proxy_home: &locality,
            now,
            has_witness: false,
            sees_successes: true,
        };
        let seen = AttemptObservation {
            endpoint: "10.0.0.1:80",
            locality: &locality,
            workload: None,
            input: DetectorInput { connected: false, status: Some(500), failure: Some(503) },
            times: AttemptTimes::at_once(now),
            started: Some(now),
            last: LastAttempt::default(),
            total: Some(3),
        };
        on_attempt(&mut state, &seen, &context);
        asks_at_once(&state, &context);
        ask_again_in(&mut state, &context);
        on_tick(&mut state, &context);
        state.open_findings();
    }
});
