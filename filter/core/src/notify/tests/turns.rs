//! Tests of the turn of one proxy among many: what waits for it, what does not, and what is never sent.

use super::{ended, route};
use crate::config::notify::{Format, Notify};
use crate::event::{Event, EventKind};
use crate::locality::Locality;
use crate::notify::Message;
use crate::notify::outbox::{Ended, Outbox};
use crate::notify::spread::Spread;
use crate::time::{Millis, rfc3339};

const TURN: Spread = Spread { start_delay: 7_000, repeat_interval: 40_000, sends_failovers: true };
const SILENT: Spread = Spread { sends_failovers: false, ..TURN };

/// A proxy's outbox and receiver.
struct Proxy {
    outbox: Outbox,
    notify: Notify,
    spread: Spread,
}

impl Proxy {
    fn new(format: Format, spread: Spread) -> Self {
        Self { outbox: Outbox::default(), notify: Notify { format, retries: 5, ..Notify::default() }, spread }
    }

    fn push(&mut self, at: Millis, kind: EventKind) {
        for message in Message::of(&Event::of_cluster(at, "c", kind), self.notify.format) {
            assert!(self.outbox.push(message, at, self.spread));
        }
    }

    /// What is sent at `now`, in short, while the receiver answers.
    fn sent(&mut self, now: Millis) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some((round, messages)) = self.outbox.take(&self.notify, now) {
            sent.extend(messages.iter().map(|message| self.told(message)));
            self.outbox.on_response(round, Ended::Ok, &self.notify, now);
        }
        sent
    }

    fn told(&self, message: &Message) -> String {
        let json = message.event().map_or_else(|| message.to_json(&self.notify, "p"), str::to_owned);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let what = json["faultline"].as_str().or(json["labels"]["alertname"].as_str()).unwrap();
        let to = json["to"].as_str().or(json["labels"]["failover_to"].as_str()).unwrap_or("none");
        let ended = json["endsAt"].as_str().map_or("", |_| " ended");
        format!("{} {to}{ended}", what.trim_start_matches("Faultline"))
    }
}

fn started(to: &str) -> EventKind {
    EventKind::FailoverStarted(route(to))
}

#[test]
fn a_start_waits_for_its_turn_and_a_cluster_without_a_healthy_endpoint_does_not() {
    for (format, start, lost) in [
        (Format::Alertmanager, "FailoverToAnotherZone r1/z2", "NoHealthyUpstream none"),
        (Format::Webhook, "failover_started r1/z2", "no_healthy_upstream none"),
    ] {
        let mut proxy = Proxy::new(format, TURN);
        proxy.push(1_000, started("r1/z2"));
        assert_eq!(proxy.outbox.wait(&proxy.notify, 1_000), Some(7_000));
        proxy.push(2_000, EventKind::NoHealthyUpstream { endpoints: 3 });
        assert_eq!(proxy.sent(2_000), [lost]);
        assert_eq!(Outbox::decode(&proxy.outbox.encode()), proxy.outbox);
        assert_eq!((proxy.sent(7_999), proxy.outbox.wait(&proxy.notify, 7_999)), (vec![], Some(1)));
        assert_eq!(proxy.sent(8_000), [start]);
    }
}

#[test]
fn a_failover_that_is_over_before_its_turn_is_not_sent_at_all() {
    for format in [Format::Alertmanager, Format::Webhook] {
        let mut proxy = Proxy::new(format, TURN);
        proxy.push(1_000, started("r1/z2"));
        proxy.push(2_000, EventKind::FailoverChanged { route: route("r1/z2"), left: None });
        proxy.push(7_999, ended("r1/z2"));
        assert_eq!((proxy.outbox.wait(&proxy.notify, 7_999), proxy.sent(90_000)), (None, vec![]));
        assert!(!proxy.outbox.should_repeat(90_000, TURN));
        // The next one is told as if there had been none.
        proxy.push(100_000, started("r1/z2"));
        assert_eq!((proxy.sent(106_999).len(), proxy.sent(107_000).len()), (0, 1));
        proxy.push(107_001, ended("r1/z2"));
        assert_eq!(proxy.sent(107_001).len(), 1, "an end does not wait");
    }
}

#[test]
fn the_end_of_what_was_told_is_told_also_if_news_of_it_came_just_before() {
    let mut proxy = Proxy::new(Format::Alertmanager, TURN);
    proxy.push(1_000, started("r1/z2"));
    assert_eq!(proxy.sent(8_000).len(), 1);
    proxy.push(9_000, EventKind::FailoverChanged { route: route("r1/z2"), left: None });
    proxy.push(9_001, ended("r1/z2"));
    assert_eq!(proxy.sent(9_001), ["FailoverToAnotherZone r1/z2 ended"]);
}

