//! One HTTP/2 stream as one side of an exchange.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, Response};
use tokio::io::ReadBuf;

use super::ahead::{Ahead, TooManyHeads};
use super::inbox::{Inbox, Stall};
use super::outbox::{Account, Outbox, Piece};
use super::trailers::MalformedTrailers;
use crate::stream::trailer_limits::TrailerLimits;

/// One HTTP/2 stream: a message each way.
pub(crate) struct Http2Stream {
    role: Role,
    /// The body that arrives; `None` when it has ended.
    incoming: Option<RecvStream>,
    /// Received and not yet read.
    chunk: Bytes,
    /// The same, taken out of the library because nobody read.
    ahead: Option<Box<Ahead>>,
    /// The trailers that came behind the body.
    trailers: Option<HeaderMap>,
    /// The body that leaves; `None` before its head and after its end.
    outgoing: Option<SendStream<Piece>>,
    /// Which streams of the client's connection have malformed trailers.
    malformed: Option<MalformedTrailers>,
    /// The last bytes written, kept for a moment so that the end of the stream can go with them.
    held: Piece,
    /// The trailers that arrived may not be complete.
    cut: bool,
    number: u32,
    inbox: Rc<Inbox>,
    stall: Stall,
    account: Account,
}

/// Trailers that are larger than allowed.
#[derive(Debug)]
pub(crate) struct TrailersTooLarge;

/// As much is read for a stream that has no room to send anything, because the end of a body needs none.
const LOOKAHEAD: usize = 256;

/// A frame with fewer bytes is read together with those behind it.
const SMALL: usize = 1024;

/// The peer reset the stream, with this reason.
#[derive(Debug, thiserror::Error)]
#[error("the stream was reset: {0}")]
struct GaveUp(Reason);

/// The gateway's role on the stream.
enum Role {
    /// A client's request: the gateway sends its response.
    Server(SendResponse<Piece>),
    /// A request to a backend: its response is awaited.
    Client(ResponseFuture),
    /// The response has arrived.
    Answered,
    /// It will not arrive.
    Failed(Http2Error),
}

/// Why a backend's stream failed before its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http2Error {
    /// The backend said that it has not processed the request (RFC 9113 8.7): sending it again is safe.
    Unprocessed,
    /// It reset this request, and may have processed it.
    Reset(Reason),
    /// The connection broke.
    Broken,
    /// What it sent is not HTTP/2.
    Malformed,
}

impl Http2Stream {
    /// A client's request, whose head has been taken.
    pub(crate) fn server(
        incoming: RecvStream,
        respond: SendResponse<Piece>,
        malformed: MalformedTrailers,
        inbox: Rc<Inbox>,
        outbox: &Rc<Outbox>,
    ) -> Self {
        let number = incoming.stream_id().as_u32();
        Self {
            malformed: Some(malformed),
            role: Role::Server(respond),
            incoming: (!incoming.is_end_stream()).then_some(incoming),
            chunk: Bytes::new(),
            ahead: None,
            trailers: None,
            outgoing: None,
            held: Piece::EMPTY,
            cut: false,
            number,
            inbox,
            stall: Stall::default(),
            account: outbox.open(number),
        }
    }

    /// A request to a backend, whose head has been sent; `ends`: and nothing follows it.
    pub(crate) fn client(
        response: ResponseFuture,
        outgoing: SendStream<Piece>,
        ends: bool,
        inbox: Rc<Inbox>,
        outbox: &Rc<Outbox>,
    ) -> Self {
        let number = response.stream_id().as_u32();
        Self {
            malformed: None,
            role: Role::Client(response),
            incoming: None,
            chunk: Bytes::new(),
            ahead: None,
            trailers: None,
            outgoing: (!ends).then_some(outgoing),
            held: Piece::EMPTY,
            cut: false,
            number,
            inbox,
            stall: Stall::default(),
            account: outbox.open(number),
        }
    }

    /// Sends the head of the response, whose fields have about `bytes`; `ends` when nothing follows it.
    pub(crate) fn respond(&mut self, head: Response<()>, bytes: usize, ends: bool) -> io::Result<()> {
        let Role::Server(respond) = &mut self.role else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let fields = head.headers().len();
        let outgoing = respond.send_response(head, ends).map_err(io_error)?;
        self.account.head(fields, bytes);
        self.outgoing = (!ends).then_some(outgoing);
        Ok(())
    }

    /// Sends a short response whole; its body waits in the connection when the window is closed.
    pub(crate) fn respond_whole(&mut self, head: Response<()>, body: Bytes) -> io::Result<()> {
        let bytes = text_of(head.headers());
        self.respond(head, bytes, body.is_empty())?;
        self.held = self.account.piece(body);
        self.finish(None)
    }

