//! Where the bytes of a message come from and go to: a socket, clear or under TLS, or one stream of an HTTP/2 connection.

pub(crate) mod body;
pub(crate) mod http2;
pub(crate) mod linger;
pub(crate) mod socket;
pub(crate) mod trailer_limits;

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response, StatusCode, Version};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use wire::BodyFraming;

use crate::head::draft::ResponseDraft;
use crate::head::emit::{self, Delivery, OwnAnswer};
use crate::head::http2 as heads;
use crate::stream::body::Sink;
use crate::stream::http2::{Http2Error, Http2Stream, TooManyHeads, TrailersTooLarge};
use crate::stream::socket::Socket;
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::read_buffer::ReadBuffer;

/// One side of an exchange.
pub(crate) enum Stream {
    Socket(Socket),
    /// One of many exchanges on one connection.
    Http2(Box<Http2Stream>),
}

/// Why there is no head of a backend's next response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHead {
    /// The connection ended in order.
    Ended,
    /// It was reset.
    Reset,
    /// It broke.
    Broken,
    /// The bytes are not in the agreed HTTP version.
    Malformed,
    /// The backend says that it has not processed the request (RFC 9113 8.7): sending it again is safe.
    Unprocessed,
    /// The backend reset this request, and may have processed it.
    GivenUp(Reason),
}

/// What a client does while it waits for a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// It sends its next request.
    Sent,
    /// It has ended its direction, and may still read.
    Ended,
    /// It has gone.
    Gone,
}

/// Why a head could not be sent to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadUnsent {
    /// The client's HTTP version cannot express it.
    Unsayable,
    /// The client has gone.
    Gone,
}

impl Stream {
    /// Sends the client the head of its response; `ends`: nothing follows it. Text is added to `out`, and is written with
    /// what follows it.
    pub(crate) fn respond(
        &mut self,
        head: &ResponseDraft<'_>,
        ends: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), HeadUnsent> {
        match self {
            Self::Socket(_) => {
                head.write_http1(out);
                Ok(())
            }
            Self::Http2(stream) => {
                let (ends, bytes) = (ends || head.is_whole(), head.head.len());
                let head = head.to_http2().ok_or(HeadUnsent::Unsayable)?;
                stream
                    .respond(head, bytes, ends)
                    .map_err(|_gone| HeadUnsent::Gone)
            }
        }
    }

    /// The same for an interim response.
    pub(crate) fn inform(&mut self, head: &ResponseDraft<'_>, out: &mut Vec<u8>) -> Result<(), HeadUnsent> {
        match self {
            Self::Socket(_) => {
                head.write_http1(out);
                Ok(())
            }
            Self::Http2(stream) => {
                let bytes = head.head.len();
                let head = head.to_http2().ok_or(HeadUnsent::Unsayable)?;
                stream.inform(head, bytes).map_err(|_gone| HeadUnsent::Gone)
            }
        }
    }

    /// The same for the gateway's own 100.
    pub(crate) fn inform_continue(&mut self, out: &mut Vec<u8>) -> Result<(), HeadUnsent> {
        match self {
            Self::Socket(_) => {
                out.extend_from_slice(emit::CONTINUE);
                Ok(())
            }
            Self::Http2(stream) => {
                let mut head = Response::new(());
                (*head.status_mut(), *head.version_mut()) = (StatusCode::CONTINUE, Version::HTTP_2);
                stream.inform(head, 0).map_err(|_gone| HeadUnsent::Gone)
            }
        }
    }

    /// Sends the client a whole answer of the gateway's own. Over HTTP/1 its head is added to `out`, and must still be written,
    /// and after it the body that is returned.
    pub(crate) fn answer(&mut self, answer: &OwnAnswer, delivery: &Delivery<'_>, out: &mut Vec<u8>) -> Bytes {
        match self {
            Self::Socket(_) => emit::own(out, answer, delivery),
            Self::Http2(stream) => {
                if let Ok((head, body)) = heads::answer(answer, delivery) {
                    // A stream that has gone needs no answer.
                    let _gone = stream.respond_whole(head, body);
                }
                Bytes::new()
            }
        }
    }

