//! Configuration texts: read or refused with a path and a reason, never a panic; what is read can be used.

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
