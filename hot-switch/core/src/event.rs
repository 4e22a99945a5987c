//! The names of events: agents write them, `faultline report` and `watch` read them.

/// A proxy fails, seen at least twice.
pub const SUSPECTED: &str = "proxy_suspected";
/// It is well again before anything was done.
pub const RECOVERED: &str = "proxy_recovered";
/// Its traffic goes past it.
pub const BYPASSED: &str = "proxy_bypassed";
/// A bypass was found and is looked after.
pub const ADOPTED: &str = "bypass_adopted";
/// Its traffic goes through it again.
pub const RESTORED: &str = "proxy_restored";
/// It fails, and it is not bypassed.
pub const REFUSED: &str = "bypass_refused";
/// A bypass lasts longer than it may.
pub const OVERDUE: &str = "bypass_overdue";
/// Something could not be done.
pub const FAILED: &str = "bypass_failed";

/// All of them.
pub const NAMES: [&str; 8] = [SUSPECTED, RECOVERED, BYPASSED, ADOPTED, RESTORED, REFUSED, OVERDUE, FAILED];
