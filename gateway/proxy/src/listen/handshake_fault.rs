//! Why a handshake failed, as far as it concerns the operator: clients that the door's own policy refuses, clients that
//! refuse the door's certificate, and clients that speak something else.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "only a few of the library's many errors are named here, and it adds to them"
)]

use std::io;

use rustls::AlertDescription as Alert;
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

/// How a client that the door does not refuse for its certificate failed to take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientFault {
    /// It does not accept the door's certificate. Whoever runs the door should look at that.
    Distrust(&'static str),
    /// It speaks something else; most often nobody needs to do anything about it.
    Speech(&'static str),
}

/// Why a client did not take part, in words that are the same for every such client; `None` for what says nothing, such as a
/// connection that was closed.
pub(crate) fn of_client(error: &io::Error) -> Option<ClientFault> {
    use ClientFault::{Distrust, Speech};
    use rustls::{InvalidMessage, PeerIncompatible};
    Some(match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(Alert::UnknownCA) => Distrust(
            "the client knows nobody who issued the door's certificate (alert UnknownCA): is it self-signed, or does its chain \
             lack what is between?",
        ),
        rustls::Error::AlertReceived(Alert::CertificateExpired) => {
            Distrust("to the client the door's certificate has expired (alert CertificateExpired)")
        }
        rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::UnrecognisedName,
        ) => Distrust(
            "the client does not accept the door's certificate: most often it is for another name, or nobody has it for the \
             name that was asked for",
        ),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => Speech("the client offers no version of TLS that the door accepts (`tls.min_version`)"),
        rustls::Error::PeerIncompatible(_) => {
            Speech("the client offers no cipher suite, key exchange or signature that the door has")
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Speech(
            "what the client sends is not TLS: clear text on a door that ends TLS, or a PROXY header that it does not expect",
        ),
        _ => return None,
    })
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
    fn a_client_that_does_not_take_part_has_a_reason() {
        let table = [
            (
                rustls::Error::AlertReceived(Alert::UnknownCA),
                Some((true, "UnknownCA")),
            ),
            (
                rustls::Error::AlertReceived(Alert::BadCertificate),
                Some((true, "does not accept")),
            ),
            (
                rustls::Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
                Some((false, "no cipher suite")),
            ),
            (
                rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled),
                Some((false, "no version of TLS")),
            ),
            (
                rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                Some((false, "is not TLS")),
            ),
            (rustls::Error::AlertReceived(Alert::CloseNotify), None),
        ];
        for (error, expected) in table {
            let shown = format!("{error:?}");
            let told = of_client(&io::Error::new(io::ErrorKind::InvalidData, error));
            let (is_distrust, words) = match told {
                Some(ClientFault::Distrust(words)) => (true, words),
                Some(ClientFault::Speech(words)) => (false, words),
                None => {
                    assert_eq!(expected, None, "{shown}");
                    continue;
                }
            };
            let (distrust, part) = expected.expect("a reason");
            assert_eq!(is_distrust, distrust, "{shown}");
            assert!(words.contains(part), "{shown}: {words}");
        }
    }

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
