//! The connection to a collector: OTLP over gRPC, or as Protocol Buffers over HTTP/1.1.
//!
//! A collector may answer without taking what it was sent. The HTTP library would keep that for as long as the connection lasts, so
//! such a connection ends, with its socket: then all of its tasks end.
//!
//! gRPC is one request over HTTP/2 with a prefix of five bytes, and a status in the trailers
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::convert::Infallible;
use std::fmt::Display;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper::http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, TE, USER_AGENT};
use hyper::http::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use trace::export::Accepted;

use crate::config::{Collector, CollectorProtocol};

/// The method of the service that takes spans.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The most bytes that an answer may have.
const ANSWER: usize = 64 * 1024;

/// How long the text of an answer may take whose status says all.
const TEXT: Duration = Duration::from_secs(1);

/// A connection ends after so many answers: what one may hold has a bound, and a collector behind a load balancer gets its turn.
const ANSWERS: u32 = 64;

/// A message is given away in parts of so many bytes, as the collector takes them.
const PART: usize = 16 * 1024;

/// The longest that a collector may ask to wait.
const WAIT: Duration = Duration::from_secs(30);

/// The prefix of a message of gRPC: not compressed, and its length.
const PREFIX: usize = 5;

/// Why spans were not taken.
#[derive(Debug)]
pub(super) struct Unsent {
    pub(super) reason: String,
    /// Another try would change nothing.
    pub(super) is_final: bool,
    /// How long the collector asks to wait before that.
    pub(super) after: Duration,
}

impl Unsent {
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_final: false,
            after: Duration::ZERO,
        }
    }

    pub(super) fn never(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_final: true,
            after: Duration::ZERO,
        }
    }

    /// The connection, or making one, failed.
    fn broken(what: &str) -> impl Fn(Box<dyn Display>) -> Self {
        move |error| Self::later(format!("{what}: {error}"))
    }
}

/// The connection to a collector, made when it is needed.
pub(super) struct Connection {
    collector: Collector,
    tls: Option<Arc<ClientConfig>>,
    open: Option<Open>,
}

struct Open {
    sender: Sender,
    /// To shut it down.
    socket: std::net::TcpStream,
    answers: u32,
}

enum Sender {
    Grpc(http2::SendRequest<Message>),
    Http(http1::SendRequest<Message>),
}

impl Drop for Open {
    fn drop(&mut self) {
        // It may be closed already.
        let _closed = self.socket.shutdown(Shutdown::Both);
    }
}

/// A message on its way, which tells when all of it was given away.
struct Message {
    rest: Bytes,
    taken: Arc<AtomicBool>,
}

