//! One request and its response between two streams: both directions at once, in one task.
//!
//! ```text
//! client ──from_client──▶ upload ──to_upstream──▶ backend
//! client ◀──to_client── download ◀──from_upstream── backend
//! ```
//! The response may begin, and end, before the request body does; whatever then is not finished is not reused.

use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::ReadBuf;
use wire::{BodyFraming, FieldId, HeadLimits, Method, RequestHead, ResponseTo, Version};

use crate::buffers::Scratch;
use crate::deadlines::Deadline;
use crate::emit::{self, Connection, Framing};
use crate::http2::{self, Http2Error};
use crate::refusal::Refusal;
use crate::relay::{Relay, RelayError, Sink, WaitsFor};
use crate::settings::Settings;
use crate::splice::Pipes;
use crate::stream::Stream;

/// Interim responses that one request may have; more are a flood.
const INTERIM: u8 = 16;

/// A request body that gives less than this within its timeout drips.
const DRIP_BYTES: u64 = 1024;

/// How long an exchange goes on without progress once one side has closed: most likely it is gone.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(30);

/// How long a stream that is meant to idle (server-sent events, an upgraded connection) may do so.
pub(crate) const STREAM_IDLE: Duration = Duration::from_secs(3600);

/// What the exchange must know of the request once its head has left the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) framing: BodyFraming,
    pub(crate) persistent: bool,
    pub(crate) te_trailers: bool,
    pub(crate) expect_continue: bool,
    /// The request asks for another protocol, and the gateway passes that on.
    pub(crate) upgrade: bool,
    /// A call that may stay open for long with little to say.
    pub(crate) grpc: bool,
}

/// The timeouts of one exchange: the door's, or the route's where it has its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) body_idle: Duration,
    pub(crate) write_stall: Duration,
    pub(crate) response_head: Duration,
    pub(crate) response_idle: Duration,
    /// When the whole exchange must have ended (gRPC's deadline).
    pub(crate) until: Option<Instant>,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a whole response.
    Answered {
        /// The backend's connection can carry another request.
        reuse: bool,
        /// The client's connection can.
        keep: bool,
    },
    /// With 101: the connection now belongs to another protocol.
    Upgraded,
}

/// An exchange that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) refusal: Refusal,
    /// The backend's connection broke before it said anything: on a reused one, most likely an idle timeout.
    pub(crate) silent: bool,
    /// The backend has said that it did not look at the request.
    pub(crate) unprocessed: bool,
}

/// An exchange under way.
pub(crate) struct Exchange<'a> {
    pub(crate) client: &'a mut Stream,
    pub(crate) upstream: &'a mut Stream,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) upload: &'a mut Relay,
    pub(crate) deadline: &'a Deadline,
    pub(crate) pipes: &'a Pipes,
    pub(crate) settings: &'a Settings,
    pub(crate) patience: Patience,
    pub(crate) asked: Asked,
    /// The worker drains: the client is told to close.
    pub(crate) closing: bool,
    progress: Progress,
}

/// How far the exchange has come.
#[derive(Default)]
struct Progress {
    upload_done: bool,
    /// The backend takes no more of the request; its answer may still be there to read.
    upload_broken: bool,
    client_ended: bool,
    heard: bool,
    unprocessed: bool,
    interims: u8,
    interim: Option<Relay>,
    download: Option<Relay>,
    keep: bool,
    status: u16,
    upgraded: bool,
    waits: Option<Waits>,
    /// `upload.moved()` when the deadline was last set.
    moved: u64,
}

/// What the exchange waits for, and so which timeout runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    RequestBody,
    UpstreamWrite,
    ResponseHead,
    ResponseBody,
    ClientWrite,
}

