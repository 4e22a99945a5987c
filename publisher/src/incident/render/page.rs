//! The report as one page: picture, facts and timeline of every service, for a browser or for paper.
//!
//! It loads nothing and runs nothing. It is well-formed XML too, so that other programs can take it apart.

use std::fmt::Write as _;

use super::incident::{Incident, Period, Service};
use super::markup::escaped;
use super::phrase::Tone;
use super::words::{clock, count, day, duration, of_proxies, percent, place};
use super::{picture, story, text};

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--dim:#626b75;--line:#d8dde3;--lane:#f5f7f9;--bad:#cf2f3d;--warn:#96600a;--good:#1f7a45}\
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e8ecf0;--dim:#9aa4af;--line:#343c46;--lane:#1c2229;--bad:#ff7a84;--warn:#f0b04a;--good:#58c98a}}\
@media print{:root{color-scheme:light;--paper:#fff;--ink:#1f2328;--dim:#626b75;--line:#d8dde3;--lane:#f5f7f9;--bad:#cf2f3d;--warn:#96600a;--good:#1f7a45}\
body{font-size:11px;padding:0}figure,tr,li{break-inside:avoid}h2,h3{break-after:avoid}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:1040px;padding:32px 24px;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
h1{font-size:1.55em;line-height:1.3;margin:.2em 0 .6em}h2{font-size:1.25em;margin:2em 0 .2em}h3{font-size:1em;margin:1.6em 0 .4em}\
p{margin:.3em 0}.dim{color:var(--dim)}.kicker{color:var(--dim);font-size:.85em;letter-spacing:.04em}\
dl{display:flex;flex-wrap:wrap;gap:12px 36px;margin:0;padding:14px 18px;background:var(--lane);border-radius:8px}dt{color:var(--dim);font-size:.85em}\
dd{margin:0;font-weight:600}figure{margin:14px 0;border:1px solid var(--line);border-radius:8px;overflow-x:auto}\
figure svg{display:block;width:100%;min-width:680px;height:auto}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9em}th,td{text-align:left;vertical-align:top;padding:5px 14px 5px 0;border-bottom:1px solid var(--line)}\
th{color:var(--dim);font-weight:500}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.t{font-variant-numeric:tabular-nums;white-space:nowrap}\
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:break-word}.bad{color:var(--bad)}.warning{color:var(--warn)}.good{color:var(--good)}.note{color:var(--dim)}\
td.l{font-weight:600;white-space:nowrap}td.p{white-space:nowrap}ol{padding-left:1.4em}li{margin:.5em 0}footer{margin-top:3em;color:var(--dim);font-size:.85em;border-top:1px solid var(--line);padding-top:10px}";

/// The page.
pub fn of(incident: &Incident) -> String {
    let mut html = String::new();
    let title = incident.first.map(|first| format!("Incident of {}", day(first)));
    let title = title.unwrap_or_else(|| "Nothing happened".to_owned());
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><header><p class=\"kicker\">{title}, told by faultline</p><h1>{}</h1>",
        escaped(&incident.headline)
    );
    facts(&mut html, incident);
    html.push_str("</header>\n<main>");
    for (index, service) in incident.services.iter().enumerate() {
        let _ = writeln!(html, "<figure>{}</figure>", picture::of(service, index));
    }
    looks(&mut html, incident);
    for service in &incident.services {
        service_part(&mut html, incident, service);
    }
    timeline(&mut html, incident);
    if !incident.gaps.is_empty() {
        html.push_str("<section><h2>What the logs do not hold</h2><ul>");
        for gap in &incident.gaps {
            let _ = write!(html, "<li>{}</li>", escaped(gap));
        }
        html.push_str("</ul></section>\n");
    }
    let _ = write!(
        html,
        "</main>\n<footer>Times are UTC. What is inferred follows from traffic by Envoy's own rules; what is witnessed, Envoy said. \
         Durations over several proxies are the time in which at least one saw it; requests are sums. faultline {}, from {} of {}.</footer></body></html>\n",
        env!("CARGO_PKG_VERSION"),
        count(incident.lines, "line"),
        escaped(&some_of(&incident.proxies))
    );
    html
}

