//! The running drill in a mesh: what the operator types, calls from pods, and the events that each proxy must report.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::expected::{self, Expected};
use crate::drill::screen::Screen;
use crate::envoy::events::Event;
use crate::istio::{Answer, Mesh, Proxy};

/// The namespace of the documents' demo.
pub(super) const MOCK: &str = "mock";

/// The port of each of the demo's services.
pub(super) const PORT: u16 = 8000;

/// How long anything may take. Istio is in no hurry, and machines are slow when many proxies start.
const PATIENCE: Duration = Duration::from_secs(90);

/// The pause between two calls: Envoy tells its workers of an ejection some time after it.
const PACE: Duration = Duration::from_millis(250);

/// A pod whose application calls, or whose sidecar reports.
pub(super) type Place<'a> = (&'a str, &'a str);

/// The mesh, and what was wrong so far.
#[derive(Debug)]
pub(super) struct Scene {
    /// The mesh.
    pub mesh: Mesh,
    /// The output for a person.
    pub screen: Screen,
    /// Everything that was wrong, a line each.
    pub wrong: Vec<String>,
    step: &'static str,
    /// Events of each pod that belong to earlier steps.
    marks: BTreeMap<String, usize>,
    shown: BTreeMap<String, usize>,
    answers: BTreeSet<String>,
}

impl Scene {
    /// A scene in this mesh.
    pub(super) fn new(mesh: Mesh, screen: Screen) -> Self {
        let (wrong, step, marks, shown, answers) = Default::default();
        Self { mesh, screen, wrong, step, marks, shown, answers }
    }

    /// Starts a step: earlier events are no longer looked at.
    pub(super) fn begin(&mut self, step: &'static str) {
        self.step = step;
        for proxy in self.proxies() {
            let count = proxy.events().map_or(0, |events| events.len());
            self.marks.insert(proxy.pod().name.clone(), count);
        }
    }

    /// Explains what happens now. The first answer of each kind is shown again.
    pub(super) fn say(&mut self, text: &str) {
        self.screen.heading(text);
        self.answers.clear();
    }

    /// Types a line at the operator's terminal; the line and its output are shown.
    ///
    /// # Errors
    /// If it fails.
    pub(super) fn types(&self, line: &str) -> Result<String> {
        self.screen.typed(line);
        let output = self.mesh.types(line)?;
        self.screen.output(&output);
        Ok(output)
    }

    /// Types the documents' command that begins like this.
    ///
    /// # Errors
    /// If there is none, or it fails.
    pub(super) fn types_of_document(&self, beginning: &str) -> Result<String> {
        self.types(&self.mesh.command(beginning)?)
    }

    /// The sidecar of a Deployment's pod.
    ///
    /// # Errors
    /// If there is no such pod.
    pub(super) fn proxy(&self, place: Place<'_>) -> Result<Proxy> {
        self.mesh.proxy(place.0, place.1)
    }

