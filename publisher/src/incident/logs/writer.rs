//! Who wrote a line, in the line's own words.

use super::cells::is_name;
use super::labels::Labels;

/// Who wrote a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Writer<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    pub(super) container: &'a str,
    /// The machine, where syslog or the journal wrote the line.
    pub(super) host: &'a str,
    /// The process's number, where it stands beside the machine.
    pub(super) process: &'a str,
}

impl Writer<'_> {
    pub(super) fn labels(&self) -> Labels {
        let mut labels = Labels {
            namespace: self.namespace.to_owned(),
            pod: self.pod.to_owned(),
            container: self.container.to_owned(),
            ..Labels::default()
        };
        if !self.host.is_empty() {
            labels.offer_host(self.host);
            self.process.clone_into(&mut labels.process);
        }
        labels
    }

    pub(super) fn is_known(&self) -> bool {
        !self.pod.is_empty() || !self.host.is_empty()
    }
}

/// A pod's container; none if a word is no name.
pub(super) fn of<'a>(namespace: &'a str, pod: &'a str, container: &'a str) -> Option<Writer<'a>> {
    let good = is_name(pod) && [namespace, container].iter().all(|name| name.is_empty() || is_name(name));
    good.then_some(Writer { namespace, pod, container, ..Writer::default() })
}

/// A name as machines have it.
pub(super) fn is_host(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:@".contains(&b);
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(plain)
        && name.contains(|c: char| c.is_ascii_alphanumeric())
}
