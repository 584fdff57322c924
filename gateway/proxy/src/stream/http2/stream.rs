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

use super::frames::LongBlocks;
use super::trailers::MalformedTrailers;
use crate::stream::trailer_limits::TrailerLimits;

/// One HTTP/2 stream: a message each way.
pub(crate) struct Http2Stream {
    role: Role,
    /// The body that arrives; `None` when it has ended.
    incoming: Option<RecvStream>,
    /// Received and not yet read.
    chunk: Bytes,
    /// The trailers that came behind the body.
    trailers: Option<HeaderMap>,
    /// The body that leaves; `None` before its head and after its end.
    outgoing: Option<SendStream<Bytes>>,
    /// Which streams of the client's connection have malformed trailers, and which of them this is.
    malformed: Option<(u32, MalformedTrailers)>,
    /// The last bytes written, kept for a moment so that the end of the stream can go with them.
    held: Bytes,
    blocks: Rc<LongBlocks>,
    /// The trailers that arrived may not be complete.
    cut: bool,
}

/// Trailers that are larger than allowed.
#[derive(Debug)]
pub(crate) struct TrailersTooLarge;

/// The peer reset the stream, with this reason.
#[derive(Debug, thiserror::Error)]
#[error("the stream was reset: {0}")]
struct GaveUp(Reason);

