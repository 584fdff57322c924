//! Moves one message body from one stream to another, re-framed, without ever holding more than a buffer of it.
//!
//! The same code serves both directions. It creates back-pressure by its structure: nothing is read while something waits
//! to be written. Long bodies of known length are moved by `splice(2)`, inside the kernel.

mod pace;
mod splice;
mod take;
mod trailers;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use tokio::io::ReadBuf;
use wire::{BodyFraming, ChunkDecoder, ChunkError, ChunkLimits};

use crate::exchange::relay::pace::{LONG_READ, Pace, SHORT_READ};
use crate::exchange::relay::trailers::{NeverTrails, last_chunk, without};
use crate::head::draft::RequestEdits;
use crate::stream::Stream;
use crate::stream::body::Sink;
use crate::stream::http2::TrailersTooLarge;
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::pipes::{Pipe, Pipes};
use crate::worker::read_buffer::ReadBuffer;

/// Up to this many bytes are copied after the head, so that both leave in one plain write.
const COPIED: usize = 2 * 1024;

/// How much re-framed chunk data is gathered before it is written.
const GATHERED: usize = 64 * 1024;

/// Bodies with at least this much left to come are worth a pipe.
const SPLICED: u64 = 64 * 1024;

/// Rounds of work after which a busy body yields to the worker's other connections.
const ROUNDS: usize = 32;

/// How the source frames the body.
enum Source {
    Length(u64),
    Chunked(Box<ChunkDecoder>),
    UntilClose,
    /// What came before this must still be written, and nothing more.
    Malformed(ChunkError),
    Ended,
}

/// One body in transit, and what must be written before it (a head).
pub(crate) struct Relay {
    source: Source,
    sink: Sink,
    /// How much of the output buffer is written.
    written: usize,
    /// How many bytes of the read buffer follow the output buffer unchanged.
    direct: usize,
    pipe: Option<Box<Pipe>>,
    pace: Pace,
    /// Trailers for a sink that sends them in frames.
    trailers: Option<Box<HeaderMap>>,
    trailer_limits: TrailerLimits,
    /// Bytes of body taken from the source.
    moved: u64,
    /// Bytes of body that the sink has taken, not counting a part under way.
    delivered: u64,
    /// Bytes of any kind that the sink has taken: heads and framing too.
    given: u64,
    limit: u64,
    /// Everything ever written is still in the output buffer.
    replayable: bool,
    /// What the last `Pending` waits for.
    waits_for: WaitsFor,
    /// The sink continues after this body, so its end is not announced.
    open: bool,
    /// Names that none of its trailers may have.
    never_trails: NeverTrails,
}

/// The side that a stalled body waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    Source,
    Sink,
}

/// Why a body did not arrive completely.
#[derive(Debug)]
pub(crate) enum RelayError {
    /// The source broke.
    Read(io::Error),
    /// The source ended before its body did.
    Truncated,
    /// The source's chunks are malformed.
    Chunk(ChunkError),
    /// The body is larger than allowed.
    TooLarge,
    /// The trailers are larger than allowed.
    Trailers,
    /// The sink broke.
    Write(io::Error),
}

impl Relay {
    /// A client's body framed as `framing` says, to be framed as `sink` says, of at most `limit` bytes.
    pub(crate) fn new(framing: BodyFraming, sink: Sink, limit: u64, trailer_limits: TrailerLimits) -> Self {
        let source = match framing {
            BodyFraming::None | BodyFraming::Length(0) => Source::Ended,
            BodyFraming::Length(length) => Source::Length(length),
            BodyFraming::Chunked => Source::Chunked(Box::new(ChunkDecoder::new(ChunkLimits {
                trailer_bytes: trailer_limits.bytes,
                ..ChunkLimits::default()
            }))),
            BodyFraming::UntilClose => Source::UntilClose,
        };
        Self {
            source,
            sink,
            written: 0,
            direct: 0,
            pipe: None,
            pace: Pace::default(),
            trailers: None,
            trailer_limits,
            moved: 0,
            delivered: 0,
            given: 0,
            limit,
            replayable: true,
            waits_for: WaitsFor::Source,
            open: false,
            never_trails: NeverTrails::default(),
        }
    }

