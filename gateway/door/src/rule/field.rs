//! Where a rule is written in its object.

/// The place of a rule in its Ingress. It is put into words only for a problem or a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `spec.rules[rule]`.
    Rule {
        /// Counted from 0.
        rule: usize,
    },
    /// `spec.rules[rule].http.paths[path]`.
    Path {
        /// Counted from 0.
        rule: usize,
        /// Counted from 0.
        path: usize,
    },
    /// `spec.defaultBackend`, for the host of `spec.rules[rule]`.
    HostDefault {
        /// Counted from 0.
        rule: usize,
    },
    /// `spec.defaultBackend` without rules.
    Default,
    /// An annotation, as `metadata.annotations[KEY]`.
    Annotation(&'static str),
}

const DEFAULT_BACKEND: &str = "spec.defaultBackend";

impl Field {
    /// Where its host is written.
    #[must_use]
    pub fn host(self) -> String {
        match self {
            Self::Rule { rule } | Self::Path { rule, path: _ } | Self::HostDefault { rule } => {
                format!("spec.rules[{rule}].host")
            }
            Self::Default => DEFAULT_BACKEND.to_owned(),
            Self::Annotation(field) => field.to_owned(),
        }
    }

    /// Where its path is written.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::Rule { rule } => format!("spec.rules[{rule}]"),
            Self::Path { rule, path } => format!("spec.rules[{rule}].http.paths[{path}].path"),
            Self::HostDefault { .. } | Self::Default => DEFAULT_BACKEND.to_owned(),
            Self::Annotation(field) => field.to_owned(),
        }
    }

    /// Where its backend is written.
    #[must_use]
    pub fn backend(self) -> String {
        match self {
            Self::Rule { rule } => format!("spec.rules[{rule}]"),
            Self::Path { rule, path } => format!("spec.rules[{rule}].http.paths[{path}].backend"),
            Self::HostDefault { .. } | Self::Default => DEFAULT_BACKEND.to_owned(),
            Self::Annotation(field) => field.to_owned(),
        }
    }
}
