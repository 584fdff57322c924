//! An upgraded connection (RFC 9110 7.8): the bytes of another protocol, both ways.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use wire::BodyFraming;

use crate::exchange::relay::{Relay, RelayError, WaitsFor};
use crate::exchange::tenure::{Nature, Occupant, Tenure};
use crate::exchange::{HALF_CLOSED, STREAM_IDLE};
use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::stream::body::Sink;
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::Phase;
use crate::worker::buffers::Scratch;
use crate::worker::deadlines::{Deadline, Wait};
use crate::worker::pipes::Pipes;
use crate::worker::read_buffer::ReadBuffer;

/// Two streams of another protocol: bytes pass both ways until both sides have ended.
pub(crate) struct Tunnel<'a> {
    pub(crate) client: &'a mut Stream,
    pub(crate) upstream: &'a mut Stream,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) deadline: &'a Deadline,
    pub(crate) pipes: &'a Pipes,
    up: Option<Relay>,
    down: Option<Relay>,
    armed: bool,
    /// Bytes of the directions that have ended.
    moved: (u64, u64),
}

impl<'a> Tunnel<'a> {
    pub(crate) fn new(
        client: &'a mut Stream,
        upstream: &'a mut Stream,
        scratch: &'a mut Scratch,
        deadline: &'a Deadline,
        pipes: &'a Pipes,
    ) -> Self {
        let relay = |to: &Stream| {
            Some(Relay::new(
                BodyFraming::UntilClose,
                to.sink(Sink::Plain),
                u64::MAX,
                TrailerLimits::IGNORED,
            ))
        };
        let (up, down) = (relay(upstream), relay(client));
        scratch.to_client.clear();
        scratch.to_upstream.clear();
        Self {
            client,
            upstream,
            scratch,
            deadline,
            pipes,
            up,
            down,
            armed: false,
            moved: (0, 0),
        }
    }

    /// Relays bytes until the connection, its tenure or the drain ends.
    pub(crate) async fn run(
        &mut self,
        mut tenure: Tenure<'_>,
        occupant: Occupant<'_>,
    ) -> Result<(), Refusal> {
        poll_fn(|context| {
            if tenure.is_over(context, Nature::Lasting, occupant) {
                return Poll::Ready(Err(Refusal::Withdrawn));
            }
            if tenure.worker().phase() == Phase::Ended {
                return Poll::Ready(Ok(()));
            }
            self.poll(context)
        })
        .await
    }

    /// Bytes from the client, and to it.
    pub(crate) fn moved(&self) -> (u64, u64) {
        let more = |half: &Option<Relay>| half.as_ref().map_or(0, Relay::moved);
        (self.moved.0 + more(&self.up), self.moved.1 + more(&self.down))
    }

    /// Ready when both sides have ended, one has broken, or nothing has moved for [`STREAM_IDLE`].
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let Scratch {
            from_client,
            from_upstream,
            to_client,
            to_upstream,
            ..
        } = &mut *self.scratch;
        let mut progressed = !self.armed;
        match poll_half(
            &mut self.up,
            &mut self.moved.0,
            context,
            self.client,
            self.upstream,
            from_client,
            to_upstream,
            self.pipes,
        ) {
            Ok(moved) => progressed |= moved,
            Err(_) => return Poll::Ready(Ok(())),
        }
        match poll_half(
            &mut self.down,
            &mut self.moved.1,
            context,
            self.upstream,
            self.client,
            from_upstream,
            to_client,
            self.pipes,
        ) {
            Ok(moved) => progressed |= moved,
            Err(_) => return Poll::Ready(Ok(())),
        }
        if self.up.is_none() && self.down.is_none() {
            return Poll::Ready(Ok(()));
        }
        if progressed {
            self.armed = true;
            // Once one side has ended, the other has little left to send.
            let both = self.up.is_some() && self.down.is_some();
            let patience = if both { STREAM_IDLE } else { HALF_CLOSED };
            self.deadline.set_following(self.deadline.now(), patience);
        }
        match self.deadline.wait(context) {
            Wait::Running => Poll::Pending,
            Wait::Quiet => {
                self.settle();
                Poll::Pending
            }
            Wait::Passed => Poll::Ready(Ok(())),
            Wait::Cut => Poll::Ready(Err(Refusal::Overload)),
        }
    }

    /// Gives back the memory that is not needed while nothing moves, and says what is held for a client that does not read.
    fn settle(&mut self) {
        let stalls = |half: &Option<Relay>| {
            let half = half.as_ref();
            half.is_some_and(|relay| relay.waits_for() == WaitsFor::Sink)
        };
        let client_stalls = stalls(&self.down);
        for half in [&mut self.up, &mut self.down].into_iter().flatten() {
            half.settle();
        }
        let unsent = if client_stalls {
            self.client.most_unsent()
        } else {
            0
        };
        self.scratch
            .rest(unsent + self.client.unread() + self.upstream.unread());
        if client_stalls {
            self.deadline.holds(self.scratch.held());
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a relay's arguments and where its half of the tunnel is kept"
)]
/// Moves one direction of a tunnel; when its source has ended, ends the sink.
fn poll_half(
    half: &mut Option<Relay>,
    moved: &mut u64,
    context: &mut Context<'_>,
    from: &mut Stream,
    to: &mut Stream,
    input: &mut ReadBuffer,
    out: &mut Vec<u8>,
    pipes: &Pipes,
) -> io::Result<bool> {
    let Some(relay) = half else { return Ok(false) };
    match relay.poll(context, from, to, input, out, pipes) {
        Poll::Pending => Ok(relay.take_progress()),
        Poll::Ready(Ok(())) => match to.poll_shutdown(context) {
            Poll::Ready(told) => {
                *moved += relay.moved();
                *half = None;
                told.map(|()| true)
            }
            Poll::Pending => Ok(false),
        },
        Poll::Ready(Err(RelayError::Read(error) | RelayError::Write(error))) => Err(error),
        Poll::Ready(Err(
            RelayError::Truncated | RelayError::Chunk(_) | RelayError::TooLarge | RelayError::Trailers,
        )) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
