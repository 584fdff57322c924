//! One shot over HTTP/2: streams of one connection, one after the other.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::HeaderMap;

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
        match tokio::time::timeout(way.patience, exchange(&sender, stream)).await {
            Ok(Ok(answer)) => outcome.answers.push(answer),
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

async fn exchange(sender: &SendRequest<Bytes>, stream: &Stream) -> Result<Answer, h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (response, mut outgoing) = sender.send_request(stream.request.clone(), stream.body.is_none())?;
    if let Some(body) = &stream.body {
        // An answer may come before the end of the body; then the rest is not wanted.
        let _unwanted = outgoing.send_data(Bytes::copy_from_slice(body), true);
    }
    let (parts, mut incoming) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        incoming.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
        if body.len() > MOST_BYTES {
            break;
        }
    }
    Ok(Answer {
        status: parts.status.as_u16(),
        fields: fields(&parts.headers),
        body,
    })
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
