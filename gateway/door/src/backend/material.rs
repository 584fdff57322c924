//! What the Secrets and ConfigMaps of backends contain: authorities, and certificates that the gateway shows.
//!
//! Thousands of ports may name one object with a megabyte in it. It is read once for as long as the view has that very
//! object, whether it can be used or not. No longer, because others may take its place, one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use resource::{AuthoritySource, BackendAnnotations, ClusterView, ConfigMap, Kind, ObjectRef, Secret};
use route::ObjectKey;

use super::fault::BackendFault;
use crate::pki::{CaBundle, CaError, Certificate, CertificateError};

/// What has been read.
#[derive(Debug, Default)]
pub(super) struct Materials {
    secret_authorities: Known<Secret, CaBundle, CaError>,
    authorities: Known<ConfigMap, CaBundle, CaError>,
    certificates: Known<Secret, Certificate, CertificateError>,
}

/// What TLS towards one backend is made from.
pub(super) struct Material {
    pub(super) authorities: Option<Arc<CaBundle>>,
    pub(super) client: Option<Arc<Certificate>>,
}

/// The outcome of reading each object, with the object that it was read from.
#[derive(Debug)]
struct Known<O, T, E>(HashMap<ObjectKey, Outcome<O, T, E>>);

/// What reading one object gave.
type Outcome<O, T, E> = (Arc<O>, Result<Arc<T>, E>);

impl<O, T, E> Default for Known<O, T, E> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<O, T, E: Clone> Known<O, T, E> {
    fn read(
        &mut self,
        key: &ObjectKey,
        object: &Arc<O>,
        parse: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        if let Some((known, outcome)) = self.0.get(key)
            && Arc::ptr_eq(known, object)
        {
            return outcome.clone();
        }
        let outcome = parse().map(Arc::new);
        self.0.insert(key.clone(), (Arc::clone(object), outcome.clone()));
        outcome
    }

    fn tidy<'v>(&mut self, find: impl Fn(&ObjectKey) -> Option<&'v Arc<O>>)
    where
        O: 'v,
    {
        self.0
            .retain(|key, (known, _)| find(key).is_some_and(|now| Arc::ptr_eq(now, known)));
    }

    /// Forgets one object, unless it is the very one that was read.
    fn changed(&mut self, key: &ObjectKey, now: Option<&Arc<O>>) {
        let known = self.0.get(key);
        if known.is_some_and(|(known, _)| !now.is_some_and(|now| Arc::ptr_eq(now, known))) {
            self.0.remove(key);
        }
    }
}

impl Materials {
    /// Forgets objects that the view does not have as they were.
    pub(super) fn tidy(&mut self, view: &ClusterView) {
        self.secret_authorities.tidy(|key| view.secret(key));
        self.authorities.tidy(|key| view.config_map(key));
        self.certificates.tidy(|key| view.secret(key));
    }

    /// Forgets an object that has changed or is gone.
    pub(super) fn changed(&mut self, object: &ObjectRef, view: &ClusterView) {
        let key = &ObjectKey::new(object.namespace.as_deref().unwrap_or_default(), &*object.name);
        self.secret_authorities.changed(key, view.secret(key));
        self.authorities.changed(key, view.config_map(key));
        self.certificates.changed(key, view.secret(key));
    }

    /// How many objects are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.secret_authorities.0.len() + self.authorities.0.len() + self.certificates.0.len()
    }

    /// What these annotations name.
    ///
    /// # Errors
    /// When it is missing or cannot be used.
    pub(super) fn find(
        &mut self,
        asked: &BackendAnnotations,
        view: &ClusterView,
    ) -> Result<Material, BackendFault> {
        let secret = |key: &ObjectKey| {
            let secret = view.secret(key);
            secret.ok_or_else(|| BackendFault::absent(Kind::Secret, key, view))
        };
        // nginx uses one Secret for both; a separate setting takes precedence.
        let both = asked.secret.as_ref().map(secret).transpose()?;
        let authorities = match (&asked.authorities, both) {
            (Some(AuthoritySource::Secret(key)), _) => Some(self.of_secret(secret(key)?)?),
            (Some(AuthoritySource::ConfigMap(key)), _) => {
                let missing = || BackendFault::absent(Kind::ConfigMap, key, view);
                Some(self.of_config_map(view.config_map(key).ok_or_else(missing)?)?)
            }
            (None, Some(both)) if asked.is_verified() => Some(self.of_secret(both)?),
            (None, Some(_) | None) => None,
        };
        let client = match (&asked.client_certificate, both) {
            (Some(key), _) => Some(secret(key)?),
            // A Secret with only authorities is fine; half a certificate is not.
            (None, Some(both)) => (both.data.contains_key("tls.crt")
                || both.data.contains_key("tls.key")
                || !both.data.contains_key("ca.crt"))
            .then_some(both),
            (None, None) => None,
        };
        let client = client.map(|secret| self.certificate(secret)).transpose()?;
        Ok(Material { authorities, client })
    }

    fn of_secret(&mut self, secret: &Arc<Secret>) -> Result<Arc<CaBundle>, BackendFault> {
        // `tls.ca` is the name that Secrets for Traefik use.
        let pem = entry(secret, "ca.crt").or_else(|fault| entry(secret, "tls.ca").map_err(|_| fault))?;
        let read = self
            .secret_authorities
            .read(&secret.key, secret, || CaBundle::from_pem(pem));
        read.map_err(|error| BackendFault::Authorities("Secret", secret.key.clone(), error))
    }

    fn of_config_map(&mut self, map: &Arc<ConfigMap>) -> Result<Arc<CaBundle>, BackendFault> {
        let pem = map.data.get("ca.crt");
        let pem = pem.ok_or_else(|| BackendFault::Entry("ConfigMap", map.key.clone(), "ca.crt"))?;
        let read = self
            .authorities
            .read(&map.key, map, || CaBundle::from_pem(pem.as_bytes()));
        read.map_err(|error| BackendFault::Authorities("ConfigMap", map.key.clone(), error))
    }

    fn certificate(&mut self, secret: &Arc<Secret>) -> Result<Arc<Certificate>, BackendFault> {
        let (chain, key) = (entry(secret, "tls.crt")?, entry(secret, "tls.key")?);
        let read = self
            .certificates
            .read(&secret.key, secret, || Certificate::from_pem(chain, key));
        read.map_err(|error| BackendFault::Certificate(secret.key.clone(), error))
    }
}

fn entry<'v>(secret: &'v Secret, name: &'static str) -> Result<&'v [u8], BackendFault> {
    let bytes = secret.data.get(name).map(AsRef::as_ref);
    bytes.ok_or_else(|| BackendFault::Entry("Secret", secret.key.clone(), name))
}
