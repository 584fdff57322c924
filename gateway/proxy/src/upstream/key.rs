//! Which endpoint is which.

use std::net::SocketAddr;
use std::sync::Arc;

use door::{Upstream, UpstreamProtocol};

/// An address, the protocol and trust with which it is called, and the namespace. Two routes with different trust never
/// share a connection, and what the requests of one namespace reveal about an address counts in that namespace only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) address: SocketAddr,
    pub(super) protocol: ProtocolKey,
    pub(super) namespace_id: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ProtocolKey {
    Http1,
    H2c,
    /// The address of the settings in memory: the endpoint holds them, so the address stays theirs while it is known.
    Tls(usize),
}

impl Key {
    /// An endpoint of an upstream.
    pub(super) fn at(upstream: &Upstream, index: usize) -> Option<Self> {
        Some(Self {
            address: upstream.endpoints.get(index)?.address,
            protocol: ProtocolKey::of(&upstream.protocol),
            namespace_id: upstream.namespace_id,
        })
    }
}

/// Whether an upstream has an endpoint at this address.
pub(super) fn has(upstream: &Upstream, address: SocketAddr) -> bool {
    position(upstream, address).is_some()
}

/// Where in its sorted list an upstream has the endpoint at this address.
pub(super) fn position(upstream: &Upstream, address: SocketAddr) -> Option<usize> {
    let all = &upstream.endpoints;
    all.binary_search_by_key(&address, |endpoint| endpoint.address)
        .ok()
}

impl ProtocolKey {
    pub(super) fn of(protocol: &UpstreamProtocol) -> Self {
        match protocol {
            UpstreamProtocol::Http1 => Self::Http1,
            UpstreamProtocol::H2c => Self::H2c,
            UpstreamProtocol::Tls(tls) => Self::Tls(Arc::as_ptr(tls).addr()),
        }
    }
}
