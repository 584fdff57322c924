//! What is found, and what could not be looked at.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, Serializer};

use crate::kind::Kind;

/// How much a finding matters. Ordered from worst to mildest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Requests fail, or an isolation does not hold.
    Error,
    /// Requests will fail some day, or a setting does not do what it says.
    Warning,
    /// Worth knowing: nothing is wrong.
    Info,
}

impl Severity {
    /// `error`, `warning` or `info`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectName {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
}

impl ObjectName {
    /// An object of a namespaced kind.
    #[must_use]
    pub fn namespaced(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: Some(namespace.into()),
            name: name.into(),
        }
    }

    /// The object with this metadata.
    #[must_use]
    pub fn of(kind: Kind, metadata: &ObjectMeta) -> Self {
        let namespace = metadata.namespace.as_deref();
        Self {
            kind,
            namespace: kind
                .is_namespaced()
                .then(|| namespace.unwrap_or("default").into()),
            name: metadata.name.as_deref().unwrap_or_default().into(),
        }
    }

    /// Its namespace; empty for cluster-scoped kinds.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// What `kubectl` takes after a verb: `daemonset/blastdoor -n blastdoor`.
    #[must_use]
    pub fn kubectl(&self) -> String {
        let kind = self.kind.as_str().to_ascii_lowercase();
        match &self.namespace {
            Some(namespace) => format!("{kind}/{} -n {namespace}", self.name),
            None => format!("{kind}/{}", self.name),
        }
    }

    /// A command that changes fields of it: `kubectl patch … -p PATCH`.
    #[must_use]
    pub fn patch(&self, patch: &serde_json::Value) -> String {
        // Custom resources know no strategic merge, and the built-in kinds that are patched here need none.
        format!("kubectl patch {} --type merge -p '{patch}'", self.kubectl())
    }
}

/// `Service blastdoor/blastdoor`
impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{} {namespace}/{}", self.kind, self.name),
            None => write!(formatter, "{} {}", self.kind, self.name),
        }
    }
}

/// A fact that a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Whose fact it is.
    pub object: ObjectName,
    /// Where it is written, as in `spec.externalTrafficPolicy`; keys of free maps stand in brackets.
    pub field: String,
    /// What is written there, as text. Never the content of a Secret.
    pub value: String,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What it does, and what it costs.
    pub text: String,
    /// A command, or a few lines of it, to paste.
    pub command: Option<String>,
}

/// A finding's name in the catalogue, such as `GW101`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub &'static str);

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name in the catalogue.
    pub id: Id,
    /// How much it matters.
    pub severity: Severity,
    /// Where it is to be fixed.
    pub object: ObjectName,
    /// What is wrong, in a sentence or two.
    pub finding: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// What is seen of it: which nodes are red, which error a client gets.
    pub effect: String,
    /// The ways out, the best one first. None when nothing is wrong.
    pub fix: Vec<Fix>,
}

impl Finding {
    /// A finding without evidence, effect and fix yet.
    #[must_use]
    pub fn new(id: Id, severity: Severity, object: ObjectName, finding: impl Into<String>) -> Self {
        Self {
            id,
            severity,
            object,
            finding: finding.into(),
            evidence: Vec::new(),
            effect: String::new(),
            fix: Vec::new(),
        }
    }

    /// The same, with one more fact.
    #[must_use]
    pub fn evidence(
        mut self,
        object: ObjectName,
        field: impl Into<String>,
        value: impl fmt::Display,
    ) -> Self {
        self.evidence.push(Evidence {
            object,
            field: field.into(),
            value: value.to_string(),
        });
        self
    }

    /// The same, with what is seen of it.
    #[must_use]
    pub fn effect(mut self, effect: impl Into<String>) -> Self {
        self.effect = effect.into();
        self
    }

    /// The same, with one more way out that is no command.
    #[must_use]
    pub fn advice(mut self, text: impl Into<String>) -> Self {
        self.fix.push(Fix {
            text: text.into(),
            command: None,
        });
        self
    }

    /// The same, with one more way out.
    #[must_use]
    pub fn fix(mut self, text: impl Into<String>, command: impl Into<String>) -> Self {
        self.fix.push(Fix {
            text: text.into(),
            command: Some(command.into()),
        });
        self
    }
}

/// Something that could not be looked at from here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotChecked {
    /// What: findings by name, or a fact in words.
    pub what: String,
    /// Why not, and how it can be had.
    pub why: String,
}
