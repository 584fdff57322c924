//! The list of addresses in a status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::address::Address;
use super::claims::Claims;

/// `status.loadBalancer.ingress` of an object, and what is written down of who wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LoadBalancerStatus {
    pub(crate) addresses: Box<[Address]>,
    /// Who wrote the list last (`metadata.managedFields`); `None` where that is not one.
    pub(crate) writer: Option<Box<str>>,
    /// Whose each address is, as far as that is written down.
    pub(crate) claims: Claims,
}

/// Behind the name of an installation that has written a list with addresses of others in it.
pub(super) const WITH_OTHERS: &str = "+others";

impl LoadBalancerStatus {
    /// Whether somebody other than the installation `me` wrote it.
    pub(crate) fn is_of_others(&self, me: &str) -> bool {
        let writer = self.writer.as_deref();
        writer.is_some_and(|writer| writer.strip_suffix(WITH_OTHERS).unwrap_or(writer) != me)
    }
}

/// Who wrote the list of addresses last, if that is one and no more.
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
