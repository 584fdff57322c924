//! Who has how much left of a limit: one table for all limits and all workers of a door.
//!
//! The state of a bucket is one number: when it will be full again. A bucket that is full is not in the table at all,
//! so nothing need be swept: a place whose time has passed is free. Nothing locks. Where two workers meet at one place,
//! the one that comes second looks again; what a race can cost is that one request goes uncounted.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::rate::{Rate, Verdict, Wait};
use crate::source::Key;

/// How many buckets a table may have places for.
pub const SLOTS: RangeInclusive<usize> = 1 << 10..=1 << 26;

/// Places for a million clients at once, and twice that; 32 MiB.
pub const DEFAULT_SLOTS: usize = 1 << 21;

/// How often a worker looks again when others were faster. Each time one of them has got on, so more is never needed
/// but by chance; then the request goes uncounted.
const MOST_TRIES: usize = 64;

/// Nobody's place.
const FREE: u64 = 0;
/// A place that is being given to someone.
const TAKEN: u64 = 1;

/// The buckets of a door that are not full.
///
/// A bucket may lie in two lines, wherever more room was when it came. With a million buckets in 2^21 places about six
/// find both lines full; one line of eight places would overflow a thousand times as often.
pub struct RateTable {
    lines: Box<[Line]>,
    /// Clients must not be able to choose who shares their place.
    seed: RandomState,
    /// Times are nanoseconds since then.
    epoch: Instant,
    evicted: AtomicU64,
}

/// One cache line.
#[repr(align(64))]
#[derive(Debug, Default)]
struct Line([Slot; 4]);

#[derive(Debug, Default)]
struct Slot {
    /// Whose bucket this is.
    tag: AtomicU64,
    /// When it will be full.
    full: AtomicU64,
}

/// A token was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Another bucket has lost its place to this one.
    pub evicted: bool,
}

/// A bucket of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket(u64);

/// Which limit buckets belong to: the same number for the same limit after each reload, so that its buckets remain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LimiterId(u64);

impl LimiterId {
    /// The number of the limit that is called so: the object, what it is, and where it is written.
    #[must_use]
    pub fn of(identity: &impl Hash) -> Self {
        // Without a seed: equal as long as the process lives, and never seen outside.
        let fixed = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
        Self(fixed.hash_one(identity))
    }
}

impl std::fmt::Debug for RateTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateTable")
            .field("slots", &self.slots())
            .field("evicted", &self.evicted())
            .finish_non_exhaustive()
    }
}

impl RateTable {
    /// A table with at least `slots` places, within [`SLOTS`]; `now` is when its time begins.
    ///
    /// All of it is written now, so that the kernel counts it now: what is left for traffic is known from its figure.
    #[must_use]
    pub fn new(slots: usize, now: Instant) -> Self {
        Self {
            lines: std::iter::repeat_with(Line::default)
                .take(rounded(slots) / 4)
                .collect(),
            seed: RandomState::new(),
            // So that no time is zero, which is when a place is full that nobody has had.
            epoch: now.checked_sub(std::time::Duration::from_nanos(1)).unwrap_or(now),
            evicted: AtomicU64::new(0),
        }
    }

