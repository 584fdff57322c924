//! One path of a rule, and where its requests go.

use k8s_openapi::api::networking::v1::HTTPIngressPath as RawPath;
use route::{ObjectKey, PathPattern, PathPatternError, RegexDialect};

use super::backend::{IngressBackend, InvalidBackend};
use super::lookalike;
use crate::annotations::{PathMatcher, PathReading};
use crate::reporter::Reporter;

/// `spec.rules[].http.paths[]` of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressPath {
    /// `pathType`; `None` when it is missing or unknown.
    pub path_type: Option<PathType>,
    /// `path` as it is written; empty when it is not.
    pub written: Box<str>,
    /// What it matches.
    pub pattern: Result<PathPattern, InvalidPath>,
    /// Where requests go.
    pub backend: Result<IngressBackend, InvalidBackend>,
}

/// `pathType` of an Ingress path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathType {
    /// The path byte for byte.
    Exact,
    /// The path and what is below it, element by element.
    Prefix,
    /// The same as `Prefix`, unless annotations say otherwise.
    ImplementationSpecific,
}

/// Why the path of a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// `path` is absent, which only `ImplementationSpecific` allows.
    #[error("the path is missing; it must start with `/`; the path answers 503")]
    Missing,
    /// It is not a path.
    #[error("{0}; the path answers 503")]
    Pattern(PathPatternError),
    /// A character that has a meaning in the configuration language of some proxy, and that no real path contains.
    #[error(
        "the path `{path}` has the character {character:?}, which is not allowed here; percent-encode it; the path answers 503"
    )]
    Character {
        /// As it is written.
        path: String,
        /// The first of them.
        character: char,
    },
    /// `pathType` is absent.
    #[error("`pathType` is missing; write Exact, Prefix or ImplementationSpecific; the path answers 503")]
    NoType,
    /// `pathType` is none that exists.
    #[error("`{0}` is not a path type; write Exact, Prefix or ImplementationSpecific; the path answers 503")]
    UnknownType(String),
    /// It is not even text; the problem is reported where the object is read.
    #[error("the path cannot be read; it answers 503")]
    Unreadable,
}

impl IngressPath {
    /// Stands for paths that are lost: whatever no other path of the host matches is closed.
    pub(super) fn unreadable() -> Self {
        Self {
            path_type: None,
            written: Box::default(),
            pattern: Err(InvalidPath::Unreadable),
            backend: Err(InvalidBackend::Unreadable),
        }
    }

    pub(super) fn read(
        raw: RawPath,
        ingress: &ObjectKey,
        reading: PathReading,
        field: &str,
        report: &mut Reporter<'_>,
    ) -> Self {
        if report.is_unreadable(field) {
            return Self::unreadable();
        }
        let backend = IngressBackend::read(raw.backend, ingress, &format!("{field}.backend"), report);
        let path_field = format!("{field}.path");
        let type_field = format!("{field}.pathType");
        let written = raw.path.unwrap_or_default();

        let path_type = match raw.path_type.as_str() {
            "" if report.is_unreadable(&type_field) => Err(InvalidPath::Unreadable),
            "" => Err(InvalidPath::NoType),
            "Exact" => Ok(PathType::Exact),
            "Prefix" => Ok(PathType::Prefix),
            "ImplementationSpecific" => Ok(PathType::ImplementationSpecific),
            _ => Err(InvalidPath::UnknownType(raw.path_type)),
        };
        let pattern = match path_type {
            Err(ref invalid) => {
                report.error(&type_field, invalid.to_string());
                Err(invalid.clone())
            }
            Ok(_) if report.is_unreadable(&path_field) => Err(InvalidPath::Unreadable),
            Ok(path_type) => path_type.pattern(&written, reading).inspect_err(|invalid| {
                report.error(&path_field, invalid.to_string());
            }),
        };
        if let Ok(PathPattern::Exact(_) | PathPattern::Prefix(_)) = pattern
            && !reading.borrowed
            && let Some(advice) = lookalike::advice(&written)
        {
            report.warning(&path_field, advice);
        }
        Self {
            path_type: path_type.ok(),
            written: written.into(),
            pattern,
            backend,
        }
    }
}

impl PathType {
    /// As written in a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::Prefix => "Prefix",
            Self::ImplementationSpecific => "ImplementationSpecific",
        }
    }

    fn pattern(self, written: &str, reading: PathReading) -> Result<PathPattern, InvalidPath> {
        if let Some(dialect) = self.dialect(written, reading) {
            return PathPattern::regex(written, dialect).map_err(InvalidPath::Pattern);
        }
        // These have been used to inject configuration into other proxies, and no client sends them unescaped.
        if let Some(character) = written
            .chars()
            .find(|it| it.is_control() || "`{};#?".contains(*it))
        {
            return Err(InvalidPath::Character {
                path: written.to_owned(),
                character,
            });
        }
        let pattern = match (self, written) {
            (Self::ImplementationSpecific, "") => PathPattern::prefix("/"),
            (Self::Exact | Self::Prefix, "") => return Err(InvalidPath::Missing),
            (Self::Exact, path) => PathPattern::exact(path),
            (Self::ImplementationSpecific, path) if reading.matcher == PathMatcher::Exact => {
                PathPattern::exact(path)
            }
            (Self::Prefix | Self::ImplementationSpecific, path) => PathPattern::prefix(path),
        };
        pattern.map_err(InvalidPath::Pattern)
    }

    /// Whose regular expression it is, if it is one.
    fn dialect(self, written: &str, reading: PathReading) -> Option<RegexDialect> {
        let is_regex = match self {
            _ if written.is_empty() => false,
            Self::Exact => false,
            Self::ImplementationSpecific if reading.matcher == PathMatcher::Regex => {
                return Some(RegexDialect::Traefik);
            }
            Self::ImplementationSpecific if reading.regex => true,
            Self::Prefix | Self::ImplementationSpecific => {
                (reading.regex || reading.rewrites) && lookalike::has_pattern_characters(written)
            }
        };
        is_regex.then_some(RegexDialect::Nginx)
    }
}
