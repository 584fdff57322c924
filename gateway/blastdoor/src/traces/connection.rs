//! The connection to a collector: OTLP over gRPC, or as Protocol Buffers over HTTP/1.1.
//!
//! gRPC is one request over HTTP/2 with a prefix of five bytes, and a status in the trailers
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::fmt::Display;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use hyper::http::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use trace::export::Accepted;

use crate::config::{Collector, CollectorProtocol};

/// The method of the service that takes spans.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The most bytes that an answer may have.
const ANSWER: usize = 64 * 1024;

/// The prefix of a message of gRPC: not compressed, and its length.
const PREFIX: usize = 5;

/// Why spans were not taken.
#[derive(Debug)]
pub(super) struct Unsent {
    pub(super) reason: String,
    /// Another try would change nothing.
    pub(super) is_final: bool,
}

impl Unsent {
    pub(super) fn later(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_final: false,
        }
    }

    pub(super) fn never(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            is_final: true,
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

enum Open {
    Grpc(http2::SendRequest<Full<Bytes>>),
    Http(http1::SendRequest<Full<Bytes>>),
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
        let open = self.open().await?;
        let is_grpc = matches!(open, Open::Grpc(_));
        let request = self.request(message, headers, is_grpc)?;
        let Some(open) = &mut self.open else {
            return Err(Unsent::later("no connection"));
        };
        let response = match open {
            Open::Grpc(sender) => sender.send_request(request).await,
            Open::Http(sender) => sender.send_request(request).await,
        };
        let response = response.map_err(|error| broken(Box::new(error)))?;
        if is_grpc {
            grpc_answer(response).await
        } else {
            http_answer(response).await
        }
    }

    fn request(
        &self,
        message: Vec<u8>,
        headers: &[(HeaderName, HeaderValue)],
        is_grpc: bool,
    ) -> Result<Request<Full<Bytes>>, Unsent> {
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
        Ok(request.map(|()| Full::new(Bytes::from(body))))
    }

    /// The connection, which works as far as is known.
    async fn open(&mut self) -> Result<&mut Open, Unsent> {
        let works = match &self.open {
            Some(Open::Grpc(sender)) => sender.is_ready(),
            Some(Open::Http(sender)) => sender.is_ready(),
            None => false,
        };
        if !works {
            self.open = None;
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
    let Some(tls) = tls else {
        return speak(stream, collector.protocol).await;
    };
    let name = ServerName::try_from(endpoint.host.to_string());
    let name = name.map_err(|error| Unsent::never(format!("{}: {error}", endpoint.host)))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    let stream = stream.map_err(|error| Unsent::broken("TLS")(Box::new(error)))?;
    speak(stream, collector.protocol).await
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: CollectorProtocol,
) -> Result<Open, Unsent> {
    let failed = Unsent::broken("cannot connect");
    let stream = TokioIo::new(stream);
    // How they end is seen with the next request.
    match protocol {
        CollectorProtocol::Grpc => {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
                .await
                .map_err(|error| failed(Box::new(error)))?;
            tokio::task::spawn_local(async { drop(connection.await) });
            Ok(Open::Grpc(sender))
        }
        CollectorProtocol::Http => {
            let (sender, connection) = http1::handshake(stream)
                .await
                .map_err(|error| failed(Box::new(error)))?;
            tokio::task::spawn_local(async { drop(connection.await) });
            Ok(Open::Http(sender))
        }
    }
}

fn prefixed(message: &[u8]) -> Result<Vec<u8>, Unsent> {
    let length = u32::try_from(message.len()).map_err(|error| Unsent::never(error.to_string()))?;
    Ok([&[0][..], &length.to_be_bytes(), message].concat())
}

async fn read(body: Incoming) -> Result<(Bytes, HeaderMap), Unsent> {
    let collected = Limited::new(body, ANSWER).collect().await;
    let collected = collected.map_err(|error| Unsent::later(format!("its answer: {error}")))?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok((collected.to_bytes(), trailers))
}

/// Statuses that say that another try may succeed (OTLP, "Failures").
fn may_be_retried(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn refused(status: StatusCode) -> Unsent {
    let reason = format!("it answers {status}");
    if may_be_retried(status) {
        Unsent::later(reason)
    } else {
        Unsent::never(reason)
    }
}

async fn http_answer(response: Response<Incoming>) -> Result<Accepted, Unsent> {
    let status = response.status();
    let (body, _) = read(response.into_body()).await?;
    if status.is_success() {
        Ok(Accepted::parse(&body))
    } else {
        Err(refused(status))
    }
}

async fn grpc_answer(response: Response<Incoming>) -> Result<Accepted, Unsent> {
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(refused(parts.status));
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
        // Those that OTLP calls retryable.
        Some(code @ (1 | 4 | 8 | 10 | 11 | 14 | 15)) => {
            Err(Unsent::later(format!("it answers gRPC status {code}: {message}")))
        }
        Some(code) => Err(Unsent::never(format!("it answers gRPC status {code}: {message}"))),
    }
}
