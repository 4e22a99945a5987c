//! What agents and the controller say to each other, as JSON in annotations.

use serde::{Deserialize, Serialize};

/// An annotation may have 256 KiB; a node has fewer pods than this.
pub const MOST: usize = 512;

/// What a node's agent wants, and sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// The pods that are to be, or to stay, bypassed.
    pub wishes: Vec<Wish>,
    /// All pods whose proxies fail.
    pub failing: Vec<String>,
}

/// A pod that is to be bypassed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// `namespace/name`.
    pub pod: String,
    /// When the failure began, in milliseconds since 1970: names the wish.
    pub since: u64,
    /// Why.
    pub why: String,
    /// Whether the proxy's container should have the stand-in's image.
    pub stand_in: bool,
}

/// What the controller says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// An answer for each wish.
    pub answers: Vec<Answer>,
}

/// What the controller says to a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The wish's pod.
    pub pod: String,
    /// The wish's moment.
    pub since: u64,
    /// The reason, if it is refused; granted otherwise.
    pub refused: Option<String>,
}
