//! How many requests an HTTP/2 backend takes at once, when it changes its mind: those beyond it wait, and none fails while
//! there is time. And a backend that floods one request with interim answers harms no other.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gateway_tests::frames::{
    END_HEADERS, END_STREAM, End, PREFACE, Raw, data, frame, get, headers, kind, settings,
};
use gateway_tests::{Gateway, gateway, manifest};

const DOOR: &str = "external-http";
const PATIENCE: Duration = Duration::from_secs(20);

/// `:status: 200`
const OK: &[u8] = &[0x88];

const MAX_CONCURRENT_STREAMS: u16 = 3;
const REFUSED_STREAM: u32 = 7;

/// A backend that takes as many requests at once as it says, and can say something else later.
#[derive(Clone)]
struct Backend {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    limit: u32,
    /// Requests are answered as they come.
    answers: bool,
    connections: Vec<Connection>,
    /// Requests that came before the gateway had seen that they are too many.
    refused: usize,
    /// Those that came after.
    wrong: usize,
    /// Requests that were taken.
    taken: usize,
}

struct Connection {
    stream: TcpStream,
    /// The limits that have been sent and not been acknowledged, and the one that has.
    announced: Vec<u32>,
    agreed: u32,
    open: Vec<u32>,
}

/// When a backend sends its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Settings {
    /// Before it has read anything.
    First,
    /// When it has read those of the gateway.
    Late,
    /// When it has read a request.
    TooLate,
}

impl Backend {
    fn start(limit: u32, answers: bool, when: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            limit,
            answers,
            connections: Vec::new(),
            refused: 0,
            wrong: 0,
            taken: 0,
        }));
        let backend = Self { port, state };
        let accepting = backend.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nodelay(true).unwrap();
                let backend = accepting.clone();
                let number = backend.add(&stream, when);
                std::thread::spawn(move || backend.serve(stream, number, when));
            }
        });
        backend
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn add(&self, stream: &TcpStream, when: Settings) -> usize {
        let mut state = self.state();
        let limit = state.limit;
        let mut connection = Connection {
            stream: stream.try_clone().unwrap(),
            announced: Vec::new(),
            agreed: u32::MAX,
            open: Vec::new(),
        };
        if when == Settings::First {
            connection.announce(limit);
        }
        state.connections.push(connection);
        state.connections.len() - 1
    }

    fn serve(&self, mut stream: TcpStream, number: usize, when: Settings) -> Option<()> {
        let mut preface = vec![0; PREFACE.len()];
        stream.read_exact(&mut preface).ok()?;
        let mut trigger = match when {
            Settings::First => None,
            Settings::Late => Some(kind::SETTINGS),
            Settings::TooLate => Some(kind::HEADERS),
        };
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).ok()?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).ok()?;
            let id = u32::from_be_bytes(head[5..].try_into().ok()?);
            let state = &mut *self.state();
            if Some(head[3]) == trigger {
                trigger = None;
                state.connections[number].announce(state.limit);
            }
            state.frame(number, (head[3], head[4], id), &payload);
        }
    }

    /// Every connection takes this many from now on.
    fn announce(&self, limit: u32) {
        let mut state = self.state();
        state.limit = limit;
        state
            .connections
            .iter_mut()
            .for_each(|connection| connection.announce(limit));
    }

    /// Answers all requests, and those that come.
    fn answer(&self) {
        let mut state = self.state();
        state.answers = true;
        state.connections.iter_mut().for_each(Connection::answer);
    }

    fn open(&self) -> usize {
        self.state()
            .connections
            .iter()
            .map(|connection| connection.open.len())
            .sum()
    }
}

impl State {
    fn frame(&mut self, number: usize, (kind, flags, id): (u8, u8, u32), payload: &[u8]) {
        let connection = &mut self.connections[number];
        match (kind, flags & 1) {
            (kind::SETTINGS, 0) => connection.send(&frame(kind::SETTINGS, 1, 0, &[])),
            (kind::SETTINGS, _) if !connection.announced.is_empty() => {
                connection.agreed = connection.announced.remove(0);
            }
            (kind::PING, 0) => connection.send(&frame(kind::PING, 1, 0, payload)),
            (kind::RST_STREAM, _) => connection.open.retain(|open| *open != id),
            (kind::HEADERS, _) => {
                let most = connection
                    .announced
                    .last()
                    .map_or(connection.agreed, |last| *last);
                if connection.open.len() >= most as usize {
                    let is_wrong = connection.open.len() >= connection.agreed as usize;
                    *(if is_wrong {
                        &mut self.wrong
                    } else {
                        &mut self.refused
                    }) += 1;
                    return connection.send(&frame(kind::RST_STREAM, 0, id, &REFUSED_STREAM.to_be_bytes()));
                }
                connection.open.push(id);
                self.taken += 1;
                if self.answers {
                    connection.answer();
                }
            }
            _ => {}
        }
    }
}

impl Connection {
    /// The gateway may be gone.
    fn send(&mut self, bytes: &[u8]) {
        let _gone = self.stream.write_all(bytes);
    }

    fn announce(&mut self, limit: u32) {
        self.announced.push(limit);
        self.send(&settings(&[(MAX_CONCURRENT_STREAMS, limit)]));
    }

