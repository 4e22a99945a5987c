//! What the shipped admission policy lets the controller change in a pod: what a bypass and a restore need, and nothing
//! else. Its expressions are evaluated as an API server does, variables first.

use std::path::PathBuf;
use std::sync::Arc;

use cel::{Context, Env, Program};
use serde_json::{Map, Value, json};

const CONTROLLER: &str = "system:serviceaccount:faultline-hot-switch:hot-switch-controller";
const STAND_IN: &str = "registry.example.com/faultline/hot-switch@sha256:5ta4d";
const REAL: &str = "docker.io/istio/proxyv2:1.30.3";
const TLS: &str = "security.istio.io/tlsMode";
const TUNNEL: &str = "networking.istio.io/tunnel";

/// The full name of one of hot-switch's annotations.
fn own(name: &str) -> String {
    format!("hot-switch.faultline.dev/{name}")
}

/// The documents of a manifest.
fn documents(file: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/hot-switch").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).expect("it is YAML")
}

/// A change of a pod by an account.
#[derive(Clone)]
struct Change {
    /// Which of the policies is asked.
    policy: &'static str,
    user: Value,
    space: Value,
    old: Value,
    new: Value,
}

impl Change {
    /// What an expression of the policy sees.
    fn context(&self, variables: &Map<String, Value>) -> Context<'static, 'static> {
        let mut context = Context::with_env(Arc::new(Env::stdlib()));
        let space = json!({"metadata": {"name": "shop", "annotations": self.space}});
        let all = [
            ("request", json!({"userInfo": self.user})),
            ("object", self.new.clone()),
            ("oldObject", self.old.clone()),
            ("namespaceObject", space),
            ("variables", Value::Object(variables.clone())),
        ];
        for (name, value) in all {
            context.add_variable(name, value).expect("any JSON is a value");
        }
        context
    }

    fn evaluate(&self, expression: &str, variables: &Map<String, Value>) -> cel::Value {
        let program: Program = Env::stdlib().compile(expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
        program.execute(&self.context(variables)).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn holds(&self, expression: &str, variables: &Map<String, Value>) -> bool {
        match self.evaluate(expression, variables) {
            cel::Value::Bool(held) => held,
            other => panic!("{expression}: {other:?} is no answer"),
        }
    }

    /// The messages with which the API server denies it; none: it is allowed.
    fn denied(&self) -> Vec<String> {
        let is_it = |it: &Value| it["kind"] == "ValidatingAdmissionPolicy" && it["metadata"]["name"] == self.policy;
        let policy = documents("admission.yaml").into_iter().find(is_it).expect("there is one");
        let list = |name: &str| policy["spec"][name].as_array().cloned().unwrap_or_default();
        let text = |value: &Value, name: &str| value[name].as_str().expect("it is text").to_owned();
        let mut variables = Map::new();
        if !list("matchConditions").iter().all(|it| self.holds(&text(it, "expression"), &variables)) {
            return Vec::new();
        }
        for variable in list("variables") {
            // As kustomize does, from the ConfigMap.
            let expression = text(&variable, "expression").replace("set-by-kustomization", STAND_IN);
            let value = self.evaluate(&expression, &variables);
            variables.insert(text(&variable, "name"), value.json().expect("values of JSON stay JSON"));
        }
        let denies = |it: &Value| !self.holds(&text(it, "expression"), &variables);
        list("validations").iter().filter(|it| denies(it)).map(|it| text(it, "message")).collect()
    }
}

/// A pod with a sidecar whose owner consented.
fn pod() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "labels": {"app": "web", TLS: "istio"},
            "annotations": {own("mode"): "act"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "1"}],
        },
        "spec": {
            "containers": [{"name": "web", "image": "shop/web:1"}, {"name": "istio-proxy", "image": REAL}],
            "tolerations": [{"operator": "Exists", "key": "node.kubernetes.io/not-ready"}],
        },
    })
}

/// The pod in a bypass: told to callers, and with the stand-in.
fn bypassed() -> Value {
    let mut pod = pod();
    pod["metadata"]["labels"][TLS] = json!("disabled");
    pod["spec"]["containers"][1]["image"] = json!(STAND_IN);
    let notes = [
        ("granted-at", "2026-11-28T12:00:00Z"),
        ("why", "dead"),
        ("original-image", REAL),
        ("original-tls-mode", "istio"),
    ];
    for (name, value) in notes {
        pod["metadata"]["annotations"][own(name)] = json!(value);
    }
    pod
}

/// A change by the controller.
fn by_controller(old: Value, edit: impl Fn(&mut Value)) -> Change {
    let mut new = old.clone();
    edit(&mut new);
    Change { policy: "faultline-hot-switch", user: json!({"username": CONTROLLER}), space: json!({}), old, new }
}

