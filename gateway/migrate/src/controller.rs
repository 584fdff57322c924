//! Whose Ingress it is.

use resource::{ClusterView, Ingress, IngressClass};
use serde::{Serialize, Serializer};

use crate::raw::RawObject;

/// The controller that an Ingress was written for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// ingress-nginx, of the Kubernetes project.
    IngressNginx,
    /// Traefik.
    Traefik,
    /// This gateway.
    Blastdoor,
    /// Another one, by the name that its class or its annotations give.
    Other(Box<str>),
    /// Nothing says it.
    Unknown,
}

/// What the annotations of other controllers begin with, and whose they are. Only what routes requests: those of
/// cert-manager and external-dns are read by these.
const OTHERS: &[(&str, &str)] = &[
    ("nginx.org/", "NGINX Ingress Controller of F5"),
    ("nginx.com/", "NGINX Ingress Controller of F5"),
    ("appprotect.f5.com/", "NGINX Ingress Controller of F5"),
    ("custom.nginx.org/", "NGINX Ingress Controller of F5"),
    ("haproxy-ingress.github.io/", "HAProxy Ingress"),
    ("ingress.kubernetes.io/", "HAProxy Ingress"),
    ("haproxy.org/", "HAProxy Kubernetes Ingress Controller"),
    ("haproxy.com/", "HAProxy Kubernetes Ingress Controller"),
    ("konghq.com/", "Kong"),
    ("projectcontour.io/", "Contour"),
    ("alb.ingress.kubernetes.io/", "AWS Load Balancer Controller"),
    ("networking.gke.io/", "GKE Ingress"),
    ("kubernetes.io/ingress.global-static-ip-name", "GKE Ingress"),
    ("kubernetes.io/ingress.allow-http", "GKE Ingress"),
    ("ingress.gcp.kubernetes.io/", "GKE Ingress"),
    ("appgw.ingress.kubernetes.io/", "Azure Application Gateway"),
    ("ingress.cilium.io/", "Cilium"),
    ("zalando.org/", "Skipper"),
    ("tailscale.com/", "Tailscale"),
    ("ingress.pomerium.io/", "Pomerium"),
    ("k8s.apisix.apache.org/", "APISIX"),
    ("higress.io/", "Higress"),
    ("route.openshift.io/", "OpenShift"),
    ("haproxy.router.openshift.io/", "OpenShift"),
    ("voyager.appscode.com/", "Voyager"),
    ("getambassador.io/", "Ambassador"),
    ("traefik.frontend", "Traefik 1"),
    ("ingress.citrix.com/", "Citrix"),
];

/// The controllers of `spec.controller` of an IngressClass.
const CONTROLLERS: &[(&str, &str)] = &[
    ("nginx.org/ingress-controller", "NGINX Ingress Controller of F5"),
    ("haproxy-ingress.github.io/controller", "HAProxy Ingress"),
    (
        "haproxy.org/ingress-controller",
        "HAProxy Kubernetes Ingress Controller",
    ),
    ("ingress-controllers.konghq.com/kong", "Kong"),
    ("projectcontour.io/", "Contour"),
    ("ingress.k8s.aws/alb", "AWS Load Balancer Controller"),
    ("eks.amazonaws.com/alb", "AWS Load Balancer Controller"),
    ("cilium.io/ingress-controller", "Cilium"),
    ("azure/application-gateway", "Azure Application Gateway"),
    ("tailscale.com/ts-ingress", "Tailscale"),
    ("pomerium.io/ingress-controller", "Pomerium"),
];

impl Controller {
    /// As in reports and on the command line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::IngressNginx => "ingress-nginx",
            Self::Traefik => "traefik",
            Self::Blastdoor => "blastdoor",
            Self::Other(name) => name,
            Self::Unknown => "unknown",
        }
    }

    /// Whose Ingress it is: its class says so, by its controller and then by its name, then its annotations.
    pub(crate) fn of(ingress: &Ingress, raw: Option<&RawObject>, view: &ClusterView) -> Self {
        let class = class_of(ingress, view);
        if let Some(class) = &class {
            let object = view.class(class);
            let by_object = object.and_then(|class| by_controller(class.controller.as_deref()?));
            if let Some(known) = by_object.or_else(|| by_class_name(class)) {
                return known;
            }
        }
        let keys = || {
            raw.into_iter()
                .flat_map(RawObject::annotations)
                .map(|(key, _)| key)
        };
        let has = |prefix: &str| keys().any(|key| key.starts_with(prefix));
        if has("nginx.ingress.kubernetes.io/") {
            return Self::IngressNginx;
        }
        if has("traefik.ingress.kubernetes.io/") {
            return Self::Traefik;
        }
        if let Some(whose) = keys().find_map(whose_annotation) {
            return Self::Other(whose.into());
        }
        match class {
            Some(name) => Self::Other(format!("class {name}").into()),
            None => Self::Unknown,
        }
    }
}

impl Serialize for Controller {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The class of an Ingress: its own, or the default one.
pub(crate) fn class_of(ingress: &Ingress, view: &ClusterView) -> Option<Box<str>> {
    let own = ingress.class.as_ref().map(|class| class.name.clone());
    own.or_else(|| Some(view.default_class()?.name.as_ref().into()))
}

/// The controller whose annotation it is, if that is one that routes requests and is not read here.
pub(crate) fn whose_annotation(key: &str) -> Option<&'static str> {
    let known = OTHERS.iter().find(|(prefix, _)| key.starts_with(prefix));
    known.map(|(_, whose)| *whose)
}

fn by_controller(name: &str) -> Option<Controller> {
    if name == IngressClass::CONTROLLER {
        return Some(Controller::Blastdoor);
    }
    // ingress-nginx has a controller of its own for each of several installations.
    if name.starts_with("k8s.io/") && name.contains("nginx") {
        return Some(Controller::IngressNginx);
    }
    if name.starts_with("traefik.io/") {
        return Some(Controller::Traefik);
    }
    let known = CONTROLLERS.iter().find(|(known, _)| name.starts_with(known));
    known.map(|(_, whose)| Controller::Other((*whose).into()))
}

/// What a class most likely is, where the IngressClass itself is not known.
fn by_class_name(name: &str) -> Option<Controller> {
    let lower = name.to_ascii_lowercase();
    if lower.contains("nginx") {
        return Some(Controller::IngressNginx);
    }
    if lower.contains("traefik") {
        return Some(Controller::Traefik);
    }
    if lower.contains("blastdoor") {
        return Some(Controller::Blastdoor);
    }
    let names = [
        ("alb", "AWS Load Balancer Controller"),
        ("gce", "GKE Ingress"),
        ("haproxy", "HAProxy Ingress"),
        ("kong", "Kong"),
        ("contour", "Contour"),
        ("cilium", "Cilium"),
        ("istio", "Istio"),
        ("azure", "Azure Application Gateway"),
        ("tailscale", "Tailscale"),
    ];
    let known = names.iter().find(|(word, _)| {
        lower == *word || lower.starts_with(&format!("{word}-")) || lower.ends_with(&format!("-{word}"))
    });
    known.map(|(_, whose)| Controller::Other((*whose).into()))
}
