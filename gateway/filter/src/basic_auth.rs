//! What basic authentication asks for and what it tells the backend, but for who the users are.

use http::HeaderName;

use crate::fields::{self, FieldError, Message};
use crate::realm::Realm;

/// The settings of basic authentication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasicAuth {
    /// What clients are shown.
    pub realm: Realm,
    /// The field that tells the backend the name of the user. A client's own is dropped.
    pub user_field: Option<HeaderName>,
    /// Whether the backend gets `Authorization`.
    pub forwards: bool,
}

/// Reads the name of a field that tells the backend something.
///
/// # Errors
/// When no filter may set it.
pub fn user_field(written: &str) -> Result<HeaderName, FieldError> {
    fields::name(written.trim(), Message::Request)
}
