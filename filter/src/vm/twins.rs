//! Requests that pass the filter twice: the plugin stands twice in their filter chain, for example because two plugins
//! of the same module select the same workload.
//!
//! Both contexts of a request are in this VM and are called one right after the other, for the response headers and
//! again for the log. So the second is recognised by having the same stream as the one before. To find out costs two
//! reads, so it is done for the first requests after each heartbeat only, until it happens; from then on for all.

use crate::host::exchange;
use crate::output::remark::Remark;
use crate::output::reporter::Reporter;

/// How many requests after a heartbeat are compared with the one before while none has passed twice.
const COMPARED_PER_BEAT: u8 = 2;

/// A callback of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    Headers,
    Log,
}

/// What is remembered of the last request, for each callback.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    last_headers: Option<exchange::StreamId>,
    last_log: Option<exchange::StreamId>,
    compared: (u8, u8),
    is_doubled: bool,
}

impl Twins {
    /// Notes a heartbeat: the next requests are compared again.
    pub(crate) fn on_heartbeat(&mut self) {
        self.compared = (0, 0);
    }

    /// Whether any request has passed twice.
    pub(crate) fn is_doubled(&self) -> bool {
        self.is_doubled
    }

    /// Whether the current request has just passed this callback in another context, so that it must not count again.
    /// That is said when it happens for the first time.
    pub(crate) fn is_repeated(&mut self, passing: Passing, reporter: &Reporter) -> bool {
        let (last, compared) = match passing {
            Passing::Headers => (&mut self.last_headers, &mut self.compared.0),
            Passing::Log => (&mut self.last_log, &mut self.compared.1),
        };
        if !self.is_doubled && *compared >= COMPARED_PER_BEAT {
            return false;
        }
        *compared = compared.saturating_add(1);
        let stream = exchange::stream_id();
        let is_repeated = stream.is_some() && *last == stream;
        *last = stream;
        if is_repeated && !std::mem::replace(&mut self.is_doubled, true) {
            reporter.remark(Remark::TwiceInChain);
        }
        is_repeated
    }
}
