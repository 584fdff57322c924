//! The certificates that an Ingress names.

use k8s_openapi::api::networking::v1::IngressTLS as RawTls;
use route::{HostPattern, ObjectKey};

use crate::reporter::Reporter;

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

impl IngressTls {
    pub(super) fn read(raw: RawTls, ingress: &ObjectKey, index: usize, report: &mut Reporter<'_>) -> Self {
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
