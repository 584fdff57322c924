//! The body of a request, gathered for a filter that needs it whole.
//!
//! It stays where it was read, behind the head, so that it goes to the backend as if it had just arrived.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, ready};

use bytes::Bytes;
use tokio::io::ReadBuf;
use wire::{BodyFraming, ChunkDecoder, ChunkLimits, ChunkStep};

use crate::refusal::Refusal;
use crate::request::requester::Requester;
use crate::settings::Settings;
use crate::worker::buffers::Scratch;
use crate::worker::{Phase, Worker};

/// How much is read at once.
const AT_ONCE: usize = 64 * 1024;

/// A body in memory. What it takes is counted for as long as it lives.
pub(crate) struct Gathered {
    pub(crate) bytes: Bytes,
    room: Room,
}

/// What is counted for one body, of what bodies may take at all workers of the door together.
struct Room {
    worker: Rc<Worker>,
    counted: usize,
}

impl std::fmt::Debug for Gathered {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Gathered({} bytes)", self.bytes.len())
    }
}

impl Room {
    /// Counts so many bytes in all, if that leaves the total below `limit`.
    fn extend_to(&mut self, bytes: usize, limit: usize) -> Result<(), Refusal> {
        let more = bytes.saturating_sub(self.counted);
        if more == 0 {
            return Ok(());
        }
        let sum = |total: usize| total.checked_add(more).filter(|sum| *sum <= limit);
        let counted = self.worker.gathered().fetch_update(Relaxed, Relaxed, sum);
        counted.map_err(|_full| Refusal::Overload)?;
        self.counted = bytes;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.worker.gathered().fetch_sub(self.counted, Relaxed);
    }
}

/// Whose end is waited for.
enum Rest {
    /// So many bytes in all.
    Length(usize),
    /// The last chunk: what has been decoded, and how far.
    Chunks(Box<ChunkDecoder>, Vec<u8>, usize),
    /// The end of an HTTP/2 stream.
    Stream,
}

/// Reads the body of the request whose head is the first `length` bytes of the client's buffer, if it has at most `most`
/// bytes.
pub(crate) async fn gather(
    requester: &mut Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    most: u64,
    settings: &Settings,
) -> Result<Gathered, Refusal> {
    let worker = Rc::clone(&requester.server.worker);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut body = Gathered {
        bytes: Bytes::new(),
        room: Room {
            worker: Rc::clone(&worker),
            counted: 0,
        },
    };
    let mut rest = match scratch.request.framing {
        BodyFraming::None | BodyFraming::Length(0) => return Ok(body),
        // A call has no end that could be waited for.
        _ if requester.grpc => return Err(Refusal::BodyTooLarge),
        BodyFraming::Length(stated) if stated > most as u64 => return Err(Refusal::BodyTooLarge),
        _ if requester.stream.is_http2() => Rest::Stream,
        BodyFraming::Length(stated) => Rest::Length(usize::try_from(stated).unwrap_or(usize::MAX)),
        BodyFraming::Chunked | BodyFraming::UntilClose => Rest::Chunks(
            Box::new(ChunkDecoder::new(ChunkLimits::default())),
            Vec::new(),
            length,
        ),
    };
    let buffer = settings.filters.buffer;
    // Where no length is stated, room is found for each piece before it is read.
    let stated = match scratch.request.framing {
        BodyFraming::Length(stated) => Some(usize::try_from(stated).unwrap_or(usize::MAX)),
        BodyFraming::None | BodyFraming::Chunked | BodyFraming::UntilClose => None,
    };
    body.room.extend_to(stated.unwrap_or(0), buffer)?;
    if scratch.request.expect_continue {
        say_continue(requester, scratch).await?;
        scratch.request.expect_continue = false;
    }
    // Chunks have heads.
    let limit = match rest {
        Rest::Chunks(..) => length.saturating_add(2 * most).saturating_add(AT_ONCE),
        Rest::Length(_) | Rest::Stream => length.saturating_add(most).saturating_add(1),
    };
    requester.deadline.set(settings.timeouts.body_idle);
    poll_fn(|context| {
        if worker.phase() == Phase::Ended {
            return Poll::Ready(Err(Refusal::Drained));
        }
        loop {
            let input = &mut scratch.from_client;
            let has = input.filled().len().saturating_sub(length);
            if stated.is_none() {
                body.room.extend_to(has.min(most), buffer)?;
            }
            if rest.is_over(input.filled(), length, most)? {
                return Poll::Ready(Ok(()));
            }
            if stated.is_none() {
                body.room
                    .extend_to(has.saturating_add(AT_ONCE).min(most), buffer)?;
            }
            let mut room = ReadBuf::new(input.room_for(limit, AT_ONCE));
            if room.remaining() == 0 {
                return Poll::Ready(Err(Refusal::BodyTooLarge));
            }
            match requester.stream.poll_read(context, &mut room) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Refusal::ClientGone)),
                Poll::Pending if requester.deadline.has_passed(context) => {
                    return Poll::Ready(Err(Refusal::BodyTimeout));
                }
                Poll::Pending => return Poll::Pending,
            }
            let count = room.filled().len();
            input.filled_by(count);
            match (count, &rest) {
                (0, Rest::Stream) => return Poll::Ready(Ok(())),
                (0, _) => return Poll::Ready(Err(Refusal::ClientGone)),
                (_, _) => requester.deadline.set(settings.timeouts.body_idle),
            }
        }
    })
    .await?;
    let read = scratch.from_client.filled();
    body.bytes = match rest {
        Rest::Length(stated) => Bytes::copy_from_slice(read.get(length..length + stated).unwrap_or_default()),
        Rest::Chunks(_, data, _) => data.into(),
        Rest::Stream => Bytes::copy_from_slice(read.get(length..).unwrap_or_default()),
    };
    Ok(body)
}

