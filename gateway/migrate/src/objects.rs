//! Objects of other gateways that have no counterpart here.

use crate::raw::RawObject;
use crate::report::ForeignObject;

/// A kind of objects that is not read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignKind {
    /// Its API group.
    pub group: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its name in paths of the API.
    pub plural: &'static str,
    /// The version to ask for.
    pub version: &'static str,
    /// What to write instead.
    pub instead: &'static str,
}

const AN_INGRESS: &str = "write an Ingress for its hosts and paths";
const NO_TCP: &str = "only HTTP is routed here, and TLS by its name with `ssl-passthrough`; give it a load balancer of its own";
const NO_UDP: &str = "UDP is not routed here; give it a load balancer of its own";
const NOT_YET: &str = "objects of the Gateway API are not read; write an Ingress";

const fn kind(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    version: &'static str,
    instead: &'static str,
) -> ForeignKind {
    ForeignKind {
        group,
        kind,
        plural,
        version,
        instead,
    }
}

const KINDS: &[ForeignKind] = &[
    kind(
        "traefik.io",
        "IngressRoute",
        "ingressroutes",
        "v1alpha1",
        "write an Ingress for its hosts and paths; Middlewares of the same namespace stay (`router.middlewares`)",
    ),
    kind(
        "traefik.io",
        "IngressRouteTCP",
        "ingressroutetcps",
        "v1alpha1",
        NO_TCP,
    ),
    kind(
        "traefik.io",
        "IngressRouteUDP",
        "ingressrouteudps",
        "v1alpha1",
        NO_UDP,
    ),
    kind(
        "traefik.io",
        "MiddlewareTCP",
        "middlewaretcps",
        "v1alpha1",
        NO_TCP,
    ),
    kind(
        "traefik.io",
        "TLSOption",
        "tlsoptions",
        "v1alpha1",
        "`tls.min_version` and `tls.client_auth` of a door",
    ),
    kind(
        "traefik.io",
        "TLSStore",
        "tlsstores",
        "v1alpha1",
        "`tls.default_certificate` of a door",
    ),
    kind(
        "traefik.io",
        "ServersTransport",
        "serverstransports",
        "v1alpha1",
        "`blastdoor.dev/backend-tls-*` on the Ingress, and `timeouts` of a door",
    ),
    kind(
        "traefik.io",
        "ServersTransportTCP",
        "serverstransporttcps",
        "v1alpha1",
        NO_TCP,
    ),
    kind(
        "traefik.io",
        "TraefikService",
        "traefikservices",
        "v1alpha1",
        "`canary` annotations split requests, and `mirror-*` is not supported",
    ),
    kind(
        "traefik.containo.us",
        "IngressRoute",
        "ingressroutes",
        "v1alpha1",
        AN_INGRESS,
    ),
    kind(
        "traefik.containo.us",
        "IngressRouteTCP",
        "ingressroutetcps",
        "v1alpha1",
        NO_TCP,
    ),
    kind(
        "traefik.containo.us",
        "IngressRouteUDP",
        "ingressrouteudps",
        "v1alpha1",
        NO_UDP,
    ),
    kind(
        "traefik.containo.us",
        "Middleware",
        "middlewares",
        "v1alpha1",
        "Middlewares are read in the group `traefik.io` alone: change `apiVersion`",
    ),
    kind(
        "traefik.containo.us",
        "TLSOption",
        "tlsoptions",
        "v1alpha1",
        "`tls.min_version` and `tls.client_auth` of a door",
    ),
    kind(
        "traefik.containo.us",
        "ServersTransport",
        "serverstransports",
        "v1alpha1",
        "`blastdoor.dev/backend-tls-*` on the Ingress",
    ),
    kind(
        "k8s.nginx.org",
        "VirtualServer",
        "virtualservers",
        "v1",
        AN_INGRESS,
    ),
    kind(
        "k8s.nginx.org",
        "VirtualServerRoute",
        "virtualserverroutes",
        "v1",
        AN_INGRESS,
    ),
    kind(
        "k8s.nginx.org",
        "TransportServer",
        "transportservers",
        "v1",
        NO_TCP,
    ),
    kind(
        "k8s.nginx.org",
        "Policy",
        "policies",
        "v1",
        "annotations of the Ingress (docs/reference-annotations.md)",
    ),
    kind("projectcontour.io", "HTTPProxy", "httpproxies", "v1", AN_INGRESS),
    kind(
        "configuration.konghq.com",
        "KongPlugin",
        "kongplugins",
        "v1",
        "annotations of the Ingress (docs/reference-annotations.md)",
    ),
    kind(
        "configuration.konghq.com",
        "KongIngress",
        "kongingresses",
        "v1",
        "annotations of the Ingress (docs/reference-annotations.md)",
    ),
    kind(
        "networking.istio.io",
        "VirtualService",
        "virtualservices",
        "v1",
        AN_INGRESS,
    ),
    kind("networking.istio.io", "Gateway", "gateways", "v1", "a door"),
    kind("gateway.networking.k8s.io", "Gateway", "gateways", "v1", "a door"),
    kind(
        "gateway.networking.k8s.io",
        "HTTPRoute",
        "httproutes",
        "v1",
        NOT_YET,
    ),
    kind(
        "gateway.networking.k8s.io",
        "GRPCRoute",
        "grpcroutes",
        "v1",
        NOT_YET,
    ),
    kind(
        "gateway.networking.k8s.io",
        "TLSRoute",
        "tlsroutes",
        "v1",
        "`ssl-passthrough` of an Ingress",
    ),
    kind("gateway.networking.k8s.io", "TCPRoute", "tcproutes", "v1", NO_TCP),
    kind("gateway.networking.k8s.io", "UDPRoute", "udproutes", "v1", NO_UDP),
    kind("route.openshift.io", "Route", "routes", "v1", AN_INGRESS),
    kind(
        "extensions",
        "Ingress",
        "ingresses",
        "v1beta1",
        "this version of Ingress is gone since Kubernetes 1.22: write networking.k8s.io/v1",
    ),
    kind("networking.k8s.io", "Ingress", "ingresses", "v1", ""),
];

