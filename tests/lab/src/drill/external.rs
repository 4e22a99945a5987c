//! Failover between the endpoints of a service outside the mesh, `mydb.com`, found by name in us-east1 and us-west
//! (scenario S2).
//!
//! Without locality rules both endpoints get traffic; with them, callers in us-east1 stay there, until the east
//! endpoint's port becomes 81. During the outage the names get other addresses. Then the same happens with TLS
//! origination and a wrong certificate. The proxies of two callers see all of it: one has the HTTP filter, the other
//! also has the upstream log, and both have the witness. An explicit failover list from us-east1 to us-west gives Envoy
//! the same priorities as these localities, so it is not played separately.
//!
//! Not here: the same without the witness. Without it, the filter does not notice that an ejected endpoint has left (as
//! all do here in turn) until it has seen every other one.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};

use super::caller::Caller;
use super::reckoning::{Outcome, reckon};
use super::screen::Screen;
use super::stage::{Expected, Stage};
use crate::endpoints::Upstream;
use crate::endpoints::tls::TlsEndpoint;
use crate::envoy::bootstrap::{Bootstrap, Cluster};
use crate::envoy::outlier::OutlierDetection;
use crate::envoy::proxy::Envoy;
use crate::envoy::topology::{Locality, socket_address};
use crate::net::authority::Authority;
use crate::net::dns::NameServer;
use crate::programs::tools::Tool;
use crate::wait::eventually;

const HOST: &str = "mydb.com";
const CLUSTER: &str = "outbound|80||mydb.com";

/// Names and localities of the endpoints; a locality can consist of a region only.
const EAST: (&str, &str) = ("dynamodb.us-east-1.example", "us-east1");
const WEST: (&str, &str) = ("dynamodb.us-west-1.example", "us-west");

/// The port of the east endpoint during the fault; nothing listens there.
const WRONG_PORT: u16 = 81;

/// The state that all acts share.
struct Scene {
    stage: Stage,
    names: NameServer,
    rules: OutlierDetection,
    // Kept to the end, because an endpoint that stops would be another fault.
    kept: (Vec<Upstream>, Vec<TlsEndpoint>),
}

/// Plays the drill.
pub(super) fn play(envoy: Option<PathBuf>, screen: Screen) -> Result<Outcome> {
    let rules = OutlierDetection {
        consecutive_5xx_errors: 1,
        interval: Duration::from_secs(1),
        base_ejection_time: Duration::from_secs(4),
        max_ejection_percent: 100,
        ..OutlierDetection::default()
    };
    screen.heading("A service outside the mesh, found by name in two regions; two callers' proxies in us-east1");
    let (east, west) = (Upstream::start(EAST.1)?, Upstream::start(WEST.1)?);
    let names = NameServer::start()?;
    names.set(EAST.0, ip(east.address()));
    names.set(WEST.0, ip(west.address()));
    let ports = [east.address().port(), west.address().port()];

    let mut envoys = Vec::new();
    for (name, attempts) in [("the proxy", "final"), ("the proxy with the upstream log", "upstreamLog")] {
        let failover = json!({ "window": "1s", "endAfter": "1s" });
        let config = json!({
            "outlierDetection": rules.to_istio(),
            "failover": failover,
            "witness": {},
            "attempts": attempts,
        });
        let cluster = cluster(&names, ports, None, None);
        let mut bootstrap = Bootstrap::new(&Locality::new(EAST.1), vec![cluster]);
        bootstrap = bootstrap.with_filter(&Tool::Module.path()?, &config.to_string());
        bootstrap.clusters_discovered = true;
        bootstrap.filter_in_upstream_log = attempts == "upstreamLog";
        bootstrap.program = envoy.clone();
        envoys.push((name.to_owned(), Envoy::start(&bootstrap)?));
    }
    for (name, upstream) in [(EAST, &east), (WEST, &west)] {
        screen.note(&format!("{:<27} {:<9} {}", name.0, name.1, upstream.address()));
    }
    screen
        .note("The rule: one 5xx ejects for 4 s (S2 has 1 min), Envoy looks every second (15 s). Nothing is retried.");
    let caller = |(name, envoy): &(String, Envoy)| {
        Caller::new(&name.replace("the proxy", "a client of the proxy"), envoy.address(), HOST)
    };
    let callers = envoys.iter().map(caller).collect();
    let mut scene = Scene { stage: Stage::new(screen, envoys, callers), names, rules, kept: Default::default() };

    scene.health(ports)?;
    scene.wrong_port(east, west)?;
    scene.with_tls()?;
    reckon(scene.stage)
}

