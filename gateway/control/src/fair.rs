//! Bounds that namespaces share.

use std::collections::{BTreeSet, HashMap};

use route::ObjectKey;
use tokio::time::Instant;

/// Moves what a namespace asks for beyond its `share` to the end, where a bound cuts off first. Keeps the order
/// otherwise.
pub(crate) fn share_out<T>(items: Vec<T>, share: usize, namespace: impl Fn(&T) -> &str) -> Vec<T> {
    let mut shares: HashMap<String, usize> = HashMap::new();
    let (mut first, last): (Vec<T>, Vec<T>) = items.into_iter().partition(|item| {
        let asked = shares.entry(namespace(item).to_owned()).or_default();
        *asked += 1;
        *asked <= share
    });
    first.extend(last);
    first
}

/// Objects with something to do, of which each namespace has its turn: a thousand in one do not delay the one of another.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    waiting: BTreeSet<ObjectKey>,
    /// Objects for which it is too early, each once.
    later: BTreeSet<(Instant, ObjectKey)>,
    /// Since when they are there.
    until: HashMap<ObjectKey, Instant>,
    /// The namespace that had its turn last.
    last: String,
}

impl Turns {
    /// The object waits for its turn.
    pub(crate) fn add(&mut self, key: ObjectKey) {
        self.waiting.insert(key);
    }

    /// The object waits for its turn from then on. Of two such times the earlier one counts.
    pub(crate) fn put_off(&mut self, key: ObjectKey, until: Instant) {
        match self.until.get(&key) {
            Some(earlier) if *earlier <= until => return,
            Some(later) => {
                self.later.remove(&(*later, key.clone()));
            }
            None => {}
        }
        self.until.insert(key.clone(), until);
        self.later.insert((until, key));
    }

    /// The next object whose turn it is. It waits no longer.
    pub(crate) fn next(&mut self, now: Instant) -> Option<ObjectKey> {
        while let Some((until, _)) = self.later.first()
            && *until <= now
            && let Some((_, key)) = self.later.pop_first()
        {
            self.until.remove(&key);
            self.waiting.insert(key);
        }
        // No name sorts between a namespace and the same with a zero byte behind it.
        let after = ObjectKey::new(format!("{}\0", self.last).as_str(), "");
        let next = self
            .waiting
            .range(after..)
            .next()
            .or_else(|| self.waiting.first())?
            .clone();
        self.waiting.remove(&next);
        self.last = next.namespace().to_owned();
        Some(next)
    }

    /// When there is something to do.
    pub(crate) fn when(&self, now: Instant) -> Option<Instant> {
        if self.waiting.is_empty() {
            self.later.first().map(|(until, _)| *until)
        } else {
            Some(now)
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use route::ObjectKey;
    use tokio::time::Instant;

    use super::{Turns, share_out};

    #[test]
    fn each_namespace_has_its_turn() {
        let mut turns = Turns::default();
        for number in 0..1_000 {
            turns.add(ObjectKey::new("greedy", format!("app-{number}").as_str()));
        }
        for (namespace, name) in [
            ("modest", "a"),
            ("aside", "b"),
            ("greedy-2", "c"),
            ("modest", "d"),
        ] {
            turns.add(ObjectKey::new(namespace, name));
        }
        let now = Instant::now();
        let first: Vec<String> = (0..8)
            .filter_map(|_| turns.next(now))
            .map(|key| key.to_string())
            .collect();
        let expected = [
            "aside/b",
            "greedy/app-0",
            "greedy-2/c",
            "modest/a",
            "greedy/app-1",
            "modest/d",
            "greedy/app-10",
            "greedy/app-100",
        ];
        assert_eq!(first, expected);
    }

    #[test]
    fn an_object_that_is_put_off_waits_once_and_until_the_earliest_time() {
        let mut turns = Turns::default();
        let (now, key) = (Instant::now(), ObjectKey::new("shop", "web"));
        let later = |seconds| now + Duration::from_secs(seconds);
        for seconds in [5, 3, 8] {
            turns.put_off(key.clone(), later(seconds));
        }
        assert_eq!(turns.when(now), Some(later(3)));
        assert_eq!(turns.next(later(2)), None);
        assert_eq!(turns.next(later(3)), Some(key));
        assert_eq!((turns.next(later(9)), turns.when(later(9))), (None, None));
    }

    /// A namespace that asks for two hundred does not displace another.
    #[test]
    fn what_a_namespace_asks_for_beyond_its_share_comes_last() {
        let asked = |namespace: &'static str, numbers: std::ops::Range<usize>| {
            numbers.map(move |number| (namespace, number)).collect::<Vec<_>>()
        };
        let all = [
            asked("greedy", 0..200),
            asked("modest", 0..2),
            asked("greedy", 200..201),
        ]
        .concat();
        let expected = [
            asked("greedy", 0..50),
            asked("modest", 0..2),
            asked("greedy", 50..201),
        ]
        .concat();
        assert_eq!(share_out(all, 50, |(namespace, _)| namespace), expected);
    }
}
