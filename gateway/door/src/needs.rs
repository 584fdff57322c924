//! What must be fetched before a view can be compiled: Secrets, ConfigMaps, and DNS names.
//!
//! Sources do not read every Secret, and DNS has no list of names. Both ask here what doors and the Ingresses that they
//! admit refer to. The answers depend only on the policies and the view.

use std::collections::{HashMap, HashSet};

use resource::{ClusterView, Ingress, Kind, Object, ObjectRef, ServiceType};
use route::{Host, ObjectKey};

use crate::admission::{Policy, precedence};
use crate::references::{Reference, all_objects, callees, objects, of_middleware, services};

/// What some doors need of the objects of one view. Nothing is computed before it is requested.
#[derive(Debug, Clone)]
pub struct Needs<'v> {
    policies: Vec<&'v Policy>,
    view: &'v ClusterView,
}

/// A name to resolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeededName<'v> {
    /// The Service of type ExternalName that the oldest Ingress with this name refers to, or that Ingress if one of its
    /// filters calls the name.
    pub service: &'v ObjectKey,
    /// The name.
    pub name: &'v Host,
}

/// What doors with these policies need of the objects of `view`.
pub fn needs<'v>(policies: impl IntoIterator<Item = &'v Policy>, view: &'v ClusterView) -> Needs<'v> {
    Needs {
        policies: policies.into_iter().collect(),
        view,
    }
}

/// The Secrets, ConfigMaps and Middlewares that an Ingress or a Middleware itself refers to, whether a door needs them or
/// not. Other objects refer to nothing that is fetched.
#[must_use]
pub fn objects_of(object: &Object) -> Vec<ObjectRef> {
    let references = match object {
        Object::Ingress(ingress) => objects(ingress).collect(),
        Object::Middleware(middleware) => of_middleware(middleware),
        Object::IngressClass(_)
        | Object::Service(_)
        | Object::EndpointSlice(_)
        | Object::Secret(_)
        | Object::ConfigMap(_) => Vec::new(),
    };
    let references = references.into_iter();
    let fetched = references.filter(|named| named.is_fetched() || matches!(named, Reference::Middleware(_)));
    fetched.map(Reference::object).collect()
}

/// Whether the Secrets and ConfigMaps that doors need may change when `after` replaces `before`. Looks only at these two
/// objects, so that it can be called for every change.
#[must_use]
pub fn concerns_needs(before: Option<&Object>, after: Option<&Object>) -> bool {
    match (before, after) {
        (Some(Object::Ingress(before)), Some(Object::Ingress(after))) => {
            let (now, then) = (objects(after), objects(before));
            let has_any = names_objects(before) || names_objects(after);
            let is_admitted_alike = (&before.labels, &before.class) == (&after.labels, &after.class);
            has_any && !(is_admitted_alike && now.eq(then))
        }
        (Some(Object::Ingress(ingress)), None) | (None, Some(Object::Ingress(ingress))) => {
            names_objects(ingress)
        }
        (Some(Object::Middleware(before)), Some(Object::Middleware(after))) => {
            of_middleware(before) != of_middleware(after)
        }
        (Some(Object::Middleware(middleware)), None) | (None, Some(Object::Middleware(middleware))) => {
            !of_middleware(middleware).is_empty()
        }
        // Ingresses without a class belong to the default one.
        (Some(Object::IngressClass(_)), _) | (_, Some(Object::IngressClass(_))) => true,
        (_, _) => false,
    }
}

impl<'v> Needs<'v> {
    /// Secrets that the configuration of the doors refers to, each once.
    #[must_use]
    pub fn of_doors(&self) -> Vec<ObjectRef> {
        let secrets = self.policies.iter().filter_map(|policy| policy.tls.as_ref());
        let secrets = secrets.flat_map(|tls| tls.secrets());
        each_once(secrets.map(|key| ObjectRef::namespaced(Kind::Secret, key)), [])
    }

    /// Secrets and ConfigMaps that admitted Ingresses refer to and doors do not: each once, those of the oldest
    /// Ingresses first.
    #[must_use]
    pub fn of_ingresses(&self) -> Vec<ObjectRef> {
        let any_terminates = self.policies.iter().any(|policy| policy.tls.is_some());
        // Most Ingresses name nothing; these cost no selector.
        let names_any =
            |ingress: &&Ingress| objects(ingress).any(|named| any_terminates || !named.is_certificate());
        let naming = self.view.ingresses().map(AsRef::as_ref).filter(names_any);
        let mut admitted: Vec<(&Ingress, bool)> = naming
            .filter_map(|ingress| {
                let mut admitting = self.admitting(ingress).peekable();
                admitting.peek()?;
                Some((ingress, admitting.any(|policy| policy.tls.is_some())))
            })
            .collect();
        admitted.sort_by(|(left, _), (right, _)| precedence(left, right));
        let needed = admitted.into_iter().flat_map(|(ingress, is_terminated)| {
            let all = all_objects(ingress, self.view).into_iter();
            all.filter(move |named| named.is_fetched() && (is_terminated || !named.is_certificate()))
        });
        each_once(needed.map(Reference::object), self.of_doors())
    }

