//! One round of the controller: what nodes want and what pods are, in; what is changed and answered, out.

use std::collections::{BTreeMap, BTreeSet};

use hot_switch_core::Moment;
use hot_switch_core::fleet::{Ask, Fleet};
use hot_switch_core::refusal::Refusal;
use hot_switch_core::sighting::Condition;
use k8s_openapi::api::core::v1::Pod as Object;
use mesh::Mesh;
use serde_json::Value;

use super::changes;
use crate::check::protection;
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
    /// Istio's policies; none where they could not be read.
    pub policies: Option<&'a Mesh>,
    /// The stand-in's image, if there is one.
    pub stand_in: Option<&'a str>,
    /// A person says that what fails now is to be bypassed, though much of the mesh fails at once.
    pub all_failed: bool,
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
    // An agent speaks for the pods of its node: another's it can neither keep bypassed nor say to be down, which would
    // raise budgets and open the breaker.
    let is_its_own = |node: &NodeLease, pod: &str| known.pods.get(pod).and_then(node_of) == Some(&*node.node);
    let wishes = known.nodes.iter().flat_map(|node| node.asks.wishes.iter().map(move |wish| (node, &*wish.pod)));
    let wished: BTreeSet<&str> = wishes.filter(|(node, pod)| is_its_own(node, pod)).map(|(_, pod)| pod).collect();
    release(fleet, known, &wished, &mut done);
    let lives = |pod: &str| known.pods.get(pod).is_some_and(kubernetes::lives);
    let alive = || known.nodes.iter().filter(|node| node.alive);
    let failing = alive().flat_map(|node| node.asks.failing.iter().map(move |pod| (node, &**pod)));
    let failing = failing.filter(|(node, pod)| is_its_own(node, pod) && lives(pod)).map(|(_, pod)| pod);
    let failing: BTreeSet<&str> = failing.collect();
    for pod in &failing {
        if !fleet.is_granted(pod) {
            fleet.fails(known.now, pod);
        }
    }
    if known.all_failed {
        fleet.close_breaker();
    }
    let down = |workload: &str| {
        let is_of = |name: &&&str| known.pods.get(**name).is_some_and(|pod| self::workload(name, pod) == workload);
        let is_of = |name: &&&str| lives(name) && is_of(name);
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
    // It becomes an annotation, and the agent may be anybody's by now.
    let why = Condition::of_word(&wish.why).map_or("unknown", Condition::word);
    let nothing = BTreeMap::new();
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let defaults = known.namespaces.get(namespace).unwrap_or(&nothing);
    let was_granted = fleet.is_granted(&wish.pod);
    if !was_granted {
        let mut pod = kubernetes::read(object, defaults).ok_or(Refusal::NotCaptured)?;
        pod.standing.protection = pod.standing.protection.known(is_protected(known.policies, object));
        // Where the mesh's own namespace is another one than usual, its configuration says so.
        if known.policies.is_some_and(|policies| policies.root() == namespace) {
            return Err(Refusal::SystemNamespace);
        }
        if let Some(refusal) = pod.standing.refusal() {
            return Err(refusal);
        }
        let workload = workload(&wish.pod, object);
        let ask = Ask {
            pod: &wish.pod,
            workload: &workload,
            workload_pods: pods_of(known.pods, &workload),
            workload_down: down(&workload),
            proxies: proxies(known.pods),
        };
        fleet.ask(known.now, &ask)?;
    }
    let directions = kubernetes::directions(object, defaults);
    // A pod with the stand-in is ready. Where inbound traffic still goes to the proxy, nobody would answer it.
    let image = known.stand_in.filter(|_| wish.stand_in && directions.inbound());
    let change = changes::grant(object, wish.since, why, image, directions);
    done.grants.extend(change.map(|change| (wish.pod.clone(), change)));
    Ok(())
}

/// How much of its budget the workload uses that uses most.
#[must_use]
pub fn budget_used(fleet: &Fleet, pods: &BTreeMap<String, Object>) -> f64 {
    fleet.budget_used(|of| pods_of(pods, of))
}

