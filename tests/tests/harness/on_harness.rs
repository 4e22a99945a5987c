//! The wasm module on the harness, for tests that play exchanges to it.

use lab::programs::tools::Tool;
use std::sync::OnceLock;
use std::time::Duration;
use wasm_harness::{Harness, Module, Node, Upstream};

pub(crate) const CLUSTER: &str = "outbound|8000||mockb.default.svc.cluster.local";
pub(crate) const HOME: &str = "ap-northeast-1/ap-northeast-1a";
pub(crate) const NEAR: &str = "ap-northeast-1/ap-northeast-1b";
pub(crate) const FAR: &str = "cn-hangzhou/cn-hangzhou-h";

/// The module, compiled once.
pub(crate) fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let path = Tool::Module.path().expect("the module");
        Module::compile(&std::fs::read(path).expect("readable")).expect("loads as in Envoy")
    })
}

/// A proxy at home whose filter has had its first heartbeat; its admin interface is reachable.
pub(crate) fn proxy(workers: usize, config: &str) -> Harness {
    let mut proxy = Harness::builder()
        .workers(workers)
        .node(Node::at(HOME))
        .cluster("prometheus_stats")
        .config(config)
        .build(module())
        .expect("the module starts");
    proxy.advance(Duration::from_millis(200));
    proxy
}

/// An endpoint of the cluster, which has four endpoints.
pub(crate) fn endpoint(address: &str, locality: &str) -> Upstream {
    Upstream::new(CLUSTER, address).locality(locality).endpoints(4)
}

/// The parts of an event that tests compare: its name, and its endpoint or its source and destination.
pub(crate) fn told(line: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| json[key].as_str().unwrap_or("").to_owned();
    let parts = [text("faultline"), text("endpoint"), text("from"), text("to")];
    let told = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    json["faultline"].is_string().then_some(told)
}

/// The events so far.
pub(crate) fn events(proxy: &Harness) -> Vec<String> {
    proxy.logs().iter().filter_map(|line| told(&line.message)).collect()
}

/// The complete events so far.
pub(crate) fn lines(proxy: &Harness) -> Vec<serde_json::Value> {
    let json = |line: &wasm_harness::LogLine| serde_json::from_str::<serde_json::Value>(&line.message).ok();
    proxy.logs().iter().filter_map(json).filter(|json| json["faultline"].is_string()).collect()
}
