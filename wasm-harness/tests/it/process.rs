//! Tests of what VMs share and what they do not: metrics, shared data, queues, the clock, ticks, logs, costs.

use crate::probe::{Probe, said, said_by};
use std::time::Duration;
use wasm_harness::{Exchange, Harness, Level, Node, Upstream, VmId};

fn ok() -> Exchange {
    Exchange::ok(&Upstream::new("outbound|80||shop", "10.0.0.7:8080"))
}

#[test]
fn a_configuration_runs_in_the_canary_the_main_thread_and_every_worker() {
    let module = Probe::new()
        .on("proxy_on_vm_start", |probe| probe.say("start"))
        .on("proxy_on_configure", |probe| {
            probe.buffer(7);
            probe.define(0, "configured", 0);
            probe.increment(0, 1);
        })
        .on("proxy_on_delete", |probe| probe.say("deleted"))
        .module();
    let mut proxy = Harness::builder().workers(2).config("{}").build(&module).unwrap();
    let mut expected = Vec::new();
    for vm in ["C", "M", "0", "1"] {
        for line in ["start", "buffer 0 {}", "define 0", "increment 0"] {
            expected.push(format!("{vm} {line}"));
        }
    }
    assert_eq!(said_by(&mut proxy), expected, "and the canary is killed without a word");
    assert_eq!(proxy.counter("configured"), Some(4), "it counts in the canary too");
    assert_eq!(proxy.counter("other"), None);
}

#[test]
fn metrics_of_one_name_are_one_stat_in_all_vms() {
    let module = Probe::new()
        .on("proxy_on_context_create", |probe| {
            probe.define(0, "upstream_cluster=.=shop;.;requests_total", 0);
            probe.define(1, "active", 1);
        })
        .on("proxy_on_request_headers", |probe| {
            probe.increment(0, 1);
            probe.increment(0, 0);
            probe.increment(1, -1);
            probe.increment(5, 1);
            probe.get_metric(0);
        })
        .module();
    let mut proxy = Harness::builder().workers(2).build(&module).unwrap();
    said(&mut proxy);
    proxy.exchange(0, &ok());
    proxy.exchange(1, &ok());
    let lines = said(&mut proxy);
    let statuses = ["increment 0", "increment 2", "increment 0", "increment 1", "get 0"];
    assert_eq!(lines[2..7], statuses);
    assert_eq!(proxy.counter("upstream_cluster=.=shop;.;requests_total"), Some(2));
    assert_eq!(proxy.gauge("active"), Some(u64::MAX - 1), "a gauge wraps around");
    assert_eq!(
        proxy.prometheus(&["upstream_cluster"]),
        "# TYPE requests_total counter\nrequests_total{upstream_cluster=\"shop\"} 2\n\
         # TYPE active gauge\nactive{} 18446744073709551614\n"
    );
}

#[test]
fn shared_data_is_swapped_between_vms_and_the_loser_is_told() {
    let module = Probe::new()
        .on("proxy_on_request_headers", |probe| probe.get_shared("k"))
        .on("proxy_on_response_headers", |probe| probe.swap_shared("k", "v"))
        .module();
    let mut proxy = Harness::builder().workers(2).build(&module).unwrap();
    proxy.set_shared_data("k", b"first");
    let root = proxy.root();
    let (one, two) = (proxy.open(0, root, &ok()), proxy.open(1, root, &ok()));
    proxy.request_headers(one);
    proxy.request_headers(two);
    proxy.response_headers(two);
    proxy.response_headers(one);
    assert_eq!(said_by(&mut proxy), ["0 k 0 first", "1 k 0 first", "1 swap 0", "0 swap 8"]);
    assert_eq!(proxy.shared_data("k"), Some(b"v".to_vec()));
}

#[test]
fn an_absent_key_is_not_found() {
    let mut proxy = Probe::new().on("proxy_on_request_headers", |probe| probe.get_shared("k")).start();
    proxy.exchange(0, &ok());
    assert_eq!(said(&mut proxy), ["k 1"]);
}

#[test]
fn ticks_fire_in_time_order_in_every_vm_that_serves() {
    let module = Probe::new()
        .on("proxy_on_configure", |probe| probe.tick_every(100))
        .on("proxy_on_request_headers", |probe| probe.tick_every(30))
        .on("proxy_on_tick", |probe| probe.say("tick"))
        .module();
    let mut proxy = Harness::builder().build(&module).unwrap();
    said(&mut proxy);
    proxy.advance(Duration::from_millis(50));
    proxy.exchange(0, &ok()); // the worker ticks at 80, 110, 140 from here on
    proxy.take_logs();
    proxy.advance(Duration::from_millis(70));
    let ticks: Vec<_> = proxy.logs().iter().map(|line| (line.vm, line.at.as_millis())).collect();
    assert_eq!(ticks, [(VmId::Worker(0), 80), (VmId::Main, 100), (VmId::Worker(0), 110)]);
    assert_eq!(proxy.now(), Duration::from_millis(120));
}

#[test]
fn a_tick_can_stop_itself() {
    let mut proxy = Probe::new()
        .on("proxy_on_configure", |probe| probe.tick_every(10))
        .on("proxy_on_tick", |probe| probe.tick_every(0))
        .start();
    said(&mut proxy);
    proxy.advance(Duration::from_secs(1));
    assert_eq!(said_by(&mut proxy), ["M tick_every 0", "0 tick_every 0"]);
}

