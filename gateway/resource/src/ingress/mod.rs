//! Ingresses: which hosts and paths go to which Services.

use std::fmt;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath as RawPath, Ingress as RawIngress, IngressBackend as RawBackend, IngressRule as RawRule,
    IngressTLS as RawTls, ServiceBackendPort as RawPort,
};
use k8s_openapi::jiff::Timestamp;
use route::{HostPattern, HostPatternError, ObjectKey, PathPattern, PathPatternError};

use crate::annotations::{Annotations, ingress_annotations};
use crate::metadata::{Metadata, is_label};
use crate::protocol::port_number;
use crate::reporter::{Reporter, UnreadableFields};
use crate::{Kind, Labels, ObjectRef, Problem, Severity, Source};

/// A `networking.k8s.io/v1` Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.generation`: counts changes of the spec.
    pub generation: Option<i64>,
    /// `metadata.uid`
    pub uid: Option<Box<str>>,
    /// `metadata.labels`: these choose the door.
    pub labels: Labels,
    /// `metadata.annotations`, as far as they concern a gateway.
    pub annotations: Arc<Annotations>,
    /// `metadata.creationTimestamp`: the older Ingress wins a conflict; `None` counts as the newest.
    pub created: Option<Timestamp>,
    /// `spec.ingressClassName`, or the annotation that came before it.
    pub class: Option<ClassRef>,
    /// `spec.rules`, in order and with every position filled: `rules[i]` is `spec.rules[i]`. Behind them may stand
    /// closed rules for hosts that were written where the object could not be read.
    pub rules: Box<[IngressRule]>,
    /// `spec.defaultBackend`
    pub default_backend: Option<Result<IngressBackend, InvalidBackend>>,
    /// `spec.tls`
    pub tls: Box<[IngressTls]>,
    /// Where it is written, when it comes from a file.
    pub source: Option<Arc<Source>>,
}

/// The IngressClass that an Ingress names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRef {
    /// Name of the IngressClass.
    pub name: Box<str>,
    /// It comes from the deprecated annotation `kubernetes.io/ingress.class`.
    pub from_annotation: bool,
}

/// `spec.rules[]` of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressRule {
    /// `host`; absent or empty is [`HostPattern::Any`]. A host that is written with a port is kept without it, and
    /// none of its paths has a backend.
    pub host: Result<HostPattern, InvalidHost>,
    /// `http.paths`, in order and with every position filled. When the list itself cannot be read, one
    /// unreadable path stands for it.
    pub paths: Box<[IngressPath]>,
}

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
    /// Here the same as `Prefix`.
    ImplementationSpecific,
}

/// A port of a Service, as an Ingress names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressBackend {
    /// The Service, in the Ingress's own namespace.
    pub service: ObjectKey,
    /// Which of its ports.
    pub port: ServicePortRef,
}

/// `service.port` of an Ingress backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServicePortRef {
    /// `number`, 1 to 65535: the port of the Service, not of its pods.
    Number(u16),
    /// `name`
    Name(Box<str>),
}

/// `spec.tls[]` of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressTls {
    /// `hosts`; hosts that cannot be read are left out.
    pub hosts: Box<[HostPattern]>,
    /// Whether any host is written, readable or not: without hosts an entry stands for all that its certificate names.
    pub names_hosts: bool,
    /// `secretName`, in the Ingress's own namespace.
    pub secret: Option<ObjectKey>,
}

/// Why the host of a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// It is not a host pattern.
    #[error("{0}; the rule is closed")]
    Pattern(HostPatternError),
    /// It is not even text; the problem has been told where the object was read.
    #[error("the host cannot be read; the rule serves nothing")]
    Unreadable,
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
    /// A character that stands for something in the configuration language of some proxy and in no real path.
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
    /// It is not even text; the problem has been told where the object was read.
    #[error("the path cannot be read; it answers 503")]
    Unreadable,
}

