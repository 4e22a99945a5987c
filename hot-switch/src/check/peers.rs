//! What the pods behind each port of a Service want of a caller, judged once for all callers.

use mesh::Resource;

use super::known::{Assumed, Known};
use super::mtls::Mode;
use super::policies::{self, Asks};
use super::services::{Port, Service, Target};
use super::sidecar::{self, Sidecar};
use super::workload::{Pairs, Workload};

/// What a port wants of a caller.
#[derive(Clone, Debug, Default)]
pub(super) struct Wants<'a> {
    /// It takes mTLS only, and the policy that says so.
    pub(super) strict: Option<Option<&'a Resource>>,
    /// Whether and on how much of it callers are asked who they are, and the policies that ask.
    pub(super) asks: Option<(Asks, Vec<&'a Resource>)>,
}

/// What every port of every Service wants, in the order of [`Known::services`].
pub(super) struct Peers<'a> {
    all: Vec<Vec<Wants<'a>>>,
}

impl<'a> Peers<'a> {
    /// Judges them.
    pub(super) fn of(known: &Known<'a>, assumed: &mut Assumed) -> Self {
        let of_service = |service: &Service<'a>| {
            let behind = known.behind(service);
            if behind.is_empty() && !service.selector.is_empty() {
                let what = "Service without its workload among the files, taken for pods with a sidecar";
                assumed.of(what, service.name());
            }
            let with_proxy: Vec<&Workload<'a>> = behind.iter().copied().filter(|it| has_proxy(known, it)).collect();
            let of_port = |port: &Port<'a>| of_port(known, service, *port, (&with_proxy, behind.is_empty()));
            service.ports.iter().map(of_port).collect()
        };
        Self { all: known.services.iter().map(of_service).collect() }
    }

    /// The Services with what their ports want.
    pub(super) fn services<'k>(
        &'k self,
        known: &'k Known<'a>,
    ) -> impl Iterator<Item = (&'k Service<'a>, &'k [Wants<'a>])> {
        known.services.iter().zip(self.all.iter().map(Vec::as_slice))
    }
}

/// Whether a proxy takes the traffic of these pods: their sidecar, or ztunnel.
fn has_proxy(known: &Known<'_>, workload: &Workload<'_>) -> bool {
    !matches!(sidecar::of(workload, known.mesh), Sidecar::None(_)) || sidecar::is_ambient(workload, known.mesh)
}

/// What the pods behind a port want; those that are not among the files are taken to have the Service's labels.
fn of_port<'a>(
    known: &Known<'a>,
    service: &Service<'a>,
    port: Port<'a>,
    (behind, is_unknown): (&[&Workload<'a>], bool),
) -> Wants<'a> {
    if service.selector.is_empty() {
        return Wants::default(); // its endpoints are written by hand: no proxy is known there
    }
    let namespace = service.resource.namespace();
    let judge = |labels: &Pairs<'_>, target: Option<u64>| {
        let (mode, by) = known.peers.for_pods(namespace, labels).on(target.unwrap_or_default());
        let (asks, who) = policies::asks(&known.policies.authorization(namespace, labels));
        Wants { strict: (mode == Mode::Strict).then_some(by), asks: (asks != Asks::Nobody).then_some((asks, who)) }
    };
    let mut found: Vec<Wants<'a>> =
        behind.iter().map(|peer| judge(&peer.labels, port.target.in_pods_of(peer))).collect();
    if is_unknown {
        let target = match port.target {
            Target::Number(number) => Some(number),
            Target::Name(_) => None,
        };
        found.push(judge(&service.selector, target));
    }
    Wants { strict: found.iter().find_map(|wants| wants.strict), asks: found.into_iter().find_map(|wants| wants.asks) }
}
