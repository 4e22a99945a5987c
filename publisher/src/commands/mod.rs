//! The commands. Each file holds one command's arguments, help, execution and output. The libraries below know nothing
//! of the command line.

pub(crate) mod attach;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod config_schema;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod digest;
pub(crate) mod engine_options;
pub(crate) mod events;
pub(crate) mod generate_key_pair;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod losses;
pub(crate) mod man;
pub(crate) mod manifest;
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod plugin_config;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod report;
pub(crate) mod sign;
pub(crate) mod sign_blob;
pub(crate) mod tag;
pub(crate) mod time_limit;
pub(crate) mod validate;
pub(crate) mod verify;
pub(crate) mod verify_blob;
pub(crate) mod watch;
