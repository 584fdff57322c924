//! Whether an endpoint that was down answers again.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use door::UpstreamProtocol;
use http::header::USER_AGENT;
use http::{Method, Request, Uri};

use super::call::Call;
use super::connect::{ConnectError, connect};

/// How long connecting may take, and the answer after that.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The result of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// No connection can be established.
    Nobody,
    /// The endpoint accepts connections and does not answer on them.
    Silence,
    /// An answer, whatever its status; or a connection, if no request was sent.
    Answer,
}

/// Connects to an endpoint and, if it is known to speak HTTP, sends a request that every server may get: `OPTIONS *`, which
/// concerns the server as a whole and has no effect (RFC 9110 9.3.7). `protocol` is `None` if the protocol is unknown, as
/// for passed-through connections.
pub(super) async fn probe(address: SocketAddr, protocol: Option<&UpstreamProtocol>) -> Found {
    let Some(protocol) = protocol else {
        return match connect(address, TIMEOUT).await {
            Ok(_) => Found::Answer,
            Err(_) => Found::Nobody,
        };
    };
    let call = match Call::connect(address, protocol, TIMEOUT).await {
        Ok(call) => call,
        Err(ConnectError::Tcp(_)) => return Found::Nobody,
        Err(ConnectError::Tls(_) | ConnectError::Closed | ConnectError::Full) => return Found::Silence,
    };
    let Some(request) = request(address, protocol) else {
        return Found::Silence;
    };
    // The head is enough: a body may have no end.
    match call.send(request, None, TIMEOUT).await {
        Ok(_) => Found::Answer,
        Err(error) => {
            tracing::debug!(endpoint = %address, %error, "a probe was not answered");
            Found::Silence
        }
    }
}

fn request(address: SocketAddr, protocol: &UpstreamProtocol) -> Option<Request<Bytes>> {
    let scheme = match protocol {
        UpstreamProtocol::Http1 | UpstreamProtocol::H2c => "http",
        UpstreamProtocol::Tls(_) => "https",
    };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(address.to_string())
        .path_and_query("*")
        .build()
        .ok()?;
    let request = Request::builder().method(Method::OPTIONS).uri(uri);
    request.header(USER_AGENT, "blastdoor").body(Bytes::new()).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn what_is_not_known_to_speak_http_is_asked_for_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            assert_eq!(probe(address, None).await, Found::Answer);
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            assert_eq!(stream.read_to_end(&mut bytes).await.unwrap(), 0);
            drop(listener);
            assert_eq!(probe(address, None).await, Found::Nobody);
        });
    }

    #[test]
    fn only_an_answer_is_an_answer() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            for (answer, expected) in [
                (Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Found::Answer),
                (Some("HTTP/1.0 400 Bad Request\r\n\r\nWhat?"), Found::Answer),
                (Some("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"), Found::Answer),
                (Some("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx"), Found::Answer),
                (Some("nonsense\r\n\r\n"), Found::Silence),
                (Some(""), Found::Silence),
                (None, Found::Nobody),
            ] {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                let address = listener.local_addr().unwrap();
                let asked = RefCell::new(String::new());
                let served = async {
                    let Some(answer) = answer else {
                        return drop(listener);
                    };
                    let (mut stream, _) = listener.accept().await.unwrap();
                    while !asked.borrow().ends_with("\r\n\r\n") {
                        let byte = stream.read_u8().await.unwrap();
                        asked.borrow_mut().push(byte.into());
                    }
                    stream.write_all(answer.as_bytes()).await.unwrap();
                };
                let probed = async {
                    tokio::task::yield_now().await;
                    probe(address, Some(&UpstreamProtocol::Http1)).await
                };
                let ((), found) = tokio::join!(served, probed);
                assert_eq!(found, expected, "{answer:?}");
                let head = format!(
                    "OPTIONS * HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nuser-agent: blastdoor\r\n\r\n"
                );
                assert!(answer.is_none() || *asked.borrow() == head, "{asked:?}");
            }
        });
    }
}
