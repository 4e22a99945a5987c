//! istiod as the judge of the publisher: random rules of a mesh from a seed, and a comparison of what istiod makes of
//! them, as an Envoy of each namespace has it, with what `faultline config` derives and `faultline validate` says.
//!
//! A round is a random set of services and rules, written to a real API server with Istio's own validation. When every
//! Envoy has them, each cluster's outlier detection, panic threshold and priorities are compared. A difference is said
//! if a remark of `config` or a finding of `validate` speaks of it; one that is not said is a fault of the publisher.
//! What makes a set more than plain services with a rule each are its [`Ingredient`]s. The same seed gives the same
//! set; which of two rules that are written in different seconds is the older one differs.
//!
//! Not here: Sidecar and Gateway resources, several clusters, traffic.

mod compare;
mod derived;
mod ingredient;
mod places;
mod round;
mod seen;
mod stage;
mod table;
mod trial;
mod write;

pub use ingredient::Ingredient;
pub use round::Round;
pub use table::Table;
pub use trial::Trial;
