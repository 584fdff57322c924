//! One request and its response between two streams: both directions at once, in one task.
//!
//! ```text
//! client ──from_client──▶ upload ──to_upstream──▶ backend
//! client ◀──to_client── download ◀──from_upstream── backend
//! ```
//! The response may begin, and end, before the request body does. A side that is not finished then is not reused.

mod cause;
mod deadline;
mod explain;
mod head;
mod progress;
pub(crate) mod relay;
pub(crate) mod tenure;
#[cfg(test)]
mod tests;
mod timer;
pub(crate) mod tunnel;

use std::borrow::Cow;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use wire::{BodyFraming, ChunkError, ResponseHead};

use crate::exchange::cause::Ending;
pub(crate) use crate::exchange::cause::{Cause, Setting};
use crate::exchange::progress::{Answer, AnswerEnd, Request, Response, Word};
use crate::exchange::relay::{Relay, RelayError, WaitsFor};
use crate::exchange::tenure::Nature;
use crate::exchange::timer::Timer;
use crate::head::draft::FieldEdits;
use crate::head::status::is_poor;
use crate::head::traits::RequestTraits;
use crate::refusal::Refusal;
use crate::settings::Limits;
use crate::stream::http2::reset_of;
use crate::stream::{Ahead, Stream};
use crate::worker::buffers::Scratch;
use crate::worker::date::DateClock;
use crate::worker::deadlines::Deadline;
use crate::worker::pipes::Pipes;

/// How long bytes under way may continue without progress once one side has closed: the other is most likely gone too.
pub(crate) const HALF_CLOSED: Duration = Duration::from_secs(30);

/// How long a stream may be silent that is meant to be (server-sent events, an upgraded connection).
pub(crate) const STREAM_IDLE: Duration = Duration::from_secs(3600);

/// The timeouts of one exchange: the door's, or the route's if it has its own.
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
    /// With a complete response.
    Answered {
        /// The backend's connection can carry another request.
        reuse: bool,
        /// The client's connection can.
        keep: bool,
    },
    /// With 101: the connection now belongs to another protocol.
    Upgraded,
    /// The head of a response has arrived in whose place something else may be sent. Nothing of it has been sent.
    Intercepted,
}

/// An exchange that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) refusal: Refusal,
    /// The backend's connection broke before it said anything: on a reused one, most likely an idle timeout.
    pub(crate) silent: bool,
    /// The backend has said that it did not process the request.
    pub(crate) unprocessed: bool,
    /// The backend has reset the request, without an error.
    pub(crate) cancelled: bool,
}

/// What an exchange works with: two sides, what is between them, and what the worker lends.
pub(crate) struct Parts<'a> {
    pub(crate) client: &'a mut Stream,
    pub(crate) upstream: &'a mut Stream,
    pub(crate) scratch: &'a mut Scratch,
    /// The body of the request.
    pub(crate) upload: &'a mut Relay,
    pub(crate) deadline: &'a Deadline,
    pub(crate) clock: &'a DateClock,
    pub(crate) pipes: &'a Pipes,
    pub(crate) limits: &'a Limits,
    /// What the final response, or a 101, passes through.
    pub(crate) filters: Option<&'a dyn ResponseFilters>,
}

/// Filters through which a response passes on its way to the client.
pub(crate) trait ResponseFilters {
    /// Whether something else may be sent in place of a response with this status.
    fn intercepts(&self, status: u16) -> bool;

    /// A final head has gone to the client: nothing is sent in its place any more.
    fn settled(&self);

    /// What they change in this head, which lies in `head`.
    fn edits(&self, response: &ResponseHead, head: &[u8]) -> Cow<'_, FieldEdits>;
}