    /// How many buckets have places.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.lines.len() * 4
    }

    /// Whether a table for so many places is like this one.
    #[must_use]
    pub fn serves(&self, slots: usize) -> bool {
        self.slots() == rounded(slots)
    }

    /// How many buckets have lost their place to others, and were full again for that.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// The bucket of one key at one limit.
    #[must_use]
    pub fn bucket(&self, limiter: LimiterId, key: Key<'_>) -> Bucket {
        Bucket(self.seed.hash_one((limiter, key)).max(TAKEN + 1))
    }

    /// Whether `bucket` has a token at `now`, which it keeps.
    ///
    /// # Errors
    /// How long it takes until it has one.
    pub fn check(&self, bucket: Bucket, rate: &Rate, now: Instant) -> Result<(), Wait> {
        let full = self
            .find(bucket)
            .and_then(|slot| slot.full_of(bucket))
            .unwrap_or(0);
        rate.judge(full, self.time(now)).map(|_| ())
    }

    /// Takes a token of `bucket` at `now`.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub fn take(&self, bucket: Bucket, rate: &Rate, now: Instant) -> Result<Taken, Wait> {
        let now = self.time(now);
        for _ in 0..MOST_TRIES {
            if let Some(slot) = self.find(bucket) {
                match slot.take(bucket, rate, now) {
                    Some(verdict) => return verdict.map(|_| Taken { evicted: false }),
                    None => continue,
                }
            }
            if let Some(taken) = self.place(bucket, rate.judge(0, now)?, now) {
                return Ok(taken);
            }
        }
        Ok(Taken { evicted: false })
    }

    fn time(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The two lines in which `bucket` may lie, always in this order: who has two places by a race is found at the same.
    fn lines(&self, bucket: Bucket) -> [&Line; 2] {
        let mask = self.lines.len() as u64 - 1;
        let first = bucket.0 & mask;
        let second = (bucket.0 >> 32) & mask;
        let second = if first == second { first ^ 1 } else { second };
        [first, second].map(|at| self.line(at))
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "masked by the number of lines, which is a power of two"
    )]
    fn line(&self, at: u64) -> &Line {
        &self.lines[usize::try_from(at).unwrap_or_default()]
    }

    fn find(&self, bucket: Bucket) -> Option<&Slot> {
        self.lines(bucket)
            .into_iter()
            .flat_map(|line| &line.0)
            .find(|slot| slot.tag.load(Ordering::Acquire) == bucket.0)
    }

    /// Gives `bucket` a place; `None` if another worker took that just now.
    fn place(&self, bucket: Bucket, full: u64, now: u64) -> Option<Taken> {
        let [first, second] = self.lines(bucket).map(|line| line.free(now));
        let free = if first.1 >= second.1 { first } else { second };
        if let (Some((slot, seen)), _) = free {
            return slot.give(seen, bucket, full).then_some(Taken { evicted: false });
        }
        // All live: the one that is full first loses least.
        let slots = self.lines(bucket).into_iter().flat_map(|line| &line.0);
        let seen = slots.map(|slot| (slot, slot.tag.load(Ordering::Acquire)));
        let live = seen.filter(|(_, tag)| *tag != TAKEN);
        let earliest = live.min_by_key(|(slot, _)| slot.full.load(Ordering::Acquire));
        let (slot, tag) = earliest?;
        if !slot.give(tag, bucket, full) {
            return None;
        }
        self.evicted.fetch_add(1, Ordering::Relaxed);
        Some(Taken { evicted: true })
    }
}

/// A table has a power of two of places.
fn rounded(slots: usize) -> usize {
    slots.clamp(*SLOTS.start(), *SLOTS.end()).next_power_of_two()
}

/// A table is equal to itself alone: it is what has been counted.
impl PartialEq for RateTable {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Line {
    /// The first free place, with whose it was, and how many are free.
    fn free(&self, now: u64) -> (Option<(&Slot, u64)>, usize) {
        let mut free = (None, 0);
        for slot in &self.0 {
            let tag = slot.tag.load(Ordering::Acquire);
            if tag == FREE || (tag != TAKEN && slot.full.load(Ordering::Acquire) <= now) {
                free.0.get_or_insert((slot, tag));
                free.1 += 1;
            }
        }
        free
    }
}

impl Slot {
    /// When the bucket will be full, unless its place has gone to another.
    fn full_of(&self, bucket: Bucket) -> Option<u64> {
        let full = self.full.load(Ordering::Acquire);
        // After the time was read: whoever gets the place is announced before the time is written.
        (self.tag.load(Ordering::Acquire) == bucket.0).then_some(full)
    }

    /// Takes a token of the bucket, unless its place has gone to another.
    fn take(&self, bucket: Bucket, rate: &Rate, now: u64) -> Option<Verdict> {
        loop {
            let full = self.full_of(bucket)?;
            let next = match rate.judge(full, now) {
                Ok(next) => next,
                early => return Some(early),
            };
            let exchanged = self
                .full
                .compare_exchange_weak(full, next, Ordering::AcqRel, Ordering::Acquire);
            if exchanged.is_ok() {
                return Some(Ok(next));
            }
        }
    }