impl<'a> Exchange<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of an exchange have different owners, and it borrows all of them"
    )]
    pub(crate) fn new(
        client: &'a mut Stream,
        upstream: &'a mut Stream,
        scratch: &'a mut Scratch,
        upload: &'a mut Relay,
        deadline: &'a Deadline,
        pipes: &'a Pipes,
        settings: &'a Settings,
        patience: Patience,
        asked: Asked,
        closing: bool,
    ) -> Self {
        let progress = Progress::default();
        // An earlier attempt may have left half a head.
        scratch.response.reset();
        // What another backend's connection has left is no part of this one's answer.
        scratch.from_upstream.clear();
        Self {
            client,
            upstream,
            scratch,
            upload,
            deadline,
            pipes,
            settings,
            patience,
            asked,
            closing,
            progress,
        }
    }

    /// The status of the final response, or 0 while there is none. From then on the client cannot be told otherwise.
    pub(crate) fn status(&self) -> u16 {
        self.progress.status
    }

    /// Body bytes of the response so far.
    pub(crate) fn sent(&self) -> u64 {
        self.progress.download.as_ref().map_or(0, Relay::moved)
    }

    /// Moves whatever can be moved.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Ended, Failure>> {
        let mut progressed = match self.poll_upload(context) {
            Ok(progressed) => progressed,
            Err(refusal) => return Poll::Ready(Err(self.failure(refusal))),
        };
        match self.poll_response(context) {
            Poll::Ready(Ok(ended)) => return Poll::Ready(Ok(ended)),
            Poll::Ready(Err(refusal)) => return Poll::Ready(Err(self.failure(refusal))),
            Poll::Pending => {}
        }
        if let Err(refusal) = self.watch_client(context) {
            return Poll::Ready(Err(self.failure(refusal)));
        }
        if let Some(download) = &mut self.progress.download {
            progressed |= download.take_progress();
        }
        self.poll_deadline(context, progressed)
    }

    fn failure(&self, refusal: Refusal) -> Failure {
        let silent = !self.progress.heard && matches!(refusal, Refusal::UpstreamReset);
        Failure {
            refusal,
            silent,
            unprocessed: self.progress.unprocessed,
        }
    }

    /// Moves the request. True when something moved.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Result<bool, Refusal> {
        if self.progress.upload_done || self.progress.upload_broken {
            return Ok(false);
        }
        let Scratch {
            from_client,
            to_upstream,
            ..
        } = &mut *self.scratch;
        match self.upload.poll(
            context,
            self.client,
            self.upstream,
            from_client,
            to_upstream,
            self.pipes,
        ) {
            Poll::Ready(Ok(())) => {
                self.progress.upload_done = true;
                Ok(true)
            }
            Poll::Pending => Ok(self.upload.take_progress()),
            Poll::Ready(Err(RelayError::Write(_))) => {
                // The backend may have answered and closed before reading everything.
                self.progress.upload_broken = true;
                Ok(true)
            }
            Poll::Ready(Err(RelayError::Read(_) | RelayError::Truncated)) => Err(Refusal::ClientGone),
            Poll::Ready(Err(RelayError::Chunk(error))) => Err(Refusal::Body(error)),
            Poll::Ready(Err(RelayError::TooLarge)) => Err(Refusal::BodyTooLarge),
        }
    }

    fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<Result<Ended, Refusal>> {
        loop {
            if let Some(interim) = &mut self.progress.interim {
                let Scratch {
                    from_upstream,
                    to_client,
                    ..
                } = &mut *self.scratch;
                ready!(interim.poll(
                    context,
                    self.upstream,
                    self.client,
                    from_upstream,
                    to_client,
                    self.pipes
                ))
                .map_err(|_broken| Refusal::ClientGone)?;
                to_client.clear();
                self.progress.interim = None;
            }
            if let Some(download) = &mut self.progress.download {
                let Scratch {
                    from_upstream,
                    to_client,
                    ..
                } = &mut *self.scratch;
                let moved = download.poll(
                    context,
                    self.upstream,
                    self.client,
                    from_upstream,
                    to_client,
                    self.pipes,
                );
                return match ready!(moved) {
                    Ok(()) => Poll::Ready(Ok(self.ended())),
                    Err(RelayError::Write(_)) => Poll::Ready(Err(Refusal::ClientGone)),
                    Err(RelayError::Read(_) | RelayError::Truncated | RelayError::TooLarge) => {
                        Poll::Ready(Err(Refusal::UpstreamTruncated))
                    }
                    Err(RelayError::Chunk(_)) => Poll::Ready(Err(Refusal::UpstreamTruncated)),
                };
            }
            ready!(self.poll_head(context))?;
        }
    }

    /// Reads the next response head and prepares what follows it.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let limits = HeadLimits {
            bytes: self.settings.limits.header_bytes,
            fields: self.settings.limits.headers,
            target_bytes: 0,
        };
        let request = if self.asked.method == Method::Head {
            ResponseTo::Head
        } else {
            ResponseTo::Other
        };
        loop {
            let Scratch {
                from_upstream,
                response,
                ..
            } = &mut *self.scratch;
            if !from_upstream.is_empty() {
                match response.parse(from_upstream.filled(), &limits, request) {
                    Ok(Some(length)) => return Poll::Ready(self.accept_head(length)),
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Err(Refusal::UpstreamMalformed)),
                }
            }
            let socket = match &mut *self.upstream {
                Stream::Http2(stream) => match ready!(stream.poll_head(context)) {
                    Ok(head) => {
                        self.progress.heard = true;
                        http2::write_response(&head.into_parts().0, from_upstream);
                        continue;
                    }
                    Err(error) => {
                        self.progress.unprocessed = error == Http2Error::Unprocessed;
                        return Poll::Ready(Err(match error {
                            Http2Error::Malformed => Refusal::UpstreamMalformed,
                            Http2Error::Unprocessed | Http2Error::Broken => Refusal::UpstreamReset,
                        }));
                    }
                },
                Stream::Socket(socket) => socket,
            };
            let mut room = ReadBuf::new(from_upstream.room(limits.bytes + 1));
            let read = ready!(socket.poll_read(context, &mut room));
            let count = room.filled().len();
            from_upstream.filled_by(count);
            match read {
                Ok(()) if count > 0 => self.progress.heard = true,
                // Bytes that never became a head are nonsense; none at all is a broken connection.
                Ok(()) if self.progress.heard => return Poll::Ready(Err(Refusal::UpstreamMalformed)),
                Ok(()) | Err(_) => return Poll::Ready(Err(Refusal::UpstreamReset)),
            }
        }
    }

    fn accept_head(&mut self, length: usize) -> Result<(), Refusal> {
        match self.scratch.response.status {
            101 if self.asked.upgrade && self.progress.upload_done => self.accept_upgrade(length),
            101 => Err(Refusal::UpstreamMalformed),
            100..=199 => self.accept_interim(length),
            _ => self.accept_final(length),
        }
    }

    fn accept_upgrade(&mut self, length: usize) -> Result<(), Refusal> {
        let Scratch {
            from_upstream,
            to_client,
            response,
            ..
        } = &mut *self.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        match &mut *self.client {
            // What HTTP/1 calls 101 is a 200 on a stream of HTTP/2 (RFC 8441 5).
            Stream::Http2(stream) => {
                let head = http2::response_of(head, response, 200, None).ok_or(Refusal::UpstreamMalformed)?;
                stream.respond(head, false).map_err(|_gone| Refusal::ClientGone)?;
            }
            Stream::Socket(_) => {
                let (framing, connection) = (Framing::None(None), Connection::Upgrade);
                emit::response(to_client, head, response, framing, connection, false);
            }
        }
        let sink = self.client_sink(Framing::UntilClose);
        self.begin_download(length, BodyFraming::None, sink);
        Ok(())
    }

    fn accept_interim(&mut self, length: usize) -> Result<(), Refusal> {
        self.progress.interims += 1;
        if self.progress.interims > INTERIM {
            return Err(Refusal::UpstreamMalformed);
        }
        let Scratch {
            from_upstream,
            to_client,
            response,
            ..
        } = &mut *self.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        // A client that did not ask for 100, or cannot read interim responses, is spared them.
        let wanted = response.status != 100 || self.asked.expect_continue;
        if wanted && self.asked.version == Version::Http11 {
            match &mut *self.client {
                Stream::Http2(stream) => {
                    let head = http2::response_of(head, response, response.status, None)
                        .ok_or(Refusal::UpstreamMalformed)?;
                    stream.inform(head).map_err(|_gone| Refusal::ClientGone)?;
                }
                Stream::Socket(_) => {
                    emit::interim(to_client, head, response);
                    self.progress.interim = Some(Relay::new(BodyFraming::None, Sink::Plain, 0, 0));
                }
            }
        }
        from_upstream.consume(length);
        Ok(())
    }

    fn accept_final(&mut self, length: usize) -> Result<(), Refusal> {
        let Scratch {
            from_upstream,
            to_client,
            response,
            ..
        } = &mut *self.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        let trailers = self.asked.te_trailers && self.asked.version == Version::Http11;
        let framing = emit::client_framing(response, self.asked.version);
        // A backend that will not read the rest of the request leaves bytes that no one can use.
        let unread = !self.upload.source_ended();
        let cut = unread && !response.persistent();
        // A client that waits for 100 and gets its answer may never send the body.
        let unasked = unread && self.asked.expect_continue && self.upload.moved() == 0;
        self.progress.keep =
            self.asked.persistent && !self.closing && framing != Framing::UntilClose && !cut && !unasked;
        match &mut *self.client {
            Stream::Http2(stream) => {
                let (stated, ends) = match framing {
                    Framing::None(stated) => (stated, true),
                    Framing::Length(length) => (Some(length), length == 0),
                    Framing::Chunked | Framing::UntilClose => (None, false),
                };
                // A stream that has ended already says so with its head, as gRPC's errors do.
                let ends = ends || self.upstream.has_ended();
                let head = http2::response_of(head, response, response.status, stated)
                    .ok_or(Refusal::UpstreamMalformed)?;
                stream.respond(head, ends).map_err(|_gone| Refusal::ClientGone)?;
            }
            Stream::Socket(_) => {
                let connection = match (self.progress.keep, self.asked.version) {
                    (true, Version::Http11) => Connection::Keep,
                    (true, Version::Http10) => Connection::KeepExplicitly,
                    (false, _) => Connection::Close,
                };
                emit::response(to_client, head, response, framing, connection, trailers);
            }
        }
        let is_event_stream = response.fields.iter().any(|field| {
            field.id == FieldId::ContentType
                && field
                    .value
                    .of(head)
                    .get(..17)
                    .is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
        });
        if is_event_stream {
            self.patience.response_idle = self.patience.response_idle.max(STREAM_IDLE);
        }
        let source = match (&*self.upstream, response.framing) {
            (_, BodyFraming::None) => BodyFraming::None,
            // The end of the stream counts; that it agrees with a stated length is checked where frames are read.
            (Stream::Http2(_), _) => BodyFraming::UntilClose,
            (Stream::Socket(_), framing) => framing,
        };
        let sink = self.client_sink(framing);
        self.begin_download(length, source, sink);
        Ok(())
    }

    fn client_sink(&self, framing: Framing) -> Sink {
        match (&*self.client, framing) {
            (Stream::Http2(_), _) => Sink::Frames,
            (Stream::Socket(_), Framing::Chunked) => Sink::Chunked {
                trailers: self.asked.te_trailers && self.asked.version == Version::Http11,
            },
            (Stream::Socket(_), Framing::None(_) | Framing::Length(_) | Framing::UntilClose) => Sink::Plain,
        }
    }

    /// The head is sent or on its way: from now on the client cannot be told otherwise.
    fn begin_download(&mut self, length: usize, source: BodyFraming, sink: Sink) {
        self.progress.upgraded = self.scratch.response.status == 101;
        self.progress.status = match &*self.client {
            Stream::Http2(_) if self.progress.upgraded => 200,
            Stream::Http2(_) | Stream::Socket(_) => self.scratch.response.status,
        };
        let trailer_bytes = self.settings.limits.header_bytes;
        let mut relay = Relay::new(source, sink, u64::MAX, trailer_bytes);
        if self.progress.upgraded {
            relay.leave_open();
        }
        self.progress.download = Some(relay);
        self.scratch.from_upstream.consume(length);
    }

    fn ended(&mut self) -> Ended {
        if self.progress.upgraded {
            return Ended::Upgraded;
        }
        let whole_request = self.progress.upload_done && !self.progress.upload_broken;
        Ended::Answered {
            // Bytes behind the response belong to nothing: such a connection is not to be trusted again.
            reuse: whole_request
                && self.scratch.response.persistent()
                && self.scratch.from_upstream.is_empty(),
            keep: whole_request && self.progress.keep && !self.progress.client_ended,
        }
    }

    /// Notices a client that goes away, and takes in what it sends ahead, up to a buffer.
    fn watch_client(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        if !self.upload.source_ended() || self.progress.client_ended {
            return Ok(());
        }
        let socket = match &mut *self.client {
            Stream::Socket(socket) => socket,
            Stream::Http2(stream) => {
                return match stream.poll_gone(context) {
                    Poll::Ready(()) => Err(Refusal::ClientGone),
                    Poll::Pending => Ok(()),
                };
            }
        };
        loop {
            let buffer = &mut self.scratch.from_client;
            let room = buffer.room(0);
            if room.is_empty() {
                return Ok(());
            }
            let mut room = ReadBuf::new(room);
            match socket.poll_read(context, &mut room) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(_)) => return Err(Refusal::ClientGone),
                Poll::Ready(Ok(())) => {
                    let count = room.filled().len();
                    if count == 0 {
                        // It may only have closed its sending side, and still wait for the answer.
                        self.progress.client_ended = true;
                        return Ok(());
                    }
                    buffer.filled_by(count);
                }
            }
        }
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>, progressed: bool) -> Poll<Result<Ended, Failure>> {
        let waits = self.waits();
        let moved = self.upload.moved();
        // A body that drips is not progress.
        let drips =
            waits == Waits::RequestBody && !self.asked.grpc && moved - self.progress.moved < DRIP_BYTES;
        if self.progress.waits != Some(waits) || (progressed && !drips) {
            self.progress.waits = Some(waits);
            self.progress.moved = moved;
            let patience = match waits {
                Waits::RequestBody | Waits::UpstreamWrite => self.patience.body_idle,
                Waits::ResponseHead => self.patience.response_head,
                Waits::ResponseBody => self.patience.response_idle,
                Waits::ClientWrite => self.patience.write_stall,
            };
            let patience = if self.progress.client_ended {
                patience.min(HALF_CLOSED)
            } else {
                patience
            };
            let now = Instant::now();
            let left = self
                .patience
                .until
                .map(|until| until.saturating_duration_since(now));
            self.deadline
                .set(now, left.map_or(patience, |left| left.min(patience)));
        }
        if !self.deadline.has_passed(context) {
            return Poll::Pending;
        }
        let refusal = match waits {
            // Deadlines are kept in whole milliseconds.
            _ if self
                .patience
                .until
                .is_some_and(|until| until <= Instant::now() + Duration::from_millis(2)) =>
            {
                Refusal::DeadlineExceeded
            }
            Waits::RequestBody => Refusal::BodyTimeout,
            Waits::ClientWrite => Refusal::ClientStalled,
            _ if self.progress.client_ended => Refusal::ClientGone,
            Waits::UpstreamWrite | Waits::ResponseBody => Refusal::UpstreamStalled,
            Waits::ResponseHead => Refusal::UpstreamTimeout,
        };
        Poll::Ready(Err(self.failure(refusal)))
    }

    fn waits(&self) -> Waits {
        match (&self.progress.download, &self.progress.interim) {
            (Some(download), _) if download.waits_for() == WaitsFor::Sink => Waits::ClientWrite,
            (Some(_), _) => Waits::ResponseBody,
            (None, Some(_)) => Waits::ClientWrite,
            (None, None) if self.progress.upload_done || self.progress.upload_broken => Waits::ResponseHead,
            (None, None) if self.upload.waits_for() == WaitsFor::Sink => Waits::UpstreamWrite,
            (None, None) => Waits::RequestBody,
        }
    }
}

