//! Waiting for a connection to a backend for as long as the client waits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::stream::http2::Http2Stream;
use crate::upstream::{Asker, ConnectError, Endpoint, InStream};
use crate::worker::deadlines::Deadline;
use crate::worker::{Phase, Worker};

/// How often the client's socket is checked meanwhile: nothing is read from it yet, so no event reports that the client
/// has left.
const LOOK: Duration = Duration::from_millis(100);

/// What carries one request to an endpoint.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    /// It has carried requests before.
    pub(crate) kept: bool,
    /// The request's place on a shared connection.
    pub(crate) place: Option<InStream>,
}

/// The result of `connecting`, unless the client leaves first, the worker ends, or `until` is reached.
pub(crate) async fn while_wanted<T>(
    client: &mut Stream,
    deadline: &Deadline,
    worker: &Worker,
    until: Option<Instant>,
    connecting: impl Future<Output = T>,
) -> Result<T, Refusal> {
    let mut connecting = pin!(connecting);
    let mut armed = false;
    poll_fn(|context| {
        if let Poll::Ready(outcome) = connecting.as_mut().poll(context) {
            return Poll::Ready(Ok(outcome));
        }
        if worker.phase() == Phase::Ended {
            return Poll::Ready(Err(Refusal::Drained));
        }
        loop {
            let now = deadline.now();
            if !std::mem::replace(&mut armed, true) {
                deadline.set_from(now, LOOK);
            }
            let is_due = deadline.has_passed(context);
            // A client gets no heads, so there are never too many of them.
            let _never_too_many = client.stall(context, is_due);
            if until.is_some_and(|until| until <= now) {
                return Poll::Ready(Err(Refusal::DeadlineExceeded));
            }
            if (is_due || client.is_http2()) && client.has_left(context) {
                return Poll::Ready(Err(Refusal::ClientGone));
            }
            if !is_due {
                return Poll::Pending;
            }
            armed = false;
        }
    })
    .await
}

/// A new connection, or a place for `message` on a shared one.
pub(crate) async fn connect(
    endpoint: &Rc<Endpoint>,
    message: Option<http::Request<()>>,
    ends: bool,
    asker: Asker,
    timeout: Duration,
) -> Result<Opened, ConnectError> {
    let (stream, place) = match message {
        None => (Stream::Socket(endpoint.connect(timeout).await?), None),
        Some(message) => {
            let (stream, place): (Http2Stream, InStream) =
                Box::pin(endpoint.open_stream(message, ends, asker, timeout)).await?;
            (Stream::Http2(Box::new(stream)), Some(place))
        }
    };
    Ok(Opened {
        stream,
        kept: false,
        place,
    })
}
