//! The clock is paused: minutes pass at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use resource::NameFault;
use route::{Host, HostBuf, ObjectKey, normalise_sni};
use tokio::task::LocalSet;
use tokio::time::{Instant, advance, sleep};

use super::entry::{KEEP, LAST_RETRY, LONGEST_TTL, MOST_ADDRESSES, NameEntry, SHORTEST_TTL};
use super::follower::Names;
use super::lookup::{Answer, Lookup, Records, Reply};
use super::table::{MOST_AT_ONCE, MOST_NAMES, NameTable};

fn host(name: &str) -> Host {
    Host::of(&normalise_sni(name.as_bytes(), &mut HostBuf::new()).unwrap()).unwrap()
}

fn records(addresses: &[&str], ttl: u64) -> Answer {
    Ok(Records {
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ttl: Duration::from_secs(ttl),
    })
}

fn reply(v4: Answer, v6: Answer) -> Reply {
    Reply { v4, v6 }
}

/// IPv4 alone, as most names have it.
fn only(addresses: &[&str], ttl: u64) -> Reply {
    reply(records(addresses, ttl), Err(NameFault::NoAddress))
}

fn silence() -> NameFault {
    NameFault::NoAnswer("none within the time".into())
}

fn both(fault: NameFault) -> Reply {
    reply(Err(fault.clone()), Err(fault))
}

fn shown(entry: &NameEntry) -> (Vec<String>, Option<NameFault>) {
    let shown = entry.shown().unwrap();
    let addresses = shown.addresses.iter().map(ToString::to_string).collect();
    (addresses, shown.fault.clone())
}

#[test]
fn a_ttl_is_honoured_within_bounds() {
    let now = Instant::now();
    let table = [
        (0, SHORTEST_TTL),
        (1, Duration::from_secs(1)),
        (30, Duration::from_secs(30)),
        (3_600, LONGEST_TTL),
        (604_800, LONGEST_TTL),
        (u64::from(u32::MAX), LONGEST_TTL),
    ];
    for (ttl, expected) in table {
        let mut entry = NameEntry::new(now);
        assert_eq!(entry.next(), Some(now), "a new name is asked for at once");
        entry.begin();
        assert_eq!(entry.next(), None);
        assert!(entry.take(only(&["10.0.0.1"], ttl), now));
        assert_eq!(entry.next(), Some(now + expected), "{ttl}");
        assert_eq!(entry.ends(), Some(now + expected + KEEP), "{ttl}");
        assert!(
            !entry.take(only(&["10.0.0.1"], ttl), now + expected),
            "the same answer is no news"
        );
    }
    // Of both kinds the shorter one.
    let mut entry = NameEntry::new(now);
    entry.take(reply(records(&["10.0.0.1"], 300), records(&["fd00::1"], 20)), now);
    assert_eq!(entry.next(), Some(now + Duration::from_secs(20)));
}

#[test]
fn an_answer_that_cannot_be_renewed_is_kept_for_a_minute() {
    for fault in [NameFault::NoSuchName, NameFault::NoAddress, silence()] {
        let start = Instant::now();
        let mut entry = NameEntry::new(start);
        entry.take(only(&["10.0.0.1"], 10), start);
        let end = start + Duration::from_secs(10) + KEEP;
        let (mut now, mut pauses) = (start, Vec::new());
        loop {
            let next = entry.next().unwrap();
            if next >= end {
                break;
            }
            pauses.push((next - now).as_secs());
            now = next;
            entry.take(both(fault.clone()), now);
            assert_eq!(shown(&entry), (vec!["10.0.0.1".to_owned()], Some(fault.clone())));
        }
        assert_eq!(pauses, [10, 1, 2, 4, 8, 16], "{fault}");
        assert!(!entry.expire(end - Duration::from_millis(1)));
        assert!(entry.expire(end));
        assert_eq!(shown(&entry), (vec![], Some(fault.clone())));
        for _ in 0..40 {
            now = entry.next().unwrap();
            assert!(!entry.take(both(fault.clone()), now), "nothing new");
            assert!(entry.next().unwrap() - now <= LAST_RETRY);
        }
        // It comes back, and everything begins anew.
        assert!(entry.take(only(&["10.0.0.2"], 10), now));
        assert_eq!(shown(&entry), (vec!["10.0.0.2".to_owned()], None));
        assert_eq!(entry.next(), Some(now + Duration::from_secs(10)));
    }
}

