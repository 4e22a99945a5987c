//! What happened to one cluster: its home at every moment, and where its requests went.

use std::collections::{BTreeMap, BTreeSet};

use super::series::{Sent, Series, Way};
use crate::envoy::attempts::{Attempt, Kind};
use crate::envoy::outlier::{Action, Record};
use crate::envoy::timestamp;
use crate::envoy::topology::Locality;
use crate::judge::observe::{Hosts, Out, Sample};

/// What a history is made of.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) struct Sources<'a> {
    /// Envoy's hosts and the endpoints' counts over time.
    pub(in crate::judge) samples: &'a [Sample],
    /// Envoy's ejections and returns.
    pub(in crate::judge) records: &'a [Record],
    /// Every attempt.
    pub(in crate::judge) attempts: &'a [Attempt],
    /// The endpoints' addresses, by index.
    pub(in crate::judge) addresses: &'a [String],
    /// The proxy's locality.
    pub(in crate::judge) home: &'a Locality,
    /// When the control plane delivered something, in milliseconds since the Unix epoch.
    pub(in crate::judge) delivered: &'a [i64],
    /// For how long the filter may not notice trouble, in milliseconds: where no request that it sees goes.
    pub(in crate::judge) unnoticed: i64,
}

/// A cluster's home at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// In milliseconds since the Unix epoch.
    pub(super) at: i64,
    /// Endpoints in the home tier.
    pub(super) endpoints: usize,
    /// Those of them that are in rotation.
    pub(super) healthy: usize,
    /// What keeps traffic from home, as events say it.
    pub(super) causes: BTreeSet<&'static str>,
    /// The localities that lost an endpoint.
    pub(super) lost: BTreeSet<String>,
}

impl Moment {
    pub(super) fn is_whole(&self) -> bool {
        self.endpoints > 0 && self.healthy == self.endpoints
    }
}

/// What happened to a cluster.
#[derive(Clone, Debug, Default)]
pub(in crate::judge) struct History {
    /// Its home, at each sample and at each ejection and return.
    pub(super) moments: Vec<Moment>,
    /// Every attempt, as Envoy logged it.
    pub(super) attempts: Series,
    /// Requests as the endpoints counted them.
    pub(super) counted: Series,
    /// For how long the filter may not notice trouble, in milliseconds.
    pub(super) unnoticed: i64,
}

impl History {
    /// The history of the cluster of this name, whose endpoints have the indices `own`.
    pub(in crate::judge) fn of(cluster: &str, own: &[usize], sources: Sources<'_>) -> Self {
        let places = Places::of(cluster, sources);
        let attempts = Series::new(attempts(own, &places, sources));
        let counted = Series::new(counted(own, &places, sources));
        Self { moments: places.moments(sources.records), attempts, counted, unnoticed: sources.unnoticed }
    }

    /// The moments of a span, and one before and after it: on a busy machine, samples may be far apart.
    pub(super) fn moments(&self, from: i64, to: i64) -> &[Moment] {
        let begin = self.moments.partition_point(|moment| moment.at < from).saturating_sub(1);
        let end = self.moments.partition_point(|moment| moment.at <= to) + 1;
        &self.moments[begin..end.min(self.moments.len()).max(begin)]
    }

    /// When the last sample was taken.
    pub(super) fn end(&self) -> i64 {
        self.moments.last().map_or(0, |moment| moment.at)
    }

    /// The series that count.
    pub(super) fn series(&self) -> [&Series; 2] {
        [&self.attempts, &self.counted]
    }
}

/// How much later than Envoy uses what is delivered that may be noted, in milliseconds: up to a sample.
const NOTED_LATE: i64 = 50;

/// Where a cluster's endpoints were over time.
struct Places<'a> {
    cluster: &'a str,
    home: &'a Locality,
    samples: &'a [Sample],
    /// How far the home tier is from the proxy.
    nearest: u32,
    /// For each endpoint, since when it has been in a locality.
    localities: BTreeMap<&'a str, Vec<(i64, String)>>,
}

