//! Servers that keep limits for all replicas: from names and Secrets to addresses and logins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use filter::store::{Login, ShownCertificate, Store, StoreEndpoint, StoreTls, host_and_port};
use resource::{
    BackendAnnotations, ClusterView, Kind, ObjectRef, Problem, StoreHost, StoreSpec, StoreTlsSpec,
    WrittenStore,
};
use route::ObjectKey;

use super::calls::Call;
use super::context::Context;
use crate::backend::Upstreams;
use crate::pki::{CaBundle, Certificate};

/// What a server named by a Secret may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Entries = BTreeMap<Box<str>, Box<[u8]>>;

/// Finds a server for an Ingress of this namespace.
pub(super) struct StoreSearch<'a, 'v> {
    pub(super) context: &'a Context<'a>,
    pub(super) namespace: &'a str,
    pub(super) upstreams: &'a mut Upstreams<'v>,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl StoreSearch<'_, '_> {
    /// # Errors
    /// When an object that it needs is missing or unusable, or it must not be called.
    pub(super) fn find(&mut self, spec: &StoreSpec) -> Result<Arc<Store>, String> {
        let store = match spec {
            StoreSpec::Secret(key) => self.of_secret(key)?,
            StoreSpec::Written(written) => self.written(written)?,
        };
        Ok(Arc::new(store))
    }

    fn written(&mut self, written: &WrittenStore) -> Result<Store, String> {
        let view = self.context.view;
        let login = match &written.login {
            Some(key) => login(entries(view, key)?),
            None => Ok(Login::default()),
        }?;
        let tls = written.tls.as_ref().map(|tls| tls_of(view, tls)).transpose()?;
        let hosts = written.hosts.iter();
        let endpoints: Result<_, String> = hosts.map(|host| self.endpoint(host)).collect();
        Ok(Store {
            endpoints: endpoints?,
            login,
            db: written.db,
            tls,
            connect: written.connect,
            answer: written.answer,
        })
    }

    fn of_secret(&mut self, key: &ObjectKey) -> Result<Store, String> {
        let entries = entries(self.context.view, key)?;
        let fault = |what: String| format!("Secret `{key}`: {what}");
        let address = text(entries, "address")
            .and_then(|address| address.ok_or_else(|| "`address` is missing; write `host:port`".to_owned()))
            .map_err(fault)?;
        let db = match text(entries, "db").map_err(fault)? {
            None => 0,
            Some(db) => db.parse().map_err(|_| fault("`db` is not a number".to_owned()))?,
        };
        let asks_tls = match text(entries, "tls").map_err(fault)? {
            None => entries.contains_key("ca.crt") || entries.contains_key("tls.crt"),
            Some("on" | "true") => true,
            Some("off" | "false") => false,
            Some(_) => return Err(fault("`tls` is neither `on` nor `off`".to_owned())),
        };
        let tls = asks_tls.then(|| {
            Ok(StoreTls {
                authorities: authorities(entries)?,
                identity: identity(entries)?,
                unverified: false,
            })
        });
        let tls = tls.transpose().map_err(fault)?;
        let login = login(entries).map_err(fault)?;
        // Somebody may have written more than an address there: no message quotes any of it.
        self.context.memory.forget_store(key);
        let endpoints: Result<_, String> = (1..)
            .zip(address.split(','))
            .map(|(place, endpoint)| {
                let fault = |what: String| format!("`address`, element {place}, {what}");
                let host = host_and_port(endpoint.trim())
                    .and_then(|(host, port)| StoreHost::new(host, port, self.namespace))
                    .map_err(|_| fault("is not a host and a port like `redis:6379`".to_owned()))?;
                if let Some(service) = &host.callee.service {
                    self.context.memory.watch_store(service, key);
                } else if host.callee.name.is_some() {
                    return Err(fault(
                        "is a name in DNS; write a Service or an address, or use `redis` of a Middleware".to_owned(),
                    ));
                }
                self.endpoint(&host).map_err(|_| {
                    fault(format!(
                        "cannot be called: a Service must exist and have this port, and the owner of one in another namespace \
                         must allow it by `blastdoor.dev/allow-calls-from: \"{}\"`; the platform must list an address in `call` \
                         under `[listeners.{}.filters]`",
                        self.namespace, self.context.door
                    ))
                })
            })
            .collect();
        Ok(Store {
            endpoints: endpoints.map_err(fault)?,
            login,
            db,
            tls,
            connect: PATIENCE,
            answer: PATIENCE,
        })
    }

    /// The addresses of a server, if it may be called. None at the moment are no fault: the limit is counted here then.
    fn endpoint(&mut self, host: &StoreHost) -> Result<StoreEndpoint, String> {
        let connection = BackendAnnotations::default();
        let call = Call {
            door: self.context.door,
            policy: self.context.policy,
            view: self.context.view,
            url: &host.url,
            callee: &host.callee,
            connection: &connection,
            namespace: self.namespace,
        };
        let upstream = call.upstream(self.upstreams, self.problems)?;
        Ok(StoreEndpoint {
            host: host.name.clone(),
            port: host.url.port(),
            addresses: upstream
                .endpoints
                .iter()
                .map(|endpoint| endpoint.address)
                .collect(),
        })
    }
}

fn entries<'v>(view: &'v ClusterView, key: &ObjectKey) -> Result<&'v Entries, String> {
    if let Some(secret) = view.secret(key) {
        return Ok(&secret.data);
    }
    Err(match view.unread(&ObjectRef::namespaced(Kind::Secret, key)) {
        Some(why) => format!("Secret `{key}` {why}"),
        None => format!("Secret `{key}` does not exist"),
    })
}

