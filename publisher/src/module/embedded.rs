//! The filter's module that is built into this program, and its SBOM. `build.rs` puts them here.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
