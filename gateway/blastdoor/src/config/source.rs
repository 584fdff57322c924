//! `[source]`: where objects come from.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use control::cluster::SecretScope;
use door::ServiceBounds;

use super::diagnostics::Section;
use super::error::{ConfigError, Place};
use super::model::{Source, SourceKind};
use super::options::Options;
use super::raw::RawSource;
use super::replicas::{refuse_backends, replicas};

/// Objects that Ingresses name and that are watched one by one. Each costs a connection.
const MOST_FOLLOWED: usize = 200;

pub(super) fn source(section: &mut Section<'_, '_>, raw: &RawSource, options: &Options) -> Source {
    let files = section.word(
        "kind",
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
    let secrets = section.word("secrets", raw.secrets.as_deref(), SecretScope::Auto, &scopes);
    let namespaces = namespaces(section, raw);
    let resolvers = resolvers(section, raw);
    let external_names = (raw.allow_external_names == Some(true)).then(|| resolvers.clone());
    let most_followed = most_followed(section, raw);
    let instance = instance(section, raw);
    let kind = match (&options.manifests, files, &raw.path) {
        (Some(path), _, _) => SourceKind::Files(manifests(section, path.clone(), None)),
        (None, true, Some(path)) => {
            SourceKind::Files(manifests(section, section.absolute(path), Some("path")))
        }
        (None, true, None) => {
            section.error_between(
                "path",
                &["kind"],
                "missing; with kind = \"files\" write the directory of manifests".to_owned(),
            );
            SourceKind::Kubernetes
        }
        (None, false, Some(path)) => {
            section.error_between(
                "path",
                &["kind"],
                format!("`{path}` belongs to kind = \"files\"; remove it or set the kind"),
            );
            SourceKind::Kubernetes
        }
        (None, false, None) => SourceKind::Kubernetes,
    };
    let replicas = replicas(section, raw, &kind);
    Source {
        kind,
        namespaces,
        secrets,
        most_followed,
        bounds: service_bounds(section, raw),
        instance,
        allow_loopback_backends: raw.allow_loopback_backends.unwrap_or(false),
        external_names,
        resolvers,
        refuse_backends: refuse_backends(section, raw),
        replicas,
    }
}

/// How much of one Service is used.
fn service_bounds(section: &mut Section<'_, '_>, raw: &RawSource) -> ServiceBounds {
    let default = ServiceBounds::default();
    ServiceBounds {
        ports: section.bound("service_ports", raw.service_ports, default.ports),
        slices: section.bound("service_slices", raw.service_slices, default.slices),
        endpoints: section.bound("service_endpoints", raw.service_endpoints, default.endpoints),
    }
}

fn most_followed(section: &mut Section<'_, '_>, raw: &RawSource) -> usize {
    match raw.most_followed {
        Some(0) => {
            let message = "0 would read nothing that an Ingress names; allowed: 1 and above; to read no Secret, set \
                           secrets = \"none\"";
            section.error("most_followed", message.to_owned());
            MOST_FOLLOWED
        }
        Some(most) => usize::try_from(most).unwrap_or(MOST_FOLLOWED),
        None => MOST_FOLLOWED,
    }
}

/// A name that a Lease may have, and short enough for whatever else carries it.
fn instance(section: &mut Section<'_, '_>, raw: &RawSource) -> Option<Box<str>> {
    let written = raw.instance.as_deref()?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends = !written.starts_with('-') && !written.ends_with('-');
    if written.is_empty() || written.len() > 63 || !ends || !written.bytes().all(fits) {
        section.error(
            "instance",
            format!(
                "`{written}` cannot name an installation; allowed: lower-case letters, digits and `-`, 1 to 63 of \
                 them, no `-` at an end"
            ),
        );
    }
    Some(written.into())
}

/// The DNS servers for names of Services, and of what filters call.
fn resolvers(section: &mut Section<'_, '_>, raw: &RawSource) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for (index, written) in raw.resolvers.iter().flatten().enumerate() {
        let key = format!("resolvers[{index}]");
        let address = written.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        match address.or_else(|_no_ip| written.parse::<SocketAddr>()) {
            Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => servers.push(address),
            Ok(_) | Err(_) => section.error(
                &key,
                format!("`{written}` is not a DNS server; allowed: `IP`, `IP:PORT`, `[IPv6]:PORT`"),
            ),
        }
    }
    if raw.resolvers.as_ref().is_some_and(Vec::is_empty) {
        let message = "names no server; leave it out to use those of /etc/resolv.conf";
        section.error("resolvers", message.to_owned());
    }
    servers
}

/// Names of namespaces; unlike at a door no patterns, because each is watched by itself.
fn namespaces(section: &mut Section<'_, '_>, raw: &RawSource) -> Vec<Box<str>> {
    let written = raw.namespaces.iter().flatten();
    let mut namespaces: Vec<Box<str>> = written.map(|name| name.as_str().into()).collect();
    for (index, name) in namespaces.iter().enumerate() {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 63 || !name.bytes().all(fits) {
            section.error(
                &format!("namespaces[{index}]"),
                format!("`{name}` is not a namespace; allowed: lower-case letters, digits and `-`"),
            );
        }
    }
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

fn manifests(section: &mut Section<'_, '_>, path: PathBuf, key: Option<&str>) -> PathBuf {
    if section.files().lacks_directory(&path) {
        let message = format!(
            "`{}` is not a directory; create it or correct the path",
            path.display()
        );
        match key {
            Some(key) => section.error(key, message),
            None => section.push(ConfigError {
                place: Place::Option("--manifests"),
                key: String::new(),
                message,
            }),
        }
    }
    path
}
