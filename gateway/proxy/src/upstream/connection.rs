//! One HTTP/2 connection to a backend, which carries requests of many clients.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong};
use http::Request;
use tokio::sync::Notify;

use super::connect::ConnectError;
use crate::stream::http2::{
    BACKEND_WINDOW, BURDEN, Followed, Http2Stream, Inbox, Outbox, Piece, RESET_STREAMS, ROOM, SEND_BUFFER,
};
use crate::stream::socket::Socket;
use crate::worker::memory::{HTTP2, Memory};

/// Concurrent requests on one connection, if the backend allows as many: with more, one lost packet stalls too many.
pub(super) const STREAMS: usize = 100;

/// Bytes that a backend may send ahead on one connection. Its streams belong to different clients: however many of them
/// read slowly, the others' answers must have room.
const CONNECTION_WINDOW: u32 = BACKEND_WINDOW * 100;

/// Bytes of a response's fields; the exchange's own limit is lower or the same. The library ends the connection if a block
/// exceeds this by far.
const HEADER_LIST: usize = 256 * 1024;

/// Bytes of requests that may wait to be sent on one connection.
const UNSENT: usize = 1024 * 1024;

/// How often a backend gets a PING while requests are under way, and how long it may take to answer.
const PING: Duration = Duration::from_secs(30);

/// A connection, for whoever opens a stream on it.
pub(super) struct Connection {
    sender: SendRequest<Piece>,
    pub(super) state: Rc<State>,
}

/// What a connection and the requests on it share.
pub(super) struct State {
    pub(super) streams: Cell<usize>,
    pub(super) closed: Cell<bool>,
    /// It has carried a response: if it breaks now, it may just have been old.
    pub(super) proved: Cell<bool>,
    /// Its end has been counted against the endpoint, once for all its requests.
    pub(super) blamed: Cell<bool>,
    pub(super) idle_since: Cell<Instant>,
    /// Requests that the backend takes at once; `None` until it has said so.
    takes: Cell<Option<usize>>,
    inbox: Rc<Inbox>,
    outbox: Rc<Outbox>,
}

impl Connection {
    /// Speaks HTTP/2 on a socket, and waits until the backend has said how many requests it takes: it may refuse those that
    /// come before, and the library would keep one for which there is no place. If the backend says nothing within
    /// `timeout`, as many as usual may be sent. `changed` is called when there is more room on the connection, or when it
    /// has ended.
    pub(super) async fn start(
        socket: Socket,
        memory: &Rc<Memory>,
        timeout: Duration,
        changed: impl Fn() + 'static,
    ) -> Result<Self, ConnectError> {
        let inbox = Rc::new(Inbox::new(HEADER_LIST));
        let mut builder = Builder::new();
        builder
            .initial_window_size(BACKEND_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(ROOM * HEADER_LIST).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(BURDEN)
            .max_concurrent_reset_streams(RESET_STREAMS)
            .enable_push(false);
        let (sender, mut connection) = builder
            .handshake::<_, Piece>(Followed::new(socket, Rc::clone(&inbox)))
            .await
            .map_err(|error| ConnectError::Tcp(io::Error::other(error)))?;
        let state = Rc::new(State {
            streams: Cell::new(0),
            closed: Cell::new(false),
            proved: Cell::new(false),
            blamed: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            takes: Cell::new(None),
            inbox,
            outbox: Outbox::new(UNSENT, STREAMS, Rc::clone(memory), None),
        });
        let held = memory.charge(HTTP2);
        let pings = connection.ping_pong();
        let driven = Rc::clone(&state);
        let settled = Rc::new(Notify::new());
        let notified = Rc::clone(&settled);
        tokio::task::spawn_local(async move {
            let changed = || {
                notified.notify_one();
                changed();
            };
            drive(connection, pings, &driven, &changed).await;
            drop(held);
            driven.closed.set(true);
            changed();
        });
        let _elapsed = tokio::time::timeout(timeout, settled.notified()).await;
        if state.closed.get() {
            return Err(ConnectError::Closed);
        }
        Ok(Self { sender, state })
    }

    pub(super) fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            state: Rc::clone(&self.state),
        }
    }

    /// How many requests it carries at once.
    pub(super) fn most(&self) -> usize {
        self.state.takes.get().unwrap_or(STREAMS).min(STREAMS)
    }

    /// How many more requests it can carry now.
    pub(super) fn room(&self) -> usize {
        self.most().saturating_sub(self.state.streams.get())
    }

    /// Sends the head of a request. `None`: the connection is closing.
    pub(super) async fn open(self, request: &Request<()>, ends: bool) -> Option<Http2Stream> {
        let state = &self.state;
        let mut sender = self.sender.ready().await.ok().or_else(|| {
            state.closed.set(true);
            None
        })?;
        match sender.send_request(request.clone(), ends) {
            Ok((response, outgoing)) => {
                let inbox = Rc::clone(&state.inbox);
                Some(Http2Stream::client(
                    response,
                    outgoing,
                    ends,
                    inbox,
                    &state.outbox,
                ))
            }
            Err(_closing) => {
                state.closed.set(true);
                None
            }
        }
    }
}

/// Drives a connection until it closes or no longer answers.
async fn drive(
    mut connection: h2::client::Connection<Followed, Piece>,
    mut pings: Option<PingPong>,
    state: &State,
    changed: &impl Fn(),
) {
    let mut next = pin!(tokio::time::sleep(PING));
    let mut asked = false;
    poll_fn(|context| {
        if Pin::new(&mut connection).poll(context).is_ready() {
            return Poll::Ready(());
        }
        // The library has applied what has arrived.
        if state.inbox.has_settings() {
            let takes = Some(connection.max_concurrent_send_streams());
            if state.takes.replace(takes) < takes {
                changed();
            }
        }
        let Some(pings) = &mut pings else {
            return Poll::Pending;
        };
        if asked && pings.poll_pong(context).is_ready() {
            asked = false;
        }
        while next.as_mut().poll(context).is_ready() {
            if asked && state.streams.get() > 0 {
                return Poll::Ready(());
            }
            if state.streams.get() > 0 {
                asked = pings.send_ping(Ping::opaque()).is_ok();
                let _registers_the_waker = pings.poll_pong(context);
            }
            next.as_mut().reset(tokio::time::Instant::now() + PING);
        }
        Poll::Pending
    })
    .await;
}
