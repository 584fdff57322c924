//! What a Service says of its traffic.

use k8s_openapi::api::core::v1::Service;

/// `spec.externalTrafficPolicy: Local`. The default is `Cluster`.
pub(crate) fn is_local(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.external_traffic_policy.as_deref()) == Some("Local")
}

/// `spec.type`
pub(crate) fn service_type(service: &Service) -> &str {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.type_.as_deref()).unwrap_or("ClusterIP")
}

/// `spec.healthCheckNodePort`, where it is allocated.
pub(crate) fn health_check_node_port(service: &Service) -> Option<i32> {
    let spec = service.spec.as_ref();
    spec.and_then(|spec| spec.health_check_node_port)
        .filter(|port| *port != 0)
}
