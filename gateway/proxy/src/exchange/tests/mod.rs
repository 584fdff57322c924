//! Exchanges between two pairs of sockets: what a client sends and a backend answers, and what comes of it.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::{BodyFraming, HeadLimits, RequestHead};

mod leaving;
mod slowness;
mod stillness;

use super::relay::Relay;
use super::{Ended, Exchange, ExchangeTimeouts, Parts};
use crate::head::traits::RequestTraits;
use crate::settings::Settings;
use crate::stream::Stream;
use crate::stream::body::Sink;
use crate::stream::trailer_limits::TrailerLimits;
use crate::worker::buffers::{Pool, Scratch};
use crate::worker::clock::Clock;
use crate::worker::date::DateClock;
use crate::worker::deadlines::Deadlines;
use crate::worker::memory::Memory;
use crate::worker::pipes::Pipes;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 4096,
    fields: 30,
    target_bytes: 1024,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A minute for everything.
const MINUTES: ExchangeTimeouts = ExchangeTimeouts {
    body_idle: MINUTE,
    write_stall: MINUTE,
    response_head: MINUTE,
    response_idle: MINUTE,
    until: None,
};

/// Reads the head of a request, and prepares one for the backend.
fn begin(text: &str, scratch: &mut Scratch) -> (RequestTraits, BodyFraming) {
    let mut head = RequestHead::new();
    let length = head.parse(text.as_bytes(), &LIMITS).unwrap().unwrap();
    scratch.from_client.load(&text.as_bytes()[length..]);
    scratch.to_upstream.clear();
    scratch.to_upstream.extend_from_slice(b"head\r\n\r\n");
    let traits = RequestTraits::of(&head, &text.as_bytes()[..length]);
    (traits, head.framing)
}

/// What came of an exchange.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// What the client has got, without `Date`.
    text: String,
    /// How it ended; of a failure, the refusal by name and whether the backend was silent.
    end: Result<Ended, (String, bool)>,
    status: u16,
    /// Only the end of the connection ends the response.
    with_connection: bool,
}

const ANSWERED: Result<Ended, (String, bool)> = Ok(Ended::Answered {
    reuse: true,
    keep: true,
});

/// The two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (left, right) = tokio::join!(
        TcpStream::connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    (left.unwrap(), right.unwrap().0)
}

/// A client sends this request, a backend reads its head, answers so, and closes if `closes`.
async fn exchange(request: &str, answer: &str, closes: bool) -> Outcome {
    let ((mut client, ours), (mut backend, theirs)) = (pair().await, pair().await);
    let (mut ours, mut theirs) = (Stream::plain(ours), Stream::plain(theirs));
    let memory = Memory::of_tests();
    let pool = Pool::new(&memory);
    let mut loan = pool.borrow();
    let scratch = loan.scratch();
    let (traits, framing) = begin(request, scratch);
    scratch.protocols.extend_from_slice(b"websocket,");
    let settings = Settings::of_tests();
    let sink = match framing {
        BodyFraming::Chunked => Sink::Chunked { trailers: true },
        BodyFraming::None | BodyFraming::Length(_) | BodyFraming::UntilClose => Sink::Plain,
    };
    let trailers = TrailerLimits::of(&settings.limits);
    let mut upload = Relay::new(framing, sink, u64::MAX, trailers);
    let deadline = Deadlines::new(Clock::default(), std::sync::Arc::default()).register();
    let (clock, pipes) = (DateClock::new(), Pipes::new(&memory, std::sync::Arc::default()));
    let parts = Parts {
        client: &mut ours,
        upstream: &mut theirs,
        scratch,
        upload: &mut upload,
        deadline: &deadline,
        clock: &clock,
        pipes: &pipes,
        limits: &settings.limits,
        filters: None,
    };
    let mut under_way = Exchange::new(parts, MINUTES, traits, false);
    let answering = async {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            read.push(backend.read_u8().await.unwrap());
        }
        backend.write_all(answer.as_bytes()).await.unwrap();
        if closes {
            backend.shutdown().await.unwrap();
        }
    };
    let (ended, ()) = tokio::join!(poll_fn(|context| under_way.poll(context)), answering);
    let end = ended.map_err(|failure| (format!("{:?}", failure.refusal), failure.silent));
    let (status, with_connection) = (under_way.status(), under_way.ends_with_connection());
    drop((ours, theirs));
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    let undated = |line: &&str| !line.starts_with("Date: ");
    Outcome {
        text: text.split_inclusive("\r\n").filter(undated).collect(),
        end,
        status,
        with_connection,
    }
}

