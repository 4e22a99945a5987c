//! What a grant, a stand-in and their end change in a pod's object: object in, patch out.
//!
//! istiod has a pod's callers speak plaintext where the label `tlsMode` is missing
//! (`GetTLSModeFromEndpointLabels`), so a pod without it needs no word to its callers, and gets none. A caller that
//! uses HBONE reaches the pod through its tunnel as long as the label `tunnel` names it (`SupportsTunnel`), whatever
//! `tlsMode` says: that label goes and comes back with the bypass.
//!
//! `deploy/hot-switch/admission.yaml` allows these changes and no others.

use hot_switch_core::standing::Directions;
use k8s_openapi::api::core::v1::Pod as Object;
use serde_json::{Map, Value, json};

use crate::names::{
    GRANTED_AT, ORIGINAL_IMAGE, ORIGINAL_TLS_MODE, ORIGINAL_TUNNEL, PROXY_CONTAINER, TLS_MODE, TUNNEL, WHY,
};

/// The value of the label with which callers do not speak mTLS.
const DISABLED: &str = "disabled";

fn note<'a>(pod: &'a Object, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn label<'a>(pod: &'a Object, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether a proxy of Istio's runs beside an application in the pod: by its container, since labels can be missing.
#[must_use]
pub fn has_sidecar(pod: &Object) -> bool {
    image(pod).is_some()
}

/// The wish to which the pod's bypass was granted.
#[must_use]
pub fn granted(pod: &Object) -> Option<u64> {
    note(pod, GRANTED_AT).map(|since| since.parse().unwrap_or(0))
}

/// The grant of a wish, as a strategic merge patch: callers are told before the gate goes on. Where inbound traffic
/// still goes through the proxy, callers speak to it as before. `None`: nothing changes.
#[must_use]
pub fn grant(pod: &Object, since: u64, why: &str, stand_in: Option<&str>, directions: Directions) -> Option<Value> {
    let mut notes = Map::new();
    let mut labels = Map::new();
    let set = |notes: &mut Map<String, Value>, key: &str, value: &str| {
        if note(pod, key) != Some(value) {
            notes.insert(key.to_owned(), json!(value));
        }
    };
    set(&mut notes, GRANTED_AT, &since.to_string());
    set(&mut notes, WHY, why);
    if directions.inbound() {
        tell_callers(pod, &mut labels, &mut notes);
    } else {
        tell_callers_back(pod, &mut labels, &mut notes);
    }
    let mut spec = Value::Null;
    match (stand_in, image(pod)) {
        (Some(stand_in), Some((place, now))) if now != stand_in => {
            notes.insert(ORIGINAL_IMAGE.to_owned(), json!(now));
            spec = with_image(place, stand_in);
        }
        // Its own image is tried again. The record goes with it.
        (None, Some((place, now))) => {
            if let Some(original) = note(pod, ORIGINAL_IMAGE) {
                notes.insert(ORIGINAL_IMAGE.to_owned(), Value::Null);
                if original != now {
                    spec = with_image(place, original);
                }
            }
        }
        _ => {}
    }
    patch(labels, notes, spec)
}

/// Callers speak plaintext, and past the tunnel.
fn tell_callers(pod: &Object, labels: &mut Map<String, Value>, notes: &mut Map<String, Value>) {
    // A label without a value says nothing to callers.
    if let Some(mode) = label(pod, TLS_MODE).filter(|mode| !mode.is_empty() && *mode != DISABLED) {
        labels.insert(TLS_MODE.to_owned(), json!(DISABLED));
        notes.insert(ORIGINAL_TLS_MODE.to_owned(), json!(mode));
    }
    if let Some(tunnel) = label(pod, TUNNEL).filter(|tunnel| !tunnel.is_empty()) {
        labels.insert(TUNNEL.to_owned(), Value::Null);
        notes.insert(ORIGINAL_TUNNEL.to_owned(), json!(tunnel));
    }
}

