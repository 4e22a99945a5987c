//! The root contexts of a VM, and the configuration that each of them has.
//!
//! Listeners, traffic directions and plugins of one module share a VM. Envoy makes a root context for each of their
//! configurations, and a new one with every change; the old one lives on until its listener is drained. Requests are
//! evaluated by the configuration of their own root.

use super::sampling::Sampling;
use filter_core::config::{Attempts, Config};
use filter_core::order;
use filter_core::time::Millis;
use std::cell::Cell;
use std::rc::Rc;

/// The maximum number of root contexts that are remembered. Beyond it, the one that has not ticked for longest is
/// forgotten; it was most likely deleted.
const MAX_ROOTS: usize = 4_096;

/// A root context that has not ticked for this long is taken for deleted, in milliseconds. A living one ticks at least
/// once a second.
const DELETED_AFTER_MS: Millis = 10_000;

/// How often it is asked which configurations see requests, in milliseconds.
const OVERLAP_INTERVAL_MS: Millis = 60_000;

/// More than one configuration sees requests for this many intervals: it is not the end of an old listener, whose
/// connections Envoy drains.
const OVERLAP_INTERVALS: u32 = 3;

/// A configuration, with a number that no other configuration of this VM has.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) number: u32,
    /// Its text, as a hash; roots with equal texts share a configuration.
    text: u64,
    pub(crate) config: Config,
    /// Chooses the healthy requests that are read whole.
    pub(crate) sampling: Cell<Sampling>,
    /// Whether it has evaluated requests since that was last asked.
    has_requests: Cell<bool>,
}

#[derive(Debug)]
struct Root {
    id: u32,
    configuration: Rc<Configuration>,
    ticked_at: Millis,
    /// Whether its tick period was raised because another root drives the VM.
    is_slowed: bool,
}

/// The root contexts of a VM.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    /// In the order of their numbers.
    roots: Vec<Root>,
    /// The configuration that was read last.
    newest: Rc<Configuration>,
    last_number: u32,
    /// Whether living roots have different configurations.
    has_several: bool,
    /// When it was last asked which configurations see requests, and how often in a row it was more than one.
    overlap: (Millis, u32),
}

impl Configuration {
    /// Notes that it evaluates a request.
    pub(crate) fn note_request(&self) {
        self.has_requests.set(true);
    }
}

impl Root {
    fn is_living(&self, now: Millis) -> bool {
        now.saturating_sub(self.ticked_at) < DELETED_AFTER_MS
    }
}

impl Roots {
    /// Gives `root` a configuration, whose text has the hash `text`; at `now`, if the time is known. True if the root
    /// is new.
    pub(crate) fn configure(&mut self, root: u32, text: u64, config: Config, now: Millis) -> bool {
        let known = self.roots.iter().find(|root| root.configuration.text == text && root.configuration.number > 0);
        self.newest = match known {
            Some(root) => Rc::clone(&root.configuration),
            None => {
                self.last_number = self.last_number.saturating_add(1);
                Rc::new(Configuration { number: self.last_number, text, config, ..Configuration::default() })
            }
        };
        let new = Root { id: root, configuration: Rc::clone(&self.newest), ticked_at: now, is_slowed: false };
        let is_new = match self.position(root) {
            Ok(known) => {
                if let Some(known) = self.roots.get_mut(known) {
                    *known = new;
                }
                false
            }
            Err(_) => {
                self.make_room();
                let place = self.position(root).unwrap_or_else(|place| place);
                self.roots.insert(place, new);
                true
            }
        };
        self.has_several = self.differ(now);
        is_new
    }

    /// Whether a context is a root context and not that of a request.
    pub(crate) fn contains(&self, context: u32) -> bool {
        self.position(context).is_ok()
    }

    /// The configuration that was read last.
    pub(crate) fn newest(&self) -> &Rc<Configuration> {
        &self.newest
    }

    /// The configuration of a root context.
    pub(crate) fn configuration(&self, root: u32) -> Option<&Rc<Configuration>> {
        Some(&self.roots.get(self.position(root).ok()?)?.configuration)
    }

    /// Whether living roots have different configurations, so that it matters whose request it is.
    pub(crate) fn has_several(&self) -> bool {
        self.has_several
    }

