//! How long an exchange may continue without progress: it always waits for one thing, and each has its own timeout.

use std::task::{Context, Poll};
use std::time::Duration;

use super::progress::{Request, Response};
use super::timer::{Timer, Waits};
use super::{Exchange, HALF_CLOSED, Parts};
use crate::exchange::relay::WaitsFor;
use crate::refusal::Refusal;
use crate::worker::deadlines::Wait;

/// How long a client waits for a 100 at most. Many wait a second by themselves, others for ever.
const CONTINUE: Duration = Duration::from_millis(100);

/// A request body that delivers less than this within its timeout makes no progress.
const DRIP_BYTES: u64 = 1024;

impl Exchange<'_> {
    /// Ready when the wait has taken too long.
    pub(super) fn poll_deadline(&mut self, context: &mut Context<'_>, progressed: bool) -> Poll<Refusal> {
        let waits = self.waits();
        let moved = self.parts.upload.moved();
        // A body that arrives byte by byte is not progress.
        let drips = waits == Waits::RequestBody && !self.traits.grpc && moved - self.timer.moved < DRIP_BYTES;
        let goes_on = self.timer.waits == Some(waits);
        if !goes_on || (progressed && !drips) {
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
                self.parts.deadline.set_following(now, patience);
            }
        }
        match self.parts.deadline.wait(context) {
            Wait::Running => return Poll::Pending,
            Wait::Quiet => {
                self.settle(waits);
                return Poll::Pending;
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

    /// Gives back the memory that is not needed while nothing moves, and says what is held for a client that does not read.
    fn settle(&mut self, waits: Waits) {
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
        let unsent = if waits == Waits::ClientWrite {
            client.most_unsent()
        } else {
            0
        };
        scratch.rest(unsent + client.unread() + upstream.unread());
        if waits == Waits::ClientWrite {
            self.parts.deadline.holds(self.parts.scratch.held() + in_pipes);
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
            (Response::Final(_) | Response::Interim(_), _) => Waits::ClientWrite,
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