fn allowed(what: &str, change: &Change) {
    let denied = change.denied();
    assert!(denied.is_empty(), "{what} is denied: {denied:?}");
}

fn denied(what: &str, change: &Change, why: &str) {
    let denied = change.denied();
    assert!(denied.iter().any(|message| message.contains(why)), "{what}: {denied:?}");
}

fn remove(value: &mut Value, name: &str) {
    value.as_object_mut().expect("an object").remove(name);
}

#[test]
fn every_step_of_a_bypass_is_allowed() {
    let told = |pod: &mut Value| {
        pod["metadata"]["labels"][TLS] = json!("disabled");
        pod["metadata"]["annotations"][own("granted-at")] = json!("2026-11-28T12:00:00Z");
        pod["metadata"]["annotations"][own("why")] = json!("dead");
        pod["metadata"]["annotations"][own("original-tls-mode")] = json!("istio");
    };
    let first = by_controller(pod(), told);
    allowed("the label", &first);
    let stand_in = |pod: &mut Value| {
        pod["spec"]["containers"][1]["image"] = json!(STAND_IN);
        pod["metadata"]["annotations"][own("original-image")] = json!(REAL);
    };
    allowed("the stand-in", &by_controller(first.new, stand_in));
    allowed("both at once", &by_controller(pod(), |pod| (told(pod), stand_in(pod)).0));
    let mut native = pod();
    native["spec"]["initContainers"] = json!([{"name": "istio-proxy", "image": REAL, "restartPolicy": "Always"}]);
    native["spec"]["containers"] = json!([{"name": "web", "image": "shop/web:1"}]);
    let stand_in = |pod: &mut Value| {
        pod["spec"]["initContainers"][0]["image"] = json!(STAND_IN);
        pod["metadata"]["annotations"][own("original-image")] = json!(REAL);
    };
    allowed("the stand-in of a native sidecar", &by_controller(native, stand_in));
}

#[test]
fn the_owner_of_the_namespace_may_consent_for_its_pods() {
    let mut old = pod();
    remove(&mut old["metadata"]["annotations"], &own("mode"));
    let edit = |pod: &mut Value| {
        pod["metadata"]["labels"][TLS] = json!("disabled");
        pod["metadata"]["annotations"][own("original-tls-mode")] = json!("istio");
    };
    let change = by_controller(old, edit);
    denied("without any consent", &change, "mode is act");
    allowed("with the namespace's", &Change { space: json!({own("mode"): "act"}), ..change });
}

#[test]
fn every_step_of_a_restore_is_allowed_even_if_the_owner_has_changed_their_mind() {
    for mode in ["act", "report", "off"] {
        let mut old = bypassed();
        old["metadata"]["annotations"][own("mode")] = json!(mode);
        let image = by_controller(old, |pod| pod["spec"]["containers"][1]["image"] = json!(REAL));
        allowed("the image", &image);
        let label = |pod: &mut Value| pod["metadata"]["labels"][TLS] = json!("istio");
        let forget = |pod: &mut Value| {
            for name in ["granted-at", "why", "original-image", "original-tls-mode"] {
                remove(&mut pod["metadata"]["annotations"], &own(name));
            }
        };
        let label = by_controller(image.new.clone(), label);
        allowed("the label", &label);
        allowed("the notes", &by_controller(label.new, forget));
    }
}

#[test]
fn the_real_image_may_be_tried_and_given_up_again() {
    let tried = by_controller(bypassed(), |pod| pod["spec"]["containers"][1]["image"] = json!(REAL));
    allowed("the real image", &tried);
    let again = by_controller(tried.new, |pod| pod["spec"]["containers"][1]["image"] = json!(STAND_IN));
    allowed("the stand-in again", &again);
}

#[test]
fn a_pod_with_the_stand_in_of_an_older_release_is_restored() {
    let mut old = bypassed();
    old["spec"]["containers"][1]["image"] = json!("registry.example.com/faultline/hot-switch@sha256:01d");
    allowed("the image back", &by_controller(old.clone(), |pod| pod["spec"]["containers"][1]["image"] = json!(REAL)));
    let forget = |pod: &mut Value| remove(&mut pod["metadata"]["annotations"], &own("original-image"));
    denied("the image forgotten", &by_controller(old, forget), "stays until");
}

