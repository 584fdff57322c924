//! How long an exchange may continue without progress: it always waits for one thing, and each has its own timeout.
//!
//! Only what is waited for is progress: what moves the other way does not extend the wait. A client that sends makes no
//! progress as a reader, and one that takes a byte now and then makes none worth waiting for. The one exception is a
//! backend that says nothing because the request is still on its way to it.

use std::task::{Context, Poll};
use std::time::Duration;

use super::progress::{Request, Response};
use super::timer::{Moved, Timer, Waits};
use super::{Exchange, HALF_CLOSED, Parts};
use crate::exchange::relay::{Relay, WaitsFor};
use crate::refusal::Refusal;
use crate::worker::deadlines::Wait;

/// How long a client waits for a 100 at most. Many wait a second by themselves, others for ever.
const CONTINUE: Duration = Duration::from_millis(100);

/// What a client must send, or take of what waits for it, within a timeout. Less is no progress.
pub(crate) const LEAST: u64 = 1024;

impl Exchange<'_> {
    /// Ready when the wait has taken too long.
    pub(super) fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Refusal> {
        let waits = self.waits();
        let moved = self.moved(waits);
        let goes_on = self.timer.waits == Some(waits);
        if !goes_on || self.is_progress(waits, moved) {
            self.timer = Timer {
                waits: Some(waits),
                moved,
            };
            let now = self.parts.deadline.now();
            let patience = self.patience(waits);
            let left = self
                .timeouts
                .until
                .map(|until| until.saturating_duration_since(now));
            let patience = left.map_or(patience, |left| left.min(patience));
            if goes_on && waits == Waits::ClientWrite {
                self.parts.deadline.prolong(now, patience);
            } else {
                if waits == Waits::ClientWrite {
                    let unsent = self.parts.client.most_unsent();
                    self.parts.scratch.expect_in_kernel(unsent);
                }
                self.parts.deadline.set_following(now, patience);
            }
        }
        match self.parts.deadline.wait(context) {
            Wait::Running => return Poll::Pending,
            Wait::Quiet => {
                return match self.become_quiet(context, waits) {
                    Err(refusal) => Poll::Ready(refusal),
                    Ok(()) => Poll::Pending,
                };
            }
            Wait::Cut => return Poll::Ready(Refusal::Overload),
            Wait::Passed => {}
        }
        Poll::Ready(match waits {
            // Deadlines are kept in whole milliseconds.
            _ if self
                .timeouts
                .until
                .is_some_and(|until| until <= self.parts.deadline.now() + Duration::from_millis(2)) =>
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
            _ if self.client_ended => Refusal::ClientGone,
            Waits::UpstreamWrite | Waits::ResponseBody => Refusal::UpstreamStalled,
            Waits::ResponseHead => Refusal::UpstreamTimeout,
        })
    }

    /// Nothing moves: counts and gives back what can be, and has it looked for what does not wake the task, such as what
    /// comes later.
    fn become_quiet(&mut self, context: &mut Context<'_>, waits: Waits) -> Result<(), Refusal> {
        self.stall(context, true)?;
        self.settle(waits);
        let (client, backend) = self.are_unread();
        let gathers = client && self.parts.client.is_http2() || backend && self.parts.upstream.is_http2();
        let is_blind = self.is_blind();
        self.parts.deadline.look(gathers || is_blind);
        if is_blind {
            self.check_client(context)
        } else {
            Ok(())
        }
    }

    /// Gives back the memory that is not needed while nothing moves, and says what is held for a side that does not read.
    fn settle(&mut self, waits: Waits) {
        let upload_stalls = self.upload_stalls();
        let Parts {
            client,
            upstream,
            scratch,
            upload,
            ..
        } = &mut self.parts;
        let mut in_pipes = upload.settle();
        if let Response::Final(answer) = &mut self.response {
            in_pipes += answer.download.settle();
        }
        let reader = match waits {
            Waits::ClientWrite => Some(&**client),
            // Also when it has begun to answer.
            Waits::UpstreamWrite | Waits::ResponseBody if upload_stalls => Some(&**upstream),
            Waits::Continue
            | Waits::RequestBody
            | Waits::UpstreamWrite
            | Waits::ResponseHead
            | Waits::ResponseBody => None,
        };
        let (unsent, queued) = reader.map_or((0, 0), |reader| (reader.most_unsent(), reader.queued()));
        let waits_for_reader = reader.is_some();
        scratch.rest(unsent + client.unread() + upstream.unread());
        if waits_for_reader {
            let held = scratch.held() + in_pipes + queued + client.stored() + upstream.stored();
            self.parts.deadline.holds_for_reader(held);
        }
    }

    /// The bytes that count while the exchange waits for this.
    fn moved(&self, waits: Waits) -> Moved {
        let upload = &self.parts.upload;
        let download = |count: fn(&Relay) -> u64| match &self.response {
            Response::Final(answer) => count(&answer.download),
            Response::Interim(relay) => count(relay),
            Response::Awaited | Response::Held(_) => 0,
        };
        match waits {
            Waits::Continue | Waits::ResponseHead => Moved::default(),
            Waits::RequestBody => Moved {
                up: upload.moved(),
                down: 0,
            },
            Waits::UpstreamWrite => Moved {
                up: upload.given(),
                down: 0,
            },
            Waits::ResponseBody => Moved {
                up: upload.moved(),
                down: download(Relay::moved),
            },
            Waits::ClientWrite => Moved {
                up: 0,
                down: download(Relay::given),
            },
        }
    }

    /// Whether enough has moved since the deadline was set.
    fn is_progress(&self, waits: Waits, moved: Moved) -> bool {
        let since = self.timer.moved;
        if moved == since {
            return false;
        }
        // A gRPC call is a conversation: its messages may be short and rare.
        let least = if self.traits.grpc { 1 } else { LEAST };
        // Another relay begins to count anew.
        let has_gained =
            |now: u64, then: u64, least: u64| now.checked_sub(then).is_none_or(|gain| gain >= least);
        match waits {
            Waits::Continue | Waits::ResponseHead => false,
            Waits::RequestBody => has_gained(moved.up, since.up, least),
            Waits::UpstreamWrite => true,
            Waits::ResponseBody => moved.down != since.down || has_gained(moved.up, since.up, least),
            Waits::ClientWrite => has_gained(moved.down, since.down, LEAST),
        }
    }

    fn patience(&self, waits: Waits) -> Duration {
        let patience = match waits {
            Waits::Continue => CONTINUE,
            Waits::RequestBody | Waits::UpstreamWrite => self.timeouts.body_idle,
            Waits::ResponseHead => self.timeouts.response_head,
            Waits::ResponseBody => self.timeouts.response_idle,
            Waits::ClientWrite => self.timeouts.write_stall,
        };
        if self.client_ended {
            patience.min(HALF_CLOSED)
        } else {
            patience
        }
    }

    fn waits(&self) -> Waits {
        let upload = &self.parts.upload;
        match (&self.response, self.request) {
            (Response::Final(answer), _) if answer.download.waits_for() == WaitsFor::Source => {
                Waits::ResponseBody
            }
            (Response::Final(_) | Response::Interim(_) | Response::Held(_), _) => Waits::ClientWrite,
            (Response::Awaited, _) if self.client_full => Waits::ClientWrite,
            (Response::Awaited, Request::Sent | Request::Broken) => Waits::ResponseHead,
            (Response::Awaited, Request::Sending) if upload.waits_for() == WaitsFor::Sink => {
                Waits::UpstreamWrite
            }
            (Response::Awaited, Request::Sending)
                if self.traits.expect_continue && !self.continued && upload.moved() == 0 =>
            {
                Waits::Continue
            }
            (Response::Awaited, Request::Sending) => Waits::RequestBody,
        }
    }
}
