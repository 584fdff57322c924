//! What a door remembers between publications: parsed certificates, the last good ones, and its session keys.
//!
//! Nothing else that a door serves comes from memory. A certificate that became unusable keeps its last good version until
//! it is replaced or the process ends, because the alternative is an outage of names that worked.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use resource::{ClusterView, Kind, ObjectRef, Secret, Unread};
use route::{ListenerName, ObjectKey};

use super::door::DoorTls;
use super::server::{ClientPolicy, Sessions};
use crate::pki::{CaBundle, CaError, Certificate, SecretFault};

/// The memory of one door.
#[derive(Default)]
pub(crate) struct TlsMemory {
    secrets: HashMap<ObjectKey, Remembered<Certificate, SecretFault>>,
    authorities: HashMap<ObjectKey, Remembered<CaBundle, CaFault>>,
    self_signed: Option<Arc<Certificate>>,
    sessions: Option<Arc<Sessions>>,
    /// What is live.
    pub(crate) live: Option<Arc<DoorTls>>,
}

/// What a Secret contained when it was last read, and its last good content.
struct Remembered<T, E> {
    /// `None`: it did not exist.
    source: Option<Arc<Secret>>,
    outcome: Result<Arc<T>, E>,
    good: Option<Arc<T>>,
}

/// Why a Secret holds no authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CaFault {
    #[error("does not exist")]
    Missing,
    #[error("{0}")]
    Unread(Unread),
    #[error("has no `ca.crt`")]
    Entry,
    #[error("cannot be used: its `ca.crt` {0}")]
    Bundle(CaError),
}

/// What can be served, and what is wrong with it.
pub(crate) struct Recalled<T, E> {
    /// The current one; the last good one when the current one cannot be used.
    pub(crate) value: Option<Arc<T>>,
    /// Why the current one cannot be used.
    pub(crate) fault: Option<E>,
}

/// Certificates that were parsed for one publication, so that doors that share a Secret share the work.
#[derive(Default)]
pub(crate) struct CertificateCache(HashMap<ObjectKey, Result<Arc<Certificate>, SecretFault>>);

impl CertificateCache {
    fn certificate(&mut self, secret: &Secret) -> Result<Arc<Certificate>, SecretFault> {
        let parse = || Certificate::from_secret(secret).map(Arc::new);
        self.0.entry(secret.key.clone()).or_insert_with(parse).clone()
    }
}

impl<T, E: Clone> Remembered<T, E> {
    fn recall(&self) -> Recalled<T, E> {
        Recalled {
            value: self.outcome.clone().ok().or_else(|| self.good.clone()),
            fault: self.outcome.as_ref().err().cloned(),
        }
    }
}

/// What `memory` holds of a Secret, read again when it changed.
fn recall<T, E: Clone>(
    memory: &mut HashMap<ObjectKey, Remembered<T, E>>,
    key: &ObjectKey,
    now: Option<&Arc<Secret>>,
    read: impl FnOnce(Option<&Secret>) -> Result<Arc<T>, E>,
) -> Recalled<T, E> {
    if let Some(known) = memory.get_mut(key) {
        let same = match (&known.source, now) {
            (Some(known), Some(now)) => Arc::ptr_eq(known, now) || known == now,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            known.outcome = read(now.map(AsRef::as_ref));
            known.source = now.cloned();
            if let Ok(good) = &known.outcome {
                known.good = Some(Arc::clone(good));
            }
        }
        return known.recall();
    }
    let outcome = read(now.map(AsRef::as_ref));
    let remembered = Remembered {
        source: now.cloned(),
        good: outcome.as_ref().ok().cloned(),
        outcome,
    };
    let recalled = remembered.recall();
    memory.insert(key.clone(), remembered);
    recalled
}

/// Why a Secret is missing from the view although it may exist.
fn unread(view: &ClusterView, key: &ObjectKey) -> Option<Unread> {
    view.unread(&ObjectRef::namespaced(Kind::Secret, key))
}

impl TlsMemory {
    /// The certificate of a Secret.
    pub(crate) fn certificate(
        &mut self,
        key: &ObjectKey,
        view: &ClusterView,
        cache: &mut CertificateCache,
    ) -> Recalled<Certificate, SecretFault> {
        let mut recalled = recall(&mut self.secrets, key, view.secret(key), |secret| {
            cache.certificate(secret.ok_or(SecretFault::Missing)?)
        });
        if let Some(fault @ SecretFault::Missing) = &mut recalled.fault
            && let Some(why) = unread(view, key)
        {
            *fault = SecretFault::Unread(why);
        }
        recalled
    }

    /// The authorities of a Secret.
    pub(crate) fn authorities(&mut self, key: &ObjectKey, view: &ClusterView) -> Recalled<CaBundle, CaFault> {
        let mut recalled = recall(&mut self.authorities, key, view.secret(key), |secret| {
            let pem = secret
                .ok_or(CaFault::Missing)?
                .data
                .get("ca.crt")
                .ok_or(CaFault::Entry)?;
            CaBundle::from_pem(pem).map(Arc::new).map_err(CaFault::Bundle)
        });
        if let Some(fault @ CaFault::Missing) = &mut recalled.fault
            && let Some(why) = unread(view, key)
        {
            *fault = CaFault::Unread(why);
        }
        recalled
    }

    /// The certificate that the door made itself, the same for as long as the door is open.
    pub(crate) fn self_signed(&mut self, door: &ListenerName) -> Result<Arc<Certificate>, rcgen::Error> {
        if let Some(made) = &self.self_signed {
            return Ok(Arc::clone(made));
        }
        let made = Arc::new(Certificate::self_signed(door)?);
        self.self_signed = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The session keys of a policy: the same as long as the policy is, new ones once it changes.
    pub(crate) fn sessions(
        &mut self,
        policy: ClientPolicy,
        ca: Option<&CaBundle>,
    ) -> Result<Arc<Sessions>, rustls::Error> {
        match &self.sessions {
            Some(sessions) if sessions.policy == policy => Ok(Arc::clone(sessions)),
            Some(_) | None => {
                let sessions = Arc::new(Sessions::new(policy, ca)?);
                self.sessions = Some(Arc::clone(&sessions));
                Ok(sessions)
            }
        }
    }

    /// Drops Secrets that are gone and that nothing at this door names any more.
    pub(crate) fn forget(&mut self, view: &ClusterView, named: &HashSet<&ObjectKey>) {
        let stays = |key: &ObjectKey| named.contains(key) || view.secret(key).is_some();
        self.secrets.retain(|key, _| stays(key));
        self.authorities.retain(|key, _| stays(key));
    }
}