#[test]
fn a_pod_without_the_label_is_bypassed_without_it() {
    let mut old = pod();
    remove(&mut old["metadata"]["labels"], TLS);
    let granted = by_controller(old.clone(), |pod| {
        pod["metadata"]["annotations"][own("granted-at")] = json!("7");
        pod["metadata"]["annotations"][own("why")] = json!("proxy_dead");
    });
    allowed("the grant", &granted);
    allowed("its end", &by_controller(granted.new, |pod| *pod = old.clone()));
    let labelled = by_controller(old.clone(), |pod| {
        pod["metadata"]["labels"][TLS] = json!("disabled");
        pod["metadata"]["annotations"][own("original-tls-mode")] = json!("");
    });
    denied("a label that was not there", &labelled, "where there is one");
}

#[test]
fn the_tunnel_goes_and_comes_back_with_the_bypass_only() {
    let mut old = pod();
    old["metadata"]["labels"][TUNNEL] = json!("http");
    let gone = by_controller(old.clone(), |pod| {
        remove(&mut pod["metadata"]["labels"], TUNNEL);
        pod["metadata"]["labels"][TLS] = json!("disabled");
        pod["metadata"]["annotations"][own("original-tls-mode")] = json!("istio");
        pod["metadata"]["annotations"][own("original-tunnel")] = json!("http");
    });
    allowed("the tunnel away", &gone);
    allowed("all back", &by_controller(gone.new.clone(), |pod| *pod = old.clone()));
    let tunnel = "original-tunnel";
    let lost = by_controller(gone.new.clone(), |pod| remove(&mut pod["metadata"]["annotations"], &own(tunnel)));
    denied("the record forgotten", &lost, tunnel);
    let other = by_controller(gone.new.clone(), |pod| pod["metadata"]["annotations"][own(tunnel)] = json!("x"));
    denied("another record", &other, tunnel);
    let changed = by_controller(gone.new, |pod| pod["metadata"]["labels"][TUNNEL] = json!("x"));
    denied("back to something else", &changed, "what was recorded");
    let unsaid = by_controller(old.clone(), |pod| remove(&mut pod["metadata"]["labels"], TUNNEL));
    denied("away without a record", &unsaid, tunnel);
    let given = by_controller(pod(), |pod| pod["metadata"]["labels"][TUNNEL] = json!("http"));
    denied("a tunnel that was never there", &given, "what was recorded");
    old["metadata"]["annotations"][own("mode")] = json!("report");
    let begun = by_controller(old, |pod| {
        remove(&mut pod["metadata"]["labels"], TUNNEL);
        pod["metadata"]["annotations"][own("original-tunnel")] = json!("http");
    });
    denied("without consent", &begun, "mode is act");
}

#[test]
fn an_agent_writes_the_lease_of_its_own_node_only() {
    let agent = "system:serviceaccount:faultline-hot-switch:hot-switch-agent";
    let write = |name: &str, user: Value| Change {
        policy: "faultline-hot-switch-agent",
        user,
        space: json!({}),
        old: Value::Null,
        new: json!({"kind": "Lease", "metadata": {"name": name}}),
    };
    let on = |node: &str| json!({"username": agent, "extra": {"authentication.kubernetes.io/node-name": [node]}});
    let own = "own node only";
    allowed("its own", &write("n1", on("n1")));
    denied("another's", &write("n2", on("n1")), own);
    denied("the controllers'", &write("hot-switch-controller", on("n1")), own);
    denied("that of a node with their name", &write("hot-switch-controller", on("hot-switch-controller")), "leads");
    denied("by a token that names no node", &write("n1", json!({"username": agent})), own);
    let extra = json!({"username": agent, "extra": {"authentication.kubernetes.io/pod-name": ["n1"]}});
    denied("by a token of something else", &write("n1", extra), own);
    allowed("the controller's answer", &write("n2", json!({"username": CONTROLLER})));
}

#[test]
fn no_other_image_gets_into_a_pod() {
    let image = "only the image of istio-proxy";
    let container =
        |index: usize, to: &'static str| move |pod: &mut Value| pod["spec"]["containers"][index]["image"] = json!(to);
    denied("the application's", &by_controller(pod(), container(0, "evil:1")), image);
    denied("the application's, the stand-in", &by_controller(pod(), container(0, STAND_IN)), image);
    denied("a foreign one", &by_controller(pod(), container(1, "evil:1")), image);
    denied("back to something else", &by_controller(bypassed(), container(1, "evil:1")), image);
    let other_digest = "registry.example.com/faultline/hot-switch@sha256:07e2";
    denied("another digest of the stand-in", &by_controller(pod(), container(1, other_digest)), image);
    denied("the stand-in, nothing recorded", &by_controller(pod(), container(1, STAND_IN)), "recorded");
    let init = by_controller(pod(), |pod| pod["spec"]["initContainers"] = json!([{"name": "x", "image": "evil:1"}]));
    denied("a container more", &init, image);
}

