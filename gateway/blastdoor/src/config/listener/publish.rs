//! `publish` of a door: what becomes the status of its Ingresses.

use std::net::IpAddr;

use control::cluster::{Address, Publish};
use route::{HostPattern, ObjectKey};

use super::super::diagnostics::Section;
use super::super::raw::RawPublish;

pub(super) fn publish(section: &mut Section<'_, '_>, raw: Option<&RawPublish>) -> Publish {
    let Some(raw) = raw else {
        return Publish::Nothing;
    };
    match (&raw.hostname, &raw.service, &raw.ip) {
        (Some(hostname), None, None) => match HostPattern::parse(hostname) {
            Ok(HostPattern::Exact(_)) => {
                Publish::Addresses(vec![Address::Hostname(hostname.as_str().into())])
            }
            Ok(_) | Err(_) => wrong(section, "hostname", format!("`{hostname}` is not a host name")),
        },
        (None, Some(service), None) => match service.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Publish::Service(ObjectKey::new(namespace, name))
            }
            Some(_) | None => wrong(
                section,
                "service",
                format!("`{service}` is not `namespace/name` of a Service"),
            ),
        },
        (None, None, Some(written)) if !written.is_empty() => {
            let mut addresses = Vec::new();
            for (index, text) in written.iter().enumerate() {
                match text.parse::<IpAddr>() {
                    Ok(ip) => addresses.push(Address::Ip(ip.to_string().into())),
                    Err(_) => {
                        wrong(
                            section,
                            &format!("ip[{index}]"),
                            format!("`{text}` is not an IP address"),
                        );
                    }
                }
            }
            Publish::Addresses(addresses)
        }
        (_, _, _) => {
            section.error(
                "publish",
                "write one of `hostname`, `service` and `ip`, as in { hostname = \"lb.example.com\" }"
                    .to_owned(),
            );
            Publish::Nothing
        }
    }
}

fn wrong(section: &mut Section<'_, '_>, key: &str, message: String) -> Publish {
    section.error(&format!("publish.{key}"), message);
    Publish::Nothing
}
