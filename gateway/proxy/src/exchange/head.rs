//! The heads of an exchange's responses: read from the backend, judged, and told to the client.

use std::task::{Context, Poll, ready};

use h2::Reason;
use tokio::io::ReadBuf;
use wire::{BodyFraming, Field, FieldId, HeadLimits, Method, ResponseHead, ResponseTo, Version, elements};

use super::{Exchange, INTERIM, STREAM_IDLE};
use crate::exchange::relay::{Relay, Sink};
use crate::head::draft::{Connection, Framing, ResponseDraft, UNEDITED, client_framing};
use crate::head::http2;
use crate::refusal::Refusal;
use crate::stream::http2::Http2Error;
use crate::stream::trailer_limits::TrailerLimits;
use crate::stream::{HeadUnsent, Stream};
use crate::worker::buffers::Scratch;

impl Exchange<'_> {
    /// Reads the next response head and prepares what follows it.
    pub(super) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        let limits = HeadLimits {
            bytes: self.settings.limits.header_bytes,
            fields: self.settings.limits.headers,
            target_bytes: 0,
        };
        let request = if self.traits.method == Method::Head {
            ResponseTo::Head
        } else {
            ResponseTo::Other
        };
        let uploading = !self.progress.upload_done && !self.progress.upload_broken;
        let too_early = self.traits.upgrade && uploading;
        loop {
            let Scratch {
                from_upstream,
                response,
                ..
            } = &mut *self.scratch;
            if !from_upstream.is_empty() {
                match response.parse(from_upstream.filled(), &limits, request) {
                    // The client may change the protocol when it has sent all of its request (RFC 9110 7.8).
                    Ok(Some(_)) if response.status == 101 && too_early => return Poll::Pending,
                    Ok(Some(length)) => return Poll::Ready(self.accept_head(length)),
                    Ok(None) => {}
                    Err(error) => {
                        let why = error.explain(from_upstream.filled());
                        return Poll::Ready(Err(self.malformed(why)));
                    }
                }
            }
            let socket = match &mut *self.upstream {
                Stream::Http2(stream) => match ready!(stream.poll_head(context)) {
                    Ok(head) => {
                        self.progress.heard = true;
                        http2::write_response(&head.into_parts().0, from_upstream);
                        continue;
                    }
                    Err(error) => {
                        self.progress.unprocessed = error == Http2Error::Unprocessed;
                        if let Http2Error::Reset(reason) = error {
                            self.progress.heard = true;
                            self.progress.cancelled = matches!(reason, Reason::CANCEL | Reason::NO_ERROR);
                        }
                        return Poll::Ready(Err(match error {
                            Http2Error::Malformed => self.malformed("what the backend sends is not HTTP/2"),
                            Http2Error::Reset(reason) => Refusal::UpstreamGaveUp(reason),
                            Http2Error::Unprocessed | Http2Error::Broken => Refusal::UpstreamReset,
                        }));
                    }
                },
                Stream::Socket(socket) => socket,
            };
            let mut room = ReadBuf::new(from_upstream.room(limits.bytes + 1));
            let read = ready!(socket.poll_read(context, &mut room));
            let count = room.filled().len();
            from_upstream.filled_by(count);
            match read {
                Ok(()) if count > 0 => self.progress.heard = true,
                // Bytes that never became a head are nonsense; none at all is a broken connection.
                Ok(()) if self.progress.heard => {
                    return Poll::Ready(Err(
                        self.malformed("the connection ended within the response head")
                    ));
                }
                Ok(()) | Err(_) => return Poll::Ready(Err(Refusal::UpstreamReset)),
            }
        }
    }

    fn accept_head(&mut self, length: usize) -> Result<(), Refusal> {
        match self.scratch.response.status {
            101 if self.traits.upgrade && self.progress.upload_done => self.accept_upgrade(length),
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
        } = &mut *self.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        if !is_asked_for(protocols, response, head) {
            return Err(self.malformed("101 to a protocol that the request does not ask for"));
        }
        let draft = ResponseDraft {
            head,
            response,
            edits: &UNEDITED.fields,
            framing: Framing::None(None),
            connection: Connection::Upgrade,
            trailers: false,
            clock: Some(&self.worker.clock),
        };
        self.client.respond(&draft, false, to_client)?;
        let sink = self.client_sink(Framing::UntilClose);
        self.begin_download(length, BodyFraming::None, sink);
        Ok(())
    }

    fn accept_interim(&mut self, length: usize) -> Result<(), Refusal> {
        self.progress.interims += 1;
        if self.progress.interims > INTERIM {
            return Err(self.malformed(format!("more than {INTERIM} interim responses")));
        }
        let Scratch {
            from_upstream,
            to_client,
            response,
            ..
        } = &mut *self.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        // A client that did not ask for 100, has had one, or cannot read interim responses, is spared them.
        let wanted = response.status != 100
            || (self.traits.expect_continue && !std::mem::replace(&mut self.progress.continued, true));
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
            self.client.inform(&draft, to_client)?;
            self.progress.interim = interim(to_client);
        }
        from_upstream.consume(length);
        Ok(())
    }

    /// The backend has not said whether it wants the request's body, and the client waits to hear it: it is told to go
    /// on (RFC 9110 10.1.1).
    pub(super) fn say_continue(&mut self) -> Result<(), Refusal> {
        self.progress.continued = true;
        let to_client = &mut self.scratch.to_client;
        self.client.inform_continue(to_client)?;
        self.progress.interim = interim(to_client);
        Ok(())
    }

    fn accept_final(&mut self, length: usize) -> Result<(), Refusal> {
        let Scratch {
            from_upstream,
            to_client,
            response,
            ..
        } = &mut *self.scratch;
        let head = from_upstream.filled().get(..length).unwrap_or_default();
        if self.traits.upgrade && self.client.is_http2() && matches!(response.status, 200..=299) {
            // To the client every 2xx would mean that the WebSocket is open (RFC 8441 5), and it is not.
            let why = format!("{} instead of 101", response.status);
            return Err(self.malformed(why));
        }
        let trailers = self.traits.te_trailers && self.traits.version == Version::Http11;
        let framing = client_framing(response, self.traits.version);
        // A backend that will not read the rest of the request leaves bytes that no one can use.
        let unread = !self.upload.source_ended();
        let cut = unread && !response.persistent();
        // A client that waits for 100 and gets its answer may never send the body.
        let unasked = unread && self.traits.expect_continue && self.upload.moved() == 0;
        self.progress.keep =
            self.traits.persistent && !self.closing && framing != Framing::UntilClose && !cut && !unasked;
        let draft = ResponseDraft {
            head,
            response,
            edits: &UNEDITED.fields,
            framing,
            connection: match (self.progress.keep, self.traits.version) {
                (true, Version::Http11) => Connection::Keep,
                (true, Version::Http10) => Connection::KeepExplicitly,
                (false, _) => Connection::Close,
            },
            trailers,
            clock: Some(&self.worker.clock),
        };
        // A stream that has ended already says so with its head, as gRPC's errors do.
        self.client
            .respond(&draft, self.upstream.has_ended(), to_client)?;
        self.progress.until_close = framing == Framing::UntilClose && !self.client.is_http2();
        let grpc = self.traits.grpc && response.fields.iter().any(|field| says_failure(field, head));
        self.progress.poor = grpc || is_poor(response.status);
        let is_event_stream = response.fields.iter().any(|field| {
            field.id == FieldId::ContentType
                && field
                    .value
                    .of(head)
                    .get(..17)
                    .is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
        });
        if is_event_stream {
            self.lasting = true;
            self.timeouts.response_idle = self.timeouts.response_idle.max(STREAM_IDLE);
        }
        let source = match (&*self.upstream, response.framing) {
            (_, BodyFraming::None) => BodyFraming::None,
            // The end of the stream counts; that it agrees with a stated length is checked where frames are read.
            (Stream::Http2(_), _) => BodyFraming::UntilClose,
            (Stream::Socket(_), framing) => framing,
        };
        let sink = self.client_sink(framing);
        self.begin_download(length, source, sink);
        Ok(())
    }

    fn client_sink(&self, framing: Framing) -> Sink {
        match (&*self.client, framing) {
            (Stream::Http2(_), _) => Sink::Frames,
            (Stream::Socket(_), Framing::Chunked) => Sink::Chunked {
                trailers: self.traits.te_trailers && self.traits.version == Version::Http11,
            },
            (Stream::Socket(_), Framing::None(_) | Framing::Length(_) | Framing::UntilClose) => Sink::Plain,
        }
    }

    /// The head is sent or on its way: from now on the client cannot be told otherwise.
    fn begin_download(&mut self, length: usize, source: BodyFraming, sink: Sink) {
        self.progress.upgraded = self.scratch.response.status == 101;
        self.progress.status = match &*self.client {
            Stream::Http2(_) if self.progress.upgraded => 200,
            Stream::Http2(_) | Stream::Socket(_) => self.scratch.response.status,
        };
        let trailers = TrailerLimits::of(&self.settings.limits);
        let mut relay = Relay::new(source, sink, u64::MAX, trailers).of_backend();
        if self.progress.upgraded {
            relay.leave_open();
        }
        self.progress.download = Some(relay);
        self.scratch.from_upstream.consume(length);
    }
}

/// Whether a status says that the backend failed, and not that the request asks for what it does not have.
fn is_poor(status: u16) -> bool {
    status >= 500 && !matches!(status, 501 | 505)
}

/// The same of a field of a head that is all there is of a gRPC call (gRPC, "Status codes and their use"): UNKNOWN,
/// INTERNAL, UNAVAILABLE and DATA_LOSS are what HTTP has 5xx for.
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

/// Names compare without case; a version counts where both sides say one.
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

/// An interim response that is to be written, if it has not been sent.
fn interim(text: &[u8]) -> Option<Relay> {
    let relay = || Relay::new(BodyFraming::None, Sink::Plain, 0, TrailerLimits::IGNORED);
    (!text.is_empty()).then(relay)
}

impl From<HeadUnsent> for Refusal {
    fn from(unsent: HeadUnsent) -> Self {
        match unsent {
            HeadUnsent::Unsayable => Self::UpstreamMalformed,
            HeadUnsent::Gone => Self::ClientGone,
        }
    }
}