    /// Calls the application of a pod at its own port, as the documents' `ask` does.
    ///
    /// # Errors
    /// If there is no such pod.
    pub(super) fn ask(&mut self, place: Place<'_>) -> Result<Answer> {
        self.call(place, SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), "127.0.0.1:8000")
    }

    /// Calls `host` at `target` from a pod, and shows the answer if it is new.
    ///
    /// # Errors
    /// If there is no such pod.
    pub(super) fn call(&mut self, place: Place<'_>, target: SocketAddr, host: &str) -> Result<Answer> {
        let answer = self.proxy(place)?.call(target, host);
        if self.answers.insert(format!("{place:?}{answer:?}")) {
            self.screen.answer(place.1, answer.status, &answer.text);
        }
        self.show();
        Ok(answer)
    }

    /// Does `turn` over and over until it returns true.
    ///
    /// # Errors
    /// An error of `turn`, or that it did not within [`PATIENCE`]; the message has the events of this step.
    pub(super) fn until(&mut self, what: &str, mut turn: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        while !turn(self).with_context(|| what.to_owned())? {
            if started.elapsed() > PATIENCE {
                bail!("{what}: not within {} s; in this step came:\n{}", PATIENCE.as_secs(), self.told());
            }
            self.show();
            thread::sleep(PACE);
        }
        Ok(())
    }

    /// Asks until the answer is `text`.
    ///
    /// # Errors
    /// Like [`Scene::until`].
    pub(super) fn until_answered(&mut self, place: Place<'_>, text: &str) -> Result<()> {
        self.until(&format!("{} gets {text}", place.1), |scene| Ok(scene.ask(place)?.text == text))
    }

    /// Asks for this time, and returns the answers.
    ///
    /// # Errors
    /// If there is no such pod.
    pub(super) fn ask_for(&mut self, place: Place<'_>, time: Duration) -> Result<Vec<Answer>> {
        let started = Instant::now();
        let mut answers = Vec::new();
        while started.elapsed() < time {
            answers.push(self.ask(place)?);
            thread::sleep(PACE);
        }
        Ok(answers)
    }

    /// Asks until every event that must come has come.
    ///
    /// # Errors
    /// Like [`Scene::until`].
    pub(super) fn until_reported(&mut self, place: Place<'_>, expected: &[Expected]) -> Result<()> {
        let proxy = self.proxy(place)?;
        for one in expected.iter().filter(|one| one.must) {
            self.until(&format!("{one} from {}", place.1), |scene| {
                scene.ask(place)?;
                Ok(scene.of_step(&proxy)?.iter().any(|event| one.is_about(event)))
            })?;
        }
        Ok(())
    }

    /// Complains unless exactly these events came in this step from the pod of `place`, each as described.
    ///
    /// # Errors
    /// If there is no such pod.
    pub(super) fn expect(&mut self, place: Place<'_>, expected: &[Expected]) -> Result<()> {
        let events = self.of_step(&self.proxy(place)?)?;
        for complaint in expected::complaints(&events, expected) {
            self.complain(&format!("{}: {complaint}", place.1));
        }
        Ok(())
    }

    /// Complains about every event of other pods than these in this step.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub(super) fn expect_silence_except(&mut self, places: &[Place<'_>]) -> Result<()> {
        for proxy in self.proxies() {
            let pod = proxy.pod();
            if places.contains(&(&pod.namespace, &pod.deployment)) {
                continue;
            }
            for event in self.of_step(&proxy)? {
                self.complain(&format!("{}: this came and nothing had happened: {event}", pod.deployment));
            }
        }
        Ok(())
    }

    /// Notes a complaint unless `right`.
    pub(super) fn check(&mut self, right: bool, complaint: impl FnOnce() -> String) {
        if !right {
            self.complain(&complaint());
        }
    }

    /// Notes a complaint.
    pub(super) fn complain(&mut self, complaint: &str) {
        self.screen.wrong(complaint);
        self.wrong.push(format!("{}: {complaint}", self.step));
    }

    /// The events of a proxy in this step.
    ///
    /// # Errors
    /// If its log cannot be read.
    pub(super) fn of_step(&self, proxy: &Proxy) -> Result<Vec<Event>> {
        let mark = self.marks.get(&proxy.pod().name).copied().unwrap_or(0);
        Ok(proxy.events()?.into_iter().skip(mark).collect())
    }

    /// Shows the events that came since the last time.
    pub(super) fn show(&mut self) {
        for proxy in self.proxies() {
            let events = proxy.events().unwrap_or_default();
            let shown = self.shown.entry(proxy.pod().name.clone()).or_default();
            for event in events.iter().skip(*shown) {
                self.screen.event(&format!("{}'s sidecar", proxy.pod().deployment), event);
            }
            *shown = events.len();
        }
    }

    fn proxies(&self) -> Vec<Proxy> {
        self.mesh.proxies()
    }

    fn told(&self) -> String {
        let mut lines = Vec::new();
        for proxy in self.proxies() {
            let events = self.of_step(&proxy).unwrap_or_default();
            lines.extend(events.iter().map(|event| format!("{}: {event}", proxy.pod().deployment)));
        }
        lines.join("\n")
    }
}
