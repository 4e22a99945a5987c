//! What endpoints look like to one who has opened some of them.

use super::*;
use crate::config::OutlierDetection;
use crate::endpoint::detector::AttemptTimes;
use crate::endpoint::ejection::Ejection;
use crate::endpoint::outcome::DetectorInput;
use crate::endpoint::rotation::Rotation;

const LOCALITIES: [&str; 3] = ["eu/a", "eu/b", ""];

fn address(n: u32) -> String {
    format!("10.0.0.{n}:80")
}

/// As the next worker finds it.
fn passed_on(endpoints: &Endpoints) -> Endpoints {
    decode(&encode(endpoints)).expect("what was written")
}

fn ejected_until(due: Millis) -> Rotation {
    let mut bytes = vec![3];
    Ejection { at: 1, earliest: 1, due, overdue: due }.write(&mut bytes);
    // No counts, no past.
    bytes.extend([0; 32]);
    let rotation: Rotation = decode(&bytes).expect("an ejected endpoint's rotation");
    assert_eq!(rotation.ejection().map(|ejection| ejection.due), Some(due));
    rotation
}

fn fail(endpoint: &mut Endpoint, now: Millis) {
    let input = DetectorInput { connected: true, status: Some(503), failure: None };
    let times = AttemptTimes::at_once(now * 1_000);
    endpoint.detector.put_result(&input, &times, &OutlierDetection::default(), now * 1_000);
    endpoint.seen = now;
}

fn numbers(endpoints: &Endpoints) -> Vec<u32> {
    let localities = LOCALITIES.map(Locality::parse);
    let at = localities.iter().flat_map(|locality| [endpoints.at(locality), endpoints.ejected_at(locality)]);
    [endpoints.ejected(), endpoints.troubled(), endpoints.number(Part::Undecided, None)].into_iter().chain(at).collect()
}

#[test]
fn what_is_counted_does_not_depend_on_who_is_open() {
    let mut endpoints = Endpoints::default();
    for n in 0..200_u32 {
        // Most are asked for again, some leave, and each change is another worker's.
        endpoints = passed_on(&endpoints);
        let which = address(n * 7 % 31);
        let index = endpoints
            .position(&which)
            .or_else(|| endpoints.add(&which, &Locality::parse(LOCALITIES[n as usize % 3]), None, Millis::from(n)));
        let endpoint = endpoints.get_mut(index.expect("there is room")).expect("it is open");
        assert_eq!(endpoint.address, which);
        if n % 3 == 0 {
            fail(endpoint, Millis::from(n))
        } else {
            endpoint.detector = Default::default()
        }
        endpoint.left = (n % 5 == 0).then_some(1);
        if n % 11 == 0 {
            endpoints.remove(index.unwrap_or_default());
        }
        let mut opened = passed_on(&endpoints);
        opened.all();
        assert_eq!(numbers(&endpoints), numbers(&opened), "after {n}");
        assert_eq!(numbers(&endpoints), numbers(&passed_on(&endpoints)), "after {n}");
        assert_eq!(encode(&passed_on(&endpoints)), encode(&endpoints), "after {n}");
    }
    assert!(endpoints.troubled() > 5 && endpoints.at(&Locality::parse("eu/a")) > 2, "the test shows nothing");
}

#[test]
fn one_that_nobody_asks_for_stays_as_it_was_written() {
    let mut endpoints = Endpoints::default();
    for n in 0..20 {
        endpoints.add(&address(n), &Locality::default(), None, 1);
    }
    let mut endpoints = passed_on(&endpoints);
    assert!(endpoints.position(&address(13)).is_some() && endpoints.position("10.0.0.99:80").is_none());
    assert_eq!((endpoints.open.len(), records(&endpoints.closed).count()), (1, 19));
    assert_eq!(endpoints.all(), 0..20);
}

#[test]
fn what_is_due_is_known_of_closed_endpoints_too() {
    let mut endpoints = Endpoints::default();
    let index = endpoints.add(&address(1), &Locality::parse("eu/a"), None, 1).expect("there is room");
    endpoints.add(&address(2), &Locality::parse("eu/a"), None, 1);
    endpoints.get_mut(index).expect("it is open").rotation = ejected_until(5_000);
    let mut endpoints = passed_on(&endpoints);
    assert_eq!((endpoints.ejected(), endpoints.ejected_at(&Locality::parse("eu/a")), endpoints.troubled()), (1, 1, 1));
    assert!(endpoints.is_ejected(&address(1)) && !endpoints.is_ejected(&address(2)));
    assert!(endpoints.any_closed_is_due(4_000, 5_000));
    assert!(!endpoints.any_closed_is_due(5_000, 6_000) && !endpoints.any_closed_is_due(3_000, 4_000));
    // The ejected one stays, however long ago it was asked for.
    endpoints.make_room();
    assert!(endpoints.position(&address(1)).is_some() && endpoints.position(&address(2)).is_none());
    assert!(endpoints.make_room().is_none());
}

#[test]
fn sums_that_cannot_be_are_not_read() {
    let sums = |counts: [u32; 4]| {
        let locality = Locality::default();
        let endpoints = Endpoints { sums: vec![Sum { locality, has_left: false, counts }], ..Endpoints::default() };
        decode::<Endpoints>(&encode(&endpoints))
    };
    assert!(sums([2, 1, 2, 0]).is_some());
    assert!(sums([2, 3, 0, 0]).is_none(), "more are ejected than there are");
    assert!(sums([MAX_ENDPOINTS + 1, 0, 0, 0]).is_none());
    let mut endpoints = sums([1, 1, 1, 1]).expect("it could be");
    endpoints.all();
    assert_eq!(endpoints.troubled(), 0, "those that are not there are not counted for long");
}

#[test]
fn the_first_that_is_not_ejected_makes_room() {
    let mut endpoints = Endpoints::default();
    for n in 0..MAX_ENDPOINTS {
        endpoints.add(&address(n), &Locality::default(), None, 1);
    }
    for open_all in [false, true] {
        let mut endpoints = passed_on(&endpoints);
        if open_all {
            endpoints.all();
        }
        // One that was asked for lately is kept for longer.
        assert!(endpoints.position(&address(0)).is_some());
        let mut endpoints = passed_on(&endpoints);
        assert!(endpoints.add("new", &Locality::default(), None, 2).is_some());
        assert_eq!(endpoints.number(Part::All, None), MAX_ENDPOINTS);
        let gone = if open_all { 0 } else { 1 };
        assert!(endpoints.position(&address(gone)).is_none() && endpoints.position("new").is_some());
    }
}
