//! A connection that carries one exchange at a time, clear or under TLS.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use crate::descriptors::Held;
use crate::worker::memory::Charge;

/// A connection that carries one exchange at a time: everything on it is HTTP/1 or another protocol's bytes.
pub(crate) struct Socket {
    transport: Transport,
    /// The descriptor of a connection to a backend and its memory, counted for as long as the connection is open. Boxed,
    /// because connections of clients have none.
    _held: Option<Box<(Held, Charge)>>,
    /// The last write found no room: the other side does not read, as far as is known.
    is_full: Cell<bool>,
}

enum Transport {
    /// Clear text.
    Plain(TcpStream),
    /// Under TLS, as its server or client.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// A connection in clear text.
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self {
            transport: Transport::Plain(stream),
            _held: None,
            is_full: Cell::new(false),
        }
    }

    /// A connection under TLS, as its server or client.
    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self {
            transport: Transport::Tls(Box::new(stream)),
            _held: None,
            is_full: Cell::new(false),
        }
    }

    /// The same connection, counted as one to a backend.
    pub(crate) fn held(mut self, held: Held, memory: Charge) -> Self {
        self._held = Some(Box::new((held, memory)));
        self
    }

    /// The TCP connection, if its bytes are in clear text.
    pub(crate) fn as_plain(&self) -> Option<&TcpStream> {
        match &self.transport {
            Transport::Plain(stream) => Some(stream),
            Transport::Tls(_) => None,
        }
    }

    /// Ready when there is something to read or the stream has ended; holds no buffer while it waits. True if reading is
    /// worthwhile.
    pub(crate) fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        match &mut self.transport {
            Transport::Plain(stream) => stream.poll_read_ready(context).map(|ready| ready.is_ok()),
            Transport::Tls(stream) => {
                let (tcp, session) = stream.get_mut();
                if session_holds_data(session) {
                    return Poll::Ready(true);
                }
                tcp.poll_read_ready(context).map(|ready| ready.is_ok())
            }
        }
    }

    /// Neither data nor an end has arrived. Costs a system call only when something has.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut byte = [0; 1];
        self.poll_read(&mut context, &mut ReadBuf::new(&mut byte))
            .is_pending()
    }

    /// The other side has ended its direction, whatever is left to read. Costs a system call.
    pub(crate) fn has_ended(&self) -> bool {
        has_ended(self.lowest())
    }

    /// The other side has reset the connection, or both have ended. Costs a system call.
    pub(crate) fn has_broken(&self) -> bool {
        // These are reported without being asked for.
        is_polled_for(self.lowest(), PollFlags::empty())
    }

    /// What has arrived and waits in the kernel. Costs a system call.
    pub(crate) fn unread(&self) -> usize {
        let bytes = rustix::io::ioctl_fionread(self.lowest()).unwrap_or(0);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn lowest(&self) -> &TcpStream {
        match &self.transport {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => stream.get_ref().0,
        }
    }

    /// What the kernel and TLS may hold for a peer that does not read.
    pub(crate) fn most_unsent(&self) -> usize {
        UNSENT as usize
            + match &self.transport {
                Transport::Plain(_) => 0,
                Transport::Tls(_) => ENCRYPTED,
            }
    }

    /// Announces the end to an idle peer, as far as that requires no waiting: under TLS it could otherwise not distinguish
    /// an end from a cut (RFC 8446 6.1).
    pub(crate) fn part(&mut self) {
        self.let_go();
        if let Transport::Tls(_) = self.transport {
            let _as_far_as_it_goes = self.poll_shutdown(&mut Context::from_waker(std::task::Waker::noop()));
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Transport::Tls(stream) => {
                let read = Pin::new(&mut **stream).poll_read(context, into);
                // What was read may ask for an alert, and there may be nothing else to write for long.
                if stream.get_ref().1.wants_write() {
                    let _as_far_as_it_goes = Pin::new(&mut **stream).poll_flush(context);
                }
                read
            }
        }
    }

    /// The connection beneath TLS, or the same in clear text.
    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        match &mut self.transport {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => stream.get_mut().0,
        }
    }

    pub(crate) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        };
        self.note_full(written.is_pending());
        written
    }

    pub(super) fn poll_write_both(
        &mut self,
        context: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let both = [IoSlice::new(first), IoSlice::new(second)];
        self.poll_write_slices(context, &both)
    }

    fn poll_write_slices(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(context, bytes),
        };
        self.note_full(written.is_pending());
        written
    }

    /// What TLS has encrypted and not yet sent.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(_) => Poll::Ready(Ok(())),
            Transport::Tls(stream) => {
                let flushed = Pin::new(&mut **stream).poll_flush(context);
                self.note_full(flushed.is_pending());
                flushed
            }
        }
    }

    /// Notes whether a write has found no room. If the connection ends so, it is reset: see [`Socket::reset`].
    pub(crate) fn note_full(&self, is_full: bool) {
        self.is_full.set(is_full);
    }

    /// Makes the end of the connection look like a cut. Under TLS it does by itself if the end is not announced.
    pub(crate) fn abort(&mut self) {
        if let Transport::Plain(stream) = &mut self.transport {
            // If that fails, the connection ends in order; there is no better way.
            let _as_before = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Lets the end of the connection be a reset, clear or under TLS: what the kernel still holds for a peer that does not
    /// read is freed with it, and not kept until the peer has read it or the kernel gives up.
    pub(crate) fn reset(&mut self) {
        reset_when_closed(self.tcp());
    }

    /// Lets the kernel deliver what it still holds, for as long as the peer takes some of it: it gives a peer up that takes
    /// nothing for [`UNTAKEN`], which would otherwise last for many minutes.
    pub(crate) fn let_go(&mut self) {
        self.note_full(false);
        // If that fails, it lasts so long; there is no better way.
        let _as_before = SockRef::from(&*self.tcp()).set_tcp_user_timeout(Some(UNTAKEN));
    }

    /// Announces to the other side that nothing more will be sent.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}

/// A peer that does not read gets no orderly end, which it would not notice: the kernel would keep what it holds for it.
impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_full.get() {
            self.reset();
        }
    }
}

