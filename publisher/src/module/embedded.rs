//! What this program was built with: the filter's module, and the list of what is in it. `build.rs` puts them here.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