/// Why a backend cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackend {
    /// Neither `service` nor `resource`.
    #[error("the backend is missing; write `service` with a name and a port; answers 503")]
    Missing,
    /// `resource` beside `service`.
    #[error("`resource` and `service` exclude each other; answers 503")]
    Both,
    /// A `resource` backend.
    #[error("`resource` backends are not supported, only `service`; answers 503")]
    Resource,
    /// `service.name` is absent.
    #[error("the name of the Service is missing; answers 503")]
    NoName,
    /// `service.name` cannot be the name of a Service.
    #[error(
        "`{0}` is not a Service name; allowed: at most 63 lower-case letters, digits and `-`; answers 503"
    )]
    Name(String),
    /// No port.
    #[error("the port of the Service is missing; write `number` or `name`; answers 503")]
    NoPort,
    /// Both a number and a name.
    #[error("`number` and `name` of a port exclude each other; write one of them; answers 503")]
    TwoPorts,
    /// `number` is out of range.
    #[error("{0} is not a port (1 to 65535); answers 503")]
    PortNumber(i32),
    /// The host of the rule is not valid, and yet clear enough that its place can be closed.
    #[error("the host of the rule is not valid; answers 503")]
    Host,
    /// It is not of the right form; the problem has been told where the object was read.
    #[error("the backend cannot be read; answers 503")]
    Unreadable,
}

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

impl Ingress {
    /// Reads an Ingress; `None` when it has no usable name.
    #[must_use]
    pub fn from_api(object: RawIngress, problems: &mut Vec<Problem>) -> Option<Self> {
        Self::read(object, &UnreadableFields::default(), problems)
    }

    pub(crate) fn read(
        object: RawIngress,
        unreadable: &UnreadableFields,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let meta = Metadata::namespaced(Kind::Ingress, object.metadata, problems)?;
        let mut report = Reporter::new(
            ObjectRef::namespaced(Kind::Ingress, &meta.key),
            unreadable,
            problems,
        );
        let spec = object.spec.unwrap_or_default();
        let annotations = ingress_annotations(&meta.annotations, meta.key.namespace(), &mut report);

        let key = &meta.key;
        let raw_rules = spec.rules.unwrap_or_default().into_iter().enumerate();
        let mut rules: Vec<IngressRule> = raw_rules
            .map(|(index, raw)| IngressRule::read(raw, key, index, &mut report))
            .collect();
        if rules.is_empty() && (unreadable.contains("spec.rules") || unreadable.contains("spec")) {
            // Without rules `defaultBackend` would answer every host.
            rules.push(IngressRule {
                host: Err(InvalidHost::Unreadable),
                paths: Box::default(),
            });
        }
        let default_backend = match spec.default_backend {
            Some(raw) => Some(IngressBackend::read(raw, key, "spec.defaultBackend", &mut report)),
            None => unreadable
                .contains("spec.defaultBackend")
                .then_some(Err(InvalidBackend::Unreadable)),
        };
        explain_emptiness(&rules, default_backend.is_some(), &mut report);
        let raw_tls = spec.tls.unwrap_or_default().into_iter().enumerate();
        let tls = raw_tls
            .map(|(index, raw)| IngressTls::read(raw, key, index, &mut report))
            .collect();
        let class = ClassRef::read(
            spec.ingress_class_name,
            meta.annotations.get(CLASS_ANNOTATION),
            &mut report,
        );
        Some(Self {
            class,
            rules: rules.into_boxed_slice(),
            default_backend,
            tls,
            annotations: shared(annotations),
            key: meta.key,
            generation: meta.generation,
            uid: meta.uid,
            labels: meta.labels,
            created: meta.created,
            source: None,
        })
    }

    /// Closes hosts that are written in parts of the Ingress that cannot be read.
    pub(crate) fn close_hosts(&mut self, hosts: Vec<&str>) {
        let patterns = hosts.into_iter().filter_map(|host| HostPattern::parse(host).ok());
        let named = patterns.filter(|pattern| *pattern != HostPattern::Any);
        let closed = named.map(|host| IngressRule {
            host: Ok(host),
            paths: [IngressPath::unreadable()].into(),
        });
        let rules = std::mem::take(&mut self.rules);
        self.rules = rules.into_iter().chain(closed).collect();
    }

    /// A problem of this Ingress.
    #[must_use]
    pub fn problem(&self, severity: Severity, field: &str, message: impl Into<String>) -> Problem {
        let object = ObjectRef::namespaced(Kind::Ingress, &self.key);
        Problem::of(object, self.source.as_deref(), severity, field, message)
    }
}

