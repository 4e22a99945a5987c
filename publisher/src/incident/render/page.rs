//! The report as one page: picture, facts and timeline of every service, for a browser or for paper.
//!
//! It loads nothing and runs nothing. It is well-formed XML too, so that other programs can take it apart.

use std::fmt::Write as _;

use crate::incident::fleet::Fleet;
use crate::incident::view::{EndpointView, PeriodView, ServiceView, Tone, View};

use super::markup::escaped;
use super::picture;
use crate::incident::wording::fleet;

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--dim:#626b75;--line:#d8dde3;--lane:#f5f7f9;--bad:#cf2f3d;\
--warn:#96600a;--good:#1f7a45}\
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e8ecf0;--dim:#9aa4af;--line:#343c46;--lane:#1c2229;\
--bad:#ff7a84;--warn:#f0b04a;--good:#58c98a}}\
@media print{:root{color-scheme:light;--paper:#fff;--ink:#1f2328;--dim:#626b75;--line:#d8dde3;--lane:#f5f7f9;\
--bad:#cf2f3d;--warn:#96600a;--good:#1f7a45}\
body{font-size:11px;padding:0}figure,tr,li{break-inside:avoid}h2,h3{break-after:avoid}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:1040px;padding:32px 24px;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
h1{font-size:1.55em;line-height:1.3;margin:.2em 0 .6em}h2{font-size:1.25em;margin:2em 0 .2em}h3{font-size:1em;\
margin:1.6em 0 .4em}\
p{margin:.3em 0}.dim{color:var(--dim)}.kicker{color:var(--dim);font-size:.85em;letter-spacing:.04em}\
dl{display:flex;flex-wrap:wrap;gap:12px 36px;margin:0;padding:14px 18px;background:var(--lane);border-radius:8px}\
dt{color:var(--dim);font-size:.85em}\
dd{margin:0;font-weight:600}figure{margin:14px 0;border:1px solid var(--line);border-radius:8px;overflow-x:auto}\
figure svg{display:block;width:100%;min-width:680px;height:auto}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9em}th,td{text-align:left;\
vertical-align:top;padding:5px 14px 5px 0;border-bottom:1px solid var(--line)}\
th{color:var(--dim);font-weight:500}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
td.t{font-variant-numeric:tabular-nums;white-space:nowrap}\
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:break-word}.bad{color:var(--bad)}\
.warning{color:var(--warn)}.good{color:var(--good)}.note{color:var(--dim)}\
td.l{font-weight:600;white-space:nowrap}td.p{white-space:nowrap}ol{padding-left:1.4em}li{margin:.5em 0}\
footer{margin-top:3em;color:var(--dim);font-size:.85em;border-top:1px solid var(--line);padding-top:10px}";

