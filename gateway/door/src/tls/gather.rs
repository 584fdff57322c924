//! From the `spec.tls` of admitted Ingresses to a door's certificates.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use resource::{ClusterView, Ingress, IngressTls, Kind, ObjectRef, Problem, Severity};
use route::{HostPattern, ListenerName, ObjectKey};
use rustls::pki_types::UnixTime;

use super::memory::{Shelf, TlsMemory};
use super::passthrough::Passthrough;
use super::server::ClientPolicy;
use super::table::{CertificateOrigin, CertificateTable, Slot};
use super::{CaBundle, CaSource, Certificate, ClientAuth, DefaultCertificate, DoorTls, TlsPolicy};
use crate::{Admitted, Policy};

/// The type that Secrets with certificates have (Kubernetes, "TLS secrets").
const TLS_SECRET: &str = "kubernetes.io/tls";

/// One door's certificates in the making.
pub(crate) struct Gathering<'a> {
    pub(crate) door: &'a ListenerName,
    pub(crate) policy: &'a Policy,
    pub(crate) view: &'a ClusterView,
    pub(crate) memory: &'a mut TlsMemory,
    pub(crate) shelf: &'a mut Shelf,
    pub(crate) problems: &'a mut Vec<Problem>,
}

/// Who has taken a server name.
struct Owner<'v> {
    ingress: &'v ObjectKey,
    secret: &'v ObjectKey,
}

/// One entry of `spec.tls` with a Secret.
struct Entry<'v> {
    ingress: &'v Ingress,
    field: String,
    secret: &'v ObjectKey,
}

