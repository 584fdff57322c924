//! The doors of a gateway, as its own configuration declares them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use door::Policy;
use ipnet::IpNet;
use route::ListenerName;

/// What a gateway is configured to do, as far as it is looked at. The program reads it with its own code.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The doors that run in these pods.
    pub doors: Vec<Door>,
    /// The admin port; `None` for a Unix socket.
    pub admin: Option<SocketAddr>,
    /// The namespaces of the cluster that are watched; empty: all.
    pub namespaces: Vec<Box<str>>,
    /// No Secret is read, whatever the doors need (`secrets = "none"`).
    pub reads_no_secrets: bool,
    /// What is allowed and probably not meant, or could not be seen from here.
    pub warnings: Vec<String>,
}

/// A door.
#[derive(Debug, Clone)]
pub struct Door {
    /// Its name.
    pub name: ListenerName,
    /// Where it listens in its pod.
    pub address: SocketAddr,
    /// `behind`
    pub front: Front,
    /// Where the client's address comes from.
    pub client_ip: ClientIp,
    /// Whether connections begin with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Whose word on the client is believed.
    pub trusted: Vec<IpNet>,
    /// `trusted_proxies_file`, and its text where that is known.
    pub trusted_file: Option<(PathBuf, Option<String>)>,
    /// When the list in that file was fetched, in seconds from 1970, if it says so.
    pub trusted_fetched: Option<i64>,
    /// The path that is answered on the traffic port before routing.
    pub health_path: Option<Box<str>>,
    /// How long new connections are accepted after SIGTERM.
    pub drain_wait: Duration,
    /// How long requests may take after that.
    pub drain_timeout: Duration,
    /// Between two requests of one connection.
    pub idle: Duration,
    /// Whom it admits, its scheme and its TLS.
    pub policy: Policy,
}

/// What stands in front of a door (`behind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// `none`
    Other,
    /// `alb`
    Alb,
    /// `nlb` and `nlb-proxy-v2`
    Nlb,
    /// `gclb`
    Gclb,
    /// `cloudflare`
    Cloudflare,
}

/// Where the client's address comes from (`client_ip`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientIp {
    /// The TCP peer.
    Peer,
    /// `X-Forwarded-For`
    ForwardedFor,
    /// A header with one address, in lower case.
    Header(Box<str>),
    /// The PROXY header.
    ProxyProtocol,
}

/// `proxy_protocol`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// It is not read.
    Off,
    /// A trusted proxy may send one.
    Optional,
    /// A connection without one is closed.
    Required,
}

impl Door {
    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whether it terminates TLS itself.
    #[must_use]
    pub fn terminates_tls(&self) -> bool {
        self.policy.tls.is_some()
    }

    /// Whether the client's address is the TCP peer's: because it is configured so, or because nobody is trusted to say
    /// another one.
    #[must_use]
    pub fn sees_peers_alone(&self) -> bool {
        self.client_ip == ClientIp::Peer || self.trusted.is_empty()
    }
}
