//! A look at the first bytes of a connection before they are read.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::stream::socket::has_ended;
use crate::worker::deadlines::Deadline;
use crate::worker::{Phase, Worker};

/// The longest PROXY header, and the most of a ClientHello, that is inspected before it is read.
const AHEAD: usize = 17 * 1024;

/// The result of inspecting the first bytes.
pub(super) enum Step<T> {
    /// More of them are needed.
    More,
    Done(T),
}

/// Inspects the first bytes of a connection without reading them, again whenever more have arrived.
pub(super) async fn peek<T>(
    stream: &TcpStream,
    worker: &Worker,
    deadline: &Deadline,
    mut look: impl FnMut(&[u8]) -> io::Result<Step<T>>,
) -> io::Result<T> {
    let mut seen = 0;
    poll_fn(|context| {
        // On the stack: who sends nothing should hold nothing meanwhile.
        let mut bytes = [0; AHEAD];
        loop {
            match poll_peek(stream, context, &mut bytes, seen) {
                Poll::Ready(Ok(count)) => {
                    seen = count;
                    match look(bytes.get(..count).unwrap_or_default())? {
                        Step::Done(found) => return Poll::Ready(Ok(found)),
                        Step::More if count == AHEAD => {
                            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                        }
                        Step::More => {}
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if deadline.has_passed(context) || worker.phase() == Phase::Ended => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// Ready when more than `seen` bytes have arrived.
fn poll_peek(
    stream: &TcpStream,
    context: &mut Context<'_>,
    bytes: &mut [u8],
    seen: usize,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(context))?;
        // Readiness stays until a call would block, and peeking never does: the same bytes as before mean that nothing
        // new has arrived.
        let peeked = stream.try_io(Interest::READABLE, || {
            match rustix::net::recv(stream, &mut *bytes, RecvFlags::PEEK).map(|(_, count)| count) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                // What makes the socket ready then may be its end, which stays.
                Ok(count) if count <= seen && has_ended(stream) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) if count <= seen => Err(io::ErrorKind::WouldBlock.into()),
                outcome => outcome.map_err(io::Error::from),
            }
        });
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return Poll::Ready(outcome),
        }
    }
}
