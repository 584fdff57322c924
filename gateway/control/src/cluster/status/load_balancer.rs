//! The list of addresses in a status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::address::Address;
use super::claims::Claims;

/// `status.loadBalancer.ingress` of an object, and what the object says about its writers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LoadBalancerStatus {
    pub(crate) addresses: Box<[Address]>,
    /// Who wrote the list last (`metadata.managedFields`); `None` if there are several, or none.
    pub(crate) writer: Option<Box<str>>,
    /// Who has published which address, as far as the annotation says.
    pub(crate) claims: Claims,
}

/// Suffix to the name of an installation that has written a list with addresses of others in it.
pub(super) const WITH_OTHERS: &str = "+others";

impl LoadBalancerStatus {
    /// Whether the last writer was not the installation `me`.
    pub(crate) fn is_of_others(&self, me: &str) -> bool {
        let writer = self.writer.as_deref();
        writer.is_some_and(|writer| writer.strip_suffix(WITH_OTHERS).unwrap_or(writer) != me)
    }
}

/// Who wrote the list of addresses last, if there is exactly one writer.
pub(crate) fn writer(meta: &ObjectMeta) -> Option<Box<str>> {
    let mut owners = meta.managed_fields.iter().flatten().filter(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields
            .and_then(|fields| fields.get("f:status")?.get("f:loadBalancer")?.get("f:ingress"))
            .is_some()
    });
    let first = owners.next()?.manager.as_deref()?;
    owners.next().is_none().then(|| first.into())
}
