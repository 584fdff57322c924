//! From what is written to what is meant: what belongs to the process, and what only shows between doors.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use control::cluster::{Publish, SecretScope};
use door::{CaSource, ClientAuth, DefaultCertificate, Policy, Scheme};
use proxy::AccessPolicy;
use route::ListenerName;

use super::listener::ListenerParser;
use super::load::{Options, Origin};
use super::raw::{Raw, RawListener, RawLog, RawSource};
use super::{AdminBind, Config, ConfigError, DoorConfig, Log, LogFormat, Place, Source, SourceKind};

/// Objects that Ingresses name and that are followed one by one. Each costs a connection.
const MOST_FOLLOWED: usize = 200;

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
        let bind = raw.admin.bind.as_deref();
        let admin = bind.map_or_else(AdminBind::default, |bind| self.admin(bind));
        let log = self.log(raw.log);
        if raw.source.ingress_class.as_ref().is_some_and(Vec::is_empty) {
            let message = "an empty list would admit nothing; remove the key to admit all";
            self.error("source.ingress_class", message.to_owned());
        }
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
                    doors.extend(ListenerParser::new(self, name).parse(parsed, listener, &classes));
                }
                Err(error) => self.error(&format!("listeners.{name}"), error.to_string()),
            }
        }
        self.between_doors(&doors, &overlaps);
        self.addresses(&doors, &admin);
        self.with_source(&doors, &source, &raw.listeners);
        let declared = doors.iter().map(|door| door.binding.address).collect();
        let others = match &options.doors {
            Some(wanted) => self.only(wanted, &mut doors),
            None => Vec::new(),
        };
        Config {
            path,
            source,
            admin,
            log,
            doors,
            declared,
            others,
        }
    }

    /// A path as written, from the folder of the file that it is written in.
    pub(super) fn absolute(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    pub(super) fn error(&mut self, key: &str, message: String) {
        self.errors.push(self.origin.error(key, message));
    }

    /// An error that several values make together: where a variable gave one of them, it is named.
    pub(super) fn error_between(&mut self, key: &str, others: &[&str], message: String) {
        self.errors.push(self.origin.error_between(key, others, message));
    }

    /// Whether an environment variable gave the value of a key.
    pub(super) fn is_from_variable(&self, key: &str) -> bool {
        self.origin.variable(key).is_some()
    }

    pub(super) fn warn(&mut self, key: &str, message: String) {
        self.warnings.push(self.origin.error(key, message));
    }

    /// One of a few words.
    pub(super) fn word<T: Clone>(
        &mut self,
        key: &str,
        written: Option<&str>,
        default: T,
        words: &[(&str, T)],
    ) -> T {
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
        let scopes = [
            ("auto", SecretScope::Auto),
            ("none", SecretScope::None),
            ("named", SecretScope::Named),
            ("cluster", SecretScope::Cluster),
        ];
        let secrets = self.word(
            "source.secrets",
            raw.secrets.as_deref(),
            SecretScope::Auto,
            &scopes,
        );
        let namespaces = self.namespaces(raw);
        let external_names = self.external_names(raw);
        let most_followed = self.most_followed(raw);
        let instance = self.instance(raw);
        let kind = match (&options.manifests, files, &raw.path) {
            (Some(path), _, _) => SourceKind::Files(self.manifests(path.clone(), None)),
            (None, true, Some(path)) => {
                SourceKind::Files(self.manifests(self.absolute(path), Some("source.path")))
            }
            (None, true, None) => {
                self.error_between(
                    "source.path",
                    &["source.kind"],
                    "missing; with kind = \"files\" write the directory of manifests".to_owned(),
                );
                SourceKind::Kubernetes
            }
            (None, false, Some(path)) => {
                self.error_between(
                    "source.path",
                    &["source.kind"],
                    format!("`{path}` belongs to kind = \"files\"; remove it or set the kind"),
                );
                SourceKind::Kubernetes
            }
            (None, false, None) => SourceKind::Kubernetes,
        };
        let replicas = self.replicas(raw, &kind);
        Source {
            kind,
            namespaces,
            secrets,
            most_followed,
            instance,
            allow_loopback_backends: raw.allow_loopback_backends.unwrap_or(false),
            external_names,
            refuse_backends: self.refuse_backends(raw),
            replicas,
        }
    }

    fn most_followed(&mut self, raw: &RawSource) -> usize {
        match raw.most_followed {
            Some(0) => {
                let message =
                    "0 would read nothing that an Ingress names; to read no Secret, set secrets = \"none\"";
                self.error("source.most_followed", message.to_owned());
                MOST_FOLLOWED
            }
            Some(most) => usize::try_from(most).unwrap_or(MOST_FOLLOWED),
            None => MOST_FOLLOWED,
        }
    }

    /// A name that a Lease may have, and short enough for whatever else carries it.
    fn instance(&mut self, raw: &RawSource) -> Option<Box<str>> {
        let written = raw.instance.as_deref()?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let ends = !written.starts_with('-') && !written.ends_with('-');
        if written.is_empty() || written.len() > 63 || !ends || !written.bytes().all(fits) {
            self.error(
                "source.instance",
                format!(
                    "`{written}` cannot name an installation; allowed: lower-case letters, digits and `-`, 1 to 63 of \
                     them, no `-` at an end"
                ),
            );
        }
        Some(written.into())
    }

    /// Whom to ask for names of Services; `None` when they are refused.
    fn external_names(&mut self, raw: &RawSource) -> Option<Vec<SocketAddr>> {
        let mut servers = Vec::new();
        for (index, written) in raw.resolvers.iter().flatten().enumerate() {
            let key = format!("source.resolvers[{index}]");
            let address = written.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
            match address.or_else(|_no_ip| written.parse::<SocketAddr>()) {
                Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => servers.push(address),
                Ok(_) | Err(_) => self.error(
                    &key,
                    format!("`{written}` is not a server of DNS; allowed: `IP`, `IP:PORT`, `[IPv6]:PORT`"),
                ),
            }
        }
        if raw.resolvers.as_ref().is_some_and(Vec::is_empty) {
            let message = "names nobody to ask; leave it out for the servers of /etc/resolv.conf";
            self.error("source.resolvers", message.to_owned());
        }
        let allowed = raw.allow_external_names == Some(true);
        if raw.resolvers.is_some() && !allowed {
            let message = "has no effect without allow_external_names = true: no name is looked up";
            self.warn("source.resolvers", message.to_owned());
        }
        allowed.then_some(servers)
    }

    /// Names of namespaces; unlike at a door no patterns, because each is asked for by itself.
    fn namespaces(&mut self, raw: &RawSource) -> Vec<Box<str>> {
        let written = raw.namespaces.iter().flatten();
        let mut namespaces: Vec<Box<str>> = written.map(|name| name.as_str().into()).collect();
        for (index, name) in namespaces.iter().enumerate() {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > 63 || !name.bytes().all(fits) {
                self.error(
                    &format!("source.namespaces[{index}]"),
                    format!("`{name}` is not a namespace; allowed: lower-case letters, digits and `-`"),
                );
            }
        }
        namespaces.sort();
        namespaces.dedup();
        namespaces
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
        bind.parse().unwrap_or_else(|message| {
            self.error("admin.bind", message);
            AdminBind::default()
        })
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

    /// What only shows when doors are looked at together with the source.
    fn with_source(
        &mut self,
        doors: &[DoorConfig],
        source: &Source,
        written: &BTreeMap<String, RawListener>,
    ) {
        let is_files = matches!(source.kind, SourceKind::Files(_));
        for door in doors {
            let key = format!("listeners.{}", door.name);
            if is_files && door.publish != Publish::Nothing {
                let message = "has no effect: objects from files have no status";
                self.warn(&format!("{key}.publish"), message.to_owned());
            }
            let Some(tls) = &door.policy.tls else { continue };
            if is_files || source.secrets != SecretScope::None {
                continue;
            }
            let asked = written
                .get(door.name.as_str())
                .and_then(|raw| raw.tls.as_ref()?.certificates.as_ref())
                .is_some();
            if asked || matches!(tls.default_certificate, DefaultCertificate::None) {
                self.error_between(
                    &format!("{key}.tls.certificates"),
                    &["source.secrets"],
                    "certificates come from Secrets, and source.secrets = \"none\" forbids to read any; set it to \
                     auto, named or cluster, or give the door a default_certificate of files and leave `certificates` out"
                        .to_owned(),
                );
            }
            let own = match &tls.client_auth {
                ClientAuth::Optional(CaSource::Secret(secret))
                | ClientAuth::Required(CaSource::Secret(secret)) => Some(("client_auth.ca", secret)),
                ClientAuth::Off | ClientAuth::Optional(_) | ClientAuth::Required(_) => None,
            };
            let default = match &tls.default_certificate {
                DefaultCertificate::Secret(secret) => Some(("default_certificate", secret)),
                DefaultCertificate::None | DefaultCertificate::SelfSigned | DefaultCertificate::Given(_) => {
                    None
                }
            };
            for (part, secret) in default.into_iter().chain(own) {
                self.error(
                    &format!("{key}.tls.{part}"),
                    format!(
                        "is in Secret `{secret}`, and source.secrets = \"none\" forbids to read any; set it to auto, \
                         named or cluster, or write files here"
                    ),
                );
            }
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
                    self.error_between(
                        &format!("{key}.selector"),
                        &[&format!("listeners.{}.selector", other.name)],
                        format!(
                            "`{}` and door `{}`'s `{}` can admit the same Ingress; make them exclude each other, or set overlap = true on both",
                            door.policy.selector, other.name, other.policy.selector
                        ),
                    );
                }
            }
            let Some(target) = &door.policy.redirect else {
                continue;
            };
            let key = format!("{key}.redirect");
            match doors.iter().find(|other| other.name == *target) {
                _ if *target == door.name => {
                    self.error(
                        &key,
                        format!("a door cannot redirect to itself, and `{target}` is its name"),
                    );
                }
                None => {
                    let names = doors
                        .iter()
                        .map(|door| door.name.as_str())
                        .collect::<Vec<_>>()
                        .join(", ");
                    self.error(&key, format!("no door `{target}` is declared; allowed: {names}"));
                }
                Some(other) if other.policy.scheme != Scheme::Https => {
                    self.error_between(
                        &key,
                        &[&format!("listeners.{target}.scheme")],
                        format!(
                            "door `{target}` has scheme `http`; redirect to a door with scheme = \"https\""
                        ),
                    );
                }
                Some(_) => {}
            }
        }
    }

    /// Keeps the doors that are wanted, and returns the others.
    fn only(&mut self, wanted: &[String], doors: &mut Vec<DoorConfig>) -> Vec<(ListenerName, Policy)> {
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
        let others = doors.extract_if(.., |door| !wanted.iter().any(|name| name == door.name.as_str()));
        others.map(|door| (door.name, door.policy)).collect()
    }
}
