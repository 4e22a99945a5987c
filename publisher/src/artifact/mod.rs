//! What is published: a module packed into one of the forms that consumers read, what Istio accepts of it, and who
//! would load it.

pub(crate) mod archive;
pub(crate) mod consumers;
pub(crate) mod form;
pub(crate) mod pack;
