//! How many pods may be bypassed at once: the controller's decisions, over all nodes.
//!
//! A bypass takes a pod out of the mesh's protection, so it is a remedy for proxies that fail, not for a mesh that
//! does: a workload keeps most of its pods behind their proxies, few are bypassed within a minute, and when much of
//! the mesh fails at once nothing more is bypassed until a person says so.

mod breaker;
mod limits;

use std::collections::{BTreeMap, VecDeque};

use breaker::Breaker;
pub use limits::Limits;
use limits::MINUTE;

use crate::Moment;
use crate::refusal::Refusal;

/// A pod that is to be bypassed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The pod, by a name that no other has.
    pub pod: &'a str,
    /// Its workload.
    pub workload: &'a str,
    /// Pods of the workload that have a proxy.
    pub workload_pods: usize,
    /// Those of them whose proxies fail or are bypassed.
    pub workload_down: usize,
    /// Proxies of the mesh.
    pub proxies: usize,
}

/// What was granted, and what fails.
#[derive(Clone, Debug)]
pub struct Fleet {
    limits: Limits,
    /// The workload of each granted pod.
    granted: BTreeMap<String, String>,
    /// When pods were granted within the last minute.
    recent: VecDeque<Moment>,
    breaker: Breaker,
}

impl Fleet {
    /// A fleet of which nothing is bypassed.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, granted: BTreeMap::new(), recent: VecDeque::new(), breaker: Breaker::default() }
    }

    /// A pod was bypassed before this controller began.
    pub fn adopt(&mut self, pod: &str, workload: &str) {
        self.granted.insert(pod.to_owned(), workload.to_owned());
    }

    /// A proxy began to fail. Told again and again, it counts once within a minute.
    pub fn fails(&mut self, now: Moment, pod: &str) {
        self.breaker.fails(now, pod);
    }

    /// Whether much of the mesh fails at once.
    pub fn breaker_is_open(&mut self, now: Moment, proxies: usize) -> bool {
        self.breaker.is_open(now, proxies, &self.limits)
    }

    /// A person says that what fails now is to be bypassed all the same.
    pub fn close_breaker(&mut self) {
        self.breaker.close();
    }

    /// Decides on one pod.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn ask(&mut self, now: Moment, ask: &Ask<'_>) -> Result<(), Refusal> {
        if self.granted.contains_key(ask.pod) {
            return Ok(());
        }
        self.breaker.fails(now, ask.pod);
        if self.breaker.is_open(now, ask.proxies, &self.limits) {
            return Err(Refusal::Breaker);
        }
        let all_down = ask.workload_pods > 0 && ask.workload_down >= ask.workload_pods;
        if !all_down && self.granted_of(ask.workload) >= self.budget(ask.workload_pods) {
            return Err(Refusal::Budget);
        }
        self.recent.retain(|at| now.saturating_sub(*at) < MINUTE);
        if self.recent.len() >= self.limits.per_minute {
            return Err(Refusal::Rate);
        }
        self.recent.push_back(now);
        self.granted.insert(ask.pod.to_owned(), ask.workload.to_owned());
        Ok(())
    }

    /// A pod is bypassed no longer, or is gone.
    pub fn release(&mut self, pod: &str) {
        self.granted.remove(pod);
    }

    /// Whether the pod may be bypassed.
    #[must_use]
    pub fn is_granted(&self, pod: &str) -> bool {
        self.granted.contains_key(pod)
    }

    /// All pods that may be bypassed.
    pub fn granted(&self) -> impl Iterator<Item = &str> {
        self.granted.keys().map(String::as_str)
    }

    /// How many pods of a workload may be bypassed.
    #[must_use]
    pub fn granted_of(&self, workload: &str) -> usize {
        self.granted.values().filter(|of| *of == workload).count()
    }

    /// How much of its budget the workload uses that uses most: 1 is all of it, 0 nothing; more where all pods of a
    /// workload are down. `pods_of` tells how many pods a workload has.
    #[must_use]
    pub fn budget_used(&self, pods_of: impl Fn(&str) -> usize) -> f64 {
        let mut granted: BTreeMap<&str, u32> = BTreeMap::new();
        for workload in self.granted.values() {
            let count = granted.entry(workload).or_default();
            *count = count.saturating_add(1);
        }
        let used = |(workload, count): (&str, u32)| {
            let budget = u32::try_from(self.budget(pods_of(workload))).unwrap_or(u32::MAX);
            f64::from(count) / f64::from(budget)
        };
        granted.into_iter().map(used).fold(0.0, f64::max)
    }

    /// How many pods of a workload of this size may be bypassed at once.
    #[must_use]
    pub fn budget(&self, pods: usize) -> usize {
        let share = pods.saturating_mul(self.limits.budget_percent).checked_div(100).unwrap_or(0);
        share.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Moment {
        Moment::from_secs(seconds)
    }

    fn ask(pod: &str, workload_pods: usize, workload_down: usize) -> Ask<'_> {
        Ask { pod, workload: "shop/cart", workload_pods, workload_down, proxies: 1000 }
    }

    #[test]
    fn a_third_of_a_workload_at_most_and_one_at_least() {
        let mut fleet = Fleet::new(Limits::default());
        assert_eq!(fleet.ask(secs(0), &ask("a", 2, 1)), Ok(()), "of two pods, one");
        assert_eq!(fleet.ask(secs(0), &ask("a", 2, 1)), Ok(()), "asked again, it is the same one");
        assert_eq!(fleet.ask(secs(0), &ask("b", 3, 2)), Err(Refusal::Budget));
        fleet.release("a");
        assert_eq!(fleet.ask(secs(0), &ask("b", 3, 1)), Ok(()));
        let other = Ask { workload: "shop/till", ..ask("c", 1, 1) };
        assert_eq!(fleet.ask(secs(0), &other), Ok(()), "another workload has its own budget");
    }

    #[test]
    fn the_budget_that_is_used_most_is_told() {
        let mut fleet = Fleet::new(Limits::default());
        let pods_of = |workload: &str| if workload == "shop/cart" { 10 } else { 1 };
        assert_eq!(fleet.budget_used(pods_of).to_bits(), 0.0_f64.to_bits());
        fleet.adopt("a", "shop/cart");
        assert_eq!(fleet.budget_used(pods_of).to_bits(), (1.0_f64 / 3.0).to_bits(), "one of three");
        fleet.adopt("b", "shop/till");
        fleet.adopt("c", "shop/till");
        assert_eq!(fleet.budget_used(pods_of).to_bits(), 2.0_f64.to_bits(), "all pods of the other were down");
    }

    #[test]
    fn where_all_pods_are_down_there_is_nothing_to_keep() {
        let mut fleet = Fleet::new(Limits::default());
        for pod in ["a", "b", "c"] {
            assert_eq!(fleet.ask(secs(0), &ask(pod, 3, 3)), Ok(()));
        }
    }

    #[test]
    fn few_within_a_minute() {
        let mut fleet = Fleet::new(Limits { breaker_at_least: 100, ..Limits::default() });
        for pod in ["a", "b", "c", "d", "e"] {
            assert_eq!(fleet.ask(secs(0), &ask(pod, 100, 7)), Ok(()));
        }
        assert_eq!(fleet.ask(secs(59), &ask("f", 100, 7)), Err(Refusal::Rate));
        assert_eq!(fleet.ask(secs(60), &ask("f", 100, 7)), Ok(()));
    }

    #[test]
    fn nothing_new_while_much_of_the_mesh_fails() {
        let mut fleet = Fleet::new(Limits::default());
        let of = |pod| Ask { workload: "w", workload_pods: 40, workload_down: 5, proxies: 40, pod };
        assert_eq!(fleet.ask(secs(0), &of("a")), Ok(()));
        for pod in ["b", "c", "d", "e"] {
            fleet.fails(secs(1), pod);
        }
        assert_eq!(fleet.ask(secs(2), &of("b")), Err(Refusal::Breaker));
        assert_eq!(fleet.ask(secs(2), &of("a")), Ok(()), "what is bypassed stays so");
        assert_eq!(fleet.ask(secs(90), &of("b")), Err(Refusal::Breaker), "time alone does not close it at once");
        fleet.close_breaker();
        assert_eq!(fleet.ask(secs(91), &of("b")), Ok(()));
    }
}