#[test]
fn a_failover_that_moves_on_before_its_turn_is_told_where_it_goes() {
    let moved = || EventKind::FailoverChanged { route: route("r1/z3"), left: Some((Locality::parse("r1/z2"), 3.0)) };
    let mut proxy = Proxy::new(Format::Alertmanager, TURN);
    proxy.push(1_000, started("r1/z2"));
    proxy.push(4_000, moved());
    assert_eq!((proxy.sent(10_999), proxy.sent(11_000)), (vec![], vec!["FailoverToAnotherZone r1/z3".into()]));
    let mut proxy = Proxy::new(Format::Webhook, TURN);
    proxy.push(1_000, started("r1/z2"));
    proxy.push(4_000, moved());
    assert_eq!(proxy.sent(8_000), ["failover_started r1/z2", "failover_changed r1/z3"]);
    proxy.push(9_000, moved());
    assert_eq!(proxy.sent(9_000), ["failover_changed r1/z3"], "the receiver knows of it");
}

#[test]
fn an_end_never_overtakes_its_start() {
    for format in [Format::Alertmanager, Format::Webhook] {
        let mut proxy = Proxy::new(format, TURN);
        proxy.push(1_000, started("r1/z2"));
        let (round, first) = proxy.outbox.take(&proxy.notify, 8_000).unwrap();
        // The start is on its way when the failover ends, and must be tried again: perhaps it did arrive.
        proxy.push(8_001, ended("r1/z2"));
        proxy.outbox.on_response(round, Ended::Failed, &proxy.notify, 8_002);
        let (round, again) = proxy.outbox.take(&proxy.notify, 9_000).unwrap();
        assert_eq!(again[0], first[0]);
        proxy.outbox.on_response(round, Ended::Ok, &proxy.notify, 9_000);
        assert!(again.len() == 2 || proxy.sent(9_000).len() == 1, "and its end after it");
    }
    // A failed start is tried also by a clock that went back, and its end is not lost.
    let mut proxy = Proxy::new(Format::Alertmanager, TURN);
    proxy.push(1_000, started("r1/z2"));
    let (round, _) = proxy.outbox.take(&proxy.notify, 8_000).unwrap();
    proxy.outbox.on_response(round, Ended::Failed, &proxy.notify, 8_001);
    proxy.push(6_000, ended("r1/z2"));
    assert_eq!(proxy.sent(6_000), ["FailoverToAnotherZone r1/z2 ended"]);
}

#[test]
fn a_clock_that_went_back_makes_no_start_wait_for_long() {
    let mut proxy = Proxy::new(Format::Alertmanager, TURN);
    proxy.push(1_000_000, started("r1/z2"));
    assert_eq!(proxy.sent(100_000), ["FailoverToAnotherZone r1/z2"]);
}

#[test]
fn a_proxy_that_is_not_the_one_in_many_tells_only_what_cannot_wait() {
    for format in [Format::Alertmanager, Format::Webhook] {
        let mut proxy = Proxy::new(format, SILENT);
        proxy.push(1_000, started("r1/z2"));
        proxy.push(2_000, EventKind::NoHealthyUpstream { endpoints: 3 });
        proxy.push(3_000, EventKind::UpstreamRecovered { seconds: 1.0 });
        proxy.push(20_000, ended("r1/z2"));
        let sent = proxy.sent(20_000);
        assert!(!sent.is_empty() && sent.iter().all(|told| told.ends_with("none") || told.ends_with("none ended")));
        assert!(!proxy.outbox.should_repeat(900_000, SILENT));
    }
    // It ends what it told before its configuration changed.
    let mut proxy = Proxy::new(Format::Alertmanager, TURN);
    proxy.push(1_000, started("r1/z2"));
    assert_eq!(proxy.sent(8_000).len(), 1);
    proxy.spread = SILENT;
    proxy.push(9_000, ended("r1/z2"));
    assert_eq!(proxy.sent(9_000), ["FailoverToAnotherZone r1/z2 ended"]);
}

#[test]
fn an_open_alert_is_repeated_in_the_proxys_own_time_with_its_first_start() {
    let mut proxy = Proxy::new(Format::Alertmanager, TURN);
    proxy.push(1_000, started("r1/z2"));
    proxy.sent(8_000);
    assert!(!proxy.outbox.should_repeat(40_999, TURN) && proxy.outbox.should_repeat(41_000, TURN));
    proxy.outbox.repeat(41_000, |_| true);
    let (_, again) = proxy.outbox.take(&proxy.notify, 41_000).unwrap();
    assert!(again[0].to_json(&proxy.notify, "p").contains(&rfc3339(1_000)));
}
