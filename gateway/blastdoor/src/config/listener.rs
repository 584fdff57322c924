//! One door of `listeners.toml`: its preset, and every rule that a schema cannot say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use door::{HostOwner, NamespacePattern, Policy, Scheme, Selector};
use ipnet::IpNet;
use proxy::{Binding, ClientIp, Drain, Front, Limits, ProxyProtocol, Settings, Timeouts, TrustedProxies};
use route::{HostRestriction, ListenerName};

use super::DoorConfig;
use super::networks::{network, read_networks};
use super::parse::Parser;
use super::raw::{RawListener, Size};
use super::tls::Tls;
use super::units::{DURATION, SIZE, duration, size};

/// What stands in front of a door, and what follows from it.
struct Preset {
    name: &'static str,
    front: Front,
    client_ip: ClientIp,
    proxy_protocol: ProxyProtocol,
    idle: u64,
    wait: u64,
    timeout: u64,
}

fn presets() -> [Preset; 6] {
    let preset = |name, front, client_ip, proxy_protocol, idle, wait, timeout| Preset {
        name,
        front,
        client_ip,
        proxy_protocol,
        idle,
        wait,
        timeout,
    };
    [
        preset(
            "none",
            Front::Other,
            ClientIp::Peer,
            ProxyProtocol::Off,
            620,
            5,
            30,
        ),
        preset(
            "alb",
            Front::Alb,
            ClientIp::ForwardedFor,
            ProxyProtocol::Off,
            620,
            25,
            60,
        ),
        preset(
            "nlb",
            Front::Nlb,
            ClientIp::Peer,
            ProxyProtocol::Off,
            620,
            150,
            90,
        ),
        preset(
            "nlb-proxy-v2",
            Front::Nlb,
            ClientIp::ProxyProtocol,
            ProxyProtocol::Required,
            620,
            150,
            90,
        ),
        preset(
            "gclb",
            Front::Gclb,
            ClientIp::ForwardedForGoogle,
            ProxyProtocol::Off,
            620,
            40,
            60,
        ),
        preset(
            "cloudflare",
            Front::Cloudflare,
            ClientIp::Header("cf-connecting-ip".into()),
            ProxyProtocol::Off,
            905,
            2,
            30,
        ),
    ]
}

/// One door's part of the work.
pub(super) struct ListenerParser<'p, 'a> {
    parser: &'p mut Parser<'a>,
    key: String,
}

impl<'p, 'a> ListenerParser<'p, 'a> {
    pub(super) fn new(parser: &'p mut Parser<'a>, name: &str) -> Self {
        let key = format!("listeners.{name}");
        Self { parser, key }
    }