/// Kinds that route requests, or say how, and are not read here.
pub fn foreign_kinds() -> impl Iterator<Item = &'static ForeignKind> {
    KINDS.iter().filter(|kind| !kind.instead.is_empty())
}

impl ForeignObject {
    /// Whether it says something of the Ingresses of every namespace: the `default` ones of these kinds hold for all of
    /// Traefik, and any other can be named by Ingresses elsewhere.
    #[must_use]
    pub fn concerns_all(&self) -> bool {
        let traefiks = self.kind.split_once('/');
        matches!(
            traefiks,
            Some(("traefik.io" | "traefik.containo.us", "TLSOption" | "TLSStore"))
        )
    }
}

/// Those among these objects.
pub(crate) fn foreign(raw: &[RawObject]) -> Vec<ForeignObject> {
    raw.iter().filter_map(of).collect()
}

fn of(raw: &RawObject) -> Option<ForeignObject> {
    let (group, version) = raw.api_version.split_once('/')?;
    let message = if group == "networking.k8s.io" && raw.kind == "Ingress" {
        if version == "v1" {
            return None;
        }
        "this version of Ingress is gone since Kubernetes 1.22: write networking.k8s.io/v1"
    } else {
        let known = foreign_kinds().find(|kind| kind.group == group && kind.kind == raw.kind)?;
        known.instead
    };
    Some(ForeignObject {
        kind: raw.group_kind(),
        namespace: raw.namespace.clone(),
        name: raw.name.clone(),
        file: raw.file.as_deref().map(str::to_owned),
        message: message.to_owned(),
    })
}
