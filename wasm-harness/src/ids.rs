//! Ids of things in one harness: VMs, plugins, streams, HTTP calls.
//!
//! Plain values below everything else, so that the files that use them need not know each other.

/// One of the proxy's VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VmId {
    /// The VM that only tries a configuration and is then thrown away.
    Canary,
    /// The VM on the main thread: it ticks and sees no traffic.
    Main,
    /// The VM of a worker, counted from 0.
    Worker(usize),
}

/// One plugin of the proxy. The id stays the same over `reconfigure` and `reload`.
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
