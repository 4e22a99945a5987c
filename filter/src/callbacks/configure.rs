//! A root context gets its configuration.
//!
//! A configuration that cannot be read is reported at the next heartbeat, once per proxy, and changes nothing: the last
//! good one, or the default, stays.

use crate::host::expression::{HEALTHY_ATTEMPT, HEALTHY_REQUEST};
use crate::host::{self, Buffer, exchange};
use crate::vm::notice::Notice;
use crate::vm::state::Vm;
use filter_core::config::{self, Config};

/// A root context gets a configuration of `size` bytes.
pub(crate) fn on_configure(vm: &mut Vm, root: u32, size: usize) {
    if vm.add_root(root) {
        vm.healthy_request.compile(HEALTHY_REQUEST);
        vm.healthy_attempt.compile(HEALTHY_ATTEMPT);
    }
    vm.heartbeat.follow(root);
    vm.home = exchange::home_locality();
    let text = read(size);
    let notice = match config::parse(&text) {
        Ok(parsed) => {
            take_over(vm, parsed.config);
            Notice::InForce(parsed.unknown_fields)
        }
        Err(error) => {
            let config = vm.config.clone();
            take_over(vm, config);
            Notice::Rejected(error.to_string())
        }
    };
    vm.notices.push(&text, notice);
}

fn read(size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    // One byte more than the maximum, so that the parser notices a text that is too long.
    let max = size.min(config::MAX_TEXT_BYTES.saturating_add(1));
    host::buffer(Buffer::PluginConfiguration, 0, max).unwrap_or_default()
}

fn take_over(vm: &mut Vm, config: Config) {
    vm.known.configure(&config);
    vm.reporter.configure(&config);
    vm.config = config;
}
