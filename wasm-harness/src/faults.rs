//! Faults that a test injects into host calls: any call and any status, for one subject or all, any number of times.
//!
//! A fault takes effect before the call does anything: a `proxy_set_shared_data` that fails has stored nothing.

use crate::abi::Status;
use crate::ids::VmId;

/// A host call that should fail.
///
/// ```
/// use wasm_harness::{Fault, Status, VmId};
/// let fault = Fault::new("proxy_get_property", Status::InternalFailure)
///     .of("upstream.address")
///     .on(VmId::Worker(1))
///     .times(2);
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    call: String,
    status: Status,
    subject: Option<String>,
    vm: Option<VmId>,
    left: Option<u32>,
}

impl Fault {
    /// Makes the call of this full name (`proxy_…`) return `status`: every time, for every subject, in every VM.
    pub fn new(call: &str, status: Status) -> Self {
        Fault { call: call.into(), status, subject: None, vm: None, left: None }
    }

    /// Only for one subject: a property path (with dots), a header, a shared data key, the name of a metric, queue or
    /// foreign function, the cluster of an HTTP call.
    pub fn of(mut self, subject: &str) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Only in one VM.
    pub fn on(mut self, vm: VmId) -> Self {
        self.vm = Some(vm);
        self
    }

    /// Only this many times.
    pub fn times(mut self, count: u32) -> Self {
        self.left = Some(count);
        self
    }

    /// Only once.
    pub fn once(self) -> Self {
        self.times(1)
    }
}

/// The active faults.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The status the call must return, if a fault applies. Uses the fault up by one.
    pub(crate) fn hit(&mut self, vm: VmId, call: &str, subject: &str) -> Option<Status> {
        let fault = self.0.iter_mut().find(|fault| {
            fault.call == call
                && fault.left != Some(0)
                && fault.vm.is_none_or(|only| only == vm)
                && fault.subject.as_deref().is_none_or(|only| only == subject)
        })?;
        if let Some(left) = &mut fault.left {
            *left -= 1;
        }
        Some(fault.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_what_it_names_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault::new("proxy_log", Status::InternalFailure).once().on(VmId::Main));
        faults.add(Fault::new("proxy_get_property", Status(99)).of("upstream.address"));
        assert_eq!(faults.hit(VmId::Worker(0), "proxy_log", ""), None);
        assert_eq!(faults.hit(VmId::Main, "proxy_log", ""), Some(Status::InternalFailure));
        assert_eq!(faults.hit(VmId::Main, "proxy_log", ""), None);
        assert_eq!(faults.hit(VmId::Main, "proxy_get_property", "response.code"), None);
        for _ in 0..3 {
            let hit = faults.hit(VmId::Main, "proxy_get_property", "upstream.address");
            assert_eq!(hit, Some(Status(99)));
        }
    }
}