/// The gateway's role on the stream.
enum Role {
    /// A client's request: the gateway sends its response.
    Server(SendResponse<Bytes>),
    /// A request to a backend: its response is awaited.
    Client(ResponseFuture),
    /// The response has arrived.
    Answered,
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
        respond: SendResponse<Bytes>,
        malformed: MalformedTrailers,
        blocks: Rc<LongBlocks>,
    ) -> Self {
        Self {
            malformed: Some((incoming.stream_id().as_u32(), malformed)),
            role: Role::Server(respond),
            incoming: (!incoming.is_end_stream()).then_some(incoming),
            chunk: Bytes::new(),
            trailers: None,
            outgoing: None,
            held: Bytes::new(),
            blocks,
            cut: false,
        }
    }

    /// A request to a backend, whose head has been sent; `ends`: and nothing follows it.
    pub(crate) fn client(
        response: ResponseFuture,
        outgoing: SendStream<Bytes>,
        ends: bool,
        blocks: Rc<LongBlocks>,
    ) -> Self {
        Self {
            malformed: None,
            role: Role::Client(response),
            incoming: None,
            chunk: Bytes::new(),
            trailers: None,
            outgoing: (!ends).then_some(outgoing),
            held: Bytes::new(),
            blocks,
            cut: false,
        }
    }

    /// Sends the head of the response; `ends` when nothing follows it.
    pub(crate) fn respond(&mut self, head: Response<()>, ends: bool) -> io::Result<()> {
        let Role::Server(respond) = &mut self.role else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let outgoing = respond.send_response(head, ends).map_err(io_error)?;
        self.outgoing = (!ends).then_some(outgoing);
        Ok(())
    }

    /// Sends a short response whole; its body waits in the connection when the window is closed.
    pub(crate) fn respond_whole(&mut self, head: Response<()>, body: Bytes) -> io::Result<()> {
        self.respond(head, body.is_empty())?;
        self.held = body;
        self.finish(None)
    }

    /// Sends an interim response.
    pub(crate) fn inform(&mut self, head: Response<()>) -> io::Result<()> {
        match &mut self.role {
            Role::Server(respond) => respond.send_informational(head).map_err(io_error),
            Role::Client(_) | Role::Answered => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// The next head of a backend's response, interim ones included.
    pub(crate) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<()>, Http2Error>> {
        let Role::Client(response) = &mut self.role else {
            return Poll::Ready(Err(Http2Error::Broken));
        };
        match response.poll_informational(context) {
            Poll::Ready(Some(Ok(interim))) => return Poll::Ready(Ok(interim)),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Http2Error::of(&error))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        let outcome = ready!(Pin::new(response).poll(context));
        self.role = Role::Answered;
        Poll::Ready(match outcome {
            Ok(response) => {
                let (parts, incoming) = response.into_parts();
                self.incoming = (!incoming.is_end_stream()).then_some(incoming);
                Ok(Response::from_parts(parts, ()))
            }
            Err(error) => Err(Http2Error::of(&error)),
        })
    }

    /// Whether a body, or trailers, may still arrive.
    pub(crate) fn has_incoming(&self) -> bool {
        self.incoming.is_some()
    }

    /// Ready when it is known whether a body or trailers follow the head of the request.
    pub(crate) fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        while self.chunk.is_empty() {
            let Some(incoming) = &mut self.incoming else {
                return Poll::Ready(self.trailers.is_some());
            };
            match ready!(incoming.poll_data(context)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                None => match ready!(incoming.poll_trailers(context)) {
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

    /// Reads body bytes; none is the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let Some(incoming) = &mut self.incoming else {
                if self.refuses_trailers() {
                    let why = "pseudo-header fields in the trailers";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                return Poll::Ready(Ok(()));
            };
            if !self.chunk.is_empty() {
                let count = self.chunk.len().min(into.remaining());
                into.put_slice(self.chunk.get(..count).unwrap_or_default());
                self.chunk.advance(count);
                // Only what has been read makes room for more, which creates back-pressure.
                incoming
                    .flow_control()
                    .release_capacity(count)
                    .map_err(io_error)?;
                return Poll::Ready(Ok(()));
            }
            match ready!(incoming.poll_data(context)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => {
                    let trailers = ready!(incoming.poll_trailers(context)).map_err(io_error)?;
                    self.ended(trailers);
                }
            }
        }
    }

    /// The body has ended with these trailers.
    fn ended(&mut self, trailers: Option<HeaderMap>) {
        let stream = self.incoming.take().map(|incoming| incoming.stream_id().as_u32());
        self.cut = trailers.is_some() && stream.is_some_and(|stream| self.blocks.is_long(stream));
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
        malformed.is_some_and(|(stream, malformed)| malformed.has(*stream))
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

    /// Writes body bytes as far as the receiver's window allows.
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
        let taken = bytes.get(..capacity).unwrap_or(bytes);
        self.held = Bytes::copy_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    /// Sends the bytes that were held back.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.outgoing {
            Some(outgoing) if !self.held.is_empty() => outgoing
                .send_data(std::mem::take(&mut self.held), false)
                .map_err(io_error),
            Some(_) | None => Ok(()),
        }
    }

    /// Ends the body, with trailers if there are any.
    pub(crate) fn finish(&mut self, trailers: Option<HeaderMap>) -> io::Result<()> {
        let Some(mut outgoing) = self.outgoing.take() else {
            return Ok(());
        };
        let held = std::mem::take(&mut self.held);
        match trailers {
            None => outgoing.send_data(held, true).map_err(io_error),
            Some(trailers) => {
                if !held.is_empty() {
                    outgoing.send_data(held, false).map_err(io_error)?;
                }
                outgoing.send_trailers(trailers).map_err(io_error)
            }
        }
    }

    /// Ready when the peer has reset the stream.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let reset = match (&mut self.outgoing, &mut self.role) {
            (Some(outgoing), _) => outgoing.poll_reset(context),
            (None, Role::Server(respond)) => respond.poll_reset(context),
            (None, Role::Client(_) | Role::Answered) => return Poll::Pending,
        };
        reset.map(|_reason_or_error| ())
    }

    /// Breaks the stream off: the message is incomplete.
    pub(crate) fn reset(&mut self, reason: Reason) {
        match (&mut self.outgoing, &mut self.role) {
            (Some(outgoing), _) => outgoing.send_reset(reason),
            (None, Role::Server(respond)) => respond.send_reset(reason),
            (None, Role::Client(_) | Role::Answered) => {}
        }
        self.outgoing = None;
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        if let Some((stream, malformed)) = &self.malformed {
            malformed.forget(*stream);
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
