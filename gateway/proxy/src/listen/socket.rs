//! Listening sockets, of doors and of the admin port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::stream::socket::{bound_unsent, keep_alive};

/// Connections that may wait to be accepted, per socket.
pub(super) const BACKLOG: i32 = 4096;

/// A socket that listens at an address by itself: no other process can share its port. IPv6's wildcard takes IPv4 too,
/// and is IPv4's where there is no IPv6.
///
/// # Errors
/// When the address cannot be bound.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, false).map_err(|(_, error)| error)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket that is bound and does not listen yet.
///
/// # Errors
/// With the address that was tried last.
pub(super) fn bind(address: SocketAddr, reuse_port: bool) -> Result<Socket, (SocketAddr, io::Error)> {
    bind_by(address, |address| open(address, reuse_port))
}

fn bind_by<S>(
    mut address: SocketAddr,
    open: impl Fn(SocketAddr) -> io::Result<S>,
) -> Result<S, (SocketAddr, io::Error)> {
    let bound = match open(address) {
        // A host without IPv6 can still serve all its IPv4 addresses.
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && is_no_such_family(&error) => {
            address.set_ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            open(address)
        }
        outcome => outcome,
    };
    bound.map_err(|error| (address, error))
}

fn open(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only says.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit these from the listening one on Linux.
    socket.set_tcp_nodelay(true)?;
    keep_alive(&SockRef::from(&socket))?;
    bound_unsent(&SockRef::from(&socket))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

pub(super) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn is_no_such_family(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// The socket of a worker.
pub(super) enum Bound {
    /// It does not listen yet.
    Silent(Socket),
    Listening(tokio::net::TcpListener),
    /// It takes no more connections.
    Closed,
}

impl Bound {
    /// Listens from now on, or as before. Needs a runtime, the same each time.
    pub(super) fn listen(&mut self) -> io::Result<&tokio::net::TcpListener> {
        *self = match std::mem::replace(self, Self::Closed) {
            Self::Silent(socket) => {
                socket.listen(BACKLOG)?;
                Self::Listening(tokio::net::TcpListener::from_std(socket.into())?)
            }
            other @ (Self::Listening(_) | Self::Closed) => other,
        };
        match self {
            Self::Listening(listener) => Ok(listener),
            Self::Silent(_) | Self::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn close(&mut self) {
        *self = Self::Closed;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use rustix::io::Errno;

    use super::*;

    /// What a host without IPv6 says, and what becomes of it.
    #[test]
    fn the_wildcard_is_ipv4s_where_there_is_no_ipv6() {
        let wildcard: SocketAddr = "[::]:80".parse().unwrap();
        let of_ipv4: SocketAddr = "0.0.0.0:80".parse().unwrap();
        let specific: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        let error_of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        let without_ipv6 = |errno: Errno| {
            move |address: SocketAddr| {
                if address.is_ipv6() {
                    Err(error_of(errno))
                } else {
                    Ok(address)
                }
            }
        };
        for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            assert_eq!(bind_by(wildcard, without_ipv6(errno)).unwrap(), of_ipv4);
            let (address, error) = bind_by(specific, without_ipv6(errno)).unwrap_err();
            assert_eq!(
                (address, error.raw_os_error()),
                (specific, Some(errno.raw_os_error()))
            );
        }
        let (address, _) = bind_by(wildcard, without_ipv6(Errno::ADDRINUSE)).unwrap_err();
        assert_eq!(
            address, wildcard,
            "a port that is taken is no reason to take another address"
        );
        let nothing = |_: SocketAddr| -> io::Result<()> { Err(error_of(Errno::AFNOSUPPORT)) };
        assert_eq!(bind_by(wildcard, nothing).unwrap_err().0, of_ipv4);
    }

    #[test]
    fn a_wildcard_takes_both_families_and_shares_its_port_with_nobody() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let error = listen(SocketAddr::from(([0, 0, 0, 0], port))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
