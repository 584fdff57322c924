//! The heads of an exchange's responses: read from the backend, checked, and sent to the client.

use std::borrow::Cow;
use std::task::{Context, Poll, ready};

use h2::Reason;
use wire::{BodyFraming, Field, FieldId, HeadLimits, Method, ResponseHead, ResponseTo, Version, elements};

use super::cause::Ending;
use super::progress::{Answer, AnswerEnd, Request, Response, Word};
use super::{Exchange, Parts, ResponseFilters, STREAM_IDLE};
use crate::exchange::relay::Relay;
use crate::head::draft::{Connection, FieldEdits, Framing, ResponseDraft, UNEDITED, client_framing};
use crate::head::status::is_poor;
use crate::refusal::Refusal;
use crate::stream::body::Sink;
use crate::stream::trailer_limits::TrailerLimits;
use crate::stream::{HeadUnsent, NoHead};
use crate::worker::buffers::Scratch;

/// Interim responses that one request may have; more are a flood.
const INTERIM: u8 = 16;

impl Exchange<'_> {
    /// Reads the next response head and prepares what follows it.
    pub(super) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let limits = HeadLimits {
            bytes: self.parts.limits.header_bytes,
            fields: self.parts.limits.headers,
            target_bytes: 0,
        };
        let answers = if self.traits.method == Method::Head {
            ResponseTo::Head
        } else {
            ResponseTo::Other
        };
        let too_early = self.traits.upgrade && self.request == Request::Sending;
        self.client_full = false;
        loop {
            let Scratch {
                from_upstream,
                response,
                ..
            } = &mut *self.parts.scratch;
            if !from_upstream.is_empty() {
                match response.parse(from_upstream.filled(), &limits, answers) {
                    // The client may change the protocol when it has sent all of its request (RFC 9110 7.8).
                    Ok(Some(_)) if response.status == 101 && too_early => return Poll::Pending,
                    Ok(Some(length)) => {
                        let is_interim = matches!(response.status, 100 | 102..=199);
                        if is_interim && self.parts.client.poll_informed(context).is_pending() {
                            self.client_full = true;
                            return Poll::Pending;
                        }
                        return Poll::Ready(self.accept_head(length));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        let why = error.explain(from_upstream.filled(), &limits);
                        return Poll::Ready(Err(self.malformed(why)));
                    }
                }
            }
            let Poll::Ready(most) = self.parts.client.poll_hold(context, from_upstream.len()) else {
                self.client_full = true;
                return Poll::Pending;
            };
            let upstream = &mut self.parts.upstream;
            match ready!(upstream.poll_response_head(context, from_upstream, limits.bytes + 1, most)) {
                Ok(()) => self.heard = true,
                Err(none) => return Poll::Ready(Err(self.has_no_head(none))),
            }
        }
    }

    fn has_no_head(&mut self, none: NoHead) -> Refusal {
        match none {
            // Bytes that never became a head are an invalid response; none at all is a broken connection.
            NoHead::Ended if self.heard => {
                let read = self.parts.scratch.from_upstream.len();
                self.malformed(format!(
                    "the connection ended within the response head, after {read} bytes of it"
                ))
            }
            NoHead::Ended => Refusal::UpstreamReset,
            NoHead::Reset => {
                self.ending = Ending::Reset;
                Refusal::UpstreamReset
            }
            NoHead::Broken => {
                self.ending = Ending::Broken;
                Refusal::UpstreamReset
            }
            NoHead::Malformed => self.malformed("what the backend sends is not HTTP/2"),
            NoHead::Unprocessed => {
                self.word = Some(Word::Unprocessed);
                Refusal::UpstreamReset
            }
            NoHead::GivenUp(reason) => {
                self.heard = true;
                if matches!(reason, Reason::CANCEL | Reason::NO_ERROR) {
                    self.word = Some(Word::Cancelled);
                }
                Refusal::UpstreamGaveUp(reason)
            }
        }
    }

    fn accept_head(&mut self, length: usize) -> Result<(), Refusal> {
        let status = self.parts.scratch.response.status;
        if !(100..=199).contains(&status) || status == 101 {
            self.answered_at = Some(self.parts.deadline.now());
        }
        match status {
            101 if self.traits.upgrade && self.request == Request::Sent => self.accept_upgrade(length),
            101 => Err(self.malformed("101 to a request that asks for no upgrade, or before its end")),
            100..=199 => self.accept_interim(length),
            _ => self.accept_final(length),
        }
    }

    fn accept_upgrade(&mut self, length: usize) -> Result<(), Refusal> {
        let Scratch {
            from_upstream,
            to_client,
            response,
            protocols,
            ..
        } = &mut *self.parts.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        if !is_asked_for(protocols, response, head) {
            return Err(self.malformed("101 to a protocol that the request does not ask for"));
        }
        let edits = edits(self.parts.filters, response, head);
        let draft = ResponseDraft {
            head,
            response,
            edits: &edits,
            framing: Framing::None(None),
            connection: Connection::Upgrade,
            trailers: false,
            clock: Some(self.parts.clock),
        };
        self.parts.client.respond(&draft, false, to_client)?;
        from_upstream.consume(length);
        let mut download = self.download(BodyFraming::None, Framing::UntilClose);
        download.leave_open();
        self.response = Response::Final(Answer {
            download,
            status: self.parts.client.upgraded_status(),
            end: AnswerEnd::Upgrade,
            keep: false,
            poor: false,
            lasting: false,
        });
        Ok(())
    }

    fn accept_interim(&mut self, length: usize) -> Result<(), Refusal> {
        self.interims += 1;
        if self.interims > INTERIM {
            return Err(self.malformed(format!("more than {INTERIM} interim responses")));
        }
        let Scratch {
            from_upstream,
            to_client,
            response,
            ..
        } = &mut *self.parts.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        // A client that did not ask for a 100, has had one, or cannot read interim responses gets none.
        let wanted = response.status != 100
            || (self.traits.expect_continue && !std::mem::replace(&mut self.continued, true));
        if wanted && self.traits.version == Version::Http11 {
            let draft = ResponseDraft {
                head,
                response,
                edits: &UNEDITED.fields,
                framing: Framing::None(None),
                connection: Connection::Keep,
                trailers: false,
                clock: None,
            };
            self.parts.client.inform(&draft, to_client)?;
            self.response = informed(to_client);
        }
        from_upstream.consume(length);
        Ok(())
    }

    /// The backend has not said whether it wants the request's body, and the client waits for that: the gateway sends a 100
    /// (RFC 9110 10.1.1).
    pub(super) fn say_continue(&mut self) -> Result<(), Refusal> {
        self.continued = true;
        let Parts { client, scratch, .. } = &mut self.parts;
        client.inform_continue(&mut scratch.to_client)?;
        self.response = informed(&scratch.to_client);
        Ok(())
    }

    pub(super) fn accept_final(&mut self, length: usize) -> Result<(), Refusal> {
        if let Some(filters) = self.parts.filters
            && self.intercepts
            && filters.intercepts(self.parts.scratch.response.status)
        {
            self.response = Response::Held(length);
            return Ok(());
        }
        let trailers = self.takes_trailers();
        let Scratch {
            from_upstream,
            to_client,
            response,
            ..
        } = &mut *self.parts.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        let (client, upstream) = (&mut *self.parts.client, &*self.parts.upstream);
        if self.traits.upgrade && client.upgraded_status() != 101 && matches!(response.status, 200..=299) {
            // To the client every 2xx would mean that the WebSocket is open (RFC 8441 5), and it is not.
            let why = format!("{} instead of 101", response.status);
            return Err(self.malformed(why));
        }
        let framing = client_framing(response, self.traits.version);
        // A backend that will not read the rest of the request leaves bytes that belong to nothing.
        let unread = !self.parts.upload.source_ended();
        let cut = unread && !response.persistent();
        // A client that waits for 100 and gets its answer may never send the body.
        let unasked = unread && self.traits.expect_continue && self.parts.upload.moved() == 0;
        let keep =
            self.traits.persistent && !self.closing && framing != Framing::UntilClose && !cut && !unasked;
        let edits = edits(self.parts.filters, response, head);
        let draft = ResponseDraft {
            head,
            response,
            edits: &edits,
            framing,
            connection: match (keep, self.traits.version) {
                (true, Version::Http11) => Connection::Keep,
                (true, Version::Http10) => Connection::KeepExplicitly,
                (false, _) => Connection::Close,
            },
            trailers,
            clock: Some(self.parts.clock),
        };
        // A stream that has ended already says so with its head, as gRPC's errors do.
        client.respond(&draft, upstream.has_ended(), to_client)?;
        let (status, source) = (response.status, upstream.source(response.framing));
        let fields = &response.fields;
        let says_failure = self.traits.grpc && fields.iter().any(|field| says_failure(field, head));
        let lasting = fields.iter().any(|field| is_event_stream(field, head));
        if lasting {
            self.timeouts.response_idle = self.timeouts.response_idle.max(STREAM_IDLE);
        }
        from_upstream.consume(length);
        self.response = Response::Final(Answer {
            download: self.download(source, framing),
            status,
            end: if framing == Framing::UntilClose {
                AnswerEnd::WithConnection
            } else {
                AnswerEnd::OfItsOwn
            },
            keep,
            poor: says_failure || is_poor(status),
            lasting,
        });
        Ok(())
    }

    /// The body that follows a final head.
    fn download(&self, source: BodyFraming, framing: Framing) -> Relay {
        let sink = match framing {
            Framing::Chunked => Sink::Chunked {
                trailers: self.takes_trailers(),
            },
            Framing::None(_) | Framing::Length(_) | Framing::UntilClose => Sink::Plain,
        };
        let trailers = TrailerLimits::of(self.parts.limits);
        Relay::new(source, self.parts.client.sink(sink), u64::MAX, trailers).of_backend()
    }

    fn takes_trailers(&self) -> bool {
        self.traits.te_trailers && self.traits.version == Version::Http11
    }
}