    /// The body is a backend's: its chunks may have white space in their size lines.
    pub(crate) fn of_backend(mut self) -> Self {
        if let Source::Chunked(decoder) = &mut self.source {
            decoder.read_white_space();
        }
        self
    }

    /// Drops trailers of this name, in any spelling that a backend may read as it.
    pub(crate) fn without_trailer(mut self, name: Option<&Arc<str>>) -> Self {
        self.never_trails.of_door = name.cloned();
        self
    }

    /// Drops trailers of the names that these edits remove from its head, or all.
    pub(crate) fn without_trailers_of(mut self, edits: &RequestEdits) -> Self {
        self.never_trails.all = edits.no_trailers;
        let edits = &*edits.fields;
        // Only these have trailers.
        if !edits.removed.is_empty() && matches!(self.source, Source::Chunked(_) | Source::UntilClose) {
            self.never_trails.of_edits = Some(Box::new(edits.clone()));
        }
        self
    }

    /// The sink continues after this body, with another protocol.
    pub(crate) fn leave_open(&mut self) {
        self.open = true;
    }

    /// Body bytes taken from the source so far.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Body bytes that the source still owes, if it has said how many.
    pub(crate) fn left(&self) -> Option<u64> {
        match &self.source {
            Source::Length(left) => Some(*left),
            Source::Chunked(_) | Source::UntilClose | Source::Malformed(_) | Source::Ended => None,
        }
    }

    /// Body bytes that the sink has taken so far.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Ends a body after its intact part, once: true if there is something to write.
    pub(crate) fn end_malformed(&mut self, error: ChunkError) -> bool {
        !matches!(
            std::mem::replace(&mut self.source, Source::Malformed(error)),
            Source::Malformed(_)
        )
    }

    /// Whether the source has delivered its whole body and nothing of it is left in the read buffer: what follows there is
    /// another message.
    pub(crate) fn is_taken_whole(&self) -> bool {
        self.source_ended() && self.direct == 0
    }

    /// Whether the source has delivered its whole body; some of it may still wait in the read buffer.
    pub(crate) fn source_ended(&self) -> bool {
        matches!(self.source, Source::Ended)
    }

    /// The side that a pending body waits for.
    pub(crate) fn waits_for(&self) -> WaitsFor {
        self.waits_for
    }

    /// Nothing has moved for a while. Returns the bytes that it holds in the kernel for a sink that has no room.
    pub(crate) fn settle(&mut self) -> usize {
        if self.waits_for == WaitsFor::Source {
            return 0;
        }
        self.pace.stalls();
        self.pipe.as_ref().map_or(0, |pipe| pipe.holds())
    }

    /// Bytes that the sink has taken so far, with heads and framing.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// How many bytes of the output buffer `out` wait for the sink.
    pub(crate) fn unwritten(&self, out: &[u8]) -> usize {
        out.len().saturating_sub(self.written)
    }

    /// Whether no byte has been given to the sink.
    pub(crate) fn is_unwritten(&self) -> bool {
        self.written == 0 && self.replayable
    }

    /// Starts over for another sink, if everything written so far is still at hand.
    pub(crate) fn rewind(&mut self) -> bool {
        if self.replayable && self.direct == 0 {
            self.written = 0;
        }
        self.replayable && self.direct == 0
    }

