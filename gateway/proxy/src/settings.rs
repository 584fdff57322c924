//! The serving half of a door: what a listener needs besides its routes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use wire::HeadLimits;

use crate::cpus::Cpus;

/// How a door serves. Stored with the routes in the door's snapshot, so that both change in one swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What stands in front, and so which fields a trusted peer vouches for.
    pub front: Front,
    /// Where the client's address comes from.
    pub client_ip: ClientIp,
    /// The peers whose statements about the client are believed.
    pub trusted: Arc<TrustedProxies>,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// HTTP/2 by prior knowledge is accepted on the same port as HTTP/1.1 (RFC 9113 3.3); plain doors only.
    pub h2c: bool,
    /// Answers of the gateway's own say in `Proxy-Status` what went wrong (RFC 9209).
    pub proxy_status: bool,
    /// A path answered with 200 (or 503 while draining) before routing, for trusted peers.
    pub health_path: Option<Box<str>>,
    /// Sizes and counts.
    pub limits: Limits,
    /// Durations.
    pub timeouts: Timeouts,
    /// The durations of the drain.
    pub drain: Drain,
    /// What filters may use.
    pub filters: FilterSettings,
    /// The configuration has doors that other processes open, of whose hosts this one knows nothing.
    pub has_doors_elsewhere: bool,
    /// Which requests are traced; `None`: none, and what clients say of traces passes through as it came.
    pub tracing: Option<Tracing>,
}

/// Which requests of a door are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracing {
    /// How many of the traces that begin here are recorded.
    pub sample: SampleRate,
    /// Whose traces are continued.
    pub parents: Parents,
}

/// A share of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRate(u64);

/// Whose `traceparent` is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parents {
    /// That of trusted peers, their word on whether the trace is recorded included.
    #[default]
    Trusted,
    /// As `Trusted`; other clients say which trace it is, and the door whether it is recorded.
    Any,
    /// Nobody's.
    None,
}

impl SampleRate {
    const ALL: u64 = 1 << 32;

    /// From 0, none, to 1, all.
    #[must_use]
    pub fn of(share: f64) -> Option<Self> {
        if !(0.0..=1.0).contains(&share) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 0 to 2^32"
        )]
        let parts = (share * Self::ALL as f64).ceil() as u64;
        Some(Self(parts))
    }

    /// Whether the next one is recorded.
    pub(crate) fn takes_one(self) -> bool {
        u64::from(fastrand::u32(..)) < self.0
    }
}

/// What the filters of a door may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterSettings {
    /// Bytes of bodies that they may hold at once, at all workers together.
    pub buffer: usize,
    /// Threads that verify passwords.
    pub verifiers: usize,
}

impl Default for FilterSettings {
    fn default() -> Self {
        Self {
            buffer: 64 << 20,
            verifiers: 2,
        }
    }
}

impl Settings {
    /// How large the head of a request may be.
    pub(crate) fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            bytes: self.limits.header_bytes,
            fields: self.limits.headers,
            target_bytes: self.limits.uri_bytes,
        }
    }
}

/// What stands in front of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// Nothing, or an unknown proxy. If it is trusted, it is believed in the fields that any proxy sets, and in no
    /// others.
    Other,
    /// An Application Load Balancer of AWS.
    Alb,
    /// A Network Load Balancer: it forwards connections and sets no field.
    Nlb,
    /// An Application Load Balancer of Google Cloud.
    Gclb,
    /// Cloudflare.
    Cloudflare,
}

/// Where the client's address comes from; every source except the peer is believed from trusted peers only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientIp {
    /// The TCP peer.
    Peer,
    /// The right-most untrusted entry of `X-Forwarded-For`.
    ForwardedFor,
    /// `X-Forwarded-For` as Google's load balancers write it: `client, load-balancer`, so the second from the right.
    ForwardedForGoogle,
    /// A header with one address, such as `CF-Connecting-IP`. Kept in lower case.
    Header(Arc<str>),
    /// The PROXY header of the connection.
    ProxyProtocol,
}

/// The PROXY header, versions 1 and 2; believed from trusted proxies only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProxyProtocol {
    /// It is not read: such bytes are malformed HTTP or TLS.
    #[default]
    Off,
    /// A trusted proxy may send one.
    Optional,
    /// A connection without one is closed.
    Required,
}

/// A set of networks whose statements about the client are believed. Empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

/// Sizes and counts; a request that exceeds one is refused with the status in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections of the door.
    pub connections: usize,
    /// Open connections per client: an IPv4 address, or an IPv6 network of 64 bits.
    pub connections_per_client: PerClient,
    /// What one client may hold of places on the shared connections to an endpoint, which others want too (503).
    pub client_share: ClientShare,
    /// Request or response head in bytes (431, 502).
    pub header_bytes: usize,
    /// Header fields of one head (431, 502).
    pub headers: usize,
    /// Request target in bytes (414).
    pub uri_bytes: usize,
    /// Request body in bytes (413); `None` is unlimited.
    pub body: Option<u64>,
    /// Concurrent streams of one HTTP/2 connection.
    pub h2_streams: u32,
    /// Bytes that all streams of one HTTP/2 connection may hold unsent.
    pub h2_buffer: usize,
    /// Series of metrics about routes and their Services; 0: none.
    pub route_series: usize,
}

