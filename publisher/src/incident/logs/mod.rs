//! Logs, in every form that people have them in: whole, as a list of events by proxy, or followed as they grow.
//!
//! Bytes become text (`decode`), text becomes records (`records`: a line, a JSON value, a row), each record is searched
//! for events (`search`), and each event gets the names that stand nearest to it (`labels`, and `shapes` for what
//! stands before a message). A form that is not known by name is read all the same if it is text, JSON, CSV, HTML
//! or XML.

mod cells;
mod columns;
mod decode;
mod envoys;
mod escapes;
pub(crate) mod event;
mod extent;
mod flat;
pub(crate) mod follow;
pub(crate) mod found;
mod frames;
mod hot_switch;
pub(crate) mod input;
mod items;
mod joined;
mod journal;
mod json;
mod known;
mod labels;
mod look_alike;
mod markup;
mod named;
mod parse;
mod part;
mod parts;
pub(crate) mod processes;
mod proxies;
pub(crate) mod reader;
mod records;
pub(crate) mod remark;
mod rows;
mod scalar;
mod search;
mod shapes;
pub(crate) mod source;
mod syslog;
mod table;
pub(crate) mod turns;
mod writer;

/// The event in a line, for tests.
#[cfg(test)]
pub(crate) fn event_of(line: &str) -> event::Event {
    parse::event(line, None).expect("it is an event").0
}
