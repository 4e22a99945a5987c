//! What a Pod object says: its containers, their environments and fields, read as the kubelet reads them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The text at a JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a JSON pointer; empty if there is none.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The texts of a map, such as a pod's labels.
pub(crate) fn texts(value: &Value, pointer: &str) -> BTreeMap<String, String> {
    let map = value.pointer(pointer).and_then(Value::as_object);
    let entry = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    map.into_iter().flatten().filter_map(entry).collect()
}

/// How a container is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// To its end, before the next one starts.
    Init,
    /// As long as the pod.
    Service,
}

/// The pod's containers in the order in which they are started.
pub(crate) fn containers(pod: &Value) -> Vec<(Role, &Value)> {
    let role = |container: &Value| match text(container, "/restartPolicy") {
        "Always" => Role::Service,
        _ => Role::Init,
    };
    let first = list(pod, "/spec/initContainers").iter().map(|container| (role(container), container));
    first.chain(list(pod, "/spec/containers").iter().map(|container| (Role::Service, container))).collect()
}

/// The value of a field of the pod, as the downward API names it: `metadata.name`, `metadata.labels['app']`.
pub(crate) fn field(pod: &Value, path: &str) -> String {
    if let Some((map, key)) = path.split_once("['").and_then(|(map, rest)| Some((map, rest.strip_suffix("']")?))) {
        let map = pod.pointer(&format!("/{}", map.replace('.', "/")));
        return map.and_then(|map| map.get(key)).and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    let map = texts(pod, &format!("/{}", path.replace('.', "/")));
    if !map.is_empty() {
        return map.iter().map(|(key, value)| format!("{key}={value:?}\n")).collect();
    }
    text(pod, &format!("/{}", path.replace('.', "/"))).to_owned()
}

/// A container's environment.
pub(crate) fn environment(pod: &Value, container: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for variable in list(container, "/env") {
        let value = if let Some(value) = variable["value"].as_str() {
            expand(value, &all)
        } else if let Some(path) = variable.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str) {
            field(pod, path)
        } else if let Some(resource) = variable.pointer("/valueFrom/resourceFieldRef/resource").and_then(Value::as_str)
        {
            amount(container, resource).to_string()
        } else {
            String::new()
        };
        all.insert(text(variable, "/name").to_owned(), value);
    }
    all
}

/// Replaces `$(NAME)` by the variable's value; an unknown one stays as it is.
pub(crate) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = text.split_once("$(") else { return text.to_owned() };
    let Some((name, after)) = rest.split_once(')') else { return text.to_owned() };
    let value = variables.get(name).cloned().unwrap_or_else(|| format!("$({name})"));
    format!("{before}{value}{}", expand(after, variables))
}

/// A resource of a container, such as `limits.cpu`, in whole units; what has no limit gets that of a small machine.
fn amount(container: &Value, resource: &str) -> u64 {
    let kind = format!("/resources/{}", resource.replace('.', "/"));
    let without = if resource.ends_with("cpu") { "2" } else { "1Gi" };
    let quantity =
        container.pointer(&kind).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    units(&quantity.unwrap_or_else(|| without.to_owned()))
}

/// A quantity in whole units: 2 for `2`, 1 for `100m`, 1,048,576 for `1Mi`.
fn units(quantity: &str) -> u64 {
    let number = |suffix: &str| quantity.strip_suffix(suffix).and_then(|number| number.parse::<u64>().ok());
    for (suffix, factor) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if let Some(number) = number(suffix) {
            return number * factor;
        }
    }
    number("m").map_or_else(|| quantity.parse().unwrap_or(1), |thousandths| thousandths.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_environment_is_what_the_kubelet_makes_of_it() {
        let pod = json!({
            "metadata": { "name": "mocka-1", "labels": { "app": "mocka", "zone": "a" } },
            "spec": {}, "status": { "podIP": "10.66.1.2" },
        });
        let container = json!({
            "resources": { "limits": { "cpu": "1500m", "memory": "1Gi" } },
            "env": [
                { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
                { "name": "APP", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['app']" } } },
                { "name": "ME", "value": "$(APP)@$(IP), $(UNKNOWN)" },
                { "name": "CPUS", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu" } } },
                { "name": "BYTES", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory" } } },
            ],
        });
        let environment = environment(&pod, &container);
        let expected = [
            ("APP", "mocka"),
            ("BYTES", "1073741824"),
            ("CPUS", "2"),
            ("IP", "10.66.1.2"),
            ("ME", "mocka@10.66.1.2, $(UNKNOWN)"),
        ];
        let read: Vec<(&str, &str)> = environment.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(read, expected);
        assert_eq!(field(&pod, "metadata.labels"), "app=\"mocka\"\nzone=\"a\"\n");
    }

    #[test]
    fn a_sidecar_that_is_always_restarted_runs_as_long_as_the_pod() {
        let pod = json!({ "spec": {
            "initContainers": [{ "name": "istio-init" }, { "name": "istio-proxy", "restartPolicy": "Always" }],
            "containers": [{ "name": "mock" }],
        } });
        let read: Vec<_> =
            containers(&pod).into_iter().map(|(role, container)| (role, text(container, "/name"))).collect();
        assert_eq!(read, [(Role::Init, "istio-init"), (Role::Service, "istio-proxy"), (Role::Service, "mock")]);
    }
}
