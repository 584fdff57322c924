//! From the `spec.tls` of admitted Ingresses to a door's certificates.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use resource::{ClusterView, Ingress, IngressTls, Kind, ObjectRef, Problem, Severity};
use route::{HostPattern, ListenerName, ObjectKey, Table};
use rustls::pki_types::UnixTime;

use super::door::DoorTls;
use super::holders::Answers;
use super::memory::{CertificateCache, Recalled, TlsMemory};
use super::names::{Choices, Presented, TlsEntry, choose};
use super::server::ClientPolicy;
use super::table::{CertificateOrigin, CertificateTable, Slot};
use crate::admission::{
    Admitted, CaSource, ClientAuth, DefaultCertificate, Ownership, Policy, TlsPolicy, beside, precedence,
};
use crate::compile::{Passthrough, Route};
use crate::pki::{CaBundle, Certificate};

/// The type that Secrets with certificates have (Kubernetes, "TLS secrets").
const TLS_SECRET: &str = "kubernetes.io/tls";

/// One door's certificates while they are gathered.
pub(crate) struct Gathering<'a> {
    pub(crate) door: &'a ListenerName,
    pub(crate) policy: &'a Policy,
    pub(crate) view: &'a ClusterView,
    pub(crate) memory: &'a mut TlsMemory,
    pub(crate) cache: &'a mut CertificateCache,
    pub(crate) problems: &'a mut Vec<Problem>,
    pub(crate) ownership: &'a Ownership,
}

