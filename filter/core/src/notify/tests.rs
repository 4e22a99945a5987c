//! Tests of which event makes which message, and when a message is sent, retried and given up.

mod turns;

use super::Message;
use super::outbox::{Delivery, Ended, MAX_WAITING, Outbox};
use super::spread::{REPEAT_INTERVAL_MS, Spread};
use crate::config::Duration;
use crate::config::notify::{Format, Notify};
use crate::event::{Event, EventKind, FailoverCause, FailoverEnd, Route};
use crate::locality::{Locality, Tier};
use crate::names::{proxy_name, service};
use crate::time::{Millis, rfc3339};
use serde_json::Value;

const CLUSTER: &str = "outbound|8000||mockb.default.svc.cluster.local";
const A: &str = "r1/z1";
const B: &str = "r1/z2";
const C: &str = "r2/z1";

fn event(at: Millis, kind: EventKind) -> Event {
    Event::of_cluster(at, CLUSTER, kind)
}

fn route(to: &str) -> Route {
    let (from, to) = (Locality::parse(A), Locality::parse(to));
    let cause = FailoverCause::Ejected;
    Route { from, to, tier: Tier::SameRegion, share: 0.7, cause, healthy_at_home: 1, endpoints_at_home: 3 }
}

fn ended(to: &str) -> EventKind {
    EventKind::FailoverEnded {
        from: Locality::parse(A),
        to: Locality::parse(to),
        seconds: 5.0,
        requests_away: 10,
        errors_away: 1,
        destinations: Vec::new(),
        because: FailoverEnd::Recovered,
        seconds_at_last: 2.0,
    }
}

fn started(at: Millis, cluster: &str) -> Message {
    let event = Event::of_cluster(at, cluster, EventKind::FailoverStarted(route(B)));
    Message::of(&event, Format::Alertmanager).remove(0)
}

fn notify(retries: u32) -> Notify {
    Notify { cluster: "alertmanager".into(), retries, ..Notify::default() }
}

fn json(message: &Message) -> Value {
    let labels = [("severity".to_owned(), "page".into()), ("team".to_owned(), "a".into())].into_iter().collect();
    serde_json::from_str(&message.to_json(&Notify { labels, ..notify(0) }, "mocka.default")).unwrap()
}

/// The turn of a proxy that is alone.
fn at_once() -> Spread {
    Spread::new(0, 1)
}

/// What is posted to a webhook.
fn posted(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.event().unwrap().to_owned()).collect()
}

#[test]
fn a_failover_has_the_names_and_labels_of_the_rules() {
    let told = Message::of(&event(1_000, EventKind::FailoverStarted(route(B))), Format::Alertmanager);
    let json = json(&told[0]);
    let labels = serde_json::json!({
        "alertname": "FaultlineFailoverToAnotherZone", "service": "mockb.default.svc.cluster.local",
        "upstream_cluster": CLUSTER, "failover_from": A, "failover_to": B, "region": "r1", "proxy": "mocka.default",
        "severity": "page", "team": "a",
    });
    assert_eq!((told.len(), &json["labels"]), (1, &labels));
    let summary = "mockb.default.svc.cluster.local: failover to another zone, from r1/z1 to r1/z2";
    assert_eq!(json["annotations"]["summary"], summary);
    let description = json["annotations"]["description"].as_str().unwrap();
    assert!(description.contains("mocka.default") && description.contains("70% of the traffic; 1 of 3"));
    assert!(description.ends_with("ejected by Envoy"), "{description}");
    assert_eq!((&json["startsAt"], &json["endsAt"]), (&"1970-01-01T00:00:01.000Z".into(), &Value::Null));
}

#[test]
fn one_that_moves_on_ends_the_old_alert_and_opens_the_new() {
    let moved = EventKind::FailoverChanged { route: route(C), left: Some((Locality::parse(B), 3.0)) };
    let told = Message::of(&event(10_000, moved), Format::Alertmanager);
    let told: Vec<Value> = told.iter().map(json).collect();
    let names: Vec<_> = told.iter().map(|alert| &alert["labels"]["alertname"]).collect();
    assert_eq!(names, ["FaultlineFailoverToAnotherZone", "FaultlineFailoverToAnotherRegion"]);
    assert_eq!((&told[0]["startsAt"], &told[1]["startsAt"]), (&rfc3339(7_000).into(), &rfc3339(10_000).into()));
    assert_eq!((&told[0]["endsAt"], &told[1]["endsAt"]), (&rfc3339(10_000).into(), &Value::Null));
}