/// Callers speak as they did. The records go with it.
fn tell_callers_back(pod: &Object, labels: &mut Map<String, Value>, notes: &mut Map<String, Value>) {
    for key in [ORIGINAL_TLS_MODE, ORIGINAL_TUNNEL] {
        if note(pod, key).is_some() {
            notes.insert(key.to_owned(), Value::Null);
        }
    }
    if let Some(original) = note(pod, ORIGINAL_TLS_MODE) {
        labels.insert(TLS_MODE.to_owned(), json!(original));
    }
    // One that somebody has put there meanwhile is theirs.
    if let Some(original) = note(pod, ORIGINAL_TUNNEL).filter(|_| label(pod, TUNNEL).is_none()) {
        labels.insert(TUNNEL.to_owned(), json!(original));
    }
}

/// The end of a bypass. `None`: nothing changes.
#[must_use]
pub fn release(pod: &Object) -> Option<Value> {
    let mut notes = Map::new();
    let mut labels = Map::new();
    for key in [GRANTED_AT, WHY, ORIGINAL_IMAGE] {
        if note(pod, key).is_some() {
            notes.insert(key.to_owned(), Value::Null);
        }
    }
    tell_callers_back(pod, &mut labels, &mut notes);
    let spec = match (note(pod, ORIGINAL_IMAGE), image(pod)) {
        (Some(original), Some((place, now))) if original != now => with_image(place, original),
        _ => Value::Null,
    };
    patch(labels, notes, spec)
}

/// Where the proxy's container is listed, and its image.
fn image(pod: &Object) -> Option<(&'static str, &str)> {
    let spec = pod.spec.as_ref()?;
    let lists = [("containers", Some(&spec.containers)), ("initContainers", spec.init_containers.as_ref())];
    lists.into_iter().find_map(|(place, list)| {
        let proxy = list?.iter().find(|container| container.name == PROXY_CONTAINER)?;
        Some((place, proxy.image.as_deref()?))
    })
}

fn with_image(place: &str, image: &str) -> Value {
    json!({place: [{"name": PROXY_CONTAINER, "image": image}]})
}

