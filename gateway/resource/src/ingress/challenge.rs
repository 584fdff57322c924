//! Challenges of ACME that an Ingress answers for cert-manager (`pkg/issuer/acme/http` of cert-manager).

use filter::redirect::is_acme_challenge;

use super::rule::IngressRule;
use crate::labels::Labels;

/// `SolverIdentificationLabelKey` of cert-manager: on each Ingress that it makes for a challenge of type HTTP-01.
const SOLVER: &str = "acme.cert-manager.io/http01-solver";
/// What the names of its Services begin with (`generateName`).
const SERVICE: &str = "cm-acme-http-solver-";

/// Why an Ingress answers a challenge of type HTTP-01 (RFC 8555, section 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// cert-manager has made the Ingress for it.
    Solver,
    /// cert-manager has added a path to somebody's Ingress (`acme.cert-manager.io/http01-edit-in-place`, or
    /// `http01.ingress.name` of an Issuer).
    EditedInPlace,
}

/// The challenge that an Ingress answers.
pub(super) fn answered(labels: &Labels, rules: &[IngressRule]) -> Option<Challenge> {
    if labels.get(SOLVER) == Some("true") {
        return Some(Challenge::Solver);
    }
    let mut paths = rules.iter().flat_map(|rule| &rule.paths);
    let is_added = paths.any(|path| {
        let of_solver = |service: &str| service.starts_with(SERVICE);
        is_acme_challenge(path.written.as_bytes())
            && matches!(&path.backend, Ok(backend) if of_solver(backend.service.name()))
    });
    is_added.then_some(Challenge::EditedInPlace)
}
