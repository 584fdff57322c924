//! How long work that was admitted under one publication may continue under later ones: an upgraded connection, a
//! passed-through connection, a request under way.
//!
//! Until something is published, it costs a comparison of two numbers. Then tasks that may be silent for long are woken
//! ([`crate::worker::deadlines`]); all others are polled soon anyway.

use std::task::Context;
use std::time::{Duration, Instant};

use door::{Route, Snapshot, Standing};
use route::{HostBuf, normalise_sni};

use crate::head::downstream::Downstream;
use crate::head::identity::Peer;
use crate::settings::Settings;
use crate::worker::Worker;
use crate::worker::deadlines::Deadline;
use crate::worker::place::Place;

/// The connection that a route let in, and what was requested on it.
#[derive(Clone, Copy)]
pub(crate) enum Occupant<'a> {
    /// A request, or the upgraded connection that it has become.
    Request {
        downstream: &'a Downstream,
        place: &'a Place,
    },
    /// A connection whose TLS is passed through, for this server name.
    Passed { peer: &'a Peer, name: &'a str },
}

/// Watches one route on behalf of the work that it let in.
pub(crate) struct Tenure<'a> {
    worker: &'a Worker,
    route: &'a Route,
    /// The publication that it was last judged by.
    publication: u64,
    /// When it must end, once that is decided.
    notice: Option<(Instant, Deadline)>,
}

/// How long something may continue once its route has been removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// As long as requests may take at the end of a drain: most end before that.
    Request,
    /// As long as the door says: it has no natural end.
    Lasting,
}

impl<'a> Tenure<'a> {
    /// For what `route` of this publication has let in.
    pub(crate) fn new(worker: &'a Worker, route: &'a Route, publication: u64) -> Self {
        Self {
            worker,
            route,
            publication,
            notice: None,
        }
    }

    /// The worker that it is under way on.
    pub(crate) fn worker(&self) -> &Worker {
        self.worker
    }

    /// Whether it must end now; else the task is woken when it must.
    pub(crate) fn is_over(
        &mut self,
        context: &mut Context<'_>,
        nature: Nature,
        occupant: Occupant<'_>,
    ) -> bool {
        if self.worker.publication() > self.publication {
            self.review(nature, occupant);
        }
        self.notice
            .as_ref()
            .is_some_and(|(end, deadline)| deadline.now() >= *end || deadline.has_passed(context))
    }

    fn review(&mut self, nature: Nature, occupant: Occupant<'_>) {
        let snapshot = self.worker.door.snapshot();
        self.publication = snapshot.publication();
        let standing = occupant.standing(&snapshot, self.route);
        let Some(grace) = grace(standing, nature, snapshot.settings()) else {
            self.notice = None;
            return;
        };
        let now = self.worker.deadlines.now();
        let end = now + grace;
        // Later publications never extend the time.
        if self.notice.as_ref().is_none_or(|(earlier, _)| end < *earlier) {
            let deadline = self.worker.deadlines.register();
            deadline.set_from(now, grace);
            self.notice = Some((end, deadline));
        }
    }
}

/// How much longer something may continue; `None`: without a limit.
fn grace(standing: Standing, nature: Nature, settings: &Settings) -> Option<Duration> {
    let withdrawn = settings.timeouts.withdrawn;
    let drained = settings.drain.timeout.max(withdrawn);
    match (standing, nature) {
        (Standing::Holds, _) | (Standing::Redirected, Nature::Request) => None,
        (Standing::Redirected, Nature::Lasting) | (Standing::Gone, Nature::Request) => Some(drained),
        (Standing::Gone, Nature::Lasting) => Some(withdrawn),
    }
}

impl Occupant<'_> {
    /// What the door would say now to the same request on the same connection.
    fn standing(self, snapshot: &Snapshot<Settings>, route: &Route) -> Standing {
        match self {
            Self::Request { downstream, place } => {
                if !downstream.is_entitled(snapshot) {
                    return Standing::Gone;
                }
                place
                    .look_up(|host, path| {
                        let is_admitted = match (&downstream.session, snapshot.tls()) {
                            (Some(session), Some(tls)) => tls.admits(&session.handshake, host),
                            (None, _) | (_, None) => true,
                        };
                        if is_admitted {
                            snapshot.standing(route, host, path)
                        } else {
                            Standing::Gone
                        }
                    })
                    .unwrap_or(Standing::Gone)
            }
            Self::Passed { peer, name } => {
                let mut buffer = HostBuf::new();
                match normalise_sni(name.as_bytes(), &mut buffer) {
                    Ok(name) if peer.came_as(snapshot.settings()) => {
                        snapshot.standing_of_passed(route, &name)
                    }
                    Ok(_) | Err(_) => Standing::Gone,
                }
            }
        }
    }
}