/// How many proxies the mesh has.
#[must_use]
pub fn proxies(pods: &BTreeMap<String, Object>) -> usize {
    pods.values().filter(|pod| kubernetes::lives(pod)).count()
}

fn pods_of(pods: &BTreeMap<String, Object>, of: &str) -> usize {
    pods.iter().filter(|(name, pod)| kubernetes::lives(pod) && workload(name, pod) == of).count()
}

/// Whether a policy protects the pod. What is not known may be.
fn is_protected(policies: Option<&Mesh>, pod: &Object) -> bool {
    let labels = pod.metadata.labels.iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    policies.is_none_or(|policies| protection::is_protected(policies, namespace, labels))
}

fn node_of(pod: &Object) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// `namespace/workload` of the pod `namespace/name`.
fn workload(name: &str, pod: &Object) -> String {
    let (namespace, own) = name.split_once('/').unwrap_or(("", name));
    format!("{namespace}/{}", kubernetes::workload(pod, own))
}

#[cfg(test)]
mod tests {
    use hot_switch_core::fleet::Limits;
    use serde_json::json;

    use super::*;
    use crate::cluster::words::{Answers, Asks};
    use crate::names;

    fn pods(count: usize) -> BTreeMap<String, Object> {
        let pod = |number: usize| {
            let name = format!("cart-{number}");
            let object = json!({
                "metadata": {"namespace": "shop", "name": name, "uid": format!("00000000-{number}"),
                    "labels": {names::TLS_MODE: "istio"},
                    "annotations": {names::MODE: "act", names::ALLOW_UNPROTECTED: "true"},
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "cart", "uid": "u",
                        "controller": true}]},
                "spec": {"nodeName": "n1", "containers": [
                    {"name": "cart"}, {"name": "istio-proxy", "image": "proxyv2"}]},
                "status": {"podIP": "10.0.0.7", "phase": "Running"},
            });
            (format!("shop/{name}"), serde_json::from_value(object).unwrap())
        };
        (0..count).map(pod).collect()
    }

    fn node(name: &str, wishes: &[&str]) -> NodeLease {
        let wish = |pod: &&str| Wish { pod: (*pod).to_owned(), since: 7, why: "proxy_dead".into(), stand_in: false };
        let asks = Asks {
            wishes: wishes.iter().map(wish).collect(),
            failing: wishes.iter().map(|pod| (*pod).to_owned()).collect(),
        };
        NodeLease { node: name.to_owned(), alive: true, asks, answers: Answers::default() }
    }

    fn round(fleet: &mut Fleet, pods: &BTreeMap<String, Object>, nodes: &[NodeLease]) -> Done {
        let namespaces = BTreeMap::new();
        let stand_in = Some("stand-in");
        let now = Moment::from_secs(100);
        let policies = Some(&Mesh::default());
        let namespaces = &namespaces;
        decide(fleet, Known { now, nodes, pods, namespaces, policies, stand_in, all_failed: false })
    }

    fn refused<'a>(done: &'a Done, node: &str) -> Vec<Option<&'a str>> {
        done.answers.get(node).into_iter().flatten().map(|answer| answer.refused.as_deref()).collect()
    }

    #[test]
    fn one_of_three_is_granted_with_its_label_and_the_next_is_over_budget() {
        let (mut fleet, pods) = (Fleet::new(Limits::default()), pods(3));
        let done = round(&mut fleet, &pods, &[node("n1", &["shop/cart-0", "shop/cart-1"])]);
        assert_eq!(refused(&done, "n1"), [None, Some("budget")]);
        let (name, change) = done.grants.first().unwrap();
        assert_eq!((&**name, &change["metadata"]["labels"][names::TLS_MODE]), ("shop/cart-0", &json!("disabled")));
        assert_eq!(done.grants.len(), 1);
    }

    #[test]
    fn pods_that_have_ended_or_go_are_no_part_of_budget_and_breaker() {
        let mut pods = pods(20);
        for (number, pod) in pods.values_mut().enumerate().skip(3) {
            match number % 3 {
                0 => pod.status.as_mut().unwrap().phase = Some("Failed".to_owned()),
                1 => pod.status.as_mut().unwrap().phase = Some("Succeeded".to_owned()),
                _ => pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap(),
            }
        }
        assert_eq!(proxies(&pods), 3);
        let names: Vec<String> = pods.keys().cloned().collect();
        let living: Vec<&str> = names.iter().take(2).map(String::as_str).collect();
        let mut fleet = Fleet::new(Limits::default());
        let done = round(&mut fleet, &pods, &[node("n1", &living)]);
        assert_eq!(refused(&done, "n1"), [None, Some("budget")], "of three, one");
        let mut all = node("n1", &living);
        all.asks.failing.extend(names.iter().skip(3).cloned());
        let done = round(&mut Fleet::new(Limits::default()), &pods, &[all]);
        assert_eq!(refused(&done, "n1"), [None, Some("budget")], "those that go open no breaker");
    }

    #[test]
    fn outbound_alone_changes_neither_label_nor_image() {
        let mut pods = pods(3);
        let directions = (names::DIRECTIONS.to_owned(), "outbound".to_owned());
        pods.get_mut("shop/cart-0").unwrap().metadata.annotations.as_mut().unwrap().extend([directions]);
        let mut wants = node("n1", &["shop/cart-0"]);
        wants.asks.wishes[0].stand_in = true;
        let done = round(&mut Fleet::new(Limits::default()), &pods, &[wants]);
        let (_, change) = done.grants.first().unwrap();
        assert_eq!((&change["metadata"]["labels"], &change["spec"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn an_agent_speaks_for_its_own_nodes_pods_only() {
        let (mut fleet, pods) = (Fleet::new(Limits::default()), pods(3));
        let done = round(&mut fleet, &pods, &[node("n2", &["shop/cart-0", "shop/nobody", "x"])]);
        assert_eq!(refused(&done, "n2"), [Some("not_captured"); 3]);
        assert_eq!(done.grants, []);
    }

    #[test]
    fn an_agent_cannot_keep_another_nodes_pod_bypassed_nor_say_that_it_is_down() {
        let (mut fleet, mut pods) = (Fleet::new(Limits::default()), pods(6));
        let granted = BTreeMap::from([(names::GRANTED_AT.to_owned(), "7".to_owned())]);
        pods.get_mut("shop/cart-0").unwrap().metadata.annotations.as_mut().unwrap().extend(granted);
        adopt(&mut fleet, &pods);
        let names: Vec<String> = (0..6).map(|number| format!("shop/cart-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let done = round(&mut fleet, &pods, &[node("n1", &[]), node("n2", &names)]);
        assert_eq!(done.releases.first().map(|(name, _)| &**name), Some("shop/cart-0"));
        let done = round(&mut fleet, &pods, &[node("n1", &["shop/cart-1"]), node("n2", &names)]);
        assert_eq!(refused(&done, "n1"), [None], "neither the breaker nor the budget heard it");
        assert!(!fleet.is_granted("shop/cart-0"));
    }

    #[test]
    fn what_an_agent_says_of_the_reason_becomes_an_annotation_only_if_it_is_one() {
        let (mut fleet, pods) = (Fleet::new(Limits::default()), pods(3));
        let mut hostile = node("n1", &["shop/cart-0"]);
        hostile.asks.wishes[0].why = "\u{1b}[31m".repeat(10_000);
        let done = round(&mut fleet, &pods, &[hostile]);
        assert_eq!(done.grants[0].1["metadata"]["annotations"][names::WHY], "unknown");
    }

    #[test]
    fn what_is_wanted_no_longer_is_released_and_a_silent_agents_pod_keeps_its_label() {
        let (mut fleet, mut pods) = (Fleet::new(Limits::default()), pods(3));
        let granted = json!({names::GRANTED_AT: "7", names::WHY: "proxy_dead", names::ORIGINAL_TLS_MODE: "istio"});
        let granted: BTreeMap<String, String> = serde_json::from_value(granted).unwrap();
        let object = pods.get_mut("shop/cart-0").unwrap();
        object.metadata.annotations.as_mut().unwrap().extend(granted);
        adopt(&mut fleet, &pods);
        assert!(fleet.is_granted("shop/cart-0"));
        let silent = NodeLease { alive: false, ..node("n1", &[]) };
        assert_eq!(round(&mut fleet, &pods, &[silent]), Done::default());
        let done = round(&mut fleet, &pods, &[node("n1", &[])]);
        let (name, change) = done.releases.first().unwrap();
        assert_eq!((&**name, &change["metadata"]["labels"][names::TLS_MODE]), ("shop/cart-0", &json!("istio")));
        assert!(!fleet.is_granted("shop/cart-0"));
    }

    #[test]
    fn a_pod_that_did_not_opt_in_is_refused_whatever_its_agent_says() {
        let (mut fleet, mut pods) = (Fleet::new(Limits::default()), pods(3));
        pods.get_mut("shop/cart-0").unwrap().metadata.annotations = None;
        let done = round(&mut fleet, &pods, &[node("n1", &["shop/cart-0"])]);
        assert_eq!(refused(&done, "n1"), [Some("report_only")]);
    }

    #[test]
    fn the_second_consent_is_needed_where_a_policy_would_be_lost_or_policies_are_not_known() {
        let mut pods = pods(3);
        pods.get_mut("shop/cart-0").unwrap().metadata.annotations =
            Some(BTreeMap::from([(names::MODE.to_owned(), "act".to_owned())]));
        let (nodes, namespaces) = ([node("n1", &["shop/cart-0"])], BTreeMap::new());
        let with = |policies: Option<&Mesh>| {
            let (now, nodes, pods, namespaces) = (Moment::from_secs(100), &nodes, &pods, &namespaces);
            let known = Known { now, nodes, pods, namespaces, policies, stand_in: None, all_failed: false };
            let done = decide(&mut Fleet::new(Limits::default()), known);
            refused(&done, "n1").iter().map(|word| word.map(str::to_owned)).collect::<Vec<_>>()
        };
        let unprotected = [Some("unprotected".to_owned())];
        let root = |name: &str| {
            let config = format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio-canary, namespace: istio-system}}\n\
                 data: {{mesh: 'rootNamespace: {name}'}}\n"
            );
            let policy = "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, \
                          namespace: mesh-root}\nspec: {mtls: {mode: STRICT}}\n";
            with(Some(&Mesh::of_text(&format!("{config}{policy}"))))
        };
        assert_eq!((root("mesh-root"), root("other")), (unprotected.clone().into(), vec![None]));
        assert_eq!(root("shop"), [Some("system_namespace".to_owned())]);
        let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: \
                      istio-system}\nspec: {mtls: {mode: STRICT}}\n";
        assert_eq!(with(Some(&Mesh::of_text(strict))), unprotected);
        assert_eq!(with(None), unprotected);
        assert_eq!(with(Some(&Mesh::default())), [None]);
    }

    #[test]
    fn when_much_of_the_mesh_fails_a_person_decides_and_the_budget_holds_all_the_same() {
        let (mut fleet, pods) = (Fleet::new(Limits::default()), pods(6));
        let names: Vec<String> = (0..5).map(|number| format!("shop/cart-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let nodes = [node("n1", &names)];
        assert_eq!(refused(&round(&mut fleet, &pods, &nodes), "n1"), [Some("breaker"); 5]);
        let namespaces = BTreeMap::new();
        let now = Moment::from_secs(101);
        let (nodes, pods, namespaces) = (&nodes, &pods, &namespaces);
        let known = Known { now, nodes, pods, namespaces, policies: None, stand_in: None, all_failed: true };
        let done = decide(&mut fleet, known);
        let over = Some("budget");
        assert_eq!(refused(&done, "n1"), [None, over, over, over, over]);
        assert_eq!(budget_used(&fleet, pods).to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn the_same_round_twice_changes_nothing_twice() {
        let (mut fleet, pods) = (Fleet::new(Limits::default()), pods(3));
        let wishes = &["shop/cart-0", "shop/cart-1"];
        let done = round(&mut fleet, &pods, &[node("n1", wishes)]);
        let mut told = node("n1", wishes);
        told.answers.answers = done.answers["n1"].clone();
        assert!(round(&mut fleet, &pods, &[told]).answers.is_empty());
    }
}
