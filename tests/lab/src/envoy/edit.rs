//! Changes to a finished bootstrap, for what only few tests need: no locality, a second listener, a filter that is
//! there twice.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// Changes applied to the bootstrap's JSON, in order, just before Envoy gets it.
#[derive(Clone, Default)]
pub struct Edits(Vec<Arc<Change>>);

type Change = dyn Fn(&mut Value) + Send + Sync;

impl fmt::Debug for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} edits", self.0.len())
    }
}

impl Edits {
    /// Adds a change.
    pub fn add(&mut self, change: impl Fn(&mut Value) + Send + Sync + 'static) {
        self.0.push(Arc::new(change));
    }

    /// The bootstrap with all changes.
    pub(crate) fn apply(&self, mut bootstrap: Value) -> Value {
        self.0.iter().for_each(|change| change(&mut bootstrap));
        bootstrap
    }
}

/// The first listener of a bootstrap.
pub fn listener(bootstrap: &mut Value) -> &mut Value {
    &mut bootstrap["static_resources"]["listeners"][0]
}

/// The HTTP filters of a listener.
///
/// # Panics
/// If it has none.
pub fn http_filters(listener: &mut Value) -> &mut Vec<Value> {
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    manager["http_filters"].as_array_mut().expect("a listener for HTTP")
}