impl Body for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PART);
        let part = self.rest.split_to(length);
        if self.rest.is_empty() {
            self.taken.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

impl Connection {
    pub(super) fn new(collector: Collector, tls: Option<Arc<ClientConfig>>) -> Self {
        Self {
            collector,
            tls,
            open: None,
        }
    }

    /// The next request makes a new one.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Sends a message, and returns what the collector says of it.
    pub(super) async fn send(
        &mut self,
        message: Vec<u8>,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Accepted, Unsent> {
        let broken = Unsent::broken("the connection broke");
        let is_grpc = self.collector.protocol == CollectorProtocol::Grpc;
        let taken = Arc::new(AtomicBool::new(false));
        let request = self.request(message, headers, is_grpc)?.map(|rest| Message {
            rest,
            taken: Arc::clone(&taken),
        });
        let open = self.open().await?;
        let response = match &mut open.sender {
            Sender::Grpc(sender) => sender.send_request(request).await,
            Sender::Http(sender) => sender.send_request(request).await,
        };
        let response = response.map_err(|error| broken(Box::new(error)))?;
        open.answers += 1;
        let is_used_up = open.answers >= ANSWERS;
        let answer = if is_grpc {
            grpc_answer(response).await
        } else {
            http_answer(response).await
        };
        if is_used_up || !taken.load(Ordering::Relaxed) {
            self.close();
        }
        answer
    }

    fn request(
        &self,
        message: Vec<u8>,
        headers: &[(HeaderName, HeaderValue)],
        is_grpc: bool,
    ) -> Result<Request<Bytes>, Unsent> {
        let endpoint = &self.collector.endpoint;
        let scheme = if endpoint.tls { "https" } else { "http" };
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        let uri = if is_grpc {
            format!("{scheme}://{}{EXPORT}", endpoint.authority)
        } else {
            endpoint.path.to_string()
        };
        *request.uri_mut() = uri
            .parse()
            .map_err(|error| Unsent::never(format!("{uri}: {error}")))?;
        let fields = request.headers_mut();
        for (name, value) in headers {
            fields.append(name, value.clone());
        }
        let agent = concat!("blastdoor/", env!("CARGO_PKG_VERSION"));
        fields.insert(USER_AGENT, HeaderValue::from_static(agent));
        let body = if is_grpc {
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            fields.insert(TE, HeaderValue::from_static("trailers"));
            prefixed(&message)?
        } else {
            let host = HeaderValue::from_str(&endpoint.authority);
            fields.insert(HOST, host.map_err(|error| Unsent::never(error.to_string()))?);
            fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
            message
        };
        Ok(request.map(|()| Bytes::from(body)))
    }

    /// The connection, which works as far as is known.
    async fn open(&mut self) -> Result<&mut Open, Unsent> {
        let works = self.open.as_ref().is_some_and(|open| match &open.sender {
            Sender::Grpc(sender) => sender.is_ready(),
            Sender::Http(sender) => sender.is_ready(),
        });
        if !works {
            self.close();
        }
        match &mut self.open {
            Some(_) => {}
            none => *none = Some(connect(&self.collector, self.tls.as_ref()).await?),
        }
        self.open.as_mut().ok_or_else(|| Unsent::later("no connection"))
    }
}

async fn connect(collector: &Collector, tls: Option<&Arc<ClientConfig>>) -> Result<Open, Unsent> {
    let endpoint = &collector.endpoint;
    let failed = Unsent::broken("cannot connect");
    let address = (&*endpoint.host, endpoint.port);
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| failed(Box::new(error)))?;
    let _without = stream.set_nodelay(true);
    let socket = stream.as_fd().try_clone_to_owned();
    let socket = socket.map_err(|error| failed(Box::new(error)))?;
    let open = |sender| Open {
        sender,
        socket: socket.into(),
        answers: 0,
    };
    let Some(tls) = tls else {
        return speak(stream, collector.protocol).await.map(open);
    };
    let name = ServerName::try_from(endpoint.host.to_string());
    let name = name.map_err(|error| Unsent::never(format!("{}: {error}", endpoint.host)))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    let stream = stream.map_err(|error| Unsent::broken("TLS")(Box::new(error)))?;
    speak(stream, collector.protocol).await.map(open)
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: CollectorProtocol,
) -> Result<Sender, Unsent> {
    let failed = Unsent::broken("cannot connect");
    let stream = TokioIo::new(stream);
    // How they end is seen with the next request.
    match protocol {
        CollectorProtocol::Grpc => {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                .await
                .map_err(|error| failed(Box::new(error)))?;
            tokio::task::spawn_local(async { drop(connection.await) });
            Ok(Sender::Grpc(sender))
        }
        CollectorProtocol::Http => {
            let (sender, connection) = http1::handshake(stream)
                .await
                .map_err(|error| failed(Box::new(error)))?;
            tokio::task::spawn_local(async { drop(connection.await) });
            Ok(Sender::Http(sender))
        }
    }
}

fn prefixed(message: &[u8]) -> Result<Vec<u8>, Unsent> {
    let length = u32::try_from(message.len()).map_err(|error| Unsent::never(error.to_string()))?;
    Ok([&[0][..], &length.to_be_bytes(), message].concat())
}

/// The beginning of an answer's text, and its trailers. However long the text is, it ends well.
async fn read(mut body: Incoming) -> Result<(Vec<u8>, HeaderMap), Unsent> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Unsent::later(format!("its answer: {error}")))?;
        match frame.into_data() {
            Ok(part) => {
                let room = ANSWER - text.len();
                text.extend_from_slice(part.get(..room).unwrap_or(&part));
            }
            Err(frame) => return Ok((text, frame.into_trailers().unwrap_or_default())),
        }
    }
    Ok((text, HeaderMap::new()))
}

/// Statuses that say that another try may succeed (OTLP, "Failures").
fn may_be_retried(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn refused(status: StatusCode, fields: &HeaderMap) -> Unsent {
    let reason = format!("it answers {status}");
    if !may_be_retried(status) {
        return Unsent::never(reason);
    }
    // A date is not read: the usual pauses hold then.
    let seconds = fields
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    Unsent {
        after: seconds.map_or(Duration::ZERO, Duration::from_secs).min(WAIT),
        ..Unsent::later(reason)
    }
}

/// The status decides, whatever becomes of the text.
async fn http_answer(response: Response<Incoming>) -> Result<Accepted, Unsent> {
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        return Err(refused(parts.status, &parts.headers));
    }
    match timeout(TEXT, read(body)).await {
        Ok(Ok((text, _))) if text.len() < ANSWER => Ok(Accepted::parse(&text)),
        Ok(_) | Err(_) => Ok(Accepted::default()),
    }
}

/// Whether details of a status say that another try may succeed, and when.
fn says_when(details: &HeaderValue) -> bool {
    const RETRY: &[u8] = b"google.rpc.RetryInfo";
    let text = details.as_bytes().trim_ascii_end();
    let end = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let decoded = STANDARD_NO_PAD.decode(text.get(..end).unwrap_or_default());
    decoded.is_ok_and(|bytes| bytes.windows(RETRY.len()).any(|window| window == RETRY))
}

