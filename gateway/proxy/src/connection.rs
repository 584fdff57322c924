//! One client connection: idle, then a request, then idle again.
//!
//! While idle a connection holds its socket and one deadline, and no buffers. The state of a request lives in a
//! box of its own, so that it does not weigh on idle connections.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use wire::{BodyFraming, HeadLimits, Method, RequestError, Version};

use crate::buffers::Scratch;
use crate::deadlines::Deadline;
use crate::emit::{Connection, OwnAnswer};
use crate::forward;
use crate::record::Record;
use crate::refusal::{Reason, Refusal};
use crate::settings::Settings;
use crate::worker::{Phase, Worker};

/// Requests after which a connection is closed, so that none lives for ever.
const REQUESTS: u32 = 10_000;

/// How much a client may still send while it is told that its connection closes, and for how long. Closing at once
/// would reset the connection, and with it the answer.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// A client's connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) peer: IpAddr,
    pub(crate) deadline: Deadline,
    pub(crate) worker: Rc<Worker>,
    requests: u32,
}

/// What becomes of the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It can carry another one.
    Keep,
    /// It is to be closed when the client has read everything.
    Close,
    /// It is broken or was told to go.
    Drop,
}

impl Client {
    pub(crate) fn new(stream: TcpStream, peer: IpAddr, worker: Rc<Worker>) -> Self {
        let deadline = worker.deadlines.register();
        Self {
            stream,
            peer,
            deadline,
            worker,
            requests: 0,
        }
    }

    /// Serves the connection until it ends.
    pub(crate) async fn serve(mut self) {
        while self.wait_for_request().await {
            let metrics = Arc::clone(&self.worker.metrics);
            metrics.connections_active.add(1);
            let next = Box::pin(self.serve_requests()).await;
            metrics.connections_active.subtract(1);
            match next {
                Next::Keep => {}
                Next::Close => {
                    Box::pin(self.linger()).await;
                    return;
                }
                Next::Drop => return,
            }
        }
    }

