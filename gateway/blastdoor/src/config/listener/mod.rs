//! One door of `listeners.toml`: its preset, and every rule that a schema cannot say.

mod client;
mod filters;
mod limits;
mod membership;
mod preset;
mod publish;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use door::{Bounds, HostOwner, NamespacePattern, Policy, Scheme};
use proxy::{Binding, ClientIp, Cpus, Drain, Settings, TrustedProxies};
use route::{HostRestriction, ListenerName};

use self::client::{Trusted, client_ip, proxy_protocol, trusted};
use self::limits::{limits, timeouts};
use self::membership::{Membership, membership};
use self::preset::{Preset, presets};
use self::publish::publish;
use self::tls::{Tls, tls};
use super::diagnostics::Section;
use super::model::DoorConfig;
use super::raw::RawListener;
use super::tracing;

/// Workers of a door.
const MOST_WORKERS: usize = 256;

/// Checks one door. `most_workers` it has unless it is configured. `None` if too little is known of it to compare it with the others; other errors do not keep it from
/// that comparison.
pub(super) fn door(
    section: &mut Section<'_, '_>,
    name: ListenerName,
    raw: &RawListener,
    ingress_classes: &[Box<str>],
    most_workers: usize,
    has_collector: bool,
) -> Option<DoorConfig> {
    let words: Vec<(&str, usize)> = presets().iter().map(|preset| preset.name).zip(0..).collect();
    let index = section.word("behind", raw.behind.as_deref(), 0, &words);
    let preset = presets().into_iter().nth(index)?;

    let schemes = [("http", Scheme::Http), ("https", Scheme::Https)];
    if raw.scheme.is_none() {
        section.error(
            "scheme",
            "missing; allowed: http, https (what the client spoke to the load balancer)",
        );
    }
    let scheme = section.word("scheme", raw.scheme.as_deref(), Scheme::Http, &schemes);
    let forwarded_port = raw.forwarded_port.unwrap_or(scheme.default_port());
    let membership = membership(section, raw, ingress_classes);
    let binding = binding(section, raw, most_workers);
    let publish = publish(section, raw.publish.as_ref());
    let Tls {
        policy: tls,
        files: tls_files,
    } = tls(section, raw.tls.as_ref(), raw.passthrough, scheme);
    let trusted_proxies_file = raw
        .trusted_proxies_file
        .as_ref()
        .map(|path| section.absolute(path));
    let Trusted {
        networks: trusted,
        fetched: trusted_proxies_fetched,
    } = trusted(section, raw, trusted_proxies_file.as_deref());
    let client_ip = client_ip(section, raw.client_ip.as_deref(), preset.client_ip.clone());
    let proxy_protocol = proxy_protocol(
        section,
        raw,
        preset.proxy_protocol,
        &client_ip,
        trusted.is_empty(),
    );
    // The PROXY header has its own warning.
    if trusted.is_empty() && !matches!(client_ip, ClientIp::Peer | ClientIp::ProxyProtocol) {
        section.warn("trusted_proxies", "nobody is trusted, so the client's address is always the TCP peer's; name the load balancer's networks",
        );
    }
    let idle = section.duration(
        "idle_timeout",
        raw.idle_timeout.as_deref(),
        Duration::from_secs(preset.idle),
    );
    let drain = drain(section, raw, &preset);
    let redirect = raw.redirect.as_deref().and_then(|name| match name.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let error: route::InvalidListenerName = error;
            section.error("redirect", error.to_string());
            None
        }
    });
    let Membership { selectors, classes } = membership?;
    let policy = Policy {
        selectors,
        classes,
        namespaces: section.list("namespaces", raw.namespaces.as_deref(), NamespacePattern::parse),
        hosts: section.list("hosts", raw.hosts.as_deref(), HostRestriction::parse),
        ingress_classes: ingress_classes.to_vec(),
        scheme,
        forwarded_port,
        redirect,
        tls,
        host_owner: host_owner(section, raw),
        default_backend: section.list(
            "default_backend",
            raw.default_backend.as_deref(),
            NamespacePattern::parse,
        ),
        bounds: bounds(section, raw),
        filters: filters::policy(section, &raw.filters),
    };
    let settings = Settings {
        front: preset.front,
        limits: limits(section, raw, &client_ip),
        client_ip,
        trusted: Arc::new(TrustedProxies::new(trusted)),
        proxy_protocol,
        h2c: h2c(section, raw),
        proxy_status: raw.proxy_status.unwrap_or(false),
        health_path: health_path(section, raw.health_path.as_deref()),
        timeouts: timeouts(section, raw, idle),
        drain,
        filters: filters::settings(section, &raw.filters),
        has_doors_elsewhere: false,
        tracing: tracing::door(section, raw.tracing.as_ref(), has_collector),
    };
    Some(DoorConfig {
        name,
        policy,
        settings,
        binding: binding?,
        publish,
        trusted_proxies_file,
        trusted_proxies_fetched,
        tls_files,
    })
}

