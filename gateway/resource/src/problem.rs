//! What is wrong with an object, and where it is written.

use std::fmt;
use std::sync::Arc;

use route::ObjectKey;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use text::Shown;

/// How much a problem matters. Ordered from worst to mildest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is refused, closed (503) or not served.
    Error,
    /// Something is ignored, and the writer may have counted on it.
    Warning,
    /// Worth knowing; nothing is lost.
    Note,
}

/// The kinds of objects that problems are reported for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// `networking.k8s.io/v1`
    Ingress,
    /// `networking.k8s.io/v1`
    IngressClass,
    /// `v1`
    Service,
    /// `discovery.k8s.io/v1`
    EndpointSlice,
    /// `v1`
    Secret,
    /// `v1`
    ConfigMap,
    /// `v1`
    Namespace,
    /// `traefik.io/v1alpha1`
    Middleware,
    /// A file or document that is no object, or none that the gateway knows.
    File,
    /// The API server as a whole.
    Cluster,
    /// An environment variable of the configuration.
    Variable,
}

/// Which object a problem belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `None` for cluster-scoped kinds and for files.
    pub namespace: Option<Box<str>>,
    /// Its name; the file name for [`Kind::File`].
    pub name: Box<str>,
}

/// A line of a manifest file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceLine {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u32,
}

/// Where an object is written: its file, and the line of each of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file, as the user named it.
    pub file: Arc<str>,
    /// The line where the object begins, counted from 1.
    pub line: u32,
    /// Sorted by field.
    pub(crate) fields: Box<[(Box<str>, u32)]>,
}

/// One thing that is wrong with one object.
///
/// Serialises as `{"severity", "object": {"kind", "namespace", "name"}, "field", "message", "file", "line"}`;
/// what is unknown is `null`. `Display` is one line for people. It escapes control characters, because the strings of an
/// object end up in terminals and logs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// Whose problem it is.
    pub object: ObjectRef,
    /// The field, as in `spec.rules[0].http.paths[1].backend.service.port`; keys of free maps stand in brackets,
    /// as in `metadata.labels[expose]`. Empty for the object as a whole.
    pub field: String,
    /// What is wrong, what happens as a result, and what to write instead.
    pub message: String,
    /// Where it is written, for objects that come from a file.
    pub source: Option<SourceLine>,
    /// What it is about.
    pub topic: Topic,
}

/// What a problem is about, as far as its field does not say it. Events have a reason for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// What the field says.
    #[default]
    Field,
    /// A filter cannot be honoured: its routes answer 503.
    FilterRefused,
    /// Two filters contradict each other: their routes answer 503.
    FilterConflict,
    /// An object that a filter names does not exist, or is not read.
    ReferenceMissing,
    /// An object of another namespace is named.
    ReferenceForeign,
    /// A canary without an Ingress that it belongs to.
    CanaryUnpaired,
    /// A filter means something else here than where its spelling comes from.
    FilterDiffers,
    /// A challenge of ACME does not reach the Ingress that answers it.
    ChallengeUnreachable,
}

impl Topic {
    /// What a refusal is about that says this. Every refusal of an object of another namespace says which one would be its
    /// own.
    #[must_use]
    pub fn of_refusal(reason: &str, otherwise: Self) -> Self {
        if reason.contains("own namespace") {
            Self::ReferenceForeign
        } else {
            otherwise
        }
    }
}

impl Severity {
    /// `error`, `warning` or `note`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Kind {
    /// Every kind of object.
    pub(crate) const ALL: [Self; 8] = [
        Self::Ingress,
        Self::IngressClass,
        Self::Service,
        Self::EndpointSlice,
        Self::Secret,
        Self::ConfigMap,
        Self::Namespace,
        Self::Middleware,
    ];

    /// The version that the gateway reads; empty for what is no object.
    pub(crate) const fn api_version(self) -> &'static str {
        match self {
            Self::Ingress | Self::IngressClass => "networking.k8s.io/v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Service | Self::Secret | Self::ConfigMap | Self::Namespace => "v1",
            Self::Middleware => "traefik.io/v1alpha1",
            Self::File | Self::Cluster | Self::Variable => "",
        }
    }

    pub(crate) const fn is_namespaced(self) -> bool {
        match self {
            Self::Ingress
            | Self::Service
            | Self::EndpointSlice
            | Self::Secret
            | Self::ConfigMap
            | Self::Middleware => true,
            Self::IngressClass | Self::Namespace | Self::File | Self::Cluster | Self::Variable => false,
        }
    }

    /// As written in `kind` of a manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Namespace => "Namespace",
            Self::Middleware => "Middleware",
            Self::File => "File",
            Self::Cluster => "Cluster",
            Self::Variable => "Variable",
        }
    }
}

