//! Answers of the admin interface: read as far as they go, and weighed against what is known, never a panic.

#![no_main]

use filter_core::cluster::{ClusterState, Setting};
use filter_core::config::Config;
use filter_core::locality::Locality;
use filter_core::witness::read;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    let config = Config::default();
    let home = Locality::parse("r/z");
    let mut state = ClusterState::default();
    let mut now = 1_000;
    let _ = read(answer, |cluster, hosts| {
        now += 1_000;
        let (outlier, failover) = (&config.outlier_detection, &config.failover);
        let setting = Setting { cluster, outlier, failover, home: &home, now, witness: true };
        state.witness(hosts, now, &setting);
        state.tick(&setting);
    });
    assert_eq!(ClusterState::decode(&state.encode()), state);
});