#[test]
fn each_address_family_is_kept_separately() {
    let start = Instant::now();
    let seconds = Duration::from_secs;
    let mut entry = NameEntry::new(start);
    entry.take(
        reply(records(&["10.0.0.1"], 300), records(&["fd00::1"], 5)),
        start,
    );
    // No word on IPv6: asked again before the TTL of the other one ends.
    let now = start + seconds(5);
    entry.take(reply(records(&["10.0.0.1"], 300), Err(silence())), now);
    let addresses = |entry: &NameEntry| shown(entry).0;
    assert_eq!(addresses(&entry), ["10.0.0.1", "fd00::1"]);
    assert_eq!(entry.next(), Some(now + LAST_RETRY));
    entry.take(
        reply(records(&["10.0.0.1"], 300), Err(silence())),
        now + LAST_RETRY,
    );
    assert!(entry.expire(start + seconds(5) + KEEP));
    assert_eq!(shown(&entry), (vec!["10.0.0.1".to_owned()], None));
    // Told that there is none, it goes at once.
    let now = start + seconds(100);
    entry.take(reply(records(&["10.0.0.1"], 300), records(&["fd00::1"], 5)), now);
    entry.take(reply(Err(NameFault::NoAddress), records(&["fd00::1"], 5)), now);
    assert_eq!(addresses(&entry), ["fd00::1"]);
}

#[test]
fn addresses_are_sorted_and_bounded() {
    let now = Instant::now();
    let mut entry = NameEntry::new(now);
    let v4 = records(&["10.0.0.2", "10.0.0.1", "10.0.0.2"], 5);
    entry.take(reply(v4, records(&["::ffff:10.0.0.1", "fd00::1"], 5)), now);
    assert_eq!(shown(&entry).0, ["10.0.0.1", "10.0.0.2", "fd00::1"]);
    let many: Vec<IpAddr> = (0..=255).map(|last| IpAddr::from([10, 0, 0, last])).collect();
    let v4 = Ok(Records {
        addresses: many.iter().rev().copied().collect(),
        ttl: SHORTEST_TTL,
    });
    entry.take(reply(v4, Err(NameFault::NoAddress)), now);
    let shown = entry.shown().unwrap();
    assert_eq!(shown.addresses, many[..MOST_ADDRESSES]);
    assert_eq!(shown.left_out, 256 - MOST_ADDRESSES);
}

#[test]
fn the_more_specific_of_two_faults_is_reported() {
    let (none, gone) = (NameFault::NoAddress, NameFault::NoSuchName);
    for (v4, v6, told) in [
        (&none, &none, &none),
        (&gone, &gone, &gone),
        (&none, &silence(), &silence()),
        (&silence(), &gone, &silence()),
    ] {
        let mut entry = NameEntry::new(Instant::now());
        entry.take(reply(Err(v4.clone()), Err(v6.clone())), Instant::now());
        assert_eq!(shown(&entry), (vec![], Some(told.clone())));
    }
}

/// DNS as the test wants it: what it says of a name, and how long it takes. Of other names nothing, for ever.
#[derive(Default, Clone)]
struct Script(Rc<RefCell<Scripted>>);

#[derive(Default)]
struct Scripted {
    replies: BTreeMap<String, (Duration, Reply)>,
    asked: Vec<String>,
    under_way: usize,
    most_under_way: usize,
    /// The next lookup panics.
    panics: bool,
}

impl Script {
    fn says(&self, name: &str, reply: Reply) {
        let entry = (Duration::from_millis(10), reply);
        self.0.borrow_mut().replies.insert(name.to_owned(), entry);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().asked)
    }
}

impl Lookup for Script {
    async fn lookup(&self, name: Host) -> Reply {
        let found = {
            let mut script = self.0.borrow_mut();
            assert!(!std::mem::take(&mut script.panics), "a fault");
            script.asked.push(name.to_string());
            script.under_way += 1;
            script.most_under_way = script.most_under_way.max(script.under_way);
            script.replies.get(name.as_str()).cloned()
        };
        let reply = match found {
            Some((after, reply)) => {
                sleep(after).await;
                reply
            }
            None => {
                sleep(Duration::from_secs(10)).await;
                both(silence())
            }
        };
        self.0.borrow_mut().under_way -= 1;
        reply
    }
}

fn known(names: &mut Names, name: &str) -> Option<(Vec<String>, Option<NameFault>)> {
    let known = names.known();
    let known = known.get(&host(name))?;
    let addresses = known.addresses.iter().map(ToString::to_string).collect();
    Some((addresses, known.fault.clone()))
}

fn follow(names: &Names, followed: &[Host]) {
    let service = ObjectKey::new("shop", "app");
    names.follow(followed.iter().map(|name| (&service, name)));
}

