//! A backend's connection under HTTP/2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frames, Part, hide};
use super::inbox::Inbox;
use crate::stream::socket::Socket;

/// A backend's connection under HTTP/2, whose arriving frames are followed.
pub(crate) struct Followed {
    socket: Socket,
    received: Frames,
    inbox: Rc<Inbox>,
    /// The streams have their turn before more is read.
    pauses: bool,
}

impl Followed {
    pub(crate) fn new(socket: Socket, inbox: Rc<Inbox>) -> Self {
        Self {
            socket,
            received: Frames::behind(0),
            inbox,
            pauses: false,
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
        if std::mem::take(&mut this.pauses) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        ready!(this.socket.poll_read(context, into))?;
        let new = into.filled_mut().get_mut(before..).unwrap_or_default();
        let mut idle: SmallVec<[usize; 4]> = SmallVec::new();
        this.received.follow(new, |frame, part| match part {
            Part::Begins => {
                this.pauses |= this.inbox.begins(frame);
                idle.extend(frame.place_of_type().filter(|_| frame.is_idle_data()));
            }
            Part::Payload(_) => {}
            Part::Ends => this.inbox.ends(frame),
        });
        hide(new, &idle);
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