impl Rest {
    /// Whether the body is there. `read` begins with a head of `length` bytes.
    fn is_over(&mut self, read: &[u8], length: usize, most: usize) -> Result<bool, Refusal> {
        match self {
            Self::Length(stated) => Ok(read.len() >= length.saturating_add(*stated)),
            Self::Stream if read.len().saturating_sub(length) > most => Err(Refusal::BodyTooLarge),
            Self::Stream => Ok(false),
            Self::Chunks(decoder, data, at) => loop {
                let input = read.get(*at..).unwrap_or_default();
                if input.is_empty() {
                    return Ok(false);
                }
                match decoder.decode(input).map_err(Refusal::Body)? {
                    ChunkStep::NeedMore { consumed } => {
                        *at += consumed;
                        return Ok(false);
                    }
                    ChunkStep::Data { skip, len } => {
                        data.extend_from_slice(input.get(skip..skip + len).unwrap_or_default());
                        *at += skip + len;
                        if data.len() > most {
                            return Err(Refusal::BodyTooLarge);
                        }
                    }
                    ChunkStep::Done { .. } => return Ok(true),
                }
            },
        }
    }
}

/// The client waits to be told to go on.
async fn say_continue(requester: &mut Requester<'_>, scratch: &mut Scratch) -> Result<(), Refusal> {
    let out = &mut scratch.to_client;
    out.clear();
    let informed = requester.stream.inform_continue(out);
    informed.map_err(|_| Refusal::ClientGone)?;
    requester.deadline.set(
        requester
            .server
            .worker
            .door
            .snapshot()
            .settings()
            .timeouts
            .write_stall,
    );
    let mut written = 0;
    let sent = poll_fn(|context| {
        while let Some(left) = out.get(written..).filter(|left| !left.is_empty()) {
            match requester.stream.poll_write(context, left, &[]) {
                Poll::Ready(Ok(count)) if count > 0 => written += count,
                Poll::Ready(_) => return Poll::Ready(Err(Refusal::ClientGone)),
                Poll::Pending if requester.deadline.has_passed(context) => {
                    return Poll::Ready(Err(Refusal::ClientStalled));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        let flushed = ready!(requester.stream.poll_flush(context));
        Poll::Ready(flushed.map_err(|_| Refusal::ClientGone))
    })
    .await;
    scratch.to_client.clear();
    sent
}
