//! One thing that changes for an Ingress.

use serde::Serialize;

use crate::evidence::{Evidence, evidence};
use crate::kind::DifferenceKind;

/// What changes.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// What it is about.
    pub kind: DifferenceKind,
    /// What it means for requests.
    pub effect: Effect,
    /// The object that says it, as in `Middleware shop/limit`; absent: the Ingress itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The field; empty for the object as a whole.
    pub field: String,
    /// What is different, and what to do.
    pub message: String,
    /// Whether it was seen at the real gateway.
    pub checked: Evidence,
}

/// What a difference means for requests. From worst to mildest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// No door serves the Ingress.
    Unserved,
    /// Its routes answer 503 here.
    Closed,
    /// What is written is not carried over.
    Lost,
    /// Some requests get another answer.
    Differs,
    /// It cannot be judged from the objects that were read.
    Unchecked,
    /// Worth knowing; no request gets another answer.
    Note,
}

impl Effect {
    /// Whether something is different because of it, which is what the exit status is about.
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::Unserved | Self::Closed | Self::Lost | Self::Differs => true,
            Self::Unchecked | Self::Note => false,
        }
    }

    /// As in a report.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unserved => "unserved",
            Self::Closed => "closed",
            Self::Lost => "lost",
            Self::Differs => "differs",
            Self::Unchecked => "unchecked",
            Self::Note => "note",
        }
    }
}

impl Difference {
    /// A difference of the Ingress itself. `subject` is what was compared with the real gateway, where the kind has many:
    /// an annotation, or a field of a Middleware.
    pub(crate) fn new(
        kind: DifferenceKind,
        subject: &str,
        effect: Effect,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            effect,
            object: None,
            field: field.into(),
            message: message.into(),
            checked: evidence(kind, subject),
        }
    }

    /// The same, said by another object.
    pub(crate) fn of(mut self, object: &dyn std::fmt::Display) -> Self {
        self.object = Some(object.to_string());
        self
    }
}
