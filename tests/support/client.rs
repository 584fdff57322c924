//! A raw client: it sends exactly the given bytes and reads responses strictly.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::StreamOwned;
use rustls::client::ClientConnection;

/// How long a test waits for bytes before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub struct Client {
    stream: Transport,
    pending: Vec<u8>,
}

/// What carries the bytes.
enum Transport {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Transport {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A response as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Status line and fields, with the empty line.
    pub head: String,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Trailer lines of a chunked body.
    pub trailers: Vec<String>,
}

impl Response {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Everything but the date, for comparing bytes.
    #[must_use]
    pub fn without_date(&self) -> String {
        let head: Vec<&str> = self
            .head
            .lines()
            .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
            .collect();
        format!("{}\n{}", head.join("\n"), self.text())
    }
}

impl Client {
    /// Connects.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: Transport::Plain(stream),
            pending: Vec::new(),
        }
    }

    /// Speaks over a TLS session.
    #[must_use]
    pub fn over_tls(stream: StreamOwned<ClientConnection, TcpStream>) -> Self {
        Self {
            stream: Transport::Tls(Box::new(stream)),
            pending: Vec::new(),
        }
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.stream.tcp()
    }

    /// Sends bytes; an error is for the next read to show.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _broken = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends a request and reads the response.
    pub fn request(&mut self, bytes: impl AsRef<[u8]>) -> Option<Response> {
        let head_only = bytes.as_ref().starts_with(b"HEAD ");
        self.send(bytes);
        if head_only {
            self.response_to_head()
        } else {
            self.response()
        }
    }

    /// A GET with a host.
    pub fn get(&mut self, host: &str, path: &str) -> Option<Response> {
        self.request(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Reads a final response; `None` when the connection ended first.
    pub fn response(&mut self) -> Option<Response> {
        loop {
            let response = self.any_response(false)?;
            if response.status >= 200 || response.status == 101 {
                return Some(response);
            }
        }
    }

    /// Reads the response to HEAD.
    pub fn response_to_head(&mut self) -> Option<Response> {
        self.any_response(true)
    }

    /// Reads a response, interim ones included.
    pub fn any_response(&mut self, to_head: bool) -> Option<Response> {
        let head = self.read_until(b"\r\n\r\n")?;
        let head = String::from_utf8(head).unwrap();
        assert!(
            !head.replace("\r\n", "").contains(['\r', '\n']),
            "a bare CR or LF in {head:?}"
        );
        let status: u16 = head
            .strip_prefix("HTTP/1.1 ")
            .unwrap_or_else(|| panic!("no status line: {head:?}"))[..3]
            .parse()
            .unwrap();
        let mut response = Response {
            status,
            head,
            body: Vec::new(),
            trailers: Vec::new(),
        };
        if to_head || status < 200 || status == 204 || status == 304 {
            return Some(response);
        }
        if response.field("transfer-encoding").is_some() {
            assert_eq!(response.field("transfer-encoding"), Some("chunked"));
            assert_eq!(response.field("content-length"), None);
            loop {
                let line = self.line()?;
                let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
                if size == 0 {
                    break;
                }
                response.body.extend(self.take(size)?);
                assert_eq!(self.take(2)?, b"\r\n");
            }
            loop {
                let line = self.line()?;
                if line.is_empty() {
                    return Some(response);
                }
                response.trailers.push(line);
            }
        }
        response.body = match response
            .field("content-length")
            .map(|length| length.parse().unwrap())
        {
            Some(length) => self.take(length)?,
            None => self.rest(),
        };
        Some(response)
    }

    /// One line without its CRLF.
    pub fn line(&mut self) -> Option<String> {
        let line = self.read_until(b"\r\n")?;
        Some(String::from_utf8(line[..line.len() - 2].to_vec()).unwrap())
    }

    /// Exactly this many bytes.
    pub fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.pending.len() < count {
            self.fill()?;
        }
        let rest = self.pending.split_off(count);
        Some(std::mem::replace(&mut self.pending, rest))
    }

    /// Everything until the end of the stream.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill().is_some() {}
        std::mem::take(&mut self.pending)
    }

    /// Whether the other side closes without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.pending.is_empty() && self.fill().is_none()
    }

    fn read_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.pending.windows(mark.len()).position(|window| window == mark) {
                return self.take(end + mark.len());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Option<()> {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => None,
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                Some(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                panic!("no byte within {PATIENCE:?}")
            }
            Err(_) => None,
        }
    }
}

/// One request on a connection of its own.
pub fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Response> {
    Client::connect(address).request(bytes)
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, host: &str, path: &str) -> Response {
    Client::connect(address).get(host, path).expect("an answer")
}