/// What the filters of a route change in the head of a response.
fn edits<'e>(
    filters: Option<&'e dyn ResponseFilters>,
    response: &ResponseHead,
    head: &[u8],
) -> Cow<'e, FieldEdits> {
    match filters {
        Some(filters) => filters.edits(response, head),
        None => Cow::Borrowed(&*UNEDITED.fields),
    }
}

/// What follows an interim response: it has been sent, or must be written.
fn informed(text: &[u8]) -> Response {
    if text.is_empty() {
        return Response::Awaited;
    }
    Response::Interim(Relay::new(
        BodyFraming::None,
        Sink::Plain,
        0,
        TrailerLimits::IGNORED,
    ))
}

impl From<HeadUnsent> for Refusal {
    fn from(unsent: HeadUnsent) -> Self {
        match unsent {
            HeadUnsent::Unsayable => Self::UpstreamMalformed,
            HeadUnsent::Gone => Self::ClientGone,
        }
    }
}

fn is_event_stream(field: &Field, head: &[u8]) -> bool {
    let starts = |value: &[u8]| value.eq_ignore_ascii_case(b"text/event-stream");
    field.id == FieldId::ContentType && field.value.of(head).get(..17).is_some_and(starts)
}

/// Whether the backend failed, by the status field in the head of a gRPC call without a body (gRPC, "Status codes and their use"): UNKNOWN,
/// INTERNAL, UNAVAILABLE and DATA_LOSS correspond to 5xx in HTTP.
fn says_failure(field: &Field, head: &[u8]) -> bool {
    field.name.of(head).eq_ignore_ascii_case(b"grpc-status")
        && matches!(field.value.of(head), b"2" | b"13" | b"14" | b"15")
}

/// Whether a 101 names protocols, and none that the client did not ask for (RFC 9110 7.8).
fn is_asked_for(asked: &[u8], response: &ResponseHead, head: &[u8]) -> bool {
    let fields = response.fields.iter();
    let mut named = fields
        .filter(|field| field.id == FieldId::Upgrade)
        .flat_map(|field| elements(field.value.of(head)))
        .peekable();
    named.peek().is_some()
        && named.all(|protocol| elements(asked).any(|asked| is_same_protocol(asked, protocol)))
}

/// Names compare without case; a version counts if both sides give one.
fn is_same_protocol(left: &[u8], right: &[u8]) -> bool {
    let name = |protocol: &'_ [u8]| protocol.iter().take_while(|byte| **byte != b'/').count();
    let (left_name, right_name) = (name(left), name(right));
    let versioned = left_name < left.len() && right_name < right.len();
    if versioned {
        left.eq_ignore_ascii_case(right)
    } else {
        let names = (left.get(..left_name), right.get(..right_name));
        matches!(names, (Some(left), Some(right)) if left.eq_ignore_ascii_case(right))
    }
}
