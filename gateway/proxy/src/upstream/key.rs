//! Which endpoint is which.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use door::{BackendTls, Upstream, UpstreamProtocol};

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
    /// The address of the settings in memory: it stays theirs while an endpoint has a [`WeakProtocol`] of them.
    Tls(usize),
}

/// The protocol of an endpoint that is remembered. It does not keep TLS settings: they may trust a megabyte of authorities,
/// and somebody may replace them again and again. When no route has them any more, the endpoint is not called again.
pub(super) enum WeakProtocol {
    Http1,
    H2c,
    Tls(Weak<BackendTls>),
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

impl WeakProtocol {
    pub(super) fn of(protocol: &UpstreamProtocol) -> Self {
        match protocol {
            UpstreamProtocol::Http1 => Self::Http1,
            UpstreamProtocol::H2c => Self::H2c,
            UpstreamProtocol::Tls(tls) => Self::Tls(Arc::downgrade(tls)),
        }
    }

    /// `None` if its settings are gone.
    pub(super) fn upgrade(&self) -> Option<UpstreamProtocol> {
        match self {
            Self::Http1 => Some(UpstreamProtocol::Http1),
            Self::H2c => Some(UpstreamProtocol::H2c),
            Self::Tls(tls) => tls.upgrade().map(UpstreamProtocol::Tls),
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Http1 | Self::H2c => false,
            Self::Tls(tls) => tls.strong_count() == 0,
        }
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
