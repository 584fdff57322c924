//! Pages in place of errors, while a request is under way.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use wire::BodyFraming;

use crate::exchange::{Exchange, Failure};
use crate::head::emit::OwnAnswer;
use crate::refusal::{Disposition, Refusal, Side};
use crate::request::course::Course;
use crate::request::denial::Denial;
use crate::request::plan::Plan;
use crate::request::reply::Reply;
use crate::request::requester::{Requester, Server};
use crate::stream::socket::Socket;
use crate::upstream::connecting::while_wanted;
use crate::upstream::{Endpoint, body};
use crate::worker::deadlines::Deadline;

/// So much of a response that nobody gets is read, so that its connection can be used again.
const LEFTOVER: usize = 64 * 1024;

/// The page in place of an intercepted response. `None` if it cannot be had: the response goes to the client after all.
pub(super) async fn of_response(
    exchange: &mut Exchange<'_>,
    course: &Course,
    server: &Server,
    deadline: &Deadline,
    until: Option<Instant>,
) -> Result<Option<Box<OwnAnswer>>, Failure> {
    let status = exchange.held().unwrap_or_default();
    let fetching = Box::pin(course.page(status, &server.upstreams));
    let waiting = while_wanted(exchange.client(), deadline, &server.worker, until, fetching);
    match waiting.await {
        Ok(Some(page)) => Ok(Some(Box::new(page))),
        Ok(None) => exchange.release().map(|()| None),
        Err(refusal) => Err(exchange.cut(refusal)),
    }
}

/// What the client gets where the backend has failed: the page in place of the status, if there is one.
pub(super) async fn of_refusal(refusal: Refusal, plan: &Plan, requester: &mut Requester<'_>) -> Reply {
    let Disposition { status, side, .. } = refusal.disposition();
    let Some(course) = plan.course.as_deref() else {
        return Reply::Refused(refusal);
    };
    if side != Side::Upstream || !course.replaces(status) {
        return Reply::Refused(refusal);
    }
    let server = Rc::clone(requester.server);
    let fetching = course.page(status, &server.upstreams);
    let waiting = while_wanted(
        requester.stream,
        requester.deadline,
        &server.worker,
        None,
        fetching,
    );
    match Box::pin(waiting).await {
        Ok(Some(page)) => {
            let denial = Denial::of_refusal(&refusal, &plan.upstream);
            Reply::Filter(Box::new(page), Some(denial))
        }
        Ok(None) => Reply::Refused(refusal),
        Err(refusal) => Reply::Refused(refusal),
    }
}

/// Keeps the connection of a backend after a response in whose place something else is sent, if the rest of that is short and
/// has arrived: the client waits for its page. `read`: what has been read of it, whose head has this length.
pub(super) fn keep(
    mut socket: Socket,
    read: &[u8],
    (length, framing): (usize, BodyFraming),
    endpoint: &Endpoint,
) {
    let read = read.get(length..).unwrap_or_default().to_vec();
    let rest = {
        let rest = pin!(body(&mut socket, read, framing, LEFTOVER));
        rest.poll(&mut Context::from_waker(Waker::noop()))
    };
    // What comes after it answers no request.
    if matches!(rest, Poll::Ready(Ok((_, true)))) {
        endpoint.keep(socket, Instant::now());
    }
}
