//! The passage of a request through the filters of its route: from the decision to the plan, and the waits between them.

use std::rc::Rc;
use std::sync::Arc;

use door::{Filters, Matched};

use crate::head::identity::Identity;
use crate::head::traits::grpc_timeout;
use crate::refusal::Refusal;
use crate::request::course::Course;
use crate::request::filter::{Asking, Awaited, Passed, Seen, Step, Wait};
use crate::request::gathering::{Gathered, gather};
use crate::request::plan::Plan;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::requester::Requester;
use crate::settings::Settings;
use crate::upstream::connecting::while_wanted;
use crate::worker::buffers::Scratch;

/// Why there is no plan yet.
pub(crate) enum Halt {
    /// There will be none: the request is answered.
    Reply(Reply),
    /// A filter waits for something.
    Wait(Box<Suspended>),
}

/// A request that waits for something outside its worker, so that its head stays in the buffer.
pub(crate) struct Suspended {
    matched: Matched<Settings>,
    course: Box<Course>,
    identity: Identity,
    /// What a filter has asked for, and has got.
    body: Option<Gathered>,
    wait: For,
}

/// What a request waits for.
enum For {
    /// Something that a filter does.
    Filter(Wait),
    /// Its body, of at most so many bytes.
    Body(u64),
}

/// Begins the course of a request whose head is the first `length` bytes of the client's buffer.
pub(crate) fn begin(
    matched: Matched<Settings>,
    filters: Arc<Filters>,
    identity: Identity,
    requester: &Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Result<Plan, Halt> {
    let course = requester.server.courses.begin(filters);
    go_on(
        matched, course, identity, None, requester, scratch, length, record,
    )
}

/// Waits until the request can go on, for as long as its client does, and goes on until it is planned or answered.
pub(crate) async fn resume(
    mut suspended: Box<Suspended>,
    requester: &mut Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Result<Plan, Reply> {
    // The deadline of a call holds while its filters wait, too.
    let until = requester
        .grpc
        .then(|| {
            let head = scratch.from_client.filled().get(..length)?;
            record
                .started()
                .checked_add(grpc_timeout(&scratch.request, head)?)
        })
        .flatten();
    loop {
        let Suspended {
            matched,
            mut course,
            identity,
            mut body,
            wait,
        } = *suspended;
        let step = match wait {
            For::Filter(wait) => {
                let server = Rc::clone(requester.server);
                let waited = while_wanted(requester.stream, requester.deadline, &server.worker, until, wait);
                let Awaited(settle) = waited.await?;
                settle(&mut course)
            }
            For::Body(most) => match gather(requester, scratch, length, most, &matched.settings).await {
                Ok(gathered) => {
                    body = Some(gathered);
                    Step::Pass
                }
                Err(refusal) => {
                    if matches!(refusal, Refusal::BodyTooLarge) {
                        record.explain(format!(
                            "the request's body is larger than the {most} bytes that a filter of its route reads as a whole"
                        ));
                    }
                    Step::Answer(refusal.into())
                }
            },
        };
        if let Some(story) = &mut record.story {
            story.settled(&step);
        }
        let halt = match step {
            Step::Pass => match go_on(
                matched, course, identity, body, requester, scratch, length, record,
            ) {
                Ok(plan) => return Ok(plan),
                Err(halt) => halt,
            },
            Step::Answer(reply) => Halt::Reply(course.edit(reply)),
            Step::Wait(wait) => Halt::Wait(Box::new(Suspended {
                matched,
                course,
                identity,
                body,
                wait: For::Filter(wait),
            })),
            Step::Body(most) => Halt::Wait(Box::new(Suspended {
                matched,
                course,
                identity,
                body,
                wait: For::Body(most),
            })),
        };
        suspended = match halt {
            Halt::Reply(reply) => return Err(reply),
            Halt::Wait(again) => again,
        };
    }
}

#[expect(clippy::too_many_arguments, reason = "each is borrowed or moved on its own")]
fn go_on(
    mut matched: Matched<Settings>,
    mut course: Box<Course>,
    identity: Identity,
    body: Option<Gathered>,
    requester: &Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> Result<Plan, Halt> {
    let seen = Seen {
        asking: Asking {
            head: scratch.from_client.filled().get(..length).unwrap_or_default(),
            request: &scratch.request,
            place: &scratch.place,
            identity: &identity,
            matched: &matched,
        },
        trace: record.tracing.as_ref(),
        started: record.started(),
        worker: &requester.server.worker,
        server: requester.server,
        downstream: requester.downstream,
        body: body.as_ref().map(|body| &body.bytes),
    };
    match course.advance(&seen, record.story.as_deref_mut()) {
        Passed::Through => {}
        Passed::Answered(reply) => {
            if matches!(reply, Reply::Redirect { .. }) {
                record.explain("a filter of its Ingress redirects it");
            }
            return Err(Halt::Reply(course.edit(reply)));
        }
        Passed::Waits(wait) => {
            let wait = For::Filter(wait);
            return Err(halted(matched, course, identity, body, wait));
        }
        Passed::NeedsBody(most) => {
            return Err(halted(matched, course, identity, body, For::Body(most)));
        }
    }
    let destination = match course.destination(&seen, &requester.server.upstreams) {
        Ok(destination) => destination,
        Err(reply) => {
            return Err(Halt::Reply(course.edit(reply)));
        }
    };
    let upstream = destination.settle(&mut matched);
    record.route = Some(Arc::clone(&matched.route));
    Plan::new(
        matched,
        upstream,
        &identity,
        requester,
        scratch,
        length,
        record,
        Some(course),
    )
    .map_err(Halt::Reply)
}

fn halted(
    matched: Matched<Settings>,
    course: Box<Course>,
    identity: Identity,
    body: Option<Gathered>,
    wait: For,
) -> Halt {
    Halt::Wait(Box::new(Suspended {
        matched,
        course,
        identity,
        body,
        wait,
    }))
}