    /// Gives the place of `seen` to `bucket`. Nobody reads the time while it is being written.
    fn give(&self, seen: u64, bucket: Bucket, full: u64) -> bool {
        let taken = self
            .tag
            .compare_exchange(seen, TAKEN, Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_err() {
            return false;
        }
        self.full.store(full, Ordering::Release);
        self.tag.store(bucket.0, Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// The memory that this process has, as the kernel counts it.
    #[cfg(target_os = "linux")]
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_of_a_table_counts_from_the_beginning() {
        let before = resident();
        let table = table(1 << 23);
        let grown = resident().saturating_sub(before);
        // 128 MiB, while other tests free theirs.
        assert!(grown >= 96 << 20, "{grown}");
        assert_eq!(table.0.slots(), 1 << 23);
    }

    fn table(slots: usize) -> (RateTable, Instant) {
        let now = Instant::now();
        (RateTable::new(slots, now), now)
    }

    fn client(number: u32) -> Key<'static> {
        Key::Address(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn rate(average: u64, seconds: u64, burst: u64) -> Rate {
        Rate::new(average, Duration::from_secs(seconds), burst).unwrap()
    }

    fn limiter(name: &str) -> LimiterId {
        LimiterId::of(&name)
    }

    #[test]
    fn a_line_is_a_cache_line_and_a_million_clients_take_32_mib() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
        assert_eq!(DEFAULT_SLOTS / 4 * size_of::<Line>(), 32 << 20);
        let now = Instant::now();
        assert_eq!(RateTable::new(0, now).slots(), 1024);
        assert_eq!(RateTable::new(1025, now).slots(), 2048);
    }

    #[test]
    fn ten_minutes_of_a_hundred_a_minute_with_a_burst_of_two_hundred() {
        let (table, start) = table(1024);
        let rate = rate(100, 60, 200);
        for per_second in [3, 7, 100] {
            let bucket = table.bucket(limiter("a"), client(per_second));
            let requests = (0..600 * per_second).map(|at| start + Duration::from_secs(1) * at / per_second);
            let admitted = requests
                .filter(|now| table.take(bucket, &rate, *now).is_ok())
                .count();
            assert!((1188..=1212).contains(&admitted), "{per_second}: {admitted}");
        }
    }

    #[test]
    fn limits_and_clients_have_buckets_of_their_own() {
        let (table, now) = table(1024);
        let rate = rate(1, 60, 1);
        for name in ["a", "b"] {
            for number in [1, 2] {
                let bucket = table.bucket(limiter(name), client(number));
                assert!(table.take(bucket, &rate, now).is_ok());
                assert_eq!(table.take(bucket, &rate, now).map_err(Wait::seconds), Err(60));
            }
        }
        let texts = [Key::Text(b""), Key::Text(b"a"), Key::Text(b"aa")];
        for key in texts {
            assert!(table.take(table.bucket(limiter("a"), key), &rate, now).is_ok());
        }
        assert_eq!(table.evicted(), 0);
    }

    #[test]
    fn a_check_takes_nothing() {
        let (table, now) = table(1024);
        let rate = rate(1, 1, 1);
        let bucket = table.bucket(limiter("a"), client(1));
        for _ in 0..3 {
            assert_eq!(table.check(bucket, &rate, now), Ok(()));
        }
        assert!(table.take(bucket, &rate, now).is_ok());
        assert!(table.check(bucket, &rate, now).is_err());
        assert_eq!(table.check(bucket, &rate, now + Duration::from_secs(1)), Ok(()));
    }

    /// A reload compiles limits anew, with other numbers perhaps, and finds the counts that were there.
    #[test]
    fn a_limit_keeps_its_counts_when_its_numbers_change() {
        let (table, now) = table(1024);
        let identity = ("shop", "web", "blastdoor.dev/rate-limit", 0);
        let bucket = table.bucket(LimiterId::of(&identity), client(1));
        for _ in 0..5 {
            assert!(table.take(bucket, &rate(1, 60, 5), now).is_ok());
        }
        let again = table.bucket(LimiterId::of(&identity), client(1));
        assert!(table.take(again, &rate(1, 60, 5), now).is_err());
        assert!(table.take(again, &rate(1, 60, 6), now).is_ok());
        assert!(table.take(again, &rate(1, 60, 6), now).is_err());
    }

    #[test]
    fn the_fullest_gives_way_when_both_lines_are_full() {
        let (table, now) = table(1024);
        let (rate, clients) = (rate(1, 3600, 1), 20_000);
        for number in 0..clients {
            let bucket = table.bucket(limiter("a"), client(number));
            assert!(
                table
                    .take(bucket, &rate, now + Duration::from_nanos(number.into()))
                    .is_ok()
            );
        }
        assert!(
            table.evicted() >= u64::from(clients) - 1024,
            "{}",
            table.evicted()
        );
        // The last one is still there, for nobody came after it.
        let last = table.bucket(limiter("a"), client(clients - 1));
        assert!(table.take(last, &rate, now + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_place_whose_time_has_passed_is_free() {
        let (table, now) = table(1024);
        let rate = rate(1, 1, 1);
        for round in 0..20_u32 {
            for number in 0..300 {
                let bucket = table.bucket(limiter("a"), client(round * 1000 + number));
                assert!(
                    table
                        .take(bucket, &rate, now + Duration::from_secs(1) * round)
                        .is_ok()
                );
            }
        }
        assert_eq!(table.evicted(), 0);
    }

    #[test]
    fn a_million_clients_and_their_limits() {
        let (table, now) = table(DEFAULT_SLOTS);
        let (rate, id) = (rate(100, 3600, 3), limiter("a"));
        let clients = 1_000_000;
        let mut admitted = 0;
        for round in 0..4_u32 {
            let now = now + Duration::from_secs(1) * round;
            for number in 0..clients {
                admitted += u64::from(table.take(table.bucket(id, client(number)), &rate, now).is_ok());
            }
        }
        assert!(table.evicted() <= 100, "{}", table.evicted());
        // Whoever lost its place gained one burst at most.
        assert!(
            admitted >= u64::from(clients) * 3 && admitted <= u64::from(clients) * 3 + table.evicted() * 3
        );
    }

    /// The same bucket from all sides at one moment: what is in it, and not one more.
    #[test]
    fn workers_share_a_bucket() {
        let (table, now) = table(1024);
        let rate = rate(1, 3600, 1000);
        for (round, threads) in [2, 8, 64].into_iter().enumerate() {
            let bucket = table.bucket(limiter("a"), client(u32::try_from(round).unwrap()));
            table.take(bucket, &rate, now).unwrap();
            let admitted = AtomicU64::new(1);
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..2000 {
                            let one = table.take(bucket, &rate, now).is_ok();
                            admitted.fetch_add(u64::from(one), Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(admitted.into_inner(), 1000, "{threads}");
        }
    }

    /// Clients that come for the first time at all workers at once, in a table that is too small: what races and
    /// evictions give away is bounded, and nobody is refused who must not be.
    #[test]
    fn workers_make_places_at_once() {
        let (table, now) = table(1024);
        let (rate, threads, clients) = (rate(1, 3600, 2), 8, 700_u32);
        let admitted: Vec<AtomicU64> = (0..clients).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..4 {
                        for (number, admitted) in (0_u32..).zip(&admitted) {
                            let bucket = table.bucket(limiter("a"), client(number));
                            let one = table.take(bucket, &rate, now).is_ok();
                            admitted.fetch_add(u64::from(one), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let admitted: Vec<u64> = admitted.into_iter().map(AtomicU64::into_inner).collect();
        assert!(admitted.iter().all(|admitted| *admitted >= 2));
        let beyond: u64 = admitted.iter().map(|admitted| admitted - 2).sum();
        assert!(
            beyond <= 2 * table.evicted() + u64::from(clients),
            "{beyond}, {}",
            table.evicted()
        );
    }

    proptest! {
        /// Many keys and two limits in a small table, against a map of naive buckets.
        #[test]
        fn the_table_is_a_map_of_buckets(
            steps in prop::collection::vec((0_u32..12, any::<bool>(), 0_u64..700_000_000), 1..400),
        ) {
            let (table, start) = table(1024);
            let limits = [("a", rate(3, 1, 4)), ("b", rate(1, 2, 1))];
            let mut naive = std::collections::HashMap::<(u32, bool), (u64, u64)>::new();
            let mut now = 0;
            for (number, second, step) in steps {
                now += step;
                let (name, rate) = limits[usize::from(second)];
                let size = rate.interval() * rate.burst();
                let (level, seen) = naive.entry((number, second)).or_insert((size, now));
                *level = size.min(*level + (now - *seen));
                *seen = now;
                let expected = *level >= rate.interval();
                if expected {
                    *level -= rate.interval();
                }
                let bucket = table.bucket(limiter(name), client(number));
                let instant = start + Duration::from_nanos(now);
                prop_assert_eq!(table.check(bucket, &rate, instant).is_ok(), expected);
                prop_assert_eq!(table.take(bucket, &rate, instant).is_ok(), expected);
            }
            prop_assert_eq!(table.evicted(), 0);
        }
    }
}
