//! Expressions that Envoy evaluates for us: what tells a healthy request by one host call.

use super::calls;

/// A request whose only attempt went well. `request_attempt_count` exists from Envoy 1.33 on.
pub(crate) const HEALTHY_REQUEST: &str =
    "response.code < 500 && response.flags == 0 && upstream.request_attempt_count == 1u";

/// An attempt that went well, as the upstream log shows it, which does not count attempts.
pub(crate) const HEALTHY_ATTEMPT: &str = "response.code < 500 && response.flags == 0";

/// An expression that Envoy has compiled.
///
/// Envoy keeps expressions by root context and numbers them from 0, and a request's root is not known here. So each
/// root has it compiled once, while it is configured, and it has the same number everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expression {
    token: Option<[u8; 4]>,
    differs: bool,
}

impl Expression {
    /// Has Envoy compile the expression for the root that is being configured. Where it cannot (an Envoy built without
    /// CEL), it never holds, and every request is read attribute by attribute.
    pub(crate) fn compile(&mut self, text: &str) {
        let token = calls::foreign("expr_create", text.as_bytes()).ok().and_then(|token| token.try_into().ok());
        self.differs |= self.token.is_some() && self.token != token;
        self.token = token;
    }

    /// Whether it surely holds for the current request or attempt.
    pub(crate) fn holds(&self) -> bool {
        let Some(token) = self.token.filter(|_| !self.differs) else { return false };
        calls::foreign("expr_evaluate", &token).is_ok_and(|answer| answer == [1])
    }
}
