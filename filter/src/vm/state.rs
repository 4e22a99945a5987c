//! The state of one VM, and the two operations that every callback performs on it: changing what is known about a
//! cluster, and reporting what follows.

use super::answered::Answered;
use super::known::{Cluster, ClusterIndex, Known};
use super::notice::Notices;
use super::pending::{PendingDelivery, PendingQuestion, PendingRequest};
use super::tick::Heartbeat;
use crate::host;
use crate::host::expression::Expression;
use crate::output::reporter::Reporter;
use crate::shared::question;
use filter_core::cluster::{ClusterState, EvaluationContext};
use filter_core::config::Config;
use filter_core::event::Event;
use filter_core::locality::Locality;
use filter_core::time::Millis;
use rustc_hash::FxHashMap;

/// The maximum number of root contexts that are remembered; Envoy makes a new one with every change of the
/// configuration.
const MAX_ROOTS: usize = 256;

/// The time of an observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Millis,
    /// Whether there is a witness to wait for.
    pub(crate) has_witness: bool,
}

/// The state of one VM.
#[derive(Debug, Default)]
pub(crate) struct Vm {
    /// The configuration in force.
    pub(crate) config: Config,
    /// The notices that the next heartbeat logs.
    pub(crate) notices: Notices,
    /// The proxy's own locality.
    pub(crate) home: Locality,
    /// The clusters and endpoints that this VM has seen.
    pub(crate) known: Known,
    /// Writes events and metrics.
    pub(crate) reporter: Reporter,
    /// Recognises healthy requests.
    pub(crate) healthy_request: Expression,
    /// Recognises healthy attempts in the upstream log.
    pub(crate) healthy_attempt: Expression,
    /// Requests evaluated when their response headers passed, by context, until they are logged.
    pub(crate) requests: FxHashMap<u32, PendingRequest>,
    /// Answers evaluated when their headers passed, until the upstream log shows that they are over.
    pub(crate) answered: Answered,
    /// The root context whose ticks drive the VM.
    pub(crate) heartbeat: Heartbeat,
    /// The question to Envoy that this VM has asked and that is not answered yet.
    pub(crate) question: Option<PendingQuestion>,
    /// Whether Envoy did not answer when last asked, so that nothing waits for it.
    pub(crate) is_witness_silent: bool,
    /// The notifications that this VM has sent to the receiver of `notify` and that are not answered yet.
    pub(crate) delivery: Option<PendingDelivery>,
    roots: Vec<u32>,
}

impl Vm {
    /// Remembers a root context; true if it is new.
    pub(crate) fn add_root(&mut self, root: u32) -> bool {
        if self.is_root(root) {
            return false;
        }
        if self.roots.len() >= MAX_ROOTS {
            self.roots.remove(0);
        }
        self.roots.push(root);
        true
    }

    /// Whether a context is a root context and not that of a request.
    pub(crate) fn is_root(&self, context: u32) -> bool {
        self.roots.contains(&context)
    }

    /// Whether there is a witness, and it answers, so that its lists should be waited for.
    pub(crate) fn has_witness(&mut self) -> bool {
        if self.config.witness.is_none() {
            return false;
        }
        if self.is_witness_silent {
            // Another worker may have got an answer since.
            self.is_witness_silent = question::read().is_some_and(|question| question.is_silent());
        }
        !self.is_witness_silent
    }

    /// The present moment; `None` if the host does not provide the time.
    pub(crate) fn moment(&mut self) -> Option<Moment> {
        let has_witness = self.has_witness();
        let now = host::now().ok()?;
        Some(Moment { now, has_witness })
    }

    /// Changes the shared state of a cluster by the rules in force, and its gauges with it. `change` may run several
    /// times, each time on the latest state. Returns the result of the run that was written back; `None` if none was,
    /// or if the cluster is ignored.
    pub(crate) fn change_cluster<R>(
        &mut self,
        cluster: ClusterIndex,
        moment: Moment,
        mut change: impl FnMut(&mut ClusterState, &EvaluationContext<'_>) -> R,
    ) -> Option<R> {
        let known = self.known.get(cluster)?;
        let context = evaluation_context(known, &self.config, &self.home, moment)?;
        self.reporter.change_cluster(&known.name, |state| change(state, &context))
    }

    /// Reports events in their order, and has their notifications sent within milliseconds.
    pub(crate) fn report(&mut self, events: &[Event]) {
        if self.reporter.report(events, &self.config) {
            self.heartbeat.shorten_tick(Some(0));
        }
    }
}

/// The rules by which an observation of a cluster is evaluated; `None` if the cluster is ignored.
pub(crate) fn evaluation_context<'a>(
    known: &'a Cluster,
    config: &'a Config,
    home: &'a Locality,
    moment: Moment,
) -> Option<EvaluationContext<'a>> {
    Some(EvaluationContext {
        cluster: &known.name,
        outlier: known.outlier.as_ref()?,
        failover: &config.failover,
        home,
        now: moment.now,
        has_witness: moment.has_witness,
    })
}
