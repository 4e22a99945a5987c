//! The running drill: callers call, filters report, and each act has events that must occur and no others.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::caller::Caller;
use super::screen::Screen;
use crate::envoy::events::Event;
use crate::envoy::proxy::Envoy;
use crate::wait::SAFETY_NET;

/// The pause between two rounds of calls: slow enough to watch.
const PACE: Duration = Duration::from_millis(5);

/// The number of rounds of calls between two queries of Envoy's admin interface, which cost Envoy time.
const SELDOM: u64 = 20;

/// An Envoy in the drill.
#[derive(Debug)]
pub(super) struct Proxy {
    /// Its name in the drill.
    pub name: String,
    /// The Envoy.
    pub envoy: Envoy,
    shown: usize,
    act_began: usize,
}

/// An event that must or may occur in an act.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    proxy: usize,
    name: &'static str,
    about: String,
    must: bool,
}

impl Expected {
    /// An event that must occur at the proxy with this index; `about` is the endpoint, or `from > to` of a failover.
    pub(super) fn must(proxy: usize, name: &'static str, about: impl ToString) -> Self {
        Self { proxy, name, about: about.to_string(), must: true }
    }

    /// An event that may occur.
    pub(super) fn may(proxy: usize, name: &'static str, about: impl ToString) -> Self {
        Self::must(proxy, name, about).optional()
    }

    /// Makes the event optional.
    #[must_use]
    pub(super) fn optional(self) -> Self {
        Self { must: false, ..self }
    }

    fn is(&self, event: &Event) -> bool {
        self.name == event.name() && self.about == subject(event)
    }
}

/// What an event is about: the endpoint, or `from > to`.
fn subject(event: &Event) -> String {
    match (event.text("endpoint"), event.text("from"), event.text("to")) {
        ("", from, to) => format!("{from} > {to}"),
        (endpoint, ..) => endpoint.to_owned(),
    }
}

/// The proxies, the callers, and what was wrong so far.
#[derive(Debug)]
pub(super) struct Stage {
    /// The output for a person.
    pub screen: Screen,
    /// The Envoys.
    pub proxies: Vec<Proxy>,
    /// The callers.
    pub callers: Vec<Caller>,
    /// Everything that was wrong, a line each.
    pub complaints: Vec<String>,
}

impl Stage {
    /// A stage with these named Envoys.
    pub(super) fn new(screen: Screen, envoys: Vec<(String, Envoy)>, callers: Vec<Caller>) -> Self {
        let proxy = |(name, envoy)| Proxy { name, envoy, shown: 0, act_began: 0 };
        Self { screen, proxies: envoys.into_iter().map(proxy).collect(), callers, complaints: Vec::new() }
    }

    /// Explains what happens now. The first answer of each kind is shown again.
    pub(super) fn say(&mut self, text: &str) {
        self.screen.heading(text);
        self.callers.iter_mut().for_each(Caller::look_anew);
    }

    /// Every caller calls once, and the filters' new events are shown.
    pub(super) fn round(&mut self) {
        for caller in &mut self.callers {
            let name = caller.name().to_owned();
            if let Some(answer) = caller.call() {
                self.screen.answer(&name, answer.status, &answer.text);
            }
        }
        for proxy in &mut self.proxies {
            let events = proxy.envoy.events().all();
            events[proxy.shown..].iter().for_each(|event| self.screen.event(&proxy.name, event));
            proxy.shown = events.len();
        }
        thread::sleep(PACE);
    }

    /// Plays this many rounds.
    pub(super) fn rounds(&mut self, rounds: u64) {
        (0..rounds).for_each(|_| self.round());
    }

