//! A stretch of time as one proxy saw it.

use filter_core::time::Millis;

use super::logs::input::ProxyIndex;
use super::span::Span;

/// A stretch of time in which one proxy saw something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation {
    /// Which proxy.
    pub(super) proxy: ProxyIndex,
    /// From when to when.
    pub(super) span: Span,
    /// Not over at the end of the log.
    pub(super) open: bool,
    /// Began before the log does.
    pub(super) began_earlier: bool,
}

impl Observation {
    /// Begins now and is open.
    pub(super) fn beginning(proxy: ProxyIndex, at: Millis) -> Self {
        Self { proxy, span: Span::at(at), open: true, began_earlier: false }
    }

    /// Ends now, and lasted for so many milliseconds; the log does not have its beginning.
    pub(super) fn ending(proxy: ProxyIndex, at: Millis, lasted: Millis) -> Self {
        Self { proxy, span: Span::new(at.saturating_sub(lasted), at), open: false, began_earlier: true }
    }

    /// Ends now.
    pub(super) fn end(&mut self, at: Millis) {
        self.span = Span::new(self.span.from, at);
        self.open = false;
    }
}