fn ip(address: SocketAddr) -> Ipv4Addr {
    match address.ip() {
        std::net::IpAddr::V4(ip) => ip,
        std::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// Envoy's `typed_dns_resolver_config` that asks only this server.
fn resolver(names: &NameServer) -> Value {
    let mut address = socket_address(names.address());
    address["socket_address"]["protocol"] = json!("UDP");
    let cares = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
    json!({
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": cares,
            "resolvers": [address],
            "dns_resolver_options": { "no_default_search_domain": true },
        },
    })
}

/// The cluster that Istio makes of a ServiceEntry with DNS resolution; without a rule there are no priorities.
/// `authority` turns on TLS origination, for certificates of that authority.
fn cluster(
    names: &NameServer,
    ports: [u16; 2],
    rules: Option<&OutlierDetection>,
    authority: Option<&Authority>,
) -> Cluster {
    let mut cluster = Cluster::new(CLUSTER, Vec::new(), rules.cloned());
    let group = |((name, locality), port): ((&str, &str), u16)| {
        let address = json!({ "socket_address": { "address": name, "port_value": port } });
        json!({
            "locality": Locality::new(locality).to_envoy(),
            "priority": u32::from(rules.is_some() && locality != EAST.1),
            "load_balancing_weight": 1,
            "lb_endpoints": [{ "endpoint": { "address": address } }],
        })
    };
    let endpoints: Vec<Value> = [EAST, WEST].into_iter().zip(ports).map(group).collect();
    let mut more = json!({
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "dns_refresh_rate": "0.2s",
        "typed_dns_resolver_config": resolver(names),
        "load_assignment": { "cluster_name": CLUSTER, "endpoints": endpoints },
    });
    if let Some(authority) = authority {
        let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        more["transport_socket"] = json!({ "name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": tls,
            "sni": HOST,
            "common_tls_context": {
                "tls_params": { "tls_maximum_protocol_version": "TLSv1_3" },
                "validation_context": { "trusted_ca": { "inline_string": authority.pem() } },
            },
        } });
    }
    cluster.more = more.as_object().cloned().unwrap_or_else(Map::new);
    cluster
}

/// The same event from both proxies.
fn of_both(name: &'static str, about: impl ToString) -> [Expected; 2] {
    [0, 1].map(|proxy| Expected::must(proxy, name, about.to_string()))
}

fn maybe_of_both(name: &'static str, about: impl ToString) -> [Expected; 2] {
    [0, 1].map(|proxy| Expected::may(proxy, name, about.to_string()))
}

/// The events of an endpoint that fails: it may return and fail again while the fault lasts.
fn fails(endpoint: SocketAddr) -> Vec<Expected> {
    // The rules have just been changed; a streak is counted by what the proxy knew of them.
    let mut expected = maybe_of_both("error_streak", endpoint).to_vec();
    expected.extend(of_both("endpoint_ejected", endpoint));
    expected.extend(maybe_of_both("endpoint_returned", endpoint));
    expected
}

fn failover(name: &'static str) -> [Expected; 2] {
    of_both(name, format!("{} > {}", EAST.1, WEST.1))
}

impl Scene {
    fn deliver(&mut self, ports: [u16; 2], rules: bool, authority: Option<&Authority>) -> Result<()> {
        for proxy in &mut self.stage.proxies {
            let rules = rules.then_some(&self.rules);
            proxy.envoy.set_clusters(vec![cluster(&self.names, ports, rules, authority)])?;
        }
        Ok(())
    }