fn drain(section: &mut Section<'_, '_>, raw: &RawListener, preset: &Preset) -> Drain {
    Drain {
        wait: section.duration_or_zero(
            "drain.wait",
            raw.drain.wait.as_deref(),
            Duration::from_secs(preset.wait),
        ),
        timeout: section.duration_or_zero(
            "drain.timeout",
            raw.drain.timeout.as_deref(),
            Duration::from_secs(preset.timeout),
        ),
    }
}

fn bounds(section: &mut Section<'_, '_>, raw: &RawListener) -> Bounds {
    let (limits, default) = (&raw.limits, Bounds::default());
    let mut of = |key: &str, written, default| section.bound(&format!("limits.{key}"), written, default);
    Bounds {
        ingress_rules: of("ingress_rules", limits.ingress_rules, default.ingress_rules),
        namespace_rules: of("namespace_rules", limits.namespace_rules, default.namespace_rules),
        namespace_endpoints: of(
            "namespace_endpoints",
            limits.namespace_endpoints,
            default.namespace_endpoints,
        ),
    }
}

fn host_owner(section: &mut Section<'_, '_>, raw: &RawListener) -> HostOwner {
    let words = [("any", HostOwner::Any), ("namespace", HostOwner::Namespace)];
    section.word("host_owner", raw.host_owner.as_deref(), HostOwner::Any, &words)
}

/// At a door that terminates TLS, the handshake negotiates HTTP/2.
fn h2c(section: &mut Section<'_, '_>, raw: &RawListener) -> bool {
    if raw.tls.is_some() && raw.h2c == Some(true) {
        let message =
            "HTTP/2 in clear text excludes `tls`, where it is agreed on in the handshake; remove the key";
        section.error_between("h2c", &["tls"], message);
    }
    raw.h2c.unwrap_or(raw.tls.is_none())
}

fn binding(section: &mut Section<'_, '_>, raw: &RawListener, most_workers: usize) -> Option<Binding> {
    let cpus = raw.cpus.as_deref().and_then(|written| {
        let read = written.parse::<Cpus>();
        read.map_err(|error| section.error("cpus", error.to_string()))
            .ok()
    });
    let workers = raw.workers.unwrap_or_else(|| {
        let cores = match &cpus {
            Some(cpus) => cpus.count().min(MOST_WORKERS),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        cores.min(most_workers)
    });
    if !(1..=MOST_WORKERS).contains(&workers) {
        section.error(
            "workers",
            format!("{workers} is not a number of workers; allowed: 1 to {MOST_WORKERS}"),
        );
    }
    let Some(written) = raw.bind.as_deref() else {
        section.error(
            "bind",
            "missing; write the address to listen on, such as `[::]:10000`",
        );
        return None;
    };
    match written.parse::<SocketAddr>() {
        Ok(address) => Some(Binding {
            address,
            workers,
            reuse_port: raw.reuse_port.unwrap_or(true),
            cpus,
        }),
        Err(_) => {
            section.error(
                "bind",
                format!("`{written}` is not an address; allowed: `IP:PORT` or `[IPv6]:PORT`"),
            );
            None
        }
    }
}

fn health_path(section: &mut Section<'_, '_>, written: Option<&str>) -> Option<Box<str>> {
    let path = written?;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?') {
        section.error(
            "health_path",
            format!("`{path}` is not a path; it starts with `/` and has no query"),
        );
    }
    Some(path.into())
}
