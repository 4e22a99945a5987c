//! Failovers that are told well and badly, on a history made by hand: one endpoint at home, lost from 10 s to 13 s, and
//! all traffic away meanwhile and for half a second more.

use super::history::{History, Moment};
use super::series::{Sent, Series, Way};
use super::verdict::judge;
use crate::envoy::events::Event;
use crate::envoy::timestamp;

const HOME: &str = "r/a";
const AWAY: &str = "r/b";

fn history() -> History {
    history_of("ejected", 13_000)
}

/// Home is lost until `until` by `cause`.
fn history_of(cause: &'static str, until: i64) -> History {
    let moments = (0..400).map(|n| moment(n * 50, cause, until)).collect();
    let sent = (0..2_000).map(|n| {
        let at = n * 10;
        let is_away = (10_100..until + 500).contains(&at);
        let (locality, way) = if is_away { (AWAY, Way::Away) } else { (HOME, Way::Home) };
        Sent { at, locality: locality.to_owned(), way, perhaps: None, answered: true, count: 1 }
    });
    let series = Series::new(sent.collect());
    History { moments, attempts: series.clone(), counted: series, unnoticed: 0 }
}

fn moment(at: i64, cause: &'static str, until: i64) -> Moment {
    if !(10_000..until).contains(&at) {
        return Moment { at, endpoints: 1, healthy: 1, ..Moment::default() };
    }
    let (causes, lost) = ([cause].into(), [HOME.to_owned()].into());
    Moment { at, endpoints: 1, healthy: 0, causes, lost }
}

fn event(name: &str, at: i64, more: &str) -> Event {
    let ts = timestamp::of_millis(at);
    let line = format!(r#"{{"faultline":"{name}","ts":"{ts}","from":"{HOME}","to":"{AWAY}",{more}}}"#);
    Event::in_line(&line).unwrap()
}

fn started(at: i64) -> Event {
    event("failover_started", at, r#""share":1.0,"cause":"ejected","healthy_at_home":0,"endpoints_at_home":1"#)
}

fn ended(at: i64, requests: u32) -> Event {
    let more = format!(r#""because":"recovered","destinations":[{{"to":"{AWAY}","requests":{requests}}}]"#);
    event("failover_ended", at, &more)
}

fn faults(events: &[Event]) -> Vec<String> {
    judge(&history(), events).wrong
}

#[test]
fn a_failover_that_is_told_well_is_right() {
    assert_eq!(faults(&[started(10_100), ended(17_500, 340)]), [""; 0]);
    assert_eq!(faults(&[started(11_000), ended(17_900, 330)]), [""; 0]);
}

#[test]
fn a_moment_without_a_home_must_be_told_where_something_was_ejected() {
    let faults = |cause, until| judge(&history_of(cause, until), &[]).wrong.len();
    assert_eq!([faults("ejected", 10_300), faults("unhealthy", 10_300), faults("unhealthy", 10_900)], [1, 0, 1]);
}

#[test]
fn a_failover_must_be_told_and_told_soon() {
    assert!(faults(&[])[0].starts_with("no failover at 1970-01-01T00:00:10.1"));
    assert_eq!(faults(&[started(11_400), ended(17_500, 300)]).len(), 1);
}

#[test]
fn one_that_was_not_is_invented() {
    let invented = faults(&[started(5_000), ended(9_000, 0), started(10_100), ended(17_500, 340)]);
    assert!(invented.iter().any(|fault| fault.starts_with("every endpoint at home was in rotation")), "{invented:?}");
}

#[test]
fn the_end_comes_when_the_last_request_away_has_left_the_window_for_a_while() {
    for (at, is_right) in [(15_000, false), (16_900, false), (17_200, true), (17_900, true), (18_100, false)] {
        assert_eq!(faults(&[started(10_100), ended(at, 340)]).is_empty(), is_right, "{at}");
    }
    assert!(faults(&[started(10_100)])[0].starts_with("over at 1970-01-01T00:00:17.49"));
}

#[test]
fn every_part_of_what_is_told_is_judged() {
    let told = started(10_100).to_string();
    let changes = [
        (r#""cause":"ejected""#, r#""cause":"unhealthy""#),
        (r#""from":"r/a""#, r#""from":"r/b""#),
        (r#""to":"r/b""#, r#""to":"r/c""#),
        (r#""share":1.0"#, r#""share":0.5"#),
        (r#""healthy_at_home":0"#, r#""healthy_at_home":1"#),
    ];
    for (right, wrong) in changes {
        let start = Event::in_line(&told.replace(right, wrong)).unwrap();
        assert_eq!(faults(&[start, ended(17_500, 340)]).len(), 1, "{wrong}");
    }
    for requests in [0, 200, 500] {
        assert_eq!(faults(&[started(10_100), ended(17_500, requests)]).len(), 1, "{requests} requests");
    }
}