#[test]
fn a_webhook_gets_the_events_themselves_and_no_others() {
    let failover = event(1_000, EventKind::FailoverStarted(route(B)));
    assert_eq!(posted(&Message::of(&failover, Format::Webhook)), [failover.to_json()]);
    let moved = EventKind::FailoverChanged { route: route(C), left: Some((Locality::parse(B), 3.0)) };
    assert_eq!(Message::of(&event(1, moved), Format::Webhook).len(), 1);
    let rejected = event(1, EventKind::ConfigRejected { error: "x".into() });
    for format in [Format::Alertmanager, Format::Webhook] {
        assert!(Message::of(&rejected, format).is_empty());
    }
}

#[test]
fn names_of_services_and_proxies() {
    assert_eq!((service(CLUSTER), service("backend")), ("mockb.default.svc.cluster.local", "backend"));
    assert_eq!(proxy_name("sidecar~10.0.0.1~mocka-7d.default~default.svc.cluster.local"), "mocka-7d.default");
    assert_eq!((proxy_name("caller-1"), proxy_name("a~b~c"), proxy_name("")), ("caller-1", "a~b~c", ""));
}

#[test]
fn labels_are_cut_and_never_empty() {
    let event = Event::of_cluster(1, &"é".repeat(1_000), EventKind::NoHealthyUpstream { endpoints: 2 });
    let json = json(&Message::of(&event, Format::Alertmanager)[0]);
    assert_eq!(json["labels"]["upstream_cluster"].as_str().unwrap().len(), 256);
    assert_eq!(json["labels"].get("region"), None);
}

#[test]
fn one_sender_at_a_time_and_what_is_sent_stays_until_it_is_answered() {
    let (mut outbox, notify) = (Outbox::default(), notify(5));
    assert!(outbox.push(started(1, "a"), 1, at_once()) && outbox.push(started(1, "b"), 1, at_once()));
    let (round, sent) = outbox.take(&notify, 1).unwrap();
    assert_eq!((sent.len(), outbox.take(&notify, 2)), (2, None));
    assert!(outbox.push(started(3, "c"), 3, at_once()));
    assert_eq!(outbox.on_response(round + 1, Ended::Ok, &notify, 4), Delivery::default(), "another's answer");
    assert_eq!(outbox.on_response(round, Ended::Ok, &notify, 4).delivered, 2);
    assert_eq!(outbox.on_response(round, Ended::Ok, &notify, 4), Delivery::default(), "twice");
    assert_eq!(outbox.take(&notify, 4).unwrap().1, [started(3, "c")]);
    assert_eq!(Outbox::decode(&outbox.encode()), outbox);
    assert_eq!(Outbox::decode(b"\xff\xff\xff"), Outbox::default());
}

#[test]
fn failures_are_tried_again_later_and_later_and_then_given_up() {
    let (mut outbox, notify) = (Outbox::default(), notify(2));
    let mut now = 1;
    outbox.push(started(now, "a"), now, at_once());
    let mut waits = Vec::new();
    let given_up = loop {
        let (round, _) = outbox.take(&notify, now).unwrap();
        let settled = outbox.on_response(round, Ended::Failed, &notify, now);
        if settled.given_up > 0 {
            break settled;
        }
        let wait = outbox.wait(&notify, now).unwrap();
        assert_eq!(outbox.take(&notify, now + wait - 1), None);
        waits.push(wait);
        now += wait;
    };
    assert_eq!((waits, given_up.reachability_changed), (vec![500, 1_000], true));
    // After giving up on a receiver, the filter tries once for each message.
    outbox.push(started(now, "b"), now, at_once());
    now += outbox.wait(&notify, now).unwrap();
    let (round, _) = outbox.take(&notify, now).unwrap();
    assert_eq!(
        outbox.on_response(round, Ended::Failed, &notify, now),
        Delivery { delivered: 0, given_up: 1, reachability_changed: false }
    );
    outbox.push(started(now, "c"), now, at_once());
    now += outbox.wait(&notify, now).unwrap();
    let (round, _) = outbox.take(&notify, now).unwrap();
    assert_eq!(
        outbox.on_response(round, Ended::Ok, &notify, now),
        Delivery { delivered: 1, given_up: 0, reachability_changed: true }
    );
}