    fn answer(&mut self) {
        for id in std::mem::take(&mut self.open) {
            self.send(&[frame(kind::HEADERS, END_HEADERS, id, OK), data(id, true, b"ok")].concat());
        }
    }
}

/// One client may use every place.
fn start(port: u16, connect: &str) -> Gateway {
    let app = manifest::app_speaking("app", DOOR, "a.test", port, "kubernetes.io/h2c");
    gateway!()
        .every_door("workers = 1")
        .door(
            DOOR,
            &format!("timeouts = {{ connect = \"{connect}\" }}\nlimits = {{ client_share = 100 }}"),
        )
        .manifest("app.yaml", &app)
        .start()
}

/// Asks `count` times from stream `first` on.
fn ask(raw: &mut Raw, first: u32, count: u32) {
    let requests: Vec<u8> = (0..count)
        .flat_map(|number| headers(first + 2 * number, true, &get("a.test", "/", &[])))
        .collect();
    assert!(raw.send(&requests));
}

/// Reads `count` answers, all of which are `ok`.
fn all_are_answered(raw: &mut Raw, mut count: usize) {
    while count > 0 {
        let found = raw
            .frame(PATIENCE)
            .unwrap_or_else(|end| panic!("{end:?}, {count} left"));
        assert_ne!(found.kind, kind::RST_STREAM);
        if found.kind == kind::DATA {
            let text = String::from_utf8(found.payload).unwrap();
            assert!(text == "ok" || text.is_empty(), "{text}");
            count -= usize::from(found.flags & END_STREAM != 0);
        }
    }
}

#[test]
fn requests_wait_for_a_backend_that_takes_none_at_first() {
    for when in [Settings::First, Settings::Late] {
        let backend = Backend::start(0, true, when);
        let gateway = start(backend.port, "20s");
        let mut raw = Raw::open(gateway.door(DOOR));
        ask(&mut raw, 1, 30);
        gateway.until("a connection", |_| !backend.state().connections.is_empty());
        // Requests would fail now.
        std::thread::sleep(Duration::from_millis(300));
        {
            let state = backend.state();
            assert_eq!(
                (state.taken, state.connections.len()),
                (0, 1),
                "{when:?}: more would be no better"
            );
        }
        backend.announce(5);
        all_are_answered(&mut raw, 30);
        let state = backend.state();
        assert_eq!((state.wrong, state.taken), (0, 30), "{when:?}");
        assert_eq!(state.refused, 0, "{when:?}");
    }
}

#[test]
fn a_backend_that_never_takes_any_is_a_503_after_the_connect_timeout() {
    for when in [Settings::First, Settings::Late] {
        let backend = Backend::start(0, true, when);
        let gateway = start(backend.port, "1s");
        let mut clients: Vec<Raw> = (0..5).map(|_| Raw::open(gateway.door(DOOR))).collect();
        clients.iter_mut().for_each(|raw| ask(raw, 1, 1));
        for raw in &mut clients {
            assert_eq!(raw.end_of(1, PATIENCE), End::Status(503), "{when:?}");
        }
        let state = backend.state();
        assert_eq!((state.wrong, state.taken), (0, 0), "{when:?}");
        let ejections = gateway.metric("blastdoor_upstream_ejections_total", &[]);
        assert_eq!(ejections, 0.0, "{when:?}: it is not broken");
    }
}

/// Such a backend breaks RFC 9113 (3.4), but would be no better off without any request.
#[test]
fn a_backend_that_says_nothing_until_it_is_asked_is_asked() {
    let backend = Backend::start(10, true, Settings::TooLate);
    let gateway = start(backend.port, "200ms");
    let mut raw = Raw::open(gateway.door(DOOR));
    ask(&mut raw, 1, 5);
    all_are_answered(&mut raw, 5);
    assert_eq!(backend.state().connections.len(), 1);
}

/// Under way are 40 requests on one connection when the backend takes only two on each, and then none.
#[test]
fn requests_beyond_a_lowered_limit_wait() {
    let backend = Backend::start(100, false, Settings::First);
    let gateway = start(backend.port, "20s");
    let mut raw = Raw::open(gateway.door(DOOR));
    ask(&mut raw, 1, 40);
    gateway.until("all have come", |_| backend.open() == 40);
    assert_eq!(backend.state().connections.len(), 1);
    backend.announce(2);
    gateway.until("it knows", |_| backend.state().connections[0].agreed == 2);
    ask(&mut raw, 81, 50);
    gateway.until("fifteen connections more are full", |_| backend.open() == 40 + 30);
    assert_eq!(backend.state().connections[0].open.len(), 40);
    backend.announce(0);
    gateway.until("it knows", |_| {
        let state = backend.state();
        state
            .connections
            .iter()
            .all(|connection| connection.announced.is_empty())
    });
    backend.answer();
    // What is under way is answered, and nothing new comes.
    gateway.until("answered", |_| backend.open() == 0);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(backend.state().taken, 70);
    backend.announce(1);
    all_are_answered(&mut raw, 90);
    let state = backend.state();
    assert_eq!((state.wrong, state.taken), (0, 90));
    assert!(state.connections.len() <= 16);
    assert_eq!(state.refused, 0);
    assert_eq!(gateway.metric("blastdoor_upstream_retries_total", &[]), 0.0);
}
