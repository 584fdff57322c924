//! Whoever waits for the story of the next request that matches.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use door::Scheme;
use route::{HostBuf, ListenerName, PathScratch, normalise_authority, normalise_path};
use tokio::sync::oneshot;
use tokio::time::timeout;

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
    /// Requests read it without waiting for each other.
    waiting: ArcSwap<Vec<Arc<Watch>>>,
    /// For those who come and go.
    changing: Mutex<()>,
}

struct Watch {
    filter: LiveFilter,
    /// `None`: it has its request.
    teller: Mutex<Option<oneshot::Sender<Box<Story>>>>,
}

/// One who waits, until it is dropped.
pub struct Watching {
    live: Live,
    watch: Arc<Watch>,
    told: oneshot::Receiver<Box<Story>>,
}

/// What has come of waiting.
#[derive(Debug)]
pub enum Watched {
    /// A request has come, and this has happened to it.
    Story(Box<Story>),
    /// A request has come, and has ended without a story: its worker has.
    Lost,
    /// A request has come, and has not ended in time.
    UnderWay,
    /// None has come.
    Nothing,
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
        let (teller, told) = oneshot::channel();
        let watch = Arc::new(Watch {
            filter,
            teller: Mutex::new(Some(teller)),
        });
        let is_room = self.change(|waiting| {
            let is_room = waiting.len() < MOST;
            if is_room {
                waiting.push(Arc::clone(&watch));
            }
            is_room
        });
        is_room.then(|| Watching {
            live: self.clone(),
            watch,
            told,
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
        let waiting = self.0.waiting.load();
        let mut likely = waiting
            .iter()
            .filter(|watch| watch.filter.may_take(candidate))
            .peekable();
        likely.peek()?;
        let (mut host, mut path) = (HostBuf::new(), PathScratch::default());
        let host = normalise_authority(candidate.host, &mut host).ok();
        let host = host.as_ref().map(|host| host.as_str());
        // A path that is refused has no normal form, and is waited for as it came.
        let path = normalise_path(candidate.path, &mut path);
        let path = path.as_ref().map_or(candidate.path, |path| path.as_bytes());
        let (watch, teller) = likely
            .filter(|watch| watch.filter.is_for(host, path))
            .find_map(|watch| Some((watch, watch.teller().take()?)))?;
        self.leave(watch);
        Some(teller)
    }

    fn leave(&self, one: &Arc<Watch>) {
        self.change(|waiting| waiting.retain(|watch| !Arc::ptr_eq(watch, one)));
    }

    fn change<R>(&self, change: impl FnOnce(&mut Vec<Arc<Watch>>) -> R) -> R {
        let _alone = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = Vec::clone(&self.0.waiting.load());
        let result = change(&mut waiting);
        let armed = waiting.len();
        self.0.waiting.store(Arc::new(waiting));
        self.0.armed.store(armed, Ordering::Relaxed);
        result
    }
}

impl Watch {
    fn teller(&self) -> MutexGuard<'_, Option<oneshot::Sender<Box<Story>>>> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Live").finish_non_exhaustive()
    }
}

impl LiveFilter {
    /// What can be compared as it came.
    fn may_take(&self, candidate: &Candidate<'_>) -> bool {
        is(self.listener.as_ref(), candidate.listener)
            && is(self.scheme.as_ref(), &candidate.scheme)
            && is(self.client.as_ref(), &candidate.client.to_canonical())
            && is(self.method.as_deref().map(str::as_bytes), candidate.method)
    }

    /// The rest, in normal form; `None` is a host without one.
    fn is_for(&self, host: Option<&str>, path: &[u8]) -> bool {
        let is_host = self.host.as_deref().is_none_or(|wanted| host == Some(wanted));
        is_host
            && self
                .path
                .as_ref()
                .is_none_or(|wanted| match wanted.strip_suffix('*') {
                    Some(beginning) => path.starts_with(beginning.as_bytes()),
                    None => path == wanted.as_bytes(),
                })
    }
}

/// What is not said may be anything.
fn is<W: ?Sized, F: ?Sized + PartialEq<W>>(wanted: Option<&W>, found: &F) -> bool {
    wanted.is_none_or(|wanted| found == wanted)
}

impl Watching {
    /// Waits for a request, and if one has come, for its end as much longer.
    pub async fn outcome(&mut self, wait: Duration, for_its_end: Duration) -> Watched {
        let told = match timeout(wait, &mut self.told).await {
            Ok(told) => Some(told),
            Err(_) if !self.is_claimed() => return Watched::Nothing,
            Err(_) => timeout(for_its_end, &mut self.told).await.ok(),
        };
        match told {
            Some(Ok(story)) => Watched::Story(story),
            Some(Err(_)) => Watched::Lost,
            None => Watched::UnderWay,
        }
    }

    /// Whether a request has come, and is still under way or has ended.
    fn is_claimed(&self) -> bool {
        self.watch.teller().is_none()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.live.leave(&self.watch);
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

    /// Requests at all doors look at who waits; none of them may wait for another, nor for who comes and goes.
    #[test]
    fn requests_that_do_not_match_take_no_lock() {
        let live = Live::default();
        let listener = name("one");
        let _other = live.watch(LiveFilter {
            host: Some("other.test".to_owned()),
            ..LiveFilter::default()
        });
        let waiting = live.0.waiting.load();
        let _changing = live.0.changing.lock().unwrap();
        let _claiming = waiting[0].teller.lock().unwrap();
        assert!(live.claim(&candidate(&listener)).is_none());
    }

    #[test]
    fn many_requests_at_once_are_one_for_each_who_waits() {
        let live = Live::default();
        let waiting: Vec<Watching> = (0..MOST)
            .map(|_| live.watch(LiveFilter::default()).unwrap())
            .collect();
        let claim = || live.claim(&candidate(&name("one")));
        let claimed = std::thread::scope(|scope| {
            let claims: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..MOST).filter_map(|_| claim()).count()))
                .collect();
            claims
                .into_iter()
                .map(|claims| claims.join().unwrap())
                .sum::<usize>()
        });
        assert_eq!(claimed, MOST);
        assert!(waiting.iter().all(Watching::is_claimed) && !live.is_armed());
    }

    /// A request that hangs outlasts the wait for it, and is the one that people look for.
    #[tokio::test]
    async fn what_has_come_has_time_to_end() {
        const NONE: Duration = Duration::ZERO;
        let live = Live::default();
        let mut watching = live.watch(LiveFilter::default()).unwrap();
        assert!(matches!(
            watching.outcome(NONE, Duration::MAX).await,
            Watched::Nothing
        ));
        let teller = live.claim(&candidate(&name("one"))).unwrap();
        assert!(matches!(watching.outcome(NONE, NONE).await, Watched::UnderWay));
        let late = async {
            tokio::task::yield_now().await;
            drop(teller);
        };
        let (outcome, ()) = tokio::join!(watching.outcome(NONE, Duration::from_secs(60)), late);
        assert!(matches!(outcome, Watched::Lost));
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