    /// Sends an interim response, whose fields have about `bytes`.
    pub(crate) fn inform(&mut self, head: Response<()>, bytes: usize) -> io::Result<()> {
        match &mut self.role {
            Role::Server(respond) => {
                let fields = head.headers().len();
                respond.send_informational(head).map_err(io_error)?;
                self.account.head(fields, bytes);
                Ok(())
            }
            Role::Client(_) | Role::Answered | Role::Failed(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Ready when no head waits to be sent: one interim head after the other leaves.
    pub(crate) fn poll_heads_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.account.poll_heads_left(context)
    }

    /// Ready with the number of bytes of a head that may be read for this stream, if it `has` as many already.
    pub(crate) fn poll_hold(&mut self, context: &mut Context<'_>, has: usize) -> Poll<usize> {
        self.account.poll_hold(context, has)
    }

    /// What has been read for this stream and waits.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.account.hold(bytes);
    }

    /// What has been taken out of the library for it, and waits to be read.
    pub(crate) fn stored(&self) -> usize {
        self.ahead.as_ref().map_or(0, |ahead| ahead.held())
    }

    /// What the library holds for this stream.
    pub(crate) fn queued(&self) -> usize {
        self.account.queued()
    }

    /// How many bytes of a body may be read for this stream. What it cannot send should stay where it is.
    pub(crate) fn takes(&mut self) -> usize {
        let Some(outgoing) = &mut self.outgoing else {
            return usize::MAX;
        };
        // No more than one byte: what is reserved is taken from the other streams.
        outgoing.reserve_capacity(1);
        if outgoing.capacity() == 0 {
            return LOOKAHEAD;
        }
        self.account.room().max(LOOKAHEAD)
    }

    /// The next head of a backend's response, interim ones included.
    pub(crate) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<()>, Http2Error>> {
        if let Some(head) = self.ahead.as_mut().and_then(|ahead| ahead.next_head()) {
            return Poll::Ready(Ok(head));
        }
        let response = match &mut self.role {
            Role::Client(response) => response,
            Role::Failed(error) => return Poll::Ready(Err(*error)),
            Role::Server(_) | Role::Answered => return Poll::Ready(Err(Http2Error::Broken)),
        };
        match response.poll_informational(context) {
            Poll::Ready(Some(Ok(interim))) => return Poll::Ready(Ok(interim)),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Http2Error::of(&error))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        let outcome = ready!(Pin::new(response).poll(context));
        self.role = Role::Answered;
        Poll::Ready(match outcome {
            Ok(response) => Ok(self.answered(response)),
            Err(error) => Err(Http2Error::of(&error)),
        })
    }

    fn answered(&mut self, response: Response<RecvStream>) -> Response<()> {
        let (parts, incoming) = response.into_parts();
        self.incoming = (!incoming.is_end_stream()).then_some(incoming);
        Response::from_parts(parts, ())
    }

    /// The task of this stream waits for its other side, and does not read. If much has come on the connection, takes out
    /// of the library what is this stream's; `is_quiet`: in any case.
    pub(crate) fn stall(&mut self, context: &mut Context<'_>, is_quiet: bool) -> Result<(), TooManyHeads> {
        if self.inbox.stall(self.number, &mut self.stall, context) || is_quiet {
            self.gather(context)
        } else {
            Ok(())
        }
    }

    fn gather(&mut self, context: &mut Context<'_>) -> Result<(), TooManyHeads> {
        while let Role::Client(response) = &mut self.role {
            let head = match response.poll_informational(context) {
                Poll::Ready(Some(Ok(interim))) => interim,
                // Who reads gets the error.
                Poll::Ready(Some(Err(_))) => return Ok(()),
                Poll::Ready(None) | Poll::Pending => match Pin::new(response).poll(context) {
                    Poll::Ready(Ok(response)) => {
                        self.role = Role::Answered;
                        self.answered(response)
                    }
                    Poll::Ready(Err(error)) => {
                        self.role = Role::Failed(Http2Error::of(&error));
                        return Ok(());
                    }
                    Poll::Pending => return Ok(()),
                },
            };
            let bytes = text_of(head.headers());
            self.ahead(|ahead| ahead.push_head(head, bytes))?;
        }
        let chunk = std::mem::take(&mut self.chunk);
        if !chunk.is_empty() {
            self.ahead(|ahead| ahead.push_front(&chunk));
        }
        while let Some(Poll::Ready(Some(Ok(chunk)))) =
            self.incoming.as_mut().map(|incoming| incoming.poll_data(context))
        {
            self.ahead(|ahead| ahead.push(&chunk));
        }
        Ok(())
    }

    fn ahead<R>(&mut self, change: impl FnOnce(&mut Ahead) -> R) -> R {
        let account = &self.account;
        change(
            self.ahead
                .get_or_insert_with(|| Box::new(Ahead::new(account.charge()))),
        )
    }

    /// The next bytes that have been received and not been read.
    fn next_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if let Some(ahead) = &mut self.ahead {
            match ahead.next_bytes() {
                Some(bytes) => return Poll::Ready(Some(Ok(bytes))),
                None if ahead.is_empty() => self.ahead = None,
                None => {}
            }
        }
        match &mut self.incoming {
            Some(incoming) => incoming.poll_data(context),
            None => Poll::Ready(None),
        }
    }

