//! What was given besides resources: plugin configurations, and what could not be read.

use std::rc::Rc;

use crate::yaml::node::{Node, Position};

/// A plugin configuration in a file of its own, outside any resource.
#[derive(Debug)]
pub struct Configuration {
    /// The file it is in.
    pub file: Rc<str>,
    /// Its text, exactly as it would reach the filter.
    pub text: String,
    /// The same with positions, if it could be parsed.
    pub node: Option<Node>,
}

/// What is said of a file without a single sign.
pub const NOTHING: &str = "is empty";

/// A file without any value that the user named.
#[derive(Debug)]
pub struct Empty {
    /// The file.
    pub file: Rc<str>,
    /// What it has instead: nothing at all, comments, an empty list.
    pub what: &'static str,
}

/// A file or document that is neither a resource nor a plugin configuration.
#[derive(Clone, Debug)]
pub struct Unread {
    /// The file it is in.
    pub file: Rc<str>,
    /// Where it begins.
    pub position: Option<Position>,
    /// What it is, such as `a template`.
    pub what: String,
    /// What to give instead.
    pub remedy: String,
    /// Whether somebody meant it to be read; else it only lies in a directory.
    pub is_meant: bool,
}

/// A file or document that is not YAML.
#[derive(Debug)]
pub struct Broken {
    /// The file.
    pub file: Rc<str>,
    /// Where the error is.
    pub position: Option<Position>,
    /// What is wrong.
    pub problem: String,
    /// Whether it is JSON all the same, in which a key is there twice: readers of JSON take the last.
    pub is_json: bool,
}