/// A column of a table.
enum Column {
    Text(&'static str),
    Number(&'static str),
}

use Column::{Number, Text};

const TRAFFIC_COLUMNS: [Column; 9] = [
    Text("From"),
    Text("To"),
    Text("Endpoints at home"),
    Text("Began"),
    Number("Lasted"),
    Number("Requests away"),
    Number("Errors away"),
    Text("Ended"),
    Number("Proxies"),
];

const ENDPOINT_COLUMNS: [Column; 9] = [
    Text("Endpoint"),
    Text("Locality"),
    Text("First trouble"),
    Number("Failures"),
    Text("Last error"),
    Number("Ejected"),
    Number("Out for"),
    Text("How known"),
    Number("Proxies"),
];

/// The page; with a fleet's numbers where it is one.
pub(crate) fn report(view: &View<'_>, of_fleet: Option<&Fleet>) -> String {
    let mut html = String::new();
    let title = &view.title;
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><title>{title}</title><style>{STYLE}\
         </style></head>\n\
         <body><header><p class=\"kicker\">{title}, told by faultline</p><h1>{}</h1>",
        escaped(&view.headline)
    );
    facts(&mut html, view);
    html.push_str("</header>\n<main>");
    if let Some(going_on) = &view.going_on {
        list(&mut html, &going_on.heading, &going_on.sentences);
    }
    if let Some(of_fleet) = of_fleet {
        fleet_section(&mut html, of_fleet);
    }
    for (index, service) in view.services.iter().enumerate() {
        let _ = writeln!(html, "<figure>{}</figure>", picture::of(service, index, view.clock));
    }
    suspects(&mut html, view);
    list(&mut html, "Proxies that failed, and hot-switch", &view.bypasses);
    for service in &view.services {
        service_section(&mut html, view, service);
    }
    timeline(&mut html, view);
    list(&mut html, "What the logs do not hold", &view.gaps);
    let _ = write!(
        html,
        "</main>\n<footer>Times are UTC. What is inferred follows from traffic by Envoy's own rules; what is \
         witnessed, Envoy said. Durations over several proxies are the time in which at least one saw it; requests are \
         sums. faultline {}, from {}.</footer></body></html>\n",
        env!("CARGO_PKG_VERSION"),
        escaped(&view.source)
    );
    html
}

/// A fleet's picture and its incidents.
fn fleet_section(html: &mut String, of: &Fleet) {
    let Some(drawn) = picture::fleet::of(of) else { return };
    let _ = writeln!(html, "<figure>{drawn}</figure>");
    html.push_str("<section><h2>By service and Kubernetes cluster, hit worst first</h2><ul>");
    let (incidents, more) = fleet::incidents(of, true);
    for told in incidents {
        let _ = write!(html, "<li><b>{}</b>", escaped(&told.heading));
        for line in &told.lines {
            let _ = write!(html, "<br/>{}", escaped(line));
        }
        if !told.link.is_empty() {
            let _ = write!(html, "<br/><a href=\"{}\">Its events in the engine</a>", escaped(told.link));
        }
        html.push_str("</li>");
    }
    html.push_str("</ul>");
    for said in more.iter().map(String::as_str).chain([fleet::audience(of)]) {
        let _ = write!(html, "<p class=\"dim\">{}</p>", escaped(said));
    }
    html.push_str("</section>\n");
}

fn facts(html: &mut String, view: &View<'_>) {
    let Some(times) = &view.times else { return };
    html.push_str("<dl>");
    for (name, value) in [
        ("First event (UTC)", &times.first),
        ("Last event", &times.last),
        ("From first to last", &times.lasted),
        ("Still open", &view.still_open),
        ("Seen by", &view.seen_by),
        ("Events", &view.events),
    ] {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", escaped(value));
    }
    html.push_str("</dl>");
}

fn suspects(html: &mut String, view: &View<'_>) {
    if view.suspects.is_empty() {
        return;
    }
    html.push_str("<section><h2>What to look at first</h2><ol>");
    for suspect in &view.suspects {
        let (endpoint, sentence) = (escaped(suspect.endpoint), escaped(&suspect.sentence));
        let _ = write!(html, "<li><code>{endpoint}</code> {sentence}</li>");
    }
    html.push_str("</ol></section>\n");
}

/// A section of sentences, if there are any.
fn list(html: &mut String, heading: &str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    let _ = write!(html, "<section><h2>{heading}</h2><ul>");
    for sentence in sentences {
        let _ = write!(html, "<li>{}</li>", escaped(sentence));
    }
    html.push_str("</ul></section>\n");
}

fn service_section(html: &mut String, view: &View<'_>, of: &ServiceView<'_>) {
    let _ = write!(
        html,
        "<section><h2>{}</h2><p class=\"dim\"><code>{}</code>, seen by {}</p><p>{}</p>",
        escaped(&of.service.name),
        escaped(&of.service.cluster),
        of.seen_by,
        // Of the only service, the headline has said it.
        escaped(if view.services.len() > 1 { &of.summary } else { "" }),
    );
    traffic(html, of);
    endpoints(html, of);
    html.push_str("</section>\n");
}

fn traffic(html: &mut String, view: &ServiceView<'_>) {
    if view.failovers.is_empty() && view.outages.is_empty() {
        return;
    }
    table(html, "Where the traffic went", &TRAFFIC_COLUMNS);
    for failover in &view.failovers {
        let route = [("p", failover.from), ("", failover.to.as_str()), ("", failover.cause.as_str())];
        traffic_row(html, route, &failover.period, [&failover.requests_away, &failover.errors_away]);
    }
    for outage in &view.outages {
        let route = [("", "everywhere"), ("bad", "nowhere: no healthy endpoint"), ("", "")];
        traffic_row(html, route, &outage.period, ["", ""]);
    }
    html.push_str("</tbody></table></div>");
}

/// A row of the table of traffic; `route` is from, to and why, each with its class.
fn traffic_row(html: &mut String, route: [(&str, &str); 3], period: &PeriodView, counts: [&str; 2]) {
    html.push_str("<tr>");
    let times = [("t", period.began.as_str()), ("n", &period.lasted)];
    let end = [("n", counts[0]), ("n", counts[1]), ("", &period.ended)];
    for (class, cell) in route.into_iter().chain(times).chain(end) {
        let _ = write!(html, "<td class=\"{class}\">{}</td>", escaped(cell));
    }
    let _ = write!(html, "<td class=\"n\">{}</td></tr>", period.proxies);
}

fn endpoints(html: &mut String, view: &ServiceView<'_>) {
    if view.service.endpoints.is_empty() {
        return;
    }
    table(html, "Endpoints", &ENDPOINT_COLUMNS);
    for endpoint in view.localities.iter().flat_map(|locality| &locality.endpoints) {
        endpoint_row(html, endpoint);
    }
    html.push_str("</tbody></table></div>");
}

fn endpoint_row(html: &mut String, view: &EndpointView<'_>) {
    let endpoint = view.endpoint;
    let workload = if endpoint.workload.is_empty() { String::new() } else { format!(" {}", endpoint.workload) };
    let _ = write!(
        html,
        "<tr><td><code>{}</code>{}</td><td class=\"p\">{}</td><td class=\"t\">{}</td><td class=\"n\">{}</td><td>{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td></tr>",
        escaped(&endpoint.address),
        escaped(&workload),
        escaped(view.locality),
        view.first,
        view.failures,
        escaped(&view.last_error),
        view.ejected,
        view.out_for,
        escaped(&view.basis),
        endpoint.proxies,
    );
}

fn timeline(html: &mut String, view: &View<'_>) {
    if view.timeline.is_empty() {
        return;
    }
    html.push_str(
        "<section><h2>What happened</h2><div class=\"wide\"><table><thead><tr><th>UTC</th><th>What</th><th>\
         Service</th><th></th>",
    );
    html.push_str("<th class=\"n\">Proxies</th></tr></thead><tbody>");
    for moment in &view.timeline {
        if let Some(day) = &moment.new_day {
            let _ = write!(html, "<tr><th colspan=\"5\">{day}</th></tr>");
        }
        let tone = match moment.phrase.tone {
            Tone::Bad => "bad",
            Tone::Warning => "warning",
            Tone::Good => "good",
            Tone::Note => "note",
        };
        let _ = write!(
            html,
            "<tr><td class=\"t\">{}</td><td class=\"l {tone}\">{}</td><td>{}</td><td>{}</td><td class=\"n\" \
             title=\"{}\">{}</td></tr>",
            moment.clock,
            moment.phrase.label,
            escaped(&moment.moment.service),
            escaped(&moment.phrase.text),
            escaped(&moment.proxies),
            moment.moment.proxies.len()
        );
    }
    html.push_str("</tbody></table></div></section>\n");
}

/// A table's beginning.
fn table(html: &mut String, name: &str, columns: &[Column]) {
    let _ = write!(html, "<h3>{name}</h3><div class=\"wide\"><table><thead><tr>");
    for column in columns {
        let _ = match column {
            Number(name) => write!(html, "<th class=\"n\">{name}</th>"),
            Text(name) => write!(html, "<th>{name}</th>"),
        };
    }
    html.push_str("</tr></thead><tbody>");
}