    /// Waits until both Envoys have the new endpoint and no longer the old one.
    fn until_resolved(&self, new: SocketAddr, old: SocketAddr) -> Result<()> {
        for proxy in &self.stage.proxies {
            eventually("Envoy has the name's new address", || {
                let clusters = proxy.envoy.admin("/clusters")?;
                let has = |address: SocketAddr| clusters.contains(&format!("::{address}::"));
                Ok((has(new) && !has(old)).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Plays rounds until both filters have reported in this act that the endpoint returned and was ejected again.
    fn until_ejected_again(&mut self, endpoint: SocketAddr) -> Result<()> {
        for proxy in 0..self.stage.proxies.len() {
            self.stage.until(&format!("{endpoint} is ejected again"), |stage| {
                let events = stage.of_act(proxy);
                let count = |name| events.iter().filter(|event| event.is(name, endpoint)).count();
                count("endpoint_returned") >= 1 && count("endpoint_ejected") >= 2
            })?;
        }
        Ok(())
    }

    fn health(&mut self, ports: [u16; 2]) -> Result<()> {
        self.stage.say("Without a rule both regions get traffic");
        for (_, locality) in [EAST, WEST] {
            self.stage.until_all_get(locality)?;
        }
        self.stage.say("With the rule, delivered while Envoy runs, callers in us-east1 use us-east1 only");
        self.deliver(ports, true, None)?;
        self.stage.until_all_get(EAST.1)?;
        for _ in 0..40 {
            self.stage.round();
            let stay = self.stage.callers.iter().all(|caller| caller.gets(EAST.1));
            self.stage.check(stay, || "in health a call left us-east1".to_owned());
        }
        self.stage.end_act(&[]);
        Ok(())
    }

    fn wrong_port(&mut self, east: Upstream, west: Upstream) -> Result<()> {
        let broken = SocketAddr::new(east.address().ip(), WRONG_PORT);
        ensure!(
            TcpStream::connect(broken).is_err(),
            "something listens on {broken}: this drill needs that port closed"
        );
        let port_of_west = west.address().port();
        let mut expected = fails(broken);
        expected.extend(failover("failover_started"));
        self.stage.say("The east endpoint's port becomes 81, where nothing listens: one call fails, the rest go west");
        self.deliver([WRONG_PORT, port_of_west], true, None)?;
        self.stage.until_all_get(WEST.1)?;
        self.stage.until_reported(&expected)?;
        self.stage.say("As long as it lasts, Envoy lets it back for one more failure, and ejects it for longer");
        self.until_ejected_again(broken)?;
        self.stage.end_act(&expected);

        let moved = east.start_beside("us-east1, at its new address")?;
        let moved_broken = SocketAddr::new(moved.address().ip(), WRONG_PORT);
        let expected = fails(moved_broken);
        self.stage
            .say("In mid-outage the east name gets another address: a new endpoint to Envoy, tried once, ejected too");
        self.stage.screen.note(&format!("{} is {moved_broken} now; {broken} is no endpoint any more.", EAST.0));
        self.names.set(EAST.0, ip(moved.address()));
        self.until_resolved(moved_broken, broken)?;
        self.stage.until_reported(&expected)?;
        self.stage.until_all_get(WEST.1)?;
        // The old endpoint may have returned and failed between the acts.
        self.stage.end_act(&[expected, may_all(fails(broken))].concat());

        let far = west.start_beside("us-west, at its new address")?;
        self.stage.say("And the west name, which is well: traffic follows, and nothing is told");
        self.stage.screen.note(&format!(
            "{} is {} now; {} is no endpoint any more.",
            WEST.0,
            far.address(),
            west.address()
        ));
        self.names.set(WEST.0, ip(far.address()));
        self.until_resolved(far.address(), west.address())?;
        self.stage.until_all_get(far.name())?;
        self.stage.rounds(40);
        self.stage.end_act(&may_all(fails(moved_broken)));

        self.stage.say("The port is right again: a new endpoint to Envoy, well at once, and traffic is home");
        let mut expected = failover("failover_ended").to_vec();
        expected.extend(may_all(fails(moved_broken)));
        self.deliver([moved.address().port(), port_of_west], true, None)?;
        self.stage.until_all_get(moved.name())?;
        self.stage.until_reported(&expected)?;
        self.stage.until_over()?;
        self.stage.end_act(&expected);
        self.kept.0 = vec![east, west, moved, far];
        Ok(())
    }

    fn with_tls(&mut self) -> Result<()> {
        let (known, unknown) = (Authority::new()?, Authority::new()?);
        let east = TlsEndpoint::start("us-east1, by TLS", &known)?;
        let west = TlsEndpoint::start("us-west, by TLS", &known)?;
        self.names.set(EAST.0, ip(east.address()));
        self.names.set(WEST.0, ip(west.address()));
        self.stage.say("TLS origination: the same service by TLS, with certificates that Envoy checks");
        let ports = [east.address().port(), west.address().port()];
        self.deliver(ports, true, Some(&known))?;
        self.stage.until_all_get("us-east1, by TLS")?;
        self.stage.until_learned()?;
        self.stage.end_act(&[]);

        let mut outage = fails(east.address());
        outage.extend(failover("failover_started"));
        self.stage.say("The east endpoint shows a certificate of an authority that nobody here knows");
        east.show_certificate_of(&unknown)?;
        self.stage.until_all_get("us-west, by TLS")?;
        self.stage.until_reported(&outage)?;
        for index in 0..self.stage.proxies.len() {
            let streaks = self.stage.of_act(index);
            let cause = streaks.iter().filter_map(|e| e.fields["last"]["transport_failure"].as_str()).next();
            let named = cause.is_some_and(|cause| cause.contains("CERTIFICATE_VERIFY_FAILED"));
            let complaint = format!("the streak does not name the certificate as its cause: {cause:?}");
            self.stage.check(named, || complaint);
        }
        self.stage.say("It shows the right one; it comes back when its ejection time is over");
        east.show_certificate_of(&known)?;
        let mut repair = of_both("endpoint_returned", east.address()).to_vec();
        repair.extend(failover("failover_ended"));
        self.stage.until_reported(&repair)?;
        self.stage.until_all_get("us-east1, by TLS")?;
        self.stage.until_over()?;
        self.stage.end_act(&[outage, repair].concat());
        self.kept.1 = vec![east, west];
        Ok(())
    }
}

/// Makes these events optional.
fn may_all(expected: Vec<Expected>) -> Vec<Expected> {
    expected.into_iter().map(Expected::optional).collect()
}
