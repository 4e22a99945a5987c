//! The module's costs: host calls and wasm fuel.
//!
//! Fuel is wasmtime's count of executed instructions: the same on every machine and in every run. It does not include
//! the host's work; host calls are counted separately, because they are the expensive part in Envoy.

use std::collections::BTreeMap;

/// Fuel and host calls of a callback or of an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How often it ran: calls of a callback, or exchanges.
    pub times: u64,
    /// Wasm instructions, in wasmtime's fuel.
    pub fuel: u64,
    /// Calls from the module into the host.
    pub host_calls: u64,
}

/// Costs since the harness was built or they were last reset.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    /// Host calls by full name.
    pub host_calls: BTreeMap<&'static str, u64>,
    /// By callback, over all VMs.
    pub callbacks: BTreeMap<&'static str, Cost>,
    /// Whole exchanges (`Harness::exchange`), with all their callbacks.
    pub exchanges: Cost,
    /// The last exchange alone.
    pub last_exchange: Cost,
}

impl Costs {
    /// Fuel of all callbacks.
    pub fn fuel(&self) -> u64 {
        self.callbacks.values().map(|cost| cost.fuel).sum()
    }

    /// All host calls.
    pub fn host_calls(&self) -> u64 {
        self.host_calls.values().sum()
    }

    /// Host calls of one name; 0 if there were none.
    pub fn calls_of(&self, name: &str) -> u64 {
        self.host_calls.get(name).copied().unwrap_or(0)
    }

    /// Cost of one callback; zeros if it never ran.
    pub fn callback(&self, name: &str) -> Cost {
        self.callbacks.get(name).copied().unwrap_or_default()
    }
}
