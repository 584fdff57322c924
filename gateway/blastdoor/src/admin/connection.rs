//! One connection to the admin port: a request, its answer, the end.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use proxy::Live;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use wire::proxy_header::{self, ProxyStep};
use wire::{HeadLimits, RequestHead};

use super::answer::Answer;
use super::asked::{Asked, asked};
use super::board::Board;
use super::counts::Refused;
use super::pages::Pages;
use super::places::{Place, Places};

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Until the request has arrived, a PROXY header before it included.
    head: Duration,
    /// As a whole, the reading of a page included.
    whole: Duration,
    /// From the answer until the client closes: closing at once would reset a connection on which something is unread, and
    /// could discard the answer.
    linger: Duration,
}

impl Patience {
    pub(super) const USUAL: Self = Self {
        head: Duration::from_secs(5),
        whole: Duration::from_secs(15),
        linger: Duration::from_secs(1),
    };
}

/// What a client may still send after its answer.
const LINGER_BYTES: usize = 64 * 1024;

/// How large a request may be.
const LIMITS: HeadLimits = HeadLimits {
    bytes: 16 * 1024,
    fields: 100,
    // A URL to explain, and the fields of a request for it.
    target_bytes: 12 * 1024,
};

/// What connections are served with.
pub(super) struct Server {
    pub(super) board: Board,
    pub(super) pages: Pages,
    pub(super) live: Live,
    pub(super) places: Rc<Places>,
    pub(super) patience: Patience,
}

impl Server {
    pub(super) fn admit_tcp(self: &Rc<Self>, stream: TcpStream) {
        self.admit(stream, true);
    }

    pub(super) fn admit_unix(self: &Rc<Self>, stream: UnixStream) {
        self.admit(stream, false);
    }

    /// A network load balancer with PROXY version 2 puts the header before its health checks as well: `heralded`.
    fn admit(self: &Rc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, heralded: bool) {
        let server = Rc::clone(self);
        // The place knows how to end the task, and the task gets the place.
        let (give, take) = oneshot::channel();
        let task = tokio::task::spawn_local(async move {
            if let Ok(place) = take.await {
                server.serve(stream, heralded, place).await;
            }
        });
        // The task waits for it.
        let _given = give.send(self.places.enter(task.abort_handle()));
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, heralded: bool, place: Place) {
        let served = async {
            let begun = Instant::now();
            let mut request = Request::default();
            let Ok(read) = timeout(self.patience.head, request.read(&mut stream, heralded)).await else {
                return Err(io::ErrorKind::TimedOut.into());
            };
            let asked = match read? {
                Ok(()) => asked(&request.head, &request.bytes, &self.board),
                Err(status) => Asked::Now(Answer::malformed(status)),
            };
            place.asked();
            // Whoever waits for something has said for how long.
            let wait = match &asked {
                Asked::Live(wanted) => wanted.wait.whole(),
                Asked::Now(_) | Asked::Page(..) => Duration::ZERO,
            };
            let left = self.patience.whole.saturating_sub(begun.elapsed()) + wait;
            let answered = timeout(left, self.answer(&mut stream, &request, asked, &place));
            answered
                .await
                .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
        };
        if served.await.is_err_and(|error| is_late(&error)) {
            self.places.counts().refused(Refused::Deadline, Instant::now());
        }
    }

    async fn answer(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        request: &Request,
        asked: Asked,
        place: &Place,
    ) -> io::Result<()> {
        let (answer, _page) = match asked {
            Asked::Now(answer) => (answer, None),
            Asked::Page(page, inquiry) => match place.page() {
                Some(under_way) => (self.pages.order(page, inquiry).await, Some(under_way)),
                None => (Pages::busy(page), None),
            },
            Asked::Live(wanted) => match place.long_page() {
                Some(under_way) => match wanted.answer(&self.live, stream, request.head.version).await {
                    Some(answer) => (answer, Some(under_way)),
                    None => return Ok(()),
                },
                None => (Answer::busy().of_api(), None),
            },
        };
        let (head, body) = answer.parts(request.head.method);
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        stream.shutdown().await?;
        place.answered();
        // What a client does after its answer is its own affair.
        let _ended = timeout(self.patience.linger, linger(stream)).await;
        Ok(())
    }
}

fn is_late(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

async fn linger(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut bytes = [0; 1024];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match stream.read(&mut bytes).await? {
            0 => break,
            count => left = left.saturating_sub(count),
        }
    }
    Ok(())
}

/// A request as it arrives.
#[derive(Default)]
struct Request {
    bytes: Vec<u8>,
    head: RequestHead,
}

