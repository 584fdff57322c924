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
    /// Every endpoint of an upstream.
    pub(super) fn all(upstream: &Upstream) -> impl ExactSizeIterator<Item = Self> {
        let protocol = ProtocolKey::of(&upstream.protocol);
        upstream.endpoints.iter().map(move |endpoint| Self {
            address: endpoint.address,
            protocol,
            namespace_id: upstream.namespace_id,
        })
    }
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