fn text<'e>(entries: &'e Entries, name: &str) -> Result<Option<&'e str>, String> {
    let Some(bytes) = entries.get(name) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| format!("`{name}` is not text"))?;
    // Files end with a line break that nobody means.
    Ok(Some(text.trim_end_matches(['\r', '\n'])))
}

fn login(entries: &Entries) -> Result<Login, String> {
    let of = |name| text(entries, name).map(|text| text.filter(|text| !text.is_empty()).map(Box::from));
    Ok(Login {
        username: of("username")?,
        password: of("password")?,
    })
}

fn tls_of(view: &ClusterView, spec: &StoreTlsSpec) -> Result<StoreTls, String> {
    let named = |key: &Option<ObjectKey>, read: fn(&Entries) -> Result<Option<_>, String>, missing: &str| {
        let Some(key) = key else { return Ok(None) };
        let found = read(entries(view, key)?).map_err(|what| format!("Secret `{key}`: {what}"))?;
        found
            .map(Some)
            .ok_or_else(|| format!("Secret `{key}` has no {missing}"))
    };
    Ok(StoreTls {
        authorities: named(&spec.authorities, authorities, "`tls.ca` or `ca.crt`")?,
        identity: match &spec.identity {
            None => None,
            Some(key) => Some(
                identity(entries(view, key)?)
                    .map_err(|what| format!("Secret `{key}`: {what}"))?
                    .ok_or_else(|| format!("Secret `{key}` has no `tls.crt` and `tls.key`"))?,
            ),
        },
        unverified: spec.unverified,
    })
}

fn authorities(entries: &Entries) -> Result<Option<Box<[u8]>>, String> {
    let Some(pem) = entries.get("tls.ca").or_else(|| entries.get("ca.crt")) else {
        return Ok(None);
    };
    CaBundle::from_pem(pem).map_err(|error| error.to_string())?;
    Ok(Some(pem.clone()))
}

fn identity(entries: &Entries) -> Result<Option<ShownCertificate>, String> {
    match (entries.get("tls.crt"), entries.get("tls.key")) {
        (Some(certificate), Some(key)) => {
            Certificate::from_pem(certificate, key).map_err(|error| error.to_string())?;
            Ok(Some((certificate.clone(), key.clone())))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err("`tls.key` is missing".to_owned()),
        (None, Some(_)) => Err("`tls.crt` is missing".to_owned()),
    }
}
