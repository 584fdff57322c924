//! A client of HTTP/2 over the `h2` crate: it says what it is told to, and keeps what it gets.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet};

/// How long a whole test may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test that needs many things at once, in one thread.
pub fn block<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new()
        .block_on(&runtime, async { tokio::time::timeout(PATIENCE, test).await })
        .expect("the test ends in time")
}

/// One connection.
pub struct Http2 {
    /// Opens streams.
    pub sender: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A response with everything that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers, if there were any.
    pub trailers: Option<HeaderMap>,
    /// The statuses of the interim responses before it.
    pub interims: Vec<u16>,
}

impl Answer {
    /// The value of a field, if there is exactly one of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(
            values.next().is_none(),
            "more than one {name} in {:?}",
            self.headers
        );
        first.to_str().ok()
    }

    /// A trailer.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.as_ref()?.get(name)?.to_str().ok()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Everything but the date.
    #[must_use]
    pub fn without_date(mut self) -> Self {
        self.headers.remove("date");
        self
    }
}

impl Http2 {
    /// Connects by prior knowledge.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::with(address, &Builder::new()).await
    }

    /// Connects by prior knowledge, with these settings.
    pub async fn with(address: SocketAddr, builder: &Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, builder).await
    }

    /// Connects by prior knowledge, and measures the connection all the time, as clients of gRPC do.
    pub async fn measuring(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, mut connection) = Builder::new().handshake::<_, Bytes>(stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        tokio::task::spawn_local(async move {
            while pings.ping(Ping::opaque()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let driver = tokio::task::spawn_local(connection);
        Self { sender, driver }
    }

    /// Speaks over a stream that is there already.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, builder: &Builder) -> Self {
        Self::try_over(stream, builder).await.unwrap()
    }

    /// As `over`, when that may fail.
    ///
    /// # Errors
    /// When the preface cannot be sent.
    pub async fn try_over(
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        builder: &Builder,
    ) -> Result<Self, h2::Error> {
        let (sender, connection) = builder.handshake::<_, Bytes>(stream).await?;
        let driver = tokio::task::spawn_local(connection);
        Ok(Self { sender, driver })
    }

    /// Waits for the end of the connection and says how it ended.
    ///
    /// # Errors
    /// When it did not end in order.
    pub async fn ended(self) -> Result<(), h2::Error> {
        drop(self.sender);
        self.driver.await.unwrap()
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.driver.is_finished()
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// When the connection takes no more.
    pub async fn open(
        &self,
        request: Request<()>,
        ends: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        sender.send_request(request, ends)
    }

    /// A GET with a host.
    pub async fn get(&self, host: &str, path: &str) -> Answer {
        self.exchange(request("GET", host, path), &[]).await
    }

    /// Sends a request and reads the answer.
    pub async fn exchange(&self, request: Request<()>, body: &[u8]) -> Answer {
        self.try_exchange(request, body, None).await.unwrap()
    }

    /// Sends a request with an optional body and trailers, and reads the answer.
    ///
    /// # Errors
    /// When the stream or the connection breaks.
    pub async fn try_exchange(
        &self,
        request: Request<()>,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Result<Answer, h2::Error> {
        let ends = body.is_empty() && trailers.is_none();
        let (response, outgoing) = self.open(request, ends).await?;
        let upload = async {
            if !ends {
                // An answer may come before the end of the body; then the rest is not wanted.
                let _unwanted = send(outgoing, body, trailers).await;
            }
        };
        let (answer, ()) = tokio::join!(receive(response), upload);
        answer
    }
}

/// A request as most tests send it.
#[must_use]
pub fn request(method: &str, host: &str, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri(format!("http://{host}{path}"))
        .body(())
        .unwrap()
}

/// As `request`, with fields.
#[must_use]
pub fn request_with(method: &str, host: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = request(method, host, path);
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

/// Trailers, or any fields.
#[must_use]
pub fn fields(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, value.parse().unwrap());
    }
    map
}

/// Sends a whole body, as fast as the windows allow.
///
/// # Errors
/// When the stream or the connection breaks.
pub async fn send(
    mut outgoing: SendStream<Bytes>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    let mut rest = body;
    while !rest.is_empty() {
        let sent = send_some(&mut outgoing, rest).await?;
        rest = &rest[sent..];
    }
    match trailers {
        Some(trailers) => outgoing.send_trailers(trailers),
        None => outgoing.send_data(Bytes::new(), true),
    }
}

/// Sends as much as the windows allow, and waits until that is something.
///
/// # Errors
/// When the stream or the connection breaks.
pub async fn send_some(outgoing: &mut SendStream<Bytes>, bytes: &[u8]) -> Result<usize, h2::Error> {
    outgoing.reserve_capacity(bytes.len().min(64 * 1024));
    let capacity = poll_fn(|context| outgoing.poll_capacity(context)).await;
    // Without an answer the stream is closed; sending says how.
    let count = capacity.transpose()?.unwrap_or(1).min(bytes.len());
    outgoing.send_data(Bytes::copy_from_slice(&bytes[..count]), false)?;
    Ok(count)
}

/// Reads a whole answer.
///
/// # Errors
/// When the stream or the connection breaks.
pub async fn receive(mut response: ResponseFuture) -> Result<Answer, h2::Error> {
    let mut interims = Vec::new();
    while let Some(interim) = poll_fn(|context| response.poll_informational(context)).await {
        interims.push(interim?.status().as_u16());
    }
    let (parts, mut incoming) = response.await?.into_parts();
    let body = receive_body(&mut incoming).await?;
    let trailers = incoming.trailers().await?;
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
        trailers,
        interims,
    })
}

/// Reads a body to its end, giving the window back as it goes.
///
/// # Errors
/// When the stream or the connection breaks.
pub async fn receive_body(incoming: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        incoming.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A response head without a body yet.
#[must_use]
pub fn response(status: u16, fields_: &[(&str, &str)]) -> Response<()> {
    let mut response = Response::builder().status(status).body(()).unwrap();
    *response.headers_mut() = fields(fields_);
    response
}