    /// Plays rounds until `done` returns true.
    ///
    /// # Errors
    /// If it does not within [`SAFETY_NET`]; the message contains the events of every proxy in this act.
    pub(super) fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        let started = Instant::now();
        while !done(self) {
            if started.elapsed() > SAFETY_NET {
                bail!("{what}: not within {} s; in this act came:\n{}", SAFETY_NET.as_secs(), self.reported());
            }
            self.round();
        }
        Ok(())
    }

    /// Plays rounds until each caller has got `text`, one after the other.
    ///
    /// # Errors
    /// Like [`Stage::until`].
    pub(super) fn until_all_get(&mut self, text: &str) -> Result<()> {
        for index in 0..self.callers.len() {
            let what = format!("{} gets {text}", self.callers[index].name());
            self.until(&what, |stage| stage.callers[index].gets(text))?;
        }
        Ok(())
    }

    /// Like [`Stage::until`], for a `done` that queries Envoy: it is called less often, and may fail.
    ///
    /// # Errors
    /// Like [`Stage::until`], and any error of `done`.
    pub(super) fn until_asked(&mut self, what: &str, done: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        while !done(self).with_context(|| what.to_owned())? {
            if started.elapsed() > SAFETY_NET {
                bail!("{what}: not within {} s; in this act came:\n{}", SAFETY_NET.as_secs(), self.reported());
            }
            self.rounds(SELDOM);
        }
        Ok(())
    }

    /// Plays rounds until all required events of `expected` have occurred in this act.
    ///
    /// # Errors
    /// Like [`Stage::until`].
    pub(super) fn until_reported(&mut self, expected: &[Expected]) -> Result<()> {
        for one in expected.iter().filter(|one| one.must) {
            let what = format!("{} about {} from {}", one.name, one.about, self.proxies[one.proxy].name);
            self.until(&what, |stage| stage.of_act(one.proxy).iter().any(|event| one.is(event)))?;
        }
        Ok(())
    }

    /// Plays rounds until every filter has shared twice what its traffic showed, which it does once a second: after
    /// that it knows the endpoints.
    ///
    /// # Errors
    /// Like [`Stage::until`].
    pub(super) fn until_learned(&mut self) -> Result<()> {
        let seen = |stage: &Self| -> Result<Vec<f64>> {
            let observed = stage.proxies.iter().filter(|proxy| proxy.envoy.has_filter());
            observed.map(|proxy| Ok(proxy.envoy.metrics()?.sum("faultline_attempts_total", &[]))).collect()
        };
        for _ in 0..2 {
            let before = seen(self)?;
            self.until_asked("the filters learn the endpoints", |stage| {
                Ok(seen(stage)?.iter().zip(&before).all(|(now, before)| now > before))
            })?;
        }
        Ok(())
    }

    /// Plays rounds until no filter reports that anything is ejected or in failover.
    ///
    /// # Errors
    /// Like [`Stage::until`].
    pub(super) fn until_over(&mut self) -> Result<()> {
        self.until_asked("everything is over", |stage| {
            let told = stage.proxies.iter().filter(|proxy| proxy.shown > proxy.act_began);
            let open = |proxy: &Proxy| -> Result<bool> {
                let metrics = proxy.envoy.metrics()?;
                Ok(["faultline_ejected_endpoints", "faultline_failover_active"]
                    .iter()
                    .any(|m| metrics.sum(m, &[]) > 0.0))
            };
            Ok(told.map(open).collect::<Result<Vec<_>>>()?.iter().all(|open| !open))
        })
    }

    /// Ends the act and complains unless every required event occurred, a failover's only once, and no event outside
    /// `expected` occurred.
    pub(super) fn end_act(&mut self, expected: &[Expected]) {
        self.round();
        for index in 0..self.proxies.len() {
            let (events, name) = (self.of_act(index), &self.proxies[index].name);
            let of_proxy: Vec<&Expected> = expected.iter().filter(|one| one.proxy == index).collect();
            for one in &of_proxy {
                let times = events.iter().filter(|event| one.is(event)).count();
                if times == 0 && one.must {
                    self.complaints.push(format!("{name}: {} about {} did not come", one.name, one.about));
                } else if times > 1 && one.must && one.name.starts_with("failover") {
                    self.complaints.push(format!("{name}: {} about {} came {times} times", one.name, one.about));
                }
            }
            // A failover whose share grows is reported again with the same destination; how often depends on Envoy's
            // random choices.
            let begun = self.proxies[index].envoy.events().named("failover_started");
            let grew = |event: &&Event| {
                event.name() == "failover_changed" && begun.iter().any(|begun| subject(begun) == subject(event))
            };
            // An endpoint that is replaced takes its ejection with it; the reckoning compares that with Envoy's record.
            let left = |event: &&Event| event.name() == "endpoint_removed";
            let is_expected = |event: &&Event| of_proxy.iter().any(|one| one.is(event)) || grew(event) || left(event);
            let others = events.iter().filter(|event| !is_expected(event));
            self.complaints.extend(others.map(|event| format!("{name}: this came and nothing had happened: {event}")));
        }
        for proxy in &mut self.proxies {
            proxy.act_began = proxy.shown;
        }
    }

    /// Notes a complaint unless `right`.
    pub(super) fn check(&mut self, right: bool, complaint: impl FnOnce() -> String) {
        if !right {
            self.complaints.push(complaint());
        }
    }

    /// The events of this proxy's filter in this act.
    pub(super) fn of_act(&self, proxy: usize) -> Vec<Event> {
        let proxy = &self.proxies[proxy];
        proxy.envoy.events().all().split_off(proxy.act_began)
    }

    fn reported(&self) -> String {
        let mut lines = Vec::new();
        for (index, proxy) in self.proxies.iter().enumerate() {
            lines.extend(self.of_act(index).iter().map(|event| format!("{}: {event}", proxy.name)));
        }
        lines.extend(self.callers.iter().map(|caller| format!("{} gets {:?}", caller.name(), caller.last())));
        lines.join("\n")
    }
}
