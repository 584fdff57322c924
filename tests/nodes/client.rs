//! A client that returns what went wrong instead of failing the test: under load every failure counts.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gateway_tests::tls::TlsClient;

const PATIENCE: Duration = Duration::from_secs(20);
/// As load balancers do: a node that does not answer by then is unhealthy.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

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

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is no connection, or no handshake.
    Connect(String),
    /// Nothing has been answered.
    Unanswered(String),
    /// The connection broke after a status line had arrived.
    Broken(String),
    /// What arrived is no answer, or no end came.
    Garbled(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self {
            Self::Connect(why) => ("connect", why),
            Self::Unanswered(why) => ("unanswered", why),
            Self::Broken(why) => ("broken", why),
            Self::Garbled(why) => ("garbled", why),
        };
        write!(formatter, "{what}: {why}")
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
    pub fn connect(&self, host: &str) -> Result<Connection, Fault> {
        self.connect_within(host, PATIENCE)
    }

    fn connect_within(&self, host: &str, patience: Duration) -> Result<Connection, Fault> {
        let open = || -> io::Result<Box<dyn Stream>> {
            if let Some(tls) = &self.tls {
                let shaken = tls.connect_within(self.address, Some(host), patience)?;
                return Ok(Box::new(shaken.stream));
            }
            let stream = TcpStream::connect_timeout(&self.address, patience)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Ok(Box::new(stream))
        };
        let stream = open().map_err(|error| Fault::Connect(error.to_string()))?;
        Ok(Connection {
            stream,
            pending: Vec::new(),
        })
    }

    /// One request on a connection of its own.
    pub fn get(&self, host: &str, path: &str) -> Result<Answer, Fault> {
        self.connect(host)?.get(host, path)
    }

    /// Whether it reports itself healthy, in time.
    pub fn is_well(&self, host: &str) -> bool {
        let answer = self
            .connect_within(host, PROBE_PATIENCE)
            .and_then(|mut connection| connection.get(host, "/healthz"));
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

impl Connection {
    pub fn get(&mut self, host: &str, path: &str) -> Result<Answer, Fault> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let sent = self
            .stream
            .write_all(request.as_bytes())
            .and_then(|()| self.stream.flush());
        sent.map_err(|error| Fault::Unanswered(format!("send: {error}")))?;
        let end = loop {
            match self.pending.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.fill()?,
            }
        };
        let head = String::from_utf8_lossy(&self.pending[..end]).into_owned();
        let (status, length) = understood(&head).ok_or_else(|| Fault::Garbled(head.clone()))?;
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

    fn fill(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; 8 * 1024];
        let pending = self.pending.len();
        let why = match self.stream.read(&mut buffer) {
            Ok(0) => format!("closed after {pending} bytes"),
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            // Silence is no end.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(Fault::Garbled(format!("nothing more after {pending} bytes")));
            }
            Err(error) => format!("{error} after {pending} bytes"),
        };
        let has_status_line = self.pending.starts_with(b"HTTP/1.1 ") && self.pending.contains(&b'\n');
        Err(if has_status_line {
            Fault::Broken(why)
        } else {
            Fault::Unanswered(why)
        })
    }
}

/// Status and length of the body. Nothing here answers in chunks.
fn understood(head: &str) -> Option<(u16, usize)> {
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    Some((status, length.parse().ok()?))
}
