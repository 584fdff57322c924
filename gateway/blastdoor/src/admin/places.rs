//! The places of the admin port, and who gives way when they are taken.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use tokio::task::AbortHandle;

use super::counts::{AdminCounts, Refused};

/// How many connections the admin port may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Connections that have not sent a request, or have been answered and are about to end.
    pub(crate) waiting: usize,
    /// Connections for which a page is made or sent. Probes are answered beside them.
    pub(crate) pages: usize,
    /// Descriptors held in reserve.
    pub(crate) spare: usize,
}

impl Room {
    /// As many as the port ever needs.
    pub(crate) const FULL: Self = Self {
        waiting: 64,
        pages: 16,
        spare: 4,
    };

    /// Descriptors that all of it takes.
    pub(crate) fn descriptors(self) -> usize {
        self.waiting + self.pages + self.spare
    }
}

/// The connections of the admin port.
pub(super) struct Places {
    room: Room,
    counts: AdminCounts,
    /// Those that may be ended for others, by when they began to wait.
    waiting: RefCell<BTreeMap<u64, AbortHandle>>,
    last: Cell<u64>,
    pages: Cell<usize>,
}

/// One connection, for as long as it lasts.
pub(super) struct Place {
    places: Rc<Places>,
    number: Cell<u64>,
    task: AbortHandle,
}

/// A page under way, for as long as it is.
pub(super) struct PageUnderWay(Rc<Places>);

impl Places {
    pub(super) fn new(room: Room, counts: AdminCounts) -> Rc<Self> {
        Rc::new(Self {
            room,
            counts,
            waiting: RefCell::default(),
            last: Cell::new(0),
            pages: Cell::new(0),
        })
    }

    pub(super) fn counts(&self) -> &AdminCounts {
        &self.counts
    }

    /// A place for a new connection, which is served by `task`. When all are taken, whoever has waited for longest loses
    /// its own.
    pub(super) fn enter(self: &Rc<Self>, task: AbortHandle) -> Place {
        self.counts.open(1);
        let number = Cell::new(self.wait(task.clone()));
        Place {
            places: Rc::clone(self),
            number,
            task,
        }
    }

    fn wait(&self, task: AbortHandle) -> u64 {
        if self.waiting.borrow().len() >= self.room.waiting {
            self.end_oldest();
        }
        let number = self.last.get() + 1;
        self.last.set(number);
        self.waiting.borrow_mut().insert(number, task);
        number
    }

    /// Ends the connection that has waited for longest, if there is one.
    pub(super) fn end_oldest(&self) -> bool {
        let Some((_, oldest)) = self.waiting.borrow_mut().pop_first() else {
            return false;
        };
        oldest.abort();
        self.counts.refused(Refused::Places, Instant::now());
        true
    }
}

impl Place {
    /// The request has come: it is answered whoever comes later.
    pub(super) fn asked(&self) {
        self.places.waiting.borrow_mut().remove(&self.number.get());
    }

    /// The answer has been sent, and only the end is left.
    pub(super) fn answered(&self) {
        self.number.set(self.places.wait(self.task.clone()));
    }

    /// The request was for a page: `None` if too many are under way.
    pub(super) fn page(&self) -> Option<PageUnderWay> {
        self.page_of(self.places.room.pages)
    }

    /// The request waits for something, perhaps for minutes: half of the pages are left to those that do not.
    pub(super) fn long_page(&self) -> Option<PageUnderWay> {
        self.page_of(self.places.room.pages / 2)
    }

    fn page_of(&self, most: usize) -> Option<PageUnderWay> {
        let pages = self.places.pages.get();
        if pages >= most {
            self.places.counts.refused(Refused::Pages, Instant::now());
            return None;
        }
        self.places.pages.set(pages + 1);
        Some(PageUnderWay(Rc::clone(&self.places)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.asked();
        self.places.counts.open(-1);
    }
}

impl Drop for PageUnderWay {
    fn drop(&mut self) {
        self.0.pages.set(self.0.pages.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        waiting: 3,
        pages: 1,
        spare: 0,
    };

    /// Runs `test` where tasks can be spawned.
    fn locally(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    fn task() -> tokio::task::JoinHandle<()> {
        tokio::task::spawn_local(std::future::pending())
    }

    #[test]
    fn whoever_has_waited_for_longest_gives_way() {
        locally(async {
            let places = Places::new(ROOM, AdminCounts::default());
            let tasks: Vec<_> = (0..6).map(|_| task()).collect();
            let mut held = Vec::new();
            for (index, task) in tasks.iter().enumerate() {
                held.push(places.enter(task.abort_handle()));
                if index == 1 {
                    // It has asked, and stays whoever comes.
                    held[0].asked();
                }
            }
            tokio::task::yield_now().await;
            let ended: Vec<bool> = tasks.iter().map(tokio::task::JoinHandle::is_finished).collect();
            assert_eq!(ended, [false, true, true, false, false, false]);
            // Answered, it waits for its end behind the others.
            held[0].answered();
            tokio::task::yield_now().await;
            assert!(tasks[3].is_finished() && !tasks[0].is_finished());
            for _ in 0..3 {
                assert!(places.end_oldest());
            }
            assert!(!places.end_oldest());
            tokio::task::yield_now().await;
            assert!(tasks[0].is_finished());
        });
    }

    #[test]
    fn pages_leave_places_to_probes() {
        locally(async {
            let places = Places::new(ROOM, AdminCounts::default());
            let held: Vec<_> = (0..3).map(|_| places.enter(task().abort_handle())).collect();
            let page = held[0].page();
            assert!(page.is_some() && held[1].page().is_none());
            drop(page);
            assert!(held[1].page().is_some());
        });
    }

    #[test]
    fn whoever_waits_for_minutes_leaves_pages_to_others() {
        locally(async {
            let places = Places::new(Room { pages: 4, ..ROOM }, AdminCounts::default());
            let place = places.enter(task().abort_handle());
            let long = [(); 3].map(|()| place.long_page());
            assert_eq!(long.each_ref().map(Option::is_some), [true, true, false]);
            let short = [(); 3].map(|()| place.page());
            assert_eq!(short.each_ref().map(Option::is_some), [true, true, false]);
        });
    }
}
