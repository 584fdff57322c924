//! Where in its object a rule is written.

/// The place of a rule in its object. It is put into words only for a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// `spec.rules[rule]` of an Ingress.
    IngressRule { rule: usize },
    /// `spec.rules[rule].http.paths[path]` of an Ingress.
    IngressPath { rule: usize, path: usize },
    /// `spec.defaultBackend` of an Ingress, for the host of `spec.rules[rule]`.
    IngressHostDefault { rule: usize },
    /// `spec.defaultBackend` of an Ingress without rules.
    IngressDefault,
}

const DEFAULT_BACKEND: &str = "spec.defaultBackend";

impl Field {
    /// Where its host is written.
    pub(crate) fn host(self) -> String {
        match self {
            Self::IngressRule { rule }
            | Self::IngressPath { rule, path: _ }
            | Self::IngressHostDefault { rule } => {
                format!("spec.rules[{rule}].host")
            }
            Self::IngressDefault => DEFAULT_BACKEND.to_owned(),
        }
    }

    /// Where its path is written.
    pub(crate) fn path(self) -> String {
        match self {
            Self::IngressRule { rule } => format!("spec.rules[{rule}]"),
            Self::IngressPath { rule, path } => format!("spec.rules[{rule}].http.paths[{path}].path"),
            Self::IngressHostDefault { .. } | Self::IngressDefault => DEFAULT_BACKEND.to_owned(),
        }
    }

    /// Where its backend is written.
    pub(crate) fn backend(self) -> String {
        match self {
            Self::IngressRule { rule } => format!("spec.rules[{rule}]"),
            Self::IngressPath { rule, path } => format!("spec.rules[{rule}].http.paths[{path}].backend"),
            Self::IngressHostDefault { .. } | Self::IngressDefault => DEFAULT_BACKEND.to_owned(),
        }
    }
}