impl<'a> Gathering<'a> {
    /// The TLS half of the door. `None` at a door that ends no TLS.
    ///
    /// `admitted` is in order of precedence. An equal result is the live one itself.
    pub(crate) fn gather(
        mut self,
        admitted: &[Admitted<'a>],
        passthrough: Passthrough,
    ) -> Option<Arc<DoorTls>> {
        let policy = self.policy.tls.as_ref()?;
        let table = self.table(policy, admitted);
        let (client_policy, ca) = self.client_policy(&policy.client_auth);
        match self.assemble(policy, table, client_policy, ca.as_deref(), passthrough) {
            Ok(tls) => Some(tls),
            Err(error) => {
                let message = format!(
                    "door `{}` cannot end TLS: {error}; its handshakes fail",
                    self.door
                );
                self.problems
                    .push(Problem::of_file(Severity::Error, self.door.as_str(), message));
                None
            }
        }
    }

    fn assemble(
        &mut self,
        policy: &TlsPolicy,
        table: CertificateTable,
        client_policy: ClientPolicy,
        ca: Option<&CaBundle>,
        passthrough: Passthrough,
    ) -> Result<Arc<DoorTls>, rustls::Error> {
        let sessions = self.memory.sessions(client_policy, ca)?;
        let min_version = policy.min_version;
        let live = self.memory.live.as_ref();
        let same = live.filter(|live| {
            live.policy == sessions.policy && live.min_version == min_version && *live.table == table
        });
        if let Some(same) = same
            && same.passthrough == passthrough
        {
            return Ok(Arc::clone(same));
        }
        let (config, table) = match same {
            Some(same) => (Arc::clone(&same.config), Arc::clone(&same.table)),
            None => {
                let table = Arc::new(table);
                (sessions.config(min_version, Arc::clone(&table) as _)?, table)
            }
        };
        Ok(Arc::new(DoorTls {
            config,
            table,
            policy: sessions.policy,
            min_version,
            passthrough,
        }))
    }

    fn table(&mut self, policy: &TlsPolicy, admitted: &[Admitted<'a>]) -> CertificateTable {
        let mut named = HashSet::new();
        let default = self.default(&policy.default_certificate);
        if let DefaultCertificate::Secret(key) = &policy.default_certificate {
            named.insert(key);
        }
        if let ClientAuth::Optional(CaSource::Secret(key)) | ClientAuth::Required(CaSource::Secret(key)) =
            &policy.client_auth
        {
            named.insert(key);
        }
        let has_default = default.is_some();
        let mut table = CertificateTable::new(default);
        let mut owners = HashMap::new();
        let ingresses = admitted.iter().map(|admitted| &**admitted.ingress());
        for ingress in ingresses.filter(|ingress| !ingress.annotations.ssl_passthrough) {
            // What names its hosts comes first: an entry without hosts takes what is left.
            let (precise, open): (Vec<_>, Vec<_>) = ingress
                .tls
                .iter()
                .enumerate()
                .partition(|(_, tls)| tls.names_hosts);
            for (index, tls) in precise.into_iter().chain(open) {
                let field = format!("spec.tls[{index}]");
                let Some(secret) = &tls.secret else {
                    if !has_default {
                        let message = format!(
                            "no `secretName`, and door `{}` has no default certificate: handshakes for these hosts fail",
                            self.door
                        );
                        self.problems
                            .push(ingress.problem(Severity::Warning, &field, message));
                    }
                    continue;
                };
                named.insert(secret);
                let entry = Entry {
                    ingress,
                    field,
                    secret,
                };
                self.entry(&entry, tls, &mut table, &mut owners);
            }
        }
        self.memory.forget(self.view, &named);
        table
    }

    /// Gives the hosts of one entry their certificate.
    fn entry<'v>(
        &mut self,
        entry: &Entry<'v>,
        tls: &IngressTls,
        table: &mut CertificateTable,
        owners: &mut HashMap<HostPattern, Owner<'v>>,
    ) {
        let recalled = self.memory.certificate(entry.secret, self.view, self.shelf);
        let certificate = recalled.value;
        let hosts = entry.hosts(tls, certificate.as_deref());
        if let Some(fault) = recalled.fault {
            let consequence = match &certificate {
                Some(_) => "its last good certificate stays in use".to_owned(),
                None if hosts.is_empty() => "it is not used".to_owned(),
                None => format!("handshakes for {} fail", list(&hosts)),
            };
            let message = format!("Secret `{}` {fault}; {consequence}", entry.secret);
            self.tell(entry, Severity::Error, "secretName", message);
        } else if let Some(certificate) = &certificate {
            self.doubts(entry, tls, certificate);
        }
        let slot = Slot::new(CertificateOrigin::Secret(entry.secret.clone()), certificate);
        for host in hosts {
            if !self.policy.host_admits(&host) {
                let message = format!(
                    "host `{host}` may not be exposed at door `{}`; the door's `hosts` says which may",
                    self.door
                );
                self.tell(entry, Severity::Error, "hosts", message);
                continue;
            }
            match owners.get(&host) {
                None => {
                    let owner = Owner {
                        ingress: &entry.ingress.key,
                        secret: entry.secret,
                    };
                    owners.insert(host.clone(), owner);
                    table.insert(host, slot.clone());
                }
                Some(owner) if owner.secret == entry.secret => {}
                Some(owner) if *owner.ingress == entry.ingress.key => {
                    // An entry without hosts takes what is left, so only hosts that are written twice are told.
                    if tls.names_hosts {
                        let message = format!(
                            "`{host}` has the certificate of Secret `{}` in this Ingress already; the first one counts",
                            owner.secret
                        );
                        self.tell(entry, Severity::Warning, "hosts", message);
                    }
                }
                Some(owner) => {
                    let message = format!(
                        "the certificate for `{host}` at door `{}` comes from the older Ingress `{}`; the one in Secret `{}` is not used",
                        self.door, owner.ingress, entry.secret
                    );
                    self.tell(entry, Severity::Warning, "hosts", message);
                }
            }
        }
    }

    /// What is odd about a certificate that is used all the same.
    fn doubts(&mut self, entry: &Entry<'_>, tls: &IngressTls, certificate: &Certificate) {
        let Entry { secret, .. } = entry;
        let facts = certificate.facts();
        if let Some(kind) = self
            .view
            .secret(secret)
            .map(|secret| &*secret.kind)
            .filter(|kind| *kind != TLS_SECRET)
        {
            let message = format!("Secret `{secret}` is of type `{kind}`, not `{TLS_SECRET}`; it is used");
            self.tell(entry, Severity::Warning, "secretName", message);
        }
        let mark = "\u{feff}".as_bytes();
        let marked = self.view.secret(secret).and_then(|secret| {
            let mut entries = ["tls.crt", "tls.key"].into_iter();
            entries.find(|entry| secret.data.get(*entry).is_some_and(|text| text.starts_with(mark)))
        });
        if let Some(marked) = marked {
            let message = format!(
                "`{marked}` of Secret `{secret}` begins with a byte order mark; it is read all the same, and most \
                 programs do not read it: save it without"
            );
            self.problems
                .push(entry.ingress.problem(Severity::Warning, &entry.field, message));
        }
        if let Some(untimely) = facts.untimely(now()) {
            let message = format!("the certificate in Secret `{secret}` {untimely}; it is still served");
            self.tell(entry, Severity::Warning, "secretName", message);
        }
        let foreign: Vec<&HostPattern> = tls.hosts.iter().filter(|host| !facts.covers(host)).collect();
        if !foreign.is_empty() {
            let message = format!(
                "the certificate in Secret `{secret}` is not for {}, but for {}; clients that verify it will refuse it",
                list(foreign),
                list(&*facts.names)
            );
            self.tell(entry, Severity::Warning, "hosts", message);
        }
        if !tls.names_hosts && entry.hosts(tls, Some(certificate)).is_empty() {
            let message = format!(
                "there are no `hosts`, and the certificate in Secret `{secret}` is for {}, none of which is a host of the rules; it is not used",
                list(&*facts.names)
            );
            self.tell(entry, Severity::Warning, "secretName", message);
        }
    }

    fn default(&mut self, source: &DefaultCertificate) -> Option<Slot> {
        match source {
            DefaultCertificate::None => None,
            DefaultCertificate::Given(certificate) => {
                Some(Slot::new(CertificateOrigin::Door, Some(Arc::clone(certificate))))
            }
            DefaultCertificate::SelfSigned => {
                let made = self.memory.self_signed(self.door).inspect_err(|error| {
                    let message = format!("door `{}` cannot make a certificate: {error}", self.door);
                    self.problems
                        .push(Problem::of_file(Severity::Error, self.door.as_str(), message));
                });
                Some(Slot::new(CertificateOrigin::Door, made.ok()))
            }
            DefaultCertificate::Secret(key) => {
                let recalled = self.memory.certificate(key, self.view, self.shelf);
                if let Some(fault) = recalled.fault {
                    let consequence = if recalled.value.is_some() {
                        "the last good one stays in use"
                    } else {
                        "handshakes for names without a certificate of their own fail"
                    };
                    let message = format!(
                        "the default certificate of door `{}` is in this Secret, which {fault}; {consequence}",
                        self.door
                    );
                    self.problems.push(of_secret(key, Severity::Error, message));
                } else if let Some(certificate) = &recalled.value
                    && let Some(untimely) = certificate.facts().untimely(now())
                {
                    let message = format!(
                        "the default certificate of door `{}` {untimely}; it is still served",
                        self.door
                    );
                    self.problems.push(of_secret(key, Severity::Warning, message));
                }
                Some(Slot::new(CertificateOrigin::Secret(key.clone()), recalled.value))
            }
        }
    }

    /// What clients must prove. Without authorities the door is closed: it is never opened with less than is written.
    fn client_policy(&mut self, auth: &ClientAuth) -> (ClientPolicy, Option<Arc<CaBundle>>) {
        let (source, is_required) = match auth {
            ClientAuth::Off => return (ClientPolicy::Off, None),
            ClientAuth::Optional(source) => (source, false),
            ClientAuth::Required(source) => (source, true),
        };
        let bundle = match source {
            CaSource::Given(bundle) => Some(Arc::clone(bundle)),
            CaSource::Secret(key) => {
                let recalled = self.memory.authorities(key, self.view);
                if let Some(fault) = recalled.fault {
                    let consequence = if recalled.value.is_some() {
                        "the last good ones stay in use"
                    } else {
                        "every handshake of the door fails until they are there"
                    };
                    let message = format!(
                        "the authorities of clients of door `{}` are in this Secret, which {fault}; {consequence}",
                        self.door
                    );
                    self.problems.push(of_secret(key, Severity::Error, message));
                }
                recalled.value
            }
        };
        let policy = match &bundle {
            None => ClientPolicy::Closed,
            Some(bundle) if is_required => ClientPolicy::Required(bundle.content()),
            Some(bundle) => ClientPolicy::Optional(bundle.content()),
        };
        (policy, bundle)
    }

    fn tell(&mut self, entry: &Entry<'_>, severity: Severity, part: &str, message: String) {
        let field = format!("{}.{part}", entry.field);
        self.problems
            .push(entry.ingress.problem(severity, &field, message));
    }
}

impl Entry<'_> {
    /// The hosts that get the certificate. Without `hosts`, those of the Ingress's rules that the certificate is for;
    /// all of them when it is unknown what it is for, because another certificate must not take its place.
    fn hosts(&self, tls: &IngressTls, certificate: Option<&Certificate>) -> Vec<HostPattern> {
        if tls.names_hosts {
            return tls.hosts.to_vec();
        }
        let rules = self
            .ingress
            .rules
            .iter()
            .filter_map(|rule| rule.host.as_ref().ok());
        let mut hosts: Vec<HostPattern> = rules
            .filter(|host| **host != HostPattern::Any)
            .filter(|host| certificate.is_none_or(|certificate| certificate.facts().covers(host)))
            .cloned()
            .collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}

fn of_secret(key: &ObjectKey, severity: Severity, message: String) -> Problem {
    Problem {
        severity,
        object: ObjectRef::namespaced(Kind::Secret, key),
        field: String::new(),
        message,
        source: None,
    }
}

/// `a.test, *.b.test`; a few of them when there are many.
fn list<'h>(hosts: impl IntoIterator<Item = &'h HostPattern>) -> String {
    let hosts: Vec<String> = hosts.into_iter().map(|host| format!("`{host}`")).collect();
    match hosts.get(..5) {
        _ if hosts.is_empty() => "no host".to_owned(),
        Some(first) if hosts.len() > 6 => format!("{} and {} more", first.join(", "), hosts.len() - 5),
        Some(_) | None => hosts.join(", "),
    }
}

/// Certificates are valid by the wall clock (RFC 5280 4.1.2.5).
fn now() -> Duration {
    Duration::from_secs(UnixTime::now().as_secs())
}
