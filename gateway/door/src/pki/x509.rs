//! What a certificate says: its names, its validity, its key.

use std::time::Duration;

use route::HostPattern;
use rustls::pki_types::CertificateDer;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{DateTime, Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The facts of a certificate that the gateway looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateFacts {
    /// The DNS names it is for (`subjectAltName`); names that no host has are left out.
    pub(crate) names: Box<[HostPattern]>,
    /// From when it is valid.
    pub(crate) not_before: DateTime,
    /// Until when it is valid.
    pub(crate) not_after: DateTime,
    /// The public key (SubjectPublicKeyInfo, DER).
    pub(crate) public_key: Box<[u8]>,
}

/// A parsed certificate. Serial numbers and times are not validated: the signer does not matter here.
pub(super) type Parsed = CertificateInner<Raw>;

impl CertificateFacts {
    /// `None` when it is no X.509 certificate.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let parsed = Parsed::from_der(certificate).ok()?;
        let body = parsed.tbs_certificate();
        let names = alternative_names(&parsed).into_iter().filter_map(|name| {
            let GeneralName::DnsName(name) = name else {
                return None;
            };
            HostPattern::parse(name.as_str()).ok()
        });
        Some(Self {
            names: names.filter(|name| *name != HostPattern::Any).collect(),
            not_before: body.validity().not_before.to_date_time(),
            not_after: body.validity().not_after.to_date_time(),
            public_key: body.subject_public_key_info().to_der().ok()?.into(),
        })
    }

    /// Whether a host of a rule lies within the names: literally, or below a wildcard (RFC 9525 6.3).
    pub(crate) fn covers(&self, host: &HostPattern) -> bool {
        self.names.iter().any(|name| match (name, host) {
            (HostPattern::Wildcard(suffix), HostPattern::Exact(host)) => host
                .as_str()
                .split_once('.')
                .is_some_and(|(_, parent)| parent == suffix.as_str()),
            (name, host) => name == host,
        })
    }

    /// Seconds from 1970 to the end of its validity.
    pub(crate) fn expires(&self) -> u64 {
        self.not_after.unix_duration().as_secs()
    }

    /// What is wrong with its validity at a given time, if anything.
    pub(crate) fn untimely(&self, now: Duration) -> Option<String> {
        if self.not_after.unix_duration() < now {
            Some(format!("expired at {}; renew it", self.not_after))
        } else if self.not_before.unix_duration() > now {
            Some(format!("is not valid before {}", self.not_before))
        } else {
            None
        }
    }
}

/// `subjectAltName`; empty when it is absent or cannot be read.
pub(super) fn alternative_names(certificate: &Parsed) -> Vec<GeneralName> {
    match certificate.tbs_certificate().get_extension::<SubjectAltName>() {
        Ok(Some((_, names))) => names.0,
        Ok(None) | Err(_) => Vec::new(),
    }
}
