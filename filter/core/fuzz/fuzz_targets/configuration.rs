//! Configuration texts: each is accepted or rejected with a path and a reason, without a panic, and an accepted one can
//! be used.

#![no_main]

use filter_core::config::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| match parse(text) {
    Ok(parsed) => {
        let _ = parsed.config.rules_for("outbound|80||a.b.svc.cluster.local");
        let _ = parsed.config.locality_of("10.0.0.1:80");
    }
    Err(error) => assert!(!error.path.is_empty() && !error.problem.is_empty()),
});