fn facts(html: &mut String, incident: &Incident) {
    let (Some(first), Some(last)) = (incident.first, incident.last) else { return };
    let open = incident.services.iter().fold((0, 0, 0), |sum, service| {
        let open = service.open();
        (sum.0 + open.0, sum.1 + open.1, sum.2 + open.2)
    });
    let end = if day(first) == day(last) { clock(last) } else { format!("{} {}", day(last), clock(last)) };
    html.push_str("<dl>");
    for (name, value) in [
        ("First event (UTC)", format!("{} {}", day(first), clock(first))),
        ("Last event", end),
        ("From first to last", duration(last - first)),
        ("Still open", text::still_open(open)),
        ("Seen by", of_proxies(seen_by(incident), incident.proxies.len())),
        ("Events", incident.events.to_string()),
    ] {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(&value));
    }
    html.push_str("</dl>");
}

/// How many proxies told of any service.
fn seen_by(incident: &Incident) -> usize {
    incident.services.iter().flat_map(|service| &service.proxies).collect::<std::collections::BTreeSet<_>>().len()
}

fn looks(html: &mut String, incident: &Incident) {
    if incident.look_first.is_empty() {
        return;
    }
    html.push_str("<section><h2>What to look at first</h2><ol>");
    for look in &incident.look_first {
        let told = story::sentence(look, incident.proxies.len());
        let rest = told.strip_prefix(&look.endpoint).unwrap_or(&told);
        let _ = write!(html, "<li><code>{}</code>{}</li>", escaped(&look.endpoint), escaped(rest));
    }
    html.push_str("</ol></section>\n");
}

fn service_part(html: &mut String, incident: &Incident, service: &Service) {
    let seen = of_proxies(service.proxies.len(), incident.proxies.len());
    let _ = write!(
        html,
        "<section><h2>{}</h2><p class=\"dim\"><code>{}</code>, seen by {seen}</p><p>{}</p>",
        escaped(&service.name),
        escaped(&service.cluster),
        escaped(&if incident.services.len() > 1 { story::of_service(service) } else { String::new() }),
    );
    if !service.failovers.is_empty() || !service.outages.is_empty() {
        table(
            html,
            "Where the traffic went",
            &["From", "To", "Began", "#Lasted", "#Requests away", "#Errors away", "Ended", "#Proxies"],
        );
        for failover in &service.failovers {
            let leg = |leg: &super::incident::Leg| match leg.share {
                share if share > 0.0 => format!("{} ({})", place(&leg.to), percent(share)),
                _ => place(&leg.to).to_owned(),
            };
            let to: Vec<String> = failover.legs.iter().map(leg).collect();
            let told = |n: u64| if failover.ended > 0 { n.to_string() } else { "not told yet".to_owned() };
            let because: Vec<&str> = failover.because.iter().map(String::as_str).collect();
            row(
                html,
                &failover.period,
                &[
                    ("p", place(&failover.from).to_owned()),
                    ("", to.join(", then ")),
                    ("t", began(&failover.period)),
                    ("n", duration(failover.period.total)),
                    ("n", told(failover.requests_away)),
                    ("n", told(failover.errors_away)),
                    ("", if failover.period.open { "not yet".to_owned() } else { because.join(", ") }),
                ],
            );
        }
        for outage in &service.outages {
            row(
                html,
                &outage.period,
                &[
                    ("", "everywhere".to_owned()),
                    ("bad", "nowhere: no healthy endpoint".to_owned()),
                    ("t", began(&outage.period)),
                    ("n", duration(outage.period.total)),
                    ("n", String::new()),
                    ("n", String::new()),
                    ("", if outage.period.open { "not yet".to_owned() } else { "recovered".to_owned() }),
                ],
            );
        }
        html.push_str("</tbody></table></div>");
    }
    endpoints(html, service);
    html.push_str("</section>\n");
}

