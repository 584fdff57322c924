//! One request and its response between two streams: both directions at once, in one task.
//!
//! ```text
//! client ──from_client──▶ upload ──to_upstream──▶ backend
//! client ◀──to_client── download ◀──from_upstream── backend
//! ```
//! The response may begin, and end, before the request body does; whatever then is not finished is not reused.

mod head;
pub(crate) mod relay;
pub(crate) mod tenure;
pub(crate) mod tunnel;

use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::ReadBuf;
use wire::ChunkError;

use crate::exchange::relay::{Relay, RelayError, WaitsFor};
use crate::exchange::tenure::Nature;
use crate::head::traits::RequestTraits;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::http2;
use crate::worker::Worker;
use crate::worker::buffers::Scratch;
use crate::worker::deadlines::Deadline;

/// Interim responses that one request may have; more are a flood.
const INTERIM: u8 = 16;

/// How long a client that waits for 100 waits at most. Many wait a second by themselves, and others for ever.
const CONTINUE: Duration = Duration::from_millis(100);

/// A request body that gives less than this within its timeout drips.
const DRIP_BYTES: u64 = 1024;

/// How long what is under way goes on without progress once one side has closed: most likely it is gone.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(30);

/// How long a stream that is meant to idle (server-sent events, an upgraded connection) may do so.
pub(crate) const STREAM_IDLE: Duration = Duration::from_secs(3600);

/// The timeouts of one exchange: the door's, or the route's where it has its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExchangeTimeouts {
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
    /// The backend has given the request up, and says of no error.
    pub(crate) cancelled: bool,
}

/// An exchange under way.
pub(crate) struct Exchange<'a> {
    pub(crate) client: &'a mut Stream,
    pub(crate) upstream: &'a mut Stream,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) upload: &'a mut Relay,
    pub(crate) deadline: &'a Deadline,
    pub(crate) worker: &'a Worker,
    pub(crate) settings: &'a Settings,
    pub(crate) timeouts: ExchangeTimeouts,
    pub(crate) traits: RequestTraits,
    /// The worker drains: the client is told to close.
    pub(crate) closing: bool,
    /// The response has no end of its own.
    lasting: bool,
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
    cancelled: bool,
    /// The response says that the backend failed.
    poor: bool,
    interims: u8,
    interim: Option<Relay>,
    /// The client has been told 100.
    continued: bool,
    download: Option<Relay>,
    /// Only the end of the client's connection ends the response.
    until_close: bool,
    keep: bool,
    status: u16,
    upgraded: bool,
    waits: Option<Waits>,
    /// `upload.moved()` when the deadline was last set.
    moved: u64,
    /// What is wrong with what the backend sends, in words.
    nonsense: Option<String>,
}

