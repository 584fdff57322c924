//! Ingresses: which hosts and paths go to which Services.

mod backend;
mod challenge;
mod derived;
mod lookalike;
mod path;
mod rule;
mod tls;

use std::sync::{Arc, LazyLock};

use k8s_openapi::api::networking::v1::Ingress as RawIngress;
use k8s_openapi::jiff::Timestamp;
use route::{HostPattern, ObjectKey, PathPattern};

use crate::annotations::{Annotations, ingress_annotations};
use crate::filter_spec::FilterSpec;
use crate::labels::Labels;
use crate::metadata::Metadata;
use crate::problem::{Kind, ObjectRef, Problem, Severity, Source};
use crate::reporter::{Reporter, UnreadableFields};

pub use backend::{IngressBackend, InvalidBackend};
pub use challenge::Challenge;
pub use derived::{DerivedFrom, DerivedHost};
pub use path::{IngressPath, InvalidPath, PathType};
pub use rule::{IngressRule, InvalidHost};
pub use tls::IngressTls;

/// A `networking.k8s.io/v1` Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.generation`: counts changes of the spec.
    pub generation: Option<i64>,
    /// `metadata.uid`
    pub uid: Option<Box<str>>,
    /// `metadata.labels`: they choose the door.
    pub labels: Labels,
    /// `metadata.annotations`, as far as they concern the gateway.
    pub annotations: Arc<Annotations>,
    /// `metadata.creationTimestamp`: the older Ingress wins a conflict; `None` counts as the newest.
    pub created: Option<Timestamp>,
    /// `spec.ingressClassName`, or the annotation that came before it.
    pub class: Option<ClassRef>,
    /// `spec.rules`, in order and with every position filled: `rules[i]` is `spec.rules[i]`. Closed rules may follow, for
    /// hosts that are written in unreadable parts of the object.
    pub rules: Box<[IngressRule]>,
    /// `spec.defaultBackend`
    pub default_backend: Option<Result<IngressBackend, InvalidBackend>>,
    /// `spec.tls`
    pub tls: Box<[IngressTls]>,
    /// Hosts that its annotations add to those of its rules.
    pub derived: Box<[DerivedHost]>,
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

        let mut reading = annotations.paths;
        reading.borrowed = annotations.choosing.canary.is_some();
        let key = &meta.key;
        let raw_rules = spec.rules.unwrap_or_default().into_iter().enumerate();
        let mut rules: Vec<IngressRule> = raw_rules
            .map(|(index, raw)| IngressRule::read(raw, key, reading, index, &mut report))
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
        explain_groups(&rules, &annotations, &mut report);
        let derived = derived::hosts(&rules, &annotations);
        Some(Self {
            class,
            derived,
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

    /// Closes hosts that are written in unreadable parts of the Ingress.
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

    /// The hosts that it may have routes for: those that its rules name, in order, as often as they do, and those that are
    /// derived from them. Rules whose host cannot be read name none.
    pub fn hosts(&self) -> impl Iterator<Item = &HostPattern> {
        let derived = self.derived.iter().map(|derived| &derived.host);
        self.rule_hosts().chain(derived)
    }

    /// The hosts that its rules name.
    pub fn rule_hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.rules.iter().filter_map(|rule| rule.host.as_ref().ok())
    }

    /// The challenge of ACME that it answers now. cert-manager removes the Ingress, or its path, when that is over.
    #[must_use]
    pub fn challenge(&self) -> Option<Challenge> {
        challenge::answered(&self.labels, &self.rules)
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

/// A group that no path has is always empty, which is hardly meant.
fn explain_groups(rules: &[IngressRule], annotations: &Annotations, report: &mut Reporter<'_>) {
    let groups = rules
        .iter()
        .flat_map(|rule| &rule.paths)
        .filter_map(|path| match &path.pattern {
            Ok(PathPattern::Regex(regex)) => Some(regex.compiled().captures_len().saturating_sub(1)),
            Ok(PathPattern::Exact(_) | PathPattern::Prefix(_)) => Some(0),
            Err(_) => None,
        });
    let Some(groups) = groups.max() else { return };
    for filter in &annotations.filters {
        let (FilterSpec::Rewrite(text) | FilterSpec::ForwardedPrefix(text)) = &filter.spec else {
            continue;
        };
        let highest = text.highest_group();
        if highest > groups {
            report.warning(
                &filter.field,
                format!("no path of this Ingress has a group for `${highest}`, so that it is always empty"),
            );
        }
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
