//! The user of a registry that asks for a password.

/// A user's name and password.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The name.
    pub name: &'a str,
    /// The password.
    pub password: &'a str,
}
