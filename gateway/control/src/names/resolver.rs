//! Queries to DNS servers.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use resource::NameFault;
use route::Host;

use super::lookup::{Answer, Lookup, Records, Reply};

/// Where the system names its DNS servers.
const SYSTEM: &str = "/etc/resolv.conf";
/// For one query, all servers and attempts included.
const DEADLINE: Duration = Duration::from_secs(6);

/// The DNS servers to query.
pub struct Resolver(Servers);

enum Servers {
    Given(Result<Rc<TokioResolver>, NameFault>),
    System(RefCell<System>),
}

/// The system's file as it was last read.
#[derive(Default)]
struct System {
    text: Vec<u8>,
    resolver: Option<Rc<TokioResolver>>,
}

impl Resolver {
    /// Queries these servers; those of the system (`/etc/resolv.conf`) if there are none.
    #[must_use]
    pub fn new(servers: &[SocketAddr]) -> Self {
        if servers.is_empty() {
            return Self(Servers::System(RefCell::default()));
        }
        let servers = servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        Self(Servers::Given(build(config, ResolverOpts::default())))
    }

    fn client(&self) -> Result<Rc<TokioResolver>, NameFault> {
        match &self.0 {
            Servers::Given(resolver) => resolver.clone(),
            Servers::System(system) => system.borrow_mut().current(),
        }
    }
}

impl System {
    /// The file is small and may change while we run. As with glibc, its current content counts.
    fn current(&mut self) -> Result<Rc<TokioResolver>, NameFault> {
        let failed = |error: &dyn std::fmt::Display| NameFault::NoAnswer(format!("{SYSTEM}: {error}").into());
        let read = std::fs::read(SYSTEM);
        match (read, &self.resolver) {
            (Ok(text), Some(resolver)) if text == self.text => Ok(Rc::clone(resolver)),
            // Half written, or gone for a moment: its last content is better than nothing.
            (Err(_), Some(resolver)) => Ok(Rc::clone(resolver)),
            (Err(error), None) => Err(failed(&error)),
            (Ok(text), before) => match parse_resolv_conf(&text) {
                Ok((config, options)) => {
                    let resolver = build(config, options)?;
                    self.text = text;
                    self.resolver = Some(Rc::clone(&resolver));
                    Ok(resolver)
                }
                Err(error) => before.clone().ok_or_else(|| failed(&error)),
            },
        }
    }
}

fn build(config: ResolverConfig, mut options: ResolverOpts) -> Result<Rc<TokioResolver>, NameFault> {
    // `NameTable` keeps the answers, for their TTL.
    options.cache_size = 0;
    // An ExternalName is a name in DNS. A cluster's own DNS answers with an alias and does not read this file either.
    options.use_hosts_file = ResolveHosts::Never;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map(Rc::new)
        .map_err(|error| NameFault::NoAnswer(error.to_string().into()))
}

impl Lookup for Resolver {
    async fn lookup(&self, name: Host) -> Reply {
        let both = |fault: NameFault| Reply {
            v4: Err(fault.clone()),
            v6: Err(fault),
        };
        let client = match self.client() {
            Ok(client) => client,
            Err(fault) => return both(fault),
        };
        // The trailing dot makes it a full name: no search domain is tried, whatever `ndots` says.
        let absolute = match Name::from_ascii(format!("{name}.")) {
            Ok(absolute) => absolute,
            Err(error) => return both(NameFault::NoAnswer(error.to_string().into())),
        };
        let (v4, v6) = tokio::join!(
            ask(&client, absolute.clone(), RecordType::A),
            ask(&client, absolute, RecordType::AAAA),
        );
        Reply { v4, v6 }
    }
}

async fn ask(client: &TokioResolver, name: Name, kind: RecordType) -> Answer {
    let lookup = match tokio::time::timeout(DEADLINE, client.lookup(name, kind)).await {
        Ok(lookup) => lookup.map_err(|error| fault(&error))?,
        Err(_elapsed) => return Err(fault(&NetError::Timeout)),
    };
    let addresses = lookup.answers().iter().map(|record| record.data.ip_addr());
    let addresses: Vec<IpAddr> = addresses.flatten().collect();
    if addresses.is_empty() {
        return Err(NameFault::NoAddress);
    }
    // The TTLs of aliases (CNAME) count as well.
    let ttl = lookup.answers().iter().map(|record| record.ttl).min();
    let ttl = Duration::from_secs(ttl.unwrap_or(0).into());
    Ok(Records { addresses, ttl })
}

/// With equal words for equal causes, so that a problem is reported once.
fn fault(error: &NetError) -> NameFault {
    if let NetError::Dns(DnsError::NoRecordsFound(none)) = error {
        return if none.response_code == ResponseCode::NXDomain {
            NameFault::NoSuchName
        } else {
            NameFault::NoAddress
        };
    }
    NameFault::NoAnswer(if let NetError::Dns(DnsError::ResponseCode(code)) = error {
        code.to_str().into()
    } else if let NetError::Timeout = error {
        "none within the time".into()
    } else if let NetError::Io(error) = error {
        error.kind().to_string().into()
    } else {
        error.to_string().into()
    })
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Resolver").finish_non_exhaustive()
    }
}
