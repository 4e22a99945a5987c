//! Who wrote a line, in the line's own words.

use super::labels::Labels;

/// Who wrote a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Writer<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    pub(super) container: &'a str,
    /// The machine, where syslog or the journal wrote the line.
    pub(super) host: &'a str,
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
    good.then_some(Writer { namespace, pod, container, host: "" })
}

/// A name as Kubernetes and Docker allow it.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.as_bytes()[0].is_ascii_alphanumeric() && text.bytes().all(plain)
}

/// A name as machines have it.
pub(super) fn is_host(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:@".contains(&b);
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(plain)
        && name.contains(|c: char| c.is_ascii_alphanumeric())
}

/// How much a name looks like that of a pod which a Deployment made, `x-7d9c6b5f4-8xkqz`, or a StatefulSet, `x-0`.
pub(super) fn likeness(name: &str) -> u8 {
    let Some((rest, last)) = name.rsplit_once('-') else { return 0 };
    // Kubernetes leaves out vowels, and what looks like another letter.
    let is_random = |part: &str| part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
    let is_number = !last.is_empty() && last.len() <= 4 && last.bytes().all(|b| b.is_ascii_digit());
    let hashed = rest.rsplit_once('-').is_some_and(|(_, hash)| (6..=10).contains(&hash.len()) && is_random(hash));
    if last.len() == 5 && is_random(last) && hashed { 2 } else { u8::from(is_number) }
}
