//! A module's metrics as `/stats/prometheus` shows them, with tags extracted as in Istio's bootstrap.
//!
//! Every tag `t` is one extractor `(t=\.=(.*?);\.;)`: the first match anywhere in the stat name is cut out and its
//! value becomes a label. Every extractor searches the whole name, and the search is not anchored: tag `name` also
//! matches inside `cluster_name=.=…`. Histograms are left out: Envoy shows approximations of them, and only after a
//! flush.

use crate::stats::{Metric, MetricKind};
use std::fmt::Write;

/// The exposition text. Families are sorted by name, series by stat name; labels follow the order of `tags`.
pub(crate) fn render(metrics: &[Metric], tags: &[&str]) -> String {
    let mut series: Vec<(MetricKind, String, &Metric, String)> = metrics
        .iter()
        .filter(|metric| metric.kind != MetricKind::Histogram)
        .filter_map(|metric| {
            let (name, labels) = extract(&metric.name, tags);
            // A custom name is shown unchanged, without `envoy_`, but only if Prometheus allows its first character.
            let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            let name = sanitise(&name);
            starts_well.then_some((metric.kind, name, metric, labels))
        })
        .collect();
    series.sort_by(|a, b| (a.0, &a.1, &a.2.name).cmp(&(b.0, &b.1, &b.2.name)));

    let mut out = String::new();
    let mut family = None;
    for (kind, name, metric, labels) in &series {
        if family != Some((kind, name)) {
            let word = match kind {
                MetricKind::Counter => "counter",
                _ => "gauge",
            };
            let _ = writeln!(out, "# TYPE {name} {word}");
            family = Some((kind, name));
        }
        let _ = writeln!(out, "{name}{{{labels}}} {}", metric.value);
    }
    out
}

/// The name without its tags, and the labels as they are printed.
fn extract(stat: &str, tags: &[&str]) -> (String, String) {
    let mut labels = Vec::new();
    let mut cuts: Vec<std::ops::Range<usize>> = Vec::new();
    for tag in tags {
        let opening = format!("{tag}=.=");
        let Some(start) = stat.find(&opening) else { continue };
        let from = start + opening.len();
        let Some(length) = stat[from..].find(";.;") else { continue };
        let value = &stat[from..from + length];
        let value = value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
        labels.push(format!("{}=\"{value}\"", sanitise(tag)));
        cuts.push(start..from + length + 3);
    }
    let kept = stat.char_indices().filter(|(at, _)| !cuts.iter().any(|cut| cut.contains(at)));
    (kept.map(|(_, c)| c).collect(), labels.join(","))
}

fn sanitise(name: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // As in Envoy, byte by byte: a character of several bytes becomes several underscores.
    name.chars().map(|c| if safe(c) { c.to_string() } else { "_".repeat(c.len_utf8()) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(kind: MetricKind, name: &str, value: u64) -> Metric {
        Metric { name: name.into(), kind, value, samples: Vec::new() }
    }

    #[test]
    fn listed_tags_become_labels_and_the_rest_stays_in_the_name() {
        let stat = "cluster_name=.=outbound|80||a.b.svc.cluster.local;.;upstream_host=.=10.0.0.1:80;.;probe_kv_total";
        let plain = "cluster_name___outbound_80__a_b_svc_cluster_local___upstream_host___10_0_0_1_80___probe_kv_total";
        let metrics = [metric(MetricKind::Counter, stat, 3)];
        assert_eq!(
            render(&metrics, &["upstream_host", "cluster_name"]),
            "# TYPE probe_kv_total counter\n\
             probe_kv_total{upstream_host=\"10.0.0.1:80\",cluster_name=\"outbound|80||a.b.svc.cluster.local\"} 3\n"
        );
        assert_eq!(render(&metrics, &[]), format!("# TYPE {plain} counter\n{plain}{{}} 3\n"));
    }

    #[test]
    fn one_family_one_type_line_and_names_that_start_with_a_digit_are_dropped() {
        let metrics = [
            metric(MetricKind::Gauge, "zone=.=b;.;active", 1),
            metric(MetricKind::Gauge, "zone=.=a\"q;.;active", 2),
            metric(MetricKind::Counter, "5xx_total", 9),
            metric(MetricKind::Histogram, "latency", 9),
        ];
        assert_eq!(
            render(&metrics, &["zone"]),
            "# TYPE active gauge\nactive{zone=\"a\\\"q\"} 2\nactive{zone=\"b\"} 1\n"
        );
    }

    #[test]
    fn the_search_for_a_tag_is_not_anchored() {
        let metrics = [metric(MetricKind::Counter, "cluster_name=.=v;.;hits", 1)];
        assert!(render(&metrics, &["name"]).contains("cluster_hits{name=\"v\"} 1"));
    }
}