/// Most Ingresses have no annotations for a gateway: these share one value.
fn shared(annotations: Annotations) -> Arc<Annotations> {
    static NONE: LazyLock<Arc<Annotations>> = LazyLock::new(Arc::default);
    if annotations == **NONE {
        Arc::clone(&NONE)
    } else {
        Arc::new(annotations)
    }
}

fn explain_emptiness(rules: &[IngressRule], has_default: bool, report: &mut Reporter<'_>) {
    if has_default {
        return;
    }
    if rules.is_empty() {
        report.warning(
            "spec",
            "neither `rules` nor `defaultBackend`: the Ingress serves nothing",
        );
    }
    for (index, _) in rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.host.is_ok() && rule.paths.is_empty())
    {
        report.warning(
            &format!("spec.rules[{index}].http.paths"),
            "the rule has no paths and there is no `defaultBackend`: it serves nothing",
        );
    }
}

impl ClassRef {
    fn read(field: Option<String>, annotation: Option<&String>, report: &mut Reporter<'_>) -> Option<Self> {
        let field = field.filter(|name| !name.is_empty());
        let annotation = annotation.filter(|name| !name.is_empty());
        // An annotation takes precedence over the field (Kubernetes API, IngressSpec.ingressClassName).
        match (field, annotation) {
            (field, Some(annotated)) => {
                if field.as_ref().is_some_and(|field| field != annotated) {
                    report.warning(
                        "spec.ingressClassName",
                        format!("the annotation `{CLASS_ANNOTATION}` says `{annotated}`, and the annotation counts"),
                    );
                }
                Some(Self {
                    name: annotated.as_str().into(),
                    from_annotation: true,
                })
            }
            (Some(name), None) => Some(Self {
                name: name.into(),
                from_annotation: false,
            }),
            (None, None) => None,
        }
    }
}

impl IngressRule {
    fn read(raw: RawRule, ingress: &ObjectKey, index: usize, report: &mut Reporter<'_>) -> Self {
        let field = format!("spec.rules[{index}]");
        let host_field = format!("{field}.host");
        let host = if report.is_unreadable(&field) || report.is_unreadable(&host_field) {
            Err(InvalidHost::Unreadable)
        } else {
            HostPattern::parse(raw.host.as_deref().unwrap_or_default()).map_err(InvalidHost::Pattern)
        };
        if let Err(invalid) = &host {
            report.error(&host_field, invalid.to_string());
        }
        let paths_field = format!("{field}.http.paths");
        let unreadable = [&field, &format!("{field}.http"), &paths_field]
            .iter()
            .any(|it| report.is_unreadable(it));
        let paths = if unreadable {
            [IngressPath::unreadable()].into()
        } else {
            let raw_paths = raw.http.map(|http| http.paths).unwrap_or_default();
            let fields = (0..).map(|index| format!("{paths_field}[{index}]"));
            raw_paths
                .into_iter()
                .zip(fields)
                .map(|(raw, field)| IngressPath::read(raw, ingress, &field, report))
                .collect()
        };
        match host.as_ref().err().and_then(InvalidHost::without_port) {
            Some(meant) => Self {
                host: Ok(meant),
                paths,
            }
            .closed(),
            None => Self { host, paths },
        }
    }

    /// The same places without a backend.
    fn closed(mut self) -> Self {
        for path in &mut self.paths {
            path.backend = Err(InvalidBackend::Host);
        }
        self
    }
}

impl InvalidHost {
    /// The host beside a port, which a host must not have: it is known well enough to be closed.
    fn without_port(&self) -> Option<HostPattern> {
        let Self::Pattern(HostPatternError::Port(written)) = self else {
            return None;
        };
        let (host, _) = written.rsplit_once(':')?;
        HostPattern::parse(host)
            .ok()
            .filter(|host| *host != HostPattern::Any)
    }
}

impl IngressPath {
    /// Stands for paths that cannot be told apart any more: whatever no other path of the host answers is closed.
    fn unreadable() -> Self {
        Self {
            path_type: None,
            written: Box::default(),
            pattern: Err(InvalidPath::Unreadable),
            backend: Err(InvalidBackend::Unreadable),
        }
    }

    fn read(raw: RawPath, ingress: &ObjectKey, field: &str, report: &mut Reporter<'_>) -> Self {
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
            Ok(path_type) => path_type.pattern(&written).inspect_err(|invalid| {
                report.error(&path_field, invalid.to_string());
            }),
        };
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

