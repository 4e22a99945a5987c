//! One round of the controller: what nodes want and what pods are, in; what is changed and answered, out.

use std::collections::{BTreeMap, BTreeSet};

use hot_switch_core::Moment;
use hot_switch_core::fleet::{Ask, Fleet};
use hot_switch_core::refusal::Refusal;
use k8s_openapi::api::core::v1::Pod as Object;
use serde_json::Value;

use super::changes;
use crate::cluster::lease::NodeLease;
use crate::cluster::words::{Answer, MOST, Wish};
use crate::pods::kubernetes;

/// What the controller knows in a round.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Now.
    pub now: Moment,
    /// The nodes' Leases.
    pub nodes: &'a [NodeLease],
    /// The pods, by `namespace/name`.
    pub pods: &'a BTreeMap<String, Object>,
    /// The annotations of namespaces.
    pub namespaces: &'a BTreeMap<String, BTreeMap<String, String>>,
    /// The stand-in's image, if there is one.
    pub stand_in: Option<&'a str>,
}

/// What is to be done, in this order; a grant is answered only when its change is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// Pods' changes that end a bypass.
    pub releases: Vec<(String, Value)>,
    /// Pods' changes that a grant needs.
    pub grants: Vec<(String, Value)>,
    /// Answers, by node.
    pub answers: BTreeMap<String, Vec<Answer>>,
}

/// Pods that were granted before this controller began.
pub fn adopt(fleet: &mut Fleet, pods: &BTreeMap<String, Object>) {
    for (name, pod) in pods.iter().filter(|(_, pod)| changes::granted(pod).is_some()) {
        fleet.adopt(name, &workload(name, pod));
    }
}

/// Decides.
pub fn decide(fleet: &mut Fleet, known: Known<'_>) -> Done {
    let mut done = Done::default();
    let wished: BTreeSet<&str> = known.nodes.iter().flat_map(|node| &node.asks.wishes).map(|wish| &*wish.pod).collect();
    release(fleet, known, &wished, &mut done);
    let alive = || known.nodes.iter().filter(|node| node.alive);
    let failing: BTreeSet<&str> = alive().flat_map(|node| &node.asks.failing).map(String::as_str).collect();
    for pod in failing.iter().filter(|pod| !fleet.is_granted(pod)) {
        fleet.fails(known.now, pod);
    }
    let down = |workload: &str| {
        let is_of = |name: &&&str| known.pods.get(**name).is_some_and(|pod| self::workload(name, pod) == workload);
        failing.union(&wished).filter(is_of).count()
    };
    for node in alive() {
        let answers = node.asks.wishes.iter().take(MOST).map(|wish| {
            let refused = answer(fleet, known, &node.node, wish, &down, &mut done).err();
            Answer {
                pod: wish.pod.clone(),
                since: wish.since,
                refused: refused.map(|refusal| refusal.word().to_owned()),
            }
        });
        let answers: Vec<Answer> = answers.collect();
        if answers != node.answers.answers {
            done.answers.insert(node.node.clone(), answers);
        }
    }
    done
}

/// Whatever is granted and wanted no longer by a living agent. Where the agent is silent, its gate may still be on, and
/// the label has to stay.
fn release(fleet: &mut Fleet, known: Known<'_>, wished: &BTreeSet<&str>, done: &mut Done) {
    let gone: Vec<String> = fleet.granted().filter(|name| !known.pods.contains_key(*name)).map(str::to_owned).collect();
    gone.iter().for_each(|name| fleet.release(name));
    for (name, pod) in known.pods.iter().filter(|(name, _)| !wished.contains(name.as_str())) {
        let agent_lives = known.nodes.iter().any(|node| node.alive && Some(&*node.node) == node_of(pod));
        if agent_lives && (changes::granted(pod).is_some() || fleet.is_granted(name)) {
            fleet.release(name);
            done.releases.extend(changes::release(pod).map(|change| (name.clone(), change)));
        }
    }
}

fn answer(
    fleet: &mut Fleet,
    known: Known<'_>,
    node: &str,
    wish: &Wish,
    down: &impl Fn(&str) -> usize,
    done: &mut Done,
) -> Result<(), Refusal> {
    // An agent speaks for the pods of its node, and for no others.
    let object = known.pods.get(&wish.pod).filter(|pod| node_of(pod) == Some(node)).ok_or(Refusal::NotCaptured)?;
    let nothing = BTreeMap::new();
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let defaults = known.namespaces.get(namespace).unwrap_or(&nothing);
    let was_granted = fleet.is_granted(&wish.pod);
    if !was_granted {
        let pod = kubernetes::read(object, defaults).ok_or(Refusal::NotCaptured)?;
        if let Some(refusal) = pod.standing.refusal() {
            return Err(refusal);
        }
        let workload = workload(&wish.pod, object);
        let of_workload = known.pods.iter().filter(|(name, pod)| self::workload(name, pod) == workload);
        let ask = Ask {
            pod: &wish.pod,
            workload: &workload,
            workload_pods: of_workload.count(),
            workload_down: down(&workload),
            proxies: known.pods.len(),
        };
        fleet.ask(known.now, &ask)?;
    }
    let image = known.stand_in.filter(|_| wish.stand_in);
    done.grants.extend(changes::grant(object, wish.since, &wish.why, image).map(|change| (wish.pod.clone(), change)));
    Ok(())
}

fn node_of(pod: &Object) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// `namespace/workload` of the pod `namespace/name`.
fn workload(name: &str, pod: &Object) -> String {
    let (namespace, own) = name.split_once('/').unwrap_or(("", name));
    format!("{namespace}/{}", kubernetes::workload(pod, own))
}
