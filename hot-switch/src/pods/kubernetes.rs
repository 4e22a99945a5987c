//! What a pod is and allows, from its object in Kubernetes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hot_switch_core::sighting::Container;
use hot_switch_core::standing::{Directions, Kind, Life, Mode, Protection, Standing};
use k8s_openapi::api::core::v1::{Container as Spec, ContainerStatus, Pod as Object, PodSpec};

use super::{Place, Pod, gateway};
use crate::names;
use crate::probe::app::AppProbes;
use crate::probe::round::Target;

/// The pod, if it has a sidecar and an address. `defaults` are its namespace's annotations.
#[must_use]
pub fn read(object: &Object, defaults: &BTreeMap<String, String>) -> Option<Pod> {
    let (namespace, name) = (object.metadata.namespace.as_deref()?, object.metadata.name.as_deref()?);
    let uid = object.metadata.uid.clone()?;
    let spec = object.spec.as_ref()?;
    let proxy = containers(spec).find(|container| container.name == names::PROXY_CONTAINER)?;
    let status = object.status.as_ref()?;
    let address: IpAddr = status.pod_ip.as_deref()?.parse().ok()?;
    if has_ended(object) {
        return None;
    }
    // Probes that cannot be read are none: the application is then asked by its port.
    let probes = proxy.env.iter().flatten().find(|variable| variable.name == names::APP_PROBERS);
    let probes = probes.and_then(|variable| AppProbes::read(variable.value.as_deref()?).ok()).unwrap_or_default();
    let port = spec.containers.iter().filter(|container| container.name != names::PROXY_CONTAINER).find_map(first_port);
    Some(Pod {
        name: format!("{namespace}/{name}"),
        workload: format!("{namespace}/{}", workload(object, name)),
        place: Place::Uid(uid),
        target: Target { address, probes, port, container: container_state(object) },
        standing: standing(object, namespace, spec, defaults),
    })
}

/// Whether it has ended, or was evicted. Its object may stay for long.
fn has_ended(object: &Object) -> bool {
    let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether it serves, or may do so yet: what has ended or is being deleted is no part of its workload.
#[must_use]
pub fn lives(object: &Object) -> bool {
    !has_ended(object) && object.metadata.deletion_timestamp.is_none()
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Spec> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

fn first_port(container: &Spec) -> Option<u16> {
    let mut tcp = container.ports.iter().flatten().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    tcp.find_map(|port| u16::try_from(port.container_port).ok())
}

/// The Deployment of a ReplicaSet, whose name is the Deployment's and a hash; else the owner; else the pod itself.
#[must_use]
pub fn workload(object: &Object, name: &str) -> String {
    let owner = object.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let Some(owner) = owner else { return name.to_owned() };
    let hash = object.metadata.labels.as_ref().and_then(|labels| labels.get("pod-template-hash"));
    let stripped = hash.and_then(|hash| owner.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
    stripped.filter(|_| owner.kind == "ReplicaSet").unwrap_or(&owner.name).to_owned()
}

fn container_state(object: &Object) -> Container {
    let status = object.status.as_ref();
    let statuses = |of: fn(&k8s_openapi::api::core::v1::PodStatus) -> &Option<Vec<ContainerStatus>>| {
        status.and_then(|status| of(status).as_ref()).into_iter().flatten()
    };
    let mut all =
        statuses(|status| &status.container_statuses).chain(statuses(|status| &status.init_container_statuses));
    let state = all.find(|status| status.name == names::PROXY_CONTAINER).and_then(|status| status.state.as_ref());
    match state {
        Some(state) if state.running.is_some() => Container::Running,
        Some(state) if state.waiting.is_some() || state.terminated.is_some() => Container::Down,
        _ => Container::Unknown,
    }
}

/// What the owner says, on the pod or for its namespace.
fn note<'a>(object: &'a Object, defaults: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    let own = object.metadata.annotations.as_ref().and_then(|own| own.get(key));
    own.or_else(|| defaults.get(key)).map(String::as_str)
}

/// Which of the pod's traffic a bypass takes past the proxy.
#[must_use]
pub fn directions(object: &Object, defaults: &BTreeMap<String, String>) -> Directions {
    Directions::of_annotation(note(object, defaults, names::DIRECTIONS))
}

fn is_gateway(object: &Object, spec: &PodSpec) -> bool {
    fn of<'a>(pairs: &'a Option<BTreeMap<String, String>>, key: &str) -> Option<&'a str> {
        pairs.as_ref().and_then(|pairs| pairs.get(key)).map(String::as_str)
    }
    let container = |container: &'_ Spec| gateway::Container {
        name: container.name.clone(),
        args: container.args.clone().unwrap_or_default(),
    };
    let containers: Vec<_> = spec.containers.iter().map(container).collect();
    let metadata = &object.metadata;
    let templates = of(&metadata.annotations, gateway::TEMPLATES);
    gateway::gateway(|key| of(&metadata.labels, key), templates, &containers).is_some()
}

