//! A network link between a gateway and its API server, which the test can slow down, silence or cut.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::apiserver::ApiServer;

/// Between two looks at what the test wants.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes that are passed on at once. Small enough to trickle, large enough to hold a whole event.
const PIECE: usize = 4 * 1024;

/// Pieces in transit. A sender of more has to wait, as with TCP.
const QUEUE: usize = 1_024;

/// A TCP relay to an API server.
pub struct Link {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    /// What the test wants.
    way: Mutex<Way>,
    /// Connections of an earlier count are to be reset.
    generation: AtomicUsize,
    opened: AtomicUsize,
    over: AtomicBool,
}

/// How bytes pass.
#[derive(Clone, Copy)]
enum Way {
    Open,
    /// Each byte arrives this much later, and pieces arrive at least this far apart.
    Slow {
        latency: Duration,
        gap: Duration,
    },
    /// Connections are accepted and nothing passes, either way. What was sent meanwhile arrives once it is open again,
    /// as TCP would send it again.
    Silent,
}

impl Link {
    /// An open one.
    pub fn to(server: &ApiServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            way: Mutex::new(Way::Open),
            generation: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let (shared, to) = (Arc::clone(&state), server.port);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.over.load(Ordering::SeqCst) {
                    return;
                }
                shared.opened.fetch_add(1, Ordering::SeqCst);
                // Refused where the API server refuses.
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else {
                    reset(&client);
                    continue;
                };
                relay(&shared, client, server);
            }
        });
        Self { port, state }
    }

    /// The same credentials, over this link.
    pub fn config(&self, server: &ApiServer, kubeconfig: &Path) -> PathBuf {
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let direct = format!("https://127.0.0.1:{}", server.port);
        assert!(text.contains(&direct), "{text}");
        let path = kubeconfig.with_extension("linked");
        std::fs::write(
            &path,
            text.replace(&direct, &format!("https://127.0.0.1:{}", self.port)),
        )
        .unwrap();
        path
    }

    pub fn open(&self) {
        *self.state.way.lock().unwrap() = Way::Open;
    }

    pub fn slow(&self, latency: Duration, gap: Duration) {
        *self.state.way.lock().unwrap() = Way::Slow { latency, gap };
    }

    pub fn silence(&self) {
        *self.state.way.lock().unwrap() = Way::Silent;
    }

    /// Resets every connection (RST); new ones are accepted.
    pub fn cut(&self) {
        self.state.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// How many connections there have been.
    pub fn opened(&self) -> usize {
        self.state.opened.load(Ordering::SeqCst)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the accept loop.
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn reset(stream: &TcpStream) {
    let _sent = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Two ways, each with a reader and a writer. A stream is closed when its last thread lets go of it, and by then it
/// may have been marked to be reset.
fn relay(state: &Arc<State>, client: TcpStream, server: TcpStream) {
    let generation = state.generation.load(Ordering::SeqCst);
    let (client, server) = (Arc::new(client), Arc::new(server));
    for (from, to) in [(&client, &server), (&server, &client)] {
        from.set_read_timeout(Some(LOOK)).unwrap();
        let _best_effort = from.set_nodelay(true);
        let (sender, pieces) = mpsc::sync_channel(QUEUE);
        let (source, of_reader) = (Arc::clone(from), Arc::clone(state));
        std::thread::spawn(move || read(&source, &of_reader, generation, &sender));
        let (target, of_writer) = (Arc::clone(to), Arc::clone(state));
        std::thread::spawn(move || write(&target, &of_writer, generation, &pieces));
    }
}

type Piece = (Instant, Vec<u8>);

fn read(mut from: &TcpStream, state: &State, generation: usize, pieces: &mpsc::SyncSender<Piece>) {
    let mut buffer = [0; PIECE];
    while state.generation.load(Ordering::SeqCst) == generation {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if pieces.send((Instant::now(), buffer[..count].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
    reset(from);
}

fn write(mut to: &TcpStream, state: &State, generation: usize, pieces: &mpsc::Receiver<Piece>) {
    let is_cut = || state.generation.load(Ordering::SeqCst) != generation;
    let mut last = Instant::now();
    while !is_cut() {
        let (read_at, bytes) = match pieces.recv_timeout(LOOK) {
            Ok(piece) => piece,
            Err(mpsc::RecvTimeoutError::Timeout) => continue,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                // The other side has finished sending.
                let _end = to.shutdown(std::net::Shutdown::Write);
                break;
            }
        };
        loop {
            if is_cut() {
                reset(to);
                return;
            }
            let due = match *state.way.lock().unwrap() {
                Way::Open => break,
                Way::Slow { latency, gap } => (read_at + latency).max(last + gap),
                Way::Silent => Instant::now() + LOOK,
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(LOOK));
        }
        if to.write_all(&bytes).is_err() {
            return;
        }
        last = Instant::now();
    }
    if is_cut() {
        reset(to);
    }
}
