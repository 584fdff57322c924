//! A finding that is looked for.

use crate::finding::{Id, Severity};
use crate::kind::Kind;
use crate::scene::{Found, Scene};

/// A finding that is looked for.
pub struct Rule {
    /// Its name.
    pub id: Id,
    /// How much it matters, at most.
    pub severity: Severity,
    /// When it is found.
    pub condition: &'static str,
    /// What is seen of it.
    pub effect: &'static str,
    /// The ways out.
    pub fix: &'static str,
    /// The kinds of objects without which it cannot be looked for.
    pub needs: &'static [Kind],
    /// Looks for it.
    pub(crate) look: fn(&Scene<'_>, &mut Found),
}
