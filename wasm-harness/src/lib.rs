//! A proxy-wasm host (ABI 0.2.1, HTTP filters and access loggers) for tests and benches that behaves as Envoy does, on
//! wasmtime, with virtual time.
//!
//! Several worker VMs, a main-thread VM and a canary run one module over one store of metrics and shared data. A test
//! builds the proxy, plays requests to it, moves the clock, and reads logs and metrics:
//!
//! ```
//! use std::time::Duration;
//! use wasm_harness::{Exchange, Harness, Module, Node, Outcome, Upstream};
//!
//! # let wasm = br#"(module (memory (export "memory") 1)
//! #   (func (export "proxy_abi_version_0_2_1"))
//! #   (func (export "malloc") (param i32) (result i32) i32.const 1024))"#;
//! let module = Module::compile(wasm)?;
//! let mut proxy = Harness::builder()
//!     .workers(2)
//!     .node(Node::at("eu/a"))
//!     .config(r#"{"threshold": 5}"#)
//!     .build(&module)?;
//!
//! let endpoint = Upstream::new("outbound|80||shop", "10.0.0.7:8080").locality("eu/a/rack1");
//! assert_eq!(proxy.exchange(0, &Exchange::ok(&endpoint)), Outcome::Continue);
//! assert_eq!(proxy.exchange(1, &Exchange::connect_refused(&endpoint)), Outcome::Continue);
//! proxy.advance(Duration::from_secs(1));
//!
//! assert!(proxy.logs().is_empty());
//! assert_eq!(proxy.counter("requests_total"), None);
//! assert_eq!(proxy.prometheus(&["upstream_cluster"]), "");
//! # Ok::<(), wasm_harness::LoadError>(())
//! ```
//!
//! # What behaves as in Envoy
//! The order and presence of callbacks; which attributes and header maps can be read when, and with which status; the
//! rules of metrics and shared data; ticks of each root context in each VM; root contexts that share a VM;
//! reconfiguration and reload; HTTP calls; CEL lists of attributes; and VMs that have trapped, which stay dead and
//! whose requests fail.
//!
//! # What is missing
//! Traffic: an exchange describes what Envoy would know, and nothing is sent. Network filters, gRPC calls, WASI, ABI
//! 0.1.0, failure policies other than FAIL_CLOSED (see `Harness::rebuild`), foreign functions other than `expr_*`. A
//! trap never panics the harness; a mistake in the test (a worker that does not exist) does.
//!
//! # How it is built
//! From the bottom: `abi` and `ids`; what Envoy knows of a request (`properties` to `exchange`); what all VMs share
//! (`process`); one VM's data (`state`) and the functions that the module calls (`host`); a VM (`vm`); the proxy
//! (`harness`) and what happens to it (`lifecycle`, then `streams` and `time`); `builder` on top.

mod abi;
mod builder;
mod costs;
mod exchange;
mod exchange_data;
mod expression;
mod faults;
mod flags;
mod harness;
mod host;
mod ids;
mod lifecycle;
mod module;
mod process;
mod prometheus;
mod properties;
mod shared;
mod state;
mod stats;
mod stream_info;
mod streams;
mod time;
mod upstream;
mod value;
mod vm;

pub use abi::{Level, Pairs, Status};
pub use builder::Builder;
pub use costs::{Cost, Costs};
pub use exchange::Exchange;
pub use faults::Fault;
pub use flags::Flags;
pub use harness::Harness;
pub use ids::{CallId, RootId, StreamId, VmId};
pub use module::{LoadError, Module, Stage};
pub use process::{Cluster, HttpCall, LogLine};
pub use properties::Phase;
pub use state::{LocalReply, RootConfig};
pub use stats::{Metric, MetricKind};
pub use streams::Outcome;
pub use upstream::{Locality, Node, Upstream};
pub use value::Value;
