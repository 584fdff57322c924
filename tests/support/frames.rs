//! HTTP/2 by hand: frames and field blocks exactly as given, right or wrong (RFC 9113, RFC 7541).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The connection preface (RFC 9113 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 6).
pub mod kind {
    /// Body bytes.
    pub const DATA: u8 = 0;
    /// The start of a field block.
    pub const HEADERS: u8 = 1;
    /// Obsolete.
    pub const PRIORITY: u8 = 2;
    /// The end of a stream.
    pub const RST_STREAM: u8 = 3;
    /// Settings.
    pub const SETTINGS: u8 = 4;
    /// A response nobody asked for.
    pub const PUSH_PROMISE: u8 = 5;
    /// A question.
    pub const PING: u8 = 6;
    /// The end of a connection.
    pub const GOAWAY: u8 = 7;
    /// More room.
    pub const WINDOW_UPDATE: u8 = 8;
    /// The rest of a field block.
    pub const CONTINUATION: u8 = 9;
}

/// Nothing follows on the stream; of SETTINGS and PING: an answer.
pub const END_STREAM: u8 = 0x1;
/// The field block is complete.
pub const END_HEADERS: u8 = 0x4;
/// There is padding.
pub const PADDED: u8 = 0x8;
/// There is a priority.
pub const PRIORITISED: u8 = 0x20;

/// One frame.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// SETTINGS with these values.
#[must_use]
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (setting, value) in values {
        payload.extend_from_slice(&setting.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// A field block of literals that nothing compresses and no table keeps (RFC 7541 6.2.2).
#[must_use]
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, 0, 7, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// An integer with a prefix of `bits` bits beside `flags` (RFC 7541 5.1).
pub fn integer(out: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        out.push(flags | value as u8);
        return;
    }
    out.push(flags | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The field block of a GET, with fields behind it.
#[must_use]
pub fn get(authority: &str, path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    request(b"GET", authority.as_bytes(), path.as_bytes(), more)
}

/// The field block of a request, with fields behind it.
#[must_use]
pub fn request(method: &[u8], authority: &[u8], path: &[u8], more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut fields: Vec<(&[u8], &[u8])> = vec![
        (b":method", method),
        (b":scheme", b"http"),
        (b":authority", authority),
        (b":path", path),
    ];
    fields.extend_from_slice(more);
    block(&fields)
}

/// HEADERS that hold a whole field block.
#[must_use]
pub fn headers(stream: u32, ends: bool, block: &[u8]) -> Vec<u8> {
    let end = if ends { END_STREAM } else { 0 };
    frame(kind::HEADERS, END_HEADERS | end, stream, block)
}

/// DATA.
#[must_use]
pub fn data(stream: u32, ends: bool, bytes: &[u8]) -> Vec<u8> {
    frame(kind::DATA, u8::from(ends), stream, bytes)
}

/// A frame as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream.
    pub stream: u32,
    /// The rest.
    pub payload: Vec<u8>,
}

/// What became of a stream, or of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was answered with this status.
    Status(u16),
    /// It was reset with this code.
    Reset(u32),
    /// The connection was ended with this code.
    GoAway(u32),
    /// The connection ended without GOAWAY.
    Closed,
    /// Nothing came in time.
    Nothing,
}

/// One connection.
pub struct Raw {
    /// The socket.
    pub stream: TcpStream,
    pending: Vec<u8>,
}

impl Raw {
    /// Connects and says nothing.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).unwrap())
    }

    /// Says nothing on a connection that has been made.
    #[must_use]
    pub fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// Connects, and sends the preface and empty SETTINGS.
    #[must_use]
    pub fn open(address: SocketAddr) -> Self {
        Self::with(address, &[])
    }

    /// Connects, and sends the preface and these settings.
    #[must_use]
    pub fn with(address: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut raw = Self::connect(address);
        raw.send(&[PREFACE, &settings(values)].concat());
        raw
    }

    /// Sends bytes. False when the other side takes no more.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame; `None` at the end of the connection, or when `patience` is over.
    pub fn frame(&mut self, patience: Duration) -> Result<Frame, End> {
        let until = Instant::now() + patience;
        loop {
            if let Some(found) = self.parse() {
                return Ok(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(End::Nothing);
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    return Err(End::Nothing);
                }
                Err(_) => return Err(End::Closed),
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let [high, middle, low, kind, flags, rest @ ..] = self.pending.get(..9)? else {
            return None;
        };
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let (kind, flags) = (*kind, *flags);
        let stream = u32::from_be_bytes(rest.try_into().ok()?) & 0x7fff_ffff;
        let payload = self.pending.get(9..9 + length)?.to_vec();
        self.pending.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// What becomes of a stream, or of the connection under it. An end in order (GOAWAY without an error) is not one.
    pub fn end_of(&mut self, stream: u32, patience: Duration) -> End {
        let until = Instant::now() + patience;
        loop {
            match self.frame(until.saturating_duration_since(Instant::now())) {
                Ok(found) => {
                    if let Some(end) = found.end_of(stream) {
                        return end;
                    }
                }
                Err(end) => return end,
            }
        }
    }
}

impl Frame {
    /// What this frame says of the end of a stream.
    #[must_use]
    pub fn end_of(&self, stream: u32) -> Option<End> {
        let word = |at: usize| u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap());
        match self.kind {
            kind::HEADERS if self.stream == stream => Some(End::Status(status(&self.payload))),
            kind::RST_STREAM if self.stream == stream => Some(End::Reset(word(0))),
            kind::GOAWAY if word(4) != 0 => Some(End::GoAway(word(4))),
            _ => None,
        }
    }
}

/// The status that a field block begins with, on a connection that has carried no other answer.
fn status(block: &[u8]) -> u16 {
    // A table size update may come first.
    let block = match block {
        [first, rest @ ..] if first >> 5 == 1 => rest,
        block => block,
    };
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        // The name is `:status`, the value a literal.
        [0x48 | 0x08, 0x03, a, b, c, ..] => [a, b, c]
            .into_iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0')),
        [0x48 | 0x08, length, huffman @ ..] if length & 0x80 != 0 => {
            digits(&huffman[..usize::from(length & 0x7f)])
        }
        other => panic!("no status: {other:x?}"),
    }
}

/// Three digits in the Huffman code of RFC 7541, appendix B: `0` to `2` take five bits, the others six.
fn digits(bytes: &[u8]) -> u16 {
    let bits = bytes
        .iter()
        .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let mut left = 8 * bytes.len();
    let mut number = 0;
    for _ in 0..3 {
        let five = bits >> (left - 5) & 0x1f;
        if five <= 2 {
            number = number * 10 + five as u16;
            left -= 5;
        } else {
            number = number * 10 + (bits >> (left - 6) & 0x3f) as u16 - 0x19 + 3;
            left -= 6;
        }
    }
    number
}
