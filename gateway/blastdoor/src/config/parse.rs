//! From what is written to what is meant: defaults by preset, and every rule that a schema cannot say.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use door::{NamespacePattern, Policy, Scheme, Selector};
use ipnet::IpNet;
use proxy::{AccessPolicy, Binding, ClientIp, Drain, Limits, Settings, Timeouts, TrustedProxies};
use route::{HostRestriction, ListenerName};

use super::load::{Options, Origin};
use super::raw::{Raw, RawListener, RawLog, RawSource, Size};
use super::units::{DURATION, SIZE, duration, size};
use super::{AdminBind, Config, ConfigError, DoorConfig, Log, LogFormat, Place, Source, SourceKind};

/// What stands in front of a door, and what follows from it.
struct Preset {
    name: &'static str,
    client_ip: ClientIp,
    /// The PROXY header is on every connection.
    proxy_protocol: bool,
    idle: u64,
    wait: u64,
    timeout: u64,
}

fn presets() -> [Preset; 6] {
    let preset = |name, client_ip, proxy_protocol, idle, wait, timeout| Preset {
        name,
        client_ip,
        proxy_protocol,
        idle,
        wait,
        timeout,
    };
    [
        preset("none", ClientIp::Peer, false, 620, 5, 30),
        preset("alb", ClientIp::ForwardedFor, false, 620, 25, 60),
        preset("nlb", ClientIp::Peer, false, 620, 150, 90),
        preset("nlb-proxy-v2", ClientIp::ProxyProtocol, true, 620, 150, 90),
        preset("gclb", ClientIp::ForwardedForGoogle, false, 620, 40, 60),
        preset(
            "cloudflare",
            ClientIp::Header("cf-connecting-ip".into()),
            false,
            905,
            2,
            30,
        ),
    ]
}

