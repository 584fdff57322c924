//! Why the TLS handshake with a backend failed, in words for whoever runs the backend.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "only a few of the library's many errors are named here, and it adds to them"
)]

use std::borrow::Cow;
use std::io;

use rustls::CertificateError as Fault;
use rustls::pki_types::UnixTime;

use crate::observe::instant;
use crate::refusal::TlsFault;

/// How many names of a certificate are listed, and how much of each.
const NAMES: usize = 5;
const NAME: usize = 100;

/// Which kind of failure it is.
pub(super) fn kind(error: &io::Error) -> TlsFault {
    match of_library(error) {
        Some(rustls::Error::InvalidCertificate(_)) => TlsFault::Certificate,
        Some(rustls::Error::AlertReceived(_)) => TlsFault::Alert,
        _ => TlsFault::Protocol,
    }
}

/// What happened.
pub(super) fn words(error: &io::Error) -> Cow<'static, str> {
    let Some(fault) = of_library(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                "the endpoint closed the connection within the TLS handshake".into()
            }
            io::ErrorKind::ConnectionReset => {
                "the endpoint reset the connection within the TLS handshake".into()
            }
            _ => format!("the TLS handshake with the endpoint failed: {error}").into(),
        };
    };
    match fault {
        rustls::Error::InvalidCertificate(fault) => {
            format!("the endpoint's certificate is refused: {}", of_certificate(fault)).into()
        }
        rustls::Error::AlertReceived(alert) => format!(
            "the endpoint refused the TLS handshake with the alert {alert:?} (does it ask for a client certificate, or for \
             another name or version?)"
        )
        .into(),
        rustls::Error::InvalidMessage(_) => {
            "what the endpoint answers is not TLS; does it speak clear text at this port?".into()
        }
        other => format!("the TLS handshake with the endpoint failed: {other}").into(),
    }
}

fn of_library(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref::<rustls::Error>()
}

fn of_certificate(fault: &Fault) -> String {
    match fault {
        Fault::NotValidForNameContext { expected, presented } => {
            let mut names: Vec<String> = presented.iter().take(NAMES).map(|name| plain(name)).collect();
            if presented.len() > NAMES {
                names.push("…".to_owned());
            }
            let presented = if names.is_empty() {
                "no name".to_owned()
            } else {
                names.join(", ")
            };
            format!("it is not for `{}`, which was asked for, but for {presented}", expected.to_str())
        }
        Fault::NotValidForName => "it is not for the name that was asked for".to_owned(),
        Fault::ExpiredContext { not_after, time } => {
            format!("it expired at {} (now: {})", at(*not_after), at(*time))
        }
        Fault::Expired => "it has expired".to_owned(),
        Fault::NotValidYetContext { not_before, time } => {
            format!("it is not valid before {} (now: {})", at(*not_before), at(*time))
        }
        Fault::NotValidYet => "it is not valid yet".to_owned(),
        Fault::UnknownIssuer => {
            "none of the authorities that the gateway trusts for this backend has issued it, or the endpoint does not send \
             what is between"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// A name as it is in a certificate, without the library's `DnsName("…")` around it.
fn plain(name: &str) -> String {
    let inside = name
        .strip_prefix("DnsName(\"")
        .and_then(|name| name.strip_suffix("\")"));
    inside.unwrap_or(name).chars().take(NAME).collect()
}

fn at(time: UnixTime) -> String {
    instant::of_seconds(time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_refused_certificate_has_a_reason() {
        let time = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let presented: Vec<String> = (0..7)
            .map(|number| format!("DnsName(\"{number}.test\")"))
            .collect();
        let table = [
            (
                rustls::Error::InvalidCertificate(Fault::NotValidForNameContext {
                    expected: "a.test".try_into().unwrap(),
                    presented,
                }),
                TlsFault::Certificate,
                "it is not for `a.test`, which was asked for, but for 0.test, 1.test, 2.test, 3.test, 4.test, …",
            ),
            (
                rustls::Error::InvalidCertificate(Fault::ExpiredContext {
                    time: time(86_400),
                    not_after: time(0),
                }),
                TlsFault::Certificate,
                "it expired at 1970-01-01T00:00:00Z (now: 1970-01-02T00:00:00Z)",
            ),
            (
                rustls::Error::InvalidCertificate(Fault::UnknownIssuer),
                TlsFault::Certificate,
                "none of the authorities that the gateway trusts",
            ),
            (
                rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure),
                TlsFault::Alert,
                "the alert HandshakeFailure",
            ),
            (
                rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                TlsFault::Protocol,
                "is not TLS",
            ),
        ];
        for (fault, expected, text) in table {
            let error = io::Error::new(io::ErrorKind::InvalidData, fault);
            assert_eq!(kind(&error), expected);
            assert!(words(&error).contains(text), "{}", words(&error));
        }
        let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&ended), TlsFault::Protocol);
        assert!(words(&ended).contains("closed the connection within the TLS handshake"));
    }
}
