//! Answers of the admin interface, lists and counts: read as far as they go, and weighed against what is known, never a panic.

#![no_main]

use filter_core::cluster::{self, ClusterState, EvaluationContext};
use filter_core::config::Config;
use filter_core::locality::Locality;
use filter_core::admin::{clusters, stats};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    let config = Config::default();
    let home = Locality::parse("r/z");
    let mut state = ClusterState::default();
    let mut now = 1_000;
    let counts = read_counts(answer).unwrap_or_default();
    let mut next = counts.iter().map(|(_, count)| *count).cycle();
    let _ = read(answer, |cluster, hosts| {
        now += 1_000;
        let (outlier, failover) = (&config.outlier_detection, &config.failover);
        let context = EvaluationContext { cluster, outlier, failover, home: &home, now, has_witness: true };
        cluster::on_host_list(state, hosts, now, &context);
        cluster::on_ejection_counts(state, next.next(), now, &context);
        cluster::on_tick(state, &context);
    });
    assert_eq!(ClusterState::decode(&state.encode()), state);
});