fn failed(name: &str, silent: bool) -> Result<Ended, (String, bool)> {
    Err((name.to_owned(), silent))
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[tokio::test]
async fn an_exchange_decides_what_the_client_gets_and_what_becomes_of_both_connections() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
    const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    const KEPT: Result<Ended, (String, bool)> = Ok(Ended::Answered {
        reuse: false,
        keep: true,
    });
    let table = [
        (
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            false,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            ANSWERED,
            200,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 204 No\r\n\r\n",
            false,
            "HTTP/1.1 204 No\r\n\r\n",
            ANSWERED,
            204,
        ),
        // What is behind the answer belongs to nothing.
        (
            GET,
            "HTTP/1.1 204 No\r\n\r\nmore",
            false,
            "HTTP/1.1 204 No\r\n\r\n",
            KEPT,
            204,
        ),
        // An interim response comes first, and an unrequested 100 does not.
        (
            GET,
            "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            false,
            "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            ANSWERED,
            204,
        ),
        // A body that ends with its connection gets an explicit end, if the client can read it.
        (
            GET,
            "HTTP/1.1 200 OK\r\n\r\nhi",
            true,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            KEPT,
            200,
        ),
        (
            UPGRADE,
            "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            false,
            "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            Ok(Ended::Upgraded),
            101,
        ),
        (
            UPGRADE,
            "HTTP/1.1 101 Go\r\nUpgrade: other\r\n\r\n",
            false,
            "",
            failed("UpstreamMalformed", false),
            0,
        ),
        (
            GET,
            "HTTP/1.1 101 Go\r\n\r\n",
            false,
            "",
            failed("UpstreamMalformed", false),
            0,
        ),
        (GET, "", true, "", failed("UpstreamReset", true), 0),
        (
            GET,
            "HTTP/1.1 20",
            true,
            "",
            failed("UpstreamMalformed", false),
            0,
        ),
        (
            GET,
            "SSH-2.0\r\n",
            false,
            "",
            failed("UpstreamMalformed", false),
            0,
        ),
    ];
    for (request, answer, closes, text, end, status) in table {
        let expected = Outcome {
            text: text.to_owned(),
            end,
            status,
            with_connection: false,
        };
        assert_eq!(
            exchange(request, answer, closes).await,
            expected,
            "{request}{answer}"
        );
    }
    let to_the_end = exchange(OLD, "HTTP/1.1 200 OK\r\n\r\nhi", true).await;
    assert_eq!(
        to_the_end,
        Outcome {
            text: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi".to_owned(),
            end: Ok(Ended::Answered {
                reuse: false,
                keep: false
            }),
            status: 200,
            with_connection: true,
        }
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_by_what_has_left() {
    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let short = exchange(GET, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", true).await;
    assert_eq!(short.end, failed("UpstreamTruncated", false));
    assert_eq!(short.status, 200);
    // A malformed chunk in the first piece: nothing has been sent, and the client can still get a 502.
    let chunk = exchange(
        GET,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
        false,
    )
    .await;
    assert_eq!(chunk.end, failed("UpstreamMalformed", false));
    assert_eq!((chunk.status, chunk.text.as_str()), (0, ""));
}

#[tokio::test]
async fn too_many_interim_responses_are_refused() {
    let flood = "HTTP/1.1 103 Hints\r\n\r\n".repeat(17);
    let outcome = exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &flood, false).await;
    assert_eq!(outcome.end, failed("UpstreamMalformed", false));
    assert_eq!(outcome.text.matches("103").count(), 16);
}
