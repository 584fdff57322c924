//! The idle connections of a worker, oldest first: those that may be closed to make room for others.
//!
//! The list is threaded through the places of the table of deadlines. A connection enters and leaves it at each request,
//! so both cost a few stores, and nothing is allocated beyond eight bytes for each place.

/// The place of a connection in the table of deadlines.
pub(super) type Index = u32;

/// No neighbour.
const END: Index = Index::MAX;
/// Not in the list.
const OUT: Index = Index::MAX - 1;
/// Taken out to be closed.
const ASKED: Index = Index::MAX - 2;

/// Idle connections in the order in which they became idle.
#[derive(Debug)]
pub(super) struct IdleList {
    links: Vec<Links>,
    oldest: Index,
    newest: Index,
    count: usize,
    asked: usize,
}

/// The neighbours of a place: the one that became idle before it, and the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Links {
    before: Index,
    after: Index,
}

impl Links {
    const OUT: Self = Self {
        before: OUT,
        after: OUT,
    };
    const ASKED: Self = Self {
        before: ASKED,
        after: ASKED,
    };
}

impl Default for IdleList {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            oldest: END,
            newest: END,
            count: 0,
            asked: 0,
        }
    }
}

impl IdleList {
    /// How many are idle and have not been asked to end.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many have been asked to end and have not yet.
    pub(super) fn asked(&self) -> usize {
        self.asked
    }

    /// All of them, those first that have been idle for longest.
    pub(super) fn iter(&self) -> impl Iterator<Item = Index> {
        let known = |index: &Index| (*index as usize) < self.links.len();
        std::iter::successors(Some(self.oldest).filter(known), move |index| {
            let links = self.links.get(*index as usize)?;
            Some(links.after).filter(known)
        })
    }

    /// Makes a place known.
    pub(super) fn add(&mut self, index: Index) {
        let length = index as usize + 1;
        if self.links.len() < length {
            self.links.resize(length, Links::OUT);
        }
    }

    /// The connection is idle from now on. One that is idle already keeps its age.
    pub(super) fn enter(&mut self, index: Index) {
        let before = self.newest;
        match self.links.get_mut(index as usize) {
            Some(links) if links.before == OUT || links.before == ASKED => {
                self.asked -= usize::from(links.before == ASKED);
                *links = Links { before, after: END };
            }
            Some(_) | None => return,
        }
        match self.links.get_mut(before as usize) {
            Some(links) => links.after = index,
            None => self.oldest = index,
        }
        self.newest = index;
        self.count += 1;
    }

    /// The connection is not idle any more. Whether it had been asked to end.
    pub(super) fn leave(&mut self, index: Index) -> bool {
        let Some(links) = self.links.get_mut(index as usize) else {
            return false;
        };
        let Links { before, after } = std::mem::replace(links, Links::OUT);
        if before == OUT || before == ASKED {
            self.asked -= usize::from(before == ASKED);
            return before == ASKED;
        }
        match self.links.get_mut(before as usize) {
            Some(links) => links.after = after,
            None => self.oldest = after,
        }
        match self.links.get_mut(after as usize) {
            Some(links) => links.before = before,
            None => self.newest = before,
        }
        self.count = self.count.saturating_sub(1);
        false
    }

    /// Takes out the one that has been idle for longest, which is to end.
    pub(super) fn take_oldest(&mut self) -> Option<Index> {
        let oldest = self.oldest;
        self.links.get(oldest as usize)?;
        self.leave(oldest);
        if let Some(links) = self.links.get_mut(oldest as usize) {
            *links = Links::ASKED;
            self.asked += 1;
        }
        Some(oldest)
    }

    /// Whether the connection has been asked to end since it became idle.
    pub(super) fn is_asked(&self, index: Index) -> bool {
        self.links.get(index as usize) == Some(&Links::ASKED)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Compares with a queue, over many orders of entering, leaving and taking.
    #[test]
    fn the_oldest_is_taken_first() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let (mut list, mut oracle) = (IdleList::default(), VecDeque::new());
            (0..8).for_each(|index| list.add(index));
            let mut asked = std::collections::BTreeSet::new();
            for _ in 0..100 {
                let index = random.u32(0..8);
                match random.u8(0..3) {
                    0 => {
                        list.enter(index);
                        asked.remove(&index);
                        if !oracle.contains(&index) {
                            oracle.push_back(index);
                        }
                    }
                    1 => {
                        assert_eq!(list.leave(index), asked.remove(&index));
                        oracle.retain(|known| *known != index);
                    }
                    _ => {
                        let taken = list.take_oldest();
                        assert_eq!(taken, oracle.pop_front());
                        asked.extend(taken);
                    }
                }
                assert_eq!((list.count(), list.asked()), (oracle.len(), asked.len()));
                assert!(list.iter().eq(oracle.iter().copied()));
                (0..8).for_each(|index| assert_eq!(list.is_asked(index), asked.contains(&index)));
            }
        }
    }

    #[test]
    fn an_unknown_place_is_never_idle() {
        let mut list = IdleList::default();
        list.enter(3);
        assert_eq!(
            (list.count(), list.take_oldest(), list.leave(3)),
            (0, None, false)
        );
    }
}