    /// Whether a body, or trailers, may still arrive.
    pub(crate) fn has_incoming(&self) -> bool {
        self.incoming.is_some()
    }

    /// Ready when it is known whether a body or trailers follow the head of the request.
    pub(crate) fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        while self.chunk.is_empty() {
            if self.incoming.is_none() {
                return Poll::Ready(self.trailers.is_some());
            }
            match ready!(self.next_chunk(context)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                None => match ready!(self.poll_trailers(context)) {
                    Ok(trailers) => {
                        self.ended(trailers);
                        if self.has_malformed_trailers() {
                            return Poll::Ready(true);
                        }
                    }
                    Err(_) => return Poll::Ready(true),
                },
                // The reader gets the error.
                Some(Err(_)) => return Poll::Ready(true),
            }
        }
        Poll::Ready(true)
    }

    /// Ready when there is something to read.
    pub(crate) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        while self.chunk.is_empty() && self.incoming.is_some() {
            match ready!(self.next_chunk(context)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                // Who reads gets the end, or the error.
                Some(Err(_)) | None => break,
            }
        }
        Poll::Ready(true)
    }

    fn poll_trailers(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        match &mut self.incoming {
            Some(incoming) => incoming.poll_trailers(context),
            None => Poll::Ready(Ok(None)),
        }
    }

    /// Reads body bytes; none is the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        loop {
            let Some(incoming) = &mut self.incoming else {
                if self.refuses_trailers() {
                    let why = "pseudo-header fields in the trailers";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                return Poll::Ready(Ok(()));
            };
            if !self.chunk.is_empty() {
                let is_small = self.chunk.len() < SMALL;
                let count = self.chunk.len().min(into.remaining());
                into.put_slice(self.chunk.get(..count).unwrap_or_default());
                self.chunk.advance(count);
                // Only what has been read makes room for more, which creates back-pressure.
                incoming
                    .flow_control()
                    .release_capacity(count)
                    .map_err(io_error)?;
                if !is_small || into.remaining() == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
            let has_read = into.filled().len() > before;
            match self.next_chunk(context) {
                Poll::Ready(Some(Ok(chunk))) => self.chunk = chunk,
                // The next call gets it.
                _ if has_read => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io_error(error))),
                Poll::Ready(None) => {
                    let trailers = ready!(self.poll_trailers(context)).map_err(io_error)?;
                    self.ended(trailers);
                }
            }
        }
    }

    /// The body has ended with these trailers.
    fn ended(&mut self, trailers: Option<HeaderMap>) {
        self.incoming = None;
        self.cut = trailers.is_some() && self.inbox.is_long(self.number);
        self.trailers = trailers;
    }

    /// Whether trailers have arrived that make the request malformed, which breaks the stream off. They may have arrived
    /// before the body has been read that far.
    pub(crate) fn refuses_trailers(&mut self) -> bool {
        let malformed = self.has_malformed_trailers();
        if malformed {
            self.reset(Reason::PROTOCOL_ERROR);
        }
        malformed
    }

    /// Whether the trailers make the whole request malformed (RFC 9113 8.1).
    fn has_malformed_trailers(&self) -> bool {
        let malformed = self.malformed.as_ref();
        malformed.is_some_and(|malformed| malformed.has(self.number))
    }

    /// The trailers that may be forwarded, once the body has ended: fields that frame, route or identify would be
    /// forgeries there.
    pub(crate) fn take_trailers(
        &mut self,
        limits: TrailerLimits,
    ) -> Result<Option<HeaderMap>, TrailersTooLarge> {
        let Some(mut trailers) = self.trailers.take() else {
            return Ok(None);
        };
        if self.cut || limits.exceeded_by(&trailers) {
            return Err(TrailersTooLarge);
        }
        let refused: Vec<HeaderName> = trailers
            .keys()
            .filter(|name| !wire::may_trail(name.as_str().as_bytes()))
            .cloned()
            .collect();
        for name in refused {
            trailers.remove(name);
        }
        Ok((!trailers.is_empty()).then_some(trailers))
    }

    /// Writes body bytes as far as the receiver's window and the connection's bound allow.
    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.flush()?;
        let Some(outgoing) = &mut self.outgoing else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        outgoing.reserve_capacity(bytes.len());
        let mut capacity = outgoing.capacity();
        while capacity == 0 {
            capacity = match ready!(outgoing.poll_capacity(context)) {
                Some(capacity) => capacity.map_err(io_error)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
        }
        let Poll::Ready(room) = self.account.poll_room(context, capacity.min(bytes.len())) else {
            // Others may use the window meanwhile.
            outgoing.reserve_capacity(0);
            return Poll::Pending;
        };
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.held = self.account.piece(Bytes::copy_from_slice(taken));
        Poll::Ready(Ok(taken.len()))
    }

    /// Sends the bytes that were held back.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.outgoing {
            Some(outgoing) if !self.held.is_empty() => outgoing
                .send_data(std::mem::replace(&mut self.held, Piece::EMPTY), false)
                .map_err(io_error),
            Some(_) | None => Ok(()),
        }
    }

    /// Ends the body, with trailers if there are any.
    pub(crate) fn finish(&mut self, trailers: Option<HeaderMap>) -> io::Result<()> {
        let Some(mut outgoing) = self.outgoing.take() else {
            return Ok(());
        };
        let held = std::mem::replace(&mut self.held, Piece::EMPTY);
        match trailers {
            None => outgoing.send_data(held, true).map_err(io_error),
            Some(trailers) => {
                if !held.is_empty() {
                    outgoing.send_data(held, false).map_err(io_error)?;
                }
                let (fields, bytes) = (trailers.len(), text_of(&trailers));
                outgoing.send_trailers(trailers).map_err(io_error)?;
                if matches!(self.role, Role::Server(_)) {
                    self.account.head(fields, bytes);
                }
                Ok(())
            }
        }
    }

    /// Ready when the peer has reset the stream.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let reset = match (&mut self.outgoing, &mut self.role) {
            (Some(outgoing), _) => outgoing.poll_reset(context),
            (None, Role::Server(respond)) => respond.poll_reset(context),
            (None, Role::Client(_) | Role::Answered | Role::Failed(_)) => return Poll::Pending,
        };
        reset.map(|_reason_or_error| ())
    }

    /// Breaks the stream off: the message is incomplete.
    pub(crate) fn reset(&mut self, reason: Reason) {
        match (&mut self.outgoing, &mut self.role) {
            (Some(outgoing), _) => outgoing.send_reset(reason),
            (None, Role::Server(respond)) => respond.send_reset(reason),
            (None, Role::Client(_) | Role::Answered | Role::Failed(_)) => {}
        }
        self.outgoing = None;
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.inbox.leave(self.number, &mut self.stall);
        if let Some(malformed) = &self.malformed {
            malformed.forget(self.number);
        }
    }
}

