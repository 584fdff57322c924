//! Ports for those who have to name one before anybody listens on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use socket2::{Domain, Socket, Type};

/// What keeps the ports; a test that has ended needs no other than one that is running.
static KEPT: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// A port of this machine on which nobody listens: connections to it are refused. The system gives it to nobody else
/// while this process lives, because a socket that does not listen stays bound to it. Whoever names the port may still
/// listen on it, given `SO_REUSEADDR`, which servers set.
///
/// # Panics
/// When no port is left.
#[must_use]
pub fn free_port() -> u16 {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    // Those who listen with it want it of everybody at the port.
    socket.set_reuse_port(true).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    KEPT.lock().unwrap().push(socket);
    address.port()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_free_port_refuses_until_somebody_listens() {
        let port = free_port();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        drop(listener);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        let _again = TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}