impl<'a> Places<'a> {
    fn of(cluster: &'a str, sources: Sources<'a>) -> Self {
        let mut localities: BTreeMap<&str, Vec<(i64, String)>> = BTreeMap::new();
        let (mut before, mut present) = (i64::MIN, BTreeSet::new());
        for sample in sources.samples {
            // What a sample shows for the first time has been so since it was delivered.
            let since = sources.delivered.iter().rev().find(|at| (before..=sample.at).contains(at));
            let since = *since.unwrap_or(&sample.at);
            let own = || sample.hosts.iter().filter(|((name, _), _)| name == cluster);
            for ((_, address), host) in own() {
                let known = localities.entry(address).or_default();
                if known.last().is_none_or(|(_, last)| *last != host.locality) {
                    // Envoy uses what is delivered before the delivery is noted. One that was gone is nowhere else.
                    let was_gone = !known.is_empty() && !present.contains(address);
                    known.push((if was_gone { before } else { since }, host.locality.clone()));
                }
            }
            present = own().map(|((_, address), _)| address).collect();
            before = sample.at;
        }
        let distance = |locality: &str| sources.home.distance(&Locality::new(locality));
        let first = localities.values().filter_map(|known| known.first());
        let nearest = first.map(|(_, locality)| distance(locality)).min().unwrap_or(0);
        Self { cluster, home: sources.home, samples: sources.samples, nearest, localities }
    }

    fn way(&self, locality: &str) -> Way {
        if self.home.distance(&Locality::new(locality)) > self.nearest { Way::Away } else { Way::Home }
    }

    /// Where the endpoint was.
    fn locality(&self, address: &str, at: i64) -> Option<&str> {
        let known = self.localities.get(address)?;
        let last = known.iter().rev().find(|(since, _)| *since <= at).or(known.first());
        last.map(|(_, locality)| locality.as_str())
    }

    /// Where else than in `locality` the endpoint may have been, with the way there.
    fn perhaps(&self, address: &str, at: i64, locality: &str) -> Option<(String, Way)> {
        let other = self.locality(address, at + NOTED_LATE).filter(|other| *other != locality)?;
        Some((other.to_owned(), self.way(other)))
    }

    /// Home at each sample, and at each ejection and return in between: several may come within milliseconds.
    fn moments(&self, records: &[Record]) -> Vec<Moment> {
        let own = records.iter().filter(|record| record.cluster == self.cluster);
        let mut own: Vec<(i64, &Record)> = own.filter_map(|r| Some((timestamp::millis(&r.timestamp)?, r))).collect();
        own.sort_by_key(|(at, _)| *at);
        let mut moments: Vec<Moment> = self.samples.first().map(|s| self.moment(s.at, &s.hosts)).into_iter().collect();
        for pair in self.samples.windows(2) {
            let [before, after] = pair else { continue };
            let mut hosts = before.hosts.clone();
            for (at, record) in own.iter().filter(|(at, _)| (before.at + 1..=after.at).contains(at)) {
                let Some(host) = hosts.get_mut(&(record.cluster.clone(), record.endpoint.clone())) else { continue };
                host.out.retain(|out| *out != Out::Ejected);
                if record.action == Action::Eject {
                    host.out.push(Out::Ejected);
                }
                moments.push(self.moment(*at, &hosts));
            }
            moments.push(self.moment(after.at, &after.hosts));
        }
        moments
    }

    fn moment(&self, at: i64, hosts: &Hosts) -> Moment {
        let mut moment = Moment { at, ..Moment::default() };
        for ((_, _), host) in hosts.iter().filter(|((name, _), _)| name == self.cluster) {
            if self.way(&host.locality) == Way::Away {
                continue;
            }
            moment.endpoints += 1;
            moment.healthy += usize::from(host.out.is_empty());
            for out in &host.out {
                moment.causes.insert(if *out == Out::Ejected { "ejected" } else { "unhealthy" });
                moment.lost.insert(host.locality.clone());
            }
        }
        if moment.endpoints == 0 {
            moment.causes.insert("endpoints_left");
            let known = self.localities.values().flatten().map(|(_, locality)| locality.clone());
            moment.lost = known.filter(|locality| self.way(locality) == Way::Home).collect();
        }
        moment
    }
}

