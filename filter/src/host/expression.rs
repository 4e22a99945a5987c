//! Expressions that Envoy evaluates: they recognise a healthy request with one host call.

use super::calls;

/// Empty for a request whose only attempt succeeded. `request_attempt_count` exists since Envoy 1.33.
pub(crate) const HEALTHY_REQUEST: &str =
    r#"response.code < 500 && response.flags == 0 && upstream.request_attempt_count == 1u ? "" : "-""#;

/// Empty for an attempt that succeeded, in the upstream log, which does not count attempts.
pub(crate) const HEALTHY_ATTEMPT: &str = r#"response.code < 500 && response.flags == 0 ? "" : "-""#;

/// An expression that Envoy has compiled.
///
/// Envoy keeps expressions per root context and numbers them from 0, and here the root of a request is not known. So it
/// is compiled once for each root, while the root is configured, and has the same number everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expression {
    token: Option<[u8; 4]>,
    differs: bool,
}

impl Expression {
    /// Has Envoy compile the expression for the root that is being configured. If Envoy cannot (it was built without
    /// CEL), the expression never holds, and every request is read attribute by attribute.
    pub(crate) fn compile(&mut self, text: &str) {
        let token = calls::foreign("expr_create", text.as_bytes()).ok().and_then(|token| token.try_into().ok());
        self.differs |= self.token.is_some() && self.token != token;
        self.token = token;
    }

    /// The whole number that the expression has for the current request or attempt; `None` if it has none.
    pub(crate) fn number(&self) -> Option<u32> {
        let token = self.token.filter(|_| !self.differs)?;
        let bytes = calls::foreign("expr_evaluate", &token).ok()?;
        u32::try_from(i64::from_le_bytes(bytes.try_into().ok()?)).ok()
    }

    /// Whether the expression is certainly empty for the current request or attempt. Only the length of its value is
    /// asked for, because Envoy would call back into the VM for memory to return a value in.
    pub(crate) fn is_empty(&self) -> bool {
        let Some(token) = self.token.filter(|_| !self.differs) else { return false };
        calls::foreign_length("expr_evaluate", &token) == Ok(0)
    }
}
