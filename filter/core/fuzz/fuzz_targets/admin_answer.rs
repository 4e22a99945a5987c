//! Answers of the admin interface, lists and counts: they are read as far as possible and reconciled with what is
//! known, without a panic.

#![no_main]

use filter_core::admin::{endpoint_configs, host_lists, rules, stats};
use filter_core::cluster::host_totals::HostTotals;
use filter_core::cluster::{
    ClusterState, EvaluationContext, Origin, on_ejection_counts, on_endpoint_configs, on_host_list, on_rule, on_tick,
    settings,
};
use filter_core::config::Config;
use filter_core::locality::Locality;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: &[u8]| {
    let config = Config::default();
    let home = Locality::parse("r/z");
    let mut state = ClusterState::default();
    let mut totals = HostTotals::default();
    let mut now = 1_000;
    let counts = stats::read(answer).unwrap_or_default();
    let _ = rules::read(answer, |rule| {
        rule.rule.differences(&rule.rule.outlier_detection());
        on_rule(&mut state, Some((Origin::ControlPlane, &rule.rule, &rule.members)), now);
    });
    let (configured, rule) = settings(&state, &config.outlier_detection);
    let mut next = counts.iter().map(|(_, count)| *count).cycle();
    let _ = host_lists::read(
        answer,
        |_| true,
        |cluster, hosts| {
            now += 1_000;
            let (outlier, rule, failover) = (&configured, &rule, &config.failover);
            let context = EvaluationContext {
                cluster,
                outlier,
                rule,
                failover,
                home: &home,
                proxy_home: &home,
                now,
                has_witness: true,
                sees_successes: answer.len().is_multiple_of(2),
            };
            on_host_list(&mut state, hosts, &totals.grow(hosts, now, now).unwrap_or_default(), now, &context);
            on_ejection_counts(&mut state, next.next(), now, &context);
            on_tick(&mut state, &context);
        },
    );
    let _ = endpoint_configs::read(answer, |configs| {
        now += 1_000;
        let (outlier, rule, failover, cluster) = (&configured, &rule, &config.failover, "c");
        let context = EvaluationContext {
            cluster,
            outlier,
            rule,
            failover,
            home: &home,
            proxy_home: &home,
            now,
            has_witness: true,
            sees_successes: true,
        };
        on_endpoint_configs(&mut state, &configs.endpoints, now, &context);
    });
    assert_eq!(ClusterState::decode(&state.encode()), state);
});
