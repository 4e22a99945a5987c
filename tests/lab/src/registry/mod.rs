//! A real registry, and the token service that guards one.

pub mod server;
pub mod token_service;
mod user;

pub use server::{Door, Registry};
pub use token_service::TokenService;
pub use user::User;