fn attempts(own: &[usize], places: &Places<'_>, sources: Sources<'_>) -> Vec<Sent> {
    let addresses: BTreeSet<&str> = own.iter().map(|index| sources.addresses[*index].as_str()).collect();
    let own = |a: &&Attempt| a.kind == Kind::Attempt && addresses.contains(a.endpoint.as_str());
    let sent = |attempt: &Attempt| {
        let locality = places.locality(&attempt.endpoint, attempt.started)?.to_owned();
        Some(Sent {
            at: attempt.ended,
            way: places.way(&locality),
            perhaps: places.perhaps(&attempt.endpoint, attempt.started, &locality),
            locality,
            answered: attempt.text.ends_with("via_upstream"),
            count: u64::from(!attempt.text.contains("downstream_remote_disconnect")),
        })
    };
    sources.attempts.iter().filter(own).filter_map(sent).collect()
}

fn counted(own: &[usize], places: &Places<'_>, sources: Sources<'_>) -> Vec<Sent> {
    let mut all = Vec::new();
    for pair in sources.samples.windows(2) {
        let [before, after] = pair else { continue };
        for index in own {
            let count = after.counts[*index].saturating_sub(before.counts[*index]);
            let address = &sources.addresses[*index];
            let locality = places.locality(address, before.at);
            if let Some(locality) = locality.filter(|_| count > 0) {
                let (way, perhaps) = (places.way(locality), places.perhaps(address, before.at, locality));
                all.push(Sent { at: after.at, locality: locality.to_owned(), way, perhaps, answered: true, count });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::observe::Host;

    fn sample(at: i64, locality: Option<&str>, count: u64) -> Sample {
        let host = |locality: &str| Host { locality: locality.to_owned(), ..Host::default() };
        let hosts = locality.map(|locality| (("c".to_owned(), "a".to_owned()), host(locality)));
        Sample { at, hosts: hosts.into_iter().collect(), counts: vec![count] }
    }

    #[test]
    fn an_endpoint_that_was_gone_is_back_where_it_is_listed_from_its_first_request_on() {
        let samples = [sample(0, Some("r/a"), 0), sample(50, Some("q/c"), 0), sample(100, None, 0)];
        let samples = [&samples[..], &[sample(150, None, 0), sample(200, Some("r/a"), 1)]].concat();
        let attempt = |started| Attempt {
            kind: Kind::Attempt,
            started,
            ended: started,
            endpoint: "a".to_owned(),
            text: "200".to_owned(),
        };
        let (attempts, home) = ([attempt(90), attempt(160)], Locality::new("r/a"));
        let sources = Sources {
            samples: &samples,
            records: &[],
            attempts: &attempts,
            addresses: &["a".to_owned()],
            home: &home,
            // Noted after Envoy had it.
            delivered: &[25, 75, 170],
            unnoticed: 0,
        };
        let history = History::of("c", &[0], sources);
        let ways = |series: &Series| series.between(0, 1_000).iter().map(|sent| sent.way).collect::<Vec<_>>();
        assert_eq!(ways(&history.attempts), [Way::Away, Way::Home]);
        assert_eq!(ways(&history.counted), [Way::Home]);
    }

    #[test]
    fn home_is_lost_between_two_samples_where_envoy_ejects_and_lets_return() {
        let samples = [sample(0, Some("r/a"), 0), sample(50, Some("r/a"), 0)];
        let record = |action, millis| Record {
            action,
            cluster: "c".to_owned(),
            endpoint: "a".to_owned(),
            reason: String::new(),
            ejections: 1,
            timestamp: timestamp::of_millis(millis),
        };
        let records = [record(Action::Eject, 10), record(Action::Return, 30)];
        let home = Locality::new("r/a");
        let sources = Sources {
            samples: &samples,
            records: &records,
            attempts: &[],
            addresses: &["a".to_owned()],
            home: &home,
            delivered: &[],
            unnoticed: 0,
        };
        let history = History::of("c", &[0], sources);
        let healthy: Vec<_> = history.moments.iter().map(|moment| (moment.at, moment.healthy)).collect();
        assert_eq!(healthy, [(0, 1), (10, 0), (30, 1), (50, 1)]);
        assert!(history.moments[1].causes.contains("ejected"));
    }
}
