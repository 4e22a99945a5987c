//! The configuration source and the admin interface, which the witness polls, become unavailable during an outage and
//! come back (scenario S4).
//!
//! Clusters, endpoints and the filter come over the network here. The proxy with the filter has a twin without one,
//! with the same calls and the same faults: whatever the filter misses, the callers must not notice. Events while Envoy
//! cannot be asked have the basis `inferred`; after Envoy is back, they are not reported again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::caller::Caller;
use super::control_plane::ControlPlane;
use super::reckoning::{Outcome, reckon};
use super::screen::Screen;
use super::services::short;
use super::stage::{Expected, Stage};
use crate::endpoints::Behaviour::{Answer, Refuse};
use crate::endpoints::Upstream;
use crate::envoy::bootstrap::{Bootstrap, Filter, Retries};
use crate::envoy::outlier::OutlierDetection;
use crate::envoy::proxy::Envoy;
use crate::envoy::sources::Sources;
use crate::envoy::topology::{Endpoint, Locality};
use crate::judge::complaints::foreign_answers;
use crate::net::relay::Relay;
use crate::programs::tools::Tool;
use crate::zones::{HOST, ZONES, Zones};

/// The index of the proxy with the filter, and that of its twin without.
const PROXY: usize = 0;
const TWIN: usize = 1;

/// The state that all acts share.
struct Scene {
    stage: Stage,
    zones: Zones,
    control_plane: ControlPlane,
    admin: Relay,
    bootstrap: Bootstrap,
}

/// Plays the drill.
pub(super) fn play(envoy: Option<PathBuf>, screen: Screen) -> Result<Outcome> {
    let rules = OutlierDetection { base_ejection_time: Duration::from_secs(3), ..OutlierDetection::first_error() };
    screen.heading(
        "A proxy with the filter and its twin without; a configuration source; the admin interface behind a wire",
    );
    let zones = Zones::start()?;
    let (control_plane, admin) = (ControlPlane::start()?, Relay::start()?);
    let mut cluster = zones.cluster(rules.clone());
    cluster.discovered = true;
    let mut bootstrap = Bootstrap::new(&Zones::home(), vec![cluster]);
    bootstrap.clusters_discovered = true;
    bootstrap.sources = Sources::Rest(control_plane.address());
    bootstrap.retries = Some(Retries::istio_default());
    bootstrap.record_attempts = true;
    bootstrap.program = envoy;
    let twin = bootstrap.clone();
    let config = json!({
        "outlierDetection": rules.to_istio(),
        "failover": { "window": "1s", "endAfter": "1s" },
        "attempts": "upstreamLog",
        "witness": { "maxInterval": "1s" },
    });
    bootstrap = bootstrap.with_filter(&Tool::Module.path()?, &config.to_string());
    bootstrap.filter_in_upstream_log = true;
    bootstrap.witness_through = Some(admin.address());

    control_plane.put("clusters", &bootstrap.discovery(Path::new("")));
    control_plane.put("endpoints", &bootstrap.clusters[0].discovery(&bootstrap.home));
    control_plane.put("extension_configs", &filter(&bootstrap).discovery(1));
    let proxy = Envoy::start(&bootstrap)?;
    admin.forward_to(proxy.admin_address());
    let twin = Envoy::start(&twin)?;
    screen.note(
        "One error ejects an endpoint for 3 s, calls are retried twice, the filter sees every attempt and asks the",
    );
    screen.note("admin interface. Both Envoys ask the source for clusters, endpoints and filter five times a second.");
    let callers = vec![
        Caller::new("a client of the proxy", proxy.address(), HOST),
        Caller::new("a client of the twin", twin.address(), HOST),
    ];
    let envoys = vec![("the proxy".to_owned(), proxy), ("the twin".to_owned(), twin)];
    let mut scene = Scene { stage: Stage::new(screen, envoys, callers), zones, control_plane, admin, bootstrap };

    scene.health()?;
    scene.before()?;
    let new = scene.gone()?;
    scene.back(&new)?;
    scene.after(&new)?;
    for index in [PROXY, TWIN] {
        let foreign = foreign_answers(&scene.stage.proxies[index].envoy)?;
        scene.stage.complaints.extend(foreign);
    }
    let [proxy, twin] = [PROXY, TWIN].map(|index| &scene.stage.callers[index]);
    let errors = (proxy.errors, twin.errors);
    scene.stage.screen.note(&format!("Errors with the filter: {}; without it: {}.", errors.0, errors.1));
    reckon(scene.stage)
}