/// Lets so much time pass, and everything happen that is due by then.
async fn pass(seconds: u64) {
    for _ in 0..seconds * 20 {
        advance(Duration::from_millis(50)).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

/// A fault of the program while it looks a name up ends no other lookup for good.
#[tokio::test(start_paused = true)]
async fn lookups_begin_anew_after_a_panic() {
    let script = Script::default();
    let run = async {
        let mut names = Names::with(script.clone());
        script.says("a.test", only(&["10.0.0.1"], 5));
        follow(&names, &[host("a.test")]);
        names.changed().await;
        script.says("a.test", only(&["10.0.0.2"], 5));
        script.0.borrow_mut().panics = true;
        let _seen = names.known();
        names.changed().await;
        assert!(!script.0.borrow().panics);
        let good = Some((vec!["10.0.0.2".to_owned()], None));
        assert_eq!(known(&mut names, "a.test"), good);
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test(start_paused = true)]
async fn names_are_resolved_renewed_kept_and_dropped() {
    let script = Script::default();
    let run = async {
        let mut names = Names::with(script.clone());
        script.says("a.test", only(&["10.0.0.1"], 30));
        follow(&names, &[host("a.test"), host("silent.test")]);
        tokio::time::timeout(Duration::from_secs(1), names.changed())
            .await
            .unwrap();
        let good = |address: &str| Some((vec![address.to_owned()], None));
        assert_eq!(known(&mut names, "a.test"), good("10.0.0.1"));
        assert_eq!(
            known(&mut names, "silent.test"),
            None,
            "nothing waits for what is silent"
        );

        // Another answer counts from the end of the TTL on, and not before.
        script.says("a.test", only(&["10.0.0.2"], 30));
        pass(28).await;
        assert_eq!(known(&mut names, "a.test"), good("10.0.0.1"));
        pass(3).await;
        assert_eq!(known(&mut names, "a.test"), good("10.0.0.2"));
        assert_eq!(known(&mut names, "silent.test"), Some((vec![], Some(silence()))));

        // Silence: the last answer counts for its TTL and a minute more.
        script.0.borrow_mut().replies.clear();
        pass(87).await;
        assert_eq!(
            known(&mut names, "a.test"),
            Some((vec!["10.0.0.2".to_owned()], Some(silence())))
        );
        pass(3).await;
        assert_eq!(known(&mut names, "a.test"), Some((vec![], Some(silence()))));

        script.says("a.test", only(&["10.0.0.3"], 1));
        pass(45).await;
        assert_eq!(known(&mut names, "a.test"), good("10.0.0.3"));

        // Names that are no longer needed are dropped, and not queried.
        follow(&names, &[host("silent.test")]);
        pass(1).await;
        assert_eq!(known(&mut names, "a.test"), None);
        script.asked();
        pass(60).await;
        assert!(!script.asked().contains(&"a.test".to_owned()));

        drop(names);
        pass(1).await;
        script.asked();
        pass(100).await;
        assert_eq!(script.asked(), [""; 0], "the task ends with its owner");
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test(start_paused = true)]
async fn the_number_of_names_and_of_queries_is_bounded() {
    let script = Script::default();
    let run = async {
        let mut names = Names::with(script.clone());
        let all: Vec<Host> = (0..MOST_NAMES + 2)
            .map(|number| host(&format!("n{number}.test")))
            .collect();
        for name in &all {
            script.says(name.as_str(), only(&["10.0.0.1"], 3_000));
        }
        follow(&names, &all);
        pass(5).await;
        let known = names.known();
        let good = known.values().filter(|known| known.fault.is_none()).count();
        assert_eq!((known.len(), good), (MOST_NAMES + 2, MOST_NAMES));
        let left_out = known[&host(&format!("n{MOST_NAMES}.test"))].fault.clone();
        assert_eq!(left_out, Some(NameFault::TooMany(MOST_NAMES)));
        assert_eq!(
            script.0.borrow().most_under_way,
            MOST_AT_ONCE / 2,
            "none of them had an answer"
        );
        assert_eq!(script.asked().len(), MOST_NAMES, "each once");
    };
    LocalSet::new().run_until(run).await;
}

/// As many silent names as there may be, and one that is good: it is renewed in time, again and again.
#[test]
fn names_without_an_answer_do_not_delay_others() {
    let deadline = Duration::from_secs(6);
    let mut now = Instant::now();
    let good = host("good.test");
    let mut names = vec![good.clone()];
    names.extend((1..MOST_NAMES).map(|number| host(&format!("a{number}.test"))));
    let mut table = NameTable::default();
    table.follow(&names);
    let mut under_way: Vec<(Instant, Host)> = Vec::new();
    let (mut renewals, end) = (Vec::new(), now + Duration::from_secs(1_200));
    while now < end {
        under_way.retain(|(until, name)| {
            if *until <= now {
                table.take(name, both(silence()), now);
            }
            *until > now
        });
        table.expire(now);
        while under_way.len() < MOST_AT_ONCE
            && let Some(name) = table.next(now)
        {
            if name == good {
                table.take(&name, only(&["10.0.0.1"], 30), now);
                renewals.push(now);
            } else {
                under_way.push((now + deadline, name));
            }
        }
        if !renewals.is_empty()
            && let Some(known) = table.take_changed()
        {
            assert_eq!(known[&good].addresses.len(), 1);
        }
        now += Duration::from_secs(1);
    }
    assert!(renewals.len() > 30, "{}", renewals.len());
    let pauses = renewals.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(
        pauses.max() == Some(Duration::from_secs(30)),
        "by its TTL, each time"
    );
}
