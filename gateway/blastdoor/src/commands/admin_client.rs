//! Asking the admin port of a running gateway.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::AdminBind;

/// Of the largest answer that is read: ten thousand routes have a hundredth of it.
const MOST: u64 = 256 * 1024 * 1024;

/// How long a connection may take, however long the answer may.
const CONNECT: Duration = Duration::from_secs(15);

/// An answer of the admin port.
pub(super) struct AdminAnswer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Asks for a path. `patience` bounds each wait for the other side.
///
/// # Errors
/// When nothing listens there, or what answers does not speak HTTP or breaks off.
pub(super) fn ask(admin: &AdminBind, target: &str, patience: Duration) -> io::Result<AdminAnswer> {
    match admin {
        AdminBind::Tcp(address) => {
            let stream = connect(*address, patience.min(CONNECT))?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            exchange(stream, target)
        }
        AdminBind::Unix(socket) => {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            exchange(stream, target)
        }
    }
}

/// Asks the API and reads its answer.
///
/// # Errors
/// A message that says what is wrong, which is the gateway's own where it has one.
pub(super) fn ask_api<T: serde::de::DeserializeOwned>(admin: &AdminBind, target: &str) -> Result<T, String> {
    ask_api_for(admin, target, Duration::from_secs(15))
}

/// As [`ask_api`], for what the gateway may take longer to answer.
///
/// # Errors
/// As there.
pub(super) fn ask_api_for<T: serde::de::DeserializeOwned>(
    admin: &AdminBind,
    target: &str,
    patience: Duration,
) -> Result<T, String> {
    let answer =
        ask(admin, target, patience).map_err(|error| format!("admin port {}: {error}", place(admin)))?;
    if answer.status == 200 {
        return serde_json::from_slice(&answer.body).map_err(|error| {
            format!(
                "admin port {}: an answer of another version: {error}",
                place(admin)
            )
        });
    }
    let told: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let told = told.as_ref().and_then(|told| told.get("error")?.as_str());
    Err(format!(
        "admin port {}: status {}{}",
        place(admin),
        answer.status,
        told.map_or(String::new(), |told| format!(": {told}"))
    ))
}

/// Where it is, as it is written on the command line.
pub(super) fn place(admin: &AdminBind) -> String {
    match admin {
        AdminBind::Tcp(address) => address.to_string(),
        AdminBind::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// IPv6's wildcard may be IPv4's: on a host without IPv6 the admin port has only that.
fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let connected = TcpStream::connect_timeout(&address, patience);
    if connected.is_err() && address.is_ipv6() && address.ip().is_unspecified() {
        let of_ipv4 = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
        return TcpStream::connect_timeout(&of_ipv4, patience);
    }
    connected
}

fn exchange(mut stream: impl Read + Write, target: &str) -> io::Result<AdminAnswer> {
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    read(&answer).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is not HTTP, or breaks off",
        )
    })
}

/// The answer, if it is whole.
fn read(answer: &[u8]) -> Option<AdminAnswer> {
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(end + 4)?;
    let head = std::str::from_utf8(head).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then_some(value.trim())
    });
    let is_whole = length.is_none_or(|length| length.parse() == Ok(body.len()));
    is_whole.then(|| AdminAnswer {
        status,
        body: body.to_vec(),
    })
}

/// What a value of a query escapes: all but unreserved characters (RFC 3986 2.3), and those that are easier to read as they are.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':');

/// One parameter of a query, encoded.
pub(super) fn parameter(name: &str, value: &str) -> String {
    format!("{name}={}", utf8_percent_encode(value, ESCAPED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_counts() {
        let whole = b"HTTP/1.1 503 x\r\nContent-Length: 2\r\n\r\n{}";
        let answer = read(whole).unwrap();
        assert_eq!((answer.status, &*answer.body), (503, &b"{}"[..]));
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_none(), "{length}");
        }
        assert!(read(b"SSH-2.0\r\n\r\n").is_none());
    }

    #[test]
    fn parameters_survive_the_way() {
        assert_eq!(
            parameter("url", "http://a.test/x y?b=c&d#%"),
            "url=http://a.test/x%20y%3Fb%3Dc%26d%23%25"
        );
        assert_eq!(parameter("header", "X: ä"), "header=X:%20%C3%A4");
    }
}
