//! Rate limits as objects write them.

use std::time::Duration;

use filter::call::CallUrl;
use filter::cidr::Networks;
use filter::rate::Rate;
use filter::source::Source;
use route::ObjectKey;

use crate::callee::Callee;

/// What to know of a limit by field.
pub(crate) const CHOSEN: &str = "clients choose the value of this field themselves: one that changes it with each request is \
                                 never limited, so this is a limit only behind something that sets it";

/// One or more rates that apply together, to one kind of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitSpec {
    /// How often a source may ask; a request must have a token of each.
    pub rates: Vec<Rate>,
    /// What counts as one source.
    pub source: Source,
    /// Clients that are not counted.
    pub except: Option<Networks>,
    /// Who counts.
    pub scope: Scope,
}

/// Who counts the requests of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Each replica of the gateway, for itself.
    Replica,
    /// Each replica, its share of the whole.
    Cluster,
    /// A Redis or Valkey server, for all replicas.
    Store(StoreSpec),
}

/// A server that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreSpec {
    /// Everything is in a Secret: `address`, and perhaps `username`, `password`, `db`, `tls`, `ca.crt`, `tls.crt` and
    /// `tls.key`.
    Secret(ObjectKey),
    /// As a Middleware has it.
    Written(Box<WrittenStore>),
}

/// `redis` of a `rateLimit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenStore {
    /// Where the server is: the first that answers is used.
    pub hosts: Vec<StoreHost>,
    /// A Secret with `username` and `password`.
    pub login: Option<ObjectKey>,
    /// The number of the database.
    pub db: u32,
    /// TLS to the server.
    pub tls: Option<StoreTlsSpec>,
    /// For a connection.
    pub connect: Duration,
    /// For an answer.
    pub answer: Duration,
}

/// A host and a port of a server that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHost {
    /// The host as it is written.
    pub name: Box<str>,
    /// Host and port, as calls name them.
    pub url: CallUrl,
    /// What the host means.
    pub callee: Callee,
}

impl StoreHost {
    /// What a host and a port mean to an object of this namespace.
    ///
    /// # Errors
    /// When they are none, ready for a problem.
    pub fn new(host: &str, port: u16, namespace: &str) -> Result<Self, String> {
        let url = match host.contains(':') {
            true => CallUrl::parse(&format!("http://[{host}]:{port}/")),
            false => CallUrl::parse(&format!("http://{host}:{port}/")),
        }?;
        Ok(Self {
            name: host.into(),
            callee: Callee::of(&url, namespace),
            url,
        })
    }
}

/// TLS to a server that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreTlsSpec {
    /// A Secret with authorities, under `tls.ca` or `ca.crt`.
    pub authorities: Option<ObjectKey>,
    /// A Secret with what the gateway shows, under `tls.crt` and `tls.key`.
    pub identity: Option<ObjectKey>,
    /// The server's certificate is not verified.
    pub unverified: bool,
}

impl RateLimitSpec {
    /// Whom it calls.
    pub fn callees(&self) -> impl Iterator<Item = &Callee> {
        let written = match &self.scope {
            Scope::Store(StoreSpec::Written(written)) => Some(written),
            Scope::Store(StoreSpec::Secret(_)) | Scope::Replica | Scope::Cluster => None,
        };
        let hosts = written.into_iter().flat_map(|written| &written.hosts);
        hosts.map(|host| &host.callee)
    }

    /// The Secrets that it names.
    pub fn secrets(&self) -> impl Iterator<Item = &ObjectKey> {
        let store = match &self.scope {
            Scope::Store(store) => Some(store),
            Scope::Replica | Scope::Cluster => None,
        };
        let (whole, written) = match store {
            Some(StoreSpec::Secret(key)) => (Some(key), None),
            Some(StoreSpec::Written(written)) => (None, Some(written)),
            None => (None, None),
        };
        let tls = written.and_then(|written| written.tls.as_ref());
        let of_tls = tls
            .into_iter()
            .flat_map(|tls| tls.authorities.iter().chain(&tls.identity));
        whole
            .into_iter()
            .chain(written.and_then(|written| written.login.as_ref()))
            .chain(of_tls)
    }
}