/// What the exchange waits for, and so which timeout runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Whether the backend wants the request's body.
    Continue,
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
        worker: &'a Worker,
        settings: &'a Settings,
        timeouts: ExchangeTimeouts,
        traits: RequestTraits,
        closing: bool,
    ) -> Self {
        let progress = Progress {
            continued: traits.continued,
            ..Progress::default()
        };
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
            worker,
            settings,
            timeouts,
            traits,
            closing,
            lasting: false,
            progress,
        }
    }

    /// The status of the final response, or 0 while nothing of it has left. From then on the client cannot be told
    /// otherwise.
    pub(crate) fn status(&self) -> u16 {
        if self.is_unsent() { 0 } else { self.progress.status }
    }

    /// How long it may go on once its route is gone.
    pub(crate) fn nature(&self) -> Nature {
        if self.lasting {
            Nature::Lasting
        } else {
            Nature::Request
        }
    }

    /// Gives up, because the route is gone or the gateway goes.
    pub(crate) fn cut(&self, refusal: Refusal) -> Failure {
        Failure {
            refusal,
            silent: false,
            unprocessed: false,
            cancelled: false,
        }
    }

    /// Whether the head of a final response has come, and nothing of it has been taken back.
    pub(crate) fn has_answered(&self) -> bool {
        self.progress.status != 0
    }

    /// Body bytes of the response that the client's side has taken so far.
    pub(crate) fn sent(&self) -> u64 {
        self.progress.download.as_ref().map_or(0, Relay::delivered)
    }

    /// Whether the client has been told 100.
    pub(crate) fn has_continued(&self) -> bool {
        self.progress.continued
    }

    /// Whether an orderly end of the client's connection would make what it has of the response look whole.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.progress.until_close
    }

    /// Not a byte of the final response has left. What HTTP/2 is given has.
    fn is_unsent(&self) -> bool {
        !self.client.is_http2() && self.progress.download.as_ref().is_none_or(Relay::is_unwritten)
    }

    /// What was wrong with what the backend sent, in words, if that is why the exchange failed.
    pub(crate) fn nonsense(&mut self) -> Option<String> {
        self.progress.nonsense.take()
    }

    /// Moves whatever can be moved.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Ended, Failure>> {
        // Behind a body of stated length nobody reads as far as the trailers.
        if let Stream::Http2(stream) = &mut *self.client
            && stream.refuses_trailers()
        {
            return Poll::Ready(Err(self.failure(Refusal::Trailers)));
        }
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

    /// The backend's answer is refused for this reason.
    fn malformed(&mut self, why: impl Into<String>) -> Refusal {
        self.progress.nonsense = Some(why.into());
        Refusal::UpstreamMalformed
    }

    fn failure(&self, refusal: Refusal) -> Failure {
        let silent = !self.progress.heard && matches!(refusal, Refusal::UpstreamReset);
        // The backend keeps the same deadline, and a moment may lie between its clock and ours.
        let refusal = match self.timeouts.until {
            Some(until) if refusal.may_be_a_deadline(until, Instant::now()) => Refusal::DeadlineExceeded,
            Some(_) | None => refusal,
        };
        Failure {
            refusal,
            silent,
            unprocessed: self.progress.unprocessed,
            cancelled: self.progress.cancelled,
        }
    }

    /// Whether the response says that the backend failed.
    pub(crate) fn is_poor(&self) -> bool {
        self.progress.poor
    }

    /// Body bytes taken from the client, unless all that it has to send has been sent.
    pub(crate) fn unsent(&self) -> Option<u64> {
        (!self.progress.upload_done).then(|| self.upload.moved())
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
            &self.worker.pipes,
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
            // What was read is whole and wrong; every other way to break off is the client's leaving.
            Poll::Ready(Err(RelayError::Read(error)))
                if error.kind() == io::ErrorKind::InvalidData && self.client.is_http2() =>
            {
                Err(Refusal::Trailers)
            }
            Poll::Ready(Err(RelayError::Read(_) | RelayError::Truncated)) => Err(Refusal::ClientGone),
            Poll::Ready(Err(RelayError::Chunk(error))) => Err(Refusal::Body(error)),
            Poll::Ready(Err(RelayError::TooLarge)) => Err(Refusal::BodyTooLarge),
            Poll::Ready(Err(RelayError::Trailers)) => Err(Refusal::TrailersTooLarge),
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
                    &self.worker.pipes
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
                    &self.worker.pipes,
                );
                return match ready!(moved) {
                    Ok(()) => Poll::Ready(Ok(self.ended())),
                    Err(RelayError::Write(_)) => Poll::Ready(Err(Refusal::ClientGone)),
                    Err(RelayError::Read(error)) => Poll::Ready(Err(match http2::reset_of(&error) {
                        Some(reason) => Refusal::UpstreamBrokeOff(reason),
                        None => Refusal::UpstreamTruncated,
                    })),
                    Err(RelayError::Trailers) => Poll::Ready(Err(Refusal::UpstreamTrailers)),
                    Err(RelayError::Truncated | RelayError::TooLarge) => {
                        Poll::Ready(Err(Refusal::UpstreamTruncated))
                    }
                    Err(RelayError::Chunk(error)) if self.may_send_the_rest(error) => continue,
                    Err(RelayError::Chunk(error)) => {
                        self.progress.nonsense = Some(error.explain());
                        Poll::Ready(Err(Refusal::UpstreamMalformed))
                    }
                };
            }
            ready!(self.poll_head(context))?;
        }
    }

    /// A malformed chunk: what came before it is still to be sent, unless nothing has left yet and the client can be
    /// told so.
    fn may_send_the_rest(&mut self, error: ChunkError) -> bool {
        if self.is_unsent() {
            (self.progress.download, self.progress.status) = (None, 0);
            self.scratch.to_client.clear();
            return false;
        }
        self.progress
            .download
            .as_mut()
            .is_some_and(|download| download.end_malformed(error))
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
    ///
    /// One that ends its direction counts as gone as long as the backend has something to do for it: nobody can tell it
    /// from one that has closed, and nearly all have. What is then ready for it, it may still read.
    fn watch_client(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        let reads_body = !self.upload.source_ended() && !self.progress.upload_broken;
        if reads_body || self.progress.client_ended || self.progress.upgraded {
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
                        let answered = self.progress.download.as_ref().is_some_and(Relay::source_ended);
                        self.progress.client_ended = answered;
                        return if answered {
                            Ok(())
                        } else {
                            Err(Refusal::ClientGone)
                        };
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
            waits == Waits::RequestBody && !self.traits.grpc && moved - self.progress.moved < DRIP_BYTES;
        if self.progress.waits != Some(waits) || (progressed && !drips) {
            self.progress.waits = Some(waits);
            self.progress.moved = moved;
            let patience = match waits {
                Waits::Continue => CONTINUE,
                Waits::RequestBody | Waits::UpstreamWrite => self.timeouts.body_idle,
                Waits::ResponseHead => self.timeouts.response_head,
                Waits::ResponseBody => self.timeouts.response_idle,
                Waits::ClientWrite => self.timeouts.write_stall,
            };
            let patience = if self.progress.client_ended {
                patience.min(HALF_CLOSED)
            } else {
                patience
            };
            let now = self.deadline.now();
            let left = self
                .timeouts
                .until
                .map(|until| until.saturating_duration_since(now));
            self.deadline
                .set_following(now, left.map_or(patience, |left| left.min(patience)));
        }
        if !self.deadline.has_passed(context) {
            return Poll::Pending;
        }
        let refusal = match waits {
            // Deadlines are kept in whole milliseconds.
            _ if self
                .timeouts
                .until
                .is_some_and(|until| until <= self.deadline.now() + Duration::from_millis(2)) =>
            {
                Refusal::DeadlineExceeded
            }
            Waits::Continue => match self.say_continue() {
                Ok(()) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(refusal) => refusal,
            },
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
            (None, None)
                if self.traits.expect_continue && !self.progress.continued && self.upload.moved() == 0 =>
            {
                Waits::Continue
            }
            (None, None) => Waits::RequestBody,
        }
    }
}