    /// Moves what can be moved. Ready when the whole body, and `out` before it, is written.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        input: &mut ReadBuffer,
        out: &mut Vec<u8>,
        pipes: &Pipes,
    ) -> Poll<Result<(), RelayError>> {
        for _ in 0..ROUNDS {
            // Buffered bytes first, so that a short body leaves together with its head.
            let hungry = self.direct == 0 && self.pipe.is_none() && self.take(input, out)?;
            ready!(self.poll_flush(context, to, input, out))?;
            if matches!(self.source, Source::Ended) && self.pipe.is_none() {
                self.waits_for = WaitsFor::Sink;
                let finished = ready!(if self.open {
                    to.poll_flush(context)
                } else {
                    // Kept for another attempt.
                    to.poll_finish(context, self.trailers.as_deref().cloned())
                });
                return Poll::Ready(finished.map_err(RelayError::Write));
            }
            if let Source::Malformed(error) = self.source {
                return Poll::Ready(Err(RelayError::Chunk(error)));
            }
            if self.pipe.is_some() {
                ready!(self.poll_splice(context, from, to, pipes))?;
                continue;
            }
            if !hungry {
                continue;
            }
            match self.source {
                Source::Length(left)
                    if left >= SPLICED
                        && input.is_empty()
                        && from.as_plain().is_some()
                        && to.as_plain().is_some() =>
                {
                    self.pipe = pipes.take();
                    if self.pipe.is_some() {
                        self.replayable = false;
                        continue;
                    }
                }
                Source::Length(_)
                | Source::Chunked(_)
                | Source::UntilClose
                | Source::Malformed(_)
                | Source::Ended => {}
            }
            let most = to.takes();
            ready!(self.poll_fill(context, from, input, out, most))?;
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes the output buffer, then the direct part of the input.
    fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        to: &mut Stream,
        input: &mut ReadBuffer,
        out: &mut Vec<u8>,
    ) -> Poll<Result<(), RelayError>> {
        self.waits_for = WaitsFor::Sink;
        loop {
            let head = out.get(self.written..).unwrap_or_default();
            let direct = input.filled().get(..self.direct).unwrap_or_default();
            if head.is_empty() && direct.is_empty() {
                break;
            }
            let Poll::Ready(sent) = to.poll_write(context, head, direct) else {
                self.pace.waits();
                return Poll::Pending;
            };
            let sent = sent.map_err(RelayError::Write)?;
            if sent == 0 {
                return Poll::Ready(Err(RelayError::Write(io::ErrorKind::WriteZero.into())));
            }
            self.pace.took(sent);
            self.given += sent as u64;
            let of_head = sent.min(head.len());
            self.written += of_head;
            self.direct -= sent - of_head;
            self.delivered += (sent - of_head) as u64;
            input.consume(sent - of_head);
        }
        self.delivered = self.moved - self.pipe.as_ref().map_or(0, |pipe| pipe.holds() as u64);
        if !matches!(self.source, Source::Ended) {
            ready!(to.poll_flush(context)).map_err(RelayError::Write)?;
        }
        // While everything still fits, what was sent is kept for another attempt.
        if !(self.replayable && matches!(self.source, Source::Ended)) && self.written > 0 {
            out.clear();
            self.written = 0;
            self.replayable = false;
        }
        self.waits_for = WaitsFor::Source;
        Poll::Ready(Ok(()))
    }

    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream,
        input: &mut ReadBuffer,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Poll<Result<(), RelayError>> {
        if input.rests() {
            // It takes memory only when there is something to read.
            let _readable = ready!(from.poll_readable(context));
        }
        // Larger copies cost fewer system calls.
        // An HTTP/2 stream reads and writes less at once, and there may be a hundred of them on a connection.
        let long = !from.is_http2() && self.sink != Sink::Frames;
        if long {
            input.suit(self.pace.read());
        }
        let limit = if long { LONG_READ } else { SHORT_READ };
        let mut room = ReadBuf::new(input.room_for(limit, most));
        ready!(from.poll_read(context, &mut room)).map_err(RelayError::Read)?;
        let count = room.filled().len();
        input.filled_by(count);
        if count > 0 {
            return Poll::Ready(Ok(()));
        }
        match self.source {
            Source::UntilClose => {
                self.source = Source::Ended;
                let trailers = from
                    .take_trailers(self.trailer_limits)
                    .map_err(|TrailersTooLarge| RelayError::Trailers)?;
                let trailers = trailers.and_then(|trailers| without(trailers, &self.never_trails));
                match self.sink {
                    Sink::Plain => {}
                    Sink::Frames => self.trailers = trailers.map(Box::new),
                    Sink::Chunked { trailers: wanted } => {
                        last_chunk(trailers.filter(|_| wanted).as_ref(), out);
                    }
                }
                Poll::Ready(Ok(()))
            }
            Source::Length(_) | Source::Chunked(_) | Source::Malformed(_) | Source::Ended => {
                Poll::Ready(Err(RelayError::Truncated))
            }
        }
    }
}