    fn pattern(self, written: &str) -> Result<PathPattern, InvalidPath> {
        // These have served to inject configuration into other proxies, and no client sends them unescaped.
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
            (Self::Prefix | Self::ImplementationSpecific, path) => PathPattern::prefix(path),
        };
        pattern.map_err(InvalidPath::Pattern)
    }
}

impl IngressBackend {
    fn read(
        raw: RawBackend,
        ingress: &ObjectKey,
        field: &str,
        report: &mut Reporter<'_>,
    ) -> Result<Self, InvalidBackend> {
        let unreadable = [
            "",
            ".service",
            ".service.name",
            ".service.port",
            ".service.port.number",
            ".service.port.name",
        ];
        if unreadable
            .iter()
            .any(|part| report.is_unreadable(&format!("{field}{part}")))
        {
            return Err(InvalidBackend::Unreadable);
        }
        let (part, invalid) = match (raw.service, raw.resource) {
            (Some(service), None) if service.name.is_empty() => (".service.name", InvalidBackend::NoName),
            (Some(service), None) if !is_label(&service.name) => {
                (".service.name", InvalidBackend::Name(service.name))
            }
            (Some(service), None) => match ServicePortRef::read(service.port.unwrap_or_default()) {
                Ok(port) => {
                    return Ok(Self {
                        service: ingress.beside(service.name),
                        port,
                    });
                }
                Err(invalid) => (".service.port", invalid),
            },
            (Some(_), Some(_)) => ("", InvalidBackend::Both),
            (None, Some(_)) => (".resource", InvalidBackend::Resource),
            (None, None) => ("", InvalidBackend::Missing),
        };
        let part = if matches!(invalid, InvalidBackend::PortNumber(_)) {
            ".service.port.number"
        } else {
            part
        };
        report.error(&format!("{field}{part}"), invalid.to_string());
        Err(invalid)
    }
}

impl ServicePortRef {
    /// The number that is meant: one that is written as such, or in the digits of a name that no port has. A cluster
    /// takes no name without a letter, so such a name comes from a file, where it is a number in quotes.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(name) if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                name.parse().ok().and_then(port_number)
            }
            Self::Name(_) => None,
        }
    }

    fn read(raw: RawPort) -> Result<Self, InvalidBackend> {
        // The API server stores an unset number as 0 and an unset name as the empty string.
        let name = raw.name.filter(|name| !name.is_empty());
        match (raw.number.filter(|number| *number != 0 || name.is_none()), name) {
            (None, None) => Err(InvalidBackend::NoPort),
            (Some(_), Some(_)) => Err(InvalidBackend::TwoPorts),
            (None, Some(name)) => Ok(Self::Name(name.into())),
            (Some(number), None) => port_number(number)
                .map(Self::Number)
                .ok_or(InvalidBackend::PortNumber(number)),
        }
    }
}

impl IngressTls {
    fn read(raw: RawTls, ingress: &ObjectKey, index: usize, report: &mut Reporter<'_>) -> Self {
        let mut hosts = Vec::new();
        let written = raw.hosts.unwrap_or_default();
        let unreadable = ["", ".hosts"].map(|part| format!("spec.tls[{index}]{part}"));
        let names_hosts = !written.is_empty() || unreadable.iter().any(|field| report.is_unreadable(field));
        for (position, host) in written.iter().enumerate() {
            let field = format!("spec.tls[{index}].hosts[{position}]");
            match HostPattern::parse(host) {
                Ok(HostPattern::Any) => {
                    report.error(&field, "the host is empty; no certificate is chosen by it");
                }
                Ok(pattern @ (HostPattern::Exact(_) | HostPattern::Wildcard(_))) => hosts.push(pattern),
                Err(invalid) => report.error(&field, format!("{invalid}; no certificate is chosen by it")),
            }
        }
        let secret = raw.secret_name.filter(|name| !name.is_empty());
        Self {
            hosts: hosts.into(),
            names_hosts,
            secret: secret.map(|name| ingress.beside(name)),
        }
    }
}

/// `8080`, or the name in backquotes.
impl fmt::Display for ServicePortRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::Name(name) => write!(out, "`{name}`"),
        }
    }
}