    /// Breaks off a message whose end will not come, so that the other side notices, if it is one of many on a connection.
    /// Otherwise only the connection can end. `status`: the status for a gRPC client.
    pub(crate) fn break_off(&mut self, reason: Reason, status: Option<HeaderMap>) {
        match (self, status) {
            (Self::Socket(_), _) => {}
            (Self::Http2(stream), None) => stream.reset(reason),
            (Self::Http2(stream), Some(status)) => {
                // A stream that has gone needs no status.
                let _gone = stream.finish(Some(status));
            }
        }
    }

    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self::Socket(Socket::plain(stream))
    }

    /// The connection, if it carries only this exchange.
    pub(crate) fn socket(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Http2(_) => None,
        }
    }

    /// As [`Stream::socket`], for good.
    pub(crate) fn into_socket(self) -> Option<Socket> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Http2(_) => None,
        }
    }

    /// See [`Socket::note_full`].
    pub(crate) fn note_full(&self, is_full: bool) {
        if let Self::Socket(socket) = self {
            socket.note_full(is_full);
        }
    }

    /// The TCP connection, when its bytes are the message's own.
    pub(crate) fn as_plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Socket(socket) => socket.as_plain(),
            Self::Http2(_) => None,
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether the client that waits for an answer has left. An HTTP/2 stream wakes the task when that changes; a socket
    /// must be checked again, at the cost of a system call.
    pub(crate) fn has_left(&mut self, context: &mut Context<'_>) -> bool {
        match self {
            Self::Socket(socket) => socket.has_ended(),
            Self::Http2(stream) => stream.poll_gone(context).is_ready(),
        }
    }

    /// The same for one side of a tunnel, which may end its direction and stay: whether it has broken.
    pub(crate) fn has_broken(&mut self, context: &mut Context<'_>) -> bool {
        match self {
            Self::Socket(socket) => socket.has_broken(),
            Self::Http2(stream) => stream.poll_gone(context).is_ready(),
        }
    }

    /// It is known that nothing more arrives, not even trailers.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Http2(stream) => !stream.has_incoming(),
        }
    }

    /// The status of the response that upgrades the message to another protocol: a 101 of HTTP/1 is a 200 on an HTTP/2
    /// stream (RFC 8441 5).
    pub(crate) fn upgraded_status(&self) -> u16 {
        match self {
            Self::Socket(_) => 101,
            Self::Http2(_) => 200,
        }
    }

    /// Whether a head can be taken back until its first byte has been written.
    pub(crate) fn holds_heads_back(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Http2(_) => false,
        }
    }

    /// How this stream frames a body that a socket would frame as `of_socket` says.
    pub(crate) fn sink(&self, of_socket: Sink) -> Sink {
        match self {
            Self::Socket(_) => of_socket,
            Self::Http2(_) => Sink::Frames,
        }
    }

    /// What ends a body that arrives here, whose head says `framing`. The end of a stream counts; that it agrees with a
    /// stated length is checked where frames are read.
    pub(crate) fn source(&self, framing: BodyFraming) -> BodyFraming {
        match (self, framing) {
            (_, BodyFraming::None) => BodyFraming::None,
            (Self::Socket(_), framing) => framing,
            (Self::Http2(_), _) => BodyFraming::UntilClose,
        }
    }

    /// Ready when the client has got every interim head before the next one.
    pub(crate) fn poll_informed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Socket(_) => Poll::Ready(()),
            Self::Http2(stream) => stream.poll_heads_left(context),
        }
    }

    /// Ready when more of a head may be read for this client, for which `has` bytes have been read: with how many.
    pub(crate) fn poll_hold(&mut self, context: &mut Context<'_>, has: usize) -> Poll<usize> {
        match self {
            Self::Socket(_) => Poll::Ready(usize::MAX),
            Self::Http2(stream) => stream.poll_hold(context, has),
        }
    }

    /// Counts what has been read for this side and waits.
    pub(crate) fn hold(&mut self, bytes: usize) {
        match self {
            Self::Socket(_) => {}
            Self::Http2(stream) => stream.hold(bytes),
        }
    }

    /// How many bytes of a body it makes sense to read for this side now. What it cannot send stays where it is.
    pub(crate) fn takes(&mut self) -> usize {
        match self {
            Self::Socket(_) => usize::MAX,
            Self::Http2(stream) => stream.takes(),
        }
    }

    /// Nobody reads from this side now, because the task waits for the other one. A stream must nevertheless take what
    /// arrives for it: it shares its connection. `is_quiet`: this has lasted for a while, and what has arrived is to be
    /// counted.
    pub(crate) fn stall(&mut self, context: &mut Context<'_>, is_quiet: bool) -> Result<(), TooManyHeads> {
        match self {
            Self::Socket(_) => Ok(()),
            Self::Http2(stream) => stream.stall(context, is_quiet),
        }
    }

    /// Reads on towards the next head of a backend's response, which becomes text for the strict parser to judge. `into`
    /// never holds more than `limit` bytes of what a socket gives, and of a frame little more; `most` are read at once.
    pub(crate) fn poll_response_head(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuffer,
        limit: usize,
        most: usize,
    ) -> Poll<Result<(), NoHead>> {
        match self {
            Self::Socket(socket) => {
                if into.rests() {
                    let _readable = ready!(socket.poll_readable(context));
                }
                let mut room = ReadBuf::new(into.room_for(limit, most));
                let read = ready!(socket.poll_read(context, &mut room));
                let count = room.filled().len();
                into.filled_by(count);
                Poll::Ready(match read {
                    Ok(()) if count > 0 => Ok(()),
                    Ok(()) => Err(NoHead::Ended),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(NoHead::Reset),
                    Err(_) => Err(NoHead::Broken),
                })
            }
            Self::Http2(stream) => Poll::Ready(match ready!(stream.poll_head(context)) {
                Ok(head) => {
                    heads::write_response(&head.into_parts().0, limit, into);
                    Ok(())
                }
                Err(Http2Error::Unprocessed) => Err(NoHead::Unprocessed),
                Err(Http2Error::Reset(reason)) => Err(NoHead::GivenUp(reason)),
                Err(Http2Error::Broken) => Err(NoHead::Broken),
                Err(Http2Error::Malformed) => Err(NoHead::Malformed),
            }),
        }
    }

    /// Reads what a client sends ahead, up to a buffer, and notices when it leaves. While the buffer is full, a socket does
    /// not wake the task.
    pub(crate) fn poll_ahead(&mut self, context: &mut Context<'_>, into: &mut ReadBuffer) -> Poll<Ahead> {
        match self {
            Self::Socket(socket) => {
                if into.rests() {
                    let _readable = ready!(socket.poll_readable(context));
                }
                let room = into.room(0);
                if room.is_empty() {
                    return Poll::Pending;
                }
                let mut room = ReadBuf::new(room);
                let read = ready!(socket.poll_read(context, &mut room));
                let count = room.filled().len();
                into.filled_by(count);
                Poll::Ready(match read {
                    Ok(()) if count > 0 => Ahead::Sent,
                    Ok(()) => Ahead::Ended,
                    Err(_) => Ahead::Gone,
                })
            }
            Self::Http2(stream) => stream.poll_gone(context).map(|()| Ahead::Gone),
        }
    }

    /// Whether trailers have arrived that make a client's request malformed, which breaks it off. They may have arrived
    /// before the body has been read that far.
    pub(crate) fn refuses_trailers(&mut self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Http2(stream) => stream.refuses_trailers(),
        }
    }

    /// What has arrived and waits in the kernel. Costs a system call.
    pub(crate) fn unread(&self) -> usize {
        match self {
            Self::Socket(socket) => socket.unread(),
            Self::Http2(_) => 0,
        }
    }

    /// What waits to be sent here, beside what a socket's buffer holds.
    pub(crate) fn queued(&self) -> usize {
        match self {
            Self::Socket(_) => 0,
            Self::Http2(stream) => stream.queued(),
        }
    }

    /// What has arrived and is stored until somebody reads it, beside what a socket's buffer holds.
    pub(crate) fn stored(&self) -> usize {
        match self {
            Self::Socket(_) => 0,
            Self::Http2(stream) => stream.stored(),
        }
    }

    /// What may wait in the kernel for a client that does not read.
    pub(crate) fn most_unsent(&self) -> usize {
        match self {
            Self::Socket(socket) => socket.most_unsent(),
            Self::Http2(_) => 0,
        }
    }

    /// Ready when reading may be worthwhile.
    pub(crate) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        match self {
            Self::Socket(socket) => socket.poll_readable(context),
            Self::Http2(stream) => stream.poll_readable(context),
        }
    }

    /// Reads body bytes; none is the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_read(context, into),
            Self::Http2(stream) => stream.poll_read(context, into),
        }
    }

    /// Writes `first` and then `second`; returns how much of both.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        match (self, first, second) {
            (Self::Socket(socket), [], only) | (Self::Socket(socket), only, []) => {
                socket.poll_write(context, only)
            }
            (Self::Socket(socket), first, second) => socket.poll_write_both(context, first, second),
            (Self::Http2(stream), [], only) | (Self::Http2(stream), only, _) => {
                stream.poll_write(context, only)
            }
        }
    }

    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_flush(context),
            Self::Http2(stream) => Poll::Ready(stream.flush()),
        }
    }

    /// Ends the message if the transport can express that; otherwise its framing has done so.
    pub(crate) fn poll_finish(
        &mut self,
        context: &mut Context<'_>,
        trailers: Option<HeaderMap>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_flush(context),
            Self::Http2(stream) => Poll::Ready(stream.finish(trailers)),
        }
    }

    /// Ends this direction of a tunnel.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_shutdown(context),
            Self::Http2(stream) => Poll::Ready(stream.finish(None)),
        }
    }

    /// The trailers that ended the message, as far as they may be forwarded.
    pub(crate) fn take_trailers(
        &mut self,
        limits: TrailerLimits,
    ) -> Result<Option<HeaderMap>, TrailersTooLarge> {
        match self {
            Self::Socket(_) => Ok(None),
            Self::Http2(stream) => stream.take_trailers(limits),
        }
    }
}
