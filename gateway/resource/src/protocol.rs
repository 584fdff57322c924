//! Ports of Services and EndpointSlices: their numbers, transports and application protocols.

use std::fmt;

use crate::reporter::Reporter;

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The default.
    Tcp,
    /// Carries neither HTTP/1 nor HTTP/2.
    Udp,
    /// Carries no HTTP.
    Sctp,
}

/// The protocol of a backend (`appProtocol`; Kubernetes, "Application protocol").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppProtocol {
    /// HTTP/1.1 in clear text, WebSocket included: `http`, `kubernetes.io/ws`, or nothing.
    Http,
    /// HTTP/2 in clear text by prior knowledge: `kubernetes.io/h2c`.
    H2c,
    /// gRPC over clear-text HTTP/2.
    Grpc,
    /// HTTP over TLS.
    Https,
    /// WebSocket over TLS: `kubernetes.io/wss`.
    Wss,
    /// gRPC over TLS.
    Grpcs,
}

impl Protocol {
    /// `TCP`, `UDP` or `SCTP`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    pub(crate) fn read(text: Option<&str>, field: &str, report: &mut Reporter<'_>) -> Option<Self> {
        match text {
            None | Some("" | "TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(other) => {
                report.error(
                    field,
                    format!("`{other}` is not a protocol; write TCP, UDP or SCTP; the port is ignored"),
                );
                None
            }
        }
    }
}

impl AppProtocol {
    /// The name that messages use.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::H2c => "h2c",
            Self::Grpc => "grpc",
            Self::Https => "https",
            Self::Wss => "wss",
            Self::Grpcs => "grpcs",
        }
    }

    pub(crate) fn read(text: Option<&str>, field: &str, report: &mut Reporter<'_>) -> Self {
        match text.map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "http" | "kubernetes.io/ws" | "ws") => Self::Http,
            Some("kubernetes.io/h2c" | "h2c" | "http2") => Self::H2c,
            Some("grpc") => Self::Grpc,
            Some("https" | "tls") => Self::Https,
            Some("kubernetes.io/wss" | "wss") => Self::Wss,
            Some("grpcs") => Self::Grpcs,
            Some(other) => {
                report.note(
                    field,
                    format!("`{other}` means nothing to an HTTP gateway; the backend gets HTTP/1.1"),
                );
                Self::Http
            }
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A usable port number.
pub(crate) fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0)
}
