//! Whom a filter calls, as objects name it.

use filter::call::{CallHost, CallUrl};
use route::{Host, HostBuf, ObjectKey, normalise_sni};

use crate::metadata::is_label;

/// What the host of a URL may mean: a Service of the cluster, a name in DNS, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callee {
    /// The Service that it names: `SERVICE`, `SERVICE.NAMESPACE`, and that with `.svc` or `.svc.cluster.local` behind it. It
    /// is looked up among the objects, never in DNS.
    pub service: Option<ObjectKey>,
    /// The name that it is in DNS if it is no Service. A name that can only be a Service's is none.
    pub name: Option<Host>,
}

impl Callee {
    /// What the host of a URL means to an object of this namespace.
    #[must_use]
    pub fn of(url: &CallUrl, namespace: &str) -> Self {
        let CallHost::Name(written) = url.host() else {
            return Self {
                service: None,
                name: None,
            };
        };
        let short = written
            .strip_suffix(".svc.cluster.local")
            .or_else(|| written.strip_suffix(".svc"));
        let labels: Vec<&str> = short.unwrap_or(written).split('.').collect();
        let service = match *labels.as_slice() {
            [service] if short.is_none() => Some((namespace, service)),
            [service, namespace] => Some((namespace, service)),
            _ => None,
        };
        let service = service.filter(|(namespace, service)| is_label(namespace) && is_label(service));
        let mut scratch = HostBuf::new();
        let name = (short.is_none() && labels.len() > 1)
            .then(|| normalise_sni(written.as_bytes(), &mut scratch).ok())
            .flatten();
        Self {
            service: service.map(|(namespace, service)| ObjectKey::new(namespace, service)),
            name: name.and_then(|name| Host::of(&name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_service_or_a_name_or_either() {
        let table = [
            ("http://auth", Some("shop/auth"), None),
            ("http://auth.idp", Some("idp/auth"), Some("auth.idp")),
            ("http://auth.idp.svc", Some("idp/auth"), None),
            ("http://auth.idp.svc.cluster.local:81", Some("idp/auth"), None),
            ("http://auth.svc", None, None),
            ("http://login.example.com", None, Some("login.example.com")),
            ("http://a_b.idp", None, Some("a_b.idp")),
            ("http://10.0.0.1", None, None),
            ("http://[fd00::1]", None, None),
        ];
        for (url, service, name) in table {
            let callee = Callee::of(&CallUrl::parse(url).unwrap(), "shop");
            assert_eq!(
                callee.service.map(|key| key.to_string()).as_deref(),
                service,
                "{url}"
            );
            assert_eq!(callee.name.map(|name| name.to_string()).as_deref(), name, "{url}");
        }
    }
}
