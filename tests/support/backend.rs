//! A scripted HTTP/1.1 backend that keeps what it saw, byte for byte.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Request line and fields, with the empty line.
    pub head: String,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Trailer lines of a chunked body.
    pub trailers: Vec<String>,
    /// Which connection carried it, from 0.
    pub connection: usize,
}

impl Seen {
    fn of(head: &str, body: Vec<u8>, trailers: Vec<String>, connection: usize) -> Self {
        Self {
            head: head.to_owned(),
            body,
            trailers,
            connection,
        }
    }

    /// The value of a field, if there is exactly one of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields(name).into_iter();
        let first = values.next();
        assert!(values.next().is_none(), "more than one {name} in {}", self.head);
        first
    }

    /// All values of a field.
    #[must_use]
    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The request line.
    #[must_use]
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }
}

/// What a backend does with a request.
#[derive(Clone)]
pub enum Reply {
    /// 200, with the name of the backend as body.
    Name,
    /// These bytes, and the connection stays open.
    Raw(Vec<u8>),
    /// These bytes, and the connection closes.
    RawThenClose(Vec<u8>),
    /// These bytes before the request's body is read, and the connection closes.
    Early(Vec<u8>),
    /// Close without an answer.
    Close,
    /// Reset without an answer.
    Reset,
    /// Never answer.
    Silence,
    /// These bytes, made from the whole request; the connection stays open.
    Computed(Arc<dyn Fn(&Seen) -> Vec<u8> + Send + Sync>),
    /// The script does everything, with the connection and the head.
    Script(Arc<dyn Fn(&mut TcpStream, &str) + Send + Sync>),
}

impl Reply {
    /// A whole 200 with this body.
    #[must_use]
    pub fn text(body: &str) -> Self {
        Self::Raw(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }

    /// The request's body back: with its length, or in chunks when the path contains `chunked`.
    #[must_use]
    pub fn echo() -> Self {
        Self::computed(|seen| {
            let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
            if seen.line().contains("chunked") {
                answer.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in seen.body.chunks(10_000) {
                    answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    answer.extend_from_slice(chunk);
                    answer.extend_from_slice(b"\r\n");
                }
                answer.extend_from_slice(b"0\r\n\r\n");
            } else {
                answer.extend_from_slice(format!("Content-Length: {}\r\n\r\n", seen.body.len()).as_bytes());
                answer.extend_from_slice(&seen.body);
            }
            answer
        })
    }

    /// An answer made from the whole request.
    pub fn computed(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::Computed(Arc::new(answer))
    }

    /// A script.
    pub fn script(script: impl Fn(&mut TcpStream, &str) + Send + Sync + 'static) -> Self {
        Self::Script(Arc::new(script))
    }
}

/// A backend on a free loopback port.
pub struct Backend {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    name: String,
    reply: Mutex<Reply>,
    seen: Mutex<Vec<Seen>>,
    requests: AtomicUsize,
    connections: AtomicUsize,
    closed: AtomicBool,
    open: Mutex<HashMap<usize, TcpStream>>,
    /// Keep heads and bodies; load tests only count.
    keep: AtomicBool,
}

impl Backend {
    /// A backend that answers with its name.
    #[must_use]
    pub fn start(name: &str) -> Self {
        Self::with(name, Reply::Name)
    }

    /// A backend that answers with this reply.
    #[must_use]
    pub fn with(name: &str, reply: Reply) -> Self {
        Self::at(0, name, reply)
    }

    /// A backend on this port, where another one may have been before.
    #[must_use]
    pub fn at(port: u16, name: &str, reply: Reply) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            name: name.to_owned(),
            reply: Mutex::new(reply),
            seen: Mutex::default(),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            open: Mutex::default(),
            keep: AtomicBool::new(true),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                shared
                    .open
                    .lock()
                    .unwrap()
                    .insert(number, stream.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    let mut stream = stream;
                    serve(&shared, &mut stream, number);
                    // The last handle closes the connection: first the one for `stop`, then this thread's.
                    shared.open.lock().unwrap().remove(&number);
                });
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes what it does from the next request on.
    pub fn reply(&self, reply: Reply) {
        *self.state.reply.lock().unwrap() = reply;
    }

    /// Only counts requests from now on.
    pub fn count_only(&self) {
        self.state.keep.store(false, Ordering::SeqCst);
    }

