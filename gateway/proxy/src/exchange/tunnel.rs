//! An upgraded connection (RFC 9110 7.8): the bytes of another protocol, both ways.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use wire::BodyFraming;

use crate::exchange::deadline::LEAST;
use crate::exchange::relay::{Relay, RelayError, WaitsFor};
use crate::exchange::tenure::{Nature, Occupant, Tenure};
use crate::exchange::{HALF_CLOSED, STREAM_IDLE};
use crate::refusal::Refusal;
use crate::stream::Stream;
use crate::stream::body::Sink;
use crate::stream::http2::TooManyHeads;
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::Phase;
use crate::worker::buffers::Scratch;
use crate::worker::deadlines::{Deadline, Wait};
use crate::worker::memory::CONNECTION;
use crate::worker::pipes::Pipes;
use crate::worker::read_buffer::ReadBuffer;

/// Deadlines are kept in whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

/// Two streams of another protocol: bytes pass both ways until both sides have ended.
pub(crate) struct Tunnel<'a> {
    pub(crate) client: &'a mut Stream,
    pub(crate) upstream: &'a mut Stream,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) deadline: &'a Deadline,
    pub(crate) pipes: &'a Pipes,
    up: Option<Relay>,
    down: Option<Relay>,
    /// Bytes of the directions that have ended.
    moved: (u64, u64),
    /// What must not last too long; `None` before the first look.
    waits: Option<TunnelWaits>,
    /// How long bytes may wait for a side that does not take them.
    stall: Duration,
}

/// How long a tunnel may stay as it is.
#[derive(Debug, Clone, Copy)]
struct TunnelWaits {
    /// Both directions are open.
    both: bool,
    /// When it has been silent for too long, and what had moved when that was set.
    idle: Mark<(u64, u64)>,
    /// When a side has taken too little of what waits for it, and what it had taken when that was set.
    client: Option<Mark<u64>>,
    backend: Option<Mark<u64>>,
}

/// A deadline, and what had moved when it was set.
#[derive(Debug, Clone, Copy)]
struct Mark<T> {
    due: Instant,
    moved: T,
}

/// How long a side may take too little of what waits for it, in units of `write_stall`: a person may pause a stream that
/// is shown on a screen.
const PAUSE: u32 = 10;

impl<'a> Tunnel<'a> {
    pub(crate) fn new(
        client: &'a mut Stream,
        upstream: &'a mut Stream,
        scratch: &'a mut Scratch,
        deadline: &'a Deadline,
        pipes: &'a Pipes,
        write_stall: Duration,
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
        scratch.forget_heads();
        // Most tunnels are silent most of the time, and many from the beginning.
        scratch.rest(0);
        Self {
            client,
            upstream,
            scratch,
            deadline,
            pipes,
            up,
            down,
            moved: (0, 0),
            waits: None,
            stall: write_stall * PAUSE,
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

    /// Ready when both sides have ended, one has broken, nothing has moved for [`STREAM_IDLE`], or one does not take what
    /// waits for it.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let Scratch {
            from_client,
            from_upstream,
            to_client,
            to_upstream,
            ..
        } = &mut *self.scratch;
        let up = poll_half(
            &mut self.up,
            &mut self.moved.0,
            context,
            self.client,
            self.upstream,
            from_client,
            to_upstream,
            self.pipes,
        );
        if up.is_err() {
            return Poll::Ready(Ok(()));
        }
        let down = poll_half(
            &mut self.down,
            &mut self.moved.1,
            context,
            self.upstream,
            self.client,
            from_upstream,
            to_client,
            self.pipes,
        );
        if down.is_err() || (self.up.is_none() && self.down.is_none()) {
            return Poll::Ready(Ok(()));
        }
        if self.stall(context, false).is_err() {
            return Poll::Ready(Ok(()));
        }
        self.look();
        let is_unread = stalls(&self.up);
        // Nobody reads what the client sends, so only this wakes the task when the client leaves.
        if is_unread && self.client.is_http2() && self.client.has_broken(context) {
            return Poll::Ready(Ok(()));
        }
        match self.deadline.wait(context) {
            Wait::Running => return Poll::Pending,
            Wait::Quiet => {
                let gathers = self.stall(context, true);
                self.settle();
                self.deadline
                    .look(is_unread || gathers.is_ok_and(|gathers| gathers));
                return if is_unread && self.client.has_broken(context) {
                    Poll::Ready(Ok(()))
                } else {
                    Poll::Pending
                };
            }
            Wait::Cut => return Poll::Ready(Err(Refusal::Overload)),
            Wait::Passed => {}
        }
        let now = self.deadline.now();
        let is_over = |mark: Option<Mark<u64>>| mark.is_some_and(|mark| mark.due <= now + ROUNDING);
        Poll::Ready(match self.waits {
            Some(waits) if is_over(waits.client) => Err(Refusal::ClientStalled),
            Some(waits) if is_over(waits.backend) => Err(Refusal::UpstreamStalled),
            Some(_) | None => Ok(()),
        })
    }

