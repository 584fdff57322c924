//! A connection that lets pass what a server of limits may say, and nothing else.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest line or text of an answer. Ours are a number, a checksum of 40 characters, or an error.
const MOST_ANSWER: usize = 1024;

/// Bytes between two requests. All that a door waits for at once is less.
const MOST_UNASKED: usize = 64 << 10;

/// A stream of which the library never has to keep more than one short answer.
///
/// The library keeps an answer until it is whole, however long the server says that it is, and makes room for as many
/// elements as the server announces. Whoever chooses the server would fill the memory of all doors. So an answer that is no
/// line and no short text ends the connection before the library sees it, and so do answers that nobody has asked for.
pub(super) struct Vetted<S> {
    stream: S,
    /// Bytes since the last request.
    unasked: usize,
    at: At,
}

/// Where in an answer the next byte stands.
#[derive(Debug, Clone, Copy)]
enum At {
    Start,
    /// A line of this many bytes so far.
    Line(usize),
    /// The length of a text: its value so far, and its digits.
    Length(usize, usize),
    /// So many bytes of a text are to come.
    Text(usize),
    /// The server has said what it may not.
    Over,
}

impl At {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start, b':' | b'+' | b'-') => Self::Line(0),
            (Self::Start, b'$') => Self::Length(0, 0),
            (Self::Line(_), b'\n') => Self::Start,
            (Self::Line(length), _) if length < MOST_ANSWER => Self::Line(length + 1),
            (Self::Length(length, digits), b'0'..=b'9') if digits < 4 => {
                Self::Length(length * 10 + usize::from(byte - b'0'), digits + 1)
            }
            (Self::Length(length, 1..), b'\r') if length <= MOST_ANSWER => Self::Length(length, usize::MAX),
            // The text, and the end of its line.
            (Self::Length(length, usize::MAX), b'\n') => Self::Text(length + 2),
            (Self::Text(1), _) => Self::Start,
            (Self::Text(left), _) => Self::Text(left.saturating_sub(1)),
            (Self::Start | Self::Line(_) | Self::Length(..) | Self::Over, _) => Self::Over,
        }
    }
}

impl<S> Vetted<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            unasked: 0,
            at: At::Start,
        }
    }

    fn vet(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unasked = self.unasked.saturating_add(bytes.len());
        self.at = bytes.iter().fold(self.at, |at, byte| at.after(*byte));
        if self.unasked > MOST_UNASKED {
            self.at = At::Over;
        }
        match self.at {
            // The kind of error after which the library reads no more.
            At::Over => Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "the server says what no server of limits says",
            )),
            At::Start | At::Line(_) | At::Length(..) | At::Text(_) => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Vetted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What is over stays over.
        self.vet(&[])?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.vet(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Vetted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unasked = 0;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether these answers pass, whole and byte by byte alike.
    fn passes(bytes: &[u8]) -> bool {
        let whole = Vetted::new(()).vet(bytes).is_ok();
        let mut stream = Vetted::new(());
        let single = bytes.iter().all(|byte| stream.vet(&[*byte]).is_ok());
        assert_eq!(whole, single);
        whole
    }

    #[test]
    fn short_answers_pass() {
        let sum = b"$40\r\n0123456789012345678901234567890123456789\r\n".as_slice();
        let table: [&[u8]; 4] = [
            b"+OK\r\n:0\r\n:-5\r\n",
            b"-NOSCRIPT no\r\n",
            b"$0\r\n\r\n:1\r\n",
            sum,
        ];
        for answers in table {
            assert!(passes(answers), "{}", answers.escape_ascii());
        }
        assert!(passes(&[sum, b":1\r\n", sum].concat()));
    }

    #[test]
    fn others_end_the_connection() {
        let table: [&[u8]; 9] = [
            b"$9000000000\r\n",
            b"$2000\r\n",
            b"$-1\r\n",
            b"$\r\n",
            b"$\n",
            b"*3\r\n",
            b"*9000000000\r\n",
            b"%1\r\n",
            b"HTTP/1.1 400\r\n",
        ];
        for answer in table {
            assert!(!passes(answer), "{}", answer.escape_ascii());
        }
        assert!(!passes(&[b"+".as_slice(), &[b'a'; MOST_ANSWER + 1]].concat()));
        assert!(!passes(&b":0\r\n".repeat(MOST_UNASKED / 4 + 1)));
        let mut stream = Vetted::new(());
        assert!(stream.vet(b"*").is_err());
        assert!(stream.vet(b":1\r\n").is_err(), "what is over stays over");
    }
}
