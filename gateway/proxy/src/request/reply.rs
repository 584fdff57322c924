//! Every answer of the gateway's own, and the one way to send it.

use std::borrow::Cow;
use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use wire::{BodyFraming, Method, Version};

use crate::head::draft::{Connection, FieldEdits};
use crate::head::emit::{self, Delivery, OwnAnswer, OwnField};
use crate::head::status;
use crate::observe::labels::Reason;
use crate::refusal::{Refusal, grpc_status};
use crate::request::denial::Denial;
use crate::request::record::Record;
use crate::request::requester::{Next, Requester};
use crate::request::{cause, proxy_status};
use crate::worker::buffers::Scratch;

/// The methods that are forwarded, and any other token with them (RFC 9110 10.2.1).
const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The media type of bodies of the gateway's own.
const TEXT: &str = "text/plain; charset=utf-8";

/// Bodies up to this length are copied behind their heads, and cost no write of their own.
const LITTLE: usize = 4096;

/// An answer of the gateway's own.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The request has failed.
    Refused(Refusal),
    /// The client should send it elsewhere.
    Redirect { status: u16, location: Vec<u8> },
    /// To the health check of a load balancer.
    Healthy,
    /// To OPTIONS that must not be forwarded (RFC 9110 7.6.2).
    Options,
    /// To a connection for which the door has no room.
    NoRoom,
    /// What a filter answers, and why; `None` if it is no refusal.
    Filter(Box<OwnAnswer>, Option<Denial>),
    /// Any of these, with the edits of the filters that the request has reached.
    Edited(Box<(Reply, FieldEdits)>),
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl OwnAnswer {
    /// The answer of a filter with this status, in a few words.
    pub(crate) fn plain(status: u16) -> Self {
        Self {
            status,
            fields: SmallVec::new(),
            media_type: TEXT.into(),
            body: Bytes::from_static(status::text(status).as_bytes()),
            grpc: Some(grpc_status(status)),
        }
    }
}

impl Reply {
    /// What a filter answers whom it does not let pass, and why, for the log.
    pub(crate) fn denied(status: u16, reason: Reason, why: impl Into<Cow<'static, str>>) -> Self {
        let denial = Denial::of_filter(status, reason, why);
        Self::Filter(Box::new(OwnAnswer::plain(status)), Some(denial))
    }