impl ObjectRef {
    /// An object in a namespace.
    #[must_use]
    pub fn namespaced(kind: Kind, key: &ObjectKey) -> Self {
        Self {
            kind,
            namespace: Some(key.namespace().into()),
            name: key.name().into(),
        }
    }

    /// A cluster-scoped object, or a file.
    #[must_use]
    pub fn global(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            namespace: None,
            name: name.into(),
        }
    }
}

impl Source {
    /// The line of `field`, or of the nearest field around it that is written.
    #[must_use]
    pub fn at(&self, field: &str) -> SourceLine {
        let mut candidate = field;
        let line = loop {
            if let Ok(found) = self
                .fields
                .binary_search_by(|(known, _)| (**known).cmp(candidate))
            {
                break self.fields.get(found).map_or(self.line, |(_, line)| *line);
            }
            match candidate.rfind(['.', '[']).and_then(|end| candidate.get(..end)) {
                Some(around) => candidate = around,
                None => break self.line,
            }
        };
        SourceLine {
            file: Arc::clone(&self.file),
            line,
        }
    }
}

impl Problem {
    /// A problem of `object`, placed in its source if it has one.
    #[must_use]
    pub fn of(
        object: ObjectRef,
        source: Option<&Source>,
        severity: Severity,
        field: &str,
        message: impl Into<String>,
    ) -> Self {
        let source = source.map(|source| source.at(field));
        Self {
            severity,
            object,
            field: field.to_owned(),
            message: message.into(),
            source,
            topic: Topic::Field,
        }
    }

    /// The same, about something that its field does not say.
    #[must_use]
    pub fn about(mut self, topic: Topic) -> Self {
        self.topic = topic;
        self
    }

    /// A problem with the API server as a whole; `server` is its address.
    #[must_use]
    pub fn of_cluster(severity: Severity, server: &str, message: impl Into<String>) -> Self {
        Self::of(
            ObjectRef::global(Kind::Cluster, server),
            None,
            severity,
            "",
            message,
        )
    }

    /// A problem with a value that an environment variable gives.
    #[must_use]
    pub fn of_variable(severity: Severity, name: &str, message: impl Into<String>) -> Self {
        let object = ObjectRef::global(Kind::Variable, name);
        Self::of(object, None, severity, "", message)
    }

    /// A problem of a file or directory as a whole.
    #[must_use]
    pub fn of_file(severity: Severity, file: &str, message: impl Into<String>) -> Self {
        let object = ObjectRef::global(Kind::File, file);
        Self {
            severity,
            object,
            field: String::new(),
            message: message.into(),
            source: None,
            topic: Topic::Field,
        }
    }
}

/// `Ingress shop/web`
impl fmt::Display for ObjectRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.kind.as_str())?;
        out.write_str(" ")?;
        if let Some(namespace) = &self.namespace {
            write!(out, "{}/", Shown(namespace))?;
        }
        write!(out, "{}", Shown(&self.name))
    }
}

impl fmt::Display for SourceLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", Shown(&self.file), self.line)
    }
}

/// `manifests/shop.yaml:12: error: Ingress shop/web spec.rules[0].host: …`
impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(out, "{source}: ")?;
        }
        write!(out, "{}: {}", self.severity.as_str(), self.object)?;
        if !self.field.is_empty() {
            write!(out, " {}", Shown(&self.field))?;
        }
        write!(out, ": {}", Shown(&self.message))
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Problem", 6)?;
        out.serialize_field("severity", &self.severity)?;
        out.serialize_field("object", &self.object)?;
        out.serialize_field("field", &self.field)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("file", &self.source.as_ref().map(|source| &*source.file))?;
        out.serialize_field("line", &self.source.as_ref().map(|source| source.line))?;
        out.end()
    }
}