    /// What arrives on a shared connection is taken from it also while nobody reads it. Whether there is such a side.
    fn stall(&mut self, context: &mut Context<'_>, is_quiet: bool) -> Result<bool, TooManyHeads> {
        let mut gathers = false;
        for (half, from) in [(&self.up, &mut self.client), (&self.down, &mut self.upstream)] {
            let is_unread = half
                .as_ref()
                .is_none_or(|relay| relay.waits_for() == WaitsFor::Sink);
            if is_unread {
                from.stall(context, is_quiet)?;
                gathers |= from.is_http2();
            }
        }
        Ok(gathers)
    }

    /// Gives back the memory that is not needed while nothing moves, and says what is held for a client that does not read.
    fn settle(&mut self) {
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
        let held = self.scratch.held() + self.client.stored() + self.upstream.stored();
        if client_stalls {
            self.deadline.holds_for_reader(held);
        } else {
            self.deadline.holds_for_tunnel(held + CONNECTION);
        }
    }

    /// Sets the deadline anew if something has changed that counts.
    fn look(&mut self) {
        let given = |half: &Option<Relay>| {
            let half = half.as_ref().filter(|half| half.waits_for() == WaitsFor::Sink);
            half.map(Relay::given)
        };
        let (client, backend) = (given(&self.down), given(&self.up));
        let (moved, both) = (self.moved(), self.up.is_some() && self.down.is_some());
        let last = self.waits;
        let is_alive = last.is_some_and(|last| {
            last.both == both
                && last.idle.moved == moved
                && holds(last.client, client)
                && holds(last.backend, backend)
        });
        if is_alive {
            return;
        }
        let now = self.deadline.now();
        // Once one side has ended, the other has little left to send; what is left of a client must not come byte by byte.
        let patience = if both { STREAM_IDLE } else { HALF_CLOSED };
        let drips = |idle: Mark<(u64, u64)>| self.down.is_none() && moved.0 - idle.moved.0 < LEAST;
        let idle = match last.filter(|last| last.both == both) {
            Some(last) if last.idle.moved == moved || drips(last.idle) => last.idle,
            Some(_) | None => Mark {
                due: now + patience,
                moved,
            },
        };
        let renew = |mark: Option<Mark<u64>>, taken: Option<u64>| {
            let due = now + self.stall;
            let fresh = taken.map(|moved| Mark { due, moved });
            mark.filter(|mark| taken.is_some_and(|taken| taken - mark.moved < LEAST))
                .or(fresh)
        };
        let waits = TunnelWaits {
            both,
            idle,
            client: renew(last.and_then(|last| last.client), client),
            backend: renew(last.and_then(|last| last.backend), backend),
        };
        self.waits = Some(waits);
        let due = waits.due();
        // A client that has stalled remains so, whatever it sends. A backend that has does not make a tunnel silent.
        let is_active = |last: TunnelWaits| client.is_none() && last.idle.moved != waits.idle.moved;
        if last.is_none_or(|last| last.due() != due || is_active(last)) {
            let left = due.saturating_duration_since(now);
            self.deadline.set_following(now, left);
        }
    }
}

impl TunnelWaits {
    /// When the first of them has lasted too long.
    fn due(&self) -> Instant {
        let stalls = [self.client, self.backend].into_iter().flatten();
        let due = stalls.map(|mark| mark.due).min();
        due.map_or(self.idle.due, |due| due.min(self.idle.due))
    }
}

/// Whether a direction waits for its sink to take something.
fn stalls(half: &Option<Relay>) -> bool {
    half.as_ref()
        .is_some_and(|relay| relay.waits_for() == WaitsFor::Sink)
}

/// Whether a mark still says what a side has taken of what waits for it, or that nothing waits.
fn holds(mark: Option<Mark<u64>>, taken: Option<u64>) -> bool {
    match (mark, taken) {
        (None, None) => true,
        (Some(mark), Some(taken)) => taken - mark.moved < LEAST,
        (Some(_), None) | (None, Some(_)) => false,
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
) -> io::Result<()> {
    let Some(relay) = half else { return Ok(()) };
    match relay.poll(context, from, to, input, out, pipes) {
        Poll::Pending => Ok(()),
        Poll::Ready(Ok(())) => match to.poll_shutdown(context) {
            Poll::Ready(told) => {
                *moved += relay.moved();
                *half = None;
                told
            }
            Poll::Pending => Ok(()),
        },
        Poll::Ready(Err(RelayError::Read(error) | RelayError::Write(error))) => Err(error),
        Poll::Ready(Err(
            RelayError::Truncated | RelayError::Chunk(_) | RelayError::TooLarge | RelayError::Trailers,
        )) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
