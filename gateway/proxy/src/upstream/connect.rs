//! Making connections, and why none comes about.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "only a few of the many kinds of errors are told apart, and the library adds to them"
)]

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use door::{BackendTls, UpstreamProtocol};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::conduct::{Conduct, Fault};
use super::tls_fault;
use super::tries::Again;
use crate::refusal::{Refusal, Unconnected};
use crate::stream::socket::{Socket, bound_unsent, keep_alive};

/// Why there is no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The endpoint refuses connections or does not answer.
    #[error(transparent)]
    Tcp(io::Error),
    /// The endpoint accepts connections, but does not prove its identity or refuses the gateway's.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The endpoint accepts connections and closes them at once.
    #[error("the connection was closed as soon as it was made")]
    Closed,
    /// The gateway's connections to the endpoint have no place for the client's request.
    #[error("no place on the connections to it")]
    Full,
}

impl ConnectError {
    /// The refusal that the client gets.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Tcp(error) | Self::Tls(error) if error.kind() == io::ErrorKind::TimedOut => {
                Refusal::ConnectTimeout
            }
            Self::Full => Refusal::Overload,
            Self::Tcp(error) if is_ours(error) => Refusal::Overload,
            Self::Tcp(error) => Refusal::ConnectFailed(unconnected(error)),
            Self::Closed => Refusal::ConnectFailed(Unconnected::Closed),
            Self::Tls(error) => Refusal::UpstreamTls(tls_fault::kind(error)),
        }
    }

    /// What happened, for the log. `timeout` is for TCP, and again for TLS.
    pub(crate) fn words(&self, timeout: Duration) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Full => "no place on the gateway's connections to the endpoint came free",
            Self::Closed => "the endpoint closed the connection as soon as it was made",
            Self::Tcp(error) if is_ours(error) => {
                return format!("the gateway cannot open another connection: {error}").into();
            }
            Self::Tcp(error) if error.kind() == io::ErrorKind::TimedOut => {
                return format!("no connection to the endpoint within {timeout:?}").into();
            }
            Self::Tcp(error) => match unconnected(error) {
                Unconnected::Refused => "the endpoint refuses connections: nothing listens at its port",
                Unconnected::Unreachable => return format!("the endpoint cannot be reached: {error}").into(),
                Unconnected::Closed => "the endpoint reset the connection as it was made",
                Unconnected::Other => return format!("no connection to the endpoint: {error}").into(),
            },
            Self::Tls(error) if error.kind() == io::ErrorKind::TimedOut => {
                return format!(
                    "the TLS handshake with the endpoint was not over within {:?}",
                    2 * timeout
                )
                .into();
            }
            Self::Tls(error) => return tls_fault::words(error),
        })
    }

    /// Where the request may be tried next, if anywhere: it has not been sent.
    pub(crate) fn again(&self) -> Option<Again> {
        match self {
            // The client has waited.
            Self::Full => None,
            Self::Tcp(error) if is_ours(error) => None,
            // That took long.
            Self::Tcp(error) if error.kind() == io::ErrorKind::TimedOut => Some(Again::Elsewhere),
            Self::Tcp(_) | Self::Closed => Some(Again::Unreached),
            Self::Tls(_) => Some(Again::Elsewhere),
        }
    }

    /// What it says about the endpoint beyond what connecting has recorded.
    pub(crate) fn conduct(&self) -> Conduct {
        match self {
            Self::Tcp(_) | Self::Full => Conduct::Unknown,
            Self::Tls(_) => Conduct::Bad(Fault::Tls),
            Self::Closed => Conduct::Bad(Fault::Broken),
        }
    }
}

/// What the kernel says about a connection that did not come about.
fn unconnected(error: &io::Error) -> Unconnected {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown,
        NetworkUnreachable,
    };
    match error.kind() {
        ConnectionRefused => Unconnected::Refused,
        HostUnreachable | NetworkUnreachable | NetworkDown => Unconnected::Unreachable,
        ConnectionReset | ConnectionAborted => Unconnected::Closed,
        _ => Unconnected::Other,
    }
}

/// A connection over which an endpoint is spoken to, within `timeout` for TCP and again for TLS.
pub(super) async fn dial(
    address: SocketAddr,
    protocol: &UpstreamProtocol,
    timeout: Duration,
) -> Result<Socket, ConnectError> {
    let stream = connect(address, timeout).await.map_err(ConnectError::Tcp)?;
    match protocol {
        UpstreamProtocol::Tls(tls) => Box::pin(secure(tls, stream, timeout)).await,
        UpstreamProtocol::Http1 | UpstreamProtocol::H2c => Ok(Socket::plain(stream)),
    }
}

pub(super) async fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(address))
        .await
        .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    keep_alive(&SockRef::from(&stream))?;
    bound_unsent(&SockRef::from(&stream))?;
    Ok(stream)
}

pub(super) async fn secure(
    tls: &BackendTls,
    stream: TcpStream,
    timeout: Duration,
) -> Result<Socket, ConnectError> {
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let handshake = connector.connect(tls.server_name.clone(), stream);
    let stream = tokio::time::timeout(timeout, handshake)
        .await
        // The address accepts connections: that nothing answers is a matter of this protocol and these settings.
        .map_err(|_elapsed| ConnectError::Tls(io::ErrorKind::TimedOut.into()))?
        .map_err(ConnectError::Tls)?;
    if tls.h2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        let message = "the backend does not speak HTTP/2 (ALPN)";
        return Err(ConnectError::Tls(io::Error::new(
            io::ErrorKind::InvalidData,
            message,
        )));
    }
    Ok(Socket::tls(stream.into()))
}

/// The process, or the host, can open no more.
pub(super) fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Errors of this process, not of the endpoint: descriptors, memory, local ports.
pub(super) fn is_ours(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
    ]
    .iter()
    .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