/// An exchange under way.
pub(crate) struct Exchange<'a> {
    parts: Parts<'a>,
    timeouts: ExchangeTimeouts,
    traits: RequestTraits,
    /// The worker drains: the response asks the client to close.
    pub(crate) closing: bool,
    request: Request,
    response: Response,
    /// The client has got a 100.
    continued: bool,
    /// The client has ended its direction.
    client_ended: bool,
    /// The next head waits until there is room for it on the client's connection.
    client_full: bool,
    /// Something has arrived from the backend.
    heard: bool,
    /// What the backend has signalled about the request instead of a response.
    word: Option<Word>,
    interims: u8,
    /// When the head of the final response arrived.
    answered_at: Option<Instant>,
    /// Responses are intercepted as filters say.
    intercepts: bool,
    timer: Timer,
    /// How the backend's connection ended.
    ending: Ending,
    /// What is wrong with what the backend sent, as text.
    nonsense: Option<String>,
    /// Why the exchange failed.
    cause: Option<Cause>,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        parts: Parts<'a>,
        timeouts: ExchangeTimeouts,
        traits: RequestTraits,
        closing: bool,
    ) -> Self {
        // An earlier attempt may have left half a head.
        parts.scratch.response.reset();
        // Bytes left over from another backend's connection are not part of this one's answer.
        parts.scratch.from_upstream.clear();
        Self {
            parts,
            timeouts,
            traits,
            closing,
            request: Request::Sending,
            response: Response::Awaited,
            continued: traits.continued,
            client_ended: false,
            client_full: false,
            heard: false,
            word: None,
            interims: 0,
            answered_at: None,
            intercepts: true,
            timer: Timer::default(),
            ending: Ending::Closed,
            nonsense: None,
            cause: None,
        }
    }

    /// What the exchange works with.
    pub(crate) fn scratch(&self) -> &Scratch {
        self.parts.scratch
    }

    /// The status of the final response, or 0 if nothing of it has been sent. After that the client cannot get another
    /// answer.
    pub(crate) fn status(&self) -> u16 {
        match &self.response {
            Response::Final(answer) if !self.is_unsent() => answer.status,
            Response::Final(_) | Response::Interim(_) | Response::Awaited | Response::Held(_) => 0,
        }
    }

    /// How long it may continue once its route has been removed.
    pub(crate) fn nature(&self) -> Nature {
        match self.answer() {
            Some(answer) if answer.lasting => Nature::Lasting,
            Some(_) | None => Nature::Request,
        }
    }

    /// Aborts the exchange, because its route was removed or the gateway stops.
    pub(crate) fn cut(&self, refusal: Refusal) -> Failure {
        Failure {
            refusal,
            silent: false,
            unprocessed: false,
            cancelled: false,
        }
    }

    /// Whether the head of a final response has arrived, and was not taken back.
    pub(crate) fn has_answered(&self) -> bool {
        self.answer().is_some() || self.held().is_some()
    }

    /// When the head of the final response arrived.
    pub(crate) fn answered_at(&self) -> Option<Instant> {
        self.answered_at
    }

    /// The status of an intercepted response.
    pub(crate) fn held(&self) -> Option<u16> {
        matches!(self.response, Response::Held(_)).then_some(self.parts.scratch.response.status)
    }

    /// The intercepted response goes to the client after all.
    pub(crate) fn release(&mut self) -> Result<(), Failure> {
        self.intercepts = false;
        match self.response {
            Response::Held(length) => self.accept_final(length).map_err(|refusal| self.failure(refusal)),
            Response::Awaited | Response::Interim(_) | Response::Final(_) => Ok(()),
        }
    }

    /// What an intercepted response leaves on the connection of the backend: the length of its head, and how its body is
    /// framed. `None` if the connection can carry no other request.
    pub(crate) fn leftover(&self) -> Option<(usize, BodyFraming)> {
        let Response::Held(length) = self.response else {
            return None;
        };
        let response = &self.parts.scratch.response;
        (self.request == Request::Sent && response.persistent()).then_some((length, response.framing))
    }

    /// The client's side, while the response is held.
    pub(crate) fn client(&mut self) -> &mut Stream {
        self.parts.client
    }

    /// Whether the response says that the backend failed.
    pub(crate) fn is_poor(&self) -> bool {
        self.answer().is_some_and(|answer| answer.poor) || self.held().is_some_and(is_poor)
    }

    /// Body bytes of the response that the client's side has taken so far.
    pub(crate) fn sent(&self) -> u64 {
        self.answer().map_or(0, |answer| answer.download.delivered())
    }

    /// Body bytes taken from the client, unless all that it has to send has been sent.
    pub(crate) fn unsent(&self) -> Option<u64> {
        (self.request != Request::Sent).then(|| self.parts.upload.moved())
    }

    /// Whether the client has got a 100.
    pub(crate) fn has_continued(&self) -> bool {
        self.continued
    }

    /// Whether an orderly end of the client's connection would make an incomplete response look complete.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.answer()
            .is_some_and(|answer| answer.end == AnswerEnd::WithConnection)
    }

    /// Why it failed, as text, as far as more is known than what the refusal says.
    pub(crate) fn cause(&mut self) -> Option<Cause> {
        self.cause.take()
    }

    /// Moves whatever can be moved.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Ended, Failure>> {
        // After a body of stated length nothing reads as far as the trailers.
        if self.parts.client.refuses_trailers() {
            return Poll::Ready(Err(self.failure(Refusal::Trailers)));
        }
        if let Err(refusal) = self.poll_request(context) {
            return Poll::Ready(Err(self.failure(refusal)));
        }
        match self.poll_response(context) {
            Poll::Ready(Ok(ended)) => return Poll::Ready(Ok(ended)),
            Poll::Ready(Err(refusal)) => return Poll::Ready(Err(self.failure(refusal))),
            Poll::Pending => {}
        }
        if let Err(refusal) = self
            .watch_client(context)
            .and_then(|()| self.stall(context, false))
        {
            return Poll::Ready(Err(self.failure(refusal)));
        }
        match self.poll_deadline(context) {
            Poll::Ready(refusal) => Poll::Ready(Err(self.failure(refusal))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn answer(&self) -> Option<&Answer> {
        match &self.response {
            Response::Final(answer) => Some(answer),
            Response::Awaited | Response::Interim(_) | Response::Held(_) => None,
        }
    }

    /// No byte of the final response has been sent.
    fn is_unsent(&self) -> bool {
        self.parts.client.holds_heads_back()
            && self.answer().is_none_or(|answer| answer.download.is_unwritten())
    }

    /// The backend's answer is refused for this reason.
    fn malformed(&mut self, why: impl Into<String>) -> Refusal {
        self.nonsense = Some(why.into());
        Refusal::UpstreamMalformed
    }

    fn failure(&mut self, refusal: Refusal) -> Failure {
        let silent = !self.heard && matches!(refusal, Refusal::UpstreamReset);
        // The backend keeps the same deadline, and its clock may be a moment ahead.
        let refusal = match self.timeouts.until {
            Some(until) if refusal.may_be_a_deadline(until, self.parts.deadline.now()) => {
                Refusal::DeadlineExceeded
            }
            Some(_) | None => refusal,
        };
        self.cause = self.cause_of(&refusal);
        Failure {
            refusal,
            silent,
            unprocessed: self.word == Some(Word::Unprocessed),
            cancelled: self.word == Some(Word::Cancelled),
        }
    }

    /// Moves the request.
    fn poll_request(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        if self.request != Request::Sending {
            return Ok(());
        }
        let Parts {
            client,
            upstream,
            scratch,
            upload,
            pipes,
            ..
        } = &mut self.parts;
        let Scratch {
            from_client,
            to_upstream,
            ..
        } = &mut **scratch;
        match upload.poll(context, client, upstream, from_client, to_upstream, pipes) {
            Poll::Ready(Ok(())) => {
                self.request = Request::Sent;
                Ok(())
            }
            Poll::Pending => Ok(()),
            Poll::Ready(Err(RelayError::Write(_))) => {
                // The backend may have answered and closed before reading everything.
                self.request = Request::Broken;
                Ok(())
            }
            // What was read is complete and wrong; any other break means that the client has left.
            Poll::Ready(Err(RelayError::Read(_))) if client.refuses_trailers() => Err(Refusal::Trailers),
            Poll::Ready(Err(RelayError::Read(_) | RelayError::Truncated)) => Err(Refusal::ClientGone),
            Poll::Ready(Err(RelayError::Chunk(error))) => Err(Refusal::Body(error)),
            Poll::Ready(Err(RelayError::TooLarge)) => Err(Refusal::BodyTooLarge),
            Poll::Ready(Err(RelayError::Trailers)) => Err(Refusal::TrailersTooLarge),
        }
    }

    fn poll_response(&mut self, context: &mut Context<'_>) -> Poll<Result<Ended, Refusal>> {
        loop {
            let Parts {
                client,
                upstream,
                scratch,
                pipes,
                ..
            } = &mut self.parts;
            let Scratch {
                from_upstream,
                to_client,
                ..
            } = &mut **scratch;
            match &mut self.response {
                Response::Awaited => ready!(self.poll_head(context))?,
                Response::Held(_) => return Poll::Ready(Ok(Ended::Intercepted)),
                Response::Interim(relay) => {
                    ready!(relay.poll(context, upstream, client, from_upstream, to_client, pipes))
                        .map_err(|_broken| Refusal::ClientGone)?;
                    to_client.clear();
                    self.response = Response::Awaited;
                }
                Response::Final(Answer { download, .. }) => {
                    let moved = download.poll(context, upstream, client, from_upstream, to_client, pipes);
                    if moved.is_pending()
                        && let Some(filters) = self.parts.filters
                        && !self.is_unsent()
                    {
                        filters.settled();
                    }
                    return Poll::Ready(match ready!(moved) {
                        Ok(()) => Ok(self.ended()),
                        Err(RelayError::Chunk(error)) if self.may_send_the_rest(error) => continue,
                        Err(error) => Err(self.broken_off(error)),
                    });
                }
            }
        }
    }

    /// Why a final response is incomplete.
    fn broken_off(&mut self, error: RelayError) -> Refusal {
        match error {
            RelayError::Write(_) => Refusal::ClientGone,
            RelayError::Read(error) => match reset_of(&error) {
                Some(reason) => Refusal::UpstreamBrokeOff(reason),
                None => {
                    self.ending = Ending::of(&error);
                    Refusal::UpstreamTruncated
                }
            },
            RelayError::Trailers => Refusal::UpstreamTrailers,
            RelayError::Truncated | RelayError::TooLarge => Refusal::UpstreamTruncated,
            RelayError::Chunk(error) => self.malformed(error.explain()),
        }
    }

    /// A malformed chunk: what came before it must still be sent, unless nothing has been sent yet and the client can get a
    /// 502.
    fn may_send_the_rest(&mut self, error: ChunkError) -> bool {
        if self.is_unsent() {
            self.response = Response::Awaited;
            self.parts.scratch.to_client.clear();
            return false;
        }
        match &mut self.response {
            Response::Final(answer) => answer.download.end_malformed(error),
            Response::Awaited | Response::Interim(_) | Response::Held(_) => false,
        }
    }

    fn ended(&self) -> Ended {
        let (end, keep) = self
            .answer()
            .map_or((AnswerEnd::OfItsOwn, false), |answer| (answer.end, answer.keep));
        if end == AnswerEnd::Upgrade {
            return Ended::Upgraded;
        }
        let whole_request = self.request == Request::Sent;
        let scratch = &self.parts.scratch;
        Ended::Answered {
            // Bytes after the response belong to nothing: such a connection must not be reused.
            reuse: whole_request && scratch.response.persistent() && scratch.from_upstream.is_empty(),
            keep: whole_request && keep && !self.client_ended,
        }
    }

    /// Whether nobody reads from the client, and from the backend, because the other side does not take it.
    fn are_unread(&self) -> (bool, bool) {
        let is_unread = |relay: &Relay| !relay.source_ended() && relay.waits_for() == WaitsFor::Sink;
        let backend = match &self.response {
            Response::Awaited => self.client_full,
            Response::Interim(_) | Response::Held(_) => true,
            Response::Final(answer) => is_unread(&answer.download),
        };
        let client = self.request == Request::Broken || is_unread(self.parts.upload);
        (client, backend)
    }

    /// What arrives on a shared connection is taken from it also while the other side does not take it. `is_quiet`: this
    /// has lasted for a while.
    fn stall(&mut self, context: &mut Context<'_>, is_quiet: bool) -> Result<(), Refusal> {
        self.parts.scratch.count_output();
        let (client, backend) = self.are_unread();
        if backend && self.parts.upstream.stall(context, is_quiet).is_err() {
            return Err(self.malformed("more interim responses than may wait for the client"));
        }
        if client {
            // A client sends no heads, so there are never too many of them.
            let _never_too_many = self.parts.client.stall(context, is_quiet);
        }
        if self.parts.client.is_http2() {
            let Scratch {
                from_client,
                from_upstream,
                to_client,
                ..
            } = &mut *self.parts.scratch;
            let unwritten = match &self.response {
                Response::Final(answer) => answer.download.unwritten(to_client),
                Response::Awaited | Response::Interim(_) | Response::Held(_) => 0,
            };
            self.parts.client.hold(from_upstream.len() + unwritten);
            // Of a connection's streams few read at the same time.
            from_client.lend();
            from_upstream.lend();
        }
        Ok(())
    }

    /// Notices a client that leaves, and reads what it sends ahead, up to a buffer.
    ///
    /// A client that ends its direction counts as gone as long as the backend is still working for it: it cannot be
    /// distinguished from one that has closed, and nearly all have. What is ready by then it may still read.
    fn watch_client(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        let (reads_body, answered) = (self.reads_body(), self.has_whole_answer());
        // The upload reads from the client, unless it waits for the backend.
        if reads_body && !answered && self.upload_stalls() && self.parts.client.is_http2() {
            return self.check_client(context);
        }
        if reads_body || self.client_ended || self.is_upgraded() {
            return Ok(());
        }
        loop {
            match self
                .parts
                .client
                .poll_ahead(context, &mut self.parts.scratch.from_client)
            {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ahead::Sent) => {}
                Poll::Ready(Ahead::Ended) if answered => {
                    self.client_ended = true;
                    return Ok(());
                }
                Poll::Ready(Ahead::Ended | Ahead::Gone) => return Err(Refusal::ClientGone),
            }
        }
    }

    /// Whether nothing wakes the task when the client leaves: nobody reads what it sends, so its socket remains readable.
    fn is_blind(&self) -> bool {
        let unread = if self.reads_body() {
            self.upload_stalls()
        } else {
            self.parts.scratch.from_client.is_full()
        };
        unread && !self.parts.client.is_http2() && !self.has_whole_answer() && !self.is_upgraded()
    }

    /// Looks whether the client has left.
    fn check_client(&mut self, context: &mut Context<'_>) -> Result<(), Refusal> {
        if self.parts.client.has_left(context) {
            Err(Refusal::ClientGone)
        } else {
            Ok(())
        }
    }

    /// Whether more of the request's body is to be read.
    fn reads_body(&self) -> bool {
        !self.parts.upload.source_ended() && self.request != Request::Broken
    }

    /// Whether the request's body waits for the backend to take it.
    fn upload_stalls(&self) -> bool {
        self.request == Request::Sending && self.parts.upload.waits_for() == WaitsFor::Sink
    }

    /// Whether all of the response has arrived.
    fn has_whole_answer(&self) -> bool {
        self.answer().is_some_and(|answer| answer.download.source_ended())
    }

    fn is_upgraded(&self) -> bool {
        self.answer()
            .is_some_and(|answer| answer.end == AnswerEnd::Upgrade)
    }
}