impl<'a> Gathering<'a> {
    /// The TLS half of the door. `None` at a door that ends no TLS.
    ///
    /// `admitted` is in order of precedence, and `served` what has been compiled of it: a name has the certificate of
    /// those who serve it. An equal result is the live one itself.
    pub(crate) fn gather(
        mut self,
        admitted: &[Admitted<'a>],
        served: &Table<Arc<Route>>,
        passthrough: Passthrough,
    ) -> Option<Arc<DoorTls>> {
        let policy = self.policy.tls.as_ref()?;
        let answers = Answers {
            table: served,
            passthrough: &passthrough,
            ownership: self.ownership,
            view: self.view,
        };
        let table = self.table(policy, admitted, answers);
        let (client_policy, ca) = self.client_policy(&policy.client_auth);
        match self.assemble(policy, table, client_policy, ca.as_deref(), passthrough) {
            Ok(tls) => Some(tls),
            Err(error) => {
                let message = format!(
                    "door `{}` cannot terminate TLS: {error}; its handshakes fail",
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

    fn table(
        &mut self,
        policy: &TlsPolicy,
        admitted: &[Admitted<'a>],
        answers: Answers<'_>,
    ) -> CertificateTable {
        let mut named: HashSet<&ObjectKey> = policy.secrets().collect();
        let default = self.default(&policy.default_certificate);
        let has_default = default.as_ref().is_some_and(|slot| slot.certificate().is_some());
        let entries = self.entries(admitted, default.is_some());
        let choices = choose(&entries, answers, has_default);
        let mut table = CertificateTable::new(default);
        for (host, choice) in &choices {
            match (host, choice.shown.entry()) {
                (_, Some(entry)) if choice.above.is_some_and(|above| std::ptr::eq(above, entry)) => {}
                (_, Some(entry)) => table.insert(host.clone(), entry.slot.clone()),
                (HostPattern::Exact(host), None) if choice.above.is_some() => table.keep(host.clone()),
                (_, None) => {}
            }
        }
        for entry in &entries {
            named.insert(entry.secret);
            self.judge(entry, &choices);
        }
        self.of_others_below(&choices);
        self.memory.forget(self.view, &named);
        table
    }

    /// The entries with a Secret, in order of precedence.
    fn entries(&mut self, admitted: &[Admitted<'a>], has_default: bool) -> Vec<TlsEntry<'a>> {
        let mut entries = Vec::new();
        let within = admitted.iter().filter(|admitted| admitted.excess().is_none());
        let ingresses = within.map(|admitted| &**admitted.ingress());
        for ingress in ingresses.filter(|ingress| !self.policy.passes_through(ingress)) {
            // Entries with hosts come first: an entry without hosts takes what is left.
            let (precise, open): (Vec<_>, Vec<_>) = ingress
                .tls
                .iter()
                .enumerate()
                .partition(|(_, tls)| tls.names_hosts);
            for (index, tls) in precise.into_iter().chain(open) {
                let Some(secret) = &tls.secret else {
                    if !has_default {
                        let message = format!(
                            "no `secretName`, and door `{}` has no default certificate: handshakes for these hosts fail",
                            self.door
                        );
                        let field = format!("spec.tls[{index}]");
                        self.problems
                            .push(ingress.problem(Severity::Warning, &field, message));
                    }
                    continue;
                };
                #[cfg(test)]
                crate::counted::note(|work| work.gathered += 1);
                let Recalled { value, fault } = self.memory.certificate(secret, self.view, self.cache);
                let mut entry = TlsEntry {
                    ingress,
                    tls,
                    index,
                    secret,
                    hosts: hosts(ingress, tls, value.as_deref()),
                    fault,
                    slot: Slot::new(CertificateOrigin::Secret(secret.clone()), value),
                };
                entry.hosts.retain(|host| {
                    let is_admitted = self.policy.host_admits(host);
                    if !is_admitted {
                        let message = format!(
                            "host `{host}` may not be exposed at door `{}`; the door's `hosts` says which may",
                            self.door
                        );
                        let field = format!("spec.tls[{index}].hosts");
                        self.problems
                            .push(ingress.problem(Severity::Error, &field, message));
                    }
                    is_admitted
                });
                entries.push(entry);
            }
        }
        entries
    }

    /// Reports what is wrong with an entry, and which names it does not get.
    fn judge(&mut self, entry: &TlsEntry<'_>, choices: &Choices<'_>) {
        let secret = entry.secret;
        let decides = |host: &&HostPattern| {
            let shown = choices.get(*host).and_then(|choice| choice.shown.entry());
            shown.is_some_and(|shown| shown.secret == secret)
        };
        let certificate = entry.slot.certificate();
        if let Some(fault) = &entry.fault {
            let mut failing = entry.hosts.iter().filter(decides).peekable();
            let consequence = match certificate {
                Some(_) => "its last good certificate stays in use".to_owned(),
                None if failing.peek().is_none() => "it is not used".to_owned(),
                None => format!("handshakes for {} fail", list(failing)),
            };
            let message = format!("Secret `{secret}` {fault}; {consequence}");
            self.report(entry, Severity::Error, "secretName", message);
        } else if let Some(certificate) = certificate {
            self.doubts(entry, certificate);
        }
        for host in &entry.hosts {
            let Some(choice) = choices.get(host) else { continue };
            let holder = choice
                .holders
                .first()
                .filter(|holder| !beside(holder, &entry.ingress.key));
            match (choice.shown.entry(), holder) {
                (Some(shown), _) if shown.secret == secret => {}
                (_, Some(holder)) => {
                    let message = format!(
                        "`{host}` at door `{}` is served by Ingress `{holder}`, of another namespace; the certificate \
                         in Secret `{secret}` is not used for it",
                        self.door
                    );
                    self.report(entry, Severity::Warning, "hosts", message);
                }
                (Some(shown), None) if shown.ingress.key == entry.ingress.key => {
                    // An entry without hosts takes what is left, so only hosts that are written twice are reported.
                    if entry.tls.names_hosts {
                        let message = format!(
                            "`{host}` has the certificate of Secret `{}` in this Ingress already; the first one counts",
                            shown.secret
                        );
                        self.report(entry, Severity::Warning, "hosts", message);
                    }
                }
                (Some(shown), None) => {
                    let age = match precedence(shown.ingress, entry.ingress) {
                        Ordering::Less => "older ",
                        Ordering::Equal | Ordering::Greater => "",
                    };
                    let message = format!(
                        "the certificate for `{host}` at door `{}` comes from the {age}Ingress `{}`; the one in Secret `{secret}` is not used",
                        self.door, shown.ingress.key
                    );
                    self.report(entry, Severity::Warning, "hosts", message);
                }
                // It was never good, and is not alone: that has been reported.
                (None, None) => {}
            }
        }
    }

    /// Reports hosts below a wildcard that are left to the default certificate, because others serve them.
    fn of_others_below(&mut self, choices: &Choices<'_>) {
        let mut left: HashMap<HostPattern, BTreeMap<&HostPattern, &ObjectKey>> = HashMap::new();
        for (host, choice) in choices.iter().filter(|(_, choice)| choice.above.is_some()) {
            if let (Presented::Default, Some(holder), Some(wildcard)) =
                (choice.shown, choice.holders.first(), host.wildcard())
            {
                left.entry(wildcard).or_default().insert(host, holder);
            }
        }
        for (wildcard, hosts) in left {
            let Some(choice) = choices.get(&wildcard) else {
                continue;
            };
            let Some(entry) = choice.shown.entry() else {
                continue;
            };
            let serves = choice
                .holders
                .first()
                .is_some_and(|holder| beside(holder, &entry.ingress.key));
            let severity = if serves { Severity::Note } else { Severity::Warning };
            let who = hosts
                .iter()
                .map(|(host, holder)| format!("`{host}` (Ingress `{holder}`)"));
            let message = format!(
                "the certificate for `{wildcard}` at door `{}` is not used for {}, which other namespaces serve; the \
                 default certificate is",
                self.door,
                enumerated(&who.collect::<Vec<_>>())
            );
            self.report(entry, severity, "hosts", message);
        }
    }

    /// Warnings about a certificate that is used nevertheless.
    fn doubts(&mut self, entry: &TlsEntry<'_>, certificate: &Certificate) {
        let TlsEntry { secret, tls, .. } = entry;
        let facts = certificate.facts();
        if let Some(kind) = self
            .view
            .secret(secret)
            .map(|secret| &*secret.kind)
            .filter(|kind| *kind != TLS_SECRET)
        {
            let message = format!("Secret `{secret}` is of type `{kind}`, not `{TLS_SECRET}`; it is used");
            self.report(entry, Severity::Warning, "secretName", message);
        }
        let mark = "\u{feff}".as_bytes();
        let marked = self.view.secret(secret).and_then(|secret| {
            let mut entries = ["tls.crt", "tls.key"].into_iter();
            entries.find(|entry| secret.data.get(*entry).is_some_and(|text| text.starts_with(mark)))
        });
        if let Some(marked) = marked {
            let message = format!(
                "`{marked}` of Secret `{secret}` begins with a byte order mark; it is still read, and most \
                 programs do not read it: save it without"
            );
            let field = format!("spec.tls[{}]", entry.index);
            self.problems
                .push(entry.ingress.problem(Severity::Warning, &field, message));
        }
        if let Some(untimely) = facts.untimely(now()) {
            let message = format!("the certificate in Secret `{secret}` {untimely}; it is still served");
            self.report(entry, Severity::Warning, "secretName", message);
        }
        let foreign: Vec<&HostPattern> = tls.hosts.iter().filter(|host| !facts.covers(host)).collect();
        if !foreign.is_empty() {
            let message = format!(
                "the certificate in Secret `{secret}` is not for {}, but for {}; clients that verify it will refuse it",
                list(foreign),
                list(&*facts.names)
            );
            self.report(entry, Severity::Warning, "hosts", message);
        }
        if !tls.names_hosts && hosts(entry.ingress, tls, Some(certificate)).is_empty() {
            let message = format!(
                "there are no `hosts`, and the certificate in Secret `{secret}` is for {}, none of which is a host of the rules; it is not used",
                list(&*facts.names)
            );
            self.report(entry, Severity::Warning, "secretName", message);
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
                let recalled = self.memory.certificate(key, self.view, self.cache);
                if let Some(fault) = recalled.fault {
                    let consequence = if recalled.value.is_some() {
                        "the last good one stays in use"
                    } else {
                        "handshakes for names without their own certificate fail"
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

    fn report(&mut self, entry: &TlsEntry<'_>, severity: Severity, part: &str, message: String) {
        let field = format!("spec.tls[{}].{part}", entry.index);
        self.problems
            .push(entry.ingress.problem(severity, &field, message));
    }
}

/// The hosts that an entry is for. Without `hosts`, those of the Ingress's rules that the certificate is for; all of
/// them when it is unknown what it is for, because another certificate must not take its place.
fn hosts(ingress: &Ingress, tls: &IngressTls, certificate: Option<&Certificate>) -> Vec<HostPattern> {
    if tls.names_hosts {
        return tls.hosts.to_vec();
    }
    let mut hosts: Vec<HostPattern> = ingress
        .hosts()
        .filter(|host| **host != HostPattern::Any)
        .filter(|host| certificate.is_none_or(|certificate| certificate.facts().covers(host)))
        .cloned()
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

fn of_secret(key: &ObjectKey, severity: Severity, message: String) -> Problem {
    Problem {
        severity,
        object: ObjectRef::namespaced(Kind::Secret, key),
        field: String::new(),
        message,
        source: None,
        topic: resource::Topic::Field,
    }
}

/// `` `a.test`, `*.b.test` ``; a few of them when there are many.
fn list<'h>(hosts: impl IntoIterator<Item = &'h HostPattern>) -> String {
    enumerated(
        &hosts
            .into_iter()
            .map(|host| format!("`{host}`"))
            .collect::<Vec<_>>(),
    )
}

fn enumerated(items: &[String]) -> String {
    match items.get(..5) {
        _ if items.is_empty() => "no host".to_owned(),
        Some(first) if items.len() > 6 => format!("{} and {} more", first.join(", "), items.len() - 5),
        Some(_) | None => items.join(", "),
    }
}

/// Certificates are valid by the wall clock (RFC 5280 4.1.2.5).
fn now() -> Duration {
    Duration::from_secs(UnixTime::now().as_secs())
}