impl Http2Error {
    pub(crate) fn of(error: &h2::Error) -> Self {
        if error.reason() == Some(Reason::REFUSED_STREAM) && error.is_remote() {
            return Self::Unprocessed;
        }
        // A GOAWAY that names a lower stream says that this one was not processed (RFC 9113 6.8).
        if error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR) {
            return Self::Unprocessed;
        }
        if let Some(reason) = error.reason().filter(|_| error.is_reset() && error.is_remote()) {
            return Self::Reset(reason);
        }
        if error.is_remote() || error.is_io() {
            Self::Broken
        } else {
            Self::Malformed
        }
    }
}

/// Bytes of these fields.
fn text_of(fields: &HeaderMap) -> usize {
    let text = |(name, value): (&HeaderName, &http::HeaderValue)| name.as_str().len() + value.len();
    fields.iter().map(text).sum()
}

fn io_error(error: h2::Error) -> io::Error {
    if let Http2Error::Reset(reason) = Http2Error::of(&error) {
        return io::Error::new(io::ErrorKind::ConnectionReset, GaveUp(reason));
    }
    match error.into_io() {
        Some(error) => error,
        None => io::ErrorKind::ConnectionReset.into(),
    }
}

/// The reason with which the peer reset the stream, if that is what broke it.
pub(crate) fn reset_of(error: &io::Error) -> Option<Reason> {
    let GaveUp(reason) = error.get_ref()?.downcast_ref()?;
    Some(*reason)
}