impl Asked {
    pub(crate) fn of(request: &RequestHead, head: &[u8]) -> Self {
        // Only a bodiless request may change the protocol, and never to HTTP/2 in clear text, which would smuggle
        // streams past the routing table.
        let other_than_h2c = request
            .fields
            .iter()
            .filter(|field| field.id == FieldId::Upgrade)
            .all(|field| {
                let mut protocols = field.value.of(head).split(|byte| *byte == b',');
                protocols.all(|protocol| {
                    !protocol
                        .trim_ascii()
                        .get(..3)
                        .is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
                })
            });
        let bodiless = matches!(request.framing, BodyFraming::None | BodyFraming::Length(0));
        Self {
            grpc: is_grpc_request(request, head),
            method: request.method,
            version: request.version,
            framing: request.framing,
            persistent: request.persistent(),
            te_trailers: request.te_trailers,
            expect_continue: request.expect_continue,
            upgrade: request.upgrade && other_than_h2c && bodiless,
        }
    }
}

/// Whether a request is a gRPC call.
pub(crate) fn is_grpc_request(request: &RequestHead, head: &[u8]) -> bool {
    let mut fields = request.fields.iter();
    fields.any(|field| field.id == FieldId::ContentType && is_grpc(field.value.of(head)))
}

/// `application/grpc`, alone or with a message format (gRPC over HTTP/2, "Requests").
fn is_grpc(content_type: &[u8]) -> bool {
    let Some((kind, rest)) = content_type.split_at_checked(b"application/grpc".len()) else {
        return false;
    };
    kind.eq_ignore_ascii_case(b"application/grpc") && matches!(rest, [] | [b'+' | b';', ..])
}
