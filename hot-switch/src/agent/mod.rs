//! The agent of a node: a thread for each pod, which lives in the pod's network namespace and asks, decides and acts
//! there.

mod clock;
mod consent;
mod hands;
mod heartbeat;
mod node;
mod options;
mod shared;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cluster::lease::Leases;
use crate::cluster::notices::Notices;
use crate::pods::{Pod, Source};
use crate::told::server;

use consent::{Authority, Board, LocalConsent};
pub use options::Options;
use shared::Shared;

/// How often the list of pods is compared with the threads.
const LIST_EVERY: Duration = Duration::from_millis(500);

/// How an agent reaches Kubernetes.
#[derive(Debug)]
pub struct Cluster {
    /// By which the controller consents.
    pub leases: Leases,
    /// Where Events go.
    pub notices: Notices,
}

/// Looks after the pods of `source` until `stop` says so. In a `cluster` the controller consents, without one the
/// limits do. What is in the pods' kernels then stays: whoever comes next
/// finds it there.
///
/// # Errors
/// If it cannot begin.
pub fn run(options: Options, mut source: Box<dyn Source>, cluster: Option<Cluster>, stop: &AtomicBool) -> Result<()> {
    let (leases, notices) = cluster.map(|cluster| (cluster.leases, cluster.notices)).unzip();
    let authority = match &leases {
        Some(_) => Authority::Controller(Board::default()),
        None => Authority::Limits(LocalConsent::new(options.limits.clone())),
    };
    let shared = Arc::new(Shared::new(options, authority, notices));
    if let Some(leases) = leases {
        heartbeat::start(leases, Arc::clone(&shared)).context("the node's Lease cannot be kept")?;
    }
    if let Some(address) = shared.options.metrics {
        server::serve(address, Arc::clone(&shared.metrics))?;
    }
    node::watch(Arc::clone(&shared)).context("the node cannot be watched")?;
    let mut workers: BTreeMap<String, Worker> = BTreeMap::new();
    let mut complained = false;
    while !stop.load(Ordering::Relaxed) {
        match source.pods() {
            Ok(pods) => {
                complained = false;
                reconcile(&mut workers, pods, &shared);
            }
            Err(error) => {
                if !complained {
                    eprintln!("error: the node's pods cannot be listed: {error:#}; those known are looked after");
                }
                complained = true;
            }
        }
        thread::sleep(LIST_EVERY);
    }
    for worker in workers.values() {
        worker.stop.store(true, Ordering::Relaxed);
    }
    for worker in workers.into_values() {
        let _ = worker.thread.join();
    }
    Ok(())
}

/// A pod's thread.
struct Worker {
    pod: Arc<Mutex<Pod>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

fn reconcile(workers: &mut BTreeMap<String, Worker>, pods: Vec<Pod>, shared: &Arc<Shared>) {
    let names: BTreeSet<&str> = pods.iter().map(|pod| &*pod.name).collect();
    workers.retain(|name, worker| {
        let has_ended = worker.thread.is_finished();
        if !names.contains(&**name) {
            worker.stop.store(true, Ordering::Relaxed);
        }
        if has_ended || worker.stop.load(Ordering::Relaxed) {
            // Its running round still notes what it saw: it is forgotten until the thread has ended.
            shared.forget(name);
        }
        !has_ended
    });
    shared.sizes(&pods);
    for pod in pods {
        if let Some(worker) = workers.get(&pod.name) {
            // One of the same name as a pod that is gone waits until that one's thread has ended.
            *worker.pod.lock().unwrap_or_else(PoisonError::into_inner) = pod;
            continue;
        }
        let name = pod.name.clone();
        let pod = Arc::new(Mutex::new(pod));
        let stop = Arc::new(AtomicBool::new(false));
        let (own, stopped, all) = (Arc::clone(&pod), Arc::clone(&stop), Arc::clone(shared));
        let thread = thread::Builder::new().name("pod".into()).spawn(move || worker::run(&own, &stopped, &all));
        match thread {
            Ok(thread) => drop(workers.insert(name, Worker { pod, stop, thread })),
            Err(error) => eprintln!("error: {name} cannot be looked after: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hot_switch_core::Moment;
    use hot_switch_core::pod::State;
    use hot_switch_core::standing::Standing;

    use super::consent::Trouble;
    use super::*;
    use crate::pods::Place;
    use crate::probe::app::AppProbes;
    use crate::probe::round::{Patience, Target};

    #[test]
    fn a_round_that_still_runs_does_not_bring_a_deleted_pod_back() {
        let options = Options {
            node: "n1".into(),
            proc: "/proc".into(),
            interval: Duration::from_secs(1),
            patience: Patience::default(),
            own_delay: Duration::from_millis(500),
            settings: hot_switch_core::settings::Settings::default(),
            limits: hot_switch_core::fleet::Limits::default(),
            metrics: None,
        };
        let authority = Authority::Controller(Board::default());
        let shared = Arc::new(Shared::new(options, authority, None));
        let pod = Pod {
            name: "shop/cart-1".into(),
            workload: "shop/cart".into(),
            place: Place::Uid("u".into()),
            target: Target {
                address: [127, 0, 0, 1].into(),
                probes: AppProbes::default(),
                port: None,
                container: hot_switch_core::sighting::Container::Unknown,
            },
            standing: Standing::default(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, all) = (Arc::clone(&stop), Arc::clone(&shared));
        // Its round is under way when the pod goes, and ends with what it saw.
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(50));
            all.stands("shop/cart-1", State::Bypassed, Trouble::Failing);
        });
        let worker = Worker { pod: Arc::new(Mutex::new(pod)), stop, thread };
        let mut workers = BTreeMap::from([("shop/cart-1".to_owned(), worker)]);
        reconcile(&mut workers, Vec::new(), &shared);
        thread::sleep(Duration::from_millis(200));
        reconcile(&mut workers, Vec::new(), &shared);
        let node = shared.node(Moment::ZERO);
        assert_eq!((node.failing, node.proxies, workers.len()), (0, 0, 0));
    }
}