async fn grpc_answer(response: Response<Incoming>) -> Result<Accepted, Unsent> {
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(refused(parts.status, &parts.headers));
    }
    let (body, trailers) = read(body).await?;
    // Without a message the status comes with the head.
    let of = |name: &str| trailers.get(name).or_else(|| parts.headers.get(name));
    let code = of("grpc-status").and_then(|value| value.to_str().ok()?.parse::<u16>().ok());
    let message = of("grpc-message")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    match code {
        Some(0) => Ok(Accepted::parse(body.get(PREFIX..).unwrap_or_default())),
        None => Err(Unsent::later("its answer has no gRPC status")),
        // A quota that is used up, and not for a while only.
        Some(code @ 8) if !of("grpc-status-details-bin").is_some_and(says_when) => {
            Err(Unsent::never(format!("it answers gRPC status {code}: {message}")))
        }
        // Those that OTLP calls retryable.
        Some(code @ (1 | 4 | 8 | 10 | 11 | 14 | 15)) => {
            Err(Unsent::later(format!("it answers gRPC status {code}: {message}")))
        }
        Some(code) => Err(Unsent::never(format!("it answers gRPC status {code}: {message}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::thread::JoinHandle;

    use tokio::task::LocalSet;

    use super::*;
    use crate::config::{Endpoint, Headers};

    /// Somebody who takes one connection. Returns what that one makes of it.
    fn collector<T: Send + 'static>(
        answer: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (SocketAddr, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            answer(stream)
        });
        (address, thread)
    }

    fn connection(address: SocketAddr, protocol: CollectorProtocol) -> Connection {
        let endpoint = Endpoint {
            tls: false,
            host: "127.0.0.1".into(),
            port: address.port(),
            authority: address.to_string().into(),
            path: "/v1/traces".into(),
        };
        let collector = Collector {
            endpoint,
            protocol,
            headers: Headers(Vec::new()),
            headers_file: None,
            ca: None,
            timeout: Duration::from_secs(10),
            queue: 1,
            resource: Vec::new(),
        };
        Connection::new(collector, None)
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        LocalSet::new().block_on(&runtime.unwrap(), future)
    }

    /// Reads until the other side closes.
    fn read_to_end(mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer)? > 0 {}
        Ok(())
    }

    #[test]
    fn a_collector_that_answers_without_taking_anything_is_left() {
        let (address, thread) = collector(|mut stream| {
            // Settings, their acknowledgement, and a head that ends the stream: `:status: 200`, `grpc-status: 0`.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
            stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).unwrap();
            let mut seen = vec![0; 24 + 9];
            stream.read_exact(&mut seen).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            stream
                .write_all(&[0, 0, 16, 1, 5, 0, 0, 0, 1, 0x88, 0, 11])
                .unwrap();
            stream.write_all(b"grpc-status\x010").unwrap();
            read_to_end(stream).is_ok()
        });
        let mut connection = connection(address, CollectorProtocol::Grpc);
        let was_closed = block(async {
            let accepted = connection.send(vec![0; 500_000], &[]).await.unwrap();
            assert_eq!(accepted, Accepted::default());
            assert!(connection.open.is_none());
            tokio::task::spawn_blocking(|| thread.join().unwrap())
                .await
                .unwrap()
        });
        assert!(was_closed);
    }

    #[test]
    fn the_status_decides_however_long_the_text_is() {
        for (head, expected) in [
            ("200 OK", None),
            ("400 Bad Request", Some((true, 0))),
            ("503 Service Unavailable\r\nRetry-After: 7", Some((false, 7))),
            ("429 Too Many Requests\r\nRetry-After: 7000", Some((false, 30))),
        ] {
            let (address, thread) = collector(move |mut stream| {
                let mut seen = [0; 4096];
                assert!(stream.read(&mut seen).unwrap() > 0);
                let head = format!("HTTP/1.1 {head}\r\nContent-Length: 1000000\r\n\r\n");
                stream.write_all(head.as_bytes()).unwrap();
                // Whoever has seen the status may leave.
                let _left = stream.write_all(&[0; 1_000_000]);
            });
            let mut connection = connection(address, CollectorProtocol::Http);
            let found = block(connection.send(vec![0; 100], &[]));
            let found = found
                .err()
                .map(|unsent| (unsent.is_final, unsent.after.as_secs()));
            assert_eq!(found, expected, "{head}");
            drop(connection);
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_quota_is_worth_another_try_if_the_collector_says_when() {
        let says = |details| says_when(&HeaderValue::from_static(details));
        // type.googleapis.com/google.rpc.RetryInfo, in a `google.rpc.Status`.
        assert!(says(
            "GiwKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SAA=="
        ));
        assert!(!says("AAAA"));
        assert!(!says("?"));
    }
}