#[test]
fn a_suspended_process_ticks_once_and_late() {
    let mut proxy = Probe::new()
        .on("proxy_on_configure", |probe| probe.tick_every(10))
        .on("proxy_on_tick", |probe| probe.say("tick"))
        .start();
    said(&mut proxy);
    proxy.stall(Duration::from_secs(1));
    assert!(said(&mut proxy).is_empty());
    proxy.advance(Duration::ZERO);
    let at: Vec<_> = proxy.take_logs().iter().map(|line| line.at).collect();
    assert_eq!(at, [Duration::from_secs(1); 2]);
    proxy.advance(Duration::from_millis(10));
    assert_eq!(said(&mut proxy).len(), 2, "armed anew from when it ran");
}

#[test]
fn the_wall_clock_moves_with_time_and_can_jump_back() {
    let module = Probe::new().on("proxy_on_request_headers", |probe| probe.time()).module();
    let start = Duration::from_nanos(0x0102);
    let mut proxy = Harness::builder().wall_clock(start).build(&module).unwrap();
    proxy.exchange(0, &ok());
    proxy.advance(Duration::from_nanos(0x10));
    proxy.exchange(0, &ok());
    proxy.set_wall_clock(Duration::from_nanos(1));
    proxy.exchange(0, &ok());
    let expected = ["time 0 0201000000000000", "time 0 1201000000000000", "time 0 0100000000000000"];
    assert_eq!(said(&mut proxy), expected);
    assert_eq!(proxy.now(), Duration::from_nanos(0x10));
}

#[test]
fn a_tick_sees_the_node_and_nothing_of_any_stream() {
    let module = Probe::new()
        .on("proxy_on_configure", |probe| probe.tick_every(10))
        .on("proxy_on_tick", |probe| {
            probe.property("xds.node.id");
            probe.property("xds.node.locality.region");
            probe.property("xds.node.locality.sub_zone");
            probe.property_hex("xds.node.locality");
            probe.property("plugin_name");
            probe.property("xds.cluster_name");
            probe.property("xds.listener_direction");
            probe.property("upstream");
            probe.header(0, ":path");
        })
        .module();
    let node = Node { id: "n1".into(), ..Node::at("eu/a") };
    let mut proxy = Harness::builder().node(node).build(&module).unwrap();
    said(&mut proxy);
    proxy.advance(Duration::from_millis(10));
    let expected = [
        "xds.node.id 0 n1",
        "xds.node.locality.region 0 eu",
        "xds.node.locality.sub_zone 0",
        "xds.node.locality 0 0a026575120161",
        "plugin_name 0",
        "xds.cluster_name 1",
        "xds.listener_direction 1",
        "upstream 1",
        ":path 2",
    ];
    assert_eq!(said(&mut proxy)[..9], expected);
}

#[test]
fn only_the_last_registrant_of_a_queue_hears_of_items() {
    let module = Probe::new()
        .on("proxy_on_configure", |probe| probe.register_queue("q"))
        .on("proxy_on_request_headers", |probe| {
            probe.enqueue("item");
            probe.say("enqueued");
        })
        .on("proxy_on_queue_ready", |probe| probe.say("ready"))
        .module();
    let mut proxy = Harness::builder().workers(2).build(&module).unwrap();
    said(&mut proxy);
    proxy.exchange(0, &ok());
    assert_eq!(said_by(&mut proxy), ["0 enqueue 0", "0 enqueued", "1 ready"]);
}

#[test]
fn lines_below_the_proxys_level_are_dropped() {
    let module = Probe::new()
        .on("proxy_on_request_headers", |probe| {
            probe.log_at(2, "info");
            probe.log_at(3, "warn");
            probe.log_at(6, "no such level");
        })
        .module();
    let mut proxy = Harness::builder().log_level(Level::Warn).build(&module).unwrap();
    proxy.exchange(0, &ok());
    let lines = proxy.take_logs();
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].level, &lines[0].message[..]), (Level::Warn, "warn"));
}

#[test]
fn costs_are_counted_by_callback_by_host_call_and_by_exchange() {
    let mut proxy = Probe::new()
        .on("proxy_on_request_headers", |probe| probe.property("upstream.address"))
        .on("proxy_on_log", |probe| probe.property("upstream.address"))
        .start();
    proxy.reset_costs();
    proxy.exchange(0, &ok());
    let first = proxy.costs();
    proxy.exchange(0, &ok());
    let costs = proxy.costs();
    assert_eq!(costs.calls_of("proxy_get_property"), 2 * 2);
    assert_eq!(costs.calls_of("proxy_log"), 2 * 2);
    assert_eq!(costs.callback("proxy_on_log").times, 2);
    assert_eq!(costs.exchanges.times, 2);
    assert_eq!(costs.exchanges.host_calls, 8);
    assert_eq!(costs.exchanges.fuel, costs.fuel());
    assert!(costs.last_exchange.fuel > 0);
    assert_eq!(costs.last_exchange, first.last_exchange, "the same work costs the same fuel");
    assert_eq!(proxy.memory_bytes(VmId::Worker(0)), 16 * 65536);
}