fn filter(bootstrap: &Bootstrap) -> Filter {
    bootstrap.filter.clone().unwrap_or_else(|| Filter { module: PathBuf::new(), config: String::new() })
}

fn is(name: &'static str, about: impl ToString) -> Expected {
    Expected::must(PROXY, name, about)
}

fn maybe(name: &'static str, about: impl ToString) -> Expected {
    Expected::may(PROXY, name, about)
}

impl Scene {
    /// Complains if an event of this act has another basis.
    fn check_basis(&mut self, name: &str, basis: &str) {
        for event in self.stage.of_act(PROXY).iter().filter(|event| event.name() == name) {
            self.stage.check(event.text("basis") == basis, || format!("the basis is not {basis}: {event}"));
        }
    }

    fn polls(stage: &Stage, result: &str) -> Result<f64> {
        let metrics = stage.proxies[PROXY].envoy.metrics()?;
        Ok(metrics.sum("faultline_witness_polls_total", &[("result", result)]))
    }

    /// The values of this statistic in both Envoys.
    fn both_count(stage: &Stage, name: &str) -> Result<[u64; 2]> {
        let mut counts = [0; 2];
        for (count, proxy) in counts.iter_mut().zip(&stage.proxies) {
            *count = proxy.envoy.stats(name)?.iter().map(|(_, n)| n).sum();
        }
        Ok(counts)
    }

    fn health(&mut self) -> Result<()> {
        self.stage.say("All is well: calls stay in ap-northeast-1a, the filter is silent");
        self.stage.until_all_get(ZONES[0])?;
        self.stage.rounds(40);
        self.stage.until_asked("the witness answers", |stage| Ok(Self::polls(stage, "ok")? > 0.0))?;
        self.stage.end_act(&[]);
        Ok(())
    }

    fn before(&mut self) -> Result<()> {
        let home = self.zones.at(ZONES[0])?.address();
        let expected = [
            is("endpoint_ejected", home),
            is("failover_started", between(ZONES[1])),
            maybe("error_streak", home),
            maybe("endpoint_returned", home),
        ];
        self.stage.say("The endpoint in ap-northeast-1a listens on nothing: it is ejected, and Envoy says so itself");
        self.zones.set(&ZONES[..1], Refuse)?;
        self.stage.until_reported(&expected)?;
        self.stage.until_all_get(ZONES[1])?;
        self.check_basis("endpoint_ejected", "witnessed");
        self.stage.end_act(&expected);
        Ok(())
    }

    fn gone(&mut self) -> Result<Upstream> {
        let [home, near] = [0, 1].map(|zone| self.zones.0[zone].address());
        let far = &ZONES[2..];
        let fails =
            |endpoint| ["endpoint_ejected", "endpoint_returned", "error_streak"].map(|name| maybe(name, endpoint));
        self.cut_off()?;
        let new = self.change_meanwhile()?;
        self.stage.end_act(&fails(home));

        let mut expected = [fails(home), fails(near)].concat();
        expected.push(is("endpoint_ejected", near));
        for to in &ZONES[1..] {
            expected.extend(["failover_changed", "failover_ended"].map(|name| maybe(name, between(to))));
        }
        self.stage.say("ap-northeast-1b fails too: Envoy goes on by what it knows, the filter by what it sees");
        self.zones.set(&ZONES[1..2], Refuse)?;
        self.stage.until_reported(&[is("endpoint_ejected", near)])?;
        let moved = |stage: &Stage| {
            let events = stage.of_act(PROXY);
            events.iter().any(|e| e.name() == "failover_changed" && far.contains(&e.text("to")))
        };
        self.stage.until("the failover moves on to the other region", moved)?;
        self.repair_unseen([home, near])?;
        for proxy in &self.stage.proxies {
            let known = proxy.envoy.admin("/clusters")?.contains(&new.address().to_string());
            if known {
                self.stage.complaints.push(format!("{} has an endpoint that nobody told it", proxy.name));
            }
        }
        self.stage.end_act(&expected);
        Ok(new)
    }

    /// Cuts off the configuration source and the admin interface, and waits until both Envoys and the filter notice.
    fn cut_off(&mut self) -> Result<()> {
        self.stage.say("Now the configuration source goes away, and the admin interface is not reached any more");
        let failed = Self::polls(&self.stage, "failed")?;
        let missed = Self::both_count(&self.stage, "^cluster_manager.cds.update_failure$")?;
        self.control_plane.stop();
        self.admin.cut();
        self.stage.until_asked("Envoy and the filter notice", |stage| {
            let now = Self::both_count(stage, "^cluster_manager.cds.update_failure$")?;
            let noticed = now.iter().zip(missed).all(|(now, before)| *now > before);
            Ok(noticed && Self::polls(stage, "failed")? >= failed + 3.0)
        })?;
        let said = self.stage.proxies[PROXY].envoy.events().wait_for_line("ejections are inferred")?;
        let said = said.find("witness:").map_or(said.as_str(), |at| &said[at..]);
        self.stage.screen.note(&format!("The filter has said: {said}"));
        Ok(())
    }