/// Lets the end of a connection be a reset, which frees what the kernel holds for it.
pub(crate) fn reset_when_closed(stream: &TcpStream) {
    // If that fails, the kernel keeps it for a while; there is no better way.
    let _as_before = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Takes that back.
pub(crate) fn close_in_order(stream: &TcpStream) {
    let _as_before = SockRef::from(stream).set_linger(None);
}

/// How long the kernel keeps what a peer does not take when the gateway has closed the connection.
const UNTAKEN: Duration = Duration::from_secs(10);

/// Network load balancers, and other devices that track connections, drop one that is silent for 350 s. A probe a minute
/// keeps it alive, and detects a peer that has disappeared.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How much the kernel takes for a connection beyond what it has sent. Without this limit it takes up to the size of its
/// send buffer, usually 4 MiB, for a reader that reads nothing.
pub(crate) const UNSENT: u32 = 128 * 1024;

/// What TLS has usually encrypted by then.
const ENCRYPTED: usize = 32 * 1024;

/// Bounds what the kernel keeps for a peer that does not read.
pub(crate) fn bound_unsent(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(UNSENT)
}

/// Makes the kernel probe a connection while it is silent.
pub(crate) fn keep_alive(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))
}

/// Whether the other side has ended its direction, whatever is left to read.
pub(crate) fn has_ended(stream: &TcpStream) -> bool {
    is_polled_for(stream, PollFlags::RDHUP)
}

fn is_polled_for(stream: &TcpStream, flags: PollFlags) -> bool {
    let mut polled = [PollFd::new(stream, flags)];
    rustix::event::poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Whether decrypted bytes wait inside the TLS session, where the socket's readiness does not show them.
fn session_holds_data(session: &mut rustls::CommonState) -> bool {
    !session.wants_read() && !session.is_handshaking()
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Self::poll_read(self.get_mut(), context, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_slices(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        ready!(Self::poll_flush(socket, context))?;
        Self::poll_shutdown(socket, context)
    }
}
