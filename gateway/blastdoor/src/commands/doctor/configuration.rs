//! What a gateway in the cluster is configured to do, read as it reads it itself.

use std::path::Path;
use std::sync::Arc;

use control::cluster::SecretScope;
use doctor::{ClientIp, Configuration, Door, Front, Process, ProxyProtocol};

use crate::config::{self, AdminBind, Config, DoorConfig, Files, Options};

/// Reads the configuration of a process. With `--config`, of the file that is named there.
pub(super) fn read(process: &Process, options: &Options) -> Result<Configuration, String> {
    let given = options.config.is_some();
    let options = Options {
        config: options.config.clone().or_else(|| process.config.clone()),
        manifests: process.manifests.clone(),
        kubeconfig: None,
        context: None,
        doors: process.doors.clone(),
        environment: process.environment.clone(),
        files: if given {
            options.files.clone()
        } else {
            Files::Pod(Arc::new(process.files.clone()))
        },
        process: None,
    };
    let config = config::load(&options).map_err(|errors| {
        let mut message = errors.to_string();
        for name in &process.unknown {
            message.push_str(&format!("\nConfigMap {name}, which its pods use, is not known"));
        }
        message
    });
    Ok(configuration(&config?.config, process, given))
}

fn configuration(config: &Config, process: &Process, given: bool) -> Configuration {
    let doors = config.doors.iter().map(|door| self::door(door, process));
    let files = config.doors.iter().flat_map(|door| {
        let files = door
            .tls_files
            .iter()
            .map(|path| (door, "a certificate or key", path));
        let trusted = door.trusted_proxies_file.iter();
        trusted
            .map(|path| (&**door, "trusted_proxies_file", path))
            .chain(files.map(|(door, what, path)| (&**door, what, path)))
            .collect::<Vec<_>>()
    });
    let unknown = files.filter(|(_, _, path)| !given && !process.files.contains_key(*path));
    let warnings = unknown.map(|(door, what, path)| {
        format!(
            "door `{}`: `{}` ({what}) comes from no ConfigMap that is known here",
            door.name,
            path.display()
        )
    });
    Configuration {
        doors: doors.collect(),
        admin: match config.admin {
            AdminBind::Tcp(address) => Some(address),
            AdminBind::Unix(_) => None,
        },
        namespaces: config.source.namespaces.clone(),
        reads_no_secrets: config.source.secrets == SecretScope::None,
        warnings: warnings.collect(),
    }
}

fn door(config: &DoorConfig, process: &Process) -> Door {
    let settings = &config.settings;
    let text = |path: &Path| {
        let content = process.files.get(path)?;
        String::from_utf8(content.clone()).ok()
    };
    Door {
        name: config.name.clone(),
        address: config.binding.address,
        front: match settings.front {
            proxy::Front::Other => Front::Other,
            proxy::Front::Alb => Front::Alb,
            proxy::Front::Nlb => Front::Nlb,
            proxy::Front::Gclb => Front::Gclb,
            proxy::Front::Cloudflare => Front::Cloudflare,
        },
        client_ip: match &settings.client_ip {
            proxy::ClientIp::Peer => ClientIp::Peer,
            proxy::ClientIp::ForwardedFor | proxy::ClientIp::ForwardedForGoogle => ClientIp::ForwardedFor,
            proxy::ClientIp::Header(name) => ClientIp::Header((**name).into()),
            proxy::ClientIp::ProxyProtocol => ClientIp::ProxyProtocol,
        },
        proxy_protocol: match settings.proxy_protocol {
            proxy::ProxyProtocol::Off => ProxyProtocol::Off,
            proxy::ProxyProtocol::Optional => ProxyProtocol::Optional,
            proxy::ProxyProtocol::Required => ProxyProtocol::Required,
        },
        trusted: settings.trusted.networks().to_vec(),
        trusted_file: config
            .trusted_proxies_file
            .as_ref()
            .map(|path| (path.clone(), text(path))),
        trusted_fetched: config.trusted_proxies_fetched,
        health_path: settings.health_path.clone(),
        drain_wait: settings.drain.wait,
        drain_timeout: settings.drain.timeout,
        idle: settings.timeouts.idle,
        policy: config.policy.clone(),
    }
}