#[test]
fn no_false_record_is_made() {
    let note = |name: &'static str, to: &'static str| {
        move |pod: &mut Value| pod["metadata"]["annotations"][own(name)] = json!(to)
    };
    denied("an image that is not there", &by_controller(pod(), note("original-image", "evil:1")), "original-image");
    denied("another image, later", &by_controller(bypassed(), note("original-image", "evil:1")), "original-image");
    denied(
        "the stand-in as the original",
        &by_controller(bypassed(), note("original-image", STAND_IN)),
        "original-image",
    );
    denied("a label that is not there", &by_controller(pod(), note("original-tls-mode", "other")), "original-tls-mode");
    let forget = |name: &'static str| move |pod: &mut Value| remove(&mut pod["metadata"]["annotations"], &own(name));
    denied("the image forgotten", &by_controller(bypassed(), forget("original-image")), "recorded");
    denied("the label forgotten", &by_controller(bypassed(), forget("original-tls-mode")), "original-tls-mode");
    let unsaid = by_controller(pod(), |pod| pod["metadata"]["labels"][TLS] = json!("disabled"));
    denied("the label, nothing recorded", &unsaid, "original-tls-mode");
}

#[test]
fn no_other_label_or_annotation_is_touched() {
    let labels = "only the labels";
    denied("another label", &by_controller(pod(), |pod| pod["metadata"]["labels"]["app"] = json!("bank")), labels);
    denied("a new label", &by_controller(pod(), |pod| pod["metadata"]["labels"]["x"] = json!("y")), labels);
    denied("a label away", &by_controller(pod(), |pod| remove(&mut pod["metadata"]["labels"], "app")), labels);
    let odd = by_controller(pod(), |pod| pod["metadata"]["labels"][TLS] = json!("custom"));
    denied("another mode", &odd, "tlsMode only");
    let away = by_controller(pod(), |pod| remove(&mut pod["metadata"]["labels"], TLS));
    denied("the mode away", &away, "tlsMode only");
    let notes = "own annotations";
    for name in ["mode", "directions", "allow-unprotected"] {
        let change = by_controller(pod(), |pod| pod["metadata"]["annotations"][own(name)] = json!("true"));
        denied("a consent of its own", &change, notes);
    }
    let foreign =
        by_controller(pod(), |pod| pod["metadata"]["annotations"]["sidecar.istio.io/inject"] = json!("false"));
    denied("another's annotation", &foreign, notes);
    denied(
        "consent away",
        &by_controller(pod(), |pod| remove(&mut pod["metadata"]["annotations"], &own("mode"))),
        notes,
    );
}

#[test]
fn what_else_a_patch_could_do_is_denied() {
    let rest = "no owner";
    denied("a finalizer", &by_controller(pod(), |pod| pod["metadata"]["finalizers"] = json!(["x/y"])), rest);
    denied("no owner", &by_controller(pod(), |pod| remove(&mut pod["metadata"], "ownerReferences")), rest);
    denied("a deadline", &by_controller(pod(), |pod| pod["spec"]["activeDeadlineSeconds"] = json!(1)), rest);
    denied(
        "a toleration",
        &by_controller(pod(), |pod| pod["spec"]["tolerations"] = json!([{"operator": "Exists"}])),
        rest,
    );
}

#[test]
fn some_pods_are_never_touched() {
    let edit = |pod: &mut Value| {
        pod["metadata"]["labels"][TLS] = json!("disabled");
        pod["metadata"]["annotations"][own("original-tls-mode")] = json!("istio");
    };
    for namespace in ["kube-system", "istio-system", "faultline-hot-switch"] {
        let mut old = pod();
        old["metadata"]["namespace"] = json!(namespace);
        denied(namespace, &by_controller(old, edit), "namespaces of the system");
    }
    let kinds = "only pods with a container istio-proxy";
    let mut old = pod();
    old["spec"]["containers"] = json!([{"name": "web", "image": "shop/web:1"}]);
    denied("no sidecar", &by_controller(old, edit), kinds);
    let mut old = pod();
    old["spec"]["hostNetwork"] = json!(true);
    denied("the node's network", &by_controller(old, edit), kinds);
    let mut old = pod();
    old["metadata"]["annotations"]["ambient.istio.io/redirection"] = json!("enabled");
    denied("ambient", &by_controller(old, edit), kinds);
    for mode in ["off", "report", "Act"] {
        let mut old = pod();
        old["metadata"]["annotations"][own("mode")] = json!(mode);
        denied(mode, &by_controller(old, edit), "mode is act");
    }
}

#[test]
fn nobody_else_is_fenced_in() {
    let change = by_controller(pod(), |pod| pod["spec"]["containers"][0]["image"] = json!("shop/web:2"));
    allowed("a person's change", &Change { user: json!({"username": "system:admin"}), ..change });
}
