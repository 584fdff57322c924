//! A checked configuration: no `Option` in it means "default".

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use control::cluster::{Publish, SecretScope};
use hyper::http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use proxy::{AccessPolicy, Binding, Settings};
use route::{ListenerName, ObjectKey};

/// The checked configuration of the process.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it was read from.
    pub path: Option<PathBuf>,
    /// Where objects come from.
    pub source: Source,
    /// Where the admin port is.
    pub admin: AdminBind,
    /// What is logged.
    pub log: Log,
    /// What the whole process may use of its host.
    pub process: Process,
    /// Where traces go; `None`: nowhere.
    pub tracing: Option<Collector>,
    /// The doors, by name.
    pub doors: Vec<Arc<DoorConfig>>,
    /// Where doors are to listen, those included that `--doors` leaves to another process.
    pub declared: Vec<SocketAddr>,
    /// Doors that are declared and left to other processes (`--doors`).
    pub others: Vec<(ListenerName, door::Policy)>,
}

/// Where Kubernetes objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Files or a cluster.
    pub kind: SourceKind,
    /// The namespaces of the cluster that are watched; empty: all.
    pub namespaces: Vec<Box<str>>,
    /// Which Secrets of the cluster are read.
    pub secrets: SecretScope,
    /// How many Secrets and ConfigMaps that Ingresses name are watched one by one.
    pub most_followed: usize,
    /// How much of one Service is used.
    pub bounds: door::ServiceBounds,
    /// The name of the installation; `None`: that of the Deployment or DaemonSet to which the pod belongs.
    pub instance: Option<Box<str>>,
    /// Backends on loopback addresses are allowed.
    pub allow_loopback_backends: bool,
    /// The DNS servers that resolve Services of type ExternalName; empty: those of the system. `None`: such Services are
    /// refused.
    pub external_names: Option<Vec<SocketAddr>>,
    /// The DNS servers for names that doors let filters call; empty: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// Networks that are never called, in addition to the built-in ones.
    pub refuse_backends: Vec<IpNet>,
    /// The gateways of this installation.
    pub replicas: Replicas,
}

/// The gateways of an installation, whose doors must not be backends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replicas {
    /// The Services whose endpoints they are; empty: not configured.
    pub services: Vec<ObjectKey>,
    /// Clients reach them at addresses of nodes too.
    pub host_ports: bool,
}

/// The kinds of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A directory of manifests.
    Files(PathBuf),
    /// An API server.
    Kubernetes,
}

/// Where the admin port listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminBind {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Default for AdminBind {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 10254)))
    }
}

/// `IP:PORT`, `[IPv6]:PORT` or `unix:PATH`.
impl FromStr for AdminBind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        text.parse().map(Self::Tcp).map_err(|_invalid| {
            format!("`{text}` is not an address; allowed: `IP:PORT`, `[IPv6]:PORT`, `unix:PATH`")
        })
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Tracing directives.
    pub level: String,
    /// The look of a line.
    pub format: LogFormat,
    /// Which requests are logged.
    pub access: AccessPolicy,
    /// How many bytes of each log may wait for its sink.
    pub buffer: usize,
}

/// What the whole process may use of its host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// The most descriptors; `None`: as many as the system allows.
    pub descriptors: Option<u64>,
    /// The most memory in bytes; `None`: as much as the control group of the process allows.
    pub memory: Option<u64>,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Its address.
    pub endpoint: Endpoint,
    /// How it is spoken to.
    pub protocol: CollectorProtocol,
    /// Further fields of each request.
    pub headers: Headers,
    /// A file with further ones, read for each request.
    pub headers_file: Option<PathBuf>,
    /// A file with the authorities of its certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// How long a request may take.
    pub timeout: Duration,
    /// How many bytes of spans may wait.
    pub queue: usize,
    /// Attributes of the resource.
    pub resource: Vec<(Box<str>, Box<str>)>,
}

/// The address of a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// It is spoken to over TLS.
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// Both, as in a URL.
    pub authority: Box<str>,
    /// The path for OTLP over HTTP.
    pub path: Box<str>,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectorProtocol {
    /// gRPC.
    Grpc,
    /// Protocol Buffers over HTTP/1.1.
    Http,
}

/// Fields whose values are secrets: its `Debug` has their names alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub(crate) Vec<(HeaderName, HeaderValue)>);

/// The look of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// JSON.
    Json,
    /// Text.
    Text,
}

/// One door: admission, serving and socket.
#[derive(Debug, Clone, PartialEq)]
pub struct DoorConfig {
    /// Its name.
    pub name: ListenerName,
    /// Who may be exposed here.
    pub policy: door::Policy,
    /// How it serves.
    pub settings: Settings,
    /// Its socket.
    pub binding: Binding,
    /// What is written into the status of the Ingresses that it admits.
    pub publish: Publish,
    /// Trusted networks are also read from this file, which is watched.
    pub trusted_proxies_file: Option<PathBuf>,
    /// When the list in that file was fetched, in seconds from 1970, if it says so.
    pub trusted_proxies_fetched: Option<i64>,
    /// Certificates, keys and authorities are read from these files, which are watched.
    pub tls_files: Vec<PathBuf>,
}
