//! Envoy's admin interface, as far as the filter asks it: rules and endpoints from `/config_dump`, hosts from
//! `/clusters`, counts from `/stats`; and every way in which an answer can be bad.

use crate::balancer::{Cluster, Host};
use serde_json::{Map, Value, json};

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// `/config_dump` for clusters.
    Rules,
    /// `/clusters`, with names or for all clusters.
    Hosts,
    /// `/config_dump` for endpoints.
    Endpoints,
    /// `/stats`.
    Counts,
}

/// Which Envoy answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Edition {
    /// 1.38 and later: `/clusters` lists the clusters that the question names.
    #[default]
    Names,
    /// Before: it lists all.
    ListsAll,
}

/// What replaces an answer.
#[derive(Clone, Debug)]
pub(crate) enum Bad {
    /// Another status, with a text.
    Status(u16),
    /// Another body.
    Body(Vec<u8>),
    /// The first half of the body.
    Cut,
    /// The body, and spaces up to this length.
    Padded(usize),
    /// None at all: the filter's timeout ends the question.
    Silence,
    /// The connection breaks.
    Reset,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Given(u16, Vec<u8>),
    None,
    Reset,
}

/// The interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admin {
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) edition: Edition,
    /// Whether the statistics have ejections; Istio's do not.
    pub(crate) counts_ejections: bool,
    pub(crate) bad: Vec<(Question, Bad)>,
    /// The longest regular expression that `name_regex` may be, in bytes, if there is a limit.
    pub(crate) longest_regex: Option<usize>,
    /// The questions so far, with the size of each answer.
    pub(crate) asked: Vec<(Question, String, usize)>,
}

impl Admin {
    /// The answer to a GET.
    pub(crate) fn answer(&mut self, path: &str) -> Answer {
        let (kind, status, body) = self.good_answer(path);
        let bad = self.bad.iter().find(|(question, _)| *question == kind).map(|(_, bad)| bad.clone());
        let answer = match bad {
            None => Answer::Given(status, body),
            Some(Bad::Status(status)) => Answer::Given(status, b"no".to_vec()),
            Some(Bad::Body(body)) => Answer::Given(200, body),
            Some(Bad::Cut) => Answer::Given(200, body[..body.len() / 2].to_vec()),
            Some(Bad::Padded(length)) => Answer::Given(200, [body, vec![b' '; length]].concat()),
            Some(Bad::Silence) => Answer::None,
            Some(Bad::Reset) => Answer::Reset,
        };
        let size = if let Answer::Given(_, body) = &answer { body.len() } else { 0 };
        self.asked.push((kind, path.to_owned(), size));
        answer
    }

    /// How often this was asked.
    pub(crate) fn times(&self, question: Question) -> usize {
        self.asked.iter().filter(|(asked, ..)| *asked == question).count()
    }

    /// The clusters whose rule was in no answer.
    pub(crate) fn clusters_without_rule(&self) -> Vec<&str> {
        let asked = self.asked.iter().filter(|(asked, ..)| *asked == Question::Rules);
        let names: Vec<String> =
            asked.filter_map(|(_, path, _)| path.split("name_regex=").nth(1)).map(percent_decoded).collect();
        let is_unread = |name: &&str| !names.iter().any(|regex| matches(regex, name));
        self.clusters.iter().map(|cluster| cluster.name.as_str()).filter(is_unread).collect()
    }

    fn good_answer(&self, path: &str) -> (Question, u16, Vec<u8>) {
        let (resource, query) = path.split_once('?').unwrap_or((path, ""));
        let parameter = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let regex = |name: &str| parameter(name).map(percent_decoded);
        match resource {
            "/clusters" => {
                let names = regex("filter").filter(|_| self.edition == Edition::Names);
                (Question::Hosts, 200, self.hosts(names.as_deref()))
            }
            "/stats" => (Question::Counts, 200, self.counts(&regex("filter").unwrap_or_default())),
            "/config_dump" => {
                let of = parameter("resource").unwrap_or_default();
                let names = regex("name_regex").unwrap_or_default();
                let kind = if of.ends_with("endpoint_configs") { Question::Endpoints } else { Question::Rules };
                if self.longest_regex.is_some_and(|longest| names.len() > longest) {
                    return (kind, 400, b"Error while parsing name_regex from /config_dump params".to_vec());
                }
                // All clusters come from a control plane.
                let body = if of.starts_with("static") { b"{}".to_vec() } else { self.dump(kind, &names) };
                (kind, 200, body)
            }
            other => panic!("the filter asked for {other}"),
        }
    }

    fn hosts(&self, names: Option<&str>) -> Vec<u8> {
        let wanted = |cluster: &&Cluster| names.is_none_or(|names| matches(names, &cluster.name));
        let list = |cluster: &Cluster| {
            let hosts: Vec<Value> = cluster.hosts.iter().map(host_status).collect();
            json!({ "name": cluster.name, "host_statuses": hosts })
        };
        let lists: Vec<Value> = self.clusters.iter().filter(wanted).map(list).collect();
        json!({ "cluster_statuses": lists }).to_string().into_bytes()
    }