fn patch(labels: Map<String, Value>, notes: Map<String, Value>, spec: Value) -> Option<Value> {
    let mut metadata = Map::new();
    if !labels.is_empty() {
        metadata.insert("labels".to_owned(), Value::Object(labels));
    }
    if !notes.is_empty() {
        metadata.insert("annotations".to_owned(), Value::Object(notes));
    }
    let mut patch = Map::new();
    if !metadata.is_empty() {
        patch.insert("metadata".to_owned(), Value::Object(metadata));
    }
    if !spec.is_null() {
        patch.insert("spec".to_owned(), spec);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Directions = Directions::Both;

    fn pod(tls: &str, image: &str, notes: Value) -> Object {
        serde_json::from_value(json!({
            "metadata": {"labels": {TLS_MODE: tls}, "annotations": notes},
            "spec": {"containers": [{"name": "app"}, {"name": PROXY_CONTAINER, "image": image}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_grant_tells_the_callers_and_records_what_was_there() {
        let change = grant(&pod("istio", "proxyv2", json!({})), 7, "proxy_dead", None, BOTH).unwrap();
        assert_eq!(
            change,
            json!({"metadata": {"labels": {TLS_MODE: "disabled"},
                "annotations": {GRANTED_AT: "7", WHY: "proxy_dead", ORIGINAL_TLS_MODE: "istio"}}})
        );
        let notes = json!({GRANTED_AT: "7", WHY: "proxy_dead", ORIGINAL_TLS_MODE: "istio"});
        assert_eq!(
            grant(&pod("disabled", "proxyv2", notes), 7, "proxy_dead", None, BOTH),
            None,
            "said twice, done once"
        );
    }

    #[test]
    fn the_stand_in_comes_and_goes_with_a_record_of_the_image() {
        let notes = json!({GRANTED_AT: "7", WHY: "proxy_dead", ORIGINAL_TLS_MODE: "istio"});
        let change = grant(&pod("disabled", "proxyv2", notes), 7, "proxy_dead", Some("stand-in"), BOTH).unwrap();
        assert_eq!(change["metadata"]["annotations"], json!({ORIGINAL_IMAGE: "proxyv2"}));
        assert_eq!(change["spec"]["containers"], json!([{"name": PROXY_CONTAINER, "image": "stand-in"}]));
        let notes = json!({GRANTED_AT: "7", WHY: "proxy_dead", ORIGINAL_TLS_MODE: "istio", ORIGINAL_IMAGE: "proxyv2"});
        let swapped = pod("disabled", "stand-in", notes);
        assert_eq!(grant(&swapped, 7, "proxy_dead", Some("stand-in"), BOTH), None);
        let tried = grant(&swapped, 7, "proxy_dead", None, BOTH).unwrap();
        assert_eq!(tried["spec"]["containers"][0]["image"], "proxyv2");
        let released = release(&swapped).unwrap();
        assert_eq!(released["metadata"]["labels"], json!({TLS_MODE: "istio"}));
        assert_eq!(released["spec"]["containers"][0]["image"], "proxyv2");
        assert_eq!(released["metadata"]["annotations"].as_object().unwrap().len(), 4);
    }

    #[test]
    fn callers_through_the_tunnel_are_told_too_and_told_back() {
        let mut with_tunnel = pod("istio", "proxyv2", json!({}));
        with_tunnel.metadata.labels.as_mut().unwrap().insert(TUNNEL.to_owned(), "http".to_owned());
        let change = grant(&with_tunnel, 7, "proxy_dead", None, BOTH).unwrap();
        assert_eq!(change["metadata"]["labels"], json!({TLS_MODE: "disabled", TUNNEL: null}));
        assert_eq!(change["metadata"]["annotations"][ORIGINAL_TUNNEL], "http");
        let notes = json!({GRANTED_AT: "7", WHY: "proxy_dead", ORIGINAL_TLS_MODE: "istio", ORIGINAL_TUNNEL: "http"});
        let mut granted = pod("disabled", "proxyv2", notes);
        assert_eq!(grant(&granted, 7, "proxy_dead", None, BOTH), None, "said twice, done once");
        let released = release(&granted).unwrap();
        assert_eq!(released["metadata"]["labels"], json!({TLS_MODE: "istio", TUNNEL: "http"}));
        assert_eq!(released["metadata"]["annotations"][ORIGINAL_TUNNEL], Value::Null);
        granted.metadata.labels.as_mut().unwrap().insert(TUNNEL.to_owned(), "mine".to_owned());
        assert_eq!(release(&granted).unwrap()["metadata"]["labels"], json!({TLS_MODE: "istio"}), "the owner's own");
    }

    #[test]
    fn where_only_outbound_traffic_goes_past_the_proxy_callers_speak_as_before() {
        let mut calm = pod("istio", "proxyv2", json!({}));
        calm.metadata.labels.as_mut().unwrap().insert(TUNNEL.to_owned(), "http".to_owned());
        let change = grant(&calm, 7, "proxy_dead", None, Directions::Outbound).unwrap();
        assert_eq!(change, json!({"metadata": {"annotations": {GRANTED_AT: "7", WHY: "proxy_dead"}}}));
        let notes = json!({GRANTED_AT: "7", WHY: "proxy_dead", ORIGINAL_TLS_MODE: "istio", ORIGINAL_TUNNEL: "http"});
        let narrowed = pod("disabled", "proxyv2", notes);
        let change = grant(&narrowed, 7, "proxy_dead", None, Directions::Outbound).unwrap();
        let notes = json!({ORIGINAL_TLS_MODE: null, ORIGINAL_TUNNEL: null});
        assert_eq!(change, json!({"metadata": {"labels": {TLS_MODE: "istio", TUNNEL: "http"}, "annotations": notes}}));
    }

    #[test]
    fn a_pod_without_labels_gets_none_and_loses_none() {
        let mut bare = pod("istio", "proxyv2", json!({}));
        bare.metadata.labels = None;
        let change = grant(&bare, 7, "proxy_dead", None, BOTH).unwrap();
        assert_eq!(change, json!({"metadata": {"annotations": {GRANTED_AT: "7", WHY: "proxy_dead"}}}));
        bare.metadata.annotations = Some([(GRANTED_AT.to_owned(), "7".to_owned())].into());
        assert_eq!(release(&bare).unwrap(), json!({"metadata": {"annotations": {GRANTED_AT: null}}}));
    }

    #[test]
    fn what_was_never_granted_is_not_released() {
        assert_eq!(release(&pod("disabled", "proxyv2", json!({"mine": "x"}))), None, "a label of the owner's own");
    }
}
