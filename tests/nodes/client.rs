//! A client that returns what went wrong instead of failing the test: under load every failure counts.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gateway_tests::tls::TlsClient;
use rustls::StreamOwned;
use socket2::{Domain, Socket, Type};

use crate::apps::App;
use crate::cluster::BALANCER;

const PATIENCE: Duration = Duration::from_secs(20);
/// As load balancers do: a target that does not answer by then is unhealthy.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// A door of a node or of a pod, and how the load balancer speaks to it.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// Where connections come from, unless the kernel may choose.
    pub source: Option<IpAddr>,
    /// What every connection begins with: a PROXY header.
    pub preface: Vec<u8>,
    /// Where the door ends TLS itself.
    pub tls: Option<Arc<TlsClient>>,
    /// Lines that every request has: what a load balancer knows of the client.
    pub fields: String,
    /// Who the client is, as the application must hear it.
    pub client: String,
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
    /// There is no connection.
    Connect(String),
    /// There is no handshake.
    Handshake(String),
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
            Self::Handshake(why) => ("handshake", why),
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
    fields: String,
    pending: Vec<u8>,
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Target {
    /// Plain HTTP, from here.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            source: None,
            preface: Vec::new(),
            tls: None,
            fields: String::new(),
            client: BALANCER.to_owned(),
        }
    }

    /// What an application hears of a request.
    pub fn told(&self, app: &App) -> [String; 3] {
        [
            format!("host: {}", app.host),
            format!("x-blastdoor-door: {}", app.door),
            format!("x-real-ip: {}", self.client),
        ]
    }

    /// Whether the right application has answered, and has heard through which door and of which client.
    pub fn is_answered(&self, app: &App, answer: &Answer) -> bool {
        let body = answer.body.to_ascii_lowercase();
        let hears = |line: &String| body.contains(&format!("\r\n{line}\r\n"));
        answer.status == 200
            && answer.body.starts_with(&format!("{} {}-", app.name, app.name))
            && self.told(app).iter().all(hears)
    }

    /// Connects; the server name of TLS is `host`.
    pub fn connect(&self, host: &str) -> Result<Connection, Fault> {
        self.connect_within(host, PATIENCE)
    }

    pub fn connect_within(&self, host: &str, patience: Duration) -> Result<Connection, Fault> {
        let stream = self
            .open(patience)
            .map_err(|error| Fault::Connect(error.to_string()))?;
        let stream = self
            .shaken(stream, host)
            .map_err(|error| Fault::Handshake(error.to_string()))?;
        Ok(Connection {
            stream,
            fields: self.fields.clone(),
            pending: Vec::new(),
        })
    }

    fn open(&self, patience: Duration) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect_timeout(&self.address.into(), patience)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(stream)
    }

    fn shaken(&self, mut stream: TcpStream, host: &str) -> io::Result<Box<dyn Stream>> {
        stream.write_all(&self.preface)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let mut shaken = StreamOwned::new(tls.session(Some(host)), stream);
        while shaken.conn.is_handshaking() {
            shaken.conn.complete_io(&mut shaken.sock)?;
        }
        Ok(Box::new(shaken))
    }

    /// One request on a connection of its own.
    pub fn get(&self, host: &str, path: &str) -> Result<Answer, Fault> {
        self.connect(host)?.get(host, path)
    }
}

impl Connection {
    pub fn get(&mut self, host: &str, path: &str) -> Result<Answer, Fault> {
        let fields = &self.fields;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
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