    /// Forgets what it has seen and counted so far.
    pub fn forget(&self) {
        self.state.seen.lock().unwrap().clear();
        self.state.requests.store(0, Ordering::SeqCst);
    }

    /// How many requests have arrived, their heads at least.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// How many connections have been accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Everything that was seen so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The last request.
    #[must_use]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the backend saw no request")
    }

    /// Dies: open connections end, further ones are refused.
    pub fn stop(&self) {
        self.state.closed.store(true, Ordering::SeqCst);
        // Wakes the accept loop, which then drops its socket.
        let _refused = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        for stream in self.state.open.lock().unwrap().values() {
            let _gone = stream.shutdown(std::net::Shutdown::Both);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(state: &State, stream: &mut TcpStream, connection: usize) {
    stream.set_nodelay(true).unwrap();
    let mut pending = Vec::new();
    loop {
        let Some(head) = read_head(stream, &mut pending) else {
            return;
        };
        state.requests.fetch_add(1, Ordering::SeqCst);
        let reply = state.reply.lock().unwrap().clone();
        let keep = state.keep.load(Ordering::SeqCst);
        let early = match &reply {
            Reply::Early(bytes) => Some(bytes.clone()),
            _ => None,
        };
        if let Some(bytes) = early {
            note(state, keep, Seen::of(&head, Vec::new(), Vec::new(), connection));
            let _gone = stream.write_all(&bytes);
            return;
        }
        if let Reply::Script(script) = &reply {
            note(state, keep, Seen::of(&head, Vec::new(), Vec::new(), connection));
            script(stream, &head);
            return;
        }
        let Some((body, trailers)) = read_body(stream, &mut pending, &head) else {
            return;
        };
        let seen = Seen::of(&head, body, trailers, connection);
        note(state, keep, seen.clone());
        let sent = match reply {
            Reply::Name => {
                let body = if head.starts_with("HEAD ") {
                    ""
                } else {
                    &state.name
                };
                stream.write_all(
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                        state.name.len()
                    )
                    .as_bytes(),
                )
            }
            Reply::Raw(bytes) => stream.write_all(&bytes),
            Reply::Computed(answer) => stream.write_all(&answer(&seen)),
            Reply::RawThenClose(bytes) => {
                let _gone = stream.write_all(&bytes);
                return;
            }
            Reply::Close => return,
            Reply::Reset => {
                let _unset = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Reply::Silence => {
                // Until the gateway gives up.
                let _ended = stream.read(&mut [0; 1]);
                return;
            }
            Reply::Early(_) | Reply::Script(_) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

fn note(state: &State, keep: bool, seen: Seen) {
    if keep {
        state.seen.lock().unwrap().push(seen);
    }
}

fn read_head(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = pending.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = pending.split_off(end + 4);
            let head = std::mem::replace(pending, rest);
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        fill(stream, pending)?;
    }
}

fn fill(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 64 * 1024];
    let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
    pending.extend_from_slice(&buffer[..count]);
    Some(())
}

fn take(stream: &mut TcpStream, pending: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    while pending.len() < count {
        fill(stream, pending)?;
    }
    let rest = pending.split_off(count);
    Some(std::mem::replace(pending, rest))
}

/// The body and the trailer lines behind it.
fn read_body(stream: &mut TcpStream, pending: &mut Vec<u8>, head: &str) -> Option<(Vec<u8>, Vec<String>)> {
    let lower = head.to_ascii_lowercase();
    if lower.contains("\r\ntransfer-encoding: chunked\r\n") {
        let mut body = Vec::new();
        loop {
            let size =
                usize::from_str_radix(read_line(stream, pending)?.split(';').next()?.trim(), 16).ok()?;
            if size == 0 {
                let mut trailers = Vec::new();
                loop {
                    let line = read_line(stream, pending)?;
                    if line.is_empty() {
                        return Some((body, trailers));
                    }
                    trailers.push(line);
                }
            }
            body.extend(take(stream, pending, size)?);
            take(stream, pending, 2)?;
        }
    }
    let length = lower
        .split("\r\ncontent-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    Some((take(stream, pending, length.unwrap_or(0))?, Vec::new()))
}

fn read_line(stream: &mut TcpStream, pending: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = pending.windows(2).position(|window| window == b"\r\n") {
            let line = take(stream, pending, end + 2)?;
            return Some(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        fill(stream, pending)?;
    }
}