    /// Names in DNS that admitted Ingresses use: those of Services of type ExternalName, and those that filters call. Each
    /// once, those of the oldest Ingresses first. Names that are not valid are left out.
    #[must_use]
    pub fn names(&self) -> Vec<NeededName<'v>> {
        let external = self.view.services().filter_map(|service| match &service.kind {
            ServiceType::ExternalName(Ok(name)) => Some((&service.key, name)),
            ServiceType::ExternalName(Err(_))
            | ServiceType::ClusterIp
            | ServiceType::Headless
            | ServiceType::NodePort
            | ServiceType::LoadBalancer => None,
        });
        let external: HashMap<&ObjectKey, &Host> = external.collect();
        self.names_of(|ingress| {
            let forwarded = self.services(ingress).filter_map(|service| {
                let name = *external.get(service)?;
                Some(NeededName { service, name })
            });
            forwarded.chain(self.called_names(ingress)).collect()
        })
    }

    /// Of these, the names that filters call and a door that admits the Ingress lists (`call`).
    #[must_use]
    pub fn listed_names(&self) -> Vec<NeededName<'v>> {
        self.names_of(|ingress| {
            let is_listed = |name: &Host| {
                let name = name.to_string();
                let mut admitting = self.admitting(ingress);
                admitting.any(|policy| policy.filters.call.iter().any(|rule| rule.admits_name(&name)))
            };
            let names = self.called_names(ingress);
            names.filter(|needed| is_listed(needed.name)).collect()
        })
    }

    /// What the filters of an Ingress call by names that are no Services.
    fn called_names(&self, ingress: &'v Ingress) -> impl Iterator<Item = NeededName<'v>> {
        let names = callees(ingress, self.view).into_iter().filter_map(|callee| {
            let service = callee.service.as_ref();
            let is_service = service.is_some_and(|service| self.view.service(service).is_some());
            callee.name.as_ref().filter(|_| !is_service)
        });
        names.map(|name| NeededName {
            service: &ingress.key,
            name,
        })
    }

    fn names_of(&self, of: impl Fn(&'v Ingress) -> Vec<NeededName<'v>>) -> Vec<NeededName<'v>> {
        let naming = self.view.ingresses().map(AsRef::as_ref);
        let naming = naming.map(|ingress| (ingress, of(ingress)));
        let naming = naming.filter(|(_, names)| !names.is_empty());
        let mut admitted: Vec<(&Ingress, Vec<NeededName<'v>>)> = naming
            .filter(|(ingress, _)| self.admitting(ingress).next().is_some())
            .collect();
        admitted.sort_by(|(left, _), (right, _)| precedence(left, right));
        let mut seen = HashSet::new();
        let named = admitted.into_iter().flat_map(|(_, names)| names);
        named.filter(|needed| seen.insert(needed.name)).collect()
    }

    /// The Services that are called for an Ingress, by its rules and its filters.
    fn services(&self, ingress: &'v Ingress) -> impl Iterator<Item = &'v ObjectKey> {
        let of_filters = all_objects(ingress, self.view).into_iter();
        let of_filters = of_filters.filter_map(|named| match named {
            Reference::Service(key) => Some(key),
            Reference::Secret(_)
            | Reference::ConfigMap(_)
            | Reference::Certificate(_)
            | Reference::Middleware(_) => None,
        });
        services(ingress).chain(of_filters)
    }

    /// The policies that admit an Ingress.
    fn admitting<'n>(&'n self, ingress: &'n Ingress) -> impl Iterator<Item = &'v Policy> {
        let policies = self.policies.iter().copied();
        policies.filter(|policy| policy.admits(ingress, self.view))
    }
}

fn names_objects(ingress: &Ingress) -> bool {
    objects(ingress).next().is_some()
}

fn each_once(
    objects: impl Iterator<Item = ObjectRef>,
    others: impl IntoIterator<Item = ObjectRef>,
) -> Vec<ObjectRef> {
    let mut seen: HashSet<ObjectRef> = others.into_iter().collect();
    objects.filter(|object| seen.insert(object.clone())).collect()
}
