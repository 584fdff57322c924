//! `blastdoor health`: an exec probe that needs no other program in the image.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use super::{USAGE, fail, print_error};
use crate::config::{self, AdminBind, Options};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the admin port.
pub(crate) fn run(options: &Options, admin: Option<AdminBind>, ready: bool, door: Option<&str>) -> ExitCode {
    let admin = match admin.map_or_else(|| config::admin(options), Ok) {
        Ok(admin) => admin,
        Err(errors) => return fail(USAGE, errors),
    };
    let path = match (ready, door) {
        (_, Some(door)) => format!("/lb/{door}"),
        (true, None) => "/readyz".to_owned(),
        (false, None) => "/livez".to_owned(),
    };
    match ask(&admin, &path) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(404) => fail(USAGE, format!("{path}: no such door")),
        Ok(status) => fail(1, format!("{path}: status {status}")),
        Err(error) => {
            print_error(format!("admin port: {error}"));
            ExitCode::from(1)
        }
    }
}

fn ask(admin: &AdminBind, path: &str) -> io::Result<u16> {
    match admin {
        AdminBind::Tcp(address) => {
            let stream = connect(*address)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            exchange(stream, path)
        }
        AdminBind::Unix(socket) => {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            exchange(stream, path)
        }
    }
}

/// IPv6's wildcard may be IPv4's: on a host without IPv6 the admin port has only that.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connected = TcpStream::connect_timeout(&address, TIMEOUT);
    if connected.is_err() && address.is_ipv6() && address.ip().is_unspecified() {
        let of_ipv4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        return TcpStream::connect_timeout(&of_ipv4, TIMEOUT);
    }
    connected
}

fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<u16> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    let status = answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status
        .and_then(|status| std::str::from_utf8(status).ok()?.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}