fn endpoints(html: &mut String, service: &Service) {
    if service.endpoints.is_empty() {
        return;
    }
    table(
        html,
        "Endpoints",
        &[
            "Endpoint",
            "Locality",
            "First trouble",
            "#Failures",
            "Last error",
            "#Ejected",
            "#Out for",
            "How known",
            "#Proxies",
        ],
    );
    for endpoint in &service.endpoints {
        let out = endpoint.ejections.iter().map(|ejection| ejection.period.total).sum();
        let open = if endpoint.ejections.iter().any(|ejection| ejection.period.open) { ", still out" } else { "" };
        let basis: std::collections::BTreeSet<&str> =
            endpoint.ejections.iter().flat_map(|ejection| &ejection.basis).map(String::as_str).collect();
        let workload = if endpoint.workload.is_empty() { String::new() } else { format!(" {}", endpoint.workload) };
        let blocked =
            if endpoint.blocked.is_empty() { String::new() } else { format!(" ({} blocked)", endpoint.blocked.len()) };
        let _ = write!(
            html,
            "<tr><td><code>{}</code>{}</td><td class=\"p\">{}</td><td class=\"t\">{}</td><td class=\"n\">{}</td><td>{}</td>\
             <td class=\"n\">{}{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td></tr>",
            escaped(&endpoint.address),
            escaped(&workload),
            escaped(place(&endpoint.locality)),
            clock(endpoint.first),
            endpoint.failures(),
            escaped(if endpoint.last_error.is_empty() { "not in the log" } else { &endpoint.last_error }),
            endpoint.ejections.len(),
            blocked,
            if endpoint.ejections.is_empty() { String::new() } else { format!("{}{open}", duration(out)) },
            escaped(&basis.into_iter().collect::<Vec<_>>().join(", ")),
            endpoint.proxies,
        );
    }
    html.push_str("</tbody></table></div>");
}

fn timeline(html: &mut String, incident: &Incident) {
    if incident.timeline.is_empty() {
        return;
    }
    html.push_str("<section><h2>What happened</h2><div class=\"wide\"><table><thead><tr><th>UTC</th><th>What</th><th>Service</th><th></th>");
    html.push_str("<th class=\"n\">Proxies</th></tr></thead><tbody>");
    let mut today = incident.first.map(day);
    for moment in &incident.timeline {
        if today.as_deref() != Some(&day(moment.at)) {
            today = Some(day(moment.at));
            let _ = write!(html, "<tr><th colspan=\"5\">{}</th></tr>", day(moment.at));
        }
        let tone = match moment.tone {
            Tone::Bad => "bad",
            Tone::Warning => "warning",
            Tone::Good => "good",
            Tone::Note => "note",
        };
        let _ = write!(
            html,
            "<tr><td class=\"t\">{}</td><td class=\"l {tone}\">{}</td><td>{}</td><td>{}</td><td class=\"n\" title=\"{}\">{}</td></tr>",
            clock(moment.at),
            moment.label,
            escaped(&moment.service),
            escaped(&moment.text),
            escaped(&some_of(&moment.proxies)),
            moment.proxies.len()
        );
    }
    html.push_str("</tbody></table></div></section>\n");
}

/// A table's beginning; a name with `#` before it is of a column of numbers.
fn table(html: &mut String, name: &str, columns: &[&str]) {
    let _ = write!(html, "<h3>{name}</h3><div class=\"wide\"><table><thead><tr>");
    for column in columns {
        let _ = match column.strip_prefix('#') {
            Some(column) => write!(html, "<th class=\"n\">{column}</th>"),
            None => write!(html, "<th>{column}</th>"),
        };
    }
    html.push_str("</tr></thead><tbody>");
}

fn row(html: &mut String, period: &Period, cells: &[(&str, String)]) {
    html.push_str("<tr>");
    for (class, cell) in cells {
        let _ = write!(html, "<td class=\"{class}\">{}</td>", escaped(cell));
    }
    let _ = write!(html, "<td class=\"n\">{}</td></tr>", period.proxies);
}

fn began(period: &Period) -> String {
    let earlier = if period.began_earlier { "before " } else { "" };
    format!("{earlier}{}", clock(period.span.from))
}

/// Names, of many only the first.
fn some_of(names: &[String]) -> String {
    match names {
        [] => "no proxy".to_owned(),
        few if few.len() <= 10 => few.join(", "),
        many => format!("{} and {} more", many[..10].join(", "), many.len() - 10),
    }
}
