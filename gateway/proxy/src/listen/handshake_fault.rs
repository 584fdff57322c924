//! Why a handshake failed, as far as it concerns the operator: clients that the door's own policy refuses. Scanners and
//! broken clients are not reported.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "only a few of the library's many errors are named here, and it adds to them"
)]

use std::io;

use rustls::CertificateError;
use rustls::CertificateError as Fault;

/// Why a client's certificate is refused, in words that are the same for every such client; `None` if the cause is not
/// its certificate.
pub(crate) fn of_client_certificate(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::NoCertificatesPresented => {
            Some("none was presented, and `client_auth` requires one".to_owned())
        }
        rustls::Error::InvalidCertificate(fault) => Some(words(fault)),
        _ => None,
    }
}

fn words(fault: &CertificateError) -> String {
    let words = match fault {
        Fault::Expired | Fault::ExpiredContext { .. } => "it has expired; renew it",
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => "it is not valid yet; compare the clocks",
        Fault::UnknownIssuer => {
            "none of the authorities in `client_auth.ca` has issued it, or the client does not send what is between"
        }
        Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow `clientAuth`; issue it anew"
        }
        Fault::BadEncoding => "it cannot be parsed",
        Fault::BadSignature => "its signature, or the client's, is wrong",
        Fault::UnhandledCriticalExtension => "it has a critical extension that is not understood",
        // Other faults keep the verifier's own words.
        Fault::Other(other) => return of_verifier(&other.to_string()),
        other => return other.to_string(),
    };
    words.to_owned()
}

/// The verifier's own names for faults.
fn of_verifier(name: &str) -> String {
    let words = match name {
        "UnsupportedCertVersion" => {
            "it, or who issued it, is X.509 version 1, which has no extensions and is not accepted; issue it as \
             version 3, as `openssl x509 -req` does with -extfile"
        }
        "UnsupportedCriticalExtension" => {
            "it, or who issued it, has a critical extension that is not understood (such as certificatePolicies); \
             issue it without, or not as critical"
        }
        "CaUsedAsEndEntity" => {
            "it is an authority's own (CA:TRUE), which is no client's; issue one with `basicConstraints=CA:FALSE`"
        }
        "EndEntityUsedAsCa" => "who issued it is no authority (CA:FALSE)",
        "PathLenConstraintViolated" => {
            "there are more authorities between than its authority allows (pathlen)"
        }
        other => return other.to_owned(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Named(&'static str);

    #[test]
    fn each_refused_client_certificate_has_a_reason() {
        let certificate = rustls::Error::InvalidCertificate;
        let other = |name| certificate(Fault::Other(OtherError(Arc::new(Named(name)))));
        let table = [
            (rustls::Error::NoCertificatesPresented, Some("none was presented")),
            (certificate(Fault::Expired), Some("it has expired")),
            (
                certificate(Fault::UnknownIssuer),
                Some("none of the authorities in `client_auth.ca`"),
            ),
            (other("UnsupportedCertVersion"), Some("X.509 version 1")),
            (other("UnsupportedCriticalExtension"), Some("certificatePolicies")),
            (other("CaUsedAsEndEntity"), Some("CA:TRUE")),
            (other("SomethingNew"), Some("SomethingNew")),
            (certificate(Fault::Revoked), Some("")),
            (rustls::Error::HandshakeNotComplete, None),
            (
                rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA),
                None,
            ),
        ];
        for (error, expected) in table {
            let shown = format!("{error:?}");
            let told = of_client_certificate(&io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!(told.is_some(), expected.is_some(), "{shown}");
            assert!(
                told.unwrap_or_default().contains(expected.unwrap_or_default()),
                "{shown}"
            );
        }
        assert_eq!(of_client_certificate(&io::ErrorKind::UnexpectedEof.into()), None);
    }
}
