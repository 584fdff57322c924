//! The admin port: health, metrics and a small API. Not for clients.
//!
//! It has a thread of its own, so that neither traffic nor control work delays a probe, and another thread for pages that
//! take long to make. A connection carries one request and has a deadline as a whole. There are few places; whoever has
//! not sent a request yet gives way to newer connections, so that nobody can hold them all
//! ([ADR 29](../../../../docs/adr/0029-descriptors-are-divided.md)).

mod answer;
mod asked;
mod board;
mod connection;
mod context;
mod counts;
mod dashboard;
mod exposition;
mod guard;
mod live;
mod page;
mod pages;
mod places;
mod query;
mod reachability;
mod report;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use control::caught;
use proxy::Live;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;

pub(crate) use self::board::Board;
use self::connection::{Patience, Server};
pub(crate) use self::context::Context;
pub(crate) use self::counts::AdminCounts;
use self::pages::Pages;
use self::places::Places;
pub(crate) use self::places::Room;
use crate::config::AdminBind;

/// How long accepting pauses when the host is out of descriptors and there is none in reserve.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that may wait to be accepted at a Unix socket.
const BACKLOG: i32 = 1024;

/// The bound admin port.
pub(crate) struct Admin(Bound);

enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Admin {
    /// Binds the admin port. It never shares its port: probes must reach the process they ask about.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) fn bind(bind: &AdminBind) -> io::Result<Self> {
        Ok(Self(match bind {
            AdminBind::Tcp(address) => Bound::Tcp(proxy::listen(*address)?),
            AdminBind::Unix(path) => {
                remove_dead_socket(path)?;
                let listener = std::os::unix::net::UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                // The standard library's own backlog is short.
                rustix::net::listen(&listener, BACKLOG)?;
                Bound::Unix(listener)
            }
        }))
    }

    /// Serves on threads of its own until the process ends.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be started.
    pub(crate) fn start(
        self,
        context: Context,
        room: Room,
        counts: AdminCounts,
        live: Live,
    ) -> io::Result<()> {
        let board = context.board.clone();
        let pages = Pages::start(context, room.pages)?;
        let (told, outcome) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("admin".to_owned());
        thread.spawn(move || {
            let (runtime, listening) = match runtime_with(self.0) {
                Ok(both) => both,
                Err(error) => {
                    let _heard = told.send(Err(error));
                    return;
                }
            };
            let _heard = told.send(Ok(()));
            let server = Rc::new(Server {
                board,
                pages,
                live,
                places: Places::new(room, counts),
                patience: Patience::USUAL,
            });
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, async {
                let mut reserve = Reserve::new(room.spare);
                // Without probes the process would be killed. A panic, which has been logged, costs one turn.
                while caught(accept(&listening, &server, &mut reserve)).await.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
            });
        })?;
        outcome.recv().unwrap_or_else(|lost| Err(io::Error::other(lost)))
    }
}

/// A runtime that waits for connections at the socket.
fn runtime_with(socket: Bound) -> io::Result<(Runtime, Listening)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listening = {
        let _entered = runtime.enter();
        match socket {
            Bound::Tcp(listener) => Listening::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener) => Listening::Unix(UnixListener::from_std(listener)?),
        }
    };
    Ok((runtime, listening))
}

/// Accepts whoever comes. Whether there is a place is decided then, because who it is cannot be known before.
async fn accept(listening: &Listening, server: &Rc<Server>, reserve: &mut Reserve) {
    loop {
        let accepted = match listening {
            Listening::Tcp(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| server.admit_tcp(stream)),
            Listening::Unix(listener) => listener
                .accept()
                .await
                .map(|(stream, _)| server.admit_unix(stream)),
        };
        match accepted {
            Ok(()) => {
                // What it has sent is read before a newer one could take its place.
                tokio::task::yield_now().await;
                reserve.fill();
            }
            // Out of descriptors: with one from the reserve, or from whoever only waits, the next is accepted all the same.
            Err(_) if reserve.release() || server.places.end_oldest() => tokio::task::yield_now().await,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Descriptors that are held for the time when there are no others.
struct Reserve {
    held: Vec<OwnedFd>,
    most: usize,
}

impl Reserve {
    fn new(most: usize) -> Self {
        let mut reserve = Self {
            held: Vec::with_capacity(most),
            most,
        };
        reserve.fill();
        reserve
    }

    /// Takes back what has been released, as far as there are descriptors.
    fn fill(&mut self) {
        while self.held.len() < self.most {
            // Any file will do; nothing is read from it.
            let Ok(file) = std::fs::File::open("/dev/null") else {
                return;
            };
            self.held.push(file.into());
        }
    }

    fn release(&mut self) -> bool {
        self.held.pop().is_some()
    }
}

/// A socket file without a listener is left over from a process that was killed.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(_) => Ok(()),
    }
}