    /// `None` when too little is known of the door to compare it with the others. A door that has errors of its own
    /// still takes part in that.
    pub(super) fn parse(
        &mut self,
        name: ListenerName,
        raw: &RawListener,
        classes: &[Box<str>],
    ) -> Option<DoorConfig> {
        let words: Vec<(&str, usize)> = presets().iter().map(|preset| preset.name).zip(0..).collect();
        let index = self
            .parser
            .word(&self.at("behind"), raw.behind.as_deref(), 0, &words);
        let preset = presets().into_iter().nth(index)?;

        let schemes = [("http", Scheme::Http), ("https", Scheme::Https)];
        if raw.scheme.is_none() {
            self.error(
                "scheme",
                "missing; allowed: http, https (what the client spoke to the load balancer)".to_owned(),
            );
        }
        let scheme = self
            .parser
            .word(&self.at("scheme"), raw.scheme.as_deref(), Scheme::Http, &schemes);
        let forwarded_port = raw.forwarded_port.unwrap_or(scheme.default_port());
        let selector = self.selector(raw.selector.as_deref());
        let binding = self.binding(raw);
        let publish = self.publish(raw.publish.as_ref());
        let Tls {
            policy: tls,
            files: tls_files,
        } = self.tls(raw.tls.as_ref(), raw.passthrough, scheme);
        let trusted_proxies_file = raw
            .trusted_proxies_file
            .as_ref()
            .map(|path| self.parser.absolute(path));
        let trusted = self.trusted(raw, trusted_proxies_file.as_deref());
        let client_ip = self.client_ip(raw.client_ip.as_deref(), preset.client_ip.clone());
        let proxy_protocol = self.proxy_protocol(raw, preset.proxy_protocol, &client_ip, trusted.is_empty());
        // The PROXY header has a warning of its own.
        if trusted.is_empty() && !matches!(client_ip, ClientIp::Peer | ClientIp::ProxyProtocol) {
            self.parser.warn(
                &self.at("trusted_proxies"),
                "nobody is trusted, so the client's address is always the TCP peer's; name the load balancer's networks".to_owned(),
            );
        }
        let idle = self.duration(
            "idle_timeout",
            raw.idle_timeout.as_deref(),
            Duration::from_secs(preset.idle),
        );
        let drain = Drain {
            wait: self.duration_or_zero(
                "drain.wait",
                raw.drain.wait.as_deref(),
                Duration::from_secs(preset.wait),
            ),
            timeout: self.duration_or_zero(
                "drain.timeout",
                raw.drain.timeout.as_deref(),
                Duration::from_secs(preset.timeout),
            ),
        };
        let redirect = raw.redirect.as_deref().and_then(|name| match name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                let error: route::InvalidListenerName = error;
                self.error("redirect", error.to_string());
                None
            }
        });
        let policy = Policy {
            selector: selector?,
            namespaces: self.list("namespaces", raw.namespaces.as_deref(), NamespacePattern::parse),
            hosts: self.list("hosts", raw.hosts.as_deref(), HostRestriction::parse),
            ingress_classes: classes.to_vec(),
            scheme,
            forwarded_port,
            redirect,
            tls,
            host_owner: self.host_owner(raw),
            default_backend: self.list(
                "default_backend",
                raw.default_backend.as_deref(),
                NamespacePattern::parse,
            ),
        };
        let settings = Settings {
            front: preset.front,
            client_ip,
            trusted: Arc::new(TrustedProxies::new(trusted)),
            proxy_protocol,
            h2c: self.h2c(raw),
            health_path: self.health_path(raw.health_path.as_deref()),
            limits: self.limits(raw),
            timeouts: self.timeouts(raw, idle),
            drain,
        };
        Some(DoorConfig {
            name,
            policy,
            settings,
            binding: binding?,
            publish,
            trusted_proxies_file,
            tls_files,
        })
    }

    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.key)
    }

    pub(super) fn error(&mut self, key: &str, message: String) {
        let key = self.at(key);
        self.parser.error(&key, message);
    }

    /// An error that several values of the door make together.
    pub(super) fn error_between(&mut self, key: &str, others: &[&str], message: String) {
        let others: Vec<String> = others.iter().map(|other| self.at(other)).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let key = self.at(key);
        self.parser.error_between(&key, &others, message);
    }

    pub(super) fn warn(&mut self, key: &str, message: String) {
        let key = self.at(key);
        self.parser.warn(&key, message);
    }

    /// One of a few words.
    pub(super) fn word<T: Clone>(
        &mut self,
        key: &str,
        written: Option<&str>,
        default: T,
        words: &[(&str, T)],
    ) -> T {
        self.parser.word(&self.at(key), written, default, words)
    }

    pub(super) fn absolute(&self, path: &str) -> PathBuf {
        self.parser.absolute(path)
    }

    fn proxy_protocol(
        &mut self,
        raw: &RawListener,
        default: ProxyProtocol,
        client_ip: &ClientIp,
        nobody_is_trusted: bool,
    ) -> ProxyProtocol {
        let modes = [
            ("off", ProxyProtocol::Off),
            ("optional", ProxyProtocol::Optional),
            ("required", ProxyProtocol::Required),
        ];
        let mode = self.word("proxy_protocol", raw.proxy_protocol.as_deref(), default, &modes);
        let consequence = match mode {
            ProxyProtocol::Off => {
                if *client_ip == ClientIp::ProxyProtocol {
                    let key = if raw.client_ip.is_some() {
                        "client_ip"
                    } else {
                        "proxy_protocol"
                    };
                    let message = "the client's address is to come from the PROXY header, which is off; set proxy_protocol to optional or required";
                    self.error_between(
                        key,
                        &["client_ip", "proxy_protocol", "behind"],
                        message.to_owned(),
                    );
                }
                return mode;
            }
            ProxyProtocol::Optional => "every PROXY header is refused as malformed",
            ProxyProtocol::Required => "every connection is refused",
        };
        if nobody_is_trusted {
            let message = format!(
                "nobody is trusted, so {consequence} (proxy_protocol is on); name the load balancer's networks"
            );
            self.parser.warn(&self.at("trusted_proxies"), message);
        }
        mode
    }

    fn host_owner(&mut self, raw: &RawListener) -> HostOwner {
        let words = [("any", HostOwner::Any), ("namespace", HostOwner::Namespace)];
        self.word("host_owner", raw.host_owner.as_deref(), HostOwner::Any, &words)
    }

    /// On a door that ends TLS, HTTP/2 is agreed on in the handshake.
    fn h2c(&mut self, raw: &RawListener) -> bool {
        if raw.tls.is_some() && raw.h2c == Some(true) {
            let message =
                "HTTP/2 in clear text excludes `tls`, where it is agreed on in the handshake; remove the key";
            self.error_between("h2c", &["tls"], message.to_owned());
        }
        raw.h2c.unwrap_or(raw.tls.is_none())
    }

    fn selector(&mut self, written: Option<&str>) -> Option<Selector> {
        let Some(written) = written else {
            self.error(
                "selector",
                "missing; write the labels that choose this door, such as `expose=internal-http`".to_owned(),
            );
            return None;
        };
        Selector::parse(written)
            .map_err(|error| self.error("selector", error.to_string()))
            .ok()
    }

    fn binding(&mut self, raw: &RawListener) -> Option<Binding> {
        let workers = raw
            .workers
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        if !(1..=256).contains(&workers) {
            self.error(
                "workers",
                format!("{workers} is not a number of workers; allowed: 1 to 256"),
            );
        }
        let Some(written) = raw.bind.as_deref() else {
            self.error(
                "bind",
                "missing; write the address to listen on, such as `[::]:10000`".to_owned(),
            );
            return None;
        };
        match written.parse::<SocketAddr>() {
            Ok(address) => Some(Binding {
                address,
                workers,
                reuse_port: raw.reuse_port.unwrap_or(true),
            }),
            Err(_) => {
                self.error(
                    "bind",
                    format!("`{written}` is not an address; allowed: `IP:PORT` or `[IPv6]:PORT`"),
                );
                None
            }
        }
    }

    fn trusted(&mut self, raw: &RawListener, file: Option<&Path>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for (index, written) in raw.trusted_proxies.iter().flatten().enumerate() {
            match network(written) {
                Some(network) => networks.push(network),
                None => self.error(
                    &format!("trusted_proxies[{index}]"),
                    format!(
                        "`{written}` is not a network; allowed: `10.0.0.0/8`, `2001:db8::/32`, or one address"
                    ),
                ),
            }
        }
        if let Some(file) = file {
            match read_networks(file) {
                Ok(more) => networks.extend(more),
                Err(message) => self.error("trusted_proxies_file", message),
            }
        }
        if networks.iter().any(|network| network.prefix_len() == 0) {
            self.parser.warn(
                &self.at("trusted_proxies"),
                "everyone is trusted, so every client can claim any address; name the load balancer's networks".to_owned(),
            );
        }
        networks
    }

    fn client_ip(&mut self, written: Option<&str>, default: ClientIp) -> ClientIp {
        let header = |name: &str| {
            let token = !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            token.then(|| ClientIp::Header(name.to_ascii_lowercase().into()))
        };
        match written {
            None => default,
            Some("peer") => ClientIp::Peer,
            // A preset may know better how its load balancer writes the header.
            Some("xff") if default == ClientIp::ForwardedForGoogle => default,
            Some("xff") => ClientIp::ForwardedFor,
            Some("proxy-protocol") => ClientIp::ProxyProtocol,
            Some(other) => other.strip_prefix("header:").and_then(header).unwrap_or_else(|| {
                self.error(
                    "client_ip",
                    format!("`{other}` is not known; allowed: peer, xff, proxy-protocol, header:NAME"),
                );
                default
            }),
        }
    }

    fn health_path(&mut self, written: Option<&str>) -> Option<Box<str>> {
        let path = written?;
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?') {
            self.error(
                "health_path",
                format!("`{path}` is not a path; it starts with `/` and has no query"),
            );
        }
        Some(path.into())
    }

    fn list<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        written: Option<&[String]>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut parsed = Vec::new();
        for (index, text) in written.unwrap_or_default().iter().enumerate() {
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(error) => self.error(&format!("{key}[{index}]"), error.to_string()),
            }
        }
        if written.is_some_and(<[String]>::is_empty) {
            self.error(
                key,
                "an empty list would admit nothing; remove the key to admit all".to_owned(),
            );
        }
        parsed
    }

    fn limits(&mut self, raw: &RawListener) -> Limits {
        let limits = &raw.limits;
        let connections = limits.connections.unwrap_or(30_000);
        if connections == 0 {
            self.error(
                "limits.connections",
                "0 would refuse every client; allowed: 1 and above".to_owned(),
            );
        }
        let headers = limits.headers.unwrap_or(100);
        if !(1..=10_000).contains(&headers) {
            self.error(
                "limits.headers",
                format!("{headers} is out of range; allowed: 1 to 10000"),
            );
        }
        Limits {
            connections,
            connections_per_client: limits.connections_per_client.unwrap_or(0),
            header_bytes: self.bytes("limits.header_bytes", limits.header_bytes.as_ref(), 32 << 10),
            headers,
            uri_bytes: self.bytes("limits.uri_bytes", limits.uri_bytes.as_ref(), 16 << 10),
            body: self.body(limits.body.as_ref()),
            h2_streams: self.h2_streams(limits.h2_streams),
        }
    }

    fn h2_streams(&mut self, written: Option<usize>) -> u32 {
        let streams = written.unwrap_or(100);
        match u32::try_from(streams) {
            Ok(streams) if (1..=1_000).contains(&streams) => streams,
            Ok(_) | Err(_) => {
                let message = format!("{streams} is out of range; allowed: 1 to 1000");
                self.error("limits.h2_streams", message);
                100
            }
        }
    }

    /// A size that must fit in memory many times over.
    fn bytes(&mut self, key: &str, written: Option<&Size>, default: usize) -> usize {
        let bytes = match written {
            None => return default,
            Some(Size::Bytes(bytes)) => Some(*bytes),
            Some(Size::Text(text)) => size(text),
        };
        match bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
            Some(bytes) if (256..=256 << 10).contains(&bytes) => bytes,
            Some(bytes) => {
                self.error(
                    key,
                    format!("{bytes} bytes is out of range; allowed: 256 to 256KiB"),
                );
                default
            }
            None => {
                let written = match written {
                    Some(Size::Text(text)) => text.clone(),
                    Some(Size::Bytes(bytes)) => bytes.to_string(),
                    None => String::new(),
                };
                self.error(key, format!("`{written}` is not a size; allowed: {SIZE}"));
                default
            }
        }
    }

    fn body(&mut self, written: Option<&Size>) -> Option<u64> {
        match written {
            None => None,
            Some(Size::Bytes(bytes)) => Some(*bytes),
            Some(Size::Text(text)) if text == "unlimited" => None,
            Some(Size::Text(text)) => size(text).or_else(|| {
                self.error(
                    "limits.body",
                    format!("`{text}` is not a size; allowed: unlimited, {SIZE}"),
                );
                None
            }),
        }
    }

    fn timeouts(&mut self, raw: &RawListener, idle: Duration) -> Timeouts {
        let timeouts = &raw.timeouts;
        let mut of = |key: &str, written: &Option<String>, default: u64| {
            self.duration(
                &format!("timeouts.{key}"),
                written.as_deref(),
                Duration::from_secs(default),
            )
        };
        Timeouts {
            first_byte: of("first_byte", &timeouts.first_byte, 10),
            tls_handshake: of("tls_handshake", &timeouts.tls_handshake, 10),
            head: of("head", &timeouts.head, 10),
            idle,
            body_idle: of("body_idle", &timeouts.body_idle, 30),
            write_stall: of("write_stall", &timeouts.write_stall, 30),
            connect: of("connect", &timeouts.connect, 2),
            response_head: of("response_head", &timeouts.response_head, 60),
            response_idle: of("response_idle", &timeouts.response_idle, 60),
            withdrawn: self.duration_or_zero(
                "timeouts.withdrawn",
                timeouts.withdrawn.as_deref(),
                Duration::ZERO,
            ),
        }
    }

    fn duration(&mut self, key: &str, written: Option<&str>, default: Duration) -> Duration {
        let duration = self.duration_or_zero(key, written, default);
        if duration.is_zero() {
            let written = written.unwrap_or_default();
            self.error(
                key,
                format!("zero would end everything at once, and `{written}` is zero; allowed: {DURATION}"),
            );
        }
        duration
    }

    fn duration_or_zero(&mut self, key: &str, written: Option<&str>, default: Duration) -> Duration {
        let Some(written) = written else { return default };
        duration(written).unwrap_or_else(|| {
            self.error(key, format!("`{written}` is not a duration; allowed: {DURATION}"));
            default
        })
    }
}