impl Request {
    /// Reads a whole head, behind a PROXY header if it may be `heralded` by one. The verdict is the status of an error if
    /// the head is malformed.
    async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        mut heralded: bool,
    ) -> io::Result<Result<(), u16>> {
        loop {
            if stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if heralded {
                // Nothing that it says matters here.
                match proxy_header::parse(&self.bytes) {
                    Ok(ProxyStep::NeedMore) => continue,
                    Ok(ProxyStep::NotProxy) => {}
                    Ok(ProxyStep::Header { consumed, .. }) => drop(self.bytes.drain(..consumed)),
                    Err(_) => return Err(io::ErrorKind::InvalidData.into()),
                }
                heralded = false;
            }
            match self.head.parse(&self.bytes, &LIMITS) {
                Ok(Some(_)) => return Ok(Ok(())),
                Ok(None) => {}
                Err(error) => return Ok(Err(error.status())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::registry::Registry;
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::admin::context::{Context, Shared};
    use crate::admin::counts::AdminCounts;
    use crate::admin::places::Room;
    use crate::gauges::Gauges;
    use crate::telemetry::Logs;

    const SHORT: Patience = Patience {
        head: Duration::from_millis(50),
        whole: Duration::from_millis(100),
        linger: Duration::from_millis(50),
    };

    /// A server whose metrics page is longer than the buffers of these tests.
    fn server(room: Room, patience: Patience) -> Rc<Server> {
        let mut registry = Registry::default();
        for number in 0..100 {
            registry.register(format!("a_counter_{number}"), "Help", Counter::<u64>::default());
        }
        let board = Board::default();
        let context = Context {
            board: board.clone(),
            registry: Arc::new(registry),
            gauges: Gauges::new(Logs::of_tests()),
            started: std::time::UNIX_EPOCH,
            audit: Shared::new(),
            journal: crate::journal::Journal::new(),
            metrics: proxy::Metrics::default(),
        };
        let pages = Pages::start(context, room.pages).unwrap();
        let places = Places::new(room, AdminCounts::default());
        Rc::new(Server {
            board,
            pages,
            live: Live::default(),
            places,
            patience,
        })
    }

    fn locally(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        tokio::task::LocalSet::new().block_on(&runtime.unwrap(), test);
    }

    fn connect(server: &Rc<Server>) -> DuplexStream {
        let (client, side) = duplex(64);
        server.admit(side, true);
        client
    }

    async fn ask(stream: &mut DuplexStream, request: &str) -> String {
        let mut answer = String::new();
        // It may have been closed already.
        let _sent = stream.write_all(request.as_bytes()).await;
        let _as_far_as_it_goes = stream.read_to_string(&mut answer).await;
        answer
    }

    const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    const METRICS: &str = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn a_connection_carries_one_request() {
        locally(async {
            let server = server(Room::FULL, Patience::USUAL);
            let answer = ask(&mut connect(&server), &LIVEZ.repeat(2)).await;
            assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{answer}");
            assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
            let page = ask(&mut connect(&server), METRICS).await;
            assert!(page.ends_with("a_counter_99_total 0\n"), "{page}");
        });
    }

    #[test]
    fn a_request_may_come_byte_by_byte_behind_a_proxy_header() {
        locally(async {
            let server = server(Room::FULL, Patience::USUAL);
            let mut stream = connect(&server);
            for byte in format!("PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n{LIVEZ}").bytes() {
                stream.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            assert!(ask(&mut stream, "").await.starts_with("HTTP/1.1 200 OK\r\n"));
            for (wrong, expected) in [("PROXY x\r\n", ""), ("nonsense\r\n\r\n", "HTTP/1.1 400 ")] {
                let answer = ask(&mut connect(&server), wrong).await;
                assert!(
                    answer.starts_with(expected) && answer.is_empty() == expected.is_empty(),
                    "{answer}"
                );
            }
        });
    }

    /// Far more than there are places, none of which sends a request.
    #[test]
    fn idle_connections_do_not_silence_probes() {
        locally(async {
            let server = server(Room::FULL, Patience::USUAL);
            let mut idle = Vec::new();
            for _ in 0..1000 {
                idle.push(connect(&server));
                tokio::task::yield_now().await;
            }
            assert!(
                ask(&mut connect(&server), LIVEZ)
                    .await
                    .starts_with("HTTP/1.1 200 ")
            );
            let open = server.places.counts().opened();
            assert!((1..=64).contains(&open), "{open} are open");
            assert_eq!(ask(&mut idle[0], LIVEZ).await, "");
        });
    }

    #[test]
    fn readers_that_do_not_read_are_cut_and_do_not_silence_probes() {
        locally(async {
            let room = Room {
                pages: 2,
                ..Room::FULL
            };
            let server = server(room, SHORT);
            let mut readers = Vec::new();
            for _ in 0..2 {
                let mut reader = connect(&server);
                reader.write_all(METRICS.as_bytes()).await.unwrap();
                // Its page has begun.
                reader.read_u8().await.unwrap();
                readers.push(reader);
            }
            assert!(
                ask(&mut connect(&server), METRICS)
                    .await
                    .starts_with("HTTP/1.1 503 ")
            );
            assert!(
                ask(&mut connect(&server), LIVEZ)
                    .await
                    .starts_with("HTTP/1.1 200 ")
            );
            while server.places.counts().opened() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(server.places.counts().count(Refused::Deadline), 2);
            assert!(!ask(&mut readers[0], "").await.contains("a_counter_99_total 0"));
            assert!(
                ask(&mut connect(&server), METRICS)
                    .await
                    .ends_with("a_counter_99_total 0\n")
            );
        });
    }

    /// Over TCP a client that has left looks like one that only sends no more.
    #[test]
    fn whoever_waited_for_a_request_and_left_makes_room() {
        const WAIT: &[u8] = b"GET /api/v1/live?wait=600s HTTP/1.1\r\nHost: a\r\n\r\n";
        locally(async {
            let server = server(Room::FULL, Patience::USUAL);
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut clients = Vec::new();
            loop {
                let address = listener.local_addr().unwrap();
                let mut client = TcpStream::connect(address).await.unwrap();
                server.admit_tcp(listener.accept().await.unwrap().0);
                client.write_all(WAIT).await.unwrap();
                clients.push(client);
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                if server.live.watch(proxy::LiveFilter::default()).is_none() {
                    break;
                }
            }
            drop(clients);
            while server.live.watch(proxy::LiveFilter::default()).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }

    #[test]
    fn a_request_that_does_not_arrive_is_not_waited_for() {
        locally(async {
            let server = server(Room::FULL, SHORT);
            assert_eq!(ask(&mut connect(&server), "GET /livez HTTP/1.1\r\n").await, "");
            assert_eq!(server.places.counts().count(Refused::Deadline), 1);
        });
    }
}