/// Checks raw values, and keeps errors and doubts until all is looked at.
pub(super) struct Parser<'a> {
    origin: &'a Origin,
    /// The folder that relative paths start from.
    folder: PathBuf,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(origin: &'a Origin, folder: Option<&Path>, errors: Vec<ConfigError>) -> Self {
        Self {
            origin,
            folder: folder.map(Path::to_owned).unwrap_or_default(),
            errors,
            warnings: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> (Vec<ConfigError>, Vec<ConfigError>) {
        (self.errors, self.warnings)
    }

    pub(super) fn config(&mut self, raw: Raw, path: Option<PathBuf>, options: &Options) -> Config {
        let source = self.source(&raw.source, options);
        let admin = self.admin(raw.admin.bind.as_deref().unwrap_or("127.0.0.1:10254"));
        let log = self.log(raw.log);
        let classes: Vec<Box<str>> = raw
            .source
            .ingress_class
            .unwrap_or_default()
            .into_iter()
            .map(Into::into)
            .collect();
        let mut doors = Vec::new();
        let mut overlaps = BTreeMap::new();
        for (name, listener) in &raw.listeners {
            match name.parse::<ListenerName>() {
                Ok(parsed) => {
                    overlaps.insert(parsed.clone(), listener.overlap.unwrap_or(false));
                    doors.extend(
                        Door {
                            parser: self,
                            key: format!("listeners.{name}"),
                        }
                        .parse(parsed, listener, &classes),
                    );
                }
                Err(error) => self.error(&format!("listeners.{name}"), error.to_string()),
            }
        }
        self.between_doors(&doors, &overlaps);
        if let Some(wanted) = &options.doors {
            self.only(wanted, &mut doors);
        }
        Config {
            path,
            source,
            admin,
            log,
            doors,
        }
    }

    fn error(&mut self, key: &str, message: String) {
        self.errors.push(self.origin.error(key, message));
    }

    fn warn(&mut self, key: &str, message: String) {
        self.warnings.push(self.origin.error(key, message));
    }

    /// One of a few words.
    fn word<T: Clone>(&mut self, key: &str, written: Option<&str>, default: T, words: &[(&str, T)]) -> T {
        let Some(written) = written else { return default };
        match words.iter().find(|(word, _)| *word == written) {
            Some((_, value)) => value.clone(),
            None => {
                let allowed = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
                self.error(key, format!("`{written}` is not known; allowed: {allowed}"));
                default
            }
        }
    }

    fn source(&mut self, raw: &RawSource, options: &Options) -> Source {
        let files = self.word(
            "source.kind",
            raw.kind.as_deref(),
            false,
            &[("kubernetes", false), ("files", true)],
        );
        let secrets = ["auto", "none", "named", "cluster"].map(|word| (word, ()));
        self.word("source.secrets", raw.secrets.as_deref(), (), &secrets);
        let kind = match (&options.manifests, files, &raw.path) {
            (Some(path), _, _) => SourceKind::Files(self.manifests(path.clone(), None)),
            (None, true, Some(path)) => {
                SourceKind::Files(self.manifests(self.folder.join(path), Some("source.path")))
            }
            (None, true, None) => {
                self.error(
                    "source.path",
                    "missing; with kind = \"files\" write the directory of manifests".to_owned(),
                );
                SourceKind::Kubernetes
            }
            (None, false, Some(_)) => {
                self.error(
                    "source.path",
                    "belongs to kind = \"files\"; remove it or set the kind".to_owned(),
                );
                SourceKind::Kubernetes
            }
            (None, false, None) => SourceKind::Kubernetes,
        };
        Source {
            kind,
            allow_loopback_backends: raw.allow_loopback_backends.unwrap_or(false),
        }
    }

    fn manifests(&mut self, path: PathBuf, key: Option<&str>) -> PathBuf {
        if !path.is_dir() {
            let message = format!(
                "`{}` is not a directory; create it or correct the path",
                path.display()
            );
            match key {
                Some(key) => self.error(key, message),
                None => self.errors.push(ConfigError {
                    place: Place::Option("--manifests"),
                    key: String::new(),
                    message,
                }),
            }
        }
        path
    }

    fn admin(&mut self, bind: &str) -> AdminBind {
        if let Some(path) = bind.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return AdminBind::Unix(path.into());
        }
        match bind.parse() {
            Ok(address) => AdminBind::Tcp(address),
            Err(_) => {
                self.error(
                    "admin.bind",
                    format!("`{bind}` is not an address; allowed: `IP:PORT`, `[IPv6]:PORT`, `unix:PATH`"),
                );
                AdminBind::Tcp(SocketAddr::from(([127, 0, 0, 1], 10254)))
            }
        }
    }

    fn log(&mut self, raw: RawLog) -> Log {
        let formats = [
            ("auto", LogFormat::Auto),
            ("json", LogFormat::Json),
            ("text", LogFormat::Text),
        ];
        let access = [
            ("all", AccessPolicy::All),
            ("errors", AccessPolicy::Errors),
            ("off", AccessPolicy::Off),
        ];
        let level = raw.level.unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&level) {
            self.error(
                "log.level",
                format!("`{level}` is not a level: {error}; allowed: error, warn, info, debug, trace, and directives such as `info,proxy=debug`"),
            );
        }
        Log {
            level,
            format: self.word("log.format", raw.format.as_deref(), LogFormat::Auto, &formats),
            access: self.word("log.access", raw.access.as_deref(), AccessPolicy::All, &access),
        }
    }

    /// What only shows when doors are looked at together.
    fn between_doors(&mut self, doors: &[DoorConfig], overlaps: &BTreeMap<ListenerName, bool>) {
        for (index, door) in doors.iter().enumerate() {
            let key = format!("listeners.{}", door.name);
            for other in doors.iter().skip(index + 1) {
                let both_allow = [door, other]
                    .iter()
                    .all(|one| overlaps.get(&one.name) == Some(&true));
                if !both_allow && door.policy.selector.may_overlap(&other.policy.selector) {
                    self.error(
                        &format!("{key}.selector"),
                        format!(
                            "`{}` and door `{}`'s `{}` can admit the same Ingress; make them exclude each other, or set overlap = true on both",
                            door.policy.selector, other.name, other.policy.selector
                        ),
                    );
                }
                if door.binding.address == other.binding.address && door.binding.address.port() != 0 {
                    self.error(
                        &format!("{key}.bind"),
                        format!(
                            "{} is also the address of door `{}`; each door needs its own",
                            door.binding.address, other.name
                        ),
                    );
                }
            }
            let Some(target) = &door.policy.redirect else {
                continue;
            };
            let key = format!("{key}.redirect");
            match doors.iter().find(|other| other.name == *target) {
                _ if *target == door.name => self.error(&key, "a door cannot redirect to itself".to_owned()),
                None => {
                    let names = doors
                        .iter()
                        .map(|door| door.name.as_str())
                        .collect::<Vec<_>>()
                        .join(", ");
                    self.error(&key, format!("no door `{target}` is declared; allowed: {names}"));
                }
                Some(other) if other.policy.scheme != Scheme::Https => {
                    self.error(
                        &key,
                        format!(
                            "door `{target}` has scheme `http`; redirect to a door with scheme = \"https\""
                        ),
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn only(&mut self, wanted: &[String], doors: &mut Vec<DoorConfig>) {
        for name in wanted {
            if !doors.iter().any(|door| door.name.as_str() == name) {
                let names = doors
                    .iter()
                    .map(|door| door.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", ");
                self.errors.push(ConfigError {
                    place: Place::Option("--doors"),
                    key: String::new(),
                    message: format!("no door `{name}` is declared; allowed: {names}"),
                });
            }
        }
        doors.retain(|door| wanted.iter().any(|name| name == door.name.as_str()));
    }
}

/// One door's part of the work.
struct Door<'p, 'a> {
    parser: &'p mut Parser<'a>,
    key: String,
}

impl Door<'_, '_> {
    fn parse(&mut self, name: ListenerName, raw: &RawListener, classes: &[Box<str>]) -> Option<DoorConfig> {
        let before = self.parser.errors.len();
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
        self.not_yet(raw, &preset, scheme);
        let trusted_proxies_file = raw
            .trusted_proxies_file
            .as_ref()
            .map(|path| self.parser.folder.join(path));
        let trusted = self.trusted(raw, trusted_proxies_file.as_deref());
        let client_ip = self.client_ip(raw.client_ip.as_deref(), preset.client_ip.clone());
        if trusted.is_empty() && client_ip != ClientIp::Peer {
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
        };
        let settings = Settings {
            scheme,
            forwarded_port,
            client_ip,
            trusted: Arc::new(TrustedProxies::new(trusted)),
            health_path: self.health_path(raw.health_path.as_deref()),
            limits: self.limits(raw),
            timeouts: self.timeouts(raw, idle),
            drain,
        };
        let binding = binding?;
        // A door that has an error of its own still takes part in the comparison with the others.
        let _had_errors = self.parser.errors.len() > before;
        Some(DoorConfig {
            name,
            policy,
            settings,
            binding,
            trusted_proxies_file,
        })
    }

    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.key)
    }

    fn error(&mut self, key: &str, message: String) {
        let key = self.at(key);
        self.parser.error(&key, message);
    }

    /// What the contract knows and this version does not do is refused: a door must not open with less protection
    /// than is written.
    fn not_yet(&mut self, raw: &RawListener, preset: &Preset, scheme: Scheme) {
        if raw.tls.is_some() {
            let message = match scheme {
                Scheme::Http => {
                    "a door with scheme = \"http\" cannot end TLS; set scheme = \"https\" or remove the table"
                }
                Scheme::Https => {
                    "this version does not end TLS at the door; end it at the load balancer and remove the table"
                }
            };
            self.error("tls", message.to_owned());
        }
        let modes = [("off", false), ("optional", true), ("required", true)];
        let wanted = self.parser.word(
            &self.at("proxy_protocol"),
            raw.proxy_protocol.as_deref(),
            preset.proxy_protocol,
            &modes,
        );
        if wanted {
            let key = if raw.proxy_protocol.is_some() {
                "proxy_protocol"
            } else {
                "behind"
            };
            self.error(
                key,
                "this version does not read the PROXY header; use proxy_protocol = \"off\"".to_owned(),
            );
        }
        let _accepted_for_later = (raw.h2c, &raw.publish, raw.limits.h2_streams);
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
                self.error(key, format!("not a size; allowed: {SIZE}"));
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
        of("tls_handshake", &timeouts.tls_handshake, 10);
        Timeouts {
            first_byte: of("first_byte", &timeouts.first_byte, 10),
            head: of("head", &timeouts.head, 10),
            idle,
            body_idle: of("body_idle", &timeouts.body_idle, 30),
            write_stall: of("write_stall", &timeouts.write_stall, 30),
            connect: of("connect", &timeouts.connect, 2),
            response_head: of("response_head", &timeouts.response_head, 60),
            response_idle: of("response_idle", &timeouts.response_idle, 60),
        }
    }

    fn duration(&mut self, key: &str, written: Option<&str>, default: Duration) -> Duration {
        let duration = self.duration_or_zero(key, written, default);
        if duration.is_zero() {
            self.error(
                key,
                format!("zero would end everything at once; allowed: {DURATION}"),
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

/// A network, or one address.
fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|network| network.trunc())
}

/// The networks in a file: one per line, `#` starts a comment.
pub(crate) fn read_networks(path: &Path) -> Result<Vec<IpNet>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "`{}` cannot be read: {error}; create it or correct the path",
            path.display()
        )
    })?;
    let mut networks = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match network(line) {
            Some(network) => networks.push(network),
            None => {
                return Err(format!(
                    "{}:{}: `{line}` is not a network",
                    path.display(),
                    index + 1
                ));
            }
        }
    }
    Ok(networks)
}