    fn counts(&self, filter: &str) -> Vec<u8> {
        let stat = |cluster: &Cluster, reason: &str| {
            let name = format!("cluster.{};.outlier_detection.ejections_enforced_{reason}", cluster.name);
            json!({ "name": name, "value": cluster.ejections })
        };
        let counted =
            self.clusters.iter().filter(|cluster| self.counts_ejections && filter.contains(&escaped(cluster)));
        let stats = counted.flat_map(|cluster| ["consecutive_5xx", "total"].map(|reason| stat(cluster, reason)));
        json!({ "stats": stats.collect::<Vec<_>>() }).to_string().into_bytes()
    }

    fn dump(&self, kind: Question, names: &str) -> Vec<u8> {
        let wanted = self.clusters.iter().filter(|cluster| matches(names, &cluster.name));
        let configs: Vec<Value> = match kind {
            Question::Rules => wanted.map(rule).collect(),
            _ => wanted.map(endpoint_config).collect(),
        };
        if configs.is_empty() { b"{}".to_vec() } else { json!({ "configs": configs }).to_string().into_bytes() }
    }
}

fn rule(cluster: &Cluster) -> Value {
    let mut fields = json!({ "name": cluster.name, "common_lb_config": { "healthy_panic_threshold": {} } });
    if let Some(rule) = &cluster.rule {
        fields["outlier_detection"] = rule.clone();
    }
    json!({ "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.DynamicCluster", "cluster": fields })
}

fn host_status(host: &Host) -> Value {
    let mut health = json!({ "eds_health_status": host.eds });
    if host.ejected_until.is_some() {
        health["failed_outlier_check"] = json!(true);
    }
    let stat = |name: &str, value: u64| {
        // A count of zero has no value, as in protobuf's JSON.
        if value == 0 { json!({ "name": name }) } else { json!({ "name": name, "value": value.to_string() }) }
    };
    let mut status = Map::new();
    status.insert("address".into(), address(&host.address));
    status.insert("locality".into(), locality(&host.locality));
    status.insert("health_status".into(), health);
    let stats = [
        stat("rq_error", host.errors),
        stat("rq_success", host.successes),
        stat("rq_total", host.successes + host.errors),
    ];
    status.insert("stats".into(), json!(stats));
    if host.priority > 0 {
        status.insert("priority".into(), json!(host.priority));
    }
    for (name, value) in &host.more {
        status.insert((*name).into(), value.clone());
    }
    Value::Object(status)
}

fn endpoint_config(cluster: &Cluster) -> Value {
    let place = |host: &Host| {
        let health = if host.is_in_rotation() { "HEALTHY" } else { "UNHEALTHY" };
        json!({
            "locality": locality(&host.locality), "priority": host.priority,
            "lb_endpoints": [{ "endpoint": { "address": address(&host.address) }, "health_status": health }],
        })
    };
    let places: Vec<Value> = cluster.hosts.iter().map(place).collect();
    let factor = json!({ "overprovisioning_factor": 140 });
    json!({ "endpoint_config": { "cluster_name": cluster.name, "endpoints": places, "policy": factor } })
}

fn locality(text: &str) -> Value {
    let mut parts = text.split('/');
    json!({ "region": parts.next(), "zone": parts.next() })
}

fn address(text: &str) -> Value {
    if let Some(internal) = text.strip_prefix("envoy://") {
        let (listener, id) = internal.split_once('/').unwrap_or((internal, ""));
        return json!({ "envoy_internal_address": { "server_listener_name": listener, "endpoint_id": id } });
    }
    match text.rsplit_once(':') {
        Some((ip, port)) => {
            let (ip, port) = (ip.trim_matches(['[', ']']), port.parse::<u16>().unwrap_or(0));
            json!({ "socket_address": { "address": ip, "port_value": port } })
        }
        None => json!({ "pipe": { "path": text } }),
    }
}

/// Whether a regular expression of alternatives, each a literal name with escapes, has this name; or one that is a
/// literal beginning and `\C*`.
fn matches(regex: &str, name: &str) -> bool {
    if let Some(start) = regex.strip_suffix("\\C*") {
        return name.starts_with(&start.replace('\\', ""));
    }
    let regex = regex.trim_start_matches("^(").trim_end_matches(")$");
    let (mut names, mut current, mut is_escaped) = (Vec::new(), String::new(), false);
    for character in regex.chars() {
        match character {
            '\\' if !is_escaped => is_escaped = true,
            '|' if !is_escaped => names.push(std::mem::take(&mut current)),
            other => {
                current.push(other);
                is_escaped = false;
            }
        }
    }
    names.push(current);
    names.iter().any(|known| known == name)
}

/// The cluster's name as the filter writes it in a regular expression.
fn escaped(cluster: &Cluster) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    cluster.name.chars().map(|c| if plain(c) { c.to_string() } else { format!("\\{c}") }).collect()
}

fn percent_decoded(text: &str) -> String {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
