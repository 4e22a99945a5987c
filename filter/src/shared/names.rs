//! A set of names in one text, which is cheap to copy between workers.

use filter_core::encoded;

/// The maximum length of the text, in bytes. In an outage of more clusters than fit, the rest is added later.
const MAX_BYTES: usize = 128 * 1024;

/// Names, oldest first, each ended by a line break.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(String);

encoded!(struct Names(_));

impl Names {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this name is among them.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.lines().any(|known| known == name)
    }

    /// Adds a name, unless it is known, there is no room, or it cannot be a name.
    pub(crate) fn add(&mut self, name: &str) {
        let fits = self.0.len().saturating_add(name.len()) < MAX_BYTES;
        if fits && !name.is_empty() && !name.contains(['\n', '\r']) && !self.contains(name) {
            self.0.push_str(name);
            self.0.push('\n');
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.lines().count()
    }

    /// Takes those out that begin with `start`.
    pub(crate) fn take_beginning(&mut self, start: &str) -> Vec<String> {
        let mut left = String::with_capacity(self.0.len());
        let mut taken = Vec::new();
        for name in self.0.lines() {
            if name.starts_with(start) {
                taken.push(name.to_owned());
            } else {
                left.push_str(name);
                left.push('\n');
            }
        }
        self.0 = left;
        taken
    }

    /// Takes up to `count` of the oldest out.
    pub(crate) fn take(&mut self, count: usize) -> Vec<String> {
        let taken: Vec<String> = self.0.lines().take(count).map(str::to_owned).collect();
        let bytes = taken.iter().fold(0_usize, |sum, name| sum.saturating_add(name.len()).saturating_add(1));
        self.0 = self.0.get(bytes..).unwrap_or_default().to_owned();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_once_oldest_first() {
        let mut names = Names::default();
        for name in ["a", "b|c", "a", "", "x\ny", "ab"] {
            names.add(name);
        }
        assert!(names.contains("b|c") && !names.contains("b"));
        assert_eq!((names.len(), names.take_beginning("b")), (3, vec!["b|c".to_owned()]));
        assert_eq!((names.len(), names.take_beginning("x")), (2, Vec::new()));
        assert_eq!(names.take(1), ["a"]);
        assert_eq!(names.take(9), ["ab"]);
        assert!(names.is_empty() && names.take(1).is_empty());
    }

    #[test]
    fn they_are_bounded() {
        let mut names = Names::default();
        (0..100_000).for_each(|i| names.add(&format!("outbound|80||service-{i}.shop.svc.cluster.local")));
        assert!(names.0.len() <= MAX_BYTES);
    }
}
