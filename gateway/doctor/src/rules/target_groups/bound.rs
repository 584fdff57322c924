//! Bindings of target groups, and the doors that they lead to.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::finding::ObjectName;
use crate::gateway::Door;
use crate::kind::Kind;
use crate::scene::Scene;
use crate::target_group_binding::TargetGroupBinding;
use crate::traffic::Path;

/// A binding that is meant for the gateway.
pub(super) struct Bound<'s> {
    pub(super) binding: &'s TargetGroupBinding,
    /// Its Service; `None` if there is none of that name.
    pub(super) service: Option<&'s Service>,
    /// From the port that it names; `None` if the Service has no such port.
    pub(super) path: Option<&'s Path<'s>>,
}

/// On which side of the gateway something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Internal,
    External,
}

impl<'s> Bound<'s> {
    pub(super) fn object(&self) -> ObjectName {
        ObjectName::of(Kind::TargetGroupBinding, &self.binding.metadata)
    }

    pub(super) fn door(&self) -> Option<&'s Door> {
        self.path.and_then(Path::door)
    }

    /// `serviceRef.port`, as it is written.
    pub(super) fn port(&self) -> String {
        match &self.binding.spec.service_ref.port {
            Some(IntOrString::Int(number)) => number.to_string(),
            Some(IntOrString::String(name)) => name.clone(),
            None => String::new(),
        }
    }

    /// The name of the target group: that in its ARN (`…:targetgroup/NAME/ID`), or the one that is written instead.
    pub(super) fn group_name(&self) -> &'s str {
        let group = self.binding.target_group();
        group.split('/').nth(1).unwrap_or(group)
    }

    /// The field that names the target group.
    pub(super) fn group_field(&self) -> &'static str {
        if self.binding.target_group().starts_with("arn:") {
            "spec.targetGroupARN"
        } else {
            "spec.targetGroupName"
        }
    }
}

/// The bindings of Services that lead to a gateway, and those in a gateway's namespace whose Service does not exist.
pub(super) fn bound<'s>(scene: &'s Scene<'_>) -> Vec<Bound<'s>> {
    let bindings = &scene.inventory.target_group_bindings;
    bindings.iter().filter_map(|binding| of(scene, binding)).collect()
}

fn of<'s>(scene: &'s Scene<'_>, binding: &'s TargetGroupBinding) -> Option<Bound<'s>> {
    let reference = &binding.spec.service_ref;
    let namespace = &binding.metadata.namespace;
    let is_named = |service: &Service| {
        service.metadata.namespace == *namespace && service.metadata.name.as_deref() == Some(&reference.name)
    };
    let mut paths = scene
        .paths
        .iter()
        .filter(|path| is_named(path.service))
        .peekable();
    let Some(first) = paths.peek() else {
        let exists = scene.inventory.services.iter().any(is_named);
        let is_here = |name: &ObjectName| Some(name.namespace()) == namespace.as_deref();
        let is_ours = scene.workloads.iter().any(|workload| is_here(&workload.name));
        return (is_ours && !exists).then_some(Bound {
            binding,
            service: None,
            path: None,
        });
    };
    let service = first.service;
    let is_port = |path: &&Path<'_>| match &reference.port {
        Some(IntOrString::Int(number)) => path.port.port == *number,
        Some(IntOrString::String(name)) => path.port.name.as_ref() == Some(name),
        None => false,
    };
    let named: Vec<&Path<'_>> = paths.filter(is_port).collect();
    // One of several workloads behind a Service may have the door.
    let with_door = named.iter().find(|path| path.door().is_some());
    let path = with_door.or(named.first()).copied();
    Some(Bound {
        binding,
        service: Some(service),
        path,
    })
}

/// Which of these doors a name means, such as `gw-external-https` or `ExternalHttpsTg`.
pub(super) fn meant<'d>(name: &str, doors: impl Iterator<Item = &'d Door>) -> Option<&'d Door> {
    let name = letters(name);
    let named = doors.filter(|door| name.contains(&letters(door.name.as_str())));
    // `external-http` is a part of `external-https`.
    named.max_by_key(|door| door.name.as_str().len())
}

/// Which side a name means, if it means one.
pub(super) fn side(name: &str) -> Option<Side> {
    let name = letters(name);
    match (name.contains("internal"), name.contains("external")) {
        (true, false) => Some(Side::Internal),
        (false, true) => Some(Side::External),
        (true, true) | (false, false) => None,
    }
}

fn letters(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}
