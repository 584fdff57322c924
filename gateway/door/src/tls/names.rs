//! Which entry of `spec.tls` gives a name its certificate.
//!
//! A name belongs to the namespace of the oldest Ingress that has won a rule for it. Entries of that namespace determine
//! its certificate; those of others count only where nobody can lose by it.

use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;
use resource::{Ingress, IngressTls};
use route::{HostPattern, ObjectKey};
use smallvec::SmallVec;

use super::holders::{Answers, Holders};
use super::table::Slot;
use crate::admission::beside;
use crate::pki::SecretFault;

/// One entry of `spec.tls` with a Secret.
pub(super) struct TlsEntry<'v> {
    pub(super) ingress: &'v Ingress,
    pub(super) tls: &'v IngressTls,
    /// Its place in `spec.tls`.
    pub(super) index: usize,
    pub(super) secret: &'v ObjectKey,
    /// Those that the door admits.
    pub(super) hosts: Vec<HostPattern>,
    /// Why the Secret cannot be used as it is now.
    pub(super) fault: Option<SecretFault>,
    /// Without a certificate: it was never good.
    pub(super) slot: Slot,
}

/// The decision about a name.
#[derive(Clone)]
pub(super) struct Choice<'a> {
    pub(super) shown: Presented<'a>,
    /// The entry that determines the wildcard above it.
    pub(super) above: Option<&'a TlsEntry<'a>>,
    /// Who serves the name, oldest first.
    pub(super) holders: Rc<[&'a ObjectKey]>,
}

/// What a name is answered with.
#[derive(Clone, Copy)]
pub(super) enum Presented<'a> {
    /// The certificate of this entry.
    Certificate(&'a TlsEntry<'a>),
    /// Nothing: the certificate of this entry was never good.
    Failure(&'a TlsEntry<'a>),
    /// The door's default certificate.
    Default,
}

/// Names for which an entry asks for a certificate, or that a wildcard with one covers.
pub(super) type Choices<'a> = HashMap<HostPattern, Choice<'a>, RandomState>;

/// Entries that ask for a name, in order of precedence; precise ones, then those with the wildcard above it.
type Candidates<'c, 'a> = [&'c [&'a TlsEntry<'a>]; 2];

/// What each name is answered with. `entries` are in order of precedence.
pub(super) fn choose<'a>(
    entries: &'a [TlsEntry<'a>],
    answers: Answers<'a>,
    has_default: bool,
) -> Choices<'a> {
    let mut asked: HashMap<&HostPattern, SmallVec<[&TlsEntry<'_>; 1]>, RandomState> = HashMap::default();
    for entry in entries {
        for host in &entry.hosts {
            asked.entry(host).or_default().push(entry);
        }
    }
    let mut holders = Holders::new(answers);
    let mut choices = Choices::default();
    let is_wildcard = |host: &&HostPattern| matches!(host, HostPattern::Wildcard(_));
    for wildcard in asked.keys().copied().filter(is_wildcard) {
        let holders = holders.of(wildcard);
        let own = asked.get(wildcard).map(AsRef::as_ref).unwrap_or_default();
        let shown = decide([own, &[]], &holders, has_default);
        choices.insert(
            wildcard.clone(),
            Choice {
                shown,
                above: None,
                holders,
            },
        );
    }
    // Hosts with rules below a wildcard need not be shown what the wildcard is.
    let has_wildcards = !choices.is_empty();
    let served = answers.table.hosts().filter(|_| has_wildcards);
    let exact = |host: &&HostPattern| matches!(host, HostPattern::Exact(_));
    for host in asked.keys().copied().chain(served).filter(exact) {
        let above = Some(host)
            .filter(|_| has_wildcards)
            .and_then(HostPattern::wildcard);
        let own = asked.get(host).map(AsRef::as_ref).unwrap_or_default();
        let wider = above.as_ref().and_then(|above| asked.get(above));
        let candidates = [own, wider.map(AsRef::as_ref).unwrap_or_default()];
        if candidates.iter().all(|of| of.is_empty()) || choices.contains_key(host) {
            continue;
        }
        let holders = holders.of(host);
        let shown = decide(candidates, &holders, has_default);
        let above = above.and_then(|above| choices.get(&above)?.shown.entry());
        choices.insert(
            host.clone(),
            Choice {
                shown,
                above,
                holders,
            },
        );
    }
    choices
}

fn decide<'a>(candidates: Candidates<'_, 'a>, holders: &[&ObjectKey], has_default: bool) -> Presented<'a> {
    let [precise, wider] = candidates;
    let mut candidates = precise.iter().chain(wider).copied();
    let is_good = |entry: &&TlsEntry<'_>| entry.slot.certificate().is_some();
    let Some(holder) = holders.first() else {
        // Nobody serves the name, so no handshakes are affected.
        return candidates
            .find(is_good)
            .map_or(Presented::Default, Presented::Certificate);
    };
    let is_shared = holders.iter().any(|other| !beside(other, holder));
    let mut own = candidates
        .clone()
        .filter(|entry| beside(&entry.ingress.key, holder))
        .peekable();
    let has_own = own.peek().is_some();
    // One that was never good affects no handshake of another namespace.
    match own.find(|entry| !is_shared || is_good(entry)) {
        Some(entry) if is_good(&entry) => return Presented::Certificate(entry),
        Some(entry) => return Presented::Failure(entry),
        None => {}
    }
    // Another namespace that has also won a rule steps in if nothing else would be shown, or nothing that was asked for. If
    // the name's own namespace asks for nothing and nothing would be shown, any namespace's wildcard does.
    let spoils_nothing = !has_own && !has_default;
    let stands_in = |entry: &&TlsEntry<'_>| {
        holders.contains(&&entry.ingress.key)
            || (spoils_nothing && wider.iter().any(|above| std::ptr::eq(*above, *entry)))
    };
    match candidates.filter(stands_in).find(is_good) {
        Some(entry) if has_own || !has_default => Presented::Certificate(entry),
        Some(_) | None => Presented::Default,
    }
}

impl<'a> Presented<'a> {
    /// The entry that determines the name's certificate.
    pub(super) fn entry(self) -> Option<&'a TlsEntry<'a>> {
        match self {
            Self::Certificate(entry) | Self::Failure(entry) => Some(entry),
            Self::Default => None,
        }
    }
}
