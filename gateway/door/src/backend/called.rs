//! From what a filter calls to an upstream: a port of a Service, a name in DNS, or an address.

use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::Arc;

use resource::{AppProtocol, BackendAnnotations, Problem, ServicePortRef};
use route::{Host, ObjectKey};

use super::policy::ExternalNames;
use super::resolve::{NAMESPACE_IDS, Upstreams};
use super::upstream::{Endpoint, Upstream, UpstreamProtocol};
use crate::rule::{BackendProtocol, BackendRef};

impl Upstreams<'_> {
    /// A port of a Service. Whether the filter may call it has been decided.
    ///
    /// # Errors
    /// When there is none, or it must not be called.
    pub(crate) fn called_service(
        &mut self,
        service: &ObjectKey,
        port: u16,
        connection: &BackendAnnotations,
        problems: &mut Vec<Problem>,
    ) -> Result<Arc<Upstream>, String> {
        let backend = BackendRef {
            service,
            port: &ServicePortRef::Number(port),
            protocol: BackendProtocol::Http(connection),
        };
        // These are other annotations than those of the Ingress that asks.
        self.forget_speech();
        let (upstream, _doubt) = self.find(backend, problems);
        self.forget_speech();
        upstream.map_err(|refused| {
            let message = refused.message;
            message
                .strip_suffix("; the rule answers 503")
                .map_or(message.clone(), str::to_owned)
        })
    }

    /// The addresses that DNS has for a name. None yet is no error: the filter fails until there are some.
    ///
    /// # Errors
    /// When there are some, and none of them may be called.
    pub(crate) fn called_name(
        &mut self,
        namespace: &str,
        name: &Host,
        port: u16,
        connection: &BackendAnnotations,
    ) -> Result<Arc<Upstream>, String> {
        let known = self.view().resolution(name);
        let addresses = known.iter().flat_map(|known| &known.addresses);
        let addresses = addresses.map(|address| SocketAddr::new(*address, port));
        let mut refused = None;
        let mut endpoints = Vec::new();
        for address in addresses {
            match self.policy().addresses.refuses(address) {
                None => endpoints.push(Endpoint::at(address)),
                Some(why) => refused = Some(format!("`{name}` is {address}, which is {why}")),
            }
        }
        if let (Some(refused), true) = (refused, endpoints.is_empty()) {
            return Err(refused);
        }
        self.called(namespace, &name.to_string(), port, connection, endpoints)
    }

    /// An address.
    ///
    /// # Errors
    /// When it must not be called.
    pub(crate) fn called_address(
        &mut self,
        namespace: &str,
        address: SocketAddr,
        connection: &BackendAnnotations,
    ) -> Result<Arc<Upstream>, String> {
        if let Some(why) = self.policy().addresses.refuses(address) {
            return Err(format!("{address} is {why}"));
        }
        let name = address.ip().to_string();
        let endpoints = vec![Endpoint::at(address)];
        self.called(namespace, &name, address.port(), connection, endpoints)
    }

    /// Whether names in DNS that nothing else admits are called.
    pub(crate) fn calls_names(&self) -> bool {
        match self.policy().external_names {
            ExternalNames::Refused => false,
            ExternalNames::Resolved | ExternalNames::Unasked => true,
        }
    }

    fn called(
        &mut self,
        namespace: &str,
        name: &str,
        port: u16,
        connection: &BackendAnnotations,
        mut endpoints: Vec<Endpoint>,
    ) -> Result<Arc<Upstream>, String> {
        endpoints.sort_unstable();
        endpoints.dedup();
        let protocol = match connection.protocol {
            None | Some(AppProtocol::Http) => UpstreamProtocol::Http1,
            Some(AppProtocol::H2c | AppProtocol::Grpc) => UpstreamProtocol::H2c,
            Some(asked @ (AppProtocol::Https | AppProtocol::Wss | AppProtocol::Grpcs)) => {
                let h2 = asked == AppProtocol::Grpcs;
                let tls = self.settings(name.to_owned(), connection, h2);
                UpstreamProtocol::Tls(tls.map_err(|fault| fault.to_string())?)
            }
        };
        Ok(Arc::new(Upstream {
            // No Service has an empty namespace.
            service: ObjectKey::new("", name),
            namespace_id: NAMESPACE_IDS.hash_one(namespace),
            port,
            protocol,
            none: endpoints
                .is_empty()
                .then_some(self.policy().external_names.why_none()),
            endpoints: endpoints.into(),
        }))
    }
}
