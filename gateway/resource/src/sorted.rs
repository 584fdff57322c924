//! Objects of one kind in order of their keys.

use std::cmp::Ordering;
use std::sync::Arc;

/// Objects of one kind, sorted by the keys that are in them. A clone shares everything; the first change after it
/// copies a vector of pointers, which for ten thousand objects is less work than a tree and a tenth of its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sorted<V>(Arc<Vec<V>>);

/// A value that contains its key.
pub(crate) trait Keyed {
    /// The order of the keys.
    fn order(&self, other: &Self) -> Ordering;

    /// Whether both are the very same object. Their contents are not compared.
    fn is_same(&self, other: &Self) -> bool;
}

/// Which of two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Earlier,
    Now,
}

impl<V> Default for Sorted<V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<V: Keyed + Clone> Sorted<V> {
    /// Of values that are in order, each key once.
    pub(crate) fn in_order(values: Vec<V>) -> Self {
        Self(Arc::new(values))
    }

    /// Whether both share the same values. Contents are not compared.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, V> {
        self.0.iter()
    }

    /// The value that `order` finds equal to what is looked for.
    pub(crate) fn get(&self, order: impl Fn(&V) -> Ordering) -> Option<&V> {
        self.0.get(self.0.binary_search_by(order).ok()?)
    }

    /// Every such value, for an `order` that compares only the beginning of the key.
    pub(crate) fn range(&self, order: impl Fn(&V) -> Ordering) -> &[V] {
        let start = self.0.partition_point(|value| order(value).is_lt());
        let rest = self.0.get(start..).unwrap_or_default();
        let length = rest.partition_point(|value| order(value).is_eq());
        rest.get(..length).unwrap_or_default()
    }

    /// Inserts a value and returns the one that it replaces.
    pub(crate) fn insert(&mut self, value: V) -> Option<V> {
        // Lists arrive in order.
        let place = match self.0.last().map(|last| last.order(&value)) {
            None | Some(Ordering::Less) => Err(self.0.len()),
            Some(Ordering::Equal | Ordering::Greater) => self.0.binary_search_by(|held| held.order(&value)),
        };
        let values = Arc::make_mut(&mut self.0);
        match place {
            Ok(place) => values.get_mut(place).map(|held| std::mem::replace(held, value)),
            Err(place) => {
                values.insert(place, value);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, order: impl Fn(&V) -> Ordering) -> Option<V> {
        let place = self.0.binary_search_by(order).ok()?;
        Some(Arc::make_mut(&mut self.0).remove(place))
    }

    /// Calls `visit` for every value that is in one of the two alone, or not the same in both: for the old one and the
    /// new one.
    pub(crate) fn differing<'v>(&'v self, earlier: &'v Self, mut visit: impl FnMut(Side, &'v V)) {
        if Arc::ptr_eq(&self.0, &earlier.0) {
            return;
        }
        let (mut olds, mut news) = (earlier.iter().peekable(), self.iter().peekable());
        loop {
            let order = match (olds.peek(), news.peek()) {
                (None, None) => return,
                // Most of them are the same.
                (Some(old), Some(new)) if old.is_same(new) => {
                    olds.next();
                    news.next();
                    continue;
                }
                (Some(old), Some(new)) => old.order(new),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            if order.is_le() {
                olds.next().into_iter().for_each(|old| visit(Side::Earlier, old));
            }
            if order.is_ge() {
                news.next().into_iter().for_each(|new| visit(Side::Now, new));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Keyed for Arc<(u8, u8)> {
        fn order(&self, other: &Self) -> Ordering {
            self.0.cmp(&other.0)
        }

        fn is_same(&self, other: &Self) -> bool {
            Arc::ptr_eq(self, other)
        }
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_would_hold_and_finds_every_difference(
            early in prop::collection::vec((0..24_u8, any::<u8>(), any::<bool>()), 0..40),
            late in prop::collection::vec((0..24_u8, any::<u8>(), any::<bool>()), 0..40),
        ) {
            let (mut sorted, mut map) = (Sorted::default(), BTreeMap::new());
            let apply = |sorted: &mut Sorted<_>, map: &mut BTreeMap<_, _>, changes: &[(u8, u8, bool)]| {
                for (key, value, stays) in changes {
                    let order = |held: &Arc<(u8, u8)>| held.0.cmp(key);
                    let value = Arc::new((*key, *value));
                    let (before, expected) = if *stays {
                        (sorted.insert(Arc::clone(&value)), map.insert(*key, value))
                    } else {
                        (sorted.remove(order), map.remove(key))
                    };
                    assert_eq!(before, expected);
                    assert_eq!(sorted.get(order), map.get(key));
                }
            };
            apply(&mut sorted, &mut map, &early);
            let (before, map_before) = (sorted.clone(), map.clone());
            apply(&mut sorted, &mut map, &late);
            prop_assert!(sorted.iter().eq(map.values()));
            prop_assert!(before.iter().eq(map_before.values()));
            let run = sorted.range(|held| (held.0 / 8).cmp(&1));
            prop_assert!(run.iter().eq(map.range(8..16).map(|(_, value)| value)));

            let (mut gone, mut come) = (BTreeMap::new(), BTreeMap::new());
            sorted.differing(&before, |side, value| {
                let found = match side { Side::Earlier => &mut gone, Side::Now => &mut come };
                found.insert(value.0, Arc::clone(value));
            });
            let same = |key: &u8| match (map.get(key), map_before.get(key)) {
                (Some(new), Some(old)) => Arc::ptr_eq(new, old),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            for key in 0..24 {
                let differs = !same(&key);
                prop_assert_eq!(gone.get(&key), map_before.get(&key).filter(|_| differs));
                prop_assert_eq!(come.get(&key), map.get(&key).filter(|_| differs));
            }
        }
    }
}
