//! One request, whatever its HTTP version, in phases of which each consumes the one before:
//!
//! ```text
//! head ─► decide ─┬─► reply ◄─┐
//!                 ├─► filter ─┤
//!                 └─► plan ◄──┘ ─► attempts ─► exchange
//! ```

mod attempt;
mod beginning;
mod body_limit;
pub(crate) mod cause;
mod conduct;
mod course;
mod decide;
mod denial;
pub(crate) mod filter;
mod gathering;
mod page;
mod passage;
mod plan;
mod proxy_status;
pub(crate) mod record;
pub(crate) mod rehearsal;
pub(crate) mod reply;
pub(crate) mod requester;
mod telling;
#[cfg(test)]
mod tests;

use std::time::Instant;

use wire::Glimpse;

use crate::head::identity::Identity;
use crate::observe::access::Times;
use crate::refusal::Refusal;
use crate::request::decide::{Decision, decide};
use crate::request::passage::{Halt, Suspended};
use crate::request::plan::Plan;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::requester::{Next, Requester};
use crate::worker::buffers::Scratch;

/// Serves the request whose head is the first `length` bytes of the client's buffer.
pub(crate) async fn serve(
    requester: &mut Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Next {
    // Nothing but what is known by then is kept while the request is under way, and nothing of it twice: a task is moved
    // several times before it runs.
    match prepare(requester, scratch, length, record) {
        Ok(ref mut plan) => attempt::carry_out(plan, requester, scratch, record).await,
        Err(Halt::Reply(reply)) => {
            requester.outdated |= matches!(reply, Reply::Refused(Refusal::Outdated));
            reply.send(requester, scratch, record).await
        }
        // Few requests wait: the memory for it is their own, and not a part of each request's.
        Err(Halt::Wait(suspended)) => Box::pin(wait(suspended, requester, scratch, length, record)).await,
    }
}

/// What to do with the request: how it goes to a backend, or what it is answered.
fn prepare(
    requester: &Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Result<Plan, Halt> {
    let (decision, identity) = decide(requester, scratch, length, record);
    if let Some(story) = &mut record.story {
        story.has_decided();
    }
    let prepared = match decision {
        Decision::Forward(matched, upstream) => Plan::new(
            matched, upstream, &identity, requester, scratch, length, record, None,
        )
        .map_err(Halt::Reply),
        Decision::Filter(matched, filters) => {
            let began = Instant::now();
            let prepared = passage::begin(matched, filters, identity, requester, scratch, length, record);
            Times::add(&mut record.times.filters, began);
            prepared
        }
        Decision::Reply(reply) => {
            if matches!(reply, Reply::Redirect { .. }) {
                record.explain("the door redirects what its sibling serves (`redirect`)");
            }
            Err(Halt::Reply(reply))
        }
    };
    if !matches!(prepared, Err(Halt::Wait(_))) {
        scratch.from_client.consume(length);
    }
    prepared
}

/// Serves a request of which a filter has to wait for something.
async fn wait(
    suspended: Box<Suspended>,
    requester: &mut Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Next {
    let began = Instant::now();
    let mut prepared = passage::resume(suspended, requester, scratch, length, record).await;
    Times::add(&mut record.times.filters, began);
    scratch.from_client.consume(length);
    match prepared {
        Ok(ref mut plan) => attempt::carry_out(plan, requester, scratch, record).await,
        Err(reply) => reply.send(requester, scratch, record).await,
    }
}

/// Refuses a request whose head cannot be parsed.
pub(crate) async fn refuse_unread(
    requester: &mut Requester<'_>,
    scratch: &mut Scratch,
    refusal: Refusal,
    record: &mut Record,
) -> Next {
    record_unread(requester, scratch, None, &refusal, record);
    Reply::Refused(refusal).send(requester, scratch, record).await
}

/// Records the parts that are known of a head that cannot be parsed: `seen`, or what its bytes begin with.
pub(crate) fn record_unread(
    requester: &Requester<'_>,
    scratch: &Scratch,
    seen: Option<Glimpse<'_>>,
    refusal: &Refusal,
    record: &mut Record,
) {
    let worker = &requester.server.worker;
    let head = scratch.from_client.filled();
    let snapshot = worker.door.snapshot();
    let settings = snapshot.settings();
    let identity = Identity::of(&requester.downstream.peer, settings, &scratch.request, head);
    let seen = seen.unwrap_or_else(|| Glimpse::of(head));
    record.glimpse(worker, seen, head, &identity);
    if let Refusal::Head(error) = refusal {
        record.explain(error.explain(head, &settings.head_limits()));
    } else if matches!(refusal, Refusal::HeadTimeout) {
        record.explain(cause::late_head(settings, head.len()));
    }
}