fn standing(object: &Object, namespace: &str, spec: &PodSpec, defaults: &BTreeMap<String, String>) -> Standing {
    let note = |key: &str| note(object, defaults, key);
    let kind = if spec.host_network == Some(true) {
        Kind::HostNetwork
    } else if note(names::AMBIENT) == Some("enabled") {
        Kind::Ambient
    } else if names::SYSTEM_NAMESPACES.contains(&namespace) {
        Kind::System
    } else if is_gateway(object, spec) {
        Kind::Gateway
    } else {
        Kind::Sidecar
    };
    let directions = directions(object, defaults);
    Standing {
        mode: Mode::of_annotation(note(names::MODE)),
        directions,
        kind,
        life: if object.metadata.deletion_timestamp.is_some() { Life::Terminating } else { Life::Lives },
        // Which policies select the pod, the controller reads. A bypass of outbound traffic alone takes none away.
        protection: match note(names::ALLOW_UNPROTECTED) {
            Some("true") => Protection::MayBeLost,
            _ if directions.inbound() => Protection::Unknown,
            _ => Protection::None,
        },
    }
}

#[cfg(test)]
mod tests {
    use hot_switch_core::refusal::Refusal;
    use serde_json::{Value, json};

    use super::*;

    fn object(change: impl Fn(&mut Value)) -> Option<Pod> {
        let mut object = json!({
            "metadata": {"namespace": "shop", "name": "cart-5d9c-x1", "uid": "0b1c2d3e-aaaa-bbbb-cccc-123456789abc",
                "labels": {"pod-template-hash": "5d9c", "security.istio.io/tlsMode": "istio"},
                "annotations": {"hot-switch.faultline.dev/mode": "act",
                    "hot-switch.faultline.dev/allow-unprotected": "true"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-5d9c", "uid": "u",
                    "controller": true}]},
            "spec": {"containers": [{"name": "cart", "ports": [{"containerPort": 53, "protocol": "UDP"},
                    {"containerPort": 8080}]},
                {"name": "istio-proxy", "env": [{"name": "ISTIO_KUBE_APP_PROBERS",
                    "value": "{\"/app-health/cart/livez\":{\"tcpSocket\":{\"port\":8080}}}"}]}]},
            "status": {"podIP": "10.0.0.7", "phase": "Running", "containerStatuses": [
                {"name": "istio-proxy", "ready": true, "restartCount": 0, "image": "i", "imageID": "",
                    "state": {"running": {}}}]},
        });
        change(&mut object);
        read(&serde_json::from_value(object).unwrap(), &BTreeMap::new())
    }

    #[test]
    fn a_pod_that_opted_in() {
        let pod = object(|_| {}).unwrap();
        assert_eq!((&*pod.name, &*pod.workload), ("shop/cart-5d9c-x1", "shop/cart"));
        assert_eq!(pod.standing.refusal(), None);
        assert_eq!((pod.target.port, pod.target.container), (Some(8080), Container::Running));
        assert!(!pod.target.probes.is_empty());
    }

    #[test]
    fn a_native_sidecar_is_an_init_container() {
        let pod = object(|object| {
            let proxy = object["spec"]["containers"].as_array_mut().unwrap().pop().unwrap();
            object["spec"]["initContainers"] = json!([proxy]);
            let status = object["status"].as_object_mut().unwrap();
            let statuses = status.remove("containerStatuses").unwrap();
            status.insert("initContainerStatuses".into(), statuses);
            object["status"]["initContainerStatuses"][0]["state"] = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        });
        assert_eq!(pod.unwrap().target.container, Container::Down);
    }

    #[test]
    fn who_is_never_bypassed() {
        let refusal = |change: fn(&mut Value)| object(change).unwrap().standing.refusal();
        assert_eq!(refusal(|o| o["spec"]["hostNetwork"] = json!(true)), Some(Refusal::HostNetwork));
        assert_eq!(refusal(|o| o["metadata"]["namespace"] = json!("istio-system")), Some(Refusal::SystemNamespace));
        assert_eq!(
            refusal(|o| o["metadata"]["annotations"]["ambient.istio.io/redirection"] = json!("enabled")),
            Some(Refusal::Ambient)
        );
        assert_eq!(refusal(|o| o["metadata"]["labels"]["istio"] = json!("ingressgateway")), Some(Refusal::Gateway));
        assert_eq!(
            refusal(|o| drop(o["spec"]["containers"].as_array_mut().unwrap().remove(0))),
            Some(Refusal::Gateway)
        );
        let gateways: [fn(&mut Value); 4] = [
            |o| o["metadata"]["labels"]["istio.io/gateway-name"] = json!("public"),
            |o| o["metadata"]["labels"]["gateway.istio.io/managed"] = json!("istio.io-gateway-controller"),
            |o| o["metadata"]["annotations"]["inject.istio.io/templates"] = json!("custom, gateway"),
            |o| o["spec"]["containers"][1]["args"] = json!(["proxy", "router", "--domain", "shop.svc"]),
        ];
        assert_eq!(gateways.map(refusal), [Some(Refusal::Gateway); 4]);
        assert_eq!(
            refusal(|o| o["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")),
            Some(Refusal::Terminating)
        );
        let silent = object(|o| {
            drop(o["metadata"]["annotations"].as_object_mut().unwrap().remove(names::ALLOW_UNPROTECTED));
        });
        let standing = silent.unwrap().standing;
        assert_eq!((standing.protection, standing.refusal()), (Protection::Unknown, None), "the controller knows");
        let known = |is_protected| Standing { protection: standing.protection.known(is_protected), ..standing };
        assert_eq!([true, false].map(|is| known(is).refusal()), [Some(Refusal::Unprotected), None]);
        assert_eq!(
            refusal(|o| o["metadata"]["annotations"][names::MODE] = json!("ACT; rm -rf /")),
            Some(Refusal::ReportOnly)
        );
        assert_eq!(
            refusal(|o| drop(o["metadata"].as_object_mut().unwrap().remove("annotations"))),
            Some(Refusal::ReportOnly)
        );
    }

    #[test]
    fn what_has_no_sidecar_or_has_ended_is_no_pod_of_ours() {
        assert!(object(|o| drop(o["spec"]["containers"].as_array_mut().unwrap().remove(1))).is_none());
        assert!(object(|o| o["status"]["phase"] = json!("Succeeded")).is_none());
        assert!(object(|o| o["status"]["podIP"] = json!("")).is_none());
        let hostile = object(|o| o["spec"]["containers"][1]["env"][0]["value"] = json!("{{{")).unwrap();
        assert!(hostile.target.probes.is_empty(), "probes that cannot be read are none");
    }
}