#[test]
fn what_the_receiver_does_not_want_is_not_tried_again() {
    let (mut outbox, notify) = (Outbox::default(), notify(5));
    outbox.push(started(1, "a"), 1, at_once());
    let (round, _) = outbox.take(&notify, 1).unwrap();
    assert_eq!(
        outbox.on_response(round, Ended::Refused, &notify, 1),
        Delivery { delivered: 0, given_up: 1, reachability_changed: true }
    );
    assert_eq!(outbox.wait(&notify, 1), None);
}

#[test]
fn a_sender_that_died_is_not_waited_for_even_if_the_clock_went_back() {
    let notify = notify(0);
    for back in [0, 900_000] {
        let (mut outbox, now) = (Outbox::default(), 1_000_000);
        outbox.push(started(now, "a"), now, at_once());
        outbox.take(&notify, now).unwrap();
        let later = now - back + 10_000;
        assert_eq!(outbox.wait(&notify, later), Some(0));
        assert_eq!(outbox.give_up_waiting(&notify, later).given_up, 1);
    }
}

#[test]
fn an_open_alert_is_told_again_until_it_ends() {
    let (mut outbox, notify) = (Outbox::default(), notify(5));
    let send = |outbox: &mut Outbox, now| {
        let (round, sent) = outbox.take(&notify, now).unwrap();
        outbox.on_response(round, Ended::Ok, &notify, now);
        sent
    };
    outbox.push(started(1, CLUSTER), 1, at_once());
    send(&mut outbox, 1);
    assert!(!outbox.should_repeat(REPEAT_INTERVAL_MS, at_once()));
    assert!(outbox.should_repeat(REPEAT_INTERVAL_MS + 1, at_once()));
    outbox.repeat(REPEAT_INTERVAL_MS + 1, |_| true);
    assert_eq!(send(&mut outbox, REPEAT_INTERVAL_MS + 1), [started(1, CLUSTER)]);
    let over = Message::of(&event(70_000, ended(B)), Format::Alertmanager).remove(0);
    outbox.push(over, 70_000, at_once());
    let sent = send(&mut outbox, 70_000);
    assert_eq!((sent.len(), json(&sent[0])["startsAt"].as_str()), (1, Some(rfc3339(1).as_str())));
    assert_eq!(json(&sent[0])["endsAt"], rfc3339(70_000));
    assert!(!outbox.should_repeat(10 * REPEAT_INTERVAL_MS, at_once()));
    // A repeated alert that no longer holds is forgotten.
    outbox.push(started(80_000, CLUSTER), 80_000, at_once());
    send(&mut outbox, 80_000);
    outbox.repeat(200_000, |_| false);
    assert_eq!(outbox.wait(&notify, 200_000), None);
}

#[test]
fn an_alert_that_waits_and_has_news_is_sent_once_as_it_is_then() {
    let (mut outbox, notify) = (Outbox::default(), notify(5));
    outbox.push(started(1, CLUSTER), 1, at_once());
    outbox.push(Message::of(&event(5_000, ended(B)), Format::Alertmanager).remove(0), 5_000, at_once());
    let (_, sent) = outbox.take(&notify, 5_000).unwrap();
    assert_eq!((sent.len(), json(&sent[0])["endsAt"].as_str()), (1, Some(rfc3339(5_000).as_str())));
}

#[test]
fn what_waits_is_bounded_and_of_the_format_that_is_asked_for() {
    let mut outbox = Outbox::default();
    let taken = (0..2 * MAX_WAITING).filter(|i| outbox.push(started(1, &i.to_string()), 1, at_once())).count();
    assert_eq!(taken, MAX_WAITING);
    let webhook = Notify { format: Format::Webhook, timeout: Duration::from_millis(1), ..notify(0) };
    assert_eq!(outbox.take(&webhook, 1), None);
    assert_eq!(outbox.wait(&webhook, 1), None);
}
