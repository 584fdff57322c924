//! What arrives on a connection under HTTP/2, followed frame by frame, and a backend's connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frames, Part, hide};
use super::inbox::Inbox;
use crate::stream::socket::Socket;

/// The frames that arrive on a connection, of either side.
pub(crate) struct Received {
    frames: Frames,
    inbox: Rc<Inbox>,
    /// The streams have their turn before more is read.
    pauses: bool,
}

impl Received {
    /// `preface`: the bytes before the first frame.
    pub(crate) fn new(preface: usize, inbox: Rc<Inbox>) -> Self {
        Self {
            frames: Frames::behind(preface),
            inbox,
            pauses: false,
        }
    }

    /// Whether to read nothing now. The task is woken then.
    pub(crate) fn pauses(&mut self, context: &Context<'_>) -> bool {
        let pauses = std::mem::take(&mut self.pauses);
        if pauses {
            context.waker().wake_by_ref();
        }
        pauses
    }

    /// Follows bytes that have been read, hides what the library must not see, and tells what is in them.
    pub(crate) fn follow(&mut self, new: &mut [u8], mut tell: impl FnMut(&Frames, &Part<'_>)) {
        let mut idle: SmallVec<[usize; 4]> = SmallVec::new();
        let (inbox, pauses) = (&self.inbox, &mut self.pauses);
        self.frames.follow(new, |frame, part| {
            match part {
                Part::Begins => {
                    *pauses |= inbox.begins(frame);
                    idle.extend(frame.place_of_type().filter(|_| frame.is_idle_data()));
                }
                Part::Payload(_) => {}
                Part::Ends => inbox.ends(frame),
            }
            tell(frame, &part);
        });
        hide(new, &idle);
    }
}

/// A backend's connection under HTTP/2, whose arriving frames are followed.
pub(crate) struct Followed {
    socket: Socket,
    received: Received,
}

impl Followed {
    pub(crate) fn new(socket: Socket, inbox: Rc<Inbox>) -> Self {
        Self {
            socket,
            received: Received::new(0, inbox),
        }
    }
}

impl AsyncRead for Followed {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.received.pauses(context) {
            return Poll::Pending;
        }
        let before = into.filled().len();
        ready!(this.socket.poll_read(context, into))?;
        let new = into.filled_mut().get_mut(before..).unwrap_or_default();
        this.received.follow(new, |_, _| {});
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Followed {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::DATA;
    use super::*;

    /// A frame, and whether the library may not see it.
    fn frame(random: &mut fastrand::Rng) -> (Vec<u8>, bool) {
        let kind = random.u8(0..10);
        let length: u16 = random.choice([0, 0, 1, 9, 300]).unwrap();
        let [high, low] = length.to_be_bytes();
        let ends = random.u8(0..2);
        let mut frame = vec![0, high, low, kind, ends, 0, 0, 0, random.u8(..)];
        frame.extend((0..length).map(|_| random.u8(..)));
        (frame, kind == DATA && length == 0 && ends == 0)
    }

    /// However the bytes are split: the same is told, and only the types of empty DATA frames change.
    #[test]
    fn frames_are_followed_in_any_pieces() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let preface = random.usize(0..30);
            let (mut bytes, mut told) = (vec![b'p'; preface], Vec::new());
            let mut types = Vec::new();
            for _ in 0..100 {
                let (frame, is_idle) = frame(&mut random);
                if is_idle {
                    types.push(bytes.len() + 3);
                }
                told.push((frame[3], frame[4], u32::from(frame[8]), frame[9..].to_vec()));
                bytes.extend(frame);
            }
            let original = bytes.clone();
            let inbox = Rc::new(Inbox::new(1000));
            let mut received = Received::new(preface, inbox);
            let (mut found, mut ends, mut at) = (Vec::new(), 0, 0);
            let mut starts = Vec::new();
            while at < bytes.len() {
                starts.push(at);
                let longest = random.choice([1, 20, 5000]).unwrap();
                let piece = random.usize(1..=longest);
                let end = (at + piece).min(bytes.len());
                received.follow(&mut bytes[at..end], |frame, part| {
                    let (kind, flags, stream) = frame.frame();
                    match part {
                        Part::Begins => found.push((kind, flags, stream, Vec::new())),
                        Part::Payload(payload) => {
                            if let Some((_, _, _, before)) = found.last_mut() {
                                before.extend_from_slice(payload);
                            }
                        }
                        Part::Ends => ends += 1,
                    }
                });
                at = end;
            }
            assert_eq!(found, told, "{seed}");
            assert_eq!(ends, told.len() + usize::from(preface > 0), "{seed}");
            for (place, (now, before)) in bytes.iter().zip(&original).enumerate() {
                // A head that began in an earlier piece, of which its type was the last byte or came before that, has passed.
                let is_split = starts.iter().any(|start| (place + 1..=place + 5).contains(start));
                let is_hidden = types.contains(&place) && !is_split;
                assert_eq!(*now, if is_hidden { 0xff } else { *before }, "{seed} at {place}");
            }
        }
    }
}