    /// Waits until there is something to read. False when the connection is to end instead.
    async fn wait_for_request(&mut self) -> bool {
        let settings = Arc::clone(self.worker.door.snapshot().settings());
        let patience = if self.requests == 0 {
            settings.timeouts.first_byte
        } else {
            settings.timeouts.idle
        };
        self.deadline.set(Instant::now(), patience);
        poll_fn(|context| match self.stream.poll_read_ready(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.is_ok()),
            Poll::Pending if self.worker.phase() == Phase::Closing => Poll::Ready(false),
            Poll::Pending if self.deadline.has_passed(context) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Serves requests as long as the client has sent the next one already.
    async fn serve_requests(&mut self) -> Next {
        let mut loan = self.worker.buffers.borrow();
        loop {
            let next = self.serve_request(loan.scratch()).await;
            let scratch = loan.scratch();
            scratch.to_client.clear();
            scratch.to_upstream.clear();
            if next != Next::Keep || scratch.from_client.is_empty() {
                return next;
            }
        }
    }

    async fn serve_request(&mut self, scratch: &mut Scratch) -> Next {
        let started = Instant::now();
        let settings = Arc::clone(self.worker.door.snapshot().settings());
        let mut record = Record::new(started);
        let length = match self.read_head(scratch, &settings, started).await {
            Ok(Some(length)) => length,
            Ok(None) => return Next::Drop,
            Err(refusal) => {
                let next = self.refuse(scratch, &refusal, &mut record, None).await;
                record.finish(&self.worker, self.peer);
                return next;
            }
        };
        self.requests += 1;
        let next = forward::answer(self, scratch, length, &mut record).await;
        record.finish(&self.worker, self.peer);
        next
    }

    /// Reads until the head is complete. `None` when the client closed before it began one.
    async fn read_head(
        &mut self,
        scratch: &mut Scratch,
        settings: &Settings,
        started: Instant,
    ) -> Result<Option<usize>, Refusal> {
        let limits = HeadLimits {
            bytes: settings.limits.header_bytes,
            fields: settings.limits.headers,
            target_bytes: settings.limits.uri_bytes,
        };
        let mut armed = false;
        scratch.request.reset();
        loop {
            if !scratch.from_client.is_empty() {
                match scratch.request.parse(scratch.from_client.filled(), &limits) {
                    Ok(Some(length)) => return Ok(Some(length)),
                    Ok(None) => {}
                    Err(error) => return Err(Refusal::Head(error)),
                }
                if !armed {
                    armed = true;
                    self.deadline.set(started, settings.timeouts.head);
                }
            }
            let buffer = &mut scratch.from_client;
            let (stream, deadline) = (&mut self.stream, &self.deadline);
            let count = poll_fn(|context| {
                let mut room = ReadBuf::new(buffer.room(limits.bytes + 1));
                match Pin::new(&mut *stream).poll_read(context, &mut room) {
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(room.filled().len())),
                    Poll::Ready(Err(_)) => Poll::Ready(Err(Refusal::ClientGone)),
                    Poll::Pending if armed && deadline.has_passed(context) => {
                        Poll::Ready(Err(Refusal::HeadTimeout))
                    }
                    // Readiness can be a false alarm: the connection is idle still.
                    Poll::Pending if !armed && deadline.has_passed(context) => Poll::Ready(Ok(0)),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            match count {
                Ok(0) | Err(Refusal::ClientGone) if buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(Refusal::ClientGone),
                Ok(count) => buffer.filled_by(count),
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Answers on the gateway's own behalf, if that is still possible, and says what becomes of the connection.
    pub(crate) async fn refuse(
        &mut self,
        scratch: &mut Scratch,
        refusal: &Refusal,
        record: &mut Record,
        location: Option<&[u8]>,
    ) -> Next {
        let verdict = refusal.verdict();
        record.refused(verdict);
        if verdict.reason == Reason::ClientGone {
            return Next::Drop;
        }
        let head_parsed = !matches!(refusal, Refusal::Head(_) | Refusal::HeadTimeout);
        let request = &scratch.request;
        let unread = head_parsed && !matches!(request.framing, BodyFraming::None | BodyFraming::Length(0));
        let keep = head_parsed && !verdict.close && !unread && request.persistent() && !self.is_closing();
        let connection = match (keep, request.version) {
            (false, _) => Connection::Close,
            (true, Version::Http10) => Connection::KeepExplicitly,
            (true, Version::Http11) => Connection::Keep,
        };
        let method = if head_parsed { request.method } else { Method::Get };
        let mut extra = Vec::new();
        if let Some(location) = location {
            extra.extend_from_slice(b"Location: ");
            extra.extend_from_slice(location);
            extra.extend_from_slice(b"\r\n");
        }
        match verdict.status {
            503 => extra.extend_from_slice(b"Retry-After: 1\r\n"),
            405 => extra.extend_from_slice(b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"),
            _ => {}
        }
        let date = self.worker.date();
        scratch.to_client.clear();
        crate::emit::own(
            &mut scratch.to_client,
            &OwnAnswer {
                status: verdict.status,
                method,
                date: &date,
                connection,
                extra: &extra,
            },
        );
        self.send(&scratch.to_client, keep).await
    }

    /// Writes a whole answer.
    pub(crate) async fn send(&mut self, bytes: &[u8], keep: bool) -> Next {
        let patience = self.worker.door.snapshot().settings().timeouts.write_stall;
        self.deadline.set(Instant::now(), patience);
        let (stream, deadline) = (&mut self.stream, &self.deadline);
        let mut rest = bytes;
        let sent = poll_fn(|context| {
            while !rest.is_empty() {
                match Pin::new(&mut *stream).poll_write(context, rest) {
                    Poll::Ready(Ok(count)) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending if deadline.has_passed(context) => return Poll::Ready(false),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(true)
        })
        .await;
        match (sent, keep) {
            (false, _) => Next::Drop,
            (true, true) => Next::Keep,
            (true, false) => Next::Close,
        }
    }

    /// Whether the client is to be told that its connection ends with this response.
    pub(crate) fn is_closing(&self) -> bool {
        self.worker.phase() != Phase::Serving || self.requests >= REQUESTS
    }

    /// Ends the sending side and reads on for a moment, so that the client gets to read the answer.
    async fn linger(&mut self) {
        if socket2::SockRef::from(&self.stream)
            .shutdown(std::net::Shutdown::Write)
            .is_err()
        {
            return;
        }
        self.deadline.set(Instant::now(), LINGER);
        let mut bytes = vec![0; 16 * 1024];
        let mut left = LINGER_BYTES;
        let (stream, deadline) = (&mut self.stream, &self.deadline);
        poll_fn(|context| {
            loop {
                let mut room = ReadBuf::new(&mut bytes);
                match Pin::new(&mut *stream).poll_read(context, &mut room) {
                    Poll::Ready(Ok(())) if !room.filled().is_empty() && left > 0 => {
                        left = left.saturating_sub(room.filled().len());
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if deadline.has_passed(context) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        Self::Head(error)
    }
}