    /// Changes an endpoint, which is returned, and the filter's configuration at the source while neither can be
    /// fetched.
    fn change_meanwhile(&mut self) -> Result<Upstream> {
        self.stage.screen.note(
            "Meanwhile somebody adds a second endpoint in ap-northeast-1a and changes the filter's configuration.",
        );
        let new = Upstream::start("the new endpoint in ap-northeast-1a")?;
        let cluster = &mut self.bootstrap.clusters[0];
        cluster.endpoints.push(Endpoint { address: new.address(), locality: Locality::new(ZONES[0]) });
        self.control_plane.put("endpoints", &cluster.discovery(&self.bootstrap.home));
        let mut changed = filter(&self.bootstrap);
        changed.config = changed.config.replace("\"window\":\"1s\"", "\"window\":\"1.5s\"");
        self.control_plane.put("extension_configs", &changed.discovery(2));
        Ok(new)
    }

    /// Repairs both zones of the region while Envoy cannot be asked, until the failover is over; all of it is inferred.
    fn repair_unseen(&mut self, endpoints: [SocketAddr; 2]) -> Result<()> {
        let [home, near] = [0, 1].map(|zone| short(ZONES[zone]));
        self.stage.say(&format!("{home} is repaired, and {near}: all of it without anybody to ask"));
        self.zones.set(&ZONES[..2], Answer(200))?;
        self.stage.until_reported(&endpoints.map(|endpoint| is("endpoint_returned", endpoint)))?;
        self.stage.until_all_get(ZONES[0])?;
        let over = |stage: &Stage| stage.of_act(PROXY).iter().any(|e| e.name() == "failover_ended");
        self.stage.until("the failover is over", over)?;
        self.stage.until_over()?;
        for name in ["endpoint_ejected", "endpoint_returned"] {
            self.check_basis(name, "inferred");
        }
        Ok(())
    }

    fn back(&mut self, new: &Upstream) -> Result<()> {
        self.stage.say("The source is back, and the admin interface: what was missed comes, and nothing is told twice");
        let answered = Self::polls(&self.stage, "ok")?;
        let reloads = "extension_config_discovery.*config_reload$";
        let before = Self::both_count(&self.stage, reloads)?;
        self.control_plane.come_back()?;
        self.admin.mend()?;
        for caller in [PROXY, TWIN] {
            self.stage.until("the new endpoint serves", |stage| stage.callers[caller].gets(new.name()))?;
        }
        self.stage.until_asked("filter and witness are back", |stage| {
            let reloaded = Self::both_count(stage, reloads)?[PROXY] > before[PROXY];
            Ok(reloaded && Self::polls(stage, "ok")? > answered)
        })?;
        self.stage.rounds(100);
        self.stage.end_act(&[]);
        Ok(())
    }

    fn after(&mut self, new: &Upstream) -> Result<()> {
        let home = self.zones.at(ZONES[0])?.address();
        let mut expected: Vec<Expected> =
            ["failover_started", "failover_ended"].map(|n| is(n, between(ZONES[1]))).into();
        for endpoint in [home, new.address()] {
            expected.extend(["endpoint_ejected", "endpoint_returned"].map(|name| is(name, endpoint)));
            expected.push(maybe("error_streak", endpoint));
        }
        self.stage.say("Both endpoints in ap-northeast-1a fail: Envoy's own word again");
        self.zones.set(&ZONES[..1], Refuse)?;
        new.set(Refuse)?;
        self.stage.until_reported(&[is("failover_started", between(ZONES[1]))])?;
        self.stage.until_all_get(ZONES[1])?;
        self.stage.say("They are repaired");
        self.zones.set(&ZONES[..1], Answer(200))?;
        new.set(Answer(200))?;
        self.stage.until_reported(&expected)?;
        self.stage.until_over()?;
        self.check_basis("endpoint_ejected", "witnessed");
        self.stage.end_act(&expected);
        Ok(())
    }
}

fn between(to: &str) -> String {
    format!("{} > {to}", ZONES[0])
}
