//! What is read from and done in a pod's kernel, that is, in its network namespace.
//!
//! Istio's rules are never changed. A gate is a rule of ours at the head of each of Istio's chains that returns at
//! once; with its removal the rules are byte for byte what they were. The rule's comment is the record: whoever comes
//! later reads from it what was done, and since when.

pub mod apply;
pub mod conntrack;
mod netlink;
pub mod netns;
pub mod nft_json;
pub mod owners;
pub mod plan;
pub mod reading;
pub mod rules;
pub mod save_text;
pub mod sockets;
