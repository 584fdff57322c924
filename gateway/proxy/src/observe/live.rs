//! Whoever waits for the story of the next request that matches.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use door::Scheme;
use route::{HostBuf, ListenerName, PathScratch, normalise_authority, normalise_path};
use tokio::sync::oneshot;

use crate::observe::story::Story;

/// How many may wait at once.
const MOST: usize = 8;

/// Which request is waited for. What is `None` may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveFilter {
    /// The door.
    pub listener: Option<ListenerName>,
    /// The scheme of the door.
    pub scheme: Option<Scheme>,
    /// The host in its normal form ([`route::normalise_authority`]), without a port.
    pub host: Option<String>,
    /// The path without a query, in its normal form ([`route::normalise_path`]); with `*` at its end, all paths that begin
    /// with it.
    pub path: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The client.
    pub client: Option<IpAddr>,
}

/// All who wait.
#[derive(Clone, Default)]
pub struct Live(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// How many wait. Each request looks at this, and at nothing else if it is 0.
    armed: AtomicUsize,
    watches: Mutex<Watches>,
}

#[derive(Default)]
struct Watches {
    last: u64,
    waiting: Vec<Watch>,
}

struct Watch {
    number: u64,
    filter: LiveFilter,
    teller: oneshot::Sender<Box<Story>>,
    claimed: Arc<AtomicBool>,
}

/// One who waits, until it is dropped.
pub struct Watching {
    live: Live,
    number: u64,
    told: oneshot::Receiver<Box<Story>>,
    claimed: Arc<AtomicBool>,
}

/// The parts of a request by which it is chosen.
pub(crate) struct Candidate<'a> {
    pub(crate) listener: &'a ListenerName,
    pub(crate) scheme: Scheme,
    pub(crate) host: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) method: &'a [u8],
    pub(crate) client: IpAddr,
}

impl Live {
    /// Waits from now on; `None` if too many do.
    #[must_use]
    pub fn watch(&self, filter: LiveFilter) -> Option<Watching> {
        let mut watches = self.lock();
        if watches.waiting.len() >= MOST {
            return None;
        }
        watches.last += 1;
        let number = watches.last;
        let (teller, told) = oneshot::channel();
        let claimed = Arc::new(AtomicBool::new(false));
        watches.waiting.push(Watch {
            number,
            filter,
            teller,
            claimed: Arc::clone(&claimed),
        });
        self.0.armed.store(watches.waiting.len(), Ordering::Relaxed);
        Some(Watching {
            live: self.clone(),
            number,
            told,
            claimed,
        })
    }

    /// Whether anybody waits.
    #[inline(always)]
    pub(crate) fn is_armed(&self) -> bool {
        self.0.armed.load(Ordering::Relaxed) != 0
    }

    /// Whom to tell what happens to this request: one who waits for it, and has no other from now on.
    #[cold]
    pub(crate) fn claim(&self, candidate: &Candidate<'_>) -> Option<oneshot::Sender<Box<Story>>> {
        let mut watches = self.lock();
        let matches = |watch: &Watch| watch.filter.takes(candidate);
        let place = watches.waiting.iter().position(matches)?;
        let watch = watches.waiting.remove(place);
        self.0.armed.store(watches.waiting.len(), Ordering::Relaxed);
        watch.claimed.store(true, Ordering::Relaxed);
        Some(watch.teller)
    }

    fn lock(&self) -> MutexGuard<'_, Watches> {
        self.0.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Live").finish_non_exhaustive()
    }
}

impl LiveFilter {
    fn takes(&self, candidate: &Candidate<'_>) -> bool {
        is(self.listener.as_ref(), candidate.listener)
            && is(self.scheme.as_ref(), &candidate.scheme)
            && is(self.client.as_ref(), &candidate.client.to_canonical())
            && is(self.method.as_deref().map(str::as_bytes), candidate.method)
            && self.host.as_ref().is_none_or(|wanted| {
                let mut scratch = HostBuf::new();
                let found = normalise_authority(candidate.host, &mut scratch);
                found.is_ok_and(|found| found.as_str() == wanted)
            })
            && self.path.as_ref().is_none_or(|wanted| {
                let mut scratch = PathScratch::default();
                // A path that is refused has no normal form, and is waited for as it came.
                let found = normalise_path(candidate.path, &mut scratch);
                let found = found.map_or(candidate.path, |found| found.as_bytes());
                match wanted.strip_suffix('*') {
                    Some(beginning) => found.starts_with(beginning.as_bytes()),
                    None => found == wanted.as_bytes(),
                }
            })
    }
}

/// What is not said may be anything.
fn is<W: ?Sized, F: ?Sized + PartialEq<W>>(wanted: Option<&W>, found: &F) -> bool {
    wanted.is_none_or(|wanted| found == wanted)
}

impl Watching {
    /// The story, when the request has ended; `None` if it ended without one (its worker has).
    pub async fn told(&mut self) -> Option<Box<Story>> {
        (&mut self.told).await.ok()
    }

    /// Whether a request has come, and is still under way or has ended.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Relaxed)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut watches = self.live.lock();
        watches.waiting.retain(|watch| watch.number != self.number);
        self.live.0.armed.store(watches.waiting.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Watching").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ListenerName {
        text.parse().unwrap()
    }

    fn candidate(listener: &ListenerName) -> Candidate<'_> {
        Candidate {
            listener,
            scheme: Scheme::Http,
            host: b"Shop.Test.:8080",
            path: b"/c%61rt/1",
            method: b"GET",
            client: "192.0.2.7".parse().unwrap(),
        }
    }

    #[test]
    fn the_first_request_that_matches_is_told_of() {
        let live = Live::default();
        let listener = name("one");
        let wrong = [
            LiveFilter {
                listener: Some(name("two")),
                ..LiveFilter::default()
            },
            LiveFilter {
                scheme: Some(Scheme::Https),
                ..LiveFilter::default()
            },
            LiveFilter {
                host: Some("other.test".to_owned()),
                ..LiveFilter::default()
            },
            LiveFilter {
                path: Some("/cart".to_owned()),
                ..LiveFilter::default()
            },
            LiveFilter {
                method: Some("POST".to_owned()),
                ..LiveFilter::default()
            },
            LiveFilter {
                client: Some("192.0.2.8".parse().unwrap()),
                ..LiveFilter::default()
            },
        ];
        let wrong: Vec<Watching> = wrong
            .into_iter()
            .map(|filter| live.watch(filter).unwrap())
            .collect();
        assert!(live.is_armed() && live.claim(&candidate(&listener)).is_none());
        let right = live
            .watch(LiveFilter {
                listener: Some(listener.clone()),
                scheme: Some(Scheme::Http),
                host: Some("shop.test".to_owned()),
                path: Some("/cart/*".to_owned()),
                method: Some("GET".to_owned()),
                client: Some("192.0.2.7".parse().unwrap()),
            })
            .unwrap();
        assert!(live.claim(&candidate(&listener)).is_some() && right.is_claimed());
        assert!(live.claim(&candidate(&listener)).is_none(), "it has its request");
        drop(wrong);
        assert!(!live.is_armed());
    }

    #[test]
    fn few_may_wait_and_who_leaves_makes_room() {
        let live = Live::default();
        let mut waiting: Vec<Watching> = (0..MOST)
            .map(|_| live.watch(LiveFilter::default()).unwrap())
            .collect();
        assert!(live.watch(LiveFilter::default()).is_none());
        waiting.pop();
        assert!(live.watch(LiveFilter::default()).is_some());
    }
}
