//! Tests of one endpoint's streaks and ejection, attempt by attempt.

use filter_core::config::Duration;
use filter_core::config::OutlierDetection;
use filter_core::endpoint::detector::{AttemptTimes, Detector};
use filter_core::endpoint::outcome::DetectorInput;
use filter_core::endpoint::streak::{Certainty, Crossing, StreakKind};

fn rules() -> OutlierDetection {
    OutlierDetection {
        consecutive5xx_errors: 3,
        consecutive_gateway_errors: 2,
        interval: Duration::from_millis(1_000),
        base_ejection_time: Duration::from_millis(2_000),
        max_ejection_time: Duration::from_millis(5_000),
        ..OutlierDetection::default()
    }
}

/// Applies attempts that do not overlap, so that only their order matters.
fn charge(detector: &mut Detector, charges: DetectorInput, rules: &OutlierDetection) -> Vec<Crossing> {
    detector.put_result(&charges, &AttemptTimes::at_once(0), rules, 0)
}

fn fired(detector: &mut Detector, rules: &OutlierDetection, statuses: &[u16]) -> Vec<StreakKind> {
    let charge = |status: &u16| charge(detector, DetectorInput::answered(*status), rules);
    statuses.iter().flat_map(charge).map(|crossing| crossing.kind).collect()
}

const REFUSED: DetectorInput = DetectorInput { connected: false, status: None, failure: Some(503) };
const CLOSED: DetectorInput = DetectorInput { connected: true, status: None, failure: Some(503) };

#[test]
fn thresholds_fire_when_equalled_and_start_over() {
    let mut detector = Detector::default();
    let only_5xx = OutlierDetection { consecutive_gateway_errors: 0, ..rules() };
    assert_eq!(fired(&mut detector, &only_5xx, &[500, 500, 200, 500, 500]), []);
    assert_eq!(fired(&mut detector, &only_5xx, &[500]), [StreakKind::Http5xx]);
    assert_eq!(fired(&mut detector, &only_5xx, &[503, 500]), []);
    assert_eq!(fired(&mut detector, &only_5xx, &[503]), [StreakKind::Http5xx]);
}

#[test]
fn a_second_crossing_of_an_unbroken_streak_is_not_the_first() {
    let mut detector = Detector::default();
    let rules = OutlierDetection { consecutive5xx_errors: 1, ..rules() };
    let firsts: Vec<bool> = [500, 500, 200, 500]
        .iter()
        .flat_map(|status| charge(&mut detector, DetectorInput::answered(*status), &rules))
        .map(|crossing| crossing.first)
        .collect();
    assert_eq!(firsts, [true, false, true]);
}

#[test]
fn a_plain_500_resets_the_gateway_streak_but_not_the_5xx_one() {
    let mut detector = Detector::default();
    assert_eq!(fired(&mut detector, &rules(), &[503, 500, 503]), [StreakKind::Http5xx]);
    assert_eq!(fired(&mut detector, &rules(), &[503]), [StreakKind::GatewayError]);
}

#[test]
fn without_split_local_failures_are_503s() {
    let mut detector = Detector::default();
    assert!(charge(&mut detector, REFUSED, &rules()).is_empty());
    assert_eq!(charge(&mut detector, CLOSED, &rules()).len(), 1, "two gateway errors");
}

#[test]
fn in_split_mode_only_failures_to_connect_build_a_streak() {
    let split = split(2);
    let mut detector = Detector::default();
    for _ in 0..5 {
        assert!(charge(&mut detector, CLOSED, &split).is_empty());
    }
    assert_eq!(charge(&mut detector, REFUSED, &split).len(), 1, "the last close counts as one");
    assert!(charge(&mut detector, REFUSED, &split).is_empty());
    assert!(
        charge(&mut detector, DetectorInput::answered(500), &split).is_empty(),
        "an answer resets the local streak"
    );
    assert!(charge(&mut detector, REFUSED, &split).is_empty());
}

fn split(threshold: u32) -> OutlierDetection {
    OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failures: threshold,
        ..rules()
    }
}

#[test]
fn a_connection_that_is_lost_fails_all_its_requests_in_a_row() {
    let mut detector = Detector::default();
    let lost = |connected, ended| AttemptTimes { connected, answered: ended, ended };
    assert!(detector.put_result(&CLOSED, &lost(100, 70_000), &split(3), 0).is_empty());
    assert!(detector.put_result(&CLOSED, &lost(200, 70_000), &split(3), 0).is_empty());
    assert_eq!(detector.put_result(&CLOSED, &lost(300, 70_100), &split(3), 0).len(), 1);
}

#[test]
fn a_connection_resets_what_failed_before_it_and_nothing_later() {
    let mut detector = Detector::default();
    for ended in [1_000, 2_000, 3_000] {
        assert!(detector.put_result(&REFUSED, &AttemptTimes::at_once(ended), &split(4), 0).is_empty());
    }
    // Connected between the first and the second failure, answered only now.
    let answered = AttemptTimes { connected: 1_500, ..AttemptTimes::at_once(50_000) };
    assert!(detector.put_result(&DetectorInput::answered(200), &answered, &split(4), 0).is_empty());
    assert!(detector.put_result(&REFUSED, &AttemptTimes::at_once(51_000), &split(4), 0).is_empty());
    assert_eq!(
        detector.put_result(&REFUSED, &AttemptTimes::at_once(52_000), &split(4), 0).len(),
        1,
        "the fourth in a row"
    );
}

