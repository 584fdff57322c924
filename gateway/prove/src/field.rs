//! The doors under attack, and the ways to them.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::answer::{End, Outcome};
use crate::connect::{ClientIdentity, Tls, Way};
use crate::http1;
use crate::http2;
use crate::plan::{Door, Http2, Pair, Plan, ProxyHeader};
use crate::report::ReachedDoor;
use crate::tricks::{self, Names, Opening, Stream, Trick};

/// How many connections are open at once, to all doors together.
const AT_ONCE: usize = 12;

/// The version of HTTP of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// Everything that attacks share.
pub(crate) struct Field {
    doors: Vec<Attacked>,
    /// A host that exists nowhere.
    pub(crate) nowhere: String,
    room: Semaphore,
}

/// A door under attack.
pub(crate) struct Attacked {
    pub(crate) door: Door,
    /// Each door has clients of its own, so that no session of one is ever offered to another, but where that is the attack.
    http1: Tls,
    http2: Tls,
    pub(crate) speaks_http2: Cell<bool>,
    /// How long an answer may take.
    patience: Duration,
    /// Its connections begin with a PROXY header.
    writes_header: Cell<bool>,
    /// Why it cannot be tried.
    pub(crate) problem: RefCell<Option<String>>,
}

/// Every trick with one host filled in.
pub(crate) struct Loaded {
    pub(crate) host: String,
    pub(crate) http1: Vec<Trick<Vec<Vec<u8>>>>,
    pub(crate) http2: Vec<Trick<Vec<Stream>>>,
}

impl Field {
    /// # Errors
    /// When the client's certificate cannot be used.
    pub(crate) fn new(
        plan: &Plan,
        identity: Option<&ClientIdentity>,
        patience: Duration,
    ) -> Result<Self, String> {
        let doors = plan.doors.iter().map(|door| {
            Ok(Attacked {
                door: door.clone(),
                http1: Tls::new(b"http/1.1", identity)?,
                http2: Tls::new(b"h2", identity)?,
                speaks_http2: Cell::new(false),
                patience,
                writes_header: Cell::new(door.proxy == ProxyHeader::Required),
                problem: RefCell::default(),
            })
        });
        Ok(Self {
            doors: doors.collect::<Result<_, String>>()?,
            nowhere: plan.nowhere.clone(),
            room: Semaphore::new(AT_ONCE),
        })
    }

    pub(crate) fn door(&self, index: usize) -> Option<&Attacked> {
        self.doors.get(index)
    }

    pub(crate) fn doors(&self) -> &[Attacked] {
        &self.doors
    }

    pub(crate) fn name(&self, index: usize) -> String {
        self.door(index)
            .map_or_else(String::new, |attacked| attacked.door.name.clone())
    }

    /// Every trick of a pair with this host.
    pub(crate) fn load(&self, pair: &Pair, host: &str, path: &str) -> Loaded {
        let at = self.door(pair.at);
        let own = at.and_then(|at| at.door.own.as_ref());
        let home = self.door(pair.from).map(|home| &home.door);
        let names = Names {
            host,
            path,
            own: own.map_or(&self.nowhere, |own| &own.host),
            own_path: own.map_or("/", |own| &own.path),
            nowhere: &self.nowhere,
            door: home.map_or("", |home| &home.name),
            port: home.map_or(0, |home| home.bind.port()),
        };
        let has_http2 = at.is_some_and(|at| at.speaks_http2.get());
        Loaded {
            host: host.to_owned(),
            http1: tricks::http1(&names),
            http2: if has_http2 {
                tricks::http2(&names)
            } else {
                Vec::new()
            },
        }
    }

    /// Waits for room, and then for the outcome.
    pub(crate) async fn fire(&self, shot: impl Future<Output = Outcome>) -> Outcome {
        // The semaphore is never closed.
        let _room = self.room.acquire().await;
        shot.await
    }

    /// An ordinary request to a door.
    pub(crate) async fn ask(
        &self,
        attacked: &Attacked,
        name: Option<&str>,
        host: &str,
        path: &str,
    ) -> Outcome {
        self.ask_as(&attacked.http1, attacked, name, host, path).await
    }

