//! A client that tells what went wrong instead of failing the test: under load every failure counts.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gateway_tests::tls::TlsClient;

const PATIENCE: Duration = Duration::from_secs(20);

/// A door of a node.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Where the door ends TLS itself.
    pub tls: Option<Arc<TlsClient>>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Status line and fields, without the date.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn closes(&self) -> bool {
        self.head.to_ascii_lowercase().contains("\nconnection: close")
    }
}

/// A kept connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    pending: Vec<u8>,
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Target {
    /// Connects; the server name of TLS is `host`.
    pub fn connect(&self, host: &str) -> Result<Connection, String> {
        let open = || -> io::Result<Box<dyn Stream>> {
            if let Some(tls) = &self.tls {
                return Ok(Box::new(tls.connect(self.address, Some(host))?.stream));
            }
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        };
        let stream = open().map_err(|error| format!("connect: {error}"))?;
        Ok(Connection {
            stream,
            pending: Vec::new(),
        })
    }

    /// One request on a connection of its own.
    pub fn get(&self, host: &str, path: &str) -> Result<Answer, String> {
        self.connect(host)?.get(host, path)
    }
}

impl Connection {
    pub fn get(&mut self, host: &str, path: &str) -> Result<Answer, String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let sent = self
            .stream
            .write_all(request.as_bytes())
            .and_then(|()| self.stream.flush());
        sent.map_err(|error| format!("send: {error}"))?;
        let end = loop {
            match self.pending.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.fill()?,
            }
        };
        let head = String::from_utf8_lossy(&self.pending[..end]).into_owned();
        let (status, length) = understood(&head).ok_or_else(|| format!("not understood: {head}"))?;
        while self.pending.len() < end + length {
            self.fill()?;
        }
        let body = String::from_utf8_lossy(&self.pending[end..end + length]).into_owned();
        self.pending.drain(..end + length);
        let dated = |line: &&str| !line.to_ascii_lowercase().starts_with("date:");
        Ok(Answer {
            status,
            head: head.lines().filter(dated).collect::<Vec<_>>().join("\n"),
            body,
        })
    }

    fn fill(&mut self) -> Result<(), String> {
        let mut buffer = [0; 8 * 1024];
        let pending = self.pending.len();
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(format!("closed after {pending} bytes")),
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) => Err(format!("receive: {error} after {pending} bytes")),
        }
    }
}

/// Status and length of the body. Nothing here answers in chunks.
fn understood(head: &str) -> Option<(u16, usize)> {
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    Some((status, length.parse().ok()?))
}
