//! The fields of the kinds that are read (Kubernetes API reference; `k8s-openapi` ignores what it does not know,
//! and a misspelt field must not go unnoticed).

use super::shape::Shape::{
    Anything, Boolean, Free, Integer, IntegerOrText, List, Long, Object, Opaque, Text, Time,
};
use super::shape::{Field, FreeMap, Shape, field, narrowing};

const METADATA: Shape = Object(&[
    field("name", Text),
    field("namespace", Text),
    field("labels", Free(FreeMap::Labels)),
    field("annotations", Free(FreeMap::Annotations)),
    field("creationTimestamp", Time),
    field("generation", Long),
    field("uid", Text),
    field("generateName", Opaque),
    field("resourceVersion", Opaque),
    field("selfLink", Opaque),
    field("managedFields", Opaque),
    field("ownerReferences", Opaque),
    field("finalizers", Opaque),
    field("deletionTimestamp", Opaque),
    field("deletionGracePeriodSeconds", Opaque),
]);

const REFERENCE: Shape = Object(&[
    field("apiGroup", Text),
    field("kind", Text),
    field("name", Text),
    field("namespace", Opaque),
    field("scope", Opaque),
]);

const BACKEND: Shape = Object(&[
    field(
        "service",
        Object(&[
            field("name", Text),
            field("port", Object(&[field("name", Text), field("number", Integer)])),
        ]),
    ),
    field("resource", REFERENCE),
]);

const PATH: Shape = Object(&[
    narrowing("path", Text),
    field("pathType", Text),
    field("backend", BACKEND),
]);

const RULE: Shape = Object(&[
    narrowing("host", Text),
    narrowing("http", Object(&[narrowing("paths", List(&PATH))])),
]);

const INGRESS_TLS: Shape = Object(&[field("hosts", List(&Text)), field("secretName", Text)]);

/// `networking.k8s.io/v1` Ingress
pub(super) const INGRESS: &[Field] = &[
    field("apiVersion", Opaque),
    field("kind", Opaque),
    field("metadata", METADATA),
    field(
        "spec",
        Object(&[
            field("defaultBackend", BACKEND),
            field("ingressClassName", Text),
            narrowing("rules", List(&RULE)),
            field("tls", List(&INGRESS_TLS)),
        ]),
    ),
    field("status", Opaque),
];

/// `networking.k8s.io/v1` IngressClass
pub(super) const INGRESS_CLASS: &[Field] = &[
    field("apiVersion", Opaque),
    field("kind", Opaque),
    field("metadata", METADATA),
    field(
        "spec",
        Object(&[field("controller", Text), field("parameters", Opaque)]),
    ),
];

const SERVICE_PORT: Shape = Object(&[
    field("name", Text),
    field("port", Integer),
    field("protocol", Text),
    field("appProtocol", Text),
    field("targetPort", IntegerOrText),
    field("nodePort", Integer),
]);

/// `v1` Service
pub(super) const SERVICE: &[Field] = &[
    field("apiVersion", Opaque),
    field("kind", Opaque),
    field("metadata", METADATA),
    field(
        "spec",
        Object(&[
            field("ports", List(&SERVICE_PORT)),
            field("type", Text),
            field("clusterIP", Text),
            field("externalName", Text),
            field("clusterIPs", Opaque),
            field("selector", Opaque),
            field("allocateLoadBalancerNodePorts", Opaque),
            field("externalIPs", Opaque),
            field("externalTrafficPolicy", Opaque),
            field("healthCheckNodePort", Opaque),
            field("internalTrafficPolicy", Opaque),
            field("ipFamilies", Opaque),
            field("ipFamilyPolicy", Opaque),
            field("loadBalancerClass", Opaque),
            field("loadBalancerIP", Opaque),
            field("loadBalancerSourceRanges", Opaque),
            field("publishNotReadyAddresses", Opaque),
            field("sessionAffinity", Opaque),
            field("sessionAffinityConfig", Opaque),
            field("trafficDistribution", Opaque),
        ]),
    ),
    field("status", Opaque),
];

/// An object, of which logs show the name.
const TARGET: Shape = Object(&[
    field("kind", Text),
    field("name", Text),
    field("apiVersion", Opaque),
    field("fieldPath", Opaque),
    field("namespace", Opaque),
    field("resourceVersion", Opaque),
    field("uid", Opaque),
]);

const ENDPOINT: Shape = Object(&[
    field("addresses", List(&Text)),
    field(
        "conditions",
        Object(&[
            field("ready", Boolean),
            field("serving", Boolean),
            field("terminating", Boolean),
        ]),
    ),
    field("zone", Text),
    field("hostname", Opaque),
    field("nodeName", Opaque),
    field("targetRef", TARGET),
    field("hints", Opaque),
    field("deprecatedTopology", Opaque),
]);

const ENDPOINT_PORT: Shape = Object(&[
    field("name", Text),
    field("port", Integer),
    field("protocol", Text),
    field("appProtocol", Opaque),
]);

/// `discovery.k8s.io/v1` EndpointSlice
pub(super) const ENDPOINT_SLICE: &[Field] = &[
    field("apiVersion", Opaque),
    field("kind", Opaque),
    field("metadata", METADATA),
    field("addressType", Text),
    field("endpoints", List(&ENDPOINT)),
    field("ports", List(&ENDPOINT_PORT)),
];

/// `v1` Secret
pub(super) const SECRET: &[Field] = &[
    field("apiVersion", Opaque),
    field("kind", Opaque),
    field("metadata", METADATA),
    field("type", Text),
    field("data", Free(FreeMap::Bytes)),
    field("stringData", Free(FreeMap::Texts)),
    field("immutable", Opaque),
];

/// `v1` ConfigMap
pub(super) const CONFIG_MAP: &[Field] = &[
    field("apiVersion", Opaque),
    field("kind", Opaque),
    field("metadata", METADATA),
    field("data", Free(FreeMap::Texts)),
    field("binaryData", Opaque),
    field("immutable", Opaque),
];

/// `v1` Namespace
pub(super) const NAMESPACE: &[Field] = &[
    field("apiVersion", Opaque),
    field("kind", Opaque),
    field("metadata", METADATA),
    field("spec", Opaque),
    field("status", Opaque),
];

/// `traefik.io/v1alpha1` Middleware
pub(super) const MIDDLEWARE: &[Field] = &[
    field("apiVersion", Opaque),
    field("kind", Opaque),
    field("metadata", METADATA),
    // The rows of its kind say more than a shape can.
    field("spec", Anything),
];
