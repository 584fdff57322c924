//! A request of the gateway's own: no client waits for it, and it contains no client's bytes.
//!
//! Its small answer is buffered completely.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use door::UpstreamProtocol;
use http::{HeaderName, HeaderValue, Method, Request, Response, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use wire::{BodyFraming, ChunkDecoder, ChunkLimits, ChunkStep, HeadLimits, ResponseHead, ResponseTo};

use super::connect::{ConnectError, dial};
use crate::stream::http2::{Http2Error, Http2Stream};
use crate::stream::socket::Socket;

/// The largest head of an answer.
const HEAD: HeadLimits = HeadLimits {
    bytes: 16 * 1024,
    fields: 100,
    target_bytes: 0,
};

/// Interim responses before the answer; more are a flood.
const INTERIM: usize = 16;

/// A connection to an endpoint, for one request, counted nowhere: that of a probe.
pub(super) struct Call {
    socket: Socket,
    is_http2: bool,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection ended before the first byte of an answer.
    #[error("the connection broke without an answer")]
    Silent(#[source] io::Error),
    /// The peer reset the request over HTTP/2.
    #[error("the request was given up: {0}")]
    GivenUp(h2::Reason),
    /// The peer has said that it did not process the request.
    #[error("the request was refused unprocessed")]
    Unprocessed,
    /// The connection ended before the answer did.
    #[error("the connection broke before the answer was complete")]
    Broken(#[source] io::Error),
    /// The same over HTTP/2, or the peer reset the request.
    #[error("the request or its connection was given up")]
    Http2(#[source] h2::Error),
    /// The answer is not HTTP.
    #[error("the answer is malformed")]
    Malformed,
    /// The answer is larger than the caller wants.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer is not complete in time.
    #[error("no complete answer in time")]
    Late,
}

impl Call {
    /// Connects to an endpoint, within `timeout` for TCP and again for TLS.
    pub(super) async fn connect(
        address: SocketAddr,
        protocol: &UpstreamProtocol,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        Ok(Self {
            socket: dial(address, protocol, timeout).await?,
            is_http2: match protocol {
                UpstreamProtocol::H2c => true,
                UpstreamProtocol::Tls(tls) => tls.h2,
                UpstreamProtocol::Http1 => false,
            },
        })
    }

    /// Sends the request and waits for the answer: whole, with at most `most` bytes of body, or only its head if `most` is
    /// `None`. The request's URI is absolute.
    pub(super) async fn send(
        self,
        request: Request<Bytes>,
        most: Option<usize>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, CallError> {
        let answer = async {
            if self.is_http2 {
                over_http2(self.socket, request, most).await
            } else {
                let (mut socket, begun) = (self.socket, Cell::new(false));
                let answer = over_http1(&mut socket, &request, most, Persistence::Ends, &begun).await;
                answer.map(|(answer, _)| answer)
            }
        };
        let answer = tokio::time::timeout(timeout, answer).await;
        answer.unwrap_or(Err(CallError::Late))
    }
}

/// Whether a connection may carry other requests afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    /// If the endpoint agrees.
    Lasts,
    /// It carries this request alone.
    Ends,
}

/// The answer, and whether the connection can carry another request. `begun` is set when the answer's head is there.
pub(super) async fn over_http1(
    socket: &mut Socket,
    request: &Request<Bytes>,
    most: Option<usize>,
    persistence: Persistence,
    begun: &Cell<bool>,
) -> Result<(Response<Bytes>, bool), CallError> {
    let text = as_http1(request, persistence);
    socket.write_all(&text).await.map_err(CallError::Silent)?;
    socket.flush().await.map_err(CallError::Silent)?;
    let kind = if request.method() == Method::HEAD {
        ResponseTo::Head
    } else {
        ResponseTo::Other
    };
    let (mut buffer, mut head, mut silent) = (Vec::new(), ResponseHead::new(), true);
    for _ in 0..=INTERIM {
        let length = loop {
            match head.parse(&buffer, &HEAD, kind) {
                Ok(Some(length)) => break length,
                Ok(None) => match more(socket, &mut buffer).await {
                    Err(CallError::Broken(error)) if silent && buffer.is_empty() => {
                        return Err(CallError::Silent(error));
                    }
                    read => read?,
                },
                Err(_) => return Err(CallError::Malformed),
            }
        };
        silent = false;
        match head.status {
            // The request did not ask for another protocol.
            101 => return Err(CallError::Malformed),
            100..=199 => drop(buffer.drain(..length)),
            _ => {
                begun.set(true);
                let parts = response(&head, &buffer)?;
                buffer.drain(..length);
                let (body, is_clean) = match most {
                    Some(most) => body(socket, buffer, head.framing, most).await?,
                    None => (Vec::new(), false),
                };
                return Ok((parts.map(|()| body.into()), is_clean && head.persistent()));
            }
        }
    }
    Err(CallError::Malformed)
}

/// The request as HTTP/1 text.
fn as_http1(request: &Request<Bytes>, persistence: Persistence) -> Vec<u8> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    let mut text = format!("{} {target} HTTP/1.1\r\nHost: {host}\r\n", request.method()).into_bytes();
    if persistence == Persistence::Ends {
        text.extend_from_slice(b"Connection: close\r\n");
    }
    for (name, value) in request.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    if !request.body().is_empty() {
        text.extend_from_slice(format!("Content-Length: {}\r\n", request.body().len()).as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(request.body());
    text
}

fn response(head: &ResponseHead, bytes: &[u8]) -> Result<Response<()>, CallError> {
    let mut response = Response::builder().status(head.status);
    if let Some(headers) = response.headers_mut() {
        for field in &head.fields {
            let name = HeaderName::from_bytes(field.name.of(bytes)).map_err(|_| CallError::Malformed)?;
            let value = HeaderValue::from_bytes(field.value.of(bytes)).map_err(|_| CallError::Malformed)?;
            headers.append(name, value);
        }
    }
    response.body(()).map_err(|_| CallError::Malformed)
}

/// The body whose beginning has been read, and whether the connection is where its next response begins: nothing follows.
pub(crate) async fn body(
    socket: &mut Socket,
    mut read: Vec<u8>,
    framing: BodyFraming,
    most: usize,
) -> Result<(Vec<u8>, bool), CallError> {
    match framing {
        BodyFraming::None => Ok((Vec::new(), read.is_empty())),
        BodyFraming::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > most {
                return Err(CallError::TooLarge);
            }
            while read.len() < length {
                more(socket, &mut read).await?;
            }
            let is_clean = read.len() == length;
            read.truncate(length);
            Ok((read, is_clean))
        }
        BodyFraming::UntilClose => loop {
            if read.len() > most {
                return Err(CallError::TooLarge);
            }
            if socket.read_buf(&mut read).await.map_err(CallError::Broken)? == 0 {
                return Ok((read, false));
            }
        },
        BodyFraming::Chunked => {
            let (mut decoder, mut body) = (ChunkDecoder::new(ChunkLimits::default()), Vec::new());
            decoder.read_white_space();
            loop {
                match decoder.decode(&read).map_err(|_| CallError::Malformed)? {
                    ChunkStep::NeedMore { consumed } => {
                        read.drain(..consumed);
                        more(socket, &mut read).await?;
                    }
                    ChunkStep::Data { skip, len } => {
                        body.extend_from_slice(read.get(skip..skip + len).unwrap_or_default());
                        read.drain(..skip + len);
                        if body.len() > most {
                            return Err(CallError::TooLarge);
                        }
                    }
                    ChunkStep::Done { consumed } => return Ok((body, consumed == read.len())),
                }
            }
        }
    }
}

/// Reads more bytes; the end of the stream is an error.
async fn more(socket: &mut Socket, into: &mut Vec<u8>) -> Result<(), CallError> {
    match socket.read_buf(into).await {
        Ok(0) => Err(CallError::Broken(io::ErrorKind::UnexpectedEof.into())),
        Ok(_) => Ok(()),
        Err(error) => Err(CallError::Broken(error)),
    }
}

/// The answer to a request whose head has been sent on a stream. `begun` is set when the answer's head is there.
pub(super) async fn over_stream(
    stream: &mut Http2Stream,
    content: &Bytes,
    most: usize,
    begun: &Cell<bool>,
) -> Result<Response<Bytes>, CallError> {
    let mut written = 0;
    while let Some(left) = content.get(written..).filter(|left| !left.is_empty()) {
        match poll_fn(|context| stream.poll_write(context, left)).await {
            Ok(count) => written += count,
            // What has come says why.
            Err(_broken) => break,
        }
    }
    if written == content.len() {
        let _what_has_come_says_why = stream.finish(None);
    }
    for _ in 0..=INTERIM {
        let head = poll_fn(|context| stream.poll_head(context)).await;
        let head = head.map_err(|error| match error {
            Http2Error::Unprocessed => CallError::Unprocessed,
            Http2Error::Reset(reason) => CallError::GivenUp(reason),
            Http2Error::Broken => CallError::Silent(io::ErrorKind::ConnectionReset.into()),
            Http2Error::Malformed => CallError::Malformed,
        })?;
        if head.status().is_informational() {
            continue;
        }
        let fields = head.headers();
        let bytes: usize = fields
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if bytes > HEAD.bytes || fields.len() > HEAD.fields {
            return Err(CallError::Malformed);
        }
        begun.set(true);
        let mut body = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let mut into = ReadBuf::new(&mut piece);
            let read = poll_fn(|context| stream.poll_read(context, &mut into)).await;
            read.map_err(CallError::Broken)?;
            if into.filled().is_empty() {
                return Ok(head.map(|()| body.into()));
            }
            body.extend_from_slice(into.filled());
            if body.len() > most {
                return Err(CallError::TooLarge);
            }
        }
    }
    Err(CallError::Malformed)
}

async fn over_http2(
    socket: Socket,
    request: Request<Bytes>,
    most: Option<usize>,
) -> Result<Response<Bytes>, CallError> {
    let mut builder = h2::client::Builder::new();
    // The library would keep a head of 16 MiB.
    builder
        .max_header_list_size(u32::try_from(HEAD.bytes).unwrap_or(u32::MAX))
        .enable_push(false);
    let (sender, connection) = builder.handshake(socket).await.map_err(CallError::Http2)?;
    let (mut connection, mut answer) = (pin!(connection), pin!(ask_http2(sender, request, most)));
    let mut is_over = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            // What has been received can still be read.
            _end = &mut connection, if !is_over => is_over = true,
        }
    }
}

async fn ask_http2(
    sender: h2::client::SendRequest<Bytes>,
    request: Request<Bytes>,
    most: Option<usize>,
) -> Result<Response<Bytes>, CallError> {
    let mut sender = sender.ready().await.map_err(CallError::Http2)?;
    let (mut parts, content) = request.into_parts();
    parts.version = Version::HTTP_2;
    let head = Request::from_parts(parts, ());
    let sent = sender.send_request(head, content.is_empty());
    let (response, mut outgoing) = sent.map_err(CallError::Http2)?;
    if !content.is_empty() {
        outgoing.send_data(content, true).map_err(CallError::Http2)?;
    }
    let (parts, mut incoming) = response.await.map_err(CallError::Http2)?.into_parts();
    let mut body = Vec::new();
    let Some(most) = most else {
        return Ok(Response::from_parts(parts, Bytes::new()));
    };
    while let Some(piece) = incoming.data().await {
        let piece = piece.map_err(CallError::Http2)?;
        body.extend_from_slice(&piece);
        if body.len() > most {
            return Err(CallError::TooLarge);
        }
        let released = incoming.flow_control().release_capacity(piece.len());
        released.map_err(CallError::Http2)?;
    }
    Ok(Response::from_parts(parts, body.into()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn request(address: SocketAddr, body: &'static str) -> Request<Bytes> {
        let request = Request::post(format!("http://{address}/ask?x")).header("x-mine", "1");
        request.body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(test)
    }

    /// Status and body of what a server that says `answer` and closes is taken to have answered.
    async fn ask(answer: &'static str) -> Result<(u16, String), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = async {
            let call = Call::connect(address, &UpstreamProtocol::Http1, SOON)
                .await
                .unwrap();
            call.send(request(address, "body"), Some(20), SOON).await
        };
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let mut length = 0;
            while !head[..length].ends_with(b"\r\n\r\nbody") {
                length += stream.read(&mut head[length..]).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(head[..length].to_vec()).unwrap()
        };
        let (answer, head) = tokio::join!(asked, served);
        assert_eq!(
            head,
            format!(
                "POST /ask?x HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nx-mine: 1\r\nContent-Length: 4\r\n\r\nbody"
            )
        );
        let answer = answer.map_err(|error| error.to_string())?;
        let body = String::from_utf8(answer.body().to_vec()).unwrap();
        Ok((answer.status().as_u16(), body))
    }

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let fine = |status, body: &str| Ok((status, body.to_owned()));
        let failed = |error: &CallError| Err(error.to_string());
        let broken = || failed(&CallError::Broken(io::ErrorKind::Other.into()));
        let table = [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                fine(200, "hello"),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more",
                fine(200, "hello"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
                fine(200, "hello"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0 \r\n\r\n",
                fine(200, "hello"),
            ),
            ("HTTP/1.0 404 Not Found\r\n\r\nnot here", fine(404, "not here")),
            ("HTTP/1.1 204 No Content\r\n\r\n", fine(204, "")),
            (
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
                fine(204, ""),
            ),
            (
                "HTTP/1.1 101 Switching Protocols\r\n\r\n",
                failed(&CallError::Malformed),
            ),
            ("SSH-2.0-OpenSSH\r\n", failed(&CallError::Malformed)),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n",
                failed(&CallError::TooLarge),
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\nuntil its end, and too long",
                failed(&CallError::TooLarge),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", broken()),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
                broken(),
            ),
            ("", failed(&CallError::Silent(io::ErrorKind::Other.into()))),
        ];
        run(async {
            for (answer, expected) in table {
                assert_eq!(ask(answer).await, expected, "{answer:?}");
            }
        });
    }

    #[test]
    fn a_head_that_is_too_large_is_no_answer_in_either_version() {
        run(async {
            let field = "a".repeat(60 * 1024);
            let large = format!("HTTP/1.1 200 OK\r\nX-Large: {field}\r\nContent-Length: 0\r\n\r\n");
            let answer = ask(Box::leak(large.into_boxed_str())).await;
            assert_eq!(answer, Err(CallError::Malformed.to_string()));

            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let asked = async {
                let call = Call::connect(address, &UpstreamProtocol::H2c, SOON)
                    .await
                    .unwrap();
                call.send(request(address, "body"), None, SOON).await
            };
            let served = async {
                let (stream, _) = listener.accept().await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let (request, mut respond) = connection.accept().await.unwrap().unwrap();
                let response = Response::builder().header("x-large", &field);
                // The server's own library may refuse to send what the client says it does not take.
                let _refused = respond.send_response(response.body(()).unwrap(), true);
                drop((request, respond));
                while connection.accept().await.is_some() {}
            };
            let (answer, ()) = tokio::join!(asked, served);
            assert!(matches!(answer, Err(CallError::Http2(_))), "{answer:?}");
        });
    }

    #[test]
    fn an_answer_comes_over_http2_too() {
        run(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let asked = async {
                let call = Call::connect(address, &UpstreamProtocol::H2c, SOON)
                    .await
                    .unwrap();
                call.send(request(address, "body"), Some(20), SOON).await.unwrap()
            };
            let served = async {
                let (stream, _) = listener.accept().await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let (request, mut respond) = connection.accept().await.unwrap().unwrap();
                assert_eq!(
                    (request.uri().path(), &request.headers()["x-mine"]),
                    ("/ask", &"1".parse().unwrap())
                );
                let mut stream = respond.send_response(Response::new(()), false).unwrap();
                stream.send_data(Bytes::from_static(b"hello"), true).unwrap();
                drop((request, respond, stream));
                // Until the caller closes.
                while connection.accept().await.is_some() {}
            };
            let (answer, ()) = tokio::join!(asked, served);
            assert_eq!(
                (answer.status().as_u16(), &answer.body()[..]),
                (200, &b"hello"[..])
            );
        });
    }
}
