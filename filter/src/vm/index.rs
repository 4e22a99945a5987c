//! The indices of what this VM has seen.

/// The index of a cluster in this VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClusterIndex(pub(super) usize);

/// The index of a locality in one of this VM's clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalityIndex(pub(super) usize);
