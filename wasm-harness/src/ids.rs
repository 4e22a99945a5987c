//! Ids of things in one harness: VMs, plugins, streams, HTTP calls.
//!
//! Plain values in a file of their own, so that the files that use them need not import each other.

/// One of the proxy's VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VmId {
    /// The VM that only tries out a configuration and is then discarded.
    Canary,
    /// The VM on the main thread: it ticks but sees no traffic.
    Main,
    /// The VM of a worker, counted from 0.
    Worker(usize),
}

/// One plugin of the proxy. The id stays the same across `reconfigure` and `reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RootId(pub(crate) usize);

/// One open stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u64);

/// One HTTP call that the module made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub(crate) u64);

/// The VM and the context of an open stream.
#[derive(Clone, Copy)]
pub(crate) struct StreamRecord {
    /// The VM's serial number.
    pub(crate) serial: u64,
    pub(crate) context: u32,
}