    /// The same from a client with sessions of its own.
    pub(crate) async fn ask_as(
        &self,
        tls: &Tls,
        attacked: &Attacked,
        name: Option<&str>,
        host: &str,
        path: &str,
    ) -> Outcome {
        let way = Way {
            tls,
            ..attacked.way(Protocol::Http1, name)
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        self.fire(http1::shoot(&way, &[request.into_bytes()], 0)).await
    }

    /// Finds out whether a door answers, and what it speaks.
    pub(crate) async fn reach(&self, index: usize) {
        let Some(attacked) = self.door(index) else { return };
        let own = attacked.door.own.as_ref().map(|own| own.host.as_str());
        let names: &[Option<&str>] = match attacked.door.tls {
            true => &[own, None, Some(&self.nowhere)],
            false => &[None],
        };
        self.reach_as(attacked, names).await;
        if attacked.door.proxy == ProxyHeader::Behind && attacked.problem.borrow().is_some() {
            attacked.writes_header.set(true);
            self.reach_as(attacked, names).await;
        }
        if attacked.problem.borrow().is_none() && attacked.door.http2 != Http2::No {
            for name in names.iter().filter(|_| !attacked.speaks_http2.get()) {
                let answers = self.answers_http2(attacked, *name).await;
                attacked.speaks_http2.set(answers);
            }
        }
    }

    /// Finds out whether it answers a handshake with one of these server names.
    async fn reach_as(&self, attacked: &Attacked, names: &[Option<&str>]) {
        for name in names {
            let outcome = self.ask(attacked, *name, &self.nowhere, "/").await;
            let problem = unanswered(&attacked.door, &outcome);
            let is_over = problem.is_none() || matches!(outcome.end, End::Unreachable(_));
            *attacked.problem.borrow_mut() = problem;
            if is_over {
                break;
            }
        }
    }

    async fn answers_http2(&self, attacked: &Attacked, name: Option<&str>) -> bool {
        let names = Names::at_root(&self.nowhere, &self.nowhere, "");
        let Some(first) = tricks::http2(&names).into_iter().next() else {
            return false;
        };
        let way = attacked.way(Protocol::Http2, name);
        let outcome = self.fire(http2::shoot(&way, &first.message)).await;
        !outcome.answers.is_empty()
    }
}

impl Attacked {
    /// The usual way to the door.
    pub(crate) fn way<'a>(&'a self, protocol: Protocol, server_name: Option<&'a str>) -> Way<'a> {
        Way {
            door: &self.door,
            patience: self.patience,
            writes_header: self.writes_header.get(),
            forged: (self.door.bind, ""),
            opening: Opening::Usual,
            tls: match protocol {
                Protocol::Http1 => &self.http1,
                Protocol::Http2 => &self.http2,
            },
            server_name,
        }
    }

    pub(crate) fn report(&self) -> ReachedDoor {
        let problem = self.problem.borrow().clone();
        let http1 = problem.is_none().then_some(Protocol::Http1);
        let http2 = self.speaks_http2.get().then_some(Protocol::Http2);
        ReachedDoor {
            listener: self.door.name.clone(),
            address: self.door.address.to_string(),
            protocols: http1.into_iter().chain(http2).map(Protocol::name).collect(),
            problem,
        }
    }
}

/// Why a door cannot be tried, from what it answered to an ordinary request.
fn unanswered(door: &Door, outcome: &Outcome) -> Option<String> {
    if !outcome.answers.is_empty() {
        return None;
    }
    if door.wants_certificate && !matches!(outcome.end, End::Unreachable(_)) {
        return Some(format!(
            "the door accepts only clients with a certificate; give one that it trusts with --client-cert and --client-key ({})",
            outcome.summary(0)
        ));
    }
    match &outcome.end {
        End::Unreachable(reason) => Some(format!("unreachable: {reason}")),
        End::Handshake(reason) => Some(format!("no TLS handshake: {reason}")),
        End::Closed | End::Quiet | End::Reset(_) | End::Timeout => Some(format!(
            "it does not answer an ordinary request ({}); does it want a PROXY header from a trusted proxy, or TLS?",
            outcome.summary(0)
        )),
    }
}