    /// The same, with one more field. Only what a filter answers takes one.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, [u8]>>) -> Self {
        if let Self::Filter(answer, _) = &mut self {
            answer.fields.push((name.into(), value.into()));
        }
        self
    }

    /// The same, with the edits of the filters that the request has reached.
    pub(crate) fn edited(self, edits: FieldEdits) -> Self {
        Self::Edited(Box::new((self, edits)))
    }

    /// Sends it instead of a backend's answer, if that is still possible. Returns what happens to the client's side.
    pub(crate) async fn send(
        self,
        requester: &mut Requester<'_>,
        scratch: &mut Scratch,
        record: &mut Record,
    ) -> Next {
        let (reply, edits) = self.split();
        let (is_head_parsed, closes) = match &reply {
            Self::Refused(refusal) => {
                if matches!(refusal, Refusal::BodyTooLarge) {
                    let snapshot = requester.server.worker.door.snapshot();
                    let limit = cause::too_large(record.route.as_deref(), snapshot.settings());
                    limit.into_iter().for_each(|limit| record.explain(limit));
                }
                record.refused(refusal);
                if matches!(refusal, Refusal::ClientGone) {
                    return Next::Drop;
                }
                let is_head_parsed = !matches!(refusal, Refusal::Head(_) | Refusal::HeadTimeout);
                (is_head_parsed, refusal.disposition().close)
            }
            Self::Redirect { status, .. } => {
                record.answered(*status, Some(Reason::Redirect));
                (true, false)
            }
            Self::Healthy | Self::Options => {
                record.answered(200, None);
                (true, false)
            }
            Self::NoRoom => {
                record.explain("the door has as many connections as it may have (`limits.connections`)");
                record.answered(503, Some(Reason::ConnectionLimit));
                (false, true)
            }
            Self::Filter(answer, denial) => {
                record.denied(answer.status, denial.as_ref());
                (true, false)
            }
            // It has been split.
            Self::Edited(_) => (true, false),
        };
        let request = &scratch.request;
        let is_unread = !matches!(request.framing, BodyFraming::None | BodyFraming::Length(0));
        let keep = is_head_parsed && !closes && !is_unread && request.persistent() && !requester.is_closing();
        let connection = match (keep, request.version) {
            (false, _) => Connection::Close,
            (true, Version::Http10) => Connection::KeepExplicitly,
            (true, Version::Http11) => Connection::Keep,
        };
        let proxy_status = reply.proxy_status(requester, record);
        let mut answer = reply.into_answer();
        if let Some(value) = proxy_status {
            let value = value.into_owned().into_bytes();
            answer.fields.push((proxy_status::NAME.into(), value.into()));
        }
        if let Some(edits) = edits {
            answer.edit(&edits);
        }
        if !requester.grpc {
            answer.grpc = None;
        }
        let date = requester.server.worker.clock.date();
        let delivery = Delivery {
            // Known before the rest of the head; an answer to HEAD has no body even if the head is refused.
            method: request.method,
            date: Some(&date),
            connection,
        };
        deliver(requester, &mut scratch.to_client, &answer, &delivery).await
    }

    /// Writes it for an HTTP/1 connection on which no request has been read, and none will be.
    pub(crate) fn write_unasked(self, out: &mut Vec<u8>) {
        let delivery = Delivery {
            method: Method::Other,
            date: None,
            connection: Connection::Close,
        };
        let body = emit::own(out, &self.into_answer(), &delivery);
        out.extend_from_slice(&body);
    }

    /// The value of `Proxy-Status`, at a door that sends it.
    fn proxy_status(&self, requester: &Requester<'_>, record: &Record) -> Option<Cow<'static, str>> {
        if !requester.server.worker.door.snapshot().settings().proxy_status {
            return None;
        }
        match self {
            Self::Refused(refusal) => Some(proxy_status::of_refusal(refusal, record.service.as_deref())),
            Self::Filter(_, denial) => denial.as_ref()?.proxy_status.clone(),
            Self::NoRoom => Some("blastdoor; error=proxy_internal_error".into()),
            Self::Redirect { .. } | Self::Healthy | Self::Options | Self::Edited(_) => None,
        }
    }

    fn split(self) -> (Self, Option<FieldEdits>) {
        let Self::Edited(edited) = self else {
            return (self, None);
        };
        let (reply, edits) = *edited;
        (reply, Some(edits))
    }

    fn into_answer(self) -> OwnAnswer {
        if let Self::Filter(answer, _) = self {
            return *answer;
        }
        if let Self::Edited(edited) = self {
            return edited.0.into_answer();
        }
        let (status, grpc) = match &self {
            Self::Refused(refusal) => {
                let disposition = refusal.disposition();
                (disposition.status, Some(disposition.grpc_status()))
            }
            Self::Redirect { status, .. } => (*status, Some(grpc_status(*status))),
            Self::Healthy | Self::Options | Self::Filter(..) | Self::Edited(_) => (200, None),
            Self::NoRoom => (503, None),
        };
        let body = match &self {
            // It is unknown whether the request is a HEAD.
            Self::NoRoom => "",
            Self::Refused(_)
            | Self::Redirect { .. }
            | Self::Healthy
            | Self::Options
            | Self::Filter(..)
            | Self::Edited(_) => status::text(status),
        };
        let fields: SmallVec<[_; 2]> = match self {
            Self::Redirect { location, .. } => smallvec![("Location".into(), Cow::Owned(location))],
            Self::Options => smallvec![text("Allow", ALLOW)],
            Self::Refused(_) | Self::NoRoom if status == 503 => smallvec![text("Retry-After", "1")],
            Self::Refused(_) if status == 405 => smallvec![text("Allow", ALLOW)],
            Self::Refused(_) | Self::Healthy | Self::NoRoom | Self::Filter(..) | Self::Edited(_) => {
                SmallVec::new()
            }
        };
        OwnAnswer {
            status,
            fields,
            media_type: TEXT.into(),
            body: Bytes::from_static(body.as_bytes()),
            grpc,
        }
    }
}

fn text(name: &'static str, value: &'static str) -> OwnField {
    (name.into(), value.as_bytes().into())
}

/// Sends an answer in the client's HTTP version.
async fn deliver(
    requester: &mut Requester<'_>,
    out: &mut Vec<u8>,
    answer: &OwnAnswer,
    delivery: &Delivery<'_>,
) -> Next {
    out.clear();
    let body = requester.stream.answer(answer, delivery, out);
    let Some(socket) = requester.stream.socket() else {
        return Next::Drop;
    };
    let deadline = requester.deadline;
    let stall = requester
        .server
        .worker
        .door
        .snapshot()
        .settings()
        .timeouts
        .write_stall;
    deadline.set(stall);
    // A small body leaves with its head; a large one from where it is.
    let mut body: &[u8] = &body;
    if body.len() <= LITTLE {
        out.extend_from_slice(std::mem::take(&mut body));
    }
    let mut rest: &[u8] = out;
    let sent = poll_fn(|context| {
        loop {
            if rest.is_empty() {
                rest = std::mem::take(&mut body);
            }
            let step = match rest {
                [] => socket.poll_flush(context).map_ok(|()| 0),
                rest => socket.poll_write(context, rest),
            };
            match step {
                Poll::Ready(Ok(0)) => return Poll::Ready(rest.is_empty()),
                Poll::Ready(Ok(count)) => {
                    rest = rest.get(count..).unwrap_or_default();
                    if !rest.is_empty() || !body.is_empty() {
                        // Only a client that takes nothing for so long has stalled.
                        deadline.set(stall);
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending if deadline.has_passed(context) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    match (sent, delivery.connection) {
        (false, _) => {
            socket.reset();
            Next::Drop
        }
        (true, Connection::Keep | Connection::KeepExplicitly) => Next::Keep,
        (true, Connection::Close | Connection::Upgrade) => Next::Close,
    }
}
