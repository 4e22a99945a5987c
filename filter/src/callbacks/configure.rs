//! A root context gets its configuration.
//!
//! A configuration that cannot be read is reported at the next heartbeat, once per proxy, and changes nothing: the last
//! good one, or the default, stays.

use crate::host::exchange;
use crate::host::expression::{HEALTHY_ATTEMPT, HEALTHY_REQUEST};
use crate::host::{self, Buffer};
use crate::vm::home::Home;
use crate::vm::notice::Notice;
use crate::vm::state::Vm;
use filter_core::config;
use filter_core::names::node_hash;
use fnv::FnvBuildHasher;
use std::hash::BuildHasher;

/// A root context gets a configuration of `size` bytes.
pub(crate) fn on_configure(vm: &mut Vm, root: u32, size: usize) {
    let text = read(size);
    let (config, notice) = match config::parse(&text) {
        Ok(parsed) => (parsed.config, Notice::InForce(parsed.unknown_fields)),
        Err(error) => (vm.roots.newest().config.clone(), Notice::Rejected(error.to_string())),
    };
    let now = host::now().unwrap_or(0);
    if vm.roots.configure(root, hash(&text), config, now) {
        vm.healthy_request.compile(HEALTHY_REQUEST);
        vm.healthy_attempt.compile(HEALTHY_ATTEMPT);
        // A number as an expression is that number; each root has its own.
        vm.root_of_request.compile(&root.to_string());
    }
    vm.heartbeat.follow(root);
    vm.roots.drive(root);
    vm.home = Home::read();
    vm.node_hash = node_hash(&exchange::node_id());
    vm.adopt_configurations(now);
    vm.notices.push(hash(&text), notice);
}

fn read(size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    // One byte more than the maximum, so that the parser notices a text that is too long.
    let max = size.min(config::MAX_TEXT_BYTES.saturating_add(1));
    host::buffer(Buffer::PluginConfiguration, 0, max).unwrap_or_default()
}

fn hash(text: &[u8]) -> u64 {
    FnvBuildHasher::default().hash_one(text)
}