/// Requests that hang: each was connected at the first time and timed out at the second, in milliseconds.
fn hang(detector: &mut Detector, attempts: &[(u64, u64)], threshold: u32) -> Vec<Crossing> {
    let timed_out = DetectorInput { connected: true, status: None, failure: Some(504) };
    let times =
        |(had, ended): &(u64, u64)| AttemptTimes { connected: had * 1_000, ..AttemptTimes::at_once(ended * 1_000) };
    attempts.iter().flat_map(|attempt| detector.put_result(&timed_out, &times(attempt), &split(threshold), 0)).collect()
}

#[test]
fn a_streak_of_requests_that_hung_is_sure_when_none_is_under_way_that_could_break_it() {
    let mut detector = Detector::default();
    let crossings = hang(&mut detector, &[(10, 210), (20, 220), (30, 230)], 3);
    assert_eq!(crossings.iter().map(|crossing| crossing.certainty).collect::<Vec<_>>(), [Certainty::Unconfirmed]);
    assert!(detector.is_failing() && detector.take_confirmed(429_000, &split(3)).is_none());
    let crossing = detector.take_confirmed(430_000, &split(3)).unwrap();
    assert!(crossing.first && crossing.certainty == Certainty::Confirmed(230));
    assert!(detector.take_confirmed(430_000, &split(3)).is_none());
}

#[test]
fn a_streak_that_is_held_is_not_forgotten_for_the_next() {
    let mut detector = Detector::default();
    let hung = [(853, 967), (864, 973), (879, 990), (895, 1_006), (930, 1_041), (991, 1_100)];
    let held = hang(&mut detector, &hung, 3);
    assert_eq!(held.iter().map(|crossing| crossing.certainty).collect::<Vec<_>>(), [Certainty::Unconfirmed]);
    // The next attempt would have broken the second streak, and it comes late enough to confirm the first.
    let crossings = hang(&mut detector, &[(1_013, 1_125)], 3);
    assert_eq!(crossings.iter().map(|crossing| crossing.certainty).collect::<Vec<_>>(), [Certainty::Confirmed(990)]);
}

#[test]
fn a_streak_that_goes_on_after_envoy_refuted_one_fires_again() {
    let mut detector = Detector::default();
    let overlapping = |from: u64| (0..3).map(move |n| (from + n, from + 110 + 10 * n)).collect::<Vec<_>>();
    hang(&mut detector, &overlapping(0), 3);
    hang(&mut detector, &overlapping(50), 3);
    detector.refute(&split(3));
    assert_eq!(hang(&mut detector, &overlapping(100), 3).len(), 1);
}

#[test]
fn a_connection_that_is_heard_of_late_breaks_the_streak_that_was_not_sure() {
    let mut detector = Detector::default();
    hang(&mut detector, &[(10, 210), (20, 220), (30, 230)], 3);
    // This one was connected before the last of them failed, so Envoy's streak began with that failure.
    assert!(hang(&mut detector, &[(225, 425)], 3).is_empty());
    assert!(detector.take_confirmed(1_000_000, &split(3)).is_none());
    assert_eq!(hang(&mut detector, &[(226, 426)], 3).len(), 1, "with 230 and 425 that makes three");
}

#[test]
fn an_answer_resets_what_failed_before_its_headers_came_and_nothing_later() {
    let rules = OutlierDetection { consecutive_gateway_errors: 0, ..rules() };
    let mut detector = Detector::default();
    for at in [1_000, 2_000, 3_000] {
        assert_eq!(
            detector.put_result(&DetectorInput::answered(500), &AttemptTimes::at_once(at), &rules, 0).len() == 1,
            at == 3_000
        );
    }
    // Its body took until now.
    let slow = AttemptTimes { connected: 3_200, answered: 3_300, ended: 90_000 };
    for at in [4_000, 5_000] {
        assert!(detector.put_result(&DetectorInput::answered(500), &AttemptTimes::at_once(at), &rules, 0).is_empty());
    }
    assert!(detector.put_result(&DetectorInput::answered(200), &slow, &rules, 0).is_empty());
    assert_eq!(detector.put_result(&DetectorInput::answered(500), &AttemptTimes::at_once(6_000), &rules, 0).len(), 1);
}

#[test]
fn answers_that_break_off_together_are_a_streak_although_each_began_well() {
    let rules = OutlierDetection { consecutive_gateway_errors: 0, consecutive5xx_errors: 2, ..rules() };
    let broke_off = DetectorInput { connected: true, status: Some(200), failure: Some(503) };
    let times = |had| AttemptTimes { connected: had, answered: had, ended: 280_000 };
    let mut detector = Detector::default();
    assert!(detector.put_result(&broke_off, &times(10_000), &rules, 0).is_empty());
    assert_eq!(detector.put_result(&broke_off, &times(20_000), &rules, 0).len(), 1);
}

#[test]
fn nothing_fires_while_ejected_and_the_return_resets_all() {
    let mut detector = Detector::default();
    detector.on_ejected();
    for _ in 0..4 {
        detector.put_result_while_ejected(&DetectorInput::answered(500), &AttemptTimes::at_once(0), &rules());
    }
    assert!(detector.is_failing());
    detector.on_returned();
    assert!(!detector.is_failing());
    assert_eq!(fired(&mut detector, &rules(), &[500, 500]), []);
}
