//! Whom filters may call.
//!
//! An author must not borrow the gateway's place in the network: what is called is a Service of the own namespace, one whose
//! owner allows it, or what the platform allows.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use filter::call::{CallHost, CallUrl};
use resource::{BackendAnnotations, Callee, ClusterView, Problem, Service};
use route::ListenerName;

use crate::admission::{NamespacePattern, Policy};
use crate::backend::{Upstream, Upstreams};

/// A call that a filter makes.
pub(super) struct Call<'a> {
    pub(super) door: &'a ListenerName,
    pub(super) policy: &'a Policy,
    pub(super) view: &'a ClusterView,
    pub(super) url: &'a CallUrl,
    pub(super) callee: &'a Callee,
    pub(super) connection: &'a BackendAnnotations,
    /// The namespace of the Ingress.
    pub(super) namespace: &'a str,
}

impl Call<'_> {
    /// What is called.
    ///
    /// # Errors
    /// When it must not be called, with what to write so that it may; or when there is nothing to call.
    pub(super) fn upstream(
        &self,
        upstreams: &mut Upstreams<'_>,
        problems: &mut Vec<Problem>,
    ) -> Result<Arc<Upstream>, String> {
        let port = self.url.port();
        if let CallHost::Address(address) = self.url.host() {
            self.may_call_address(*address)?;
            return upstreams.called_address(
                self.namespace,
                SocketAddr::new(*address, port),
                self.connection,
            );
        }
        let service = self.callee.service.as_ref();
        let found = service.and_then(|key| self.view.service(key));
        if let Some(service) = found {
            self.may_call_service(service)?;
            return upstreams.called_service(&service.key, port, self.connection, problems);
        }
        match (&self.callee.name, service) {
            (Some(name), service) => {
                let written = name.to_string();
                let is_listed = self
                    .policy
                    .filters
                    .call
                    .iter()
                    .any(|rule| rule.admits_name(&written));
                if is_listed || upstreams.calls_names() {
                    return upstreams.called_name(self.namespace, name, port, self.connection);
                }
                let no_service =
                    service.map_or_else(String::new, |key| format!("there is no Service `{key}`, and "));
                Err(format!(
                    "{no_service}`{written}` is a name outside of the cluster, which must be allowed: the platform writes \
                     `call = [\"{written}\"]` under `[listeners.{}.filters]`",
                    self.door
                ))
            }
            (None, Some(key)) => Err(format!("Service `{key}` does not exist")),
            (None, None) => Err(format!(
                "`{}` is neither a Service (`name`, `name.namespace`, `name.namespace.svc`) nor a name in DNS",
                self.url.host()
            )),
        }
    }

    fn may_call_service(&self, service: &Service) -> Result<(), String> {
        let (namespace, name) = (service.key.namespace(), service.key.name());
        let is_own = namespace == self.namespace;
        let by_owner = || {
            let patterns = service.allow_calls_from.iter();
            let mut patterns = patterns.filter_map(|pattern| NamespacePattern::parse(pattern).ok());
            patterns.any(|pattern| pattern.matches(self.namespace))
        };
        let by_platform = || {
            let mut rules = self.policy.filters.call.iter();
            rules.any(|rule| rule.admits_service(namespace, name))
        };
        if is_own || by_owner() || by_platform() {
            return Ok(());
        }
        Err(format!(
            "Service `{namespace}/{name}` is of another namespace and does not allow it: its owner writes \
             `blastdoor.dev/allow-calls-from: \"{}\"` among its annotations, or the platform `call = [\"{namespace}/{name}\"]` \
             under `[listeners.{}.filters]`",
            self.namespace, self.door
        ))
    }

    /// Loopback has a switch of its own, which is judged with all other addresses that are never called.
    fn may_call_address(&self, address: IpAddr) -> Result<(), String> {
        let is_listed = self
            .policy
            .filters
            .call
            .iter()
            .any(|rule| rule.admits_address(address));
        if is_listed || address.to_canonical().is_loopback() {
            return Ok(());
        }
        Err(format!(
            "{address} is an address that must be allowed: the platform writes `call = [\"{address}\"]` under \
             `[listeners.{}.filters]`; a Service needs no such line",
            self.door
        ))
    }
}
