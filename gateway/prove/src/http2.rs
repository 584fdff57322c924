//! One shot over HTTP/2: streams of one connection, one after the other.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use crate::answer::{Answer, End, MOST_BYTES, Outcome};
use crate::connect::{Connection, Way};
use crate::tricks::Stream;

/// For the rest of a connection that is no longer needed.
const REST: Duration = Duration::from_millis(200);

/// Sends the streams and reads their answers. The end is that of the last stream.
pub(crate) async fn shoot(way: &Way<'_>, streams: &[Stream]) -> Outcome {
    let connection = match Connection::open(way).await {
        Ok(connection) => connection,
        Err(end) => return Outcome::failed(end),
    };
    let mut outcome = Outcome {
        answers: Vec::new(),
        end: End::Closed,
        certificate: connection.certificate(),
        resumed: connection.is_resumed(),
    };
    if !connection.has_chosen_http2() {
        outcome.end = End::Handshake("the door does not choose HTTP/2".to_owned());
        return outcome;
    }
    let shaking = h2::client::handshake(connection);
    let (sender, driver) = match tokio::time::timeout(way.patience, shaking).await {
        Ok(Ok(ends)) => ends,
        Ok(Err(error)) => {
            outcome.end = reset(&error);
            return outcome;
        }
        Err(_) => {
            outcome.end = End::Timeout;
            return outcome;
        }
    };
    let mut driver = tokio::task::spawn_local(driver);
    for stream in streams {
        let deadline = Instant::now() + way.patience;
        match timeout_at(deadline, exchange(&sender, stream)).await {
            Ok(Ok((mut answer, incoming))) => {
                // An application may stream for ever: what has come by then is its answer.
                let reading = timeout_at(deadline, read(incoming, &mut answer.body)).await;
                outcome.answers.push(answer);
                outcome.end = match reading {
                    Ok(Ok(())) => End::Closed,
                    Ok(Err(error)) => reset(&error),
                    Err(_) => End::Quiet,
                };
            }
            Ok(Err(error)) => {
                outcome.end = reset(&error);
                break;
            }
            Err(_) => {
                outcome.end = End::Timeout;
                break;
            }
        }
    }
    // With the last handle, the connection ends in order.
    drop(sender);
    if tokio::time::timeout(REST, &mut driver).await.is_err() {
        driver.abort();
    }
    outcome
}

/// Asks, and waits for the head of the answer.
async fn exchange(sender: &SendRequest<Bytes>, stream: &Stream) -> Result<(Answer, RecvStream), h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (response, mut outgoing) = sender.send_request(stream.request.clone(), stream.body.is_none())?;
    if let Some(body) = &stream.body {
        // An answer may come before the end of the body; then the rest is not wanted.
        let _unwanted = outgoing.send_data(Bytes::copy_from_slice(body), true);
    }
    let (parts, incoming) = response.await?.into_parts();
    let answer = Answer {
        status: parts.status.as_u16(),
        fields: fields(&parts.headers),
        body: Vec::new(),
    };
    Ok((answer, incoming))
}

async fn read(mut incoming: RecvStream, body: &mut Vec<u8>) -> Result<(), h2::Error> {
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        incoming.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            break;
        }
    }
    Ok(())
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = headers.iter();
    fields
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

fn reset(error: &h2::Error) -> End {
    match error.reason() {
        Some(reason) => End::Reset(format!("{reason:?}")),
        None => End::Closed,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;

    use super::*;
    use crate::connect::Tls;
    use crate::plan::{Door, Http2, ProxyHeader};
    use crate::tricks::Opening;

    /// Answers one connection, each request with a body that does not end.
    async fn stream_for_ever(listener: TcpListener) {
        let (socket, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(socket).await.unwrap();
        let mut bodies = Vec::new();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut body = respond.send_response(http::Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"first"), false).unwrap();
            bodies.push(body);
        }
    }

    #[tokio::test]
    async fn an_application_that_streams_has_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door {
            name: "outside".to_owned(),
            address,
            tls: false,
            http2: Http2::Yes,
            wants_certificate: false,
            proxy: ProxyHeader::Off,
            bind: address,
            own: None,
        };
        let way = Way {
            door: &door,
            patience: Duration::from_secs(2),
            writes_header: false,
            opening: Opening::Usual,
            forged: (address, ""),
            tls: &Tls::new(b"h2", None).unwrap(),
            server_name: None,
        };
        let stream = || Stream {
            request: http::Request::get("http://a.test/").body(()).unwrap(),
            body: None,
        };
        let tasks = LocalSet::new();
        tasks.spawn_local(stream_for_ever(listener));
        let outcome = tasks.run_until(shoot(&way, &[stream(), stream()])).await;
        let answers: Vec<(u16, &[u8])> = outcome
            .answers
            .iter()
            .map(|answer| (answer.status, &*answer.body))
            .collect();
        assert_eq!(answers, [(200, b"first".as_slice()); 2]);
        assert_eq!(outcome.end, End::Quiet);
    }
}