/// So many connections of one client are no more than a browser opens.
const FEW: usize = 8;

/// How many connections one client may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PerClient {
    /// Any number: a load balancer hides the clients.
    Unlimited,
    /// This many.
    Fixed(usize),
    /// So many that others find room. This machine itself, by loopback, is no client.
    Share(ClientShare),
}

/// What one client may hold of something that many want, in percent of what it and those who come next could have.
///
/// It is measured by what is free: with 50, a client gets another one while it holds fewer than are free. Alone it gets a
/// half, beside another greedy client a third, and so on; whoever holds none always finds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientShare(u8);

/// Durations after which something has taken too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the first byte.
    pub first_byte: Duration,
    /// From accept, or the end of the PROXY header, to the end of the TLS handshake.
    pub tls_handshake: Duration,
    /// From the first byte of a request to the end of its head (408).
    pub head: Duration,
    /// Between two requests of one connection.
    pub idle: Duration,
    /// Without progress in the request body (408).
    pub body_idle: Duration,
    /// Without progress in writing to the client.
    pub write_stall: Duration,
    /// For a connection to an endpoint (504).
    pub connect: Duration,
    /// From the end of the request to the end of the response head (504).
    pub response_head: Duration,
    /// Without progress in the response body.
    pub response_idle: Duration,
    /// How long an upgraded connection, a passed-through connection or an event stream may continue when its route has
    /// been removed.
    pub withdrawn: Duration,
}

/// The durations of a door's drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long new connections are still accepted after the signal, while load balancers deregister the target.
    pub wait: Duration,
    /// How long requests in flight may take after that.
    pub timeout: Duration,
}

/// The socket half of a listener: what cannot change without a new socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The address to listen on; port 0 takes a free one.
    pub address: SocketAddr,
    /// Worker threads of the door, each with its own socket if `reuse_port` is set.
    pub workers: usize,
    /// Bind with `SO_REUSEPORT`, so that a new process can take over without a gap.
    pub reuse_port: bool,
    /// The CPUs of the workers; `None`: wherever the process may run.
    pub cpus: Option<Cpus>,
}

impl PerClient {
    /// Whether a client with `held` connections may have one more, when `open` of the door's `most` are.
    pub(crate) fn admits(self, held: usize, open: usize, most: usize) -> bool {
        match self {
            Self::Unlimited => true,
            Self::Fixed(limit) => held < limit,
            // A full door finds room for a client with few connections, or refuses it, without regard to what is free.
            Self::Share(share) => {
                held < (most / 8).clamp(1, FEW) || share.admits(held, most.saturating_sub(open))
            }
        }
    }
}

impl ClientShare {
    /// From 1 to 100 percent; 100 is no bound.
    #[must_use]
    pub fn percent(percent: u8) -> Option<Self> {
        (1..=100).contains(&percent).then_some(Self(percent))
    }

    /// Whether one more of `free` may be had by who holds `held`.
    pub(crate) fn admits(self, held: usize, free: usize) -> bool {
        let (share, rest) = (usize::from(self.0), usize::from(100 - self.0));
        free > 0 && held.saturating_mul(rest) < free.saturating_mul(share)
    }
}

impl Default for ClientShare {
    fn default() -> Self {
        Self(50)
    }
}

impl TrustedProxies {
    /// A set of these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    /// The networks.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// Whether the address is in the set. An IPv4-mapped IPv6 address counts as the IPv4 address that it contains.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.networks.is_empty() {
            return false;
        }
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
impl Settings {
    /// A door with the defaults of the configuration, for tests to change.
    pub(crate) fn of_tests() -> Self {
        let seconds = Duration::from_secs;
        Self {
            front: Front::Other,
            client_ip: ClientIp::Peer,
            trusted: Arc::default(),
            proxy_protocol: ProxyProtocol::Off,
            h2c: false,
            proxy_status: false,
            health_path: None,
            limits: Limits {
                connections: 1000,
                connections_per_client: PerClient::Unlimited,
                client_share: ClientShare::default(),
                header_bytes: 32 * 1024,
                headers: 100,
                uri_bytes: 8 * 1024,
                body: None,
                h2_streams: 100,
                h2_buffer: 512 * 1024,
                route_series: 5_000,
            },
            timeouts: Timeouts {
                first_byte: seconds(30),
                tls_handshake: seconds(10),
                head: seconds(30),
                idle: seconds(60),
                body_idle: seconds(60),
                write_stall: seconds(60),
                connect: seconds(5),
                response_head: seconds(60),
                response_idle: seconds(60),
                withdrawn: seconds(30),
            },
            drain: Drain {
                wait: seconds(0),
                timeout: seconds(30),
            },
            filters: FilterSettings::default(),
            has_doors_elsewhere: false,
            tracing: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SampleRate;

    #[test]
    fn a_share_is_from_none_to_all() {
        for (share, taken) in [(0.0, 0), (1.0, 1000)] {
            let rate = SampleRate::of(share).unwrap();
            let count = (0..1000).filter(|_| rate.takes_one()).count();
            assert_eq!(count, taken, "{share}");
        }
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(SampleRate::of(wrong), None, "{wrong}");
        }
    }
}