    /// Notes that a root ticks.
    pub(crate) fn note_tick(&mut self, root: u32, now: Millis) {
        if let Some(root) = self.get_mut(root) {
            root.ticked_at = now;
        }
    }

    /// Whether the tick period of a root that does not drive the VM should be raised now.
    pub(crate) fn slow_down(&mut self, root: u32) -> bool {
        self.get_mut(root).is_some_and(|root| !std::mem::replace(&mut root.is_slowed, true))
    }

    /// Notes that a root drives the VM.
    pub(crate) fn drive(&mut self, root: u32) {
        if let Some(root) = self.get_mut(root) {
            root.is_slowed = false;
        }
    }

    /// Finds out again whether living roots have different configurations.
    pub(crate) fn refresh(&mut self, now: Millis) {
        self.has_several = self.differ(now);
    }

    /// The configurations of living roots, newest first.
    pub(crate) fn living(&self, now: Millis) -> Vec<Rc<Configuration>> {
        let living = self.roots.iter().filter(|root| root.is_living(now));
        let mut living: Vec<_> = living.map(|root| Rc::clone(&root.configuration)).collect();
        order::sort(&mut living, |a, b| a.number > b.number);
        living.dedup_by_key(|configuration| configuration.number);
        living
    }

    /// How many configurations have seen requests for long, and whether one of them as HTTP filter and another in the
    /// router's log, when that has just become clear; `None` otherwise.
    pub(crate) fn lasting_overlap(&mut self, now: Millis) -> Option<(usize, bool)> {
        let (asked_at, times) = &mut self.overlap;
        if now.abs_diff(*asked_at) < OVERLAP_INTERVAL_MS {
            return None;
        }
        *asked_at = now;
        let times_before = *times;
        let living = self.living(now);
        let in_use = living.iter().filter(|configuration| configuration.has_requests.replace(false));
        let filters: Vec<bool> = in_use.map(|known| known.config.attempts == Attempts::Final).collect();
        self.overlap.1 = if filters.len() > 1 { times_before.saturating_add(1) } else { 0 };
        let in_two_positions = filters.contains(&true) && filters.contains(&false);
        (self.overlap.1 == OVERLAP_INTERVALS).then_some((filters.len(), in_two_positions))
    }

    fn position(&self, root: u32) -> Result<usize, usize> {
        self.roots.binary_search_by_key(&root, |root| root.id)
    }

    fn get_mut(&mut self, root: u32) -> Option<&mut Root> {
        self.position(root).ok().and_then(|place| self.roots.get_mut(place))
    }

    /// If there are as many roots as can be remembered, forgets the one that has not ticked for longest.
    fn make_room(&mut self) {
        if self.roots.len() >= MAX_ROOTS {
            let oldest = (0..self.roots.len()).min_by_key(|place| self.roots.get(*place).map(|root| root.ticked_at));
            if let Some(place) = oldest {
                self.roots.remove(place);
            }
        }
    }

    fn differ(&self, now: Millis) -> bool {
        let mut numbers = self.roots.iter().filter(|root| root.is_living(now)).map(|root| root.configuration.number);
        let first = numbers.next();
        numbers.any(|number| Some(number) != first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(roots: &Roots, root: u32) -> u32 {
        roots.configuration(root).map_or(0, |configuration| configuration.number)
    }

    #[test]
    fn roots_with_equal_texts_share_a_configuration() {
        let mut roots = Roots::default();
        assert!(roots.configure(1, 10, Config::default(), 0));
        assert!(roots.configure(2, 10, Config::default(), 0));
        assert!(!roots.has_several() && number(&roots, 1) == number(&roots, 2));
        roots.configure(3, 11, Config::default(), 0);
        assert!(roots.has_several() && number(&roots, 1) != number(&roots, 3));
        roots.note_tick(3, 60_000);
        roots.refresh(60_000);
        assert!(!roots.has_several(), "the others are deleted");
    }

    #[test]
    fn a_root_that_ticks_is_never_forgotten() {
        let mut roots = Roots::default();
        roots.configure(1, 1, Config::default(), 0);
        for id in 2..10_000 {
            let now = Millis::from(id);
            roots.note_tick(1, now);
            roots.configure(id, u64::from(id), Config::default(), now);
        }
        assert!(roots.contains(1) && roots.contains(9_999) && !roots.contains(2));
    }
}
