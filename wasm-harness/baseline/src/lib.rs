//! The empty filter on the proxy-wasm Rust SDK: a root context and an HTTP context, without callbacks of its own.
//!
//! Its cost is what every filter on this SDK costs before it does anything; benchmarks compare with it. It also checks
//! the harness against a real SDK module.

#![expect(missing_docs, reason = "the SDK's macro makes a public start function without documentation")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Http;

impl Context for Http {}
impl HttpContext for Http {}
